package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
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

// A node that was not heard for too long is gone if NATS says that nothing is on its way: this node may have stood still, and not the
// other one. While NATS is away nobody is heard, and nobody is gone.
func TestNodesThatAreNotHeard(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	now := time.Now()
	listen := func() []message {
		n.mu.Lock()
		n.tick(now)
		n.mu.Unlock()
		return n.sent(kindNobody)
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
	if asked := listen(); len(asked) != 0 {
		t.Errorf("all nodes were heard in the last 3 s: %v", asked)
	}
	p.heard, q.heard = now.Add(-deadAfter-1), now.Add(-deadAfter-1)
	asked := listen()
	if len(asked) != 1 || asked[0].subject != "_INBOX."+n.me.String()+".t" || len(asked[0].body) != 0 {
		t.Fatalf("two nodes were not heard: %+v", asked)
	}
	there("NATS has not answered", 0, "p", "q")
	p.heard = now.Add(-deadAfter) // it was heard before the answer
	n.handleNobody(message{subject: n.inboxSubject("t", "!")})
	there("a malformed answer", 0, "p", "q")
	answer := message{subject: asked[0].reply}
	n.handleNobody(answer)
	there("NATS has answered", 1, "p")
	<-n.rooms.wake
	n.handleNobody(answer)
	there("the answer comes twice", 0, "p")
	n.mu.Lock()
	n.forgetNode("q", "twice")
	n.mu.Unlock()
	there("a node that is not there is gone again", 0, "p")

	n.nodes.since, p.heard = now.Add(-time.Hour), now.Add(-time.Hour)
	n.away.Store(true)
	if asked := listen(); len(asked) != 0 || !p.heard.Equal(now) || !n.nodes.since.Equal(now) {
		t.Errorf("while NATS is away: %v are asked, a node was heard %v ago, and the others without a break for %v; want nobody, 0 and 0",
			asked, now.Sub(p.heard), now.Sub(n.nodes.since))
	}
	n.nodes.since, p.heard = now.Add(-time.Hour), now.Add(-time.Hour)
	if n.natsBack(); p.heard.Before(now) || n.nodes.since.Before(now) {
		t.Error("when NATS is back the node does not wait for the others again")
	}
}

// Somebody who subscribes to all subjects has the questions, and NATS does not answer. Then a node that was not heard is gone after ten
// seconds in which this node has asked. A process that stands still does not count these seconds.
func TestNodesThatAreNotHeardWithoutAnAnswer(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	now := time.Now()
	n.meets(Node{ID: "p"}).heard = now.Add(-deadAfter - 1)
	after := func(d time.Duration) (asked, there int) {
		now = now.Add(d)
		n.mu.Lock()
		n.listen(now)
		n.mu.Unlock()
		return len(n.sent(kindNobody)), len(n.Nodes()) - 1
	}
	for range 10 {
		for _, d := range []time.Duration{time.Second, time.Second / 5} {
			if asked, there := after(d); asked != 1 || there != 1 {
				t.Fatalf("NATS has not answered: %d questions and %d nodes, want 1 and 1", asked, there)
			}
		}
	}
	n.mu.Lock()
	n.listenAgain(now.Add(-deadAfter - 1)) // it begins again after NATS was away
	n.mu.Unlock()
	for range 9 {
		after(time.Second)
	}
	if _, there := after(time.Hour); there != 1 {
		t.Error("a node is gone after an hour in which this one has asked once")
	}
	if asked, there := after(time.Second); asked != 0 || there != 0 {
		t.Errorf("after ten seconds with questions: %d more and %d nodes, want 0 and 0", asked, there)
	}
}

// Whether a node is gone for good nobody knows who has not heard the others for long enough.
func TestWhoIsGone(t *testing.T) {
	n := newLone(t, Config{}, godwit.Config{})
	n.meets(Node{ID: "there"}).heard = time.Now().Add(time.Hour)
	for _, c := range []struct {
		id         string
		since      time.Duration
		gone, sure bool
	}{
		{"there", time.Hour, false, true}, {"there", 0, false, true}, {n.me.String(), 0, false, true},
		{"x", time.Hour, true, true}, {"x", deadAfter + beatEvery/2, true, false},
	} {
		n.nodes.since = time.Now().Add(-c.since)
		if gone, sure := n.isGone(c.id); gone != c.gone || sure != c.sure {
			t.Errorf("%q, %v after the beginning: gone %v, sure %v; want %v, %v", c.id, c.since, gone, sure, c.gone, c.sure)
		}
	}
	n.nodes.since = time.Now().Add(-time.Hour)
	n.away.Store(true)
	if gone, sure := n.isGone("x"); !gone || sure {
		t.Errorf("while NATS is away: gone %v, sure %v", gone, sure)
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
