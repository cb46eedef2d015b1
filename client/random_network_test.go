package client_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// body is a payload that shows its length in every byte.
func body(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8), byte(n >> 16)}, n) }

func intact(b []byte) bool { return bytes.Equal(b, body(len(b)/3)) }

// Both ends send messages and requests from several goroutines, while links are cut, datagrams
// or signaling are lost, and sessions are shut down, at random. The data of a handler does not
// change until the handler returns. Every request has one final status. When the network works
// again there is one session with one link.
func TestWhateverHappens(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { whatever(t, seed) })
	}
}

func whatever(t *testing.T, seed uint64) {
	var asked, told, came atomic.Int64
	look := func(what string, b []byte) {
		came.Add(1)
		for range 2 {
			if !intact(b) {
				t.Errorf("%s: a message of %d bytes has changed", what, len(b))
			}
			time.Sleep(time.Duration(len(b)%4) * time.Millisecond) // others go on meanwhile
		}
	}
	count := func(err error) {
		if err == nil {
			asked.Add(1)
		}
	}
	c := godwit.Config{
		Grace: 20 * time.Second, Silence: 5 * time.Second, Limits: godwit.Limits{Messages: -1, Bytes: -1},
		Handler: godwit.Handler{
			Message: func(_ *godwit.Conn, _ godwit.ChannelID, b []byte) { look("a message to the server", b) },
			Request: func(_ *godwit.Conn, r *godwit.Request) {
				look("a request", r.Data)
				switch reply := bytes.Clone(r.Data); len(reply) / 3 % 3 {
				case 0:
					r.Reply(r.Data)
				case 1:
					r.Keep()
					time.AfterFunc(5*time.Millisecond, func() {
						if r.Reply(reply) != nil {
							r.Reject("")
						}
					})
				}
			},
		},
	}
	inGame(t, c, func(g *game) {
		var closed atomic.Bool
		s, err := g.connect(client.SessionConfig{Renew: true, Handler: client.SessionHandler{
			Message: func(_ *client.Session, _ channel.ID, b []byte) { look("a message to the client", b) },
			Close:   func(*client.Session, session.CloseReason) { closed.Store(true) },
		}})
		g.must(err)
		stop := make(chan struct{})
		var all sync.WaitGroup
		for i := range uint64(3) {
			rng := rand.New(rand.NewPCG(seed, i))
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(rng.IntN(30)) * time.Millisecond):
					}
					b, ch := body(rng.IntN(1<<rng.IntN(12))), channel.ID(1+rng.IntN(3))
					s.Send(ch, b)
					_, err := s.Ask("q", b, func(r session.Result) { told.Add(1); look("an answer", r.Data) })
					count(err)
					for c := range g.server.Conns() {
						c.Send(ch, b)
						_, err := c.Ask("q", b, func(godwit.Result) { told.Add(1) })
						count(err)
					}
				}
			})
		}
		well := netsim.Link{Delay: 20 * time.Millisecond}
		rng := rand.New(rand.NewPCG(seed, 3))
		for range 20 {
			switch rng.IntN(7) {
			case 0:
				g.network.SetDefault(netsim.Link{Loss: 1})
			case 1:
				g.broken.Store(true)
			case 2, 3, 4:
				g.broken.Store(false)
				g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.05})
			case 5:
				for c := range g.server.RTC().Conns() {
					c.Close("cut")
				}
			case 6:
				for c := range g.server.Conns() {
					c.Close(session.CloseShutdown, "")
				}
			}
			time.Sleep(time.Duration(rng.IntN(8000)) * time.Millisecond)
		}
		g.broken.Store(false)
		g.network.SetDefault(well)
		close(stop)
		all.Wait()
		time.Sleep(2 * time.Minute)

		links := 0
		for range g.server.RTC().Conns() {
			links++
		}
		st := s.Stats()
		t.Logf("%d payloads came, %d requests; the last session moved %d times", came.Load(), asked.Load(), st.Resumed)
		if st.Interrupted || closed.Load() || g.server.Len() != 1 || links != 1 {
			t.Errorf("interrupted %v, want false; closed %v, want false; %d sessions and %d links, want 1 each", st.Interrupted, closed.Load(), g.server.Len(), links)
		}
		if a, b := asked.Load(), told.Load(); a != b || a < 100 {
			t.Errorf("%d requests were sent, want 100 at least, and %d have a result, want all", a, b)
		}
	})
}
