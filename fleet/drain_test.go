package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// takes answers a question for a seat with one, and a state with an acknowledgement.
func (l *lone) takes(m message) {
	l.t.Helper()
	if m.kind == kindSeat {
		l.replies(m, answerReplied, `{"url":"http://p.example/","node":"p"}`)
	} else {
		l.replies(m, answerAcked, "")
	}
}

// Drain moves no more players while 16 states, or 1 MiB of them, are on their way, however long that takes. No player is closed for it.
func TestDrainWaitsWhileStatesAreOnTheirWay(t *testing.T) {
	for _, c := range []struct{ players, size, first, most int }{
		{20, MaxState - 3, 4, 4}, // with the name a state is as large as the largest one that a node assumes at first
		{20, 100 << 10, 10, 10},
		{100, 10, 4, maxHanding + 64}, // 64 move at the same time
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{deadAfter: time.Hour, Leave: func(*godwit.Conn) []byte { return make([]byte, c.size) }}, godwit.Config{})
			l.config.MaxPendingBytes = 8 << 20
			l.meets(Node{ID: "p", MaxSessions: 1000})
			for i := range c.players {
				l.join(fmt.Sprintf("%02d", i))
			}
			drained := make(chan error, 1)
			go func() { drained <- l.Drain(t.Context()) }()
			var unanswered []message
			moved, most := 0, 0
			move := func() { // answers all seats, as long as there are any
				for {
					time.Sleep(10 * time.Millisecond)
					synctest.Wait()
					all := l.sent(kindSeat, kindState)
					if len(all) == 0 {
						break
					}
					for _, m := range all {
						if m.kind == kindSeat {
							l.takes(m)
						} else {
							unanswered = append(unanswered, m)
							moved++
						}
					}
				}
				if most = max(most, len(unanswered)); len(unanswered) > c.most {
					t.Errorf("%d bytes: %d states are on their way", c.size, len(unanswered))
				}
			}
			move()
			if c.size > 10 && moved != c.first { // small states let more players move at once
				t.Errorf("%d bytes: %d states are on their way at first, want %d", c.size, moved, c.first)
			}
			time.Sleep(noNodeFor + time.Second)
			if move(); c.size > 10 && moved != c.first || l.srv.Len() != c.players-moved {
				t.Errorf("%d bytes: after 20 s %d have moved and %d are here, want %d and the others", c.size, moved, l.srv.Len(), c.first)
			}
			for moved < c.players || len(unanswered) > 0 {
				if len(unanswered) == 0 {
					t.Fatalf("%d bytes: nobody moves after %d", c.size, moved)
				}
				l.takes(unanswered[0])
				unanswered = unanswered[1:]
				move()
			}
			if err := <-drained; err != nil || l.counts.Moved != uint64(c.players) || l.travels.bytes != 0 || l.travels.handing != 0 || len(l.travels.turns) != 0 {
				t.Errorf("%d bytes: Drain returns %v, %d have moved; %d states of %d bytes are on their way, %d turns", c.size, err, l.counts.Moved, l.travels.handing, l.travels.bytes, len(l.travels.turns))
			}
			if most < c.first || c.size > 10 && most != c.most {
				t.Errorf("%d bytes: at most %d states were on their way at once, want %d", c.size, most, c.most)
			}
		})
	}
}

// A player waits for the turn until there is room, the player leaves, or the context is done. The wait does not shorten the time in which Drain
// looks for a node.
func TestTurnsOfPlayers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{deadAfter: time.Hour, Leave: func(*godwit.Conn) []byte { return nil }}, godwit.Config{})
		l.config.MaxPendingBytes = 8 << 20
		ada, anon := l.join("ada"), l.join("")
		var players []*client
		for i := range 4 {
			players = append(players, l.join(fmt.Sprint("player", i)))
		}
		handing := func(n int) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.travels.handing = n
		}
		handing(maxHanding)
		begun := time.Now()
		ends := func(what string, result chan error, after time.Duration, want error) {
			t.Helper()
			if err := <-result; !errors.Is(err, want) || time.Since(begun) != after {
				t.Errorf("%s: %v after %v, want %v after %v", what, err, time.Since(begun), want, after)
			}
			begun = time.Now()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, result := l.nextSeats(ctx, ada)
		ends("the context is done", result, time.Minute, context.DeadlineExceeded)

		_, nobody := l.nextSeats(t.Context(), anon) // has no state
		_, result = l.nextSeats(t.Context(), ada)
		ends("a player without a state", nobody, noNodeFor+noNodeWait, ErrNoNode)
		time.Sleep(time.Minute)
		l.mu.Lock()
		l.travels.bytes = 7
		l.mu.Unlock()
		l.handed("p", 7, false)
		ends("there is room", result, time.Minute+noNodeFor+noNodeWait, ErrNoNode)
		if len(l.travels.turns) != 0 || l.travels.bytes != 0 {
			t.Errorf("%d turns, %d bytes", len(l.travels.turns), l.travels.bytes)
		}

		// Four of the largest states fill the room. Who is interrupted amid the move does not keep it.
		handing(0)
		p := l.meets(Node{ID: "p", MaxSessions: 1000})
		for _, player := range players {
			_, result := l.nextSeats(t.Context(), player)
			synctest.Wait()
			l.takes(l.sentOne("the seat", kindSeat))
			must(t, <-result)
		}
		begun = time.Now()
		_, result = l.nextSeats(t.Context(), ada)
		time.Sleep(stateTurn - 1)
		if synctest.Wait(); len(l.sent(kindSeat)) != 0 {
			t.Error("a player moves amid the turns of four others")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		l.takes(l.sentOne("the turns of the others are over", kindSeat))
		ends("the turns of the others are over", result, stateTurn, nil)

		// A move of the program that fails is not a refusal of the node, and none is promised a player meanwhile.
		l.mu.Lock()
		p.promised = 0
		l.mu.Unlock()
		bob := l.join("bob")
		mine := make(chan error, 1)
		go func() { mine <- l.Move(t.Context(), bob.server, "p") }()
		synctest.Wait()
		asked := l.sentOne("the move of the program", kindSeat)
		_, result = l.nextSeats(t.Context(), bob)
		time.Sleep(time.Minute)
		if synctest.Wait(); len(l.sent(kindSeat)) != 0 || p.promised != 0 {
			t.Errorf("amid a move of the program another seat is asked for, %d are promised", p.promised)
		}
		l.replies(asked, answerRejected, "no")
		if err := <-mine; err == nil {
			t.Error("the move of the program is not refused")
		}
		time.Sleep(noNodeWait)
		synctest.Wait()
		l.takes(l.sentOne("after the move of the program", kindSeat))
		must(t, <-result)

		eve := l.join("eve")
		handing(maxHanding)
		_, result = l.nextSeats(t.Context(), eve)
		synctest.Wait()
		eve.server.Kick("")
		begun = time.Now()
		ends("the player leaves", result, 0, session.ErrClosed)
		handing(0)
	})
}

// A panicking Leave costs its state, and not the end of Drain.
func TestLeaveThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{Leave: func(*godwit.Conn) []byte { panic("in Leave") }}, godwit.Config{})
		ada := l.join("ada")
		l.travels.going[ada.server], l.travels.turns[ada.server] = going{"p", true}, struct{}{}
		func() {
			defer func() {
				if r := recover(); r != "in Leave" {
					t.Errorf("the panic is %v", r)
				}
			}()
			l.inFront(godwit.Config{}).Handler.Close(ada.server, godwit.CloseReason{Code: session.CloseMoved})
		}()
		if l.travels.handing != 0 || len(l.travels.turns) != 0 || l.counts.StatesLost != 1 || len(l.players) != 0 {
			t.Errorf("%d states are on their way, %d turns, %d lost, %d players", l.travels.handing, len(l.travels.turns), l.counts.StatesLost, len(l.players))
		}
	})
}

// A node that drains waits for the players who have a seat, lets in nobody else, makes no seats, and moves those who came.
func TestDrainWaitsForWhoComes(t *testing.T) {
	for _, seats := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			tr := newTravel()
			l := newLone(t, tr.config(Config{Name: "l", Seats: seats}), godwit.Config{})
			l.config.deadAfter = time.Hour
			l.meets(Node{ID: "p", MaxSessions: 1000})
			for _, name := range []string{"ada", "bob", "eve"} {
				must(t, l.expect(name))
			}
			drained := make(chan error, 1)
			go func() { drained <- l.Drain(t.Context()) }()
			synctest.Wait()
			if _, err := l.makeSeat(seatRequest{Name: "zoe", Move: true}); err != errDraining {
				t.Errorf("a seat of a node that drains: %v", err)
			}
			if err := l.expect("zoe"); err != errDraining || len(l.travels.expected) != 3 {
				t.Errorf("Drain has begun amid a seat: %v, %d are expected", err, len(l.travels.expected))
			}
			admit := l.inFront(godwit.Config{}).Admit
			for _, name := range []string{"zoe", ""} {
				err := admit(t.Context(), godwit.Identity{Name: name})
				refused, ok := errors.AsType[*rtcserver.StatusError](err)
				if seats && err != nil || !seats && (!ok || refused.Status != http.StatusServiceUnavailable || refused.Code != "shutdown" || refused.Text == "") {
					t.Errorf("seats %v: %q is admitted with %v", seats, name, err)
				}
			}
			stateOf := func(name string) {
				l.receiveState(message{body: append(appendString(nil, name), "the state of "+name...), reply: "lone.n.x.r.1"})
			}
			stateOf("ada")
			must(t, admit(t.Context(), godwit.Identity{Name: "ada"}))
			ada := l.join("ada")
			testkit.Want(t, "who arrives", tr.arrived, `ada with "the state of ada", true`)
			time.Sleep(comingFor - time.Second)
			if synctest.Wait(); len(l.sent(kindSeat)) != 0 {
				t.Error("a player moves while others have not come")
			}
			if !l.receiveStays(message{body: appendString(nil, "eve")}) || l.receiveStays(message{body: []byte{9}}) {
				t.Error("what is malformed is not what should be")
			}
			stateOf("bob")
			l.receiveStays(message{body: appendString(nil, "bob")}) // of an earlier seat: bob has left the other node
			synctest.Wait()
			must(t, admit(t.Context(), godwit.Identity{Name: "bob"}))
			bob := l.join("bob")
			testkit.Want(t, "who arrives", tr.arrived, `bob with "the state of bob", true`)
			time.Sleep(drainTick)
			synctest.Wait()
			if _, err := l.srv.Local(godwit.LocalConfig{Identity: godwit.Identity{Name: "ada"}}); err == nil {
				t.Error("when all have come the server lets somebody in")
			}
			for range 100 {
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
				for _, m := range l.sent(kindSeat, kindState) {
					l.takes(m)
				}
			}
			ada.want(t, "the session of a node that drains", "moved")
			bob.want(t, "the session of a node that drains", "moved")
			select {
			case err := <-drained:
				if err != nil || l.counts.StatesLost+l.counts.StatesMissed != 0 {
					t.Errorf("Drain returns %v; %d states are lost, %d missed", err, l.counts.StatesLost, l.counts.StatesMissed)
				}
			default:
				t.Fatal("Drain does not return")
			}
		})
	}
}

// A state whose player has not come within 10 s is lost, counted, named and logged. One that comes later is refused. The context ends the wait.
func TestDrainWithoutWhoIsOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{Arrive: func(*godwit.Conn, []byte) {}}, godwit.Config{})
		state := func(name string) byte {
			l.receiveState(message{body: appendString(nil, name), reply: "lone.n.x.r.1"})
			return l.sentOne("the answer", kindAnswer).body[0]
		}
		for _, name := range []string{"ada", "bob"} {
			must(t, l.expect(name))
		}
		if code := state("ada"); code != answerAcked {
			t.Errorf("the answer is %d", code)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := l.Drain(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 players are on their way") || l.counts.StatesLost != 0 {
			t.Errorf("Drain returns %v, %d states are lost", err, l.counts.StatesLost)
		}
		begun := time.Now()
		err := l.Drain(t.Context())
		if d := time.Since(begun); err == nil || !strings.Contains(err.Error(), "states of 1 players are lost") || d < comingFor || d > comingFor+2*drainTick {
			t.Errorf("Drain returns %v after %v", err, d)
		}
		if l.counts.StatesLost != 1 || l.counts.StatesMissed != 0 || len(l.travels.expected) != 0 {
			t.Errorf("%d states are lost, %d missed, %d players expected", l.counts.StatesLost, l.counts.StatesMissed, len(l.travels.expected))
		}
		testkit.Want(t, "the log", l.logs, "the node drains, and players who have a seat have not come")
		testkit.Want(t, "the log", l.logs, "the state of a player is lost")
		for _, name := range []string{"ada", "bob"} {
			if code := state(name); code != answerFailed {
				t.Errorf("%s: the answer is %d", name, code)
			}
		}
		// Each call says how many states are lost since the first one, also between them.
		l.travels.handing = 1
		l.handed("p", 0, true)
		if err := l.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "states of 2 players are lost") {
			t.Errorf("Drain returns %v", err)
		}
	})
}

// A state for which there is never room in the outbox does not wait for room.
func TestAStateThatNeverFits(t *testing.T) {
	l := newLone(t, Config{Leave: func(*godwit.Conn) []byte { return make([]byte, 100) }}, godwit.Config{})
	l.config.MaxPendingBytes = 100
	var log testkit.Log
	l.config.Logger = log.Logger(slog.LevelWarn)
	ada := l.join("ada")
	l.travels.going[ada.server] = going{"p", true}
	l.departed(ada.server, godwit.CloseReason{Code: session.CloseMoved})
	if l.travels.handing != 0 || l.counts.StatesLost != 1 {
		t.Errorf("%d states are on their way, %d lost", l.travels.handing, l.counts.StatesLost)
	}
	if s := log.String(); !strings.Contains(s, "the state of a player is lost") || !strings.Contains(s, "player=ada to=p") {
		t.Errorf("the log does not say whose state is lost, and where: %s", s)
	}
}

// A third of the time of Drain at most is for players who have not come, so that those who are here can move.
func TestDrainWithADeadlineAndAnAbsentPlayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{deadAfter: time.Hour, Leave: func(*godwit.Conn) []byte { return nil }}, godwit.Config{})
		l.travels.handing = 1
		l.handed("p", 0, true) // before Drain: its error does not say so
		l.meets(Node{ID: "p", MaxSessions: 1000})
		ada := l.join("ada")
		must(t, l.expect("absent"))
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		begun, drained := time.Now(), make(chan error, 1)
		go func() { drained <- l.Drain(ctx) }()
		time.Sleep(3*time.Second - 1)
		if synctest.Wait(); len(l.sent(kindSeat)) != 0 {
			t.Error("a player moves before a third of the time is over")
		}
		time.Sleep(2 * drainTick)
		synctest.Wait()
		l.takes(l.sentOne("the seat", kindSeat))
		ada.want(t, "the session of a node that drains", "moved")
		synctest.Wait()
		l.takes(l.sentOne("the state", kindState))
		if err := <-drained; err != nil || time.Since(begun) > 4*time.Second {
			t.Errorf("Drain returns %v after %v", err, time.Since(begun))
		}
	})
}

// Two nodes drain one after the other, without a pause: the second one waits for the players of the first one, and their states go on.
func TestNodesThatDrainOneAfterTheOther(t *testing.T) {
	nats, tr := newNATS(t), newTravel()
	next := make(map[string]string) // the only node that may have the players of a node
	start := func(name, to string) *node {
		next[name] = to
		c := tr.config(Config{NATS: nats.address(), Name: name, comingFor: time.Hour})
		c.Place = func(_ *godwit.Conn, n Node) bool { return n.Name == to }
		return newNode(t, c, godwit.Config{})
	}
	a, b, c := start("a", "b"), start("b", "c"), start("c", "")
	knows(t, a, b, c)
	ada := a.join("ada")
	must(t, a.Drain(t.Context()))
	ada.want(t, "the session at the first node", "moved")
	drained := make(chan error, 1)
	go func() { drained <- b.Drain(t.Context()) }()
	wait(t, "the second node drains", func() bool { return b.Nodes()[1].Draining }) // by name
	arrives := func(n *node) *client {
		t.Helper()
		must(t, n.inFront(godwit.Config{}).Admit(t.Context(), godwit.Identity{Name: "ada"}))
		p := n.join("ada")
		testkit.Want(t, "who arrives", tr.arrived, `ada with "the state of ada", true`)
		return p
	}
	arrives(b).want(t, "the session at the second node", "moved")
	must(t, testkit.Next(t, "Drain returns", drained))
	arrives(c)
	for _, n := range []*node{a, b, c} {
		if s := n.Stats(); s.StatesLost+s.StatesMissed != 0 {
			t.Errorf("%s: %d states are lost, %d missed", n.Name(), s.StatesLost, s.StatesMissed)
		}
	}
}
