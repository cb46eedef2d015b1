package client_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// TestSessionsOverSockets is the same over real sockets and HTTP: 1,000 messages each
// way, with every link lost in the middle because the server's side of it is closed.
// With two shards the new link may have another lock than the old.
func TestSessionsOverSockets(t *testing.T) {
	t.Run("one shard", func(t *testing.T) { overSockets(t, 1, 1) })
	t.Run("two shards", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("several shards need Linux")
		}
		overSockets(t, 2, 6)
	})
}

func overSockets(t *testing.T, shards, clients int) {
	w := newSocketWorld(t, func(c godwit.Config) (*godwit.Server, error) {
		c.RTC.Shards = shards
		return godwit.Listen("127.0.0.1:0", c)
	})
	pairs := make([]*pair, clients)
	var all sync.WaitGroup
	for i := range pairs {
		all.Go(func() { pairs[i] = w.connect(strconv.Itoa(i)) })
	}
	all.Wait() // a link that is lost before its session is open has none to resume
	if t.Failed() {
		return
	}
	for _, p := range pairs {
		all.Go(func() {
			p.exchange(1000, func() {
				for c := range w.server.RTC().Conns() {
					c.Close("cut")
				}
			})
		})
	}
	all.Wait()
}

// The network fails for 10 s of real time in the middle of 1,000 messages each way. The session
// continues over the old link if no other can be made, or over a new one.
func TestOutageOverSockets(t *testing.T) {
	t.Run("old link", func(t *testing.T) { t.Parallel(); outageOverSockets(t, true) })
	t.Run("new link", func(t *testing.T) { t.Parallel(); outageOverSockets(t, false) })
}

func outageOverSockets(t *testing.T, signalingToo bool) {
	const outage = 10 * time.Second
	relay := new(netsim.Relay)
	w := newSocketWorld(t, func(c godwit.Config) (*godwit.Server, error) {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, err
		}
		if relay, err = netsim.ListenRelay(netsim.RelayConfig{Target: socket.LocalAddr().(*net.UDPAddr).AddrPort()}); err != nil {
			return nil, err
		}
		c.NoDirect = signalingToo
		c.RTC.Public = []netip.AddrPort{relay.Addr()}
		return godwit.Serve(socket, c)
	})
	defer relay.Close()
	p := w.connect("ada")
	if t.Failed() {
		return
	}
	p.exchange(1000, func() {
		w.dark.Store(signalingToo)
		relay.BlackoutFor(outage)
	})
	if moved := p.moved > 0; moved == signalingToo {
		t.Errorf("the server's end has moved: %v, want %v", moved, !signalingToo)
	}
	if s := relay.Stats(); s.Up.Lost == 0 || s.Down.Lost == 0 {
		t.Errorf("no packet was lost, so the test tests nothing: %+v", s)
	}
}

// A socketWorld is a server on real sockets.
type socketWorld struct {
	t      *testing.T
	server *godwit.Server
	url    string
	dark   atomic.Bool // signaling does not get through until a session has resumed
	pairs  sync.Map    // those that have not met, by connect message
}

func newSocketWorld(t *testing.T, open func(godwit.Config) (*godwit.Server, error)) *socketWorld {
	w := &socketWorld{t: t}
	var err error
	w.server, err = open(godwit.Config{
		Channels: table,
		Handler: godwit.Handler{
			Open: func(c *godwit.Conn) {
				p, _ := w.pairs.LoadAndDelete(string(c.Hello()))
				c.User = p
				p.(*pair).server <- c
			},
			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.User.(*pair).ours.take(ch, b) },
		},
		Ceiling: -1,
		Grace:   testkit.Patience, OpenTimeout: testkit.Patience, // on a busy machine all may take long
		RTC:    rtcserver.Settings{MaxOffers: -1, HandshakeTimeout: testkit.Patience},
		Limits: godwit.Limits{Messages: -1, Bytes: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.server.Close() })
	web := httptest.NewServer(w.server)
	t.Cleanup(web.Close)
	w.url = web.URL
	return w
}

// RoundTrip is HTTP, if it gets through.
func (w *socketWorld) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.dark.Load() {
		return nil, errors.New("no route to host")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// unhurried returns c with limits for handshakes in real time that a busy machine keeps.
func unhurried(c client.Config) client.Config {
	c.AnswerTimeout, c.HandshakeTimeout = testkit.Patience, testkit.Patience
	return c
}

// A pair is the two ends of a session, and the messages that each end has from the other.
type pair struct {
	t            *testing.T
	client       *client.Session
	server       chan *godwit.Conn
	player       *godwit.Conn // the server's end
	ours, theirs *ledger
	resumed      chan struct{}
	closed       chan struct{}
	moved        uint32 // how often the server's end did
}

func (w *socketWorld) connect(name string) *pair {
	p := &pair{
		t: w.t, ours: newLedger(), theirs: newLedger(), server: make(chan *godwit.Conn, 1),
		resumed: make(chan struct{}, 100), closed: make(chan struct{}),
	}
	w.pairs.Store(name, p)
	var err error
	p.client, err = client.Connect(w.t.Context(), w.url, unhurried(client.Config{HTTP: &http.Client{Transport: w}}), client.SessionConfig{
		Channels: table,
		Hello:    []byte(name),
		Handler: client.SessionHandler{
			Message: func(_ *client.Session, ch channel.ID, b []byte) { p.theirs.take(ch, b) },
			Request: func(_ *client.Session, r *session.Request) { r.Keep() },
			Resumed: func(*client.Session) { w.dark.Store(false); p.resumed <- struct{}{} },
			Close: func(_ *client.Session, why session.CloseReason) {
				if why.Code != session.CloseNormal {
					p.t.Errorf("%s: the session ended with %v, want CloseNormal", name, why)
				}
				close(p.closed)
			},
		},
	})
	if err != nil {
		w.t.Error(err)
		return p
	}
	select {
	case p.player = <-p.server: // the session is open at both ends: before, it ends with its link
	case <-p.closed:
		w.t.Errorf("%s: the session ended before it was open at the server", name)
	}
	return p
}

// exchange sends total messages on each reliable channel each way, with an
// interruption in the middle, and waits until they are there.
func (p *pair) exchange(total int, interrupt func()) {
	p.ours.expect(total)
	p.theirs.expect(total)
	for n := range uint32(total) {
		for _, ch := range []channel.ID{chat, loot} {
			if err := errors.Join(p.client.Send(ch, entry(n)), p.player.Send(ch, entry(n))); err != nil {
				p.t.Error(err)
				return
			}
		}
		if n == uint32(total)/2 {
			interrupt()
		}
	}
	for _, event := range []<-chan struct{}{p.resumed, p.ours.complete, p.theirs.complete} {
		select {
		case <-event:
		case <-p.closed:
			p.t.Error("the session ended too early")
		}
	}
	p.ours.check(p.t, "the server", total)
	p.theirs.check(p.t, "the client", total)
	p.moved = p.player.Stats().Resumed
	p.client.Close(0, "")
	<-p.closed
}
