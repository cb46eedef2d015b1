package interop

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// BenchmarkReliableEchoes measures one message an iteration of 60 × 200 B a second, reliable and ordered, with 10 % loss
// each way: of our client, and right after it of a reliable data channel of the browser's own.
func BenchmarkReliableEchoes(b *testing.B) {
	load := func(b *testing.B) map[string]any {
		return map[string]any{"channels": []string{"chat"}, "rate": 60, "size": 200, "count": b.N, "drain": 60_000}
	}
	for _, kind := range browser.Kinds {
		for _, way := range []struct{ name, js string }{
			{"godwit", `await join(); return (await exchange(arg))[0];`},
			{"native", `return await native(arg);`},
		} {
			b.Run(string(kind)+"/"+way.name, func(b *testing.B) {
				w := newWebWorld(b, browser.Start(b, kind), netsim.Link{Loss: lossy, Delay: oneWay})
				w.serveNative(browser.Host(b), netsim.Link{Loss: lossy, Delay: oneWay}, false)
				var got exchanged
				w.tab().doWithin(benchLimit(b.N, 60), way.js, load(b), &got)
				if got.Echoed != got.Sent {
					b.Errorf("%d of %d echoes have arrived", got.Echoed, got.Sent)
				}
				report(b, got.figures())
			})
		}
	}
}

// BenchmarkSequencedEchoes measures one message an iteration of 200 × 1000 B a second, with 10 % loss on the way up.
func BenchmarkSequencedEchoes(b *testing.B) {
	for _, kind := range browser.Kinds {
		b.Run(string(kind)+"/godwit", func(b *testing.B) {
			w := newWebWorld(b, browser.Start(b, kind), netsim.Link{Delay: oneWay})
			w.relay.SetUp(netsim.Link{Loss: lossy, Delay: oneWay})
			var got []exchanged
			w.tab().doWithin(benchLimit(b.N, 200), `await join(); return await exchange(arg);`, map[string]any{
				"channels": []string{"positions"}, "rate": 200, "size": 1000, "count": b.N, "drain": 1000,
			}, &got)
			got[0].check(b)
			report(b, got[0].figures())
		})
	}
}

func benchLimit(n, rate int) time.Duration {
	return time.Duration(n)*time.Second/time.Duration(rate) + 90*time.Second
}

// BenchmarkBlackouts measures one blackout of 6 s an iteration: how long after it the first message comes that the server
// sent after it, or within 250 ms before; and, as echo-…, the first echo of a message that the page sent after it.
func BenchmarkBlackouts(b *testing.B) {
	const dark = 6 * time.Second
	for _, kind := range browser.Kinds {
		b.Run(string(kind)+"/godwit", func(b *testing.B) {
			fresh, echo := figures{tried: b.N}, figures{tried: b.N}
			for range b.N {
				w := newWebWorld(b, browser.Start(b, kind), netsim.Link{Delay: oneWay})
				p := w.tab()
				talk := startTalk(p, w, 6*time.Second+dark)
				p.do(`await until(3000, () => performance.now() - begun > 2000);`, nil, nil)
				o := talk.during(w.blackout(dark))
				echoes, heard := talk.finish()
				fresh.add(heard[1].firstAfter(o.serverTo-float64(stale.Milliseconds()), o.pageTo))
				echo.add(echoes[1].firstAfter(o.pageTo, o.pageTo))
				p.Close()
			}
			slices.Sort(fresh.ms)
			slices.Sort(echo.ms)
			report(b, fresh)
			for name, q := range map[string]float64{"echo-p50-ms": .5, "echo-p90-ms": .9, "echo-p99-ms": .99, "echo-max-ms": 1} {
				b.ReportMetric(echo.quantile(q), name)
			}
		})
	}
}

// firstAfter returns how long after a time the first message came that was sent after another.
func (e exchanged) firstAfter(sent, came float64) float64 {
	first := math.Inf(1)
	for _, c := range e.Came {
		if c[0] > sent {
			first = min(first, c[1]-came)
		}
	}
	return first
}

func (f *figures) add(ms float64) {
	if !math.IsInf(ms, 1) {
		f.ms = append(f.ms, ms)
	}
}

// serveNative answers offers at /native with a pion server that echoes on reliable channels too, behind a relay. snap
// says that it answers SNAP.
func (w *webWorld) serveNative(host netip.Addr, link netsim.Link, snap bool) {
	w.t.Helper()
	target := freePort(w.t)
	relay := relayAt(w.t, netsim.RelayConfig{
		Listen: netip.AddrPortFrom(host, 0), Target: target, Up: link, Down: link, Seed: 1,
	})
	srv, err := pionServers.listen(target.String(), config{
		public:  relay.Addr(),
		snap:    snap,
		open:    func(conn) {},
		message: func(c conn, m message) { c.Send(m.stream, m.text, m.data) },
		close:   func(conn, string) {},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { srv.Shutdown(context.Background()) })
	w.http.Handle("/native", srv)
}

// relayAt starts a relay that ends with the test.
func relayAt(t testing.TB, c netsim.RelayConfig) *netsim.Relay {
	t.Helper()
	relay, err := netsim.ListenRelay(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	return relay
}
