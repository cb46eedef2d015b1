package interop

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// BenchmarkOpensWithoutUDP measures, each iteration, how long a page without UDP needs from the call of connect until its
// session is open, over a WebSocket, with an RTT of 100 ms: of a page that has not been there before, and, as second-…, of
// the next session of the page. The page has its connection for HTTP already. With nginx it has TLS and HTTP/2.
func BenchmarkOpensWithoutUDP(b *testing.B) {
	host := distantHost(b, netsim.Link{Delay: oneWay})
	for _, way := range []string{"direct", "nginx"} {
		for _, kind := range browser.Kinds {
			b.Run(way+"/"+string(kind), func(b *testing.B) {
				first, second := figures{tried: b.N}, figures{tried: b.N}
				for range b.N {
					one, two := openTwice(b, kind, way, host)
					first.ms, second.ms = append(first.ms, one), append(second.ms, two)
				}
				slices.Sort(first.ms)
				slices.Sort(second.ms)
				report(b, first)
				b.ReportMetric(second.quantile(.5), "second-p50-ms")
				b.ReportMetric(second.quantile(.9), "second-p90-ms")
				b.ReportMetric(second.quantile(1), "second-max-ms")
			})
		}
	}
}

// distantHost returns an address of the test that the browsers reach over a link: their TCP passes a pair of TUN devices.
func distantHost(b *testing.B, link netsim.Link) netip.Addr {
	b.Helper()
	host := distantAddr(b)
	tun, err := netsim.OpenTun(netsim.TunConfig{
		Near: netsim.TunEnd{Namespace: "/proc/self/ns/net", Addrs: []netip.Prefix{netip.PrefixFrom(host, 24)}},
		Far:  netsim.TunEnd{Namespace: browser.Namespace(b), Addrs: []netip.Prefix{netip.PrefixFrom(host.Next(), 24)}},
		Up:   link, Down: link, Seed: *seed,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { tun.Close() })
	return host
}

// distantAddr returns the address that distantHost gives the test.
func distantAddr(b *testing.B) netip.Addr {
	b.Helper()
	near := browser.Host(b).As4()
	near[2] += 128 // such an address is free, and the browsers may connect to it
	return netip.AddrFrom4(near)
}

// openTwice opens two sessions, one after the other, and returns the times in ms.
func openTwice(b *testing.B, kind browser.Kind, way string, host netip.Addr) (first, second float64) {
	w := newWebWorld(b, browser.Start(b, kind), netsim.Link{}, allLinks, behindNginx(b))
	w.dropUDP()
	if way == "nginx" {
		w.url = startNginx(b, netip.AddrPortFrom(host, freePort(b).Port()), w.url)
	} else {
		w.url = w.serveAt(host)
	}
	p := w.tab()
	defer p.Close()
	var phases [2]map[string]float64
	p.do(`const times = [];
		for (let i = 0; i < 2; i++) {
			times.push(await join());
			if (conn.link !== "websocket") throw new Error("the session is on " + conn.link);
			await conn.close();
		}
		return times;`, nil, &phases)
	return phases[0]["total"], phases[1]["total"]
}

// serveAt serves the page at another address, too.
func (w *webWorld) serveAt(host netip.Addr) string {
	w.t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		w.t.Fatal(err)
	}
	srv := &http.Server{Handler: w.http}
	go srv.Serve(l)
	w.t.Cleanup(func() { srv.Close() })
	return "http://" + l.Addr().String() + "/"
}

// BenchmarkEndOfUDP measures one end of UDP, for 15 s amid play, an iteration: how long after it a message arrives that was
// sent after it, over a WebSocket; and, as back-…, how long after the return of UDP WebRTC carries the session.
func BenchmarkEndOfUDP(b *testing.B) {
	run := func(name string, once func(b *testing.B) endTimes) {
		b.Run(name, func(b *testing.B) {
			heard, back := figures{tried: b.N}, figures{tried: b.N}
			for range b.N {
				took := once(b)
				heard.ms, back.ms = append(heard.ms, took.heard), append(back.ms, took.back)
			}
			slices.Sort(heard.ms)
			slices.Sort(back.ms)
			report(b, heard)
			b.ReportMetric(back.quantile(.5), "back-p50-ms")
			b.ReportMetric(back.quantile(1), "back-max-ms")
		})
	}
	for _, kind := range browser.Kinds {
		run(string(kind), func(b *testing.B) endTimes { return outlivesTheEnd(b, kind) })
	}
	run("native", func(b *testing.B) endTimes { return outlivesTheEndNative(b) })
}
