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
