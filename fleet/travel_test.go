package fleet

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
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

// A state that was sent eight times waits on for what is no fault of the other node. A node that is closed waits for nothing.
func TestTheLastTryOfAState(t *testing.T) {
	for _, c := range []struct {
		err           error
		closed, waits bool
	}{{ErrFull, false, true}, {ErrAway, false, true}, {ErrNotHere, false, true}, {ErrTimeout, false, false}, {ErrAway, true, false}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{deadAfter: time.Hour}, godwit.Config{})
			l.meets(Node{ID: "p"})
			l.travels.handing, l.travels.bytes = 1, 5
			l.handOver("p", []byte("\x03adaX"), stateTries, time.Now().Add(time.Minute))
			l.sentOne("the last try", kindState)
			q := l.forget(l.asked)
			l.closed = c.closed
			q.done(nil, c.err)
			if lost := l.counts.StatesLost == 1 && l.travels.handing == 0 && l.travels.bytes == 0; lost == c.waits {
				t.Errorf("%v: %d states are lost, %d of %d bytes are on their way", c, l.counts.StatesLost, l.travels.handing, l.travels.bytes)
			}
			time.Sleep(stateRetry)
			synctest.Wait()
			if !c.waits {
				if n := len(l.sent(kindState)); n != 0 || l.counts.StatesLost != 1 {
					t.Errorf("%v: it is sent %d times more, %d states are lost", c, n, l.counts.StatesLost)
				}
				return
			}
			l.takes(l.sentOne("it waits no more", kindState))
			if l.counts.StatesLost != 0 || l.travels.handing != 0 || l.travels.bytes != 0 {
				t.Errorf("%v: %d states are lost, %d of %d bytes are on their way", c, l.counts.StatesLost, l.travels.handing, l.travels.bytes)
			}
		})
	}
}

// A player without a state, whose session ends amid the move, costs no state, and the other node expects none.
func TestTheEndOfAMoveWithoutAState(t *testing.T) {
	for _, c := range []struct {
		name  string
		leave func(*godwit.Conn) []byte
	}{{"ada", nil}, {"", func(*godwit.Conn) []byte { return nil }}} {
		l := newLone(t, Config{Leave: c.leave}, godwit.Config{})
		p := l.join(c.name)
		l.travels.going[p.server] = going{"p", true}
		l.departed(p.server, godwit.CloseReason{Code: session.CloseShutdown})
		if n := len(l.sent(kindStays)); n != 0 || l.counts.StatesLost != 0 || len(l.travels.going) != 0 {
			t.Errorf("%q: %d messages for the other node, %d states are lost, %v go", c.name, n, l.counts.StatesLost, l.travels.going)
		}
	}
}

// Not more players are expected than there is room for, and not more states that were taken are remembered. A player with another seat needs no more room.
func TestRoomForArrivals(t *testing.T) {
	l := newLone(t, Config{URL: "http://node.example/"}, godwit.Config{})
	must(t, l.expect("0"))
	for i := 1; i < maxExpects-1; i++ {
		l.travels.expected[fmt.Sprint(i)] = &arrival{come: make(chan struct{})}
	}
	must(t, l.expect("the last one"))
	if err := l.expect("ada"); err != ErrFull {
		t.Errorf("one player too many: %v, want ErrFull", err)
	}
	if seat, err := l.makeSeat(seatRequest{Name: "ada", Move: true}); err != ErrFull || seat != (auth.Seat{}) {
		t.Errorf("the seat of a player too many: %+v, %v; want ErrFull", seat, err)
	}
	must(t, l.expect("7"))
	if len(l.travels.expected) != maxExpects || l.counts.StatesLost != 0 {
		t.Errorf("%d players are expected, want %d; %d states are lost", len(l.travels.expected), maxExpects, l.counts.StatesLost)
	}
	for i := range maxExpects - 1 {
		l.travels.taken[fmt.Sprint("taken ", i)] = time.Now()
	}
	for i, want := range []byte{answerAcked, answerFailed} {
		m := message{body: appendString(nil, fmt.Sprint(i)), reply: "lone.n.x.r.1"}
		l.receiveState(m)
		l.join(fmt.Sprint(i))
		l.sent()
		l.receiveState(m)
		if code := l.sentOne("the answer to a copy", kindAnswer).body[0]; code != want || len(l.travels.taken) != maxExpects {
			t.Errorf("with %d states that were taken, the answer to a copy is %d, want %d", len(l.travels.taken), code, want)
		}
	}
}

// A player who has come with a state, and comes again without one: the state that comes too late is refused.
func TestAPlayerWhoComesTwice(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	state := func(want byte) {
		t.Helper()
		l.receiveState(message{body: appendString(nil, "ada"), reply: "lone.n.x.r.1"})
		if code := l.sentOne("the answer", kindAnswer).body[0]; code != want {
			t.Errorf("the answer is %d, want %d", code, want)
		}
	}
	must(t, l.expect("ada"))
	state(answerAcked)
	l.join("ada").server.Kick("")
	state(answerAcked) // the answer to the first one was lost
	must(t, l.expect("ada"))
	l.tells(message{kind: kindStays, body: appendString(nil, "ada")})
	state(answerFailed)
}

// Who waits for a state waits no more when none comes. A state that has come is not given up for what was said of an earlier seat, and nobody else is concerned.
func TestTheEndOfAWaitForAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{})
		stays := func(name string) {
			t.Helper()
			l.tells(message{kind: kindStays, body: append(appendString(nil, name), 0)})
		}
		for _, c := range []struct {
			what     string
			end      func()
			expected int
		}{
			{"the player stays", func() { stays("ada") }, 0},
			{"the player has another seat", func() { must(t, l.expect("ada")) }, 1},
			{"the node ends", l.giveUpArrivals, 0},
		} {
			must(t, l.expect("ada"))
			begun, waited := time.Now(), make(chan time.Duration, 1)
			go func() { l.awaitState(t.Context(), "ada"); waited <- time.Since(begun) }()
			time.Sleep(time.Second)
			stays("eve")
			if synctest.Wait(); len(waited) != 0 {
				t.Errorf("%s: before that the wait is over", c.what)
			}
			if c.end(); <-waited != time.Second || len(l.travels.expected) != c.expected {
				t.Errorf("%s: the wait goes on; %d players are expected, want %d", c.what, len(l.travels.expected), c.expected)
			}
		}
		must(t, l.expect("ada"))
		l.receiveState(message{body: appendString(nil, "ada")})
		stays("ada")
		if a := l.travels.expected["ada"]; a == nil || !a.have || l.counts.StatesLost+l.counts.StatesMissed != 0 {
			t.Errorf("of an earlier seat: %+v, %d states are lost, %d missed", a, l.counts.StatesLost, l.counts.StatesMissed)
		}
	})
}
