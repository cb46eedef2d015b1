package interop

import (
	_ "embed"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/interop/wiretap"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/web"
)

//go:embed web_page.js
var webScript []byte

const webPage = `<!doctype html>
<meta charset="utf-8">
<title>godwit client</title>
<link rel="icon" href="data:,">
<script src="web_page.js"></script>
<script type="module">
import * as godwit from "./godwit.min.js";
window.godwit = godwit;
</script>
`

// webTable is the table of web_page.js.
var webTable = godwit.Channels{
	{Name: "effects", Mode: godwit.Unreliable},
	{Name: "positions", Mode: godwit.Sequenced},
	{Name: "loot", Mode: godwit.ReliableUnordered},
	{Name: "chat", Mode: godwit.ReliableOrdered},
	{Name: "sparks", Mode: godwit.Unreliable, Direction: godwit.ToClient},
	{Name: "world", Mode: godwit.Sequenced, Direction: godwit.ToClient},
	{Name: "news", Mode: godwit.ReliableOrdered, Direction: godwit.ToClient},
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
	config  godwit.Config
	conns   chan *godwit.Conn // that were opened

	signaling atomic.Pointer[godwit.Server] // server, for requests that come while start changes it
	passUDP   func()                        // ends dropUDP

	mu    sync.Mutex
	links map[netip.AddrPort]bool // by the page's address: whether they are dead
}

// newWebWorld makes a world. The test may change it before its server starts.
func newWebWorld(t testing.TB, b *browser.Browser, link netsim.Link, change ...func(*godwit.Config)) *webWorld {
	t.Helper()
	w := &webWorld{t: t, browser: b, target: freePort(t), http: http.NewServeMux(), conns: make(chan *godwit.Conn, 16)}
	w.links = make(map[netip.AddrPort]bool)
	w.config = godwit.Config{Channels: webTable, Handler: godwit.Handler{
		Open:    func(c *godwit.Conn) { note(w.conns, c) },
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
		Request: func(_ *godwit.Conn, r *godwit.Request) {
			if r.Name == "upper" {
				r.Reply([]byte(strings.ToUpper(string(r.Data))))
			}
		},
	}}
	w.relay = w.listenRelay(link)
	w.config.RTC.Public = []netip.AddrPort{w.relay.Addr()}
	w.config.RTC.MaxPerIP, w.config.RTC.MaxOffers = -1, -1
	w.config.Links = []string{session.LinkWebRTC} // the WebSocket would go around the relay
	for _, f := range change {
		f(&w.config)
	}
	w.start()
	atEnd(t, "the end of the server", func() error { return w.server.Close() })

	handlePages(w.http)
	w.http.HandleFunc("/godwit/", func(rw http.ResponseWriter, r *http.Request) { w.signaling.Load().ServeHTTP(rw, r) })
	l, err := net.Listen("tcp", netip.AddrPortFrom(browser.Host(t), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: w.http}
	go srv.Serve(l)
	atEnd(t, "the end of the HTTP server", srv.Close)
	w.url = "http://" + l.Addr().String() + "/"
	return w
}

// handlePages makes a server serve the page, its script and the client.
func handlePages(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		rw.Write([]byte(webPage))
	})
	mux.HandleFunc("GET /web_page.js", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/javascript")
		rw.Write(webScript)
	})
	mux.Handle("GET /godwit.min.js", web.Handler())
	mux.Handle("GET /godwit.keep.min.js", web.Handler())
}

// serveHTTPS serves the page over HTTPS: only such pages have all functions of a browser.
func (w *webWorld) serveHTTPS() {
	w.t.Helper()
	w.url = serveHTTPS(w.t, w.http)
}

// serveHTTPS serves pages over HTTPS until the test ends, and returns their URL.
func serveHTTPS(t testing.TB, h http.Handler) string {
	t.Helper()
	host := browser.Host(t)
	l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	browser.WriteCertificate(t, dir, host)
	page := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	go page.ServeTLS(l, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	atEnd(t, "the end of the HTTPS server", page.Close)
	return "https://" + l.Addr().String() + "/"
}

// listenRelay puts a relay before the server. With -wiretap the relay records the datagrams.
func (w *webWorld) listenRelay(link netsim.Link) *netsim.Relay {
	w.t.Helper()
	rc := netsim.RelayConfig{
		Listen: netip.AddrPortFrom(browser.Host(w.t), 0), Target: w.target, Up: link, Down: link, Seed: *seed,
	}
	var tap *wiretap.Tap
	if *trace {
		tap = wiretap.Attach(&rc)
		w.config.RTC.KeyLog = tap
	}
	hear := rc.Tap
	rc.Tap = func(p *netsim.Packet) bool { return (hear == nil || hear(p)) && w.alive(p) }
	relay, err := netsim.ListenRelay(rc)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		relay.Close()
		if tap != nil {
			writeTrace(w.t, tap)
		}
	})
	return relay
}

// dropUDP makes everything that clients and the server's relay send each other get lost, until passUDP is called.
func (w *webWorld) dropUDP() {
	w.t.Helper()
	pass, err := browser.DropUDP(w.t, w.relay.Addr().Port())
	if err != nil {
		w.t.Logf("NOT RUN with nftables, so the relay drops: %v", err)
		w.relay.BlackoutFor(time.Hour)
		pass = func() { w.relay.BlackoutFor(0) }
	}
	w.passUDP = pass
}

func (w *webWorld) alive(p *netsim.Packet) bool {
	link := p.From
	if link == w.target {
		link = p.To
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	dead := w.links[link]
	w.links[link] = dead
	return !dead
}

// loseLinks drops all datagrams of the present links from now on. Only new links work.
func (w *webWorld) loseLinks() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for link := range w.links {
		w.links[link] = true
	}
}

// start starts the game server, also again after it was closed.
func (w *webWorld) start() {
	w.t.Helper()
	w.server = listenAgain(w.t, func() (*godwit.Server, error) { return godwit.Listen(w.target.String(), w.config) })
	w.signaling.Store(w.server)
}

// listenAgain opens sockets at addresses that were in use. A program that starts when a socket is closed, such as a browser, keeps
// the socket until it runs its own code.
func listenAgain[T any](t testing.TB, listen func() (T, error)) T {
	t.Helper()
	for began := time.Now(); ; <-time.After(5 * time.Millisecond) {
		l, err := listen()
		if err == nil {
			return l
		}
		if !errors.Is(err, syscall.EADDRINUSE) || time.Since(began) > patience {
			t.Fatal(err)
		}
	}
}

// tab opens a page and waits for the client's script.
func (w *webWorld) tab() *tab {
	w.t.Helper()
	p := &tab{Page: w.browser.Page(w.t, w.url), t: w.t}
	p.do(`await until(Infinity, () => window.godwit);`, nil, nil)
	return p
}

// exchanged has the figures of a Book of web_page.js for one channel.
type exchanged struct {
	Name                          string
	Sent, Refused, Echoed         int
	Duplicates, Disorder, Corrupt int
	Latencies                     []float64    // in ms, sorted
	Came                          [][2]float64 // time when each message was sent and when it arrived, in ms of each end's clock
}

func (e exchanged) figures() figures { return figures{e.Sent, e.Latencies} }

// check compares the echoes with the guarantee of the channel.
func (e exchanged) check(t testing.TB) {
	t.Helper()
	if e.Duplicates > 0 || e.Corrupt > 0 {
		t.Errorf("%s: %d messages came twice, %d were changed, want 0", e.Name, e.Duplicates, e.Corrupt)
	}
	id, _ := webTable.ID(e.Name)
	mode := webTable[id-1].Mode
	if (mode == godwit.Sequenced || mode == godwit.ReliableOrdered) && e.Disorder > 0 {
		t.Errorf("%s: %d messages are not in order, want 0", e.Name, e.Disorder)
	}
	if mode >= godwit.ReliableUnordered && e.Echoed != e.Sent {
		t.Errorf("%s: %d of %d messages have arrived", e.Name, e.Echoed, e.Sent)
	}
}
