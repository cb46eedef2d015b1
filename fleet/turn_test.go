package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/session"
)

// One state has room whatever its size. Others have room up to their number and their bytes, with the bytes that the states of turns may have.
func TestRoomForStates(t *testing.T) {
	for _, c := range []struct {
		handing, turns, bytes, likely, maxBytes int
		room                                    bool
	}{
		{0, 0, 0, MaxState, 0, true},
		{1, 0, 10, 5, 15, true}, {1, 0, 11, 5, 15, false}, {0, 1, 0, 5, 10, true}, {0, 1, 0, 5, 9, false}, {1, 2, 1, 5, 16, true}, {1, 2, 1, 5, 15, false},
		{maxHanding - 1, 0, 0, 1, 100, true}, {maxHanding, 0, 0, 1, 100, false},
	} {
		tr := travels{handing: c.handing, bytes: c.bytes, likely: c.likely, turns: make(map[*godwit.Conn]struct{})}
		for range c.turns {
			tr.turns[new(godwit.Conn)] = struct{}{}
		}
		if room := tr.hasRoom(c.maxBytes, load{}); room != c.room {
			t.Errorf("%+v: there is room: %v", c, room)
		}
		tr.handing, tr.bytes = tr.handing+3, tr.bytes+30
		if room := tr.hasRoom(c.maxBytes, load{3, 30}); room != c.room {
			t.Errorf("%+v, and three states that are stuck: there is room: %v", c, room)
		}
	}
}

// Who waits for a turn hears at once that a state has arrived or is lost, and that the turn of another player is over.
func TestWhoWaitsForATurnHearsOfRoom(t *testing.T) {
	l := newLone(t, Config{Leave: func(*godwit.Conn) []byte { return nil }}, godwit.Config{})
	l.config.MaxPendingBytes = 2 * MaxState // half of it has room for one state
	ada, bob := l.join("ada").server, l.join("bob").server
	for _, c := range []struct {
		what           string
		handing, turns int
		end            func()
	}{
		{"a state has arrived", 1, 0, func() { l.handed("p", 7, false) }},
		{"a state is lost", 1, 0, func() { l.handed("p", 7, true) }},
		{"a turn is over", 0, 1, func() { l.endTurn(bob) }},
		{"a player whose turn it is has left", 0, 1, func() { l.departed(bob, godwit.CloseReason{Code: session.CloseKicked}) }},
	} {
		l.travels.handing, l.travels.bytes = c.handing, 7*c.handing
		if c.turns > 0 {
			l.travels.turns[bob] = struct{}{}
		}
		free, ok := l.beginTurn(ada)
		again, _ := l.beginTurn(ada)
		if ok || free == nil || free != again {
			t.Fatalf("%s: before that there is room: %v; who waits gets %v and %v", c.what, ok, free, again)
		}
		select {
		case <-free:
			t.Errorf("%s: before that there is room", c.what)
		default:
		}
		c.end()
		select {
		case <-free:
		default:
			t.Errorf("%s: who waits does not hear of it", c.what)
		}
		if _, ok := l.beginTurn(ada); !ok || len(l.travels.turns) != 1 {
			t.Errorf("%s: there is room: %v, %d turns", c.what, ok, len(l.travels.turns))
		}
		l.endTurn(ada)
		if l.travels.handing != 0 || l.travels.bytes != 0 || len(l.travels.turns) != 0 {
			t.Errorf("%s: at the end %d states of %d bytes, %d turns", c.what, l.travels.handing, l.travels.bytes, len(l.travels.turns))
		}
	}
	nobody := l.join("").server
	if _, ok := l.beginTurn(nobody); !ok || len(l.travels.turns) != 0 {
		t.Errorf("a player without a state has a turn: %v; %d turns", ok, len(l.travels.turns))
	}
	l.travels.going[nobody] = going{"p", true}
	if free, ok := l.beginTurn(nobody); ok || free == nil {
		t.Error("a player without a state, who moves already, has a turn")
	}
}

// The program moves a player whose turn has just begun: Drain waits for that move, and the node that it had chosen is not one that has refused the player.
func TestAMoveAtTheBeginningOfATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *lone
		first := true
		l = newLone(t, Config{deadAfter: time.Hour, Place: func(c *godwit.Conn, _ Node) bool {
			if first { // f.mu is held
				l.travels.going[c] = going{to: "q"}
			}
			first = false
			return true
		}}, godwit.Config{})
		l.meets(Node{ID: "p", MaxSessions: 1000})
		ada := l.join("ada")
		seat, result := l.nextSeats(t.Context(), ada)
		time.Sleep(time.Minute + noNodeWait/2)
		synctest.Wait()
		l.mu.Lock()
		delete(l.travels.going, ada.server)
		l.mu.Unlock()
		time.Sleep(noNodeWait / 2)
		synctest.Wait()
		l.takes(l.sentOne("the move of the program is over", kindSeat))
		if err := <-result; err != nil || seat.Node != "p" {
			t.Errorf("the seat is %+v, %v", seat, err)
		}
	})
}

// A node that may have made a seat hears that the player does not come.
func TestSeatsThatMayHaveBeenMade(t *testing.T) {
	for _, c := range []struct {
		want error
		end  func(l *lone, seat message)
	}{
		{ErrTimeout, func(l *lone, _ message) { l.expire(time.Now().Add(time.Hour), false) }},
		{ErrNotHere, func(l *lone, seat message) { l.handleNobody(message{subject: seat.reply}) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{deadAfter: time.Hour, Leave: func(*godwit.Conn) []byte { return nil }}, godwit.Config{})
			l.meets(Node{ID: "p", MaxSessions: 1000})
			ada, result := l.join("ada"), make(chan error, 1)
			go func() { result <- l.Move(context.Background(), ada.server, "p") }()
			synctest.Wait()
			c.end(l, l.sentOne("the seat", kindSeat))
			if err := <-result; !errors.Is(err, c.want) || len(l.travels.going) != 0 || l.counts.Moved != 0 {
				t.Errorf("Move returns %v, want %v; %v go, %d have moved", err, c.want, l.travels.going, l.counts.Moved)
			}
			if m := l.sentOne("the player stays", kindStays); m.subject != "lone.n.p.q" || string(m.body) != "\x03ada\x00" {
				t.Errorf("to %s: %q", m.subject, m.body)
			}
		})
	}
}

// States on their way to a node that is gone hold up no other player. They do again if the node is back.
func TestStatesForANodeThatIsGoneHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{deadAfter: time.Hour, Leave: func(*godwit.Conn) []byte { return make([]byte, 100<<10) }}, godwit.Config{})
		ada := l.join("ada").server
		turn := func(what string, want bool) {
			t.Helper()
			if _, ok := l.beginTurn(ada); ok != want {
				t.Errorf("%s: there is a turn: %v", what, ok)
			}
			l.endTurn(ada)
		}
		l.meets(Node{ID: "p"})
		for i := range maxHanding {
			c := l.join(fmt.Sprint("p", i))
			l.travels.going[c.server] = going{"p", true}
			l.departed(c.server, godwit.CloseReason{Code: session.CloseMoved})
		}
		turn("all room is used", false)
		p := l.nodes.peers["p"]
		delete(l.nodes.peers, "p")
		turn("the node is gone", true)
		l.nodes.peers["p"] = p
		turn("the node is back", false)
		delete(l.nodes.peers, "p")
		time.Sleep(l.config.RequestTimeout + time.Second)
		l.expire(time.Now(), false)
		if tr := &l.travels; tr.handing != 0 || tr.bytes != 0 || len(tr.to) != 0 || l.counts.StatesLost != maxHanding {
			t.Errorf("at the end %d states of %d bytes are on their way, to %v, and %d lost", tr.handing, tr.bytes, tr.to, l.counts.StatesLost)
		}
	})
}

// If there is no node for anybody the players of a drain wait together, and not one after the other.
func TestPlayersWithoutANodeWaitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{deadAfter: time.Hour}, godwit.Config{})
		c, last, next := l.join(""), l.join(""), l.join("") // join may take time
		waits := func(what string, want time.Duration) {
			t.Helper()
			begun := time.Now()
			_, result := l.nextSeats(t.Context(), c)
			if err := <-result; !errors.Is(err, ErrNoNode) || time.Since(begun) != want {
				t.Errorf("%s: %v after %v, want no node after %v", what, err, time.Since(begun), want)
			}
		}
		all := noNodeFor + noNodeWait
		waits("the first one", all)
		for range 3 {
			waits("another one", 0)
			time.Sleep(noNodePause)
		}
		waits("after a pause", 0)
		time.Sleep(noNodePause + 1)
		waits("after a longer pause", all)
		l.meets(Node{ID: "p", MaxSessions: 1000})
		_, result := l.nextSeats(t.Context(), last)
		synctest.Wait()
		l.takes(l.sentOne("the seat", kindSeat))
		must(t, <-result)
		delete(l.nodes.peers, "p")
		waits("there was a node", all)

		// A node that refuses, or that cannot be asked, is not none.
		l.meets(Node{ID: "p", MaxSessions: 1000})
		l.away.Store(true)
		for range 2 {
			begun := time.Now()
			_, result := l.nextSeats(t.Context(), c)
			if err := <-result; !errors.Is(err, ErrAway) || time.Since(begun) != all {
				t.Errorf("NATS is away: %v after %v, want that it is after %v", err, time.Since(begun), all)
			}
		}
		_, result = l.nextSeats(t.Context(), next)
		time.Sleep(time.Second)
		synctest.Wait()
		l.away.Store(false)
		time.Sleep(noNodeWait)
		synctest.Wait()
		l.takes(l.sentOne("NATS is back", kindSeat))
		must(t, <-result)
	})
}

// States for nodes that are gone are stuck, and those for nodes that are there are not.
func TestStatesThatAreStuck(t *testing.T) {
	l := newLone(t, Config{deadAfter: time.Hour}, godwit.Config{})
	l.meets(Node{ID: "there"})
	stuck := func(want load) {
		t.Helper()
		l.mu.Lock()
		defer l.mu.Unlock()
		if got := l.stuck(); got != want {
			t.Errorf("%+v is stuck, want %+v", got, want)
		}
	}
	stuck(load{})
	l.travels.carry("there", 1, 7)
	stuck(load{})
	l.travels.carry("gone", 1, 10)
	l.travels.carry("gone too", 1, 0)
	l.travels.carry("gone too", 1, 20)
	stuck(load{3, 30})
	l.travels.carry("gone too", -1, 0)
	stuck(load{2, 30})
	l.travels.carry("gone too", -1, -20)
	stuck(load{1, 10})
	if l.travels.handing != 2 || l.travels.bytes != 17 || len(l.travels.to) != 2 {
		t.Errorf("%d states of %d bytes are on their way, to %v", l.travels.handing, l.travels.bytes, l.travels.to)
	}
}

// Drain looks for a node for 20 s for a player for whom none fits, also if the others find one.
func TestAPlayerForWhomNoNodeFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{deadAfter: time.Hour, Place: func(*godwit.Conn, Node) bool { return false }}, godwit.Config{})
		l.meets(Node{ID: "p", MaxSessions: 1000})
		ada := l.join("ada")
		begun := time.Now()
		_, result := l.nextSeats(t.Context(), ada)
		for range noNodeFor / time.Second {
			time.Sleep(time.Second)
			l.noteNode(true)
		}
		if synctest.Wait(); len(result) != 0 {
			t.Errorf("it ends before 20 s are over: %v", <-result)
		}
		time.Sleep(2 * noNodeWait)
		if synctest.Wait(); len(result) == 0 {
			t.Fatalf("it does not end after %v", time.Since(begun))
		}
		if err := <-result; err != ErrNoNode {
			t.Errorf("%v, want ErrNoNode", err)
		}
	})
}

// Many players ask a small node that refuses, or that cannot be asked: it does not look full because of that, and only those who have waited are closed.
func TestManyPlayersWithoutAnAnswer(t *testing.T) {
	for _, away := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{deadAfter: time.Hour}, godwit.Config{})
			p := l.meets(Node{ID: "p", MaxSessions: 5})
			const moving, others = 64, 6 // Server.Drain moves 64 at a time
			for range moving + others {
				l.join("")
			}
			ctx, cancel := context.WithCancel(t.Context())
			drained := make(chan error, 1)
			l.away.Store(away)
			go func() { drained <- l.Drain(ctx) }()
			for range 210 {
				time.Sleep(noNodeWait)
				for again := true; again; {
					synctest.Wait()
					asked := l.sent(kindSeat)
					for _, m := range asked {
						l.replies(m, answerRejected, "no")
					}
					again = len(asked) > 0
				}
			}
			if n := l.srv.Len(); n != others || p.promised != 0 {
				t.Errorf("NATS is away: %v: %d players are left after 21 s, want %d; %d are promised", away, n, others, p.promised)
			}
			cancel()
			<-drained
		})
	}
}

// The error of a player without a node is the last refusal, if the nodes that there are have refused.
func TestWhyAPlayerHasNoNode(t *testing.T) {
	for _, stays := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{deadAfter: time.Hour}, godwit.Config{})
			c := l.join("")
			l.meets(Node{ID: "p", MaxSessions: 1000})
			_, result := l.nextSeats(t.Context(), c)
			synctest.Wait()
			asked := l.sentOne("the seat", kindSeat)
			if stays {
				time.Sleep(noNodeFor + noNodeWait) // the answer is late
			} else {
				l.mu.Lock()
				delete(l.nodes.peers, "p")
				l.mu.Unlock()
			}
			l.replies(asked, answerRejected, "no")
			if err := <-result; err == nil || errors.Is(err, ErrNoNode) == stays {
				t.Errorf("the node is still there: %v: %v", stays, err)
			}
		})
	}
}

// The context is done when the only node that fits has refused: the error is the refusal, and not that there is no node.
func TestARefusalBeforeTheEndOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		refused := false
		l := newLone(t, Config{deadAfter: time.Hour, Place: func(_ *godwit.Conn, n Node) bool {
			if refused {
				cancel()
			}
			return n.ID == "p"
		}}, godwit.Config{})
		c := l.join("")
		for _, id := range []string{"p", "q"} {
			l.meets(Node{ID: id, MaxSessions: 1000})
		}
		_, result := l.nextSeats(ctx, c)
		synctest.Wait()
		asked := l.sentOne("the seat", kindSeat)
		l.mu.Lock()
		refused = true
		l.mu.Unlock()
		l.replies(asked, answerRejected, "no")
		synctest.Wait()
		if len(result) == 0 {
			t.Fatal("it does not end with the context")
		}
		if err := <-result; err == nil || !strings.HasSuffix(err.Error(), ": no") {
			t.Errorf("%v, want the refusal", err)
		}
	})
}

// The time without a node begins with the first player for whom there is none, and not when the nodes have refused a player.
func TestARefusalDoesNotBeginTheTimeWithoutANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{deadAfter: time.Hour}, godwit.Config{})
		c := l.join("")
		l.meets(Node{ID: "p", MaxSessions: 1000})
		ctx, cancel := context.WithCancel(t.Context())
		_, result := l.nextSeats(ctx, c)
		synctest.Wait()
		l.replies(l.sentOne("the seat", kindSeat), answerRejected, "no")
		time.Sleep(noNodeWait / 2)
		if d := l.noteNode(false); d != 0 {
			t.Errorf("after a refusal there has been no node for %v, want that the time begins", d)
		}
		cancel()
		<-result
	})
}

// The program moves a player whom a node has refused: after that move Drain does not ask this node again before the others.
func TestAMoveAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *lone
		refused := false
		l = newLone(t, Config{deadAfter: time.Hour, Place: func(c *godwit.Conn, _ Node) bool {
			if refused { // f.mu is held
				l.travels.going[c] = going{to: "r"}
			}
			refused = false
			return true
		}}, godwit.Config{})
		c := l.join("")
		l.meets(Node{ID: "p", MaxSessions: 1000})
		l.meets(Node{ID: "q", MaxSessions: 1000, Sessions: 500}) // the second choice
		seat, result := l.nextSeats(t.Context(), c)
		synctest.Wait()
		asked := l.sentOne("the first node", kindSeat)
		l.mu.Lock()
		refused = true
		l.mu.Unlock()
		l.replies(asked, answerRejected, "no")
		time.Sleep(time.Minute + noNodeWait/2)
		if synctest.Wait(); len(l.sent(kindSeat)) != 0 {
			t.Error("a node is asked amid a move of the program")
		}
		l.mu.Lock()
		delete(l.travels.going, c.server)
		l.mu.Unlock()
		time.Sleep(noNodeWait / 2)
		synctest.Wait()
		m := l.sentOne("the move of the program is over", kindSeat)
		if asked.subject != "lone.n.p.q" || m.subject != "lone.n.q.q" {
			t.Errorf("%s is asked, and then %s; want p, and then q", asked.subject, m.subject)
		}
		l.replies(m, answerReplied, `{"url":"http://q.example/","node":"q"}`)
		if err := <-result; err != nil || seat.Node != "q" {
			t.Errorf("the seat is %+v, %v", seat, err)
		}
	})
}
