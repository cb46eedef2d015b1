package interop

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// costMeter sums up in window.meter, in ms, how long the client's script ran, how long RTCDataChannel.send in it, and how
// long the browser took to make the data of its message events, which it does when they are first asked for: before the
// script runs, here. The meter wraps all through which the browser calls the script: a data channel's events, timers,
// microtasks. What the program calls itself is to be wrapped with timed.
const costMeter = `
	const meter = window.meter = { script: 0, send: 0, data: 0 };
	let depth = 0;
	const watch = (key, f) => function (...args) {
		const start = performance.now();
		try { return f.apply(this, args); } finally { meter[key] += performance.now() - start; }
	};
	window.timed = (f) => {
		const outer = watch("script", f);
		return function (...args) {
			depth++;
			try { return (depth > 1 ? f : outer).apply(this, args); } finally { depth--; }
		};
	};
	const read = watch("data", (event) => event.data);
	const channel = RTCDataChannel.prototype;
	for (const event of ["onmessage", "onbufferedamountlow"]) {
		const { set } = Object.getOwnPropertyDescriptor(channel, event);
		Object.defineProperty(channel, event, { set(f) {
			const script = timed(f);
			set.call(this, (event) => { read(event); script(event); });
		} });
	}
	channel.send = watch("send", channel.send);
	for (const later of ["setTimeout", "queueMicrotask"]) {
		const native = window[later];
		window[later] = (f, ...rest) => native(timed(f), ...rest);
	}`

// BenchmarkScript measures what one message of 200 bytes an iteration costs the page's thread in Chromium, in a page that
// takes the times of the client's script: script-µs is what passes in its functions without what only the browser does,
// RTCDataChannel.send, which is send-µs, and the data of message events, which is data-µs. thread-µs is the CPU time of
// all that the thread did, the page's timers and the browser's own work too. Sending has the server's acknowledgements in
// it, receiving our own. At 240 messages a second each has a packet of its own, which is the dearest case, and the
// processor has forgotten the script each time; at 1000 it is hot. The page's clock has steps of 100 µs, which only
// thousands of iterations even out. The first four seconds do not count, in which the script is not compiled.
func BenchmarkScript(b *testing.B) {
	for _, way := range []struct {
		name, channel string
		run           func(b *testing.B, p *tab, c *godwit.Conn, rate, count int)
	}{
		{"send/sequenced", "positions", sendMessages},
		{"send/reliable-ordered", "chat", sendMessages},
		{"receive/sequenced", "world", receiveMessages},
		{"receive/reliable-ordered", "news", receiveMessages},
	} {
		for _, rate := range []int{240, 1000} {
			b.Run(fmt.Sprintf("%s/%d-per-second/chromium/godwit", way.name, rate), func(b *testing.B) {
				w := newWebWorld(b, browser.Own(b, browser.Chromium), netsim.Link{Delay: 10 * time.Millisecond}, func(c *godwit.Config) {
					c.Handler.Message = func(*godwit.Conn, godwit.ChannelID, []byte) {}
				})
				p := w.tab()
				p.do(costMeter+`
					await join();
					window.channel = arg;
					conn.send = timed(conn.send);`, way.channel, nil)
				c := receive(b, w.conns, "the connection")
				p.Inspect("Performance.setTimeDomain", map[string]any{"timeDomain": "threadTicks"}, nil)
				p.Inspect("Performance.enable", nil, nil)
				way.run(b, p, c, rate, 4*rate)
				p.do(`meter.script = meter.send = meter.data = 0;`, nil, nil)
				before := p.threadTime()
				way.run(b, p, c, rate, b.N)
				busy := p.threadTime() - before
				var got struct{ Script, Send, Data float64 }
				p.do(`return meter;`, nil, &got)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric((got.Script-got.Send)*1e3/float64(b.N), "script-µs")
				b.ReportMetric(got.Send*1e3/float64(b.N), "send-µs")
				b.ReportMetric(got.Data*1e3/float64(b.N), "data-µs")
				b.ReportMetric(busy*1e6/float64(b.N), "thread-µs")
			})
		}
	}
}

// threadTime returns the seconds of CPU time that tasks of the page's thread have used.
func (p *tab) threadTime() float64 {
	p.t.Helper()
	var got struct {
		Metrics []struct {
			Name  string
			Value float64
		}
	}
	p.Inspect("Performance.getMetrics", nil, &got)
	for _, m := range got.Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	p.t.Fatalf("no TaskDuration in %v", got.Metrics)
	return 0
}

func sendMessages(b *testing.B, p *tab, _ *godwit.Conn, rate, count int) {
	p.doWithin(benchLimit(count, rate), `
		const message = new Uint8Array(200);
		await steady(arg.rate, arg.count, () => conn.send(channel, message));`,
		map[string]any{"rate": rate, "count": count}, nil)
}

func receiveMessages(b *testing.B, p *tab, c *godwit.Conn, rate, count int) {
	var channel string
	p.do(`window.count = 0; window.off = conn.on(channel, () => count++); return channel;`, nil, &channel)
	<-startPour(b, c, rate, count, channel).done
	var got int
	p.do(`await until(10_000, () => count >= arg); off(); return count;`, count*9/10, &got)
	if got < count*9/10 {
		b.Errorf("%d of %d messages came", got, count)
	}
}

// BenchmarkHeap measures the page's heap in Chromium, right after garbage collections, while it sends 60 messages a
// second on two channels and gets their echoes: after one minute, and the largest of one for each further iteration. Ten
// are 11 minutes: -long -benchtime 10x.
func BenchmarkHeap(b *testing.B) {
	if !*long {
		b.Skip("minutes: -long")
	}
	b.Run("chromium/godwit", func(b *testing.B) {
		w := newWebWorld(b, browser.Own(b, browser.Chromium), netsim.Link{Delay: oneWay})
		p := w.tab()
		p.do(`await join();
			for (const name of ["positions", "chat"]) conn.on(name, () => {});
			const message = new Uint8Array(200);
			steady(60, Infinity, () => ["positions", "chat"].forEach((name) => conn.send(name, message)));`, nil, nil)
		minute := func() float64 {
			p.doWithin(time.Minute+patience, `await pause(60_000);`, nil, nil)
			p.Inspect("HeapProfiler.collectGarbage", nil, nil)
			var u struct{ UsedSize json.Number }
			p.Inspect("Runtime.getHeapUsage", nil, &u)
			bytes, _ := u.UsedSize.Float64()
			b.Logf("%.0f KB", bytes/1024)
			return bytes / 1024
		}
		first, most, last := minute(), 0.0, 0.0
		for range b.N {
			last = minute()
			most = max(most, last)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(first, "first-KB")
		b.ReportMetric(most, "most-KB")
		b.ReportMetric(last, "last-KB")
	})
}
