package interop

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/web"
	"github.com/godwit-rtc/godwit/webtransport"
)

const webTransportPage = `<!doctype html>
<meta charset="utf-8">
<title>godwit over WebTransport</title>
<link rel="icon" href="data:,">
<script src="web_page.js"></script>
<script type="module">
import * as godwit from "./godwit.min.js";
import { webtransport } from "./godwit.webtransport.min.js";
Object.assign(window, { godwit, webtransport });
</script>
`

// TestBrowsersOverWebTransport plays over WebTransport in each browser, with certificates that the
// server has signed itself.
func TestBrowsersOverWebTransport(t *testing.T) {
	t.Parallel()
	eachBrowser(t, playsOverWebTransport)
}

// newWebTransportWorld is a page of https, because browsers have WebTransport only there, and a
// server whose UDP port has WebRTC and WebTransport.
func newWebTransportWorld(t *testing.T, b *browser.Browser) *webWorld {
	w := &webWorld{t: t, browser: b, http: http.NewServeMux(), conns: make(chan *godwit.Conn, 16)}
	var err error
	w.server, err = godwit.Listen(netip.AddrPortFrom(browser.Host(t), 0).String(), godwit.Config{
		Channels: webTable,
		Handler: godwit.Handler{
			Open:    func(c *godwit.Conn) { note(w.conns, c) },
			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	atEnd(t, "the end of the server", func() error { return w.server.Close() })
	if _, err := webtransport.Serve(w.server, webtransport.Config{}); err != nil {
		t.Fatal(err)
	}
	w.http.HandleFunc("GET /{$}", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		rw.Write([]byte(webTransportPage))
	})
	w.http.HandleFunc("GET /web_page.js", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/javascript")
		rw.Write(webScript)
	})
	w.http.Handle("GET /godwit.min.js", web.Handler())
	w.http.Handle("GET /godwit.webtransport.min.js", web.Handler())
	w.http.Handle("/godwit/", w.server)
	w.serveHTTPS()
	return w
}

func playsOverWebTransport(t *testing.T, b *browser.Browser) {
	w := newWebTransportWorld(t, b)
	p := w.tab()
	var has bool
	p.do(`return "WebTransport" in window;`, nil, &has)
	if !has {
		t.Skip("this version has no WebTransport")
	}
	var took struct{ Total float64 }
	p.do(`return await join({ links: [webtransport] });`, nil, &took)
	c := receive(t, w.conns, "the connection")
	if ours, theirs := p.link(), c.Link(); ours != "webtransport" || theirs != "webtransport" {
		t.Errorf("the session is on %q and %q", ours, theirs)
	}
	t.Logf("%s: open after %.0f ms", b.Version, took.Total)
	p.wantSessionEcho(5000)
	// Every reliable message comes back, and some of the others: newer ones replace them.
	var result struct{ Loot, Positions int }
	p.do(`const n = 500, seen = { loot: 0, positions: 0 };
		for (const name of ["loot", "positions"]) conn.on(name, () => seen[name]++);
		for (let i = 0; i < n; i++) {
			conn.send("loot", new Uint8Array(1000));
			if (i % 5) continue;
			conn.send("positions", new Uint8Array(100));
			await pause(10);
		}
		await until(Infinity, () => seen.loot === n);
		return seen;`, nil, &result)
	t.Logf("%+v of 500 and 100 have come back", result)
	if result.Loot != 500 || result.Positions == 0 {
		t.Error("these are too few")
	}
}

// TestTheRaceWithWebTransport has all links in the option: where WebRTC opens, it carries the session and
// no other link is opened; without WebRTC it is WebTransport, also if the WebSocket has opened first.
func TestTheRaceWithWebTransport(t *testing.T) {
	// Not parallel: WebRTC has a head start of half a second, which is not enough on a busy machine.
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWebTransportWorld(t, browser.Start(t, kind))
			for _, want := range []string{"webrtc", "webtransport"} {
				p := w.tab()
				if want != "webrtc" {
					p.do(`delete window.RTCPeerConnection;`, nil, nil)
				}
				p.do(`await join({ links: ["webrtc", webtransport, "websocket"] });
					await until(Infinity, () => conn.link === arg);`, want, nil)
				p.wantSessionEcho(5000)
				if got := receive(t, w.conns, "the connection").Link(); got != want {
					t.Errorf("the session is on %q, want %q", got, want)
				}
				if n := w.server.Stats().Links.Opened; want == "webrtc" && n != 0 {
					t.Errorf("%d other links were opened", n)
				}
			}
		})
	}
}
