package websock_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/websock"
)

// A site is an HTTP server on connections in memory that upgrades every request.
type site struct {
	t       *testing.T
	pipes   *testkit.Pipes
	buffers websock.Buffers
	running sync.WaitGroup
	opened  chan *websock.Conn // the server's ends
	ends    []*end             // those that have started
}

// onSite runs a test on a site, in a bubble.
func onSite(t *testing.T, test func(t *testing.T, s *site)) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, buffers: websock.NewBuffers(4), opened: make(chan *websock.Conn, 1)}
		s.pipes = testkit.ServeHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websock.Accept(w, r, netip.MustParseAddrPort("192.0.2.1:7"), s.buffers)
			if err != nil {
				t.Error(err)
			}
			s.opened <- c
		}))
		test(t, s)
		for _, e := range s.ends {
			e.Close("")
		}
		s.running.Wait()
	})
}

// An end is one end of a WebSocket that has started.
type end struct {
	*websock.Conn
	came   chan []byte
	rooms  chan struct{}
	ended  chan error
	refuse bool // Receive returns false
}

// start starts one end.
func (s *site) start(c *websock.Conn) *end {
	return s.run(&end{Conn: c, came: make(chan []byte, 1000), rooms: make(chan struct{}, 1000), ended: make(chan error, 10)})
}

// run starts an end whose fields are set.
func (s *site) run(e *end) *end {
	e.Start(&s.running, websock.Handler{
		Receive: func(b []byte) bool { e.came <- bytes.Clone(b); return !e.refuse },
		Room:    func() { e.rooms <- struct{}{} },
		Ended:   func(err error) { e.ended <- err },
	})
	s.ends = append(s.ends, e)
	return e
}

// server opens a WebSocket whose client is the library, and returns both ends.
func (s *site) server() (*end, *websocket.Conn) {
	s.t.Helper()
	ws, _, err := websocket.Dial(s.t.Context(), "ws://game.example/", &websocket.DialOptions{
		HTTPClient: s.pipes.Client(), Subprotocols: []string{"godwit.1", "ticket.x"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { ws.CloseNow() })
	return s.start(<-s.opened), ws
}

// pair opens a WebSocket and returns both ends, the client's first.
func (s *site) pair() (a, b *end) {
	s.t.Helper()
	c := testkit.Must(websock.Dial(s.t.Context(), "ws://game.example/", "x", s.pipes.Client(), nil, s.buffers))
	return s.start(c), s.start(<-s.opened)
}

// status reads until the WebSocket ends, and returns with which status and text.
func status(ws *websocket.Conn) (websocket.StatusCode, string) {
	for {
		if _, _, err := ws.Read(context.Background()); err != nil {
			c, _ := errors.AsType[websocket.CloseError](err)
			return c.Code, c.Reason
		}
	}
}

// Datagrams of every size arrive whole and in order, both ways. Close sends what was sent before it,
// and then its text. What follows a Close is not sent, and both ends end once.
func TestDatagramsArriveBothWays(t *testing.T) {
	onSite(t, func(t *testing.T, s *site) {
		a, b := s.pair()
		for _, ends := range [][2]*end{{a, b}, {b, a}} {
			for _, n := range []int{0, 1, 125, 126, 1149, 1150} {
				want := bytes.Repeat([]byte{byte(n)}, n)
				if !ends[0].Send(want) {
					t.Errorf("%d bytes: Send returns false", n)
				}
				if got := <-ends[1].came; !bytes.Equal(got, want) {
					t.Errorf("%d bytes: %d arrive", n, len(got))
				}
			}
		}
		time.Sleep(time.Hour)
		a.Send([]byte("last"))
		a.Close("bye")
		a.Close("again")
		if a.Send(nil) {
			t.Error("a Conn that is closed takes a datagram")
		}
		if got := <-b.came; string(got) != "last" {
			t.Errorf("%q arrives, want the datagram that was sent last", got)
		}
		for _, e := range []*end{a, b} {
			if err := <-e.ended; err == nil || websock.Broken(err) {
				t.Errorf("it ends with %v", err)
			}
		}
		b.Close("")
		s.running.Wait()
		if len(a.ended)+len(b.ended) > 0 {
			t.Error("Ended is called twice")
		}
		if len(s.buffers) == 0 || len(s.buffers) > 4 {
			t.Errorf("%d buffers are kept for other datagrams", len(s.buffers))
		}
		for len(s.buffers) > 0 {
			if b := <-s.buffers; len(b) != 0 || cap(b) < 1152 {
				t.Errorf("a buffer that is kept has %d bytes of %d", len(b), cap(b))
			}
		}
	})
}

// The text of Close reaches the other end, cut to 100 bytes.
func TestTheTextOfCloseArrives(t *testing.T) {
	for _, text := range []string{"", "bye", strings.Repeat("x", 100), strings.Repeat("x", 99) + "yz"} {
		onSite(t, func(t *testing.T, s *site) {
			e, ws := s.server()
			e.Close(text)
			if code, got := status(ws); code != 1000 || got != text[:min(100, len(text))] {
				t.Errorf("the other end gets %d %q", code, got)
			}
			if err := <-e.ended; err == nil || websock.Broken(err) {
				t.Errorf("it ends with %v", err)
			}
		})
	}
}

// Send does not wait for the other end: the outbox takes 16 datagrams besides the one that is being
// written. Room is called when there is room again, and only after a Send that had none.
func TestAFullOutboxRefusesUntilThereIsRoom(t *testing.T) {
	onSite(t, func(t *testing.T, s *site) {
		e, ws := s.server()
		for i := range 17 {
			if !e.Send(fmt.Append(nil, i)) {
				t.Fatalf("datagram %d is refused", i)
			}
			synctest.Wait()
		}
		for range 3 {
			if e.Send([]byte("too many")) {
				t.Error("the outbox takes 18 datagrams")
			}
		}
		if len(e.rooms) != 0 {
			t.Error("Room is called while there is none")
		}
		for i := range 17 {
			if _, b, err := ws.Read(t.Context()); err != nil || string(b) != fmt.Sprint(i) {
				t.Errorf("%q arrives, want %d: %v", b, i, err)
			}
			synctest.Wait()
			if len(e.rooms) != 1 {
				t.Errorf("Room was called %d times after %d datagrams", len(e.rooms), i+1)
			}
		}
		if !e.Send([]byte("more")) {
			t.Error("there is no room")
		}
		ws.Read(t.Context())
		synctest.Wait()
		if len(e.rooms) != 1 {
			t.Errorf("Room was called %d times", len(e.rooms))
		}
	})
}

// An end that reads nothing for 10 s ends the connection; one that reads again before that does not,
// and its pings are answered later, too.
func TestAnEndThatDoesNotRead(t *testing.T) {
	onSite(t, func(t *testing.T, s *site) {
		e, ws := s.server()
		for range 3 {
			e.Send([]byte("hello"))
			time.Sleep(10*time.Second - 1)
			if _, _, err := ws.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		go ws.Read(context.Background()) // for the answer
		if err := ws.Ping(t.Context()); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	})
	onSite(t, func(t *testing.T, s *site) {
		e, _ := s.server()
		start := time.Now()
		for range 18 {
			e.Send([]byte("hello"))
			synctest.Wait()
		}
		if err := <-e.ended; time.Since(start) != 10*time.Second || websock.Broken(err) {
			t.Errorf("it ends after %v: %v", time.Since(start), err)
		}
	})
}

// At Close the other end has 2 s to take what is in the outbox.
func TestCloseWaitsForTheOutbox(t *testing.T) {
	for _, late := range []time.Duration{2*time.Second - 1, 2 * time.Second} {
		onSite(t, func(t *testing.T, s *site) {
			e, ws := s.server()
			for range 5 {
				e.Send([]byte("hello"))
			}
			e.Close("bye")
			time.Sleep(late)
			n := 0
			for {
				_, _, err := ws.Read(t.Context())
				if err != nil {
					break
				}
				n++
			}
			if want := 5; (n == want) != (late < 2*time.Second) {
				t.Errorf("%d datagrams arrive after %v", n, late)
			}
		})
	}
}

// The limit of Close is that of each write, also of one that has begun before.
func TestCloseLimitsEveryWrite(t *testing.T) {
	for reads := range 3 {
		onSite(t, func(t *testing.T, s *site) {
			e, ws := s.server()
			for range 3 {
				e.Send([]byte("hello"))
				synctest.Wait()
			}
			start := time.Now()
			e.Close("bye")
			for range reads {
				if _, _, err := ws.Read(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if <-e.ended; time.Since(start) != 2*time.Second {
				t.Errorf("it ends after %v, with %d datagrams read", time.Since(start), reads)
			}
		})
	}
}

// The closing handshake takes at most a second, whoever begins it.
func TestAnEndThatDoesNotAnswerAClose(t *testing.T) {
	for name, end := range map[string]func(*end, *websocket.Conn){
		"closed here":    func(e *end, _ *websocket.Conn) { e.Close("bye") },
		"broken by them": func(_ *end, ws *websocket.Conn) { ws.Write(context.Background(), websocket.MessageText, []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			onSite(t, func(t *testing.T, s *site) {
				e, ws := s.server()
				start := time.Now()
				end(e, ws)
				<-e.ended
				if took := time.Since(start); took != time.Second {
					t.Errorf("it ends after %v, want 1 s", took)
				}
			})
		})
	}
}

// A text, and a message of more than 1150 bytes in whatever frames, end the connection as broken,
// with a status that says so.
func TestMessagesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		kind   websocket.MessageType
		pieces []int
		status websocket.StatusCode
	}{
		"text":       {websocket.MessageText, []int{1}, 1003},
		"1151 bytes": {websocket.MessageBinary, []int{1151}, 1009},
		"fragments":  {websocket.MessageBinary, []int{1150, 1}, 1009},
		"too many":   {websocket.MessageBinary, []int{5000, 5000}, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			onSite(t, func(t *testing.T, s *site) {
				e, ws := s.server()
				go func() {
					w, _ := ws.Writer(t.Context(), c.kind)
					for _, n := range c.pieces {
						w.Write(make([]byte, n))
					}
					w.Close()
				}()
				if code, _ := status(ws); code != c.status {
					t.Errorf("the status is %d, want %d", code, c.status)
				}
				if err := <-e.ended; err == nil || !websock.Broken(err) {
					t.Errorf("%v does not count as broken", err)
				}
				if len(e.came) > 0 {
					t.Errorf("%d bytes are delivered", len(<-e.came))
				}
			})
		})
	}
}

// A message in fragments, some of them empty, is one datagram.
func TestAMessageInFragmentsIsOneDatagram(t *testing.T) {
	onSite(t, func(t *testing.T, s *site) {
		e, ws := s.server()
		w := testkit.Must(ws.Writer(t.Context(), websocket.MessageBinary))
		want := ""
		for i := range 50 {
			piece := strings.Repeat(string(rune('a'+i%26)), i%3)
			io.WriteString(w, piece)
			want += piece
		}
		w.Close()
		if got := <-e.came; string(got) != want {
			t.Errorf("%q arrives, want %q", got, want)
		}
	})
}

// If Receive returns false nothing more is delivered. The connection ends when its owner closes it, or
// after 3 s, and nobody has broken it.
func TestAReceiverThatRefuses(t *testing.T) {
	for _, closes := range []bool{true, false} {
		onSite(t, func(t *testing.T, s *site) {
			e, ws := s.server()
			e.refuse = true
			for i := range 4 {
				if err := ws.Write(t.Context(), websocket.MessageBinary, []byte("x")); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(i%2) * time.Second)
			}
			want := time.Second // of the 3 s, which begin with the first datagram
			if closes {
				e.Close("bye")
				want = 0
			}
			start := time.Now()
			if code, text := status(ws); closes && (code != 1000 || text != "bye") || !closes && code != 0 {
				t.Errorf("the other end gets %d %q", code, text)
			}
			if err := <-e.ended; websock.Broken(err) || err.Error() != "closed at this end" || time.Since(start) != want {
				t.Errorf("it ends with %v after %v", err, time.Since(start))
			}
			if len(e.came) != 1 {
				t.Errorf("%d datagrams are delivered", len(e.came))
			}
		})
	}
}

// A receiver may refuse datagrams of a connection whose socket is not known, too.
func TestARefusalWithoutASocket(t *testing.T) {
	onSite(t, func(t *testing.T, s *site) {
		c := open(t, false, canned{Reader: bytes.NewReader(slices.Concat(frame(false, 0x82, "one"), frame(false, 0x82, "two")))})
		e := &end{Conn: c, came: make(chan []byte, 2), ended: make(chan error, 1), refuse: true}
		s.run(e)
		if err := <-e.ended; err.Error() != "closed at this end" || len(e.came) != 1 {
			t.Errorf("it ends with %v after %d datagrams", err, len(e.came))
		}
	})
}

// 16 pings may come at once, and one more every second. One too many ends the connection with the
// status 1008, and is not answered.
func TestPings(t *testing.T) {
	for _, c := range []struct {
		idle, every time.Duration
		pass        int
	}{
		{0, 0, 16},
		{time.Hour, 0, 16},
		{500 * time.Millisecond, 0, 16},
		{0, 900 * time.Millisecond, 151}, // 151 pings are 16 and 135, which 135 s allow
		{0, time.Second, 1000},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			onSite(t, func(t *testing.T, s *site) {
				e, ws := s.server()
				code := make(chan websocket.StatusCode, 1)
				go func() { c, _ := status(ws); code <- c }()
				time.Sleep(c.idle)
				for i := range c.pass {
					if i > 0 {
						time.Sleep(c.every)
					}
					if err := ws.Ping(t.Context()); err != nil {
						t.Errorf("ping %d: %v", i+1, err)
						return
					}
				}
				if c.every == time.Second {
					e.Close("")
					return
				}
				time.Sleep(c.every)
				if err := ws.Ping(t.Context()); err == nil {
					t.Error("the last ping is answered")
				}
				if c := <-code; c != 1008 {
					t.Errorf("the status is %d, want 1008", c)
				}
				if err := <-e.ended; !websock.Broken(err) || err.Error() != "too many pings" {
					t.Errorf("it ends with %v", err)
				}
			})
		})
	}
}

// What ends a connection without a fault of the other end does not count as broken.
func TestBroken(t *testing.T) {
	for _, err := range []error{io.ErrUnexpectedEOF, net.ErrClosed, &net.OpError{Op: "read", Err: errors.New("reset")}, websocket.CloseError{Code: 1001}} {
		if websock.Broken(fmt.Errorf("failed: %w", err)) {
			t.Errorf("%v counts as broken", err)
		}
	}
	if !websock.Broken(errors.New("received unmasked frame from client")) {
		t.Error("a fault of the protocol does not count as broken")
	}
}

// A connection that ends within a message delivers nothing of it, wherever it ends. Nobody has broken
// the protocol.
func TestAConnectionThatEndsWithinAMessage(t *testing.T) {
	for _, server := range []bool{true, false} {
		whole := slices.Concat(frame(server, 0x02, "he"), frame(server, 0x00, ""), frame(server, 0x80, strings.Repeat("x", 200)))
		for n := range whole {
			onSite(t, func(t *testing.T, s *site) {
				e := s.start(open(t, server, canned{Reader: bytes.NewReader(whole[:n])}))
				if err := <-e.ended; websock.Broken(err) {
					t.Errorf("the end after %d bytes counts as broken: %v", n, err)
				}
				if len(e.came) > 0 {
					t.Errorf("%q is delivered after %d of %d bytes", <-e.came, n, len(whole))
				}
			})
		}
	}
}

// Abort ends a Conn that was not started.
func TestAbortEndsAConnThatWasNotStarted(t *testing.T) {
	onSite(t, func(t *testing.T, s *site) {
		ws, _, err := websocket.Dial(t.Context(), "ws://game.example/", &websocket.DialOptions{HTTPClient: s.pipes.Client()})
		if err != nil {
			t.Fatal(err)
		}
		defer ws.CloseNow()
		(<-s.opened).Abort()
		if _, _, err := ws.Read(t.Context()); err == nil {
			t.Error("the other end has not ended")
		}
	})
}
