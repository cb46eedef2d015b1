package client_test

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

// wholeEnd has every method that both ends have.
type wholeEnd interface {
	session.End
	OpenChannel(ch channel.Channel) (channel.ID, error)
	CloseChannel(ch channel.ID) error
	SendNamed(name string, b []byte, o channel.Options) (channel.MessageID, error)
	Free(ch channel.ID) int
	Status(id session.RequestID) (session.Status, bool)
	ChannelStats(ch channel.ID) channel.ChannelStats
}

// Both ends have the same view of a session: its number, its table, the status of a request, the
// room of a channel, and the amount that waits for acknowledgement.
func TestBothEndsSayTheSame(t *testing.T) {
	var kept chan *session.Request
	keep := func(r *session.Request) {
		r.Keep()
		kept <- r
	}
	var conns chan *godwit.Conn
	c := godwit.Config{Handler: godwit.Handler{
		Open:    func(c *godwit.Conn) { conns <- c },
		Request: func(_ *godwit.Conn, r *godwit.Request) { keep(r) },
	}}
	inGame(t, c, func(g *game) {
		kept, conns = make(chan *session.Request, 1), make(chan *godwit.Conn, 1)
		native, err := g.connect(client.SessionConfig{Channels: table, Handler: client.SessionHandler{
			Request: func(_ *client.Session, r *session.Request) { keep(r) },
		}})
		g.must(err)
		conn := <-conns
		if id := native.ID(); id == 0 || id != conn.ID() {
			t.Errorf("the session has the id %v at the client and %v at the server", id, conn.ID())
		}
		for name, end := range map[string]wholeEnd{"server": conn, "client": native} {
			if diff := (channel.Table{Channels: table}).Compare(channel.Table{Channels: end.Channels()}); diff != nil {
				t.Errorf("%s: the tables differ: %v", name, diff)
			}
			if n := end.Free(chat); n != 256<<10 {
				t.Errorf("%s: there is room for %d bytes, want a whole message", name, n)
			}
			if n := end.Free(9); n != -1 {
				t.Errorf("%s: Free of an unknown channel = %d, want -1", name, n)
			}
			results := make(chan session.Result, 1)
			id, err := end.Ask("wait", nil, func(r session.Result) { results <- r })
			g.must(err)
			if st, ok := end.Status(id); !ok || st != session.StatusSending {
				t.Errorf("%s: Status of a request that has just been sent = %v, %v; want StatusSending", name, st, ok)
			}
			r := <-kept
			time.Sleep(time.Second)
			if st, ok := end.Status(id); !ok || st != session.StatusWaiting {
				t.Errorf("%s: Status of a request that has arrived = %v, %v; want StatusWaiting", name, st, ok)
			}
			if st := end.Stats(); st.Asking != 1 || st.Asked != 0 || st.Age < time.Second || st.LastHeard > 5*time.Second || st.Interrupted {
				t.Errorf("%s: %+v, want 1 request that waits", name, st)
			}
			g.must(r.Ack())
			if got := <-results; got.Status != session.StatusAcknowledged || got.Err() != nil {
				t.Errorf("%s: the result is %v, want StatusAcknowledged", name, got)
			}
			if _, ok := end.Status(id); ok {
				t.Errorf("%s: Status of an answered request has a result, want none", name)
			}
		}
	})
}

// A session that the client is closing stays for DrainTimeout, and then gives up what is not delivered.
func TestCloseOfAClientDrainsForDrainTimeout(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{-1: 0, time.Second: time.Second, 3 * time.Second: 3 * time.Second, 0: 10 * time.Second} {
		inGame(t, godwit.Config{}, func(g *game) {
			type end struct {
				at   time.Time
				lost uint64
			}
			ends := make(chan end, 1)
			s, err := g.connect(client.SessionConfig{
				DrainTimeout: timeout, Floor: 10_000, Ceiling: 10_000, // 18 s for all
				Handler: client.SessionHandler{
					Close: func(_ *client.Session, why session.CloseReason) { ends <- end{time.Now(), why.LostOut} },
				},
			})
			g.must(err)
			for range 18 {
				g.must(s.Send(chat, make([]byte, 10_000)))
			}
			began := time.Now()
			s.Close(session.CloseNormal, "")
			e := <-ends
			took := e.at.Sub(began)
			if most := 180_000 - uint64(7_000*want.Seconds()); took != want || e.lost < 60_000 || e.lost > most {
				t.Errorf("DrainTimeout %v: the session ended after %v, want %v; %d bytes were given up, want 60,000 to %d", timeout, took, want, e.lost, most)
			}
		})
	}
}
