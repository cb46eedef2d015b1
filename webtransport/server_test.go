package webtransport

import (
	"fmt"
	"io"
	"net/http"
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

// A session over WebTransport opens, echoes, and ends with the reason of the server.
func TestASessionOverWebTransport(t *testing.T) {
	var opened chan *godwit.Conn
	inWorld(t, godwit.Config{Handler: godwit.Handler{Open: func(c *godwit.Conn) { opened <- c }}}, Config{}, func(w *world) {
		opened = make(chan *godwit.Conn, 1)
		echoes, closed := make(chan string, 1000), make(chan string, 1)
		g := w.guest("192.0.2.77")
		s := g.join(client.SessionHandler{
			Message: func(_ *client.Session, _ channel.ID, b []byte) { echoes <- string(b) },
			Close:   func(_ *client.Session, r session.CloseReason) { closed <- r.Text },
		})
		c := <-opened
		if c.Link() != session.LinkWebTransport || c.RemoteAddr() != g.addr {
			t.Errorf("the link is %q of %v, want %v", c.Link(), c.RemoteAddr(), g.addr)
		}
		const n = 500
		for i := range n {
			if err := s.Send(1, fmt.Appendf(nil, "%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range n {
			if got := <-echoes; got != fmt.Sprint(i) {
				t.Fatalf("echo %d is %q", i, got)
			}
		}
		if err := s.Send(1, make([]byte, 100_000)); err != nil { // many full packets
			t.Fatal(err)
		}
		if got := <-echoes; len(got) != 100_000 {
			t.Errorf("the large echo has %d bytes", len(got))
		}
		if len(w.wt.buffers) == 0 {
			t.Error("the buffers of the datagrams that have left are not used again")
		}
		if st := w.game.Stats(); st.Links.Open != 1 || st.Links.Opened != 1 || st.Links.Tickets != 1 || st.RTC.Conns != 0 {
			t.Errorf("%+v", st.Links)
		}
		c.Close(session.CloseCode(300), "enough")
		if got := <-closed; got != "enough" {
			t.Errorf("the reason is %q", got)
		}
		time.Sleep(2 * time.Second)
		if st := w.game.Stats().Links; st.Open != 0 || g.conn.Context().Err() == nil {
			t.Errorf("after the end: %+v, and the connection has ended with %v", st, g.conn.Context().Err())
		}
	})
}

// No packet of either end has more than the 1200 bytes that every path of QUIC carries.
func TestPacketsFitEveryPath(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		echoes := make(chan string, 1)
		g := w.guest("192.0.2.77")
		var up, down atomic.Int64 // bytes of the largest packet
		w.network.SetTap(func(p *netsim.Packet) bool {
			largest := &down
			if p.From == g.addr {
				largest = &up
			}
			largest.Store(max(largest.Load(), int64(len(p.Payload))))
			return true
		})
		s := g.join(client.SessionHandler{Message: func(_ *client.Session, _ channel.ID, b []byte) { echoes <- string(b) }})
		large := make([]byte, 50_000)
		if err := s.Send(1, large); err != nil {
			t.Fatal(err)
		}
		testkit.Want(w.t, "an echo", echoes, string(large))
		if up.Load() != 1200 || down.Load() != 1200 {
			t.Errorf("the largest packets have %d and %d bytes, want 1200", up.Load(), down.Load())
		}
	})
}

// When the session is over, the server ends first the session of WebTransport and then, if the client
// does not, the connection of QUIC.
func TestTheServerEndsTheConnection(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		g := w.guest("192.0.2.66")
		resp := g.request(http.MethodConnect, "webtransport") // and says nothing
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK || w.game.Stats().Links.Open != 1 {
			t.Fatalf("status %d, %+v", resp.StatusCode, w.game.Stats().Links)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("the session of WebTransport ends with %v", err)
		}
		time.Sleep(farewell / 2)
		if g.conn.Context().Err() != nil || w.game.Stats().Links.Open != 0 {
			t.Errorf("the connection has ended with %v, %+v", g.conn.Context().Err(), w.game.Stats().Links)
		}
		time.Sleep(farewell)
		if g.conn.Context().Err() == nil {
			t.Error("the connection stays open")
		}
	})
}
