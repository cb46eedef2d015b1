package interop

import (
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/interop/wiretap"
	"github.com/godwit-rtc/godwit/netsim"
)

// The conditions under which peers are compared: RTT 100 ms, and a share of the
// datagrams lost.
const (
	oneWay = 50 * time.Millisecond
	lossy  = 0.10
)

// The load of the comparison: what a page sends that steers something.
const (
	loadRate  = 60   // messages a second
	loadSize  = 1000 // bytes a message
	loadDrain = 1000 // ms to wait after the last message: later echoes do not count
)

// distant is a link of half the comparison's round trip.
func distant(loss float64) netsim.Link { return netsim.Link{Loss: loss, Delay: oneWay} }

// newRelayedWorld is a world whose UDP passes a relay. Signaling does not.
func newRelayedWorld(t testing.TB, b *browser.Browser, kind implementation, up, down netsim.Link) *world {
	t.Helper()
	rc := netsim.RelayConfig{
		Listen: netip.AddrPortFrom(browser.Host(t), 0),
		Target: freePort(t),
		Up:     up,
		Down:   down,
		Seed:   *seed,
	}
	c := config{negotiated: []uint16{clientStream}}
	var tap *wiretap.Tap
	if *trace {
		tap = wiretap.Attach(&rc)
		c.keyLog = tap
	}
	relay, err := netsim.ListenRelay(rc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		relay.Close()
		if tap != nil {
			writeTrace(t, tap)
		}
	})
	c.public = relay.Addr()
	w := newWorldAt(t, b, kind, rc.Target, c)
	w.relay = relay
	return w
}

// This shows where time is lost: go test -wiretap -artifacts -run …
var (
	trace = flag.Bool("wiretap", false, "write what passes a relay to wire.txt, in the test's artifact directory")
	seed  = flag.Uint64("seed", 1, "of the losses in a relay")
	long  = flag.Bool("long", false, "run what takes minutes too")
)

// slow skips in the short form, go test -short, what takes a quarter of a minute or more, because it waits, builds
// programs, or repeats another test with a difference.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("not with -short, because it takes long; ./test browsers runs it")
	}
}

func writeTrace(t testing.TB, tap *wiretap.Tap) {
	f, err := os.Create(filepath.Join(t.ArtifactDir(), "wire.txt"))
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if _, err := tap.WriteTo(f); err != nil {
		t.Error(err)
	}
}

// nextPort counts the ports that freePort has returned.
var nextPort atomic.Uint32

// freePort returns a port for a server whose relay must know it first, or which is another program. No other process serves on
// the host's address of our namespace, and the system gives sockets that ask for any port one above 32,767. freePort does not try the port: a
// browser that starts at this moment would inherit the socket and keep the port for some milliseconds.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(browser.Host(t), uint16(10_000+nextPort.Add(1)%20_000))
}

// figures are times in ms, sorted, of the attempts that succeeded.
type figures struct {
	tried int
	ms    []float64
}

// quantile returns the time that a share q of the successful tries did not exceed.
func (f figures) quantile(q float64) float64 {
	if len(f.ms) == 0 {
		return math.NaN()
	}
	return f.ms[min(int(q*float64(len(f.ms))), len(f.ms)-1)]
}

// share returns the share of the attempts that succeeded.
func (f figures) share() float64 { return float64(len(f.ms)) / float64(f.tried) }

func (f figures) String() string {
	return fmt.Sprintf("p50 %.0f ms, p90 %.0f ms, p99 %.0f ms, max %.0f ms, %.1f %% of %d",
		f.quantile(.5), f.quantile(.9), f.quantile(.99), f.quantile(1), 100*f.share(), f.tried)
}

// measureEchoes sends count messages at the comparison's load with 10 % loss on
// the way up, and times their echoes. At the end it calls look with
// the connection, if look is not nil; then it waits for echoes that are late, too.
func measureEchoes(t testing.TB, b *browser.Browser, kind implementation, count int, look func(c conn)) figures {
	t.Helper()
	w := newRelayedWorld(t, b, kind, distant(lossy), distant(0))
	p := w.tab()
	p.connect()
	c := receive(t, w.opened, "the connection")
	var got struct {
		Sent      int
		Latencies []float64
	}
	limit := time.Duration(count)*time.Second/loadRate + loadDrain*time.Millisecond + patience
	p.doWithin(limit, `return await load(ch, arg);`, map[string]any{
		"rate": loadRate, "size": loadSize, "count": count, "drain": loadDrain, "all": look != nil,
	}, &got)
	if got.Sent != count {
		t.Errorf("the page has sent %d of %d messages before its channel closed", got.Sent, count)
	}
	if look != nil {
		look(c)
	}
	return figures{count, got.Latencies}
}

// measureConnects connects count times, one after the other, with this loss each way. It
// measures the time from the arrival of the answer to the channel's open event.
func measureConnects(t testing.TB, b *browser.Browser, kind implementation, ch channelInit, loss float64, count int) figures {
	t.Helper()
	const limit = 30 * time.Second // a longer attempt has failed
	p := newRelayedWorld(t, b, kind, distant(loss), distant(loss)).tab()
	f := figures{tried: count}
	for range count {
		var took *float64
		p.doWithin(limit+patience, `
			try {
				const c = await connect(arg);
				const took = c.times.open - c.times.answer;
				c.close();
				return took;
			} catch (e) {
				console.log(e.message);
				return null;
			}`, map[string]any{"timeout": limit.Milliseconds(), "channels": []channelInit{ch}}, &took)
		if took != nil {
			f.ms = append(f.ms, *took)
		}
	}
	slices.Sort(f.ms)
	return f
}

// BenchmarkEchoes measures one message an iteration: -benchtime 900x is 15 s.
func BenchmarkEchoes(b *testing.B) {
	eachPair(b, func(b *testing.B, br *browser.Browser, kind implementation) {
		report(b, measureEchoes(b, br, kind, b.N, nil))
	})
}

// BenchmarkConnects measures one connection an iteration.
func BenchmarkConnects(b *testing.B) {
	for _, ch := range []struct {
		name string
		init channelInit
	}{{"negotiated", negotiatedChannel}, {"dcep", dcepChannel}} {
		for _, loss := range []float64{0, lossy} {
			b.Run(fmt.Sprintf("%s/loss=%.0f%%", ch.name, 100*loss), func(b *testing.B) {
				eachPair(b, func(b *testing.B, br *browser.Browser, kind implementation) {
					report(b, measureConnects(b, br, kind, ch.init, loss, b.N))
				})
			})
		}
	}
}

func eachPair(b *testing.B, run func(*testing.B, *browser.Browser, implementation)) {
	for _, kind := range browser.Kinds {
		for _, srv := range implementations {
			b.Run(string(kind)+"/"+srv.name, func(b *testing.B) {
				run(b, browser.Start(b, kind), srv)
			})
		}
	}
}

func report(b *testing.B, f figures) {
	b.ReportMetric(0, "ns/op") // the time of an iteration has no meaning here
	b.ReportMetric(f.quantile(.5), "p50-ms")
	b.ReportMetric(f.quantile(.9), "p90-ms")
	b.ReportMetric(f.quantile(.99), "p99-ms")
	b.ReportMetric(f.quantile(1), "max-ms")
	b.ReportMetric(100*f.share(), "%done")
}
