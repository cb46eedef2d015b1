package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// manual makes an endpoint that the test polls.
func (g *game) manual() *client.Endpoint {
	g.t.Helper()
	e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr),
		client.Config{Manual: true, HTTP: &http.Client{Transport: g}}))
	g.t.Cleanup(func() { e.Close() })
	return e
}

// poll polls for d and returns the events as texts. Like a game it calls Poll with at most 16
// ms.
func poll(e *client.Endpoint, d time.Duration, do func(client.Event)) (all []string) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for ev := range e.Poll(16 * time.Millisecond) {
			what := ev.Type.String()
			switch ev.Type {
			case session.EventMessage:
				what += " " + string(ev.Data)
			case session.EventRequest:
				what += " " + ev.Request.Name
			case session.EventReceipt:
				what += " " + ev.Fate.String()
			case session.EventClose, session.EventRenewing:
				what += " " + ev.Reason.Code.String()
			case session.EventEnded:
				what += ": " + ev.Err.Error()
			}
			all = append(all, what)
			if do != nil {
				do(ev)
			}
		}
		e.Flush()
	}
	return all
}

func wantAll(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

var echo = godwit.Config{Handler: godwit.Handler{
	Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
}}

// A func of the SessionHandler may leave an event to Poll.
func TestHandlersLeaveEventsToPoll(t *testing.T) {
	inGame(t, echo, func(g *game) {
		e := g.manual()
		s, err := g.join(e, client.SessionConfig{Handler: client.SessionHandler{
			Message: func(s *client.Session, ch channel.ID, b []byte) {
				s.Yield(client.Event{Type: session.EventMessage, Channel: ch, Data: b})
			},
		}})
		g.must(err)
		g.must(s.Send(chat, []byte("hello")))
		e.Flush()
		got := poll(e, time.Second, func(ev client.Event) {
			if ev.Session != s {
				t.Errorf("%v is of another session", ev.Type)
			}
		})
		wantAll(t, "the events", got, "open", "message hello")
	})
}

// Poll of a client yields the events without a handler, in order. The client sends at Flush and
// has no goroutine.
func TestPollOfAClient(t *testing.T) {
	inGame(t, echo, func(g *game) {
		e := g.manual()
		s, err := g.join(e, client.SessionConfig{})
		g.must(err)
		if s.State() != session.StateOpen {
			t.Errorf("the state is %v, want open", s.State())
		}
		_, err = s.SendWith(chat, []byte("hello"), channel.Options{Receipt: true})
		g.must(err)
		server := slices.Collect(g.server.Conns())[0]
		time.Sleep(time.Second)
		if n := server.ChannelStats(chat).MessagesIn; n != 0 {
			t.Errorf("%d messages are sent without Flush or Poll, want 0", n)
		}
		e.Flush()
		got := poll(e, time.Second, func(ev client.Event) {
			if ev.Session != s {
				t.Errorf("an event of the session %v, want %v", ev.Session, s)
			}
		})
		slices.Sort(got[1:])
		wantAll(t, "a second", got, "open", "message hello", "receipt delivered")

		answers := make(chan string, 1)
		_, err = server.Ask("who", nil, func(r godwit.Result) { answers <- fmt.Sprintf("%v %s", r.Status, r.Data) })
		g.must(err)
		wantAll(t, "a request", poll(e, time.Second, func(ev client.Event) { g.must(ev.Request.Reply([]byte("me"))) }), "request who")
		testkit.Want(t, "the server", answers, "responded me")
		server.Kick("")
		wantAll(t, "kicked", poll(e, time.Second, nil), "close kicked")
		select {
		case <-s.Done():
		default:
			t.Error("Done is not closed after the end")
		}
		g.must(e.Close())
		wantAll(t, "closed", poll(e, 16*time.Millisecond, func(client.Event) { time.Sleep(time.Second) }), "ended: "+session.ErrClosed.Error())
	})
}

// What a Poll's body leaves is yielded first in the next Poll, with its data.
func TestPollOfAClientKeepsWhatIsLeft(t *testing.T) {
	inGame(t, echo, func(g *game) {
		e := g.manual()
		s, err := g.join(e, client.SessionConfig{Handler: client.SessionHandler{Open: func(*client.Session) {}}})
		g.must(err)
		for range e.Poll(0) {
		}
		for i := range 3 {
			g.must(s.Send(chat, fmt.Appendf(nil, "%d", i)))
		}
		e.Flush()
		var got []string
		for range 20 {
			for ev := range e.Poll(16 * time.Millisecond) {
				got = append(got, string(ev.Data))
				break
			}
		}
		wantAll(t, "one for each Poll", got, "0", "1", "2")
	})
}

// A handler of a polled client that panics takes no event with it but its own.
func TestPollOfAClientAfterAPanic(t *testing.T) {
	inGame(t, echo, func(g *game) {
		e := g.manual()
		s, err := g.join(e, client.SessionConfig{Handler: client.SessionHandler{
			Open: func(*client.Session) {},
			Message: func(_ *client.Session, _ channel.ID, b []byte) {
				if g.note("%s", b); string(b) == "0" {
					panic("zero")
				}
			},
			Close: func(*client.Session, session.CloseReason) { g.note("closed") },
		}})
		g.must(err)
		for i := range 3 {
			g.must(s.Send(chat, fmt.Appendf(nil, "%d", i)))
		}
		e.Flush()
		panics := 0
		for range 20 {
			func() {
				defer func() {
					if recover() != nil {
						panics++
					}
				}()
				for range e.Poll(16 * time.Millisecond) {
				}
			}()
		}
		g.want("0", "1", "2")
		if panics != 1 {
			t.Errorf("%d panics, want 1", panics)
		}
		g.must(e.Close())
		g.want("closed")
		testkit.WantNone(t, "nothing else", g.events)
	})
}

// A polled client's session connects again and is renewed while the program only polls.
func TestPolledClientIsRenewed(t *testing.T) {
	inGame(t, echo, func(g *game) {
		e := g.manual()
		_, err := g.join(e, client.SessionConfig{Renew: true})
		g.must(err)
		wantAll(t, "at first", poll(e, time.Second, nil), "open")
		g.server.Shutdown(g.t.Context(), "update")
		next := testkit.Must(godwit.Serve(testkit.Listen(g.t, g.network, gameAddr), godwit.Config{Channels: table}))
		defer next.Close()
		g.next.Store(next)
		wantAll(t, "a restart", poll(e, time.Minute, nil), "renewing shutdown", "open")
	})
}

// Poll, Connect and Join return an error where they cannot work.
func TestWhereAClientCannotBePolled(t *testing.T) {
	inGame(t, echo, func(g *game) {
		wantAll(t, "without Manual", poll(g.endpoint(), 16*time.Millisecond, func(client.Event) { time.Sleep(time.Second) }), "ended: "+session.ErrManual.Error())
		e := g.manual()
		_, err := g.join(e, client.SessionConfig{})
		g.must(err)
		inside := 0
		for range e.Poll(time.Second) {
			inside++
			for ev := range e.Poll(0) {
				if ev.Type != session.EventEnded || !errors.Is(ev.Err, session.ErrInHandler) {
					t.Errorf("a Poll inside a Poll: %+v, want ErrInHandler", ev)
				}
			}
			if _, err := g.join(e, client.SessionConfig{}); !errors.Is(err, session.ErrInHandler) {
				t.Errorf("a Join inside a Poll: %v, want ErrInHandler", err)
			}
			if err := e.Close(); !errors.Is(err, session.ErrInHandler) {
				t.Errorf("a Close inside a Poll: %v, want ErrInHandler", err)
			}
		}
		if inside == 0 {
			t.Error("Poll has yielded no event")
		}
		_, err = client.Connect(g.t.Context(), "http://game.example/", client.Config{Manual: true}, client.SessionConfig{})
		if err == nil || !strings.Contains(err.Error(), "Listen") {
			t.Errorf("Connect with Manual: %v, want an error that names Listen", err)
		}
		if _, err = client.Dial(g.t.Context(), "http://game.example/", client.Config{Manual: true}); err == nil {
			t.Error("Dial with Manual returns no error")
		}
	})
}

// With Retry a client waits for a server that does not answer yet. It does not wait for a server
// that refuses it for good.
func TestRetryOfTheFirstConnect(t *testing.T) {
	for name, manual := range map[string]bool{"with a goroutine": false, "polled": true} {
		inGame(t, echo, func(g *game) {
			join := func(ctx context.Context, sc client.SessionConfig) (time.Duration, error) {
				e := g.endpoint()
				if manual {
					e = g.manual()
				}
				if sc.Channels == nil {
					sc.Channels = table
				}
				begin := time.Now()
				_, err := e.Join(ctx, "http://game.example/godwit/", sc)
				return time.Since(begin), err
			}
			g.broken.Store(true)
			if d, err := join(g.t.Context(), client.SessionConfig{}); err == nil || d > time.Second {
				t.Errorf("%s: without Retry: %v after %v, want an error within 1 s", name, err, d)
			}
			time.AfterFunc(20*time.Second, func() { g.broken.Store(false) })
			if d, err := join(g.t.Context(), client.SessionConfig{Retry: true}); err != nil || d < 20*time.Second || d > 31*time.Second {
				t.Errorf("%s: with Retry: %v after %v, want nil after 20 to 31 s", name, err, d)
			}
			g.broken.Store(true)
			ctx, cancel := context.WithTimeout(g.t.Context(), 5*time.Second)
			if d, err := join(ctx, client.SessionConfig{Retry: true}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no route") || d != 5*time.Second {
				t.Errorf("%s: with a deadline: %v after %v, want DeadlineExceeded and the cause after 5 s", name, err, d)
			}
			cancel()
			g.broken.Store(false)
			for what, sc := range map[string]client.SessionConfig{
				"another table": {Channels: table[:1]}, "a negative rate": {Rate: -1}, "a long hello": {Hello: make([]byte, session.MaxHello+1)},
			} {
				sc.Retry = true
				if d, err := join(g.t.Context(), sc); err == nil || d > time.Second {
					t.Errorf("%s: %s: %v after %v, want an error within 1 s", name, what, err, d)
				}
			}
		})
	}
}

// RenewAfter chooses the ends of a session after which a new session begins.
func TestRenewAfter(t *testing.T) {
	for _, c := range []struct {
		after []session.CloseCode
		end   func(*godwit.Conn)
		want  []string
	}{
		{nil, func(c *godwit.Conn) { c.Kick("") }, []string{"closed by the other end: kicked"}},
		{[]session.CloseCode{session.CloseKicked}, func(c *godwit.Conn) { c.Kick("") }, []string{"renewing, closed by the other end: kicked", "open"}},
		{[]session.CloseCode{session.CloseProgram + 1}, func(c *godwit.Conn) { c.Close(session.CloseProgram+1, "") }, []string{"renewing, closed by the other end: code 257", "open"}},
		{[]session.CloseCode{}, func(c *godwit.Conn) { c.Close(session.CloseShutdown, "") }, []string{"closed by the other end: shutdown"}},
	} {
		inGame(t, echo, func(g *game) {
			sc := g.renewing()
			sc.RenewAfter = c.after
			s, err := g.connect(sc)
			g.must(err)
			g.want("open")
			c.end(slices.Collect(g.server.Conns())[0])
			g.want(c.want...)
			select {
			case <-s.Done():
				if len(c.want) == 2 {
					t.Error("Done is closed, and events follow")
				}
			case <-time.After(time.Second):
				if len(c.want) == 1 {
					t.Error("Done is not closed after the end")
				}
			}
		})
	}
}

// A polled endpoint of level one: Dial takes the turns until the connection is open, the
// handlers run in Poll, and Close runs the last ones.
func TestPollOfConns(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{Manual: true})
		c := w.connect(e)
		w.send(c, "there and back") // leaves at once: only messages of sessions wait for Flush
		time.Sleep(time.Second)
		w.wantQuiet()
		wantAll(t, "a Poll", poll(e, time.Millisecond, nil))
		w.want("3 0 there and back")
		for c := range w.server.Conns() {
			c.Close("")
		}
		wantAll(t, "a second", poll(e, time.Second, nil))
		w.wantBoth("server: closed by the server", "close: closed by the server")
		if n := e.Stats().Conns; n != 0 {
			t.Errorf("%d connections, want 0", n)
		}
		c = w.connect(e)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		w.want("close: closed by the client")
		if err := c.Send(3, client.Text, nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Send after Close: %v, want ErrClosed", err)
		}
		if _, err := e.Connect(t.Context(), w.signal, nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Connect after Close: %v, want ErrClosed", err)
		}
	})
}

// While one goroutine takes the turns of a polled endpoint, in Join or Poll, the calls of
// another that would take turns are refused and do nothing.
func TestOneGoroutinePollsAClient(t *testing.T) {
	inGame(t, echo, func(g *game) {
		e := g.manual()
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Loss: 1})
		joined := make(chan error)
		go func() {
			_, err := g.join(e, client.SessionConfig{})
			joined <- err
		}()
		refused := func(what string) {
			t.Helper()
			synctest.Wait()
			if err := e.Close(); !errors.Is(err, session.ErrInHandler) {
				t.Errorf("Close during a %s: %v, want ErrInHandler", what, err)
			}
			if _, err := g.join(e, client.SessionConfig{}); !errors.Is(err, session.ErrInHandler) {
				t.Errorf("Join during a %s: %v, want ErrInHandler", what, err)
			}
			if _, err := e.JoinOver(g.t.Context(), client.LinkConfig{}, client.SessionConfig{}); !errors.Is(err, session.ErrInHandler) {
				t.Errorf("JoinOver during a %s: %v, want ErrInHandler", what, err)
			}
			wantAll(t, "Poll amid a "+what, poll(e, time.Millisecond, func(client.Event) { time.Sleep(time.Second) }), "ended: "+session.ErrInHandler.Error())
		}
		refused("Join")
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.must(<-joined)
		wantAll(t, "after Join", poll(e, time.Second, nil), "open")
		polled := make(chan []string)
		go func() { polled <- poll(e, time.Second, nil) }()
		refused("Poll")
		wantAll(t, "the Poll", <-polled)
		g.must(e.Close())
	})
}

// When the socket of a polled endpoint fails, its sessions and connections end, and Poll says
// that the endpoint has ended.
func TestSocketOfAPolledClientFails(t *testing.T) {
	inGame(t, echo, func(g *game) {
		socket := testkit.Listen(g.t, g.network, pageAddr)
		e := testkit.Must(client.Serve(socket, client.Config{Manual: true, HTTP: &http.Client{Transport: g}}))
		s, err := g.join(e, client.SessionConfig{Renew: true})
		g.must(err)
		wantAll(t, "at first", poll(e, time.Second, nil), "open")
		socket.Close()
		wait := func(client.Event) { time.Sleep(10 * time.Second) }
		wantAll(t, "the socket fails", poll(e, 15*time.Second, wait), "close normal", "ended: "+session.ErrClosed.Error())
		wantAll(t, "after it", poll(e, time.Millisecond, wait), "ended: "+session.ErrClosed.Error())
		if st := s.State(); st != session.StateClosed {
			t.Errorf("the state is %v, want closed", st)
		}
		if err := s.Send(chat, nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Send: %v, want ErrClosed", err)
		}
		if _, err := g.join(e, client.SessionConfig{Retry: true}); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Join: %v, want ErrClosed", err)
		}
		if n := e.Stats().Conns; n != 0 {
			t.Errorf("%d connections, want 0", n)
		}
		g.must(e.Close())
	})
}

// A receipt that Poll yields says which message of which channel it is about, and what has become of it.
func TestReceiptsOfAPolledClient(t *testing.T) {
	inGame(t, echo, func(g *game) {
		e := g.manual()
		s, err := g.join(e, client.SessionConfig{})
		g.must(err)
		poll(e, time.Second, nil)
		var want [2]channel.MessageID
		for i := range want {
			want[i], err = s.SendWith(chat, []byte("hello"), channel.Options{Receipt: true})
			g.must(err)
		}
		g.server.Close() // before anything is sent
		n := 0
		poll(e, time.Second, func(ev client.Event) {
			if ev.Type != session.EventReceipt {
				return
			}
			if n >= len(want) || ev.Channel != chat || ev.Message != want[n] || ev.Fate != channel.FateAbandoned {
				t.Errorf("receipt %d is %+v", n, ev)
			}
			n++
		})
		if n != len(want) {
			t.Errorf("%d receipts, want %d", n, len(want))
		}
	})
}
