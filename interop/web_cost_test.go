package interop

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// splitData makes the browser's part of a message event, making its data when they are first asked for, a function of its
// own in a profile.
const splitData = `
	const { get } = Object.getOwnPropertyDescriptor(MessageEvent.prototype, "data");
	Object.defineProperty(MessageEvent.prototype, "data", { get: function readData() { return get.call(this); } });`

// BenchmarkScript measures what one message of 200 bytes an iteration costs the page's thread in Chromium, by looking every
// 100 µs what that runs. script-µs is what passes in the client's functions, and in those of the browser that they call,
// except two that any client must call, which are apart: send-µs is RTCDataChannel.send, and data-µs making the data of
// message events. gc-µs is all garbage collection in the page. thread-µs is the CPU time of all that the thread did, the
// page's timers and the browser's own work too. Sending has the server's acknowledgements in it, receiving our own.
//
// 16-each-tick is what a game does, 60 times a second. Lone messages have a packet each, and at 60 a second an
// acknowledgement; up to 240 the processor has forgotten the script each time. The first 4000 messages do not count, in
// which the script is not compiled.
func BenchmarkScript(b *testing.B) {
	for _, way := range []struct {
		name, channel string
		run           func(b *testing.B, p *tab, c *godwit.Conn, rate, each, count int)
	}{
		{"send/sequenced", "positions", sendMessages},
		{"send/reliable-ordered", "chat", sendMessages},
		{"receive/sequenced", "world", receiveMessages},
		{"receive/reliable-ordered", "news", receiveMessages},
	} {
		for _, pace := range []struct {
			name       string
			rate, each int
		}{{"16-each-tick", 60, 16}, {"1000-per-second", 1000, 1}, {"240-per-second", 240, 1}, {"60-per-second", 60, 1}} {
			if pace.each > 1 && way.name == "receive/sequenced" {
				continue // all but the last of a tick would be outdated
			}
			b.Run(way.name+"/"+pace.name+"/chromium/godwit", func(b *testing.B) {
				w := newWebWorld(b, browser.OwnChromium(b), netsim.Link{Delay: 10 * time.Millisecond}, func(c *godwit.Config) {
					c.Handler.Message = func(*godwit.Conn, godwit.ChannelID, []byte) {}
				})
				p := w.tab()
				p.do(splitData+`
					await join();
					window.channel = arg;`, way.channel, nil)
				c := receive(b, w.conns, "the connection")
				p.Inspect("Performance.setTimeDomain", map[string]any{"timeDomain": "threadTicks"}, nil)
				p.Inspect("Performance.enable", nil, nil)
				p.Inspect("Profiler.enable", nil, nil)
				p.Inspect("Profiler.setSamplingInterval", map[string]any{"interval": 100}, nil)
				way.run(b, p, c, 1000, 1, 4000)
				p.Inspect("Profiler.start", nil, nil)
				before := p.threadTime()
				way.run(b, p, c, pace.rate, pace.each, b.N)
				busy := p.threadTime() - before
				var got struct{ Profile profile }
				p.Inspect("Profiler.stop", nil, &got)
				b.ReportMetric(0, "ns/op")
				for part, us := range got.Profile.parts() {
					b.ReportMetric(us/float64(b.N), string(part)+"-µs")
				}
				b.ReportMetric(busy*1e6/float64(b.N), "thread-µs")
			})
		}
	}
}

// A part is a part of the page's work in a profile.
type part string

const (
	nobody    part = "" // the page's own functions, the browser's, and nothing at all
	ofScript  part = "script"
	ofSend    part = "send"
	ofData    part = "data"
	ofGarbage part = "gc"
)

// A profile is one of Chromium's: how often which function ran, with its callers, and for how many µs each time.
type profile struct {
	Nodes []struct {
		ID        int
		Children  []int
		CallFrame struct{ FunctionName, URL string }
	}
	Samples    []int
	TimeDeltas []float64
}

// parts returns the µs of each part. A function of the browser belongs to who called it.
func (p *profile) parts() map[part]float64 {
	is := make(map[int]part)
	for _, n := range p.Nodes { // callers are before the functions that they call
		switch name, url := n.CallFrame.FunctionName, n.CallFrame.URL; {
		case name == "(garbage collector)":
			is[n.ID] = ofGarbage
		case name == "readData" || is[n.ID] == ofData:
			is[n.ID] = ofData
		case strings.HasSuffix(url, "/godwit.min.js"):
			is[n.ID] = ofScript
		case url != "":
			is[n.ID] = nobody
		case name == "send" && is[n.ID] == ofScript:
			is[n.ID] = ofSend
		}
		for _, child := range n.Children {
			is[child] = is[n.ID]
		}
	}
	us := map[part]float64{ofScript: 0, ofSend: 0, ofData: 0, ofGarbage: 0}
	for i, id := range p.Samples {
		us[is[id]] += p.TimeDeltas[i]
	}
	delete(us, nobody)
	return us
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
	p.t.Fatalf("there is no TaskDuration in %v", got.Metrics)
	return 0
}

func sendMessages(b *testing.B, p *tab, _ *godwit.Conn, rate, each, count int) {
	p.doWithin(benchLimit(count/each, rate), `
		const message = new Uint8Array(200);
		await steady(arg.rate, arg.count / arg.each, () => {
			for (let key = 1; key <= arg.each; key++) conn.send(channel, message, { key });
		});`, map[string]any{"rate": rate, "each": each, "count": count}, nil)
}

func receiveMessages(b *testing.B, p *tab, c *godwit.Conn, rate, each, count int) {
	var channel string
	p.do(`window.count = 0; window.off = conn.on(channel, () => count++); return channel;`, nil, &channel)
	<-startPour(b, c, rate, count/each, slices.Repeat([]string{channel}, each)...).done
	var got int
	p.do(`await until(10_000, () => count >= arg); off(); return count;`, count*9/10, &got)
	if got < count*9/10 {
		b.Errorf("%d of %d messages have arrived, want nine tenths at least", got, count)
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
		w := newWebWorld(b, browser.OwnChromium(b), netsim.Link{Delay: oneWay})
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
