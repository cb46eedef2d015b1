package interop

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/web"
)

//go:embed web_page.js
var webScript []byte

const webPage = `<!doctype html>
<meta charset="utf-8">
<title>godwit client</title>
<link rel="icon" href="data:,">
<script src="/web_page.js"></script>
<script type="module">
import * as godwit from "/godwit.min.js";
window.godwit = godwit;
</script>
`

// webTable is the table of web_page.js.
var webTable = godwit.Channels{
	{Name: "effects", Mode: godwit.Unreliable},
	{Name: "positions", Mode: godwit.Sequenced},
	{Name: "loot", Mode: godwit.ReliableUnordered},
	{Name: "chat", Mode: godwit.ReliableOrdered},
}

// webWorld is a game server that echoes, behind a relay, and a page with the client.
type webWorld struct {
	t       testing.TB
	browser *browser.Browser
	target  netip.AddrPort
	relay   *netsim.Relay
	server  *godwit.Server
	http    *http.ServeMux
	url     string
	events  chan string // of sessions, as the server sees them
}

func newWebWorld(t testing.TB, b *browser.Browser, link netsim.Link) *webWorld {
	t.Helper()
	w := &webWorld{t: t, browser: b, target: freePort(t), http: http.NewServeMux(), events: make(chan string, 64)}
	var err error
	w.relay, err = netsim.ListenRelay(netsim.RelayConfig{
		Listen: netip.AddrPortFrom(browser.Host(t), 0), Target: w.target, Up: link, Down: link, Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.relay.Close() })
	w.start()
	t.Cleanup(func() { w.server.Close() })

	w.http.HandleFunc("GET /{$}", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		rw.Write([]byte(webPage))
	})
	w.http.HandleFunc("GET /web_page.js", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/javascript")
		rw.Write(webScript)
	})
	w.http.Handle("GET /godwit.min.js", web.Handler())
	w.http.HandleFunc("/godwit/", func(rw http.ResponseWriter, r *http.Request) { w.server.ServeHTTP(rw, r) })
	l, err := net.Listen("tcp", netip.AddrPortFrom(browser.Host(t), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: w.http}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	w.url = "http://" + l.Addr().String() + "/"
	return w
}

// start starts the game server, also once more after it was closed.
func (w *webWorld) start() {
	w.t.Helper()
	c := godwit.Config{Channels: webTable, Handler: godwit.Handler{
		Open:        func(*godwit.Conn) { note(w.events, "open") },
		Message:     func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
		Interrupted: func(*godwit.Conn) { note(w.events, "interrupted") },
		Resumed:     func(*godwit.Conn) { note(w.events, "resumed") },
		Close:       func(_ *godwit.Conn, why godwit.CloseReason) { note(w.events, "close: "+why.String()) },
		Request: func(_ *godwit.Conn, r *godwit.Request) {
			if r.Name == "upper" {
				r.Reply([]byte(strings.ToUpper(string(r.Data))))
			}
		},
	}}
	c.RTC.Public = []netip.AddrPort{w.relay.Addr()}
	c.RTC.MaxPerIP, c.RTC.MaxOffers = -1, -1
	var err error
	if w.server, err = godwit.Listen(w.target.String(), c); err != nil {
		w.t.Fatal(err)
	}
}

// tab opens a page and waits for the client's script.
func (w *webWorld) tab() *tab {
	w.t.Helper()
	p := &tab{w.browser.Page(w.t, w.url), w.t}
	p.do(`await until(5000, () => window.godwit);`, nil, nil)
	return p
}

// exchanged is what exchange of web_page.js returns of one channel.
type exchanged struct {
	Name                          string
	Sent, Refused, Echoed         int
	Duplicates, Disorder, Corrupt int
	Latencies                     []float64
}

func (e exchanged) figures() figures { return figures{e.Sent, e.Latencies} }

// check holds a channel's promise against its echoes.
func (e exchanged) check(t testing.TB) {
	t.Helper()
	if e.Duplicates > 0 || e.Corrupt > 0 {
		t.Errorf("%s: %d came twice, %d came changed", e.Name, e.Duplicates, e.Corrupt)
	}
	if (e.Name == "positions" || e.Name == "chat") && e.Disorder > 0 {
		t.Errorf("%s: %d out of order", e.Name, e.Disorder)
	}
	if (e.Name == "loot" || e.Name == "chat") && e.Echoed != e.Sent {
		t.Errorf("%s: %d of %d came", e.Name, e.Echoed, e.Sent)
	}
}

func eachBrowser(t *testing.T, run func(t *testing.T, b *browser.Browser)) {
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) { run(t, browser.Start(t, kind)) })
	}
}

func TestClientKeepsEveryPromise(t *testing.T) {
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		for _, loss := range []float64{0, 0.05, 0.1, 0.3} {
			t.Run(fmt.Sprintf("loss=%.0f%%", 100*loss), func(t *testing.T) {
				p := newWebWorld(t, b, netsim.Link{Loss: loss, Delay: oneWay}).tab()
				var times map[string]float64
				p.do(`return await join();`, nil, &times)
				t.Logf("connected: %v", times)
				var got []exchanged
				p.doWithin(time.Minute, `return await exchange(arg);`, map[string]any{
					"channels": []string{"effects", "positions", "loot", "chat"},
					"rate":     30, "size": 200, "count": 300, "drain": 20_000,
				}, &got)
				for _, e := range got {
					t.Logf("%-9s %s", e.Name, e.figures())
					e.check(t)
				}
				// A message and its echo survive both ways; four standard deviations less.
				least := math.Pow(1-loss, 2) - 4*math.Sqrt(0.25/300)
				if share := got[0].figures().share(); share < least {
					t.Errorf("%.2f of the unreliable echoes came, want %.2f", share, least)
				}
			})
		}
	})
}

// The comparison of docs/benchmarks.md: reliable and ordered, 60 × 200 B a second, 10 % loss each way.
func TestClientBesideTheNativeReliableChannel(t *testing.T) {
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{Loss: lossy, Delay: oneWay})
		p := w.tab()
		load := map[string]any{"channels": []string{"chat"}, "rate": 60, "size": 200, "count": 1200, "drain": 20_000}
		p.do(`await join();`, nil, nil)
		var ours []exchanged
		p.doWithin(time.Minute, `return await exchange(arg);`, load, &ours)
		t.Logf("godwit %s", ours[0].figures())
		ours[0].check(t)
		w.serveNative()
		var native exchanged
		p.doWithin(time.Minute, `return await native(arg);`, load, &native)
		t.Logf("native %s", native.figures())
		if native.Echoed != native.Sent {
			t.Errorf("%d of %d native echoes came", native.Echoed, native.Sent)
		}
	})
}

// serveNative answers offers at /native with a pion server that echoes on reliable channels too, behind a relay of
// the same quality.
func (w *webWorld) serveNative() {
	w.t.Helper()
	target := freePort(w.t)
	link := netsim.Link{Loss: lossy, Delay: oneWay}
	relay, err := netsim.ListenRelay(netsim.RelayConfig{
		Listen: netip.AddrPortFrom(browser.Host(w.t), 0), Target: target, Up: link, Down: link, Seed: 1,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { relay.Close() })
	srv, err := pionServers.listen(target.String(), config{
		public:  relay.Addr(),
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

func TestClientAsks(t *testing.T) {
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		p := newWebWorld(t, b, netsim.Link{Loss: lossy, Delay: oneWay}).tab()
		var reply string
		p.do(`await join();
			const b = await conn.request("upper", new TextEncoder().encode("hello"));
			return new TextDecoder().decode(b);`, nil, &reply)
		if reply != "HELLO" {
			t.Errorf("reply %q", reply)
		}
		var code string
		p.do(`return await conn.request("nothing").catch((e) => e.code);`, nil, &code)
		if code != "rejected" {
			t.Errorf("a request that nobody answers: %q", code)
		}
	})
}

func TestClientIsToldWhyItIsRefused(t *testing.T) {
	b := browser.Start(t, browser.Chromium)
	p := newWebWorld(t, b, netsim.Link{}).tab()
	var got struct{ Code, Message string }
	p.do(`try { await join({ channels: table.slice(1) }); } catch (e) { return { code: e.code, message: e.message }; }`, nil, &got)
	if got.Code != "channels" || !strings.Contains(got.Message, "1 positions sequenced") {
		t.Errorf("refused with %q: %s", got.Code, got.Message)
	}
}

func TestClientComesThroughABlackout(t *testing.T) {
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{Delay: oneWay})
		p := w.tab()
		p.do(`await join();
			window.begun = performance.now();
			window.going = exchange(arg);`, map[string]any{
			"channels": []string{"positions", "chat"}, "rate": 60, "size": 200, "count": 840, "drain": 20_000,
		}, nil)
		p.do(`await until(3000, () => performance.now() - begun > 2000);`, nil, nil)
		w.relay.BlackoutFor(6 * time.Second)
		var got []exchanged
		p.doWithin(time.Minute, `return await going;`, nil, &got)
		var log []struct {
			Type string
			At   float64
		}
		p.do(`return conn.log.map(({ type, at }) => ({ type, at: at - begun }));`, nil, &log)
		t.Log(log)
		for _, e := range got {
			t.Logf("%-9s %s, %d refused while interrupted", e.Name, e.figures(), e.Refused)
			e.check(t)
		}
		if len(log) < 2 || log[0].Type != "interrupted" || log[1].Type != "resumed" {
			t.Error("want interrupted, then resumed")
		}
		// What waited through the blackout is 3 s old at least.
		if f := got[0].figures(); f.quantile(1) > 3000 {
			t.Errorf("a stale position came: %s", f)
		}
	})
}

func TestClientKeepsItsLinkWhenItsAddressChanges(t *testing.T) {
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{Delay: oneWay})
		p := w.tab()
		p.do(`await join(); window.going = exchange(arg);`, map[string]any{
			"channels": []string{"positions", "chat"}, "rate": 60, "size": 200, "count": 480, "drain": 20_000,
		}, nil)
		p.do(`await pause(2000);`, nil, nil)
		if err := w.relay.Rebind(); err != nil {
			t.Fatal(err)
		}
		var got []exchanged
		p.doWithin(time.Minute, `return await going;`, nil, &got)
		for _, e := range got {
			t.Logf("%-9s %s", e.Name, e.figures())
			e.check(t)
		}
	})
}

func TestClientBeginsANewSessionWhenTheServerComesBack(t *testing.T) {
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{Delay: 10 * time.Millisecond})
		p := w.tab()
		p.do(`window.ids = [];
			(async () => {
				for await (const conn of godwit.sessions("/godwit/", { channels: table })) {
					window.conn = conn;
					ids.push(String(conn.id));
				}
			})();
			await until(5000, () => ids.length === 1);`, nil, nil)
		w.server.RTC().Close() // without a word to the sessions
		w.server.Close()
		w.start()
		var ids []string
		p.doWithin(time.Minute, `await until(20_000, () => ids.length === 2); return ids;`, nil, &ids)
		if len(ids) != 2 || ids[0] == ids[1] {
			t.Errorf("sessions %q, want two", ids)
		}
	})
}
