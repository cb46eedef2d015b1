package rtcserver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/netsim"
)

var serverAddr = netip.MustParseAddrPort("192.0.2.1:7777")

// Certificates cost more than anything else here, so tests share them.
var (
	serverCertificate = testkit.Must(dtls.GenerateCertificate(time.Now().Add(-time.Hour)))
	pageCertificate   = testkit.Must(dtls.GenerateCertificate(time.Now().Add(-time.Hour)))
)

// A world is a server and pages on a network in memory, in a synctest bubble.
type world struct {
	t       testing.TB
	network *netsim.Network
	server  *Server
	events  chan string // what handlers were told: the server's, and those of pages by name
	pages   atomic.Int32

	mu        sync.Mutex
	passwords map[string]string // the server's, by username fragment

	lastAnswer string
}

// inWorld runs a test in a world. A server without a Handler in its Config reports to events and
// echoes.
func inWorld(t *testing.T, c Config, test func(w *world)) {
	t.Helper()
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		w := &world{t: t, network: network, events: make(chan string, 10_000)}
		w.serve(testkit.Listen(t, network, serverAddr), c)
		defer w.server.Close()
		test(w)
	})
}

func (w *world) serve(pc net.PacketConn, c Config) {
	w.t.Helper()
	var err error
	if w.server, err = Serve(pc, w.config(c)); err != nil {
		w.t.Fatal(err)
	}
}

// serveShards is serve with a shard for each socket.
func (w *world) serveShards(sockets []*udpio.Conn, c Config) {
	w.t.Helper()
	c.Shards = len(sockets)
	c = w.config(c)
	if err := c.setDefaults(); err != nil {
		w.t.Fatal(err)
	}
	w.server = start(sockets, c)
}

// config returns c with the defaults of tests.
func (w *world) config(c Config) Config {
	if reflect.ValueOf(c.Handler).IsZero() {
		c.Handler = w.reporter()
	}
	if c.Certificate == nil {
		c.Certificate = serverCertificate
	}
	if c.MaxPerIP == 0 {
		c.MaxPerIP = -1
	}
	if c.MaxOffers == 0 {
		c.MaxOffers = -1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler) // hostile pages are no news in tests
	}
	return c
}

// unhurried returns s with limits for handshakes in real time that a busy machine keeps.
func unhurried(s Settings) Settings {
	s.PendingTimeout, s.HandshakeTimeout = testkit.Patience, testkit.Patience
	return s
}

// unhurriedPage is the Config of a page in real time, with such limits.
func unhurriedPage(h client.Handler) client.Config {
	return client.Config{Certificate: pageCertificate, AnswerTimeout: testkit.Patience, HandshakeTimeout: testkit.Patience, Handler: h}
}

// reporter is a handler that echoes and writes all calls to events.
func (w *world) reporter() Handler {
	return Handler{
		Open: func(c *Conn) { w.happened("open %d", c.ID()) },
		ChannelOpen: func(c *Conn, ch Channel) {
			w.happened("channel %d: %d %s", c.ID(), ch.Stream, ch.Label)
		},
		Message: func(c *Conn, m Message) {
			w.happened("message %d: %d %d %.20s", c.ID(), m.Stream, m.Kind, m.Data)
			if err := c.Send(m.Stream, m.Kind, m.Data); err != nil {
				w.happened("send: %v", err)
			}
		},
		ChannelClose: func(c *Conn, ch Channel) { w.happened("channel closed %d: %d %s", c.ID(), ch.Stream, ch.Label) },
		Close:        func(c *Conn, why *CloseError) { w.happened("close %d: %v", c.ID(), why.Code) },
		Fail:         func(c *Conn, why *CloseError) { w.happened("fail %d: %v", c.ID(), why.Code) },
	}
}

func (w *world) happened(format string, args ...any) { w.events <- fmt.Sprintf(format, args...) }

// A page is a client whose handlers report to the page's channel.
type page struct {
	*client.Endpoint
	w      *world
	socket *netsim.Conn
	conn   *client.Conn
	events chan string
}

// newPage makes a page that has not connected.
func (w *world) newPage(c client.Config) *page {
	w.t.Helper()
	n := w.pages.Add(1)
	p := &page{w: w, events: make(chan string, 1000)}
	addr := netip.AddrFrom4([4]byte{198, 51, byte(100 + n>>8), byte(n)})
	p.socket = testkit.Listen(w.t, w.network, netip.AddrPortFrom(addr, 40000))
	happened := func(event string) {
		select {
		case p.events <- event:
		default: // the test does not care
		}
	}
	c.Handler = client.Handler{
		Message: func(_ *client.Conn, m client.Message) {
			happened(fmt.Sprintf("%d %d %.20s", m.Stream, m.Kind, m.Data))
		},
		Close: func(_ *client.Conn, why *client.CloseError) { happened("close: " + why.Code.String()) },
	}
	if c.Certificate == nil {
		c.Certificate = pageCertificate
	}
	p.Endpoint = testkit.Must(client.Serve(p.socket, c))
	w.t.Cleanup(func() { p.Endpoint.Close() })
	return p
}

// open returns a page that is connected.
func (w *world) open() *page {
	w.t.Helper()
	p := w.newPage(client.Config{})
	if err := p.connect(nil); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// connect connects p with its offer and the answer changed by edit. It returns when the server
// has opened the connection, too: with SNAP the page is faster.
func (p *page) connect(edit func(offer string) string) error {
	before := p.w.server.Stats().Opened
	var err error
	p.conn, err = p.Connect(p.w.t.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
		text := string(offer)
		if edit != nil {
			text = edit(text)
		}
		return p.w.signal(p.socket.PublicAddr().Addr(), text)
	}, nil)
	for d := 8 * time.Microsecond; err == nil && p.w.server.Stats().Opened == before && d < time.Second; d += d / 8 {
		time.Sleep(d) // in the bubble: it passes when everybody waits
	}
	return err
}

// signal posts an offer and returns the answer.
func (w *world) signal(from netip.Addr, offer string) ([]byte, error) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(offer))
	r.RemoteAddr = netip.AddrPortFrom(from, 5555).String()
	r.Header.Set("Accept", "application/sdp")
	resp := testkit.Serve(w.server, r)
	if resp.Code != http.StatusOK {
		return nil, &client.SignalError{Status: resp.Code, Text: resp.Body.String()}
	}
	answer := resp.Body.Bytes()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastAnswer = string(answer)
	if w.passwords == nil {
		w.passwords = make(map[string]string)
	}
	w.passwords[strings.Clone(testkit.Attribute(string(answer), "ice-ufrag"))] = strings.Clone(testkit.Attribute(string(answer), "ice-pwd"))
	return answer, nil
}

func (p *page) addr() netip.AddrPort { return p.socket.PublicAddr() }

func (p *page) send(text string) {
	p.w.t.Helper()
	if err := p.conn.Send(3, client.Text, []byte(text)); err != nil {
		p.w.t.Fatal(err)
	}
}

// echoes checks that the server answers p.
func (p *page) echoes(why string) {
	p.w.t.Helper()
	p.send("ping")
	p.want(why, "3 0 ping")
}

// want waits for the next event of the page.
func (p *page) want(why, event string) {
	p.w.t.Helper()
	testkit.Want(p.w.t, why+" (in the page)", p.events, event)
}

// want waits for the next event of the server.
func (w *world) want(why, event string) {
	w.t.Helper()
	testkit.Want(w.t, why, w.events, event)
}

// wantQuiet expects that nothing more has happened in the server.
func (w *world) wantQuiet(why string) {
	w.t.Helper()
	synctest.Wait()
	testkit.WantNone(w.t, why, w.events)
}

// forget forgets all that has happened.
func (w *world) forget() {
	synctest.Wait()
	for len(w.events) > 0 {
		<-w.events
	}
}

const insistsOnActive = "a=setup:active" // the page is the DTLS client

// passive is an edit of an offer that makes the server the DTLS server.
var passive = testkit.Replace("a=setup:actpass", insistsOnActive)
