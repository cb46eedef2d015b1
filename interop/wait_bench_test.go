package interop

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// A waitWay is a way from the click to the first message that comes back.
type waitWay struct {
	name    string
	secure  bool                                 // the page is over TLS, and each request has a connection of its own
	targets func(w *webWorld, n int) (all []any) // of n sessions; nil for pion
}

var waitWays = []waitWay{
	{name: "pion"},
	{name: "post", targets: posts},
	{name: "tls", secure: true, targets: posts},
	{name: "invite", secure: true, targets: invites},
}

// posts are targets of sessions that begin with a request.
func posts(_ *webWorld, n int) []any { return slices.Repeat([]any{"godwit/"}, n) }

// invites are targets of sessions that begin without one.
func invites(w *webWorld, n int) (all []any) {
	for range n {
		i, err := w.server.Invite(auth.InviteClaims{Subject: "ada", For: time.Hour})
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, i.Text())
	}
	return all
}

// BenchmarkWaits measures one session an iteration: the time from the answer to the open channel, and, as click-…, that from
// the beginning until a message that was sent as early as possible has come back. All traffic of the browser has the round
// trip and the losses, that of HTTP too. The page has its connection for HTTP already, except with TLS.
func BenchmarkWaits(b *testing.B) {
	for _, kind := range []browser.Kind{browser.Chromium, browser.ChromiumSNAP, browser.Firefox} {
		for _, way := range waitWays {
			for _, rtt := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond} {
				for _, loss := range []float64{0, lossy} {
					name := fmt.Sprintf("%s/%s/rtt=%d/loss=%.0f%%", kind, way.name, rtt.Milliseconds(), 100*loss)
					b.Run(name, func(b *testing.B) { way.measure(b, kind, netsim.Link{Delay: rtt / 2, Loss: loss}) })
				}
			}
		}
	}
}

func (way waitWay) measure(b *testing.B, kind browser.Kind, link netsim.Link) {
	const limit = 20 * time.Second // a longer attempt has failed
	w := newWaitWorld(b, kind, way, link)
	arg := map[string]any{"limit": limit.Milliseconds(), "count": b.N}
	js := `return await nativeWaits(arg);`
	if way.targets != nil {
		js, arg["targets"] = `return await waits(arg);`, way.targets(w, b.N)
	}
	var took []*[2]float64
	w.tab().doWithin(time.Duration(b.N)*limit, js, arg, &took)
	open, click := figures{tried: b.N}, figures{tried: b.N}
	for _, t := range took {
		if t != nil {
			open.ms, click.ms = append(open.ms, t[0]), append(click.ms, t[1])
		}
	}
	slices.Sort(open.ms)
	slices.Sort(click.ms)
	report(b, open)
	for name, q := range map[string]float64{"click-p50-ms": .5, "click-p90-ms": .9, "click-max-ms": 1} {
		b.ReportMetric(click.quantile(q), name)
	}
}

// newWaitWorld makes a world whose servers are behind relays, and their HTTP behind a pair of TUN devices. Firefox sends its
// checks only from the address of its TUN device: the relays that it uses are behind the pair, too, and add nothing.
func newWaitWorld(b *testing.B, kind browser.Kind, way waitWay, link netsim.Link) *webWorld {
	b.Helper()
	key, err := auth.NewInviteKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	host, udp, udpLink := distantHost(b, link), browser.Host(b), link
	if kind == browser.Firefox {
		udp, udpLink = host, netsim.Link{}
	}
	w := newWebWorld(b, browser.Start(b, kind), udpLink, func(c *godwit.Config) { c.Invites = key })
	if udp == host {
		relay := relayAt(b, netsim.RelayConfig{Listen: netip.AddrPortFrom(host, 0), Target: w.target})
		if err := w.server.RTC().SetPublic(relay.Addr()); err != nil {
			b.Fatal(err)
		}
	}
	w.serveNative(udp, udpLink, kind == browser.ChromiumSNAP)
	if w.url = w.serveAt(host); way.secure {
		w.url = w.serveTLSAt(host)
	}
	return w
}

// serveTLSAt is serveAt with TLS, without HTTP/2, and with a connection for each request.
func (w *webWorld) serveTLSAt(host netip.Addr) string {
	w.t.Helper()
	dir := w.t.TempDir()
	browser.WriteCertificate(w.t, dir, host)
	l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		w.t.Fatal(err)
	}
	srv := &http.Server{Handler: w.http, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	srv.SetKeepAlivesEnabled(false)
	go srv.ServeTLS(l, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	w.t.Cleanup(func() { srv.Close() })
	return "https://" + l.Addr().String() + "/"
}
