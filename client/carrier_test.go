package client_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A valve is a Carrier that takes datagrams while it is open.
type valve struct {
	shut   atomic.Bool
	skip   atomic.Int32 // so many datagrams are not taken
	sent   atomic.Int32 // so many were taken
	closed atomic.Int32
	ch     chan []byte
}

func newValve() *valve { return &valve{ch: make(chan []byte, 10_000)} }

func (c *valve) Send(b []byte) bool {
	if c.shut.Load() || c.skip.Add(-1) >= 0 {
		return false
	}
	c.sent.Add(1)
	c.ch <- bytes.Clone(b)
	return true
}

func (c *valve) Close(string) {
	if c.closed.Add(1) == 1 {
		close(c.ch)
	}
}

// A piped is a session over two valves.
type piped struct {
	*game
	e        *client.Endpoint
	s        *client.Session
	up, down *valve
	link     *client.Link
	theirs   *godwit.Link
	hold     chan struct{} // the handler Open waits until it is closed
	mute     atomic.Bool   // what the server sends is lost
}

// overValves runs a test on a session over a link of the program's own. held says that its handler Open
// waits.
func overValves(t *testing.T, reliable, held bool, test func(t *testing.T, g *piped)) {
	t.Helper()
	inLinkedGame(t, godwit.Config{Limits: session.Limits{Messages: -1, Bytes: -1}}, func(g *game, e *client.Endpoint) {
		l := &piped{game: g, e: e, up: newValve(), down: newValve()}
		l.theirs = testkit.Must(g.server.AddLink(godwit.Identity{}, godwit.LinkConfig{Name: "wire", Reliable: reliable, Carrier: l.down}))
		sc := client.SessionConfig{Channels: table, Handler: g.handler(), Renew: true, Retry: true}
		if l.hold = make(chan struct{}); held {
			sc.Handler.Open = func(*client.Session) { l.mute.Store(true); <-l.hold }
		}
		lc := client.LinkConfig{Name: "wire", Reliable: reliable, Dial: func(_ context.Context, link *client.Link) (client.Carrier, error) {
			l.link = link
			go func() {
				for b := range l.up.ch {
					l.theirs.Receive(b)
				}
				l.theirs.Close()
			}()
			go func() {
				for b := range l.down.ch {
					if !l.mute.Load() {
						link.Receive(b)
					}
				}
				link.Close()
			}()
			return l.up, nil
		}}
		l.s = testkit.Must(e.JoinOver(g.t.Context(), lc, sc))
		test(g.t, l)
	})
}

// A datagram that the carrier of a reliable link has no room for waits for Room, and then arrives at
// once and before those that follow it. Nothing is sent again.
func TestADatagramWithoutRoomWaits(t *testing.T) {
	overValves(t, true, false, func(t *testing.T, g *piped) {
		g.want("open")
		time.Sleep(time.Second)
		for i := range 5 {
			g.up.shut.Store(true)
			for j := range 10 {
				g.must(g.s.Send(chat, fmt.Append(nil, i, j)))
			}
			time.Sleep(200*time.Millisecond + time.Duration(i)*7*time.Millisecond)
			if len(g.events) > 0 {
				t.Fatalf("%s arrives, and there was no room", <-g.events)
			}
			g.up.shut.Store(false)
			start := time.Now()
			g.link.Room()
			for j := range 10 {
				g.want("chat: " + fmt.Sprint(i, j))
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("the messages arrive %v after Room", took)
			}
		}
		if st := g.s.Stats(); st.Retransmits+st.Copies != 0 {
			t.Errorf("%d pieces are sent again, %d copies", st.Retransmits, st.Copies)
		}
	})
}

// What the carrier of an unreliable link has no room for is lost, and sent again later.
func TestADatagramWithoutRoomIsLostOnAnUnreliableLink(t *testing.T) {
	overValves(t, false, false, func(t *testing.T, g *piped) {
		g.want("open")
		time.Sleep(time.Second)
		g.up.shut.Store(true)
		g.must(g.s.Send(chat, []byte("hello")))
		time.Sleep(time.Millisecond)
		g.up.shut.Store(false)
		g.link.Room()
		synctest.Wait()
		if len(g.events) > 0 {
			t.Errorf("%s arrives", <-g.events)
		}
		g.want("chat: hello")
		if st := g.s.Stats(); st.Retransmits+st.Copies == 0 {
			t.Error("nothing is sent again")
		}
	})
}

// A datagram that is lost on an unreliable link does not hold those that follow it.
func TestALostDatagramHoldsNothing(t *testing.T) {
	overValves(t, false, false, func(t *testing.T, g *piped) {
		g.want("open")
		time.Sleep(time.Second)
		before := g.up.sent.Load()
		g.up.skip.Store(1)
		g.must(g.s.Send(chat, make([]byte, 3000)))
		if n := g.up.sent.Load() - before; n == 0 {
			t.Error("no datagram has left behind the one that is lost")
		}
	})
}

// A session's messages do not wait for anything on a link with room.
func TestALinkWithRoomDelaysNothing(t *testing.T) {
	for _, reliable := range []bool{true, false} {
		overValves(t, reliable, false, func(t *testing.T, g *piped) {
			g.want("open")
			time.Sleep(time.Second)
			start := time.Now()
			for i := range 20 {
				g.must(g.s.Send(chat, fmt.Append(nil, i)))
				g.want("chat: " + fmt.Sprint(i))
				if took := time.Since(start); took != 0 {
					t.Fatalf("message %d is back after %v", i, took)
				}
			}
		})
	}
}

// While handlers run, 64 datagrams wait. More wait in Receive on a reliable link, and are dropped on
// another one. When the link closes, Receive returns.
func TestLinkReceiveIsBounded(t *testing.T) {
	for _, c := range []struct{ reliable, closes bool }{{true, false}, {false, false}, {true, true}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			overValves(t, c.reliable, true, func(t *testing.T, g *piped) { receiveIsBounded(t, g, c.reliable, c.closes) })
		})
	}
}

func receiveIsBounded(t *testing.T, g *piped, reliable, closes bool) {
	time.Sleep(time.Second) // the handler Open waits
	taken := make(chan bool, 1000)
	go func() {
		for range 70 {
			taken <- g.link.Receive([]byte("junk"))
		}
	}()
	synctest.Wait()
	yes, no := 0, 0
	count := func() {
		for len(taken) > 0 {
			if <-taken {
				yes++
			} else {
				no++
			}
		}
	}
	count()
	if want := map[bool]int{true: 0, false: 6}[reliable]; yes != 64 || no != want {
		t.Errorf("%d datagrams are taken and %d dropped, want 64 and %d", yes, no, want)
	}
	if closes {
		g.link.Close()
		synctest.Wait()
		if count(); no != 6 {
			t.Errorf("%d datagrams are refused by a link that is closed, want 6", no)
		}
	}
	close(g.hold)
	synctest.Wait()
	if count(); yes+no != 70 || reliable && !closes && no != 0 {
		t.Errorf("%d datagrams are taken, %d are not", yes, no)
	}
	if !closes && !g.link.Receive([]byte("junk")) {
		t.Error("the link takes nothing any more")
	}
}

// The end of a link interrupts its session at once, and ends it after 30 s: nothing makes another link. The
// Carrier is closed once, and Receive refuses what comes later.
func TestTheEndOfALinkEndsItsSession(t *testing.T) {
	overValves(t, true, false, func(t *testing.T, g *piped) {
		g.want("open")
		time.Sleep(time.Second)
		start := time.Now()
		g.link.Close()
		g.link.Close()
		g.want("interrupted")
		if took := time.Since(start); took != 0 {
			t.Errorf("the session is interrupted after %v", took)
		}
		<-g.s.Done()
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("the session ends after %v", took)
		}
		if n := g.up.closed.Load(); n != 1 {
			t.Errorf("the Carrier was closed %d times", n)
		}
		if g.link.Receive([]byte("late")) {
			t.Error("a link that is closed takes a datagram")
		}
		time.Sleep(time.Minute)
		if n := g.server.Stats().Links.Open; n != 0 {
			t.Errorf("%d links are open", n)
		}
	})
}

// What arrives before Dial has returned waits, up to 64 datagrams, and belongs to the session.
func TestDatagramsThatComeBeforeDialHasReturned(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		up, down := newValve(), newValve()
		theirs := testkit.Must(g.server.AddLink(godwit.Identity{}, godwit.LinkConfig{Name: "wire", Reliable: true, Carrier: down}))
		s := testkit.Must(e.JoinOver(g.t.Context(), client.LinkConfig{Name: "wire", Reliable: true, Dial: func(_ context.Context, l *client.Link) (client.Carrier, error) {
			for range 70 {
				l.Receive([]byte("junk"))
				synctest.Wait()
			}
			go func() {
				for b := range up.ch {
					theirs.Receive(b)
				}
			}()
			go func() {
				for b := range down.ch {
					l.Receive(b)
				}
			}()
			return up, nil
		}}, client.SessionConfig{Channels: table, Handler: g.handler()}))
		g.want("open")
		n := uint64(0)
		for _, d := range s.Stats().Drops {
			n += d
		}
		if n != 64 {
			g.t.Errorf("%d datagrams of before reach the session, want 64", n)
		}
		s.Close(0, "")
		<-s.Done()
	})
}

// An endpoint that is closed before Dial has returned takes no datagram any more, and closes the Carrier once.
func TestTheEndOfTheEndpointDuringADial(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		carrier := newValve()
		var link *client.Link
		_, err := e.JoinOver(g.t.Context(), client.LinkConfig{Name: "wire", Dial: func(_ context.Context, l *client.Link) (client.Carrier, error) {
			link = l
			e.Close()
			if l.Receive([]byte("late")) {
				g.t.Error("a datagram is taken")
			}
			return carrier, nil
		}}, client.SessionConfig{Channels: table})
		link.Close()
		if err == nil || carrier.closed.Load() != 1 {
			g.t.Errorf("%v; the Carrier was closed %d times", err, carrier.closed.Load())
		}
	})
}

// An endpoint that is closed, or whose socket fails, ends the link of a session whose last datagram waits for room.
func TestTheEndOfTheEndpointWhileACloseWaits(t *testing.T) {
	for name, end := range map[string]func(g *piped){
		"it is closed":     func(g *piped) { g.e.Close() },
		"its socket fails": func(g *piped) { g.socket.Close() },
	} {
		overValves(t, true, false, func(t *testing.T, g *piped) {
			g.want("open")
			time.Sleep(time.Second)
			g.up.shut.Store(true)
			g.s.Close(300, "")
			g.want("closed here: code 300")
			before := g.up.closed.Load()
			end(g)
			synctest.Wait()
			if after := g.up.closed.Load(); before != 0 || after != 1 {
				t.Errorf("%s: the Carrier was closed %d times before that, and %d after it", name, before, after)
			}
		})
	}
}

// A link that ends before Dial has returned is no link: its Carrier is closed. Dial is called once, and
// what it needs is checked first.
func TestDialsOfLinksThatFail(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		carrier, dials := newValve(), 0
		sc := client.SessionConfig{Channels: table, Retry: true, Renew: true}
		dial := func(_ context.Context, l *client.Link) (client.Carrier, error) {
			dials++
			l.Close()
			return carrier, nil
		}
		_, err := e.JoinOver(g.t.Context(), client.LinkConfig{Name: "wire", Dial: dial}, sc)
		if err == nil || err.Error() != "the link has ended" || dials != 1 || carrier.closed.Load() != 1 {
			g.t.Errorf("%v after %d dials, closed %d times", err, dials, carrier.closed.Load())
		}
		for _, lc := range []client.LinkConfig{{Dial: dial}, {Name: "wire"}} {
			if _, err := e.JoinOver(g.t.Context(), lc, sc); err == nil || err.Error() != "client: LinkConfig needs a Name and Dial" {
				g.t.Errorf("%q: %v", lc.Name, err)
			}
		}
		if dials != 1 {
			g.t.Errorf("%d dials", dials)
		}
	})
}
