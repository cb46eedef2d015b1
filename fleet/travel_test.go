package fleet

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/session"
)

// A state without an answer is sent again, eight times, unless the other node is gone, or this one is closed.
func TestStatesThatAreSentAgain(t *testing.T) {
	type outcome struct {
		err  error
		node string
		sent int
	}
	for _, c := range []outcome{
		{ErrTimeout, "p", stateTries}, {ErrNotHere, "p", stateTries}, {ErrTimeout, "x", 1}, {ErrNotHere, "x", 1}, {ErrClosed, "p", 1}, {ErrTooLarge, "p", 1},
		{&session.RequestError{Status: session.StatusRejected}, "p", 1}, // the other node does not expect the player
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{deadAfter: time.Hour}, godwit.Config{})
			l.meets(Node{ID: "p"})
			l.travels.handing = 1
			l.handOver(c.node, []byte("state"), 1, time.Now())
			for i := range c.sent {
				m := l.sentOne(fmt.Sprint(c, i), kindState)
				if m.subject != "lone.n."+c.node+".q" || string(m.body) != "state" || l.travels.handing != 1 || l.counts.StatesLost != 0 {
					t.Errorf("%v: to %s: %q; %d are on their way, %d lost", c, m.subject, m.body, l.travels.handing, l.counts.StatesLost)
				}
				q := l.questions[l.asked]
				delete(l.questions, l.asked)
				q.done(nil, c.err)
				time.Sleep(stateRetry - 1)
				synctest.Wait()
				if len(l.sent(kindState)) != 0 {
					t.Errorf("%v: it is sent again without a pause", c)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
			}
			if l.travels.handing != 0 || l.counts.StatesLost != 1 || len(l.sent(kindState)) != 0 {
				t.Errorf("%v: at the end %d are on their way, %d lost", c, l.travels.handing, l.counts.StatesLost)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{})
		l.away.Store(true)
		l.travels.handing = 1
		l.handOver("p", []byte("state"), 1, time.Now())
		l.away.Store(false)
		time.Sleep(stateRetry)
		synctest.Wait()
		l.replies(l.sentOne("NATS is back", kindState), answerAcked, "")
		if l.travels.handing != 0 || l.counts.StatesLost != 0 {
			t.Errorf("%d are on their way, %d lost", l.travels.handing, l.counts.StatesLost)
		}
	})
}

// A state waits for NATS, which was away before or goes away meanwhile, as long as the other node may wait for the player.
func TestStatesThatWaitForNATS(t *testing.T) {
	for _, back := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{deadAfter: time.Hour, Leave: func(c *godwit.Conn) []byte { return []byte(c.Identity().Name) }}, godwit.Config{})
			l.meets(Node{ID: "p"})
			depart := func(name string) {
				c := l.join(name)
				l.travels.going[c.server] = going{"p", true}
				l.departed(c.server, godwit.CloseReason{Code: session.CloseMoved})
			}
			on := func(what string, handing int, lost uint64) {
				t.Helper()
				synctest.Wait()
				l.mu.Lock()
				defer l.mu.Unlock()
				if l.travels.handing != handing || l.counts.StatesLost != lost {
					t.Fatalf("%s: %d are on their way, want %d; %d lost, want %d", what, l.travels.handing, handing, l.counts.StatesLost, lost)
				}
			}
			depart("ada")
			l.sentOne("before NATS is away", kindState)
			l.natsAway(nil)
			depart("bob")
			time.Sleep(seatFor - 2*stateTries*stateRetry)
			on("NATS is away", 2, 0)
			if !back {
				time.Sleep(stateWait + (3*stateTries+1)*stateRetry)
				on("the seats have ended", 0, 2)
				return
			}
			l.away.Store(false)
			time.Sleep(stateRetry)
			synctest.Wait()
			states := l.sent(kindState)
			for range 2 * stateTries { // the other node is there and not back yet
				for _, m := range states {
					l.receive(&nats.Msg{Subject: m.reply, Header: nats.Header{"Status": {"503"}}})
				}
				time.Sleep(stateRetry)
				synctest.Wait()
				if states = l.sent(kindState); len(states) != 2 {
					t.Fatalf("when NATS is back %d states are sent", len(states))
				}
			}
			for _, m := range states {
				l.takes(m)
			}
			on("NATS is back", 0, 0)
		})
	}
}
