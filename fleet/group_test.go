package fleet

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit"
)

var testConfig godwit.Config

// newFleet starts nodes, of which the first has the NATS server.
func newFleet(t testing.TB, nodes int, gc godwit.Config, logged ...string) []*node {
	t.Helper()
	all := []*node{newNode(t, Config{Name: "one", Listen: "127.0.0.1:0"}, gc, logged...)}
	for i := 1; i < nodes; i++ {
		all = append(all, newNode(t, Config{Name: fmt.Sprintf("node-%d", i+1), NATS: all[0].NATSAddress()}, gc, logged...))
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mustJoin adds a client to a group, and waits until NATS knows.
func mustJoin(n *node, g *Group, c *client) {
	n.t.Helper()
	if !g.Join(c.server) {
		n.t.Fatal("Join returns false")
	}
	n.sync()
}

func TestAGroupHasMembersOnEveryNode(t *testing.T) {
	for _, name := range []string{"lobby", "Räume der Straße.7 *>"} {
		t.Run(name, func(t *testing.T) {
			nodes := newFleet(t, 3, testConfig)
			var clients []*client
			var groups []*Group
			for i, n := range nodes {
				c, g := n.join(fmt.Sprintf("p%d", i)), n.Group(name)
				mustJoin(n, g, c)
				if g.Join(c.server) {
					t.Error("a member joins twice")
				}
				clients, groups = append(clients, c), append(groups, g)
			}
			for i, g := range groups {
				text := fmt.Sprintf("from %d", i)
				must(t, g.Send(chat, []byte(text)))
				for _, c := range clients {
					c.want(t, text, "chat "+text)
				}
			}
			must(t, groups[1].SendExcept(clients[1].server, chat, []byte("not me")))
			_, err := groups[1].SendNamed(nil, "chat", []byte("end"))
			must(t, err)
			for i, c := range clients {
				if i != 1 {
					c.want(t, "all except one", "chat not me")
				}
				c.want(t, "by the name of the channel", "chat end")
			}

			if !groups[2].Leave(clients[2].server) || groups[2].Leave(clients[2].server) || groups[2].Len() != 0 {
				t.Error("Leave does not remove the member, or twice")
			}
			nodes[2].sync()
			must(t, groups[0].Send(chat, []byte("two of us")))
			clients[0].want(t, "a member of this node", "chat two of us")
			clients[1].want(t, "a member of another node", "chat two of us")
			mustJoin(nodes[2], groups[2], clients[2])
			must(t, groups[0].Send(chat, []byte("three")))
			clients[2].want(t, "back: without what was sent meanwhile", "chat three")
			for _, n := range nodes {
				if s := n.Stats(); s.Lost+s.Doubled+s.Late+s.Malformed+s.Foreign != 0 {
					t.Errorf("%s: %+v", n.Name(), s)
				}
			}
		})
	}
}

func TestASessionThatEndsLeavesItsGroups(t *testing.T) {
	n := newFleet(t, 1, testConfig)[0]
	ada, bob := n.join("ada"), n.join("bob")
	for _, name := range []string{"a", "b"} {
		mustJoin(n, n.Group(name), ada)
		mustJoin(n, n.Group(name), bob)
	}
	ada.server.Kick("")
	ada.want(t, "kicked", "kicked")
	wait(t, "two memberships are left", func() bool { return n.Stats().Members == 2 })
	if n.Group("a").Len() != 1 || n.Group("a").Join(ada.server) {
		t.Error("a session that is over is a member, or joins")
	}
	bob.Conn.Close(0, "")
	wait(t, "no membership is left", func() bool { return n.Stats().Members == 0 })
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.groups {
		if _, ok := n.visited[s]; s.members != 0 || s.from != nil || !ok {
			t.Errorf("group %s has %d members", s.name, s.members)
		}
	}
	n.tick(n.groups["a"].used.Add(2 * forgetAfter))
	if len(n.groups)+len(n.visited)+len(n.memberships) != 0 {
		t.Errorf("%d groups are left", len(n.groups))
	}
}

func TestMessagesOfASenderStayInOrder(t *testing.T) {
	nodes := newFleet(t, 2, testConfig)
	ada := nodes[1].join("ada")
	mustJoin(nodes[1], nodes[1].Group("lobby"), ada)
	g := nodes[0].Group("lobby")
	const messages = 5000
	for i := range messages {
		must(t, g.Send(chat, fmt.Append(nil, i)))
	}
	for i := range messages {
		ada.want(t, "in order", fmt.Sprintf("chat %d", i))
	}
	if s := nodes[1].Stats(); s.Lost+s.Doubled+s.Late != 0 {
		t.Errorf("the receiver counts %d lost, %d doubled, %d late", s.Lost, s.Doubled, s.Late)
	}
}

// A message to a group goes to NATS once, and NATS gives it once to a node, whatever the number of members.
func TestANodeGetsAMessageOnce(t *testing.T) {
	nodes := newFleet(t, 2, testConfig)
	var members []*client
	for i := range 20 {
		c := nodes[1].join(fmt.Sprint("p", i))
		mustJoin(nodes[1], nodes[1].Group("lobby"), c)
		members = append(members, c)
	}
	seen := make(chan *nats.Msg, 16)
	_, err := nodes[1].raw.ChanSubscribe("godwit.g.lobby.m", seen)
	must(t, err)
	must(t, nodes[1].raw.Flush())
	var handled []uint64
	for i := range 3 {
		must(t, nodes[0].Group("lobby").Send(chat, fmt.Append(nil, i)))
		for _, c := range members {
			c.want(t, "each member", fmt.Sprint("chat ", i))
		}
		nodes[1].mu.Lock()
		for _, a := range nodes[1].groups["lobby"].from {
			handled = append(handled, a.next)
		}
		nodes[1].mu.Unlock()
	}
	if fmt.Sprint(handled) != "[1 2 3]" || nodes[1].Stats().Doubled != 0 {
		t.Errorf("the numbers after each message are %v, and %d messages came twice", handled, nodes[1].Stats().Doubled)
	}
	must(t, nodes[1].raw.Flush())
	if len(seen) != 3 {
		t.Errorf("NATS got %d messages, want 3", len(seen))
	}
}

// While no other node has members of a group, its messages are not given to NATS.
func TestAGroupThatNoOtherNodeNeedsCostsNothing(t *testing.T) {
	nodes := newFleet(t, 2, testConfig, "no other node")
	a, b := nodes[0], nodes[1]
	ada := a.join("ada")
	g := a.Group("lobby")
	mustJoin(a, g, ada)
	must(t, g.Send(chat, []byte("is anybody there?"))) // asks, too
	wantLine(t, a, "no other node has members")
	ada.want(t, "the local member", "chat is anybody there?")

	a.sync()
	seen := make(chan *nats.Msg, 1024)
	_, err := a.raw.ChanSubscribe("godwit.g.lobby.m", seen)
	must(t, err)
	must(t, a.raw.Flush())
	before := a.Stats()
	for range 500 {
		must(t, g.Send(chat, []byte("x")))
		ada.want(t, "the local member", "chat x")
	}
	a.sync()
	must(t, a.raw.Flush())
	if n := a.Stats().Unneeded - before.Unneeded; n != 500 || len(seen) != 0 {
		t.Errorf("%d of 500 messages were not given to NATS, and NATS got %d", n, len(seen))
	}

	bob := b.join("bob")
	mustJoin(b, b.Group("lobby"), bob)
	wait(t, "the sender knows that it has a member elsewhere", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.groups["lobby"].needed) == 1
	})
	must(t, g.Send(chat, []byte("welcome")))
	bob.want(t, "after joining", "chat welcome")
	b.Group("lobby").Leave(bob.server)
	wait(t, "the sender knows that the member has left", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.groups["lobby"].needed) == 0
	})
}

func wantLine(t *testing.T, n *node, line string) {
	t.Helper()
	wait(t, n.Name()+" logs: "+line, func() bool {
		for len(n.logs) > 0 {
			if <-n.logs == line {
				return true
			}
		}
		return false
	})
}

func TestMisuseOfGroups(t *testing.T) {
	n := newNode(t, Config{MaxGroups: 1}, testConfig)
	ada := n.join("ada")
	g := n.Group("a")
	mustJoin(n, g, ada)
	for _, tt := range []struct {
		what      string
		err, want error
	}{
		{"no such channel", g.Send(7, nil), godwitUnknown},
		{"a channel without a name", second(g.SendNamed(nil, "", nil)), godwitUnknown},
		{"more than NATS takes", g.Send(chat, make([]byte, 1<<20)), ErrTooLarge},
		{"one group too many", n.Group("b").Send(chat, nil), ErrFull},
	} {
		if tt.err != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, tt.err, tt.want)
		}
	}
	if n.Group("b").Join(ada.server) || n.Group("b").Len() != 0 {
		t.Error("a session joins one group too many")
	}
	if !n.Group("a").Leave(ada.server) {
		t.Error("Leave returns false")
	}
}

func second[A, B any](_ A, b B) B { return b }

// Nodes whose programs have different channels, as during an update, do not give each other's messages to their sessions.
func TestNodesWithAnotherTable(t *testing.T) {
	a := newNode(t, Config{Listen: "127.0.0.1:0"}, testConfig)
	b := newNode(t, Config{NATS: a.NATSAddress()}, godwit.Config{Channels: godwit.Channels{{Name: "chat", Mode: godwit.ReliableUnordered}}})
	bob := b.join("bob")
	mustJoin(b, b.Group("lobby"), bob)
	must(t, a.Group("lobby").Send(chat, []byte("hello")))
	wait(t, "the message is counted", func() bool { return b.Stats().Foreign == 1 })
	must(t, a.Send("bob", chat, []byte("hello")))
	wait(t, "the message to a player is counted", func() bool { return b.Stats().Foreign == 2 })
	bob.none(t, "a message of a node with another table")
	must(t, joinNode(t, Config{NATS: a.NATSAddress()}).Send("bob", chat, []byte("from no table")))
	bob.want(t, "a message of a node without a server", "chat from no table")
	must(t, b.Send("bob", chat, []byte("from here")))
	bob.want(t, "a message of the own node", "chat from here")
}

// A message to a group that is too large for NATS only with the name of its channel is counted.
func TestAMessageThatIsTooLargeWithTheNameOfItsChannel(t *testing.T) {
	q := newQuiet(t, Config{})
	g, b := q.Group("lobby"), make([]byte, q.maxPayload)
	for _, c := range []struct {
		name    string
		dropped uint64
	}{{"chat", 0}, {strings.Repeat("x", envelope), 1}} {
		if _, err := g.SendNamed(nil, c.name, b); err != nil {
			t.Error(err)
		}
		if n := q.Stats().OutDropped; n != c.dropped {
			t.Errorf("a name of %d bytes: %d messages are counted, want %d", len(c.name), n, c.dropped)
		}
	}
	q.gives("one is sent", subLobby+"i", "who "+lobby+"w "+q.inboxSubject("g", "lobby"), "group "+lobby+"m 0")
}
