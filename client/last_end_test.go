package client_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A handler panics in Poll, and the next event's in Close, and the program recovers both times. The second Close
// returns, so Handler.Close has run and Done is closed.
func TestCloseAfterTwoPanicsDeliversTheEnd(t *testing.T) {
	inGame(t, godwit.Config{Handler: godwit.Handler{Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) {
		for range 4 {
			c.Send(ch, b)
		}
	}}}, func(g *game) {
		e := g.manual()
		closes, got := 0, 0
		s, err := g.join(e, client.SessionConfig{Handler: client.SessionHandler{
			Message: func(*client.Session, channel.ID, []byte) {
				if got++; got <= 2 {
					panic("boom")
				}
			},
			Close: func(*client.Session, session.CloseReason) { closes++ },
		}})
		g.must(err)
		s.Send(chat, []byte("x"))
		e.Flush()
		time.Sleep(200 * time.Millisecond)
		try(func() {
			for range e.Poll(0) {
			}
		})
		try(func() { e.Close() })
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.Done():
		default:
			t.Errorf("Close has returned, but Done is not closed; %d messages, %d ends", got, closes)
		}
	})
}

// A handler of a session on a WebSocket runs, and the session moves to WebRTC meanwhile. The handler returns when the
// loops of WebRTC have ended: Shutdown runs the handlers that are left.
func TestHandlersThatTheEndOutran(t *testing.T) {
	in, out := make(chan bool), make(chan bool)
	var told []session.CloseCode
	race{server: godwit.Config{Handler: godwit.Handler{
		Message: func(*godwit.Conn, channel.ID, []byte) {
			close(in)
			<-out
		},
		Close: func(_ *godwit.Conn, why godwit.CloseReason) { told = append(told, why.Code) },
	}}, upgrade: pass}.run(t, func(g *game, e *client.Endpoint) {
		in, out = make(chan bool), make(chan bool) // of this test's bubble
		g.dark(3 * time.Second)
		s := testkit.Must(g.join(e, client.SessionConfig{}))
		g.wantLink(s, session.LinkWebSocket)
		g.must(s.Send(chat, []byte("wait")))
		<-in
		time.Sleep(time.Minute)
		conn := slices.Collect(g.server.Conns())[0]
		if l := conn.Link(); l != session.LinkWebRTC {
			t.Fatalf("the session is on %s", l)
		}
		ctx, cancel := context.WithTimeout(g.t.Context(), time.Second)
		defer cancel()
		down := make(chan error, 1)
		go func() { down <- g.server.Shutdown(ctx, "") }()
		time.Sleep(10 * time.Second)
		close(out)
		<-down
		if len(told) != 1 || told[0] != session.CloseShutdown {
			t.Errorf("Close was called with %v, want one call with CloseShutdown", told)
		}
	})
}

// A handler panics before the handlers of another session are called in the same turn, that session's connection ends,
// and the socket fails. Close calls the handlers for the news from before and for the end.
func TestCloseTellsTheEndAfterNewsThatAPanicHeldBack(t *testing.T) {
	var loud *godwit.Conn // whose handler is called first, and panics
	var told []string
	panics := 0
	inGame(t, godwit.Config{}, func(g *game) {
		g.must(g.server.Close())
		socket := testkit.Listen(t, g.network, gameAddr)
		g.server = testkit.Must(godwit.Serve(socket, godwit.Config{Manual: true, Channels: table, Handler: godwit.Handler{
			Message: func(c *godwit.Conn, _ channel.ID, b []byte) {
				if loud == nil {
					loud = c
				}
				if c == loud {
					panics++
					panic("boom")
				}
				told = append(told, string(b))
			},
			Interrupted: func(c *godwit.Conn) { told = append(told, "interrupted") },
			Close: func(c *godwit.Conn, why session.CloseReason) {
				if c != loud {
					told = append(told, why.Code.String())
				}
			},
		}}))
		poll := func(d time.Duration) {
			for range g.server.Poll(d) {
			}
		}
		var sessions []*client.Session
		for range 2 {
			joined := make(chan *client.Session)
			go func() { joined <- testkit.Must(g.connect(client.SessionConfig{})) }()
			for joining := true; joining; {
				select {
				case s := <-joined:
					sessions, joining = append(sessions, s), false
				default:
					poll(10 * time.Millisecond)
				}
			}
		}
		for _, s := range sessions {
			for _, text := range []string{"a", "b", "c"} {
				g.must(s.Send(chat, []byte(text)))
			}
		}
		time.Sleep(30 * time.Millisecond) // all of it is one batch
		g.dark(time.Minute)               // nobody connects again
		try(func() { poll(0) })
		for c := range g.server.RTC().Conns() {
			if c.RemoteAddr() != loud.RemoteAddr() {
				c.Close("cut")
			}
		}
		for range 2 {
			time.Sleep(2 * time.Second) // until that connection is gone
			try(func() { poll(0) })
		}
		if n := g.server.RTC().Stats().Conns; panics != 3 || len(told) != 0 || n != 1 {
			t.Errorf("before the end: %d panics, want 3; told %q, want nothing; %d connections, want 1", panics, told, n)
		}
		socket.Close()
		g.must(g.server.Close())
		if want := []string{"a", "b", "c", "interrupted", session.CloseShutdown.String()}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
