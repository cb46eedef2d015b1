package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A travel is what a test of moves has of Config.Leave and Arrive.
type travel struct{ left, arrived chan string }

func newTravel() travel { return travel{make(chan string, 16), make(chan string, 16)} }

func (tr travel) config(c Config) Config {
	c.URL, c.deadAfter = "http://"+c.Name+".example/", time.Hour
	c.Leave = func(c *godwit.Conn) []byte {
		tr.left <- c.Identity().Name
		return []byte("the state of " + c.Identity().Name)
	}
	c.Arrive = func(c *godwit.Conn, state []byte) {
		tr.arrived <- fmt.Sprintf("%s with %q, %v", c.Identity().Name, state, state != nil)
	}
	return c
}

// The state of a player goes along with the player, once. Drain gives up the rooms and lets nobody in.
func TestTheStateOfAPlayer(t *testing.T) {
	nats, tr := newNATS(t), newTravel()
	a := newNode(t, tr.config(Config{NATS: nats.address(), Name: "a"}), godwit.Config{})
	b := newNode(t, tr.config(Config{NATS: nats.address(), Name: "b"}), godwit.Config{})
	knows(t, a, b)
	ada, bob, nobody := a.join("ada"), a.join("bob"), a.join("")
	must(t, a.Move(t.Context(), ada.server, b.me.String()))
	ada.want(t, "the session at the old node", "moved")
	testkit.Want(t, "who left", tr.left, "ada")
	arrives := func(name string) {
		t.Helper()
		must(t, b.inFront(godwit.Config{}).Admit(t.Context(), godwit.Identity{Name: name})) // waits for the state
		b.join(name)
		testkit.Want(t, "who arrives", tr.arrived, fmt.Sprintf("%s with %q, true", name, "the state of "+name))
	}
	arrives("ada")
	b.join("eve")

	testkit.Must(a.Claim(t.Context(), "arena"))
	must(t, a.Drain(t.Context()))
	bob.want(t, "the session of a node that drains", "moved")
	nobody.want(t, "the session of a node that drains", "moved")
	testkit.Want(t, "who left", tr.left, "bob")
	arrives("bob")
	if rooms := a.Rooms(); len(rooms) != 0 || !a.nodes.self.Draining {
		t.Errorf("after Drain the node has %d rooms", len(rooms))
	}
	if sa, sb := a.Stats(), b.Stats(); sa.Moved != 3 || sa.StatesLost != 0 || sb.StatesMissed != 0 {
		t.Errorf("%d players were moved, want 3; %d states are lost, %d missed", sa.Moved, sa.StatesLost, sb.StatesMissed)
	}
	testkit.WantNone(t, "others who leave", tr.left)
	testkit.WantNone(t, "others who arrive", tr.arrived)
	if len(a.travels.going) != 0 || len(b.travels.expected) != 0 {
		t.Errorf("%d players go, %d are expected", len(a.travels.going), len(b.travels.expected))
	}
}

// Each session moves once, to another node, and not when it is over.
func TestMovesThatAreRefused(t *testing.T) {
	tr := newTravel()
	n := newNode(t, tr.config(Config{NATS: newNATS(t).address(), Name: "n"}), godwit.Config{})
	n.sync()
	other, asked, answer := newInstance().String(), make(chan seatRequest, 16), make(chan string)
	testkit.Must(n.raw.Subscribe(n.nodeSubject(other), func(m *nats.Msg) {
		var r seatRequest
		got := message{body: m.Data}
		if got.parseHeader() && got.kind == kindSeat && json.Unmarshal(got.body, &r) == nil {
			asked <- r
			m.Respond(append(append(appendHeader(nil, kindAnswer, newInstance()), answerReplied), <-answer...))
		}
	}))
	must(t, n.raw.Flush())
	seat := string(testkit.Must((&auth.Seat{URL: "http://other.example/", Node: other}).JSON()))
	move := func(c *godwit.Conn) chan error {
		moved := make(chan error, 1)
		go func() { moved <- n.Move(t.Context(), c, other) }()
		return moved
	}
	refused := func(what string, c *godwit.Conn, node string, want error) {
		t.Helper()
		if err := n.Move(t.Context(), c, node); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}

	ends := time.Now().Add(time.Hour)
	ada := n.join("ada")
	ada.server.Renew(ends)
	refused("this node", ada.server, n.me.String(), errSameNode)
	refused("the client's end", ada.Conn, other, session.ErrClosed)
	first := move(ada.server)
	if r := testkit.Next(t, "the other node is asked", asked); r.Name != "ada" || !r.Move || r.Ends != ends.Unix() {
		t.Errorf("the other node is asked for %+v", r)
	}
	refused("the second move, while the first one waits", ada.server, newInstance().String(), errOnTheWay)
	answer <- "?"
	if err := testkit.Next(t, "the answer", first); err == nil || len(n.travels.going) != 0 || n.Stats().Moved != 0 {
		t.Errorf("the other node makes no seat: %v, %v go, %d are moved", err, n.travels.going, n.Stats().Moved)
	}
	first = move(ada.server)
	testkit.Next(t, "the other node is asked", asked)
	ada.server.Kick("")
	ada.want(t, "the session ends meanwhile", "kicked")
	testkit.Next(t, "the session is over", ada.server.Done())
	answer <- seat
	if err := testkit.Next(t, "the answer", first); err != session.ErrClosed || n.Stats().Moved != 0 {
		t.Errorf("the session ends meanwhile: %v, %d are moved", err, n.Stats().Moved)
	}
	refused("a session that is over", ada.server, other, session.ErrClosed)

	anon := n.join("")
	last := move(anon.server)
	if r := testkit.Next(t, "the other node is asked", asked); r.Move || r.Ends != 0 {
		t.Errorf("for a player without a name the other node is asked for %+v", r)
	}
	answer <- seat
	if err := testkit.Next(t, "the answer", last); err != nil || n.Stats().Moved != 1 {
		t.Errorf("%v, %d are moved", err, n.Stats().Moved)
	}
	anon.want(t, "the move", "moved")
	testkit.Next(t, "the session is over", anon.server.Done())
	n.mu.Lock()
	n.config.Leave = nil
	n.mu.Unlock()
	bob := n.join("bob")
	last = move(bob.server)
	if r := testkit.Next(t, "the other node is asked", asked); r.Move {
		t.Errorf("without Leave the other node is asked for %+v", r)
	}
	answer <- seat
	must(t, testkit.Next(t, "the answer", last))
	bob.want(t, "the move", "moved")
	testkit.Next(t, "the session is over", bob.server.Done())
	if len(n.travels.going) != 0 || len(asked) != 0 || n.travels.handing != 0 {
		t.Errorf("%v go, %d further questions, %d states", n.travels.going, len(asked), n.travels.handing)
	}
	if err := joinNode(t, Config{}).Move(t.Context(), bob.server, other); err != session.ErrClosed {
		t.Errorf("a node without a server: %v", err)
	}
}

// A session that is being closed does not move, and no other node promises it a seat.
func TestSessionsThatAreBeingClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *lone
		results := make(chan error, 2)
		l = newLone(t, Config{deadAfter: time.Hour}, godwit.Config{Handler: godwit.Handler{Message: func(c *godwit.Conn, _ godwit.ChannelID, _ []byte) {
			c.Send(chat, []byte("one more"))
			if c.Close(0, ""); c.State() != session.StateClosing {
				t.Errorf("the session is %v", c.State())
			}
			_, err := l.nextSeat(t.Context(), c)
			results <- err
			_, err = l.seatElsewhere(t.Context(), c, "p")
			results <- err
		}}})
		p := l.meets(Node{ID: "p", MaxSessions: 1000})
		must(t, l.join("ada").Send(chat, nil))
		for range 2 {
			if err := <-results; err != session.ErrClosed {
				t.Errorf("%v, want ErrClosed", err)
			}
		}
		if p.promised != 0 || len(l.sent(kindSeat)) != 0 {
			t.Errorf("%d seats are promised", p.promised)
		}
	})
}

// nextSeats calls nextSeat.
func (l *lone) nextSeats(ctx context.Context, c *client) (seat *auth.Seat, result chan error) {
	seat, result = new(auth.Seat), make(chan error, 1)
	go func() {
		var err error
		*seat, err = l.nextSeat(ctx, c.server)
		result <- err
	}()
	return seat, result
}

// Drain tries the nodes that fit, one after the other, and all of them again after a moment, for 20 s.
func TestNodesThatTakeAPlayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *lone
		var ada *client
		l = newLone(t, Config{deadAfter: time.Hour, Place: func(c *godwit.Conn, n Node) bool { return c == ada.server && n.Name != "not this one" }}, godwit.Config{})
		ada = l.join("ada")
		for id, name := range map[string]string{"p": "p", "q": "q", "r": "not this one"} {
			l.meets(Node{ID: id, Name: name, MaxSessions: 1000})
		}
		asked := func(what string) (m message, node string) {
			t.Helper()
			synctest.Wait()
			m = l.sentOne(what, kindSeat)
			return m, strings.Split(m.subject, ".")[2]
		}
		ctx, cancel := context.WithCancel(t.Context())
		seat, result := l.nextSeats(ctx, ada)
		begun := time.Now()
		for round := range 3 {
			first, id := asked("the first node")
			l.replies(first, answerRejected, "no")
			second, other := asked("the second node")
			if id == other || id+other != "pq" && id+other != "qp" {
				t.Errorf("%q and %q are asked, want p and q", id, other)
			}
			if round < 2 {
				l.replies(second, answerRejected, "no")
				synctest.Wait()
				if len(l.sent(kindSeat)) != 0 {
					t.Error("a node is asked without a pause")
				}
				time.Sleep(noNodeWait)
				continue
			}
			l.replies(second, answerReplied, fmt.Sprintf(`{"url":"http://%s.example/","node":%q}`, other, other))
			if err := <-result; err != nil || seat.Node != other || l.travels.going[ada.server] != (going{other, true}) {
				t.Errorf("the seat is %+v, %v, and the player goes to %v; want %s", seat, err, l.travels.going, other)
			}
		}
		if d := time.Since(begun); d != 2*noNodeWait {
			t.Errorf("it takes %v", d)
		}

		// Nobody takes the player: for 20 s, until the context is done, or until the player has left.
		delete(l.travels.going, ada.server)
		clear(l.nodes.peers)
		ends := func(what string, seat *auth.Seat, result chan error, want error) {
			t.Helper()
			synctest.Wait()
			select {
			case err := <-result:
				if !errors.Is(err, want) || *seat != (auth.Seat{}) {
					t.Errorf("%s: %+v, %v; want %v", what, seat, err, want)
				}
			default:
				t.Errorf("%s: it does not end", what)
			}
		}
		seat, result = l.nextSeats(ctx, ada)
		time.Sleep(noNodeFor)
		if synctest.Wait(); len(result) != 0 {
			t.Error("it ends before 20 s are over")
		}
		time.Sleep(2 * noNodeWait)
		ends("nobody for 20 s", seat, result, ErrNoNode)
		time.Sleep(noNodePause + 1) // else the next player does not wait: TestPlayersWithoutANodeWaitTogether
		seat, result = l.nextSeats(ctx, ada)
		synctest.Wait()
		cancel()
		ends("the context is done", seat, result, ErrNoNode)
		seat, result = l.nextSeats(t.Context(), ada)
		synctest.Wait()
		ada.server.Kick("")
		ends("the player leaves", seat, result, session.ErrClosed)
		p := l.meets(Node{ID: "p", Name: "p", MaxSessions: 1000})
		seat, result = l.nextSeats(t.Context(), ada)
		if ends("the player has left", seat, result, session.ErrClosed); p.promised != 0 {
			t.Errorf("%d seats are promised", p.promised)
		}
	})
}

// Drain waits for states whose players have gone, also while Leave runs.
func TestDrainWaitsForStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leaving, leave := make(chan struct{}), make(chan struct{})
		l := newLone(t, Config{Leave: func(*godwit.Conn) []byte { close(leaving); <-leave; return []byte("7") }}, godwit.Config{})
		l.meets(Node{ID: "p", MaxSessions: 1000}).heard = time.Now().Add(time.Hour)
		ada := l.join("ada")
		go func() {
			synctest.Wait()
			l.replies(l.sentOne("the move", kindSeat), answerReplied, `{"url":"http://p.example/","node":"p"}`)
		}()
		must(t, l.Move(t.Context(), ada.server, "p"))
		<-leaving
		drain := func(what string, left int) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := l.Drain(ctx)
			if left == 0 && err != nil || left > 0 && (!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), fmt.Sprintf("states of %d players", left))) {
				t.Errorf("%s: Drain returns %v, want that %d states are left", what, err, left)
			}
		}
		drain("Leave runs", 1)
		close(leave)
		synctest.Wait()
		state := l.sentOne("the state", kindState)
		if state.subject != "lone.n.p.q" || !bytes.Equal(state.body, append(appendString(nil, "ada"), "7"...)) {
			t.Errorf("to %s: %q", state.subject, state.body)
		}
		drain("the state is on its way", 1)
		l.replies(state, answerAcked, "")
		drain("the state has arrived", 0)
		l.travels.going[ada.server] = going{"p", true}
		drain("the Close handler of a session has not run yet", 1)
		delete(l.travels.going, ada.server)
		drain("nobody is left", 0)
		l.server.Store(nil)
		drain("without a server", 0)
	})
}

// Drain has an end: that of its context. Then the sessions are left as they are.
func TestDrainThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{})
		ada := l.join("ada")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 sessions are left") || ada.State() != session.StateOpen {
			t.Errorf("without another node Drain returns %v, and the session is %v", err, ada.State())
		}
	})
}

// Only the state of a player with a name, who has moved and not only left, is handed over.
func TestWhoseStateIsHandedOver(t *testing.T) {
	leave := func(size int) func(*godwit.Conn) []byte {
		return func(*godwit.Conn) []byte { return make([]byte, size) }
	}
	for _, c := range []struct {
		name, player string
		goes         bool
		why          session.CloseCode
		leave        func(*godwit.Conn) []byte
		sent, lost   int
	}{
		{"the player has moved", "ada", true, session.CloseMoved, leave(1), 1, 0},
		{"the largest state", "ada", true, session.CloseMoved, leave(MaxState), 1, 0},
		{"a state that is too large", "ada", true, session.CloseMoved, leave(MaxState + 1), 0, 1},
		{"without a name", "", true, session.CloseMoved, leave(1), 0, 0},
		{"without Leave", "ada", true, session.CloseMoved, nil, 0, 0},
		{"the session has ended otherwise", "ada", true, session.CloseKicked, leave(1), 0, 0},
		{"the program has moved the player", "ada", false, session.CloseMoved, leave(1), 0, 0},
	} {
		l := newLone(t, Config{Leave: c.leave}, godwit.Config{})
		p := l.join(c.player)
		if c.goes {
			l.travels.going[p.server] = going{"p", true}
		}
		l.departed(p.server, godwit.CloseReason{Code: c.why})
		if n := len(l.sent(kindState)); n != c.sent || l.travels.handing != c.sent || l.counts.StatesLost != uint64(c.lost) || len(l.travels.going) != 0 {
			t.Errorf("%s: %d states are sent, %d are on their way, %d lost, %d players go; want %d, %d and 0",
				c.name, n, l.travels.handing, l.counts.StatesLost, len(l.travels.going), c.sent, c.lost)
		}
	}
}

// The questions for a node that is gone end at once, and its players get seats elsewhere. The states are lost if it has left; else it may have got them, and may answer. A check of a session goes on, because
// the node may only be cut off.
func TestQuestionsForANodeThatIsGone(t *testing.T) {
	id := newInstance()
	node := id.String()
	for _, c := range []struct {
		how  string
		left int
		end  func(l *lone)
	}{
		{"it has left", 1, func(l *lone) {
			if !l.receiveBeat(message{from: id, body: fmt.Appendf(nil, `{"id":%q,"gone":true}`, node)}) {
				t.Error("the beat is malformed")
			}
		}},
		{"it was not heard for too long", 0, func(l *lone) {
			time.Sleep(deadAfter)
			l.mu.Lock()
			l.nodes.pinged = time.Now().Add(time.Nanosecond)
			l.nodes.peers["q"].heard = time.Now()
			l.mu.Unlock()
			l.heardAll()
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{Leave: func(*godwit.Conn) []byte { return []byte("7") }}, godwit.Config{})
			l.meets(Node{ID: node, MaxSessions: 1000})
			l.meets(Node{ID: "q", MaxSessions: 1000, Sessions: 500})
			ada, bob := l.join("ada"), l.join("bob")
			l.travels.going[ada.server] = going{node, true}
			l.departed(ada.server, godwit.CloseReason{Code: session.CloseMoved})
			l.sentOne("the state", kindState)
			seat, result := l.nextSeats(t.Context(), bob)
			synctest.Wait()
			if m := l.sentOne("the seat", kindSeat); m.subject != l.nodeSubject(node) {
				t.Fatalf("%s is asked for a seat", m.subject)
			}
			checked, asked := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := l.inquire(t.Context(), "lone.n."+node+".c", kindCheck, nil)
				checked <- err
			}()
			must(t, l.Ask("eve", "dance", nil, func(_ []byte, err error) { asked <- err }))
			begun := time.Now()
			c.end(l)
			synctest.Wait()
			m := l.sentOne("another seat", kindSeat)
			if m.subject != l.nodeSubject("q") {
				t.Errorf("%s: then %s is asked for a seat", c.how, m.subject)
			}
			l.replies(m, answerReplied, `{"url":"http://q.example/","node":"q"}`)
			if err := <-result; err != nil || seat.Node != "q" {
				t.Errorf("%s: the seat is %v, %v", c.how, seat, err)
			}
			l.mu.Lock()
			if l.travels.handing != 1-c.left || l.counts.StatesLost != uint64(c.left) || len(l.questions) != 3-c.left || time.Since(begun) > deadAfter {
				t.Errorf("%s: after %v %d states are on their way, %d lost, %d questions", c.how, time.Since(begun), l.travels.handing, l.counts.StatesLost, len(l.questions))
			}
			l.mu.Unlock()
			if len(checked)+len(asked) != 0 {
				t.Errorf("%s: other questions have ended", c.how)
			}
			l.expire(time.Time{}, true)
			<-checked
			<-asked
		})
	}
}

// A node that leaves takes no more questions, so NATS says that nobody has got them.
func TestQuestionsForANodeThatLeaves(t *testing.T) {
	p := newProxy(t, newNATS(t).address())
	p.mu.Lock()
	p.saw = []byte{}
	p.mu.Unlock()
	must(t, joinNode(t, Config{NATS: p.address()}).Close())
	p.mu.Lock()
	defer p.mu.Unlock()
	if !bytes.Contains(p.saw, []byte("UNSUB ")) {
		t.Errorf("the node says to NATS: %q; want that it ends its subscription", p.saw)
	}
}

// A state waits for room in the outbox as long as the other node may wait for the player. Drain says how many states are lost.
func TestStatesThatWaitForRoom(t *testing.T) {
	for _, room := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{Leave: func(*godwit.Conn) []byte { return []byte("7") }}, godwit.Config{})
			ada := l.join("ada")
			l.travels.going[ada.server] = going{"p", true}
			pending := l.config.MaxPending
			l.config.MaxPending = 0
			l.departed(ada.server, godwit.CloseReason{Code: session.CloseMoved})
			l.server.Store(nil)
			drained := make(chan error, 1)
			go func() { drained <- l.Drain(t.Context()) }()
			time.Sleep(seatFor)
			synctest.Wait()
			l.mu.Lock()
			handing, lost := l.travels.handing, l.counts.StatesLost
			l.mu.Unlock()
			if handing != 1 || lost != 0 {
				t.Fatalf("%d are on their way, %d lost", handing, lost)
			}
			if room {
				l.mu.Lock()
				l.config.MaxPending = pending
				l.mu.Unlock()
				time.Sleep(stateRetry)
				synctest.Wait()
				l.replies(l.sentOne("there is room", kindState), answerAcked, "")
				must(t, <-drained)
			} else if err := <-drained; err == nil || !strings.Contains(err.Error(), "states of 1 players are lost") {
				t.Errorf("without room Drain returns %v", err)
			}
		})
	}
}

// Who lets a player in waits for the state, 3 s at most, and a state that comes late or twice is not used.
func TestWaitingForAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTravel()
		l := newLone(t, tr.config(Config{Name: "l"}), godwit.Config{})
		state := func(text string, want byte) {
			t.Helper()
			reply := "lone.n.x.r.1"
			body := append(appendString(nil, "ada"), text...)
			if !l.receiveState(message{body: body, reply: reply}) {
				t.Error("the state is malformed")
			}
			clear(body) // its bytes are used again
			m := l.sentOne("the answer", kindAnswer)
			if m.subject != reply || m.body[0] != want || want == answerFailed && (m.body[1] != byte(session.StatusRejected) || !strings.HasPrefix(string(m.body[2:]), "the player is not expected")) {
				t.Errorf("the answer to %s is %q, want the code %d", m.subject, m.body, want)
			}
		}
		for _, cut := range [][]byte{nil, {4, 'a'}} {
			if l.receiveState(message{body: cut}) {
				t.Errorf("%q is a state", cut)
			}
		}
		wait := func(ctx context.Context) chan time.Duration {
			begun, waited := time.Now(), make(chan time.Duration, 1)
			go func() { l.awaitState(ctx, "ada"); waited <- time.Since(begun) }()
			synctest.Wait()
			return waited
		}
		waits := func(what string, waited chan time.Duration, want time.Duration) {
			t.Helper()
			if got := <-waited; got != want {
				t.Errorf("%s: waits for %v, want %v", what, got, want)
			}
		}
		opens := func(want string) {
			t.Helper()
			l.join("ada")
			select {
			case got := <-tr.arrived:
				if got != want {
					t.Errorf("arrived: %s, want %q", got, want)
				}
			default:
				if want != "" {
					t.Errorf("nobody has arrived, want %s", want)
				}
			}
			if len(l.travels.expected) != 0 {
				t.Errorf("%v are expected", l.travels.expected)
			}
		}
		waits("a player who comes from nowhere", wait(t.Context()), 0)
		state("a state of nobody", answerFailed)
		opens("")

		l.expect("ada")
		waited := wait(t.Context())
		time.Sleep(time.Second)
		state("7", answerAcked)
		waits("the state comes", waited, time.Second)
		state("8", answerAcked)
		waits("the state is there", wait(t.Context()), 0)
		opens(`ada with "7", true`)
		state("7", answerAcked) // the answer to the first one was lost
		if l.counts.StatesMissed != 0 {
			t.Errorf("%d states are missed", l.counts.StatesMissed)
		}

		l.expect("ada")
		state("", answerAcked)
		opens(`ada with "", true`)

		l.expect("ada")
		waits("no state comes", wait(t.Context()), stateWait)
		ctx, cancel := context.WithCancel(t.Context())
		waited = wait(ctx)
		cancel()
		waits("the player is gone", waited, 0)
		opens(`ada with "", false`)
		if l.counts.StatesMissed != 1 {
			t.Errorf("%d states are missed, want 1", l.counts.StatesMissed)
		}
		state("too late", answerFailed)
		l.config.Arrive = nil
		l.expect("ada")
		opens("")

		// Who does not come is forgotten, and not more are expected than fit.
		l.expect("ada")
		forget := func(want int) {
			t.Helper()
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.tick(time.Now()); len(l.travels.expected) != want {
				t.Errorf("%d are expected, want %d", len(l.travels.expected), want)
			}
		}
		time.Sleep(seatFor + stateWait)
		forget(1)
		time.Sleep(time.Nanosecond)
		forget(0)
		for i := range maxExpects + 1 {
			if err := l.expect(fmt.Sprint(i)); i < maxExpects != (err == nil) {
				t.Fatalf("player %d: %v", i, err)
			}
		}
		forget(maxExpects)
	})
}
