package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// beats has the node tell of itself, and returns what the others get.
func (l *lone) beats(now time.Time, gone bool) (b beat) {
	l.t.Helper()
	l.mu.Lock()
	l.beat(now, gone)
	l.mu.Unlock()
	m := l.sentOne("a beat", kindBeat)
	if err := json.Unmarshal(m.body, &b); err != nil || m.subject != "lone.b" || m.reply != "" {
		l.t.Errorf("to %q, with an answer to %q: %s, %v", m.subject, m.reply, m.body, err)
	}
	return b
}

// What a node tells of itself is that of the last second.
func TestWhatANodeTells(t *testing.T) {
	n := newLone(t, Config{URL: "http://node.example/", Region: "eu", Version: "1", Adopt: func(*Room) {}}, godwit.Config{})
	now := time.Now()
	if b := n.beats(now, false); b.Gone || b.Here || b.Node != (Node{
		ID: n.me.String(), Name: "lone", URL: "http://node.example/", Region: "eu", Version: "1", MaxSessions: 4096, Adopts: true,
	}) {
		t.Errorf("at the beginning: %+v", b)
	}
	n.join("ada")
	n.Late(80 * time.Millisecond)
	n.Late(20 * time.Millisecond)
	n.nodes.promised = 9
	n.nodes.cpu.used = -time.Hour // as if the process had used an hour in the last second
	if b := n.beats(now.Add(time.Second), true); !b.Gone || b.Sessions != 1 || b.Lateness != 80*time.Millisecond || b.CPU != 1 || n.nodes.promised != 4 {
		t.Errorf("with a session, a late tick and a busy processor: %+v, and %d seats are promised, want half of 9", b, n.nodes.promised)
	}
	if b := n.beats(now.Add(2*time.Second), false); b.Lateness != 0 {
		t.Errorf("a second later: %+v, want that no tick was late", b)
	}
	n.server.Store(nil)
	n.nodes.self.Sessions = 7
	if b := n.beats(now, false); b.Sessions != 7 {
		t.Errorf("without a server: %+v", b)
	}

	n.setDraining()
	n.setDraining()
	if m := n.sentOne("a node that drains", kindBeat); json.Unmarshal(m.body, new(beat)) != nil || !n.nodes.self.Draining {
		t.Errorf("a node that drains says %s", m.body)
	}
}

// plug connects the node to NATS, and to the beats of others. Its goroutines do not run: beats that have arrived are in in.beats.
func (l *lone) plug(s *natsServer) {
	l.nc = testkit.Must(nats.Connect(s.address(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))) // it would print errors
	l.nodes.sub = testkit.Must(l.nc.ChanSubscribe(l.beatSubject(), l.in.beats))
	must(l.t, l.nc.Flush())
	l.t.Cleanup(l.nc.Close)
	l.t.Cleanup(l.running.Wait)
}

// proofs returns 1 if a proof has begun and is not over, otherwise 0.
func (l *lone) proofs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nodes.proving {
		return 1
	}
	return 0
}

// proves waits until the mark of a proof has arrived.
func (l *lone) proves(what string) {
	l.t.Helper()
	if m := testkit.Next(l.t, what, l.in.beats); m != &l.in.mark {
		l.t.Fatalf("%s: a message to %s has arrived, want the mark", what, m.Subject)
	}
}

// A node that was not heard for too long is gone if a ping of NATS says that nothing is on its way: this node may have stood still, and
// not the other one. While NATS is away nobody is heard, and nobody is gone.
func TestNodesThatAreNotHeard(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	n.plug(newNATS(t))
	now := time.Now()
	listen := func() int {
		n.mu.Lock()
		n.tick(now)
		n.mu.Unlock()
		return n.proofs()
	}
	there := func(what string, wakes int, want ...string) {
		t.Helper()
		var got []string
		for _, o := range n.Nodes()[1:] {
			got = append(got, o.ID)
		}
		if !slices.Equal(got, want) || len(n.rooms.wake) != wakes {
			t.Errorf("%s: %v are there, and %d wakes of the rooms; want %v and %d", what, got, len(n.rooms.wake), want, wakes)
		}
	}
	p, q := n.meets(Node{ID: "p", Name: "p"}), n.meets(Node{ID: "q", Name: "q"})
	p.heard, q.heard = now, now.Add(-deadAfter)
	if listen() != 0 {
		t.Error("all nodes were heard in the last 3 s, and NATS is pinged")
	}
	p.heard, q.heard = now.Add(-deadAfter-1), now.Add(-deadAfter-1)
	if listen() != 1 {
		t.Error("two nodes were not heard, and NATS is not pinged")
	}
	n.proves("NATS has answered")
	there("the mark is not processed yet", 0, "p", "q")
	at := n.nodes.pinged
	p.heard, q.heard = at.Add(-deadAfter), at.Add(-deadAfter-1) // p was heard before the answer
	n.heardAll()
	there("NATS has answered", 1, "p")
	if <-n.rooms.wake; n.proofs() != 0 || !n.nodes.proven.Equal(at) {
		t.Errorf("after a proof: %d runs, and everything is heard until %v after the ping", n.proofs(), n.nodes.proven.Sub(at))
	}
	n.mu.Lock()
	n.forgetNode("q", "twice")
	n.mu.Unlock()
	there("a node that is not there is gone again", 0, "p")

	n.nodes.since, p.heard = now.Add(-time.Hour), now.Add(-time.Hour)
	n.away.Store(true)
	if asked := listen(); asked != 0 || !p.heard.Equal(now) || !n.nodes.since.Equal(now) {
		t.Errorf("while NATS is away: %d pings, a node was heard %v ago, and the others without a break for %v; want none, 0 and 0",
			asked, now.Sub(p.heard), now.Sub(n.nodes.since))
	}
	n.nodes.since, p.heard = now.Add(-time.Hour), now.Add(-time.Hour)
	if n.natsBack(); p.heard.Before(now) || n.nodes.since.Before(now) {
		t.Error("when NATS is back the node does not wait for the others again")
	}
}

// The mark of a proof is behind all that others have said before, also when somebody subscribes to all subjects. Without an answer of NATS there is no
// proof, and no node is gone.
func TestAProof(t *testing.T) {
	n, server := newLone(t, Config{}, godwit.Config{}), newNATS(t)
	n.plug(server)
	other := testkit.Must(nats.Connect(server.address()))
	t.Cleanup(other.Close)
	testkit.Must(other.Subscribe(">", func(*nats.Msg) {}))
	for range 100 {
		must(t, other.Publish(n.beatSubject(), []byte("x")))
	}
	must(t, other.Flush())
	start := func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.startProof()
		n.startProof() // one at a time
	}
	start()
	for range 100 {
		if m := testkit.Next(t, "a beat", n.in.beats); m.Subject != n.beatSubject() {
			t.Fatalf("a message to %q has arrived, want a beat", m.Subject)
		}
	}
	n.proves("the mark")
	n.away.Store(true)
	if n.heardAll(); n.proofs() != 0 || !n.nodes.proven.IsZero() {
		t.Errorf("after the connection has ended: %d proofs run, and everything is heard until %v", n.proofs(), n.nodes.proven)
	}
	n.away.Store(false)
	start()
	n.proves("the mark")
	n.heardAll()
	if n.running.Wait(); len(n.in.beats) != 0 {
		t.Errorf("%d messages more have arrived", len(n.in.beats))
	}

	n.meets(Node{ID: "p"}).heard = time.Now().Add(-time.Hour)
	n.nc.Close()
	proven, woken := n.nodes.proven, make(chan struct{})
	n.nodes.woken = woken
	start()
	testkit.Next(t, "the attempt is over", woken)
	if n.running.Wait(); n.proofs() != 0 || len(n.in.beats) != 0 || len(n.Nodes()) != 2 || !n.nodes.proven.Equal(proven) {
		t.Errorf("without NATS: %d proofs run, %d messages have arrived, and %d nodes are there, want 0, 0 and 2", n.proofs(), len(n.in.beats), len(n.Nodes()))
	}
	n.away.Store(true)
	if start(); n.proofs() != 0 {
		t.Error("a proof begins while NATS is away")
	}
	n.away.Store(false)
	n.closed = true
	if start(); n.proofs() != 0 {
		t.Error("a proof begins after Close")
	}
}

// Beats and the mark of a proof do not wait while a func of the program holds up all other messages, and the inbox is full.
func TestBeatsDoNotWaitForOtherMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{MaxPending: 1, MaxPendingBytes: 100})
		held, other := make(chan struct{}), instance{7}
		q.questions[1] = &question{done: func([]byte, error) { <-held }, until: time.Now().Add(time.Hour)}
		q.running.Go(q.collect)
		q.running.Go(q.process)
		q.running.Go(q.hearBeats)
		for range 3 {
			q.in.arrived <- &nats.Msg{Subject: q.inboxSubject("r", "1"), Data: append(appendHeader(nil, kindAnswer, other), answerAcked)}
		}
		synctest.Wait()
		if s := q.Stats(); q.in.waiting != 1 || s.Received != 3 || s.InDropped != 2 {
			t.Fatalf("%d messages wait, %d were received and %d dropped; want 1, 3 and 2", q.in.waiting, s.Received, s.InDropped)
		}
		q.nodes.proving, q.nodes.pinged = true, time.Now()
		before, beat := q.Stats().ReceivedBytes, fmt.Appendf(appendHeader(nil, kindBeat, other), `{"id":%q}`, other)
		q.in.beats <- &nats.Msg{Subject: q.beatSubject(), Data: beat}
		q.in.beats <- &q.in.mark
		synctest.Wait()
		if s := q.Stats(); s.Nodes != 1 || s.Received != 4 || s.ReceivedBytes != before+uint64(len(beat)) || q.nodes.proving || !q.nodes.proven.Equal(q.nodes.pinged) {
			t.Errorf("%d nodes are there, %d messages were received, the last one with %d bytes, and a proof runs: %v; want 1, 4, %d, false", s.Nodes, s.Received, s.ReceivedBytes-before, q.nodes.proving, len(beat))
		}
		close(held)
		close(q.stop)
		q.running.Wait()
	})
}

// If beats were dropped a ping proves nothing: the node begins to listen again.
func TestAProofWithoutBeats(t *testing.T) {
	n, server := newLone(t, Config{}, godwit.Config{}), newNATS(t)
	n.in.beats = make(chan *nats.Msg, 1)
	n.plug(server)
	other := testkit.Must(nats.Connect(server.address()))
	t.Cleanup(other.Close)
	for range 3 {
		must(t, other.Publish(n.beatSubject(), []byte("x")))
	}
	must(t, other.Flush())
	p := n.meets(Node{ID: "p"})
	begun := time.Now()
	prove := func() {
		woken := make(chan struct{})
		n.mu.Lock()
		p.heard, n.nodes.since = begun.Add(-time.Hour), begun.Add(-time.Hour)
		n.nodes.woken = woken
		n.startProof()
		n.mu.Unlock()
		testkit.Next(t, "the attempt is over", woken)
		n.running.Wait()
	}
	prove()
	if len(n.Nodes()) != 2 || !n.nodes.proven.IsZero() || p.heard.Before(begun) || n.nodes.since.Before(begun) || !n.nodes.back.IsZero() {
		t.Errorf("beats were dropped: %d nodes are there, and the node was heard %v ago; want 2, that the node listens again, and that NATS was not away", len(n.Nodes()), time.Since(p.heard))
	}
	testkit.Next(t, "the beat that was not dropped", n.in.beats)
	n.running.Go(func() { n.proves("nothing was dropped since"); n.heardAll() })
	if prove(); len(n.Nodes()) != 1 || n.nodes.proven.IsZero() {
		t.Errorf("nothing was dropped since: %d nodes are there, want 1", len(n.Nodes()))
	}
}

// Whether a node is gone for good nobody knows who has not heard the others for long enough, or without a proof that nothing is on its way.
func TestWhoIsGone(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	n.meets(Node{ID: "there"}).heard = time.Now().Add(time.Hour)
	at := time.Now()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		id         string
		since      time.Duration
		proven     time.Time
		gone, sure bool
	}{
		{"there", time.Hour, at, false, true}, {"there", 0, time.Time{}, false, true}, {n.me.String(), 0, time.Time{}, false, true},
		{"x", time.Hour, at, true, true}, {"x", time.Hour, at.Add(time.Hour), true, true}, {"x", time.Hour, at.Add(-1), true, false},
		{"x", time.Hour, time.Time{}, true, false}, {"x", deadAfter + beatEvery/2, at, true, false},
	} {
		n.nodes.since, n.nodes.proven = time.Now().Add(-c.since), c.proven
		if gone, sure := n.checkGone(over, c.id, at); gone != c.gone || sure != c.sure {
			t.Errorf("%q, %v after the beginning, heard until %v: gone %v, sure %v; want %v, %v", c.id, c.since, c.proven, gone, sure, c.gone, c.sure)
		}
	}
	n.nodes.since, n.nodes.proven = time.Now().Add(-time.Hour), time.Time{}
	n.nodes.waiting = maxAwaiting
	if gone, sure := n.frontGone(t.Context(), "x"); !gone || sure || n.nodes.waiting != maxAwaiting || !n.nodes.pinged.IsZero() {
		t.Errorf("a front while as many wait as may: gone %v, sure %v, %d wait, and NATS was pinged at %v", gone, sure, n.nodes.waiting, n.nodes.pinged)
	}
	if gone, sure := n.frontGone(t.Context(), "there"); gone || !sure {
		t.Errorf("a front while as many wait as may, of a node that is there: gone %v, sure %v", gone, sure)
	}
	n.nodes.waiting, n.nodes.proven = 0, at
	n.away.Store(true)
	if gone, sure := n.checkGone(t.Context(), "x", at); !gone || sure {
		t.Errorf("while NATS is away: gone %v, sure %v", gone, sure)
	}
	n.away.Store(false)
	n.closed = true
	if gone, sure := n.checkGone(t.Context(), "x", at); !gone || sure {
		t.Errorf("after Close: gone %v, sure %v", gone, sure)
	}
	if o, ok := n.Fleet.node(n.me.String()); !ok || !o.Here || o.ID != n.me.String() {
		t.Errorf("this node is %+v, %v", o, ok)
	}
	if o, ok := n.Fleet.node("there"); !ok || o.ID != "there" || o.Here {
		t.Errorf("another node is %+v, %v", o, ok)
	}
	if o, ok := n.Fleet.node("x"); ok || o != (Node{}) {
		t.Errorf("a node that is not there is %+v, %v", o, ok)
	}
}

// Who asks whether nodes are gone waits for a proof, many for one, however many requests to fronts wait. Of two nodes of which nothing was heard the one whose beat was
// on its way is there.
func TestProofsOfTheEndOfNodes(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	n.plug(newNATS(t))
	n.nodes.since, n.nodes.waiting = time.Now().Add(-time.Hour), maxAwaiting
	come := instance{7}
	answers := make(chan string, 8)
	ask := func(id string, at time.Time) {
		go func() {
			gone, sure := n.checkGone(context.Background(), id, at)
			answers <- fmt.Sprint(gone, sure)
		}()
	}
	waiting := func(want int) {
		t.Helper()
		wait(t, "they wait", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.nodes.waiting == maxAwaiting+want })
	}
	at := time.Now() // before the ping
	for range 3 {
		ask(come.String(), at)
		ask("x", at)
	}
	waiting(6)
	n.proves("NATS has answered")
	late := n.nodes.pinged.Add(1)
	ask("x", late) // comes after the ping: it needs the next one
	waiting(7)
	if !n.receiveBeat(message{from: come, body: fmt.Appendf(nil, `{"id":%q}`, come)}) {
		t.Fatal("the beat is malformed")
	}
	n.heardAll()
	got := make(map[string]int)
	for range 6 {
		got[testkit.Next(t, "an answer", answers)]++
	}
	if got["false true"] != 3 || got["true true"] != 3 {
		t.Errorf("the answers are %v, want three that the node is there, and three that it is gone for sure", got)
	}
	waiting(1)
	n.proves("NATS has answered again")
	n.heardAll()
	testkit.Want(t, "the answer to the late one", answers, "true true")
	if n.running.Wait(); n.nodes.waiting != maxAwaiting || len(n.in.beats) != 0 || n.nodes.woken != nil {
		t.Errorf("%d wait, and %d messages more have arrived", n.nodes.waiting, len(n.in.beats))
	}

	ask("x", time.Now())
	waiting(1)
	n.mu.Lock()
	n.away.Store(true)
	n.endProof()
	n.mu.Unlock()
	testkit.Want(t, "NATS is away", answers, "true false")
	n.proves("the last ping")
}

// What a node says replaces what it has said before. What is not of the node that it names is malformed.
func TestWhatOthersTell(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	id := instance{7}
	hear := func(what string, body string, want bool) {
		t.Helper()
		if got := n.receiveBeat(message{from: id, body: []byte(body)}); got != want {
			t.Errorf("%s: well formed %v, want %v", what, got, want)
		}
	}
	text := func(more string) string { return fmt.Sprintf(`{"id":%q,"name":"n"%s}`, id, more) }
	hear("no JSON", "{", false)
	hear("another node", `{"id":"x"}`, false)
	hear("no number", text(`,"sessions":"x"`), false)
	if len(n.nodes.peers) != 0 {
		t.Errorf("malformed: %v", n.nodes.peers)
	}
	hear("a node leaves that was not there", text(`,"gone":true`), true)
	hear("a beat", text(`,"sessions":3,"maxSessions":9,"number":5,"udp":"10.0.0.1:7777"`), true)
	p := n.nodes.peers[id.String()]
	if p == nil || p.Node != (Node{ID: id.String(), Name: "n", Sessions: 3, MaxSessions: 9, Number: 5, UDP: netip.MustParseAddrPort("10.0.0.1:7777")}) || time.Since(p.heard) > time.Minute {
		t.Fatalf("the node is %+v", p)
	}
	p.promised, p.heard = 9, time.Time{}
	hear("another beat", text(`,"sessions":4`), true)
	if p != n.nodes.peers[id.String()] || p.Sessions != 4 || p.MaxSessions != 0 || p.promised != 4 || p.heard.IsZero() {
		t.Errorf("after another beat the node is %+v, want half of the 9 promised seats", p)
	}
	if len(n.relays.nodes) != 1 {
		t.Errorf("relays reach %v", n.relays.nodes)
	}
	hear("the node leaves", text(`,"gone":true`), true)
	if len(n.nodes.peers) != 0 || len(n.relays.nodes) != 0 {
		t.Errorf("after the node has left: %v, and relays reach %v", n.nodes.peers, n.relays.nodes)
	}

	for i := range maxNodes - 1 {
		n.meets(Node{ID: fmt.Sprint(i)})
	}
	hear("the last one that has room", text(""), true)
	known := n.nodes.peers[id.String()]
	id = instance{8}
	hear("one too many", text(""), true)
	if known == nil || len(n.nodes.peers) != maxNodes {
		t.Errorf("%d nodes are known, want %d", len(n.nodes.peers), maxNodes)
	}
	id = instance{7}
	if hear("a known one", text(`,"sessions":8`), true); known.Sessions != 8 {
		t.Errorf("a node that is known when there is no room for others says %+v", known)
	}
}

// A node that gets another number or another address has it, whichever node had it before.
func TestANodeThatIsStartedAgainHasItsNumber(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	hear := func(i instance, number int, udp string) {
		t.Helper()
		if !n.receiveBeat(message{from: i, body: fmt.Appendf(nil, `{"id":%q,"number":%d,"udp":%q}`, i, number, udp)}) {
			t.Error("malformed")
		}
	}
	who := func(what string, number uint32, want instance) {
		t.Helper()
		if got := n.relays.nodes[number].id; got != want.String() {
			t.Errorf("%s: %q has the number, want %v", what, got, want)
		}
	}
	a, b := instance{1}, instance{2}
	hear(a, 1, "10.0.0.1:1")
	hear(b, 2, "10.0.0.2:1")
	hear(a, 2, "10.0.0.1:1")
	who("another number", 2, a)
	hear(b, 2, "10.0.0.3:1")
	who("another address", 2, b)
	hear(a, 2, "10.0.0.1:1")
	who("nothing new", 2, b)
}

// Nodes are in the order of their names, and of their IDs.
func TestTheOrderOfNodes(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	want := []string{"a 9"}
	n.meets(Node{Name: "a", ID: "9"})
	for i := range 8 {
		want = append(want, fmt.Sprint("b ", i))
		n.meets(Node{Name: "b", ID: fmt.Sprint(i)})
	}
	want = append(want, "lone "+n.me.String(), "z ")
	n.meets(Node{Name: "z"})
	var got []string
	for _, o := range n.Nodes() {
		got = append(got, o.Name+" "+o.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the nodes are %q, want %q", got, want)
	}
}

// Pick returns the node that is least busy of those that have room, and one of several by chance. It knows of the players whom it has sent there.
func TestTheLeastBusyNode(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	n.nodes.self.MaxSessions = 10
	pick := func(what string, filter func(Node) bool, want ...string) {
		t.Helper()
		got := make(map[string]bool)
		for range 200 {
			promised := n.nodes.promised
			others := make(map[*peer]int)
			for _, p := range n.nodes.peers {
				others[p] = p.promised
			}
			o, err := n.Pick(filter)
			if (err == nil) != (len(want) > 0) || err != nil && (!errors.Is(err, ErrNoNode) || o != (Node{})) {
				t.Fatalf("%s: %+v, %v", what, o, err)
			}
			sum := n.nodes.promised - promised
			for p, before := range others {
				if sum += p.promised - before; p.ID == o.ID && p.promised != before+1 {
					t.Errorf("%s: the seat is not promised", what)
				}
				p.promised = before
			}
			if o.Here && n.nodes.promised != promised+1 || (sum == 1) != (err == nil) {
				t.Errorf("%s: %d seats are promised", what, sum)
			}
			if n.nodes.promised = promised; err == nil {
				got[o.ID] = true
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		for _, id := range want {
			if !got[id] {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
	}
	me := n.me.String()
	pick("this node alone", nil, me)
	full := n.meets(Node{ID: "full", MaxSessions: 10, Sessions: 10})
	n.meets(Node{ID: "drains", MaxSessions: 10, Draining: true})
	n.meets(Node{ID: "no server"})
	busy := n.meets(Node{ID: "busy", MaxSessions: 10, Sessions: 9})
	pick("others are full, draining, without a server, or busy", nil, me)
	others := func(o Node) bool { return !o.Here }
	pick("another one", others, "busy")
	busy.promised = 1
	pick("another one, whose last seat is promised", others)
	busy.promised = 0
	n.join("ada")
	full.Sessions, busy.Sessions = 1, 1
	pick("three with one session", nil, me, "full", "busy")
	pick("two others", others, "full", "busy")
	busy.promised = 1
	pick("one has promised a seat", nil, me, "full")
	n.nodes.promised, full.promised = 2, 3
	pick("the others have promised more", nil, "busy")
	n.nodes.promised, full.promised, busy.promised = 0, 0, 0
	n.nodes.self.Draining = true
	pick("this node drains", nil, "full", "busy")
	n.nodes.self.Draining = false
	crowd := []string{me}
	for i := range 8 {
		crowd = append(crowd, fmt.Sprint("like this ", i))
		n.meets(Node{ID: crowd[i+1], Name: "crowd", MaxSessions: 10, Sessions: 1})
	}
	pick("nine alike", func(o Node) bool { return o.Here || o.Name == "crowd" }, crowd...) // the first one that is looked at, too: this node
	n.server.Store(nil)
	pick("this node has no server any more", func(o Node) bool { return o.Name != "crowd" }, "full", "busy")
	pick("nobody", func(Node) bool { return false })
}
