package interop

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }

// server is a WebRTC server under test. As a handler it is its own signaling.
type server interface {
	http.Handler
	Addr() netip.AddrPort
	Shutdown(ctx context.Context) error
}

// conn is a server's view of one page.
type conn interface {
	Send(stream uint16, text bool, b []byte) error
	Close() error
}

// message is one that a server received.
type message struct {
	stream uint16
	label  string
	text   bool
	data   []byte
}

// config is the part of a server's configuration that tests choose.
type config struct {
	public     netip.AddrPort // in the answer's candidate; zero: where the server listens
	negotiated []uint16       // streams the page opens with negotiated: true
	keyLog     io.Writer      // may be nil
	snap       bool           // pion answers SNAP, which godwit always does
	honest     bool           // acknowledge only packets that have arrived
	open       func(c conn)
	message    func(c conn, m message)
	close      func(c conn, why string)
}

// implementation is one kind of server.
type implementation struct {
	name   string
	listen func(addr string, config config) (server, error)
	// tooLarge is the error of Send for a message larger than a packet. Nil means that the
	// server sends fragments.
	tooLarge error
}

// implementations are the servers under test, godwit first.
var implementations = []implementation{godwitServers, pionServers}

// patience limits every wait of a test for an event. It only bounds a hang: a busy machine may take
// seconds.
const patience = testkit.Patience

// world is one server, its pages, and the events of the server. The server echoes every
// message on its channel, with its kind.
type world struct {
	t        testing.TB
	browser  *browser.Browser
	kind     implementation
	server   server
	url      string
	opened   chan conn
	messages chan message
	closed   chan string
	relay    *netsim.Relay // nil if pages and server have no relay between them
}

func newWorld(t testing.TB, b *browser.Browser, kind implementation) *world {
	t.Helper()
	return newWorldAt(t, b, kind, netip.AddrPortFrom(browser.Host(t), 0), config{})
}

// newWorldAt is newWorld with a server that listens on addr. The world sets the handlers.
func newWorldAt(t testing.TB, b *browser.Browser, kind implementation, addr netip.AddrPort, c config) *world {
	t.Helper()
	w := &world{
		t:        t,
		browser:  b,
		kind:     kind,
		opened:   make(chan conn, 16),
		messages: make(chan message, 1024),
		closed:   make(chan string, 16),
	}
	if c.negotiated == nil {
		c.negotiated = []uint16{negotiatedStream}
	}
	c.open = func(c conn) { note(w.opened, c) }
	c.message = func(c conn, m message) {
		c.Send(m.stream, m.text, m.data)
		m.data = append([]byte(nil), m.data...)
		note(w.messages, m)
	}
	c.close = func(_ conn, why string) { note(w.closed, why) }
	srv, err := kind.listen(addr.String(), c)
	if err != nil {
		t.Fatal(err)
	}
	w.server = srv
	atEnd(t, "the end of the server", func() error { return srv.Shutdown(context.Background()) })
	w.url = browser.Serve(t, srv)
	return w
}

// note keeps v for the test. It drops v if the test does not read the events: a handler must
// not block.
func note[T any](in chan<- T, v T) {
	select {
	case in <- v:
	default:
	}
}

// tab is a page with helpers that fail the test.
type tab struct {
	*browser.Page
	t testing.TB // a workerTB if do runs in the worker of the page
}

func (w *world) tab() *tab {
	w.t.Helper()
	return &tab{Page: w.browser.Page(w.t, w.url), t: w.t}
}

// do runs JavaScript in the page and fails the test if it throws.
func (p *tab) do(js string, arg, result any) {
	p.t.Helper()
	p.doWithin(patience, js, arg, result)
}

// doWithin is do with another time limit.
func (p *tab) doWithin(limit time.Duration, js string, arg, result any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	if _, worker := p.t.(workerTB); worker {
		arg = map[string]any{"js": js, "arg": arg}
		js = `return await inWorker(arg.js, arg.arg);`
	}
	if err := p.Eval(ctx, js, arg, result); err != nil {
		p.t.Fatal(err)
	}
}

// connect leaves the connection in the page's global c and its first channel in ch.
func (p *tab) connect(channels ...channelInit) {
	p.t.Helper()
	p.connectAs("actpass", channels...)
}

// connectAs is connect by a page that demands a DTLS role.
func (p *tab) connectAs(setup string, channels ...channelInit) {
	p.t.Helper()
	if channels == nil {
		channels = []channelInit{dcepChannel}
	}
	p.do(`window.c = await connect(arg); window.ch = c.channels[0];`,
		map[string]any{"channels": channels, "setup": setup}, nil)
}

// wantEcho checks that the page's first channel works.
func (p *tab) wantEcho(why string) {
	p.t.Helper()
	var got string
	p.do(`return await ch.echo(arg);`, why, &got)
	if got != why {
		p.t.Errorf("%s: the echo is %q", why, got)
	}
}

// channelInit is a label and an RTCDataChannelInit.
type channelInit map[string]any

// Streams of negotiated channels: that of godwit's client, and one that a browser does not
// choose for its other channels, whose numbers begin at 0.
const (
	clientStream     = 0
	negotiatedStream = 100
)

// The two kinds of channels: godwit's client uses a negotiated channel, which
// needs no packet to open; other pages open channels with DCEP.
var (
	negotiatedChannel = channelInit{"label": "data", "negotiated": true, "id": clientStream}
	dcepChannel       = channelInit{"label": "data"}
)

// await calls f, which knows no limit of time. If f has not returned after patience, the test fails, and the stacks of all
// goroutines tell what f waits for.
func await(t testing.TB, what string, f func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(patience):
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		t.Fatalf("%s: not after %v", what, patience)
	}
}

// atEnd calls f at the end of the test, with await. Its error does not matter: the test may have closed what it made.
func atEnd(t testing.TB, what string, f func() error) {
	t.Cleanup(func() {
		await(t, what, func() error {
			f()
			return nil
		})
	})
}

// patient returns a context that ends after patience.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// waitProgram waits until a program ends that was told to. After patience it sends SIGQUIT, at which programs in Go
// print their stacks, and then kills the program.
func waitProgram(cmd *exec.Cmd) error {
	quit := time.AfterFunc(patience, func() { cmd.Process.Signal(syscall.SIGQUIT) })
	defer quit.Stop()
	kill := time.AfterFunc(patience+10*time.Second, func() { cmd.Process.Kill() })
	defer kill.Stop()
	return cmd.Wait()
}

// receive waits for an event of the server.
func receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: no event after %v", what, patience)
		panic("unreachable")
	}
}
