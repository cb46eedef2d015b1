package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

const (
	move channel.ID = 1 + iota
	chat
	loot
)

var table = channel.Channels{
	{Name: "move", Mode: channel.Sequenced},
	{Name: "chat", Mode: channel.ReliableOrdered},
	{Name: "loot", Mode: channel.ReliableUnordered},
}

// A game is a godwit server on a network in memory, with its signaling.
type game struct {
	t       *testing.T
	network *netsim.Network
	server  *godwit.Server
	events  chan string
	broken  atomic.Bool                   // signaling does not get through
	asked   atomic.Int32                  // requests for a link, also those that do not get through
	foreign atomic.Int32                  // status of what answers in the server's place
	unknown atomic.Int32                  // so many answers are of a server that does not know the session
	next    atomic.Pointer[godwit.Server] // in server's place

	endpoints []*client.Endpoint // of clients
	socket    net.PacketConn     // of the endpoint of a linked game
}

// RoundTrip is HTTP without a network.
func (g *game) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		g.asked.Add(1)
	}
	if g.broken.Load() {
		return nil, errors.New("no route to host")
	}
	w := httptest.NewRecorder()
	r.RemoteAddr = "198.51.100.7:1"
	if status := g.foreign.Load(); status != 0 {
		w.Header().Set("Retry-After", "2592000") // is not believed
		w.WriteHeader(int(status))
		if status == http.StatusNotFound || status == http.StatusUnauthorized {
			w.WriteString(`{"code":5,"message":"Not Found"}`) // as API gateways do
		} else {
			w.WriteString("<html>")
		}
		return w.Result(), nil
	}
	if strings.Contains(r.Header.Get("Authorization"), "Resume") && g.unknown.Add(-1) >= 0 {
		w.WriteHeader(http.StatusGone)
		w.WriteString(`{"code":"resume","error":"not here","reason":"unknown","instance":"1"}`)
		return w.Result(), nil
	}
	if s := g.next.Load(); s != nil {
		s.ServeHTTP(w, r)
	} else {
		g.server.ServeHTTP(w, r)
	}
	return w.Result(), nil
}

var (
	gameAddr = netip.MustParseAddrPort("192.0.2.1:7777")
	pageAddr = netip.MustParseAddrPort("198.51.100.7:0") // with a port of the network's choice
)

func inGame(t *testing.T, c godwit.Config, test func(g *game)) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		g := &game{t: t, network: network, events: make(chan string, 10_000)}
		network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		if c.Channels == nil {
			c.Channels = table
		}
		g.server = testkit.Must(godwit.Serve(testkit.Listen(t, network, gameAddr), c))
		defer g.server.Close()
		test(g)
	})
}

// connect begins a session from a new socket on the network.
func (g *game) connect(sc client.SessionConfig) (*client.Session, error) {
	g.t.Helper()
	return g.join(g.endpoint(), sc)
}

// join is connect with an existing endpoint. Any goroutine may call it.
func (g *game) join(e *client.Endpoint, sc client.SessionConfig) (*client.Session, error) {
	if sc.Channels == nil {
		sc.Channels = table
	}
	return e.Join(g.t.Context(), "http://game.example/godwit/", sc)
}

// endpoint makes an endpoint of the game's.
func (g *game) endpoint() *client.Endpoint {
	g.t.Helper()
	e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), client.Config{HTTP: &http.Client{Transport: g}}))
	g.endpoints = append(g.endpoints, e)
	g.t.Cleanup(func() { e.Close() })
	return e
}

func (g *game) note(format string, args ...any) { g.events <- fmt.Sprintf(format, args...) }

func (g *game) want(events ...string) {
	g.t.Helper()
	for _, want := range events {
		select {
		case got := <-g.events:
			if got != want {
				g.t.Fatalf("%q happened, want %q", got, want)
			}
		case <-time.After(2 * time.Minute):
			g.t.Fatalf("nothing happens, want %q", want)
		}
	}
}

func (g *game) handler() client.SessionHandler {
	return client.SessionHandler{
		Open:        func(s *client.Session) { g.note("open") },
		Message:     func(s *client.Session, ch channel.ID, b []byte) { g.note("%s: %s", table.Name(ch), b) },
		Interrupted: func(*client.Session) { g.note("interrupted") },
		Resumed:     func(*client.Session) { g.note("resumed") },
		Close:       func(_ *client.Session, why session.CloseReason) { g.note("%v", why) },
	}
}

func (g *game) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func TestSession(t *testing.T) {
	c := godwit.Config{Handler: godwit.Handler{
		Open:    func(c *godwit.Conn) { c.Send(chat, append([]byte("welcome, "), c.Hello()...)) },
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
		Request: func(c *godwit.Conn, r *godwit.Request) { r.Reply([]byte(strings.ToUpper(string(r.Data)))) },
	}}
	inGame(t, c, func(g *game) {
		s, err := g.connect(client.SessionConfig{Handler: g.handler(), Hello: []byte("ada")})
		g.must(err)
		g.want("open", "chat: welcome, ada")
		g.must(s.Send(move, []byte("left")))
		g.want("move: left")
		b, err := s.Request(g.t.Context(), "shout", []byte("hey"))
		if string(b) != "HEY" || err != nil {
			t.Errorf("the reply is %q, %v; want HEY", b, err)
		}
		s.Close(300, "done")
		g.want("closed here: code 300: done")
	})
}

func TestRefusals(t *testing.T) {
	c := godwit.Config{Version: "2"}
	inGame(t, c, func(g *game) {
		other := channel.Channels{table[0], table[1], {Name: "loot", Mode: channel.ReliableOrdered}}
		_, err := g.connect(client.SessionConfig{Version: "2", Channels: other})
		if e, ok := errors.AsType[*channel.TableError](err); !ok || e.Channel != "loot" || e.Field != "Mode" {
			t.Errorf("a session with another table: %v, want an error of the Mode of loot", err)
		}
		_, err = g.connect(client.SessionConfig{Version: "1"})
		if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Code != "app" || e.Detail["server"] != "2" {
			t.Errorf("a session with another version: %v, want the code app and the server's version", err)
		}
	})
}

// The network is cut for 10 s in the middle of 1,000 messages on each reliable channel each way;
// it also loses and reorders packets. The session continues over the old link if it still
// exists, or over a new one.
func TestResume(t *testing.T) {
	t.Run("old link", func(t *testing.T) { resume(t, false) })
	t.Run("new link", func(t *testing.T) { resume(t, true) })
}

func resume(t *testing.T, move bool) {
	var player *godwit.Conn
	ours, theirs := newLedger(), newLedger()
	c := godwit.Config{NoDirect: !move, Handler: godwit.Handler{
		Open:    func(c *godwit.Conn) { player = c },
		Message: func(_ *godwit.Conn, ch godwit.ChannelID, b []byte) { ours.take(ch, b) },
	}}
	inGame(t, c, func(g *game) {
		h := g.handler()
		h.Message = func(_ *client.Session, ch channel.ID, b []byte) { theirs.take(ch, b) }
		s, err := g.connect(client.SessionConfig{Handler: h})
		g.must(err)
		g.want("open")
		bad := netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.05, Reorder: 0.05, ReorderDelay: 30 * time.Millisecond}
		g.network.SetDefault(bad)
		const total = 1000
		for n := range uint32(total) {
			for _, ch := range []channel.ID{chat, loot} {
				g.must(s.Send(ch, entry(n)))
				g.must(player.Send(ch, entry(n)))
			}
			time.Sleep(10 * time.Millisecond)
			if n == total/2 {
				g.broken.Store(true)
				g.network.SetDefault(netsim.Link{Loss: 1})
				if move {
					for c := range g.server.RTC().Conns() {
						c.Close("unheard")
					}
				}
				time.Sleep(10 * time.Second)
				g.network.SetDefault(bad)
				g.broken.Store(!move) // or a new link might be there before the old one is heard
			}
		}
		time.Sleep(20 * time.Second)
		g.want("interrupted", "resumed")
		ours.check(t, "the server", total)
		theirs.check(t, "the client", total)
		if n := player.Stats().Resumed; (n > 0) != move || g.server.Len() != 1 { // losses can bring a second new link
			t.Errorf("the server's end has moved %d times, want it: %v; %d sessions are open, want 1", n, move, g.server.Len())
		}
	})
}

// Datagrams are lost, and every link is cut as soon as the server has it. So some links are open
// at the client and end before anything arrives on them. Each of them counts as one failed
// attempt, and the client tries again.
func TestLinksThatEndUnheard(t *testing.T) {
	inGame(t, godwit.Config{Grace: time.Hour}, func(g *game) {
		h := g.handler()
		h.Interrupted, h.Resumed = nil, nil
		s, err := g.connect(client.SessionConfig{Handler: h})
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.4})
		for range 30 {
			n := g.server.RTC().Stats().Opened
			for c := range g.server.RTC().Conns() {
				c.Close("cut")
			}
			for wait := time.Now().Add(time.Minute); g.server.RTC().Stats().Opened == n; {
				if time.Now().After(wait) {
					t.Fatalf("there is no new link after a minute; interrupted %v", s.Stats().Interrupted)
				}
				time.Sleep(time.Millisecond)
			}
		}
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.must(s.Send(chat, []byte("still here")))
		time.Sleep(20 * time.Second)
		if s.Stats().Interrupted {
			t.Error("the session is still interrupted")
		}
	})
}

func TestResumeTooLate(t *testing.T) {
	c := godwit.Config{Grace: 5 * time.Second, Silence: 4 * time.Second}
	inGame(t, c, func(g *game) {
		_, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.broken.Store(true)
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted", "closed here: timeout: nothing arrived for too long")
		time.Sleep(10 * time.Second)
		if n := g.server.Len(); n != 0 {
			t.Errorf("%d sessions are open, want 0", n)
		}
	})
}

func TestServerForgetsTheSession(t *testing.T) {
	c := godwit.Config{Grace: 2 * time.Second, Silence: 4 * time.Second}
	inGame(t, c, func(g *game) {
		_, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		for conn := range g.server.Conns() {
			g.network.SetDefault(netsim.Link{Loss: 1})
			conn.Kick("unheard")
		}
		g.want("interrupted", "closed here: timeout: the session is over: begin a new one")
	})
}

func TestShutdownReachesTheClient(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		_, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.server.Shutdown(context.Background(), "maintenance")
		g.want("closed by the other end: shutdown: maintenance")
	})
}

// TestGameLoop is a server without a goroutine, which a game polls.
func TestGameLoop(t *testing.T) {
	inGame(t, godwit.Config{Manual: true}, func(g *game) {
		players := g.server.NewGroup()
		over := make(chan struct{})
		go func() {
			defer close(over)
			for {
				for ev := range g.server.Poll(16 * time.Millisecond) {
					switch ev.Type {
					case session.EventOpen:
						players.Join(ev.Conn)
					case session.EventMessage:
						players.Send(ev.Channel, ev.Data)
					case session.EventEnded:
						return
					}
				}
				if g.server.Stats().Left == 1 {
					g.server.Close()
				}
				g.server.Flush()
			}
		}()
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.must(s.Send(chat, []byte("hello")))
		g.want("open", "chat: hello")
		s.Close(0, "bye")
		g.want("closed here: normal: bye")
		<-over
	})
}

// The log has the events of a session. Each line has the number of the session and that of its
// connection, which the lines of package rtcserver also have.
func TestLogOfASessionThatResumes(t *testing.T) {
	var log testkit.Log
	c := godwit.Config{Silence: 5 * time.Second, Logger: log.Logger(slog.LevelDebug)}
	inGame(t, c, func(g *game) {
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted")
		time.Sleep(10 * time.Second)
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("resumed")
		s.Close(0, "bye")
		g.want("closed here: normal: bye")
		time.Sleep(time.Second)
		id := "session=" + s.ID().String()
		opened := regexp.MustCompile(`"rtcserver: open" (conn=\d+)`).FindAllStringSubmatch(log.String(), -1)
		if len(opened) != 2 {
			t.Fatalf("%d connections opened, want 2:\n%s", len(opened), log.String())
		}
		first, second := opened[0][1], opened[1][1]
		for _, want := range []string{
			`msg="godwit: open" ` + id + ` identity="" link=webrtc ` + first,
			`msg="godwit: interrupted" ` + id + ` identity="" link=webrtc ` + first,
			`msg="godwit: moved to another connection" ` + id + ` identity="" link=webrtc ` + second,
			`msg="godwit: resumed" ` + id + ` identity="" link=webrtc ` + second,
			`msg="godwit: close" ` + id + ` identity="" link=webrtc ` + second,
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no %s in\n%s", want, log.String())
			}
		}
	})
}

func TestHelloIsBounded(t *testing.T) {
	e, err := client.Listen("127.0.0.1:0", client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	_, err = e.Join(t.Context(), "http://127.0.0.1:1/", client.SessionConfig{Hello: make([]byte, 1025)})
	if !errors.Is(err, session.ErrHello) {
		t.Errorf("a connect message of 1025 bytes: %v, want ErrHello", err)
	}
}

func TestRemoteAddrOfASession(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		_, err := g.connect(client.SessionConfig{})
		g.must(err)
		for c := range g.server.Conns() {
			if a := c.RemoteAddr().Addr(); a != netip.MustParseAddr("198.51.100.7") {
				t.Errorf("the client's address is %v, want 198.51.100.7", a)
			}
		}
	})
}
