package fleet

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	native "github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// States whose players never come are counted when their seats end, when the player gets another seat, and when the fleet is closed.
func TestStatesWithoutTheirPlayers(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	expect := func(name string, state bool) {
		t.Helper()
		must(t, l.expect(name))
		if state {
			l.receiveState(message{body: appendString(nil, name)})
		}
	}
	lost := func(what string, want uint64, left int) {
		t.Helper()
		if l.counts.StatesLost != want || len(l.travels.expected) != left || l.counts.StatesMissed != 0 {
			t.Errorf("%s: %d states are lost, want %d; %d players are expected, want %d", what, l.counts.StatesLost, want, len(l.travels.expected), left)
		}
	}
	expect("ada", false)
	expect("ada", true)
	lost("a seat before the state", 0, 1)
	expect("ada", true)
	lost("another seat", 1, 1)
	expect("bob", false)
	l.travels.taken["eve"] = time.Now().Add(time.Hour)
	l.mu.Lock()
	l.forgetArrivals(time.Now().Add(seatFor))
	lost("before the seats end", 1, 2)
	l.forgetArrivals(time.Now().Add(2 * seatFor))
	l.mu.Unlock()
	lost("the seats have ended", 2, 0)
	if len(l.travels.taken) != 1 {
		t.Error("a state that was taken is forgotten early")
	}
	l.mu.Lock()
	l.forgetArrivals(time.Now().Add(2 * time.Hour))
	l.mu.Unlock()
	if len(l.travels.taken) != 0 {
		t.Error("a state that was taken is not forgotten")
	}
	expect("ada", true)
	l.giveUpArrivals()
	lost("the node ends", 3, 0)
}

// A node says to the other one that a player stays, and not so after a refusal of the other one.
func TestPlayersWhoStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{Leave: func(*godwit.Conn) []byte { return nil }}, godwit.Config{})
		l.meets(Node{ID: "p", MaxSessions: 1000}).heard = time.Now().Add(time.Hour)
		stays := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, m := range l.sent(kindStays) {
				got = append(got, fmt.Sprintf("%s %q", m.subject, m.body))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %q is said, want %q", what, got, want)
			}
		}
		move := func(c *client) (seat message, result chan error, cancel func()) {
			ctx, cancel := context.WithCancel(t.Context())
			result = make(chan error, 1)
			go func() { result <- l.Move(ctx, c.server, "p") }()
			synctest.Wait()
			return l.sentOne("the seat", kindSeat), result, cancel
		}
		ada := l.join("ada")
		seat, result, cancel := move(ada)
		l.replies(seat, answerRejected, "no")
		<-result
		stays("the other node refuses")
		cancel()

		_, result, cancel = move(ada)
		cancel()
		<-result
		stays("nobody waits for the answer", `lone.n.p.q "\x03ada\x00"`)

		seat, result, cancel = move(ada)
		ada.server.Kick("")
		<-ada.server.Done()
		stays("the session ends before the answer", `lone.n.p.q "\x03ada\x00"`)
		l.takes(seat)
		<-result
		stays("the answer", `lone.n.p.q "\x03ada\x00"`)
		cancel()

		// A session that ends amid the move: after shutdown, timeout and replacement the client follows its seat, or has done so.
		for _, c := range []struct {
			name  string
			given bool
			why   session.CloseCode
			flag  byte
		}{
			{"bob", true, session.CloseKicked, 0}, {"bob", true, session.CloseNormal, 0}, {"bob", true, session.CloseDuplicate, 0},
			{"bob", true, session.CloseShutdown, 1}, {"bob", true, session.CloseTimeout, 1},
			{"bob", true, session.CloseReplaced, 1},                                     // by the session of the same player at the other node
			{"bob", true, session.CloseMoved, 1}, {"bob", false, session.CloseMoved, 0}, // the move has taken too long
			{"bob", false, session.CloseShutdown, 0}, {"bob", false, session.CloseTimeout, 0},
		} {
			before := l.counts.StatesLost
			bob := l.join(c.name)
			l.travels.going[bob.server] = going{"p", c.given}
			l.departed(bob.server, godwit.CloseReason{Code: c.why, Text: "too early"})
			stays(fmt.Sprint(c), fmt.Sprintf("lone.n.p.q %q", "\x03bob"+string(rune(c.flag))))
			if lost := l.counts.StatesLost - before; lost != uint64(c.flag) || len(l.travels.going) != 0 {
				t.Errorf("%v: %d states are lost, %v go", c, lost, l.travels.going)
			}
			bob.server.Kick("")
			<-bob.server.Done()
		}
	})
}

// A player of whom another node says that no state comes may come nevertheless: then the program hears that there is no state. Nobody waits for such a
// player, and a state that comes is refused.
func TestPlayersWhoComeAfterAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTravel()
		l := newLone(t, tr.config(Config{Name: "l"}), godwit.Config{})
		stays := func(name, flag string) {
			t.Helper()
			if !l.receiveStays(message{body: append(appendString(nil, name), flag...)}) {
				t.Error("it is malformed")
			}
		}
		comes := func(name string, waits time.Duration, arrived bool, missed uint64) {
			t.Helper()
			begun := time.Now()
			must(t, l.inFront(godwit.Config{}).Admit(t.Context(), godwit.Identity{Name: name}))
			if d := time.Since(begun); d != waits {
				t.Errorf("%s waits for %v, want %v", name, d, waits)
			}
			l.join(name)
			if arrived {
				testkit.Want(t, "who arrives", tr.arrived, name+` with "", false`)
			}
			testkit.WantNone(t, "others who arrive", tr.arrived)
			if l.counts.StatesMissed != missed || l.counts.StatesLost != 0 {
				t.Errorf("%s: %d states are missed, want %d; %d lost", name, l.counts.StatesMissed, missed, l.counts.StatesLost)
			}
		}
		for _, name := range []string{"ada", "bob", "eve", "zoe"} {
			must(t, l.expect(name))
		}
		stays("ada", "\x01")
		stays("ada", "\x01")
		stays("bob", "") // of a node of an earlier commit
		stays("eve", "\x00")
		stays("zoe", "\x01")
		must(t, l.awaitArrivals(t.Context()))
		l.receiveState(message{body: appendString(nil, "ada"), reply: "lone.n.x.r.1"})
		if code := l.sentOne("the answer", kindAnswer).body[0]; code != answerFailed {
			t.Errorf("the answer to a state is %d", code)
		}
		comes("ada", 0, true, 1)
		comes("bob", 0, true, 2)
		comes("eve", 0, false, 2)
		must(t, l.expect("ada"))
		stays("ada", "\x01")
		stays("ada", "\x00") // the client has not got the seat
		comes("ada", 0, false, 2)
		l.mu.Lock()
		l.forgetArrivals(time.Now().Add(2 * seatFor))
		l.mu.Unlock()
		if len(l.travels.expected) != 0 || l.counts.StatesLost != 0 {
			t.Errorf("%v are expected, %d states are lost", l.travels.expected, l.counts.StatesLost)
		}
	})
}

// A server that is closed amid the move of a client: the client follows its seat, and both nodes say that there is no state.
func TestAServerThatEndsAmidAMove(t *testing.T) {
	nats, arrived := newNATS(t), make(chan string, 4)
	kept := make(chan *godwit.Request, 1) // without an answer, so the move does not end
	opened := make(chan *godwit.Conn, 4)
	start := func(name string) *node {
		n := joinNode(t, Config{NATS: nats.address(), Name: name, deadAfter: time.Hour,
			Leave:  func(*godwit.Conn) []byte { return []byte("state") },
			Arrive: func(_ *godwit.Conn, state []byte) { arrived <- fmt.Sprintf("at %s with %q", name, state) },
		})
		n.srv = testkit.Must(n.Listen("127.0.0.1:0", godwit.Config{Channels: table, Invites: testkit.Must(auth.NewInviteKey(rand.Reader)), Handler: godwit.Handler{
			Open:    func(c *godwit.Conn) { opened <- c },
			Request: func(_ *godwit.Conn, r *godwit.Request) { r.Keep(); kept <- r },
		}}))
		t.Cleanup(func() { n.srv.Close() })
		return n
	}
	a, b := start("a"), start("b")
	knows(t, a, b)
	s := testkit.Must(native.Connect(t.Context(), "", native.Config{}, native.SessionConfig{
		Channels: table, Renew: true,
		Seat: func(ctx context.Context) (auth.Seat, error) {
			return a.Seat(ctx, a.me.String(), godwit.Identity{Name: "ada"})
		},
	}))
	t.Cleanup(func() { s.Close(0, "") })
	c := testkit.Next(t, "the session opens", opened)
	asked := make(chan struct{})
	go func() { s.Request(t.Context(), "keep", nil); close(asked) }()
	t.Cleanup(func() { s.Close(0, ""); <-asked })
	r := testkit.Next(t, "the request", kept)
	defer runtime.KeepAlive(r) // else the garbage collector rejects it
	must(t, a.Move(t.Context(), c, b.me.String()))
	wait(t, "the client has the seat", func() bool { _, has := s.Next(); return has })
	if c.State() == session.StateClosed {
		t.Fatal("the move is over")
	}
	a.srv.Close()
	if n := testkit.Next(t, "the session at the other node", opened); n.Identity().Name != "ada" {
		t.Errorf("%q comes to the other node", n.Identity().Name)
	}
	testkit.Want(t, "Arrive", arrived, `at b with ""`)
	wait(t, "the old node counts", func() bool { return a.Stats().StatesLost == 1 })
	if sa, sb := a.Stats(), b.Stats(); sb.StatesMissed != 1 || sb.StatesLost+sa.StatesMissed != 0 {
		t.Errorf("the old node: %d states lost, %d missed; the new one: %d and %d", sa.StatesLost, sa.StatesMissed, sb.StatesLost, sb.StatesMissed)
	}
}

// A state that comes when the seat has ended is lost, and Drain of the node that has sent it says so.
func TestAStateThatComesTooLate(t *testing.T) {
	nats := newNATS(t)
	var b *node
	a := newNode(t, Config{NATS: nats.address(), Name: "a", deadAfter: time.Hour, Leave: func(*godwit.Conn) []byte {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.forgetArrivals(time.Now().Add(time.Hour))
		return []byte("state")
	}}, godwit.Config{})
	b = newNode(t, Config{NATS: nats.address(), Name: "b", URL: "http://b.example/", deadAfter: time.Hour}, godwit.Config{})
	knows(t, a, b)
	a.join("ada")
	if err := a.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "states of 1 players are lost") || a.Stats().StatesLost != 1 {
		t.Errorf("Drain returns %v, %d states are lost", err, a.Stats().StatesLost)
	}
}
