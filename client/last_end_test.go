package client_test

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
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
