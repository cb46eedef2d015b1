package godwit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// events polls until there are no more events, and returns the types of the events.
func events(s *Server, f func(Event)) (types []session.EventType) {
	for quiet := 0; quiet < 3; quiet++ {
		for ev := range s.Poll(0) {
			quiet = 0
			types = append(types, ev.Type)
			if f != nil {
				f(ev)
			}
		}
		s.Flush()
	}
	return types
}

func manual(c *Config) { c.Manual, c.Handler = true, Handler{} }

func TestPollYieldsWhatNoHandlerWants(t *testing.T) {
	var reasons []CloseReason
	srv, _ := newTestServer(t, manual, func(c *Config) {
		c.Handler.Close = func(_ *Conn, why CloseReason) { reasons = append(reasons, why) }
	})
	d := &recorder{}
	client, err := srv.Local(LocalConfig{Handler: d.handler()})
	must(t, err)
	if got := events(srv, nil); !slices.Equal(got, []session.EventType{session.EventOpen}) {
		t.Errorf("the first events are %v, want EventOpen", got)
	}
	must(t, client.Send(chat, []byte("a")))
	must(t, client.Send(chat, []byte("b")))
	_, err = client.Ask("q", nil, func(r Result) { d.Note("%v", r.Status) })
	must(t, err)
	var bodies string
	got := events(srv, func(ev Event) {
		bodies += string(ev.Data)
		if ev.Type == session.EventRequest {
			must(t, ev.Request.Ack())
		}
	})
	if len(got) != 3 || bodies != "ab" {
		t.Errorf("the events are %v with the messages %q, want a and b", got, bodies)
	}
	client.Close(session.CloseNormal, "")
	events(srv, nil)
	if len(reasons) != 1 || !reasons[0].Remote {
		t.Errorf("Close of the handler got %v, want one remote reason", reasons)
	}
	d.want(t, "open ", "acknowledged", "closed here: normal")
}

// A func of the Handler may leave an event to Poll, also to a later one, with its bytes and its
// request.
func TestHandlersLeaveEventsToPoll(t *testing.T) {
	srv, _ := newTestServer(t, manual, func(c *Config) {
		c.Handler.Message = func(c *Conn, ch ChannelID, b []byte) {
			c.Yield(Event{Type: session.EventMessage, Channel: ch, Data: b})
		}
		c.Handler.Request = func(c *Conn, r *Request) { c.Yield(Event{Type: session.EventRequest, Request: r}) }
	})
	d := &recorder{}
	client, err := srv.Local(LocalConfig{Handler: d.handler()})
	must(t, err)
	events(srv, nil)
	d.Take()
	for _, text := range []string{"a", "b"} {
		must(t, client.Send(chat, []byte(text)))
	}
	_, err = client.Ask("q", []byte("c"), func(r Result) { d.Note("%v %s", r.Status, r.Data) })
	must(t, err)
	srv.Flush()
	var got []string
	for range 10 {
		for ev := range srv.Poll(0) {
			switch {
			case ev.Conn == nil || ev.Conn == client:
				t.Errorf("%v is not of the server's end", ev.Type)
			case ev.Type == session.EventMessage:
				got = append(got, table.Name(ev.Channel)+" "+string(ev.Data))
			case ev.Type == session.EventRequest:
				got = append(got, "request "+string(ev.Request.Data))
				must(t, ev.Request.Reply([]byte("d")))
			}
			break
		}
	}
	slices.Sort(got)
	if want := []string{"chat a", "chat b", "request c"}; !slices.Equal(got, want) {
		t.Errorf("Poll yields %q, want %q", got, want)
	}
	d.want(t, "responded d")
}

func TestPollThatBreaksOffLosesNothing(t *testing.T) {
	srv, _ := newTestServer(t, manual)
	client, err := srv.Local(LocalConfig{})
	must(t, err)
	events(srv, nil)
	for _, text := range []string{"a", "b", "c"} {
		must(t, client.Send(chat, []byte(text)))
	}
	_, err = client.Ask("d", []byte("d"), func(Result) {})
	must(t, err)
	srv.Flush()
	var got []string
	for range 10 {
		for ev := range srv.Poll(0) {
			if ev.Type == session.EventRequest {
				ev.Data = ev.Request.Data
			}
			got = append(got, string(ev.Data))
			break
		}
	}
	slices.Sort(got) // a request may overtake a message
	if !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("the messages are %q, want a b c d", got)
	}
}

func TestPollMisuse(t *testing.T) {
	srv, _ := newTestServer(t)
	for ev := range srv.Poll(0) {
		if ev.Type != session.EventEnded || !errors.Is(ev.Err, session.ErrManual) {
			t.Errorf("Poll without Manual: %v, %v; want ErrManual", ev.Type, ev.Err)
		}
	}
	srv, _ = newTestServer(t, manual)
	srv.Local(LocalConfig{})
	events(srv, func(Event) {
		for ev := range srv.Poll(0) {
			if ev.Type != session.EventEnded || ev.Err != session.ErrInHandler {
				t.Errorf("Poll inside Poll: %v, %v; want ErrInHandler", ev.Type, ev.Err)
			}
		}
	})
	must(t, srv.Shutdown(context.Background(), ""))
	events := 0
	for range srv.Poll(time.Hour) { // what happened in Shutdown
		events++
	}
	if events == 0 {
		t.Error("Poll yields nothing after Shutdown")
	}
	for ev := range srv.Poll(time.Hour) {
		if ev.Type != session.EventEnded || !errors.Is(ev.Err, session.ErrClosed) {
			t.Errorf("Poll after Shutdown: %v, %v; want ErrClosed", ev.Type, ev.Err)
		}
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) { bubble(t, steadyState) }

func steadyState(t *testing.T) {
	got := 0
	var server *Conn
	srv, _ := newTestServer(t, func(c *Config) {
		c.Manual = true
		c.Limits = Limits{Messages: -1, Bytes: -1}
		c.Ceiling = -1
		c.Handler = Handler{
			Open:    func(c *Conn) { server = c },
			Message: func(c *Conn, ch ChannelID, b []byte) { c.Send(ch, b) },
		}
	})
	client, err := srv.Local(LocalConfig{Handler: Handler{Message: func(*Conn, ChannelID, []byte) { got++ }}})
	must(t, err)
	body := make([]byte, 200)
	g := srv.NewGroup()
	idle := func() {
		srv.Flush()
		for range srv.Poll(0) {
		}
		time.Sleep(16 * ms)
	}
	tick := func() {
		for _, ch := range []ChannelID{move, chat, loot} {
			client.Send(ch, body)
		}
		if server != nil {
			g.Send(chat, body)
			srv.Broadcast(move, body)
			g.SendNamed(nil, "den", body)
			server.SendNamed("den", body, Options{})
		}
		idle()
	}
	for range 100 {
		tick()
	}
	g.Join(server)
	_, err = server.OpenChannel(Channel{Name: "den", Mode: ReliableOrdered})
	must(t, err)
	for range 2000 {
		tick()
	}
	busy, rest := testing.AllocsPerRun(500, tick), testing.AllocsPerRun(500, idle)
	if busy > rest || rest > 2 { // those of ranging over Poll
		t.Errorf("%v allocations in a tick with ten messages, %v in one without, want at most 2", busy, rest)
	}
	if got < 7*2000 {
		t.Errorf("%d echoes have arrived, want %d at least", got, 7*2000)
	}
}

// Events of Shutdown that have no handler are yielded by the next Poll. Messages of a client
// that no Poll has processed before are not.
func TestPollAfterShutdown(t *testing.T) {
	srv, _ := newTestServer(t, manual)
	d := &recorder{}
	client, err := srv.Local(LocalConfig{Handler: d.handler()})
	must(t, err)
	events(srv, nil)
	must(t, client.Send(chat, []byte("last words")))
	must(t, srv.Shutdown(context.Background(), ""))
	var got []session.EventType
	for ev := range srv.Poll(0) {
		got = append(got, ev.Type)
	}
	if want := []session.EventType{session.EventClose, session.EventEnded}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	d.want(t, "open ", "closed by the other end: shutdown")
}
