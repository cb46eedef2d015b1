package fleet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// NATS stops and starts again with nothing in its memory: sessions notice nothing, and afterwards everything
// works as before.
func TestNATSRestarts(t *testing.T) {
	server := newNATS(t)
	p := newProxy(t, server.address()) // has the same address all the time
	var nodes []*node
	for i := range 2 {
		nodes = append(nodes, newNode(t, Config{Name: fmt.Sprint("node-", i), NATS: p.address()}, duplicates(godwit.DuplicatesReplace)))
	}
	a, b := nodes[0], nodes[1]
	ada, bob := a.join("ada"), b.join("bob")
	mustJoin(a, a.Group("lobby"), ada)
	mustJoin(b, b.Group("lobby"), bob)
	a.claimed(ada, "ada")
	b.claimed(bob, "bob")
	must(t, a.Group("lobby").Send(chat, []byte("before")))
	ada.want(t, "before", "chat before")
	bob.want(t, "before", "chat before")
	over := make(chan error, 1)
	must(t, a.Ask("bob", "wait", nil, func(_ []byte, err error) { over <- err }))
	bob.want(t, "a request", "asked")

	server.stop()
	for _, n := range nodes {
		wait(t, "NATS is away", func() bool { return !n.Connected() })
	}
	if err := testkit.Next(t, "the request ends", over); !errors.Is(err, ErrAway) {
		t.Errorf("a request that had no answer: %v, want ErrAway", err)
	}
	must(t, a.Group("lobby").Send(chat, []byte("alone")))
	ada.want(t, "NATS is away", "chat alone")
	must(t, a.Send("ada", chat, []byte("here")))
	ada.want(t, "NATS is away", "chat here")
	if err := a.Send("bob", chat, nil); !errors.Is(err, ErrAway) {
		t.Errorf("a message to another node: %v, want ErrAway", err)
	}
	if _, err := a.Where(t.Context(), "bob"); !errors.Is(err, ErrAway) {
		t.Errorf("a question to another node: %v, want ErrAway", err)
	}
	cyd := b.join("cyd") // opens, and is claimed later
	for i := range 10 {
		c := b.join(fmt.Sprint("guest ", i))
		c.server.Kick("")
		c.want(t, "a guest", "kicked")
	}
	wait(t, "nothing is left of those who have come and gone while NATS was away", func() bool { return b.Stats().Players == 2 })
	if s := a.Stats(); s.Connected || s.Away < 3 {
		t.Errorf("connected: %v, and %d messages are counted, want 3 at least", s.Connected, s.Away)
	}

	server.start()
	p.lead(server.address())
	for _, n := range nodes {
		wait(t, "NATS is back", func() bool { return n.Connected() })
		n.sync()
	}
	must(t, a.Group("lobby").Send(chat, []byte("after")))
	ada.want(t, "after", "chat after")
	bob.want(t, "after", "chat after")
	must(t, b.Send("ada", chat, []byte("psst")))
	ada.want(t, "after", "chat psst")
	for name, c := range map[string]*client{"ada": ada, "bob": bob, "cyd": cyd} {
		n := b
		if c == ada {
			n = a
		}
		wait(t, name+" is claimed again", func() bool {
			e, err := n.claims.kv.Get(t.Context(), name)
			if err != nil {
				return false
			}
			node, id := readClaim(e)
			return node == n.me && id == c.ID()
		})
	}
	cyd2 := a.join("cyd")
	cyd.want(t, "replaced from another node", "replaced")
	a.claimed(cyd2, "cyd")
	for _, c := range []*client{ada, bob} {
		if c.State() != session.StateOpen {
			t.Errorf("a session is %v", c.State())
		}
		c.none(t, "anything else")
	}
	if d := a.Stats().Doubled + b.Stats().Doubled; d != 0 {
		t.Errorf("%d messages came twice", d)
	}
}

// Two sessions with one name have opened on both sides of a partition: when it is over, one stays.
func TestOneSessionStaysAfterAPartition(t *testing.T) {
	for _, d := range []godwit.Duplicates{godwit.DuplicatesRefuse, godwit.DuplicatesReplace} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			server := newNATS(t)
			p := newProxy(t, server.address())
			a := newNode(t, Config{NATS: p.address(), ping: 2 * time.Second}, duplicates(d))
			b := newNode(t, Config{NATS: server.address()}, duplicates(d))
			held := a.join("held")
			a.claimed(held, "held")
			p.stall()
			p.drop() // NATS has noticed that the node is away
			wait(t, "the node has noticed, too", func() bool { return !a.Connected() })
			taken := b.join("held")
			b.claimed(taken, "held")
			here, there := a.join("new"), b.join("new")
			b.claimed(there, "new")
			p.resume()
			wait(t, "NATS is back", a.Connected)
			held.want(t, "the session whose claim another node has now", "replaced")
			if d == godwit.DuplicatesReplace {
				there.want(t, "the session that claimed first", "replaced")
				a.claimed(here, "new")
			} else {
				here.want(t, "the session that had no claim", "duplicate")
				b.claimed(there, "new")
			}
			if taken.State() != session.StateOpen {
				t.Errorf("the session with the claim is %v", taken.State())
			}
		})
	}
}

// An unreliable is two nodes of which the first reaches NATS through a proxy, and a group with a member on each.
type unreliable struct {
	t         *testing.T
	proxy     *proxy
	a, b      *node
	ada, bob  *client
	next      int // number of the next message of a
	last, got int // of what bob has got
}

// Limits of what waits in the first node.
const (
	unreliablePending = 256
	unreliableBytes   = 1 << 20
)

func newUnreliable(t *testing.T) *unreliable {
	t.Helper()
	server := newNATS(t)
	u := &unreliable{t: t, proxy: newProxy(t, server.address()), last: -1}
	fast := godwit.Config{Ceiling: -1, Rate: 64 << 20}
	u.a = newNode(t, Config{NATS: u.proxy.address(), MaxPending: unreliablePending, MaxPendingBytes: unreliableBytes, ping: 2 * time.Second}, fast)
	u.b = newNode(t, Config{NATS: server.address()}, fast)
	u.ada, u.bob = u.a.join("ada"), u.b.join("bob")
	mustJoin(u.a, u.a.Group("lobby"), u.ada)
	mustJoin(u.b, u.b.Group("lobby"), u.bob)
	for range 100 {
		u.send()
	}
	u.took(testkit.Next(t, "a message before the fault, from which on b counts", u.bob.events))
	return u
}

// send sends the next number from a to the group. ada gets it at once, and what waits in a is bounded.
func (u *unreliable) send() {
	u.t.Helper()
	text := fmt.Sprintf("%d %s", u.next, strings.Repeat("x", 1000))
	must(u.t, u.a.Group("lobby").Send(chat, []byte(text)))
	u.ada.want(u.t, "the local member", "chat "+text)
	u.next++
	u.a.mu.Lock()
	defer u.a.mu.Unlock()
	if o := &u.a.out; o.msgs > unreliablePending || o.bytes > unreliableBytes || len(o.ops) > unreliablePending+16 {
		u.t.Fatalf("%d messages with %d bytes wait", o.msgs, o.bytes)
	}
}

// took notes a message that bob has got.
func (u *unreliable) took(event string) {
	u.t.Helper()
	n, err := strconv.Atoi(strings.Fields(event)[1])
	if err != nil || n <= u.last {
		u.t.Fatalf("%d came after %d: %v", n, u.last, err)
	}
	u.last = n
	u.got++
}

// settle sends until the last message arrives: then the gaps before it are known. What bob has got and what its node counts as lost
// must be everything, in order, and nothing twice.
func (u *unreliable) settle() {
	u.t.Helper()
	for u.last < u.next-1 {
		u.send()
		for again := time.After(time.Second); u.last < u.next-1 && again != nil; {
			select {
			case <-again:
				again = nil
			case event := <-u.bob.events:
				u.took(event)
			}
		}
	}
	s, unsent := u.b.Stats(), u.b.srv.Stats().Unsent
	if uint64(u.got)+s.Lost+unsent != uint64(u.next) || s.Doubled != 0 {
		u.t.Errorf("of %d messages %d came, %d are counted as lost, %d had no place in the queue of the session; %d came twice",
			u.next, u.got, s.Lost, unsent, s.Doubled)
	}
	u.t.Logf("%d sent, %d came, %d lost, %d of them late; the sender: %+v", u.next, u.got, s.Lost, s.Late, u.a.Stats())
	u.ada.none(u.t, "one of the node's own messages, by way of NATS")
	if u.ada.State() != session.StateOpen || u.bob.State() != session.StateOpen {
		u.t.Error("a session has ended")
	}
}

// The connection to NATS stalls for a while amid messages: what the other node gets and what it counts as lost
// is everything, nothing comes twice, in order, and what waits in the sender is bounded.
func TestNATSStalls(t *testing.T) {
	t.Parallel()
	u := newUnreliable(t)
	u.proxy.stall()
	for u.a.Stats().OutDropped == 0 && u.a.Connected() { // the buffers of the sockets are full, and then the queue
		u.send()
	}
	wait(t, "NATS is away, because pings have no answer", func() bool { return !u.a.Connected() })
	for range 100 {
		u.send()
	}
	u.proxy.resume()
	wait(t, "NATS is back", u.a.Connected)
	u.settle()
}

// For 10 s NATS takes what a node sends and answers nothing, also on new connections. Sessions notice nothing. What the node has given
// away in that time is counted as lost by the other node, and what it has not, after it has noticed, too. The same is true of the other direction,
// where the sender counts what it does not give to NATS because NATS says that no node needs it.
func TestNATSAnswersNothing(t *testing.T) {
	t.Parallel()
	u := newUnreliable(t)
	eve := u.a.join("eve")
	mustJoin(u.a, u.a.Group("back"), eve)
	u.a.sync()
	back, last, got := 0, -1, 0
	reply := func() {
		t.Helper()
		must(t, u.b.Group("back").Send(chat, fmt.Append(nil, back)))
		back++
	}
	take := func(event string) {
		t.Helper()
		n, err := strconv.Atoi(strings.TrimPrefix(event, "chat "))
		if err != nil || n <= last {
			t.Fatalf("%q came after %d: %v", event, last, err)
		}
		last, got = n, got+1
	}
	reply()
	take(testkit.Next(t, "a message in the other direction", eve.events))
	given := u.a.Stats().Sent
	u.proxy.swallow()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for over := time.Now().Add(10 * time.Second); time.Now().Before(over) || u.a.Connected(); <-tick.C {
		u.send()
		reply()
	}
	u.send()
	if s := u.a.Stats(); s.Sent == given || s.Away == 0 {
		t.Errorf("%+v: want that the node has given messages away, and has noticed", s)
	}
	u.proxy.pass()
	wait(t, "NATS is back", u.a.Connected)
	u.settle()
	for last < back-1 {
		reply()
		for again := time.After(time.Second); last < back-1 && again != nil; {
			select {
			case <-again:
				again = nil
			case event := <-eve.events:
				take(event)
			}
		}
	}
	s, unneeded := u.a.Stats(), u.b.Stats().Unneeded // NATS says that nobody is there when the connection of a has ended
	if uint64(got)+s.Lost+unneeded != uint64(back) || s.Lost == 0 || s.Doubled != 0 || eve.State() != session.StateOpen {
		t.Errorf("of %d messages in the other direction %d came, %d are counted as lost, %d found nobody, %d came twice; the session is %v",
			back, got, s.Lost, unneeded, s.Doubled, eve.State())
	}
}

// A node that does not keep up drops what does not fit, and counts it; others are not held up.
func TestANodeIsSlow(t *testing.T) {
	const pending = 64
	server := newNATS(t)
	a := newNode(t, Config{NATS: server.address()}, testConfig)
	b := newNode(t, Config{NATS: server.address(), MaxPending: pending}, testConfig)
	c := newNode(t, Config{NATS: server.address()}, testConfig)
	ada, bob, cyd := a.join("ada"), b.join("bob"), c.join("cyd")
	mustJoin(b, b.Group("lobby"), bob)
	mustJoin(c, c.Group("lobby"), cyd)
	a.sync()
	_ = ada

	// The goroutine that processes what other nodes send is held up by an answer.
	held, release := make(chan struct{}), make(chan struct{})
	must(t, b.Ask("ada", "echo", nil, func([]byte, error) { close(held); <-release }))
	testkit.Next(t, "the node is held up", held)
	const messages = 1000
	for i := range messages {
		must(t, a.Group("lobby").Send(chat, fmt.Append(nil, i)))
	}
	for i := range messages {
		cyd.want(t, "a node that keeps up", fmt.Sprint("chat ", i))
	}
	wait(t, "the slow node has dropped what does not fit", func() bool {
		s := b.Stats()
		return s.InDropped+pending >= messages
	})
	b.mu.Lock()
	if b.in.waiting > pending {
		t.Errorf("%d messages wait, want %d at most", b.in.waiting, pending)
	}
	b.mu.Unlock()
	close(release)
	wait(t, "the slow node has processed what waited", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.in.waiting == 0
	})
	must(t, a.Group("lobby").Send(chat, []byte("end")))
	got := 0
	for {
		if event := testkit.Next(t, "what was not dropped", bob.events); event == "chat end" {
			break
		}
		got++
	}
	if s := b.Stats(); uint64(got)+s.Lost != messages || got == 0 {
		t.Errorf("of %d messages %d came, and %d are counted as lost", messages, got, s.Lost)
	}
}
