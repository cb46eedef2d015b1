package webtransport

import (
	"fmt"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

// A session over WebTransport opens, echoes, and ends with the reason of the server.
func TestASessionOverWebTransport(t *testing.T) {
	conns := make(chan *godwit.Conn, 1)
	w := newWorld(t, godwit.Config{Handler: godwit.Handler{Open: func(c *godwit.Conn) { conns <- c }}}, Config{})
	echoes, closed := make(chan string, 1000), make(chan string, 1)
	s := w.join(client.SessionHandler{
		Message: func(_ *client.Session, _ channel.ID, b []byte) { echoes <- string(b) },
		Close:   func(_ *client.Session, r session.CloseReason) { closed <- r.Text },
	})
	c := <-conns
	if c.Link() != session.LinkWebTransport || !c.RemoteAddr().Addr().IsLoopback() {
		t.Errorf("the link is %q of %v", c.Link(), c.RemoteAddr())
	}
	const n = 500
	for i := range n {
		if err := s.Send(1, fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		want(t, "echo", echoes, fmt.Sprint(i))
	}
	if err := s.Send(1, make([]byte, 100_000)); err != nil { // many full packets
		t.Fatal(err)
	}
	want(t, "the large echo", echoes, string(make([]byte, 100_000)))
	if st := w.game.Stats(); st.Links.Open != 1 || st.Links.Opened != 1 || st.Links.Tickets != 1 || st.RTC.Conns != 0 {
		t.Errorf("%+v", st.Links)
	}
	c.Close(session.CloseCode(100), "enough")
	want(t, "the reason", closed, "enough")
}
