package fleet

import (
	"encoding/binary"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
)

const (
	lobby    = "godwit.g.lobby."
	subLobby = "sub " + lobby
	endLobby = "end " + lobby
)

// What a node gives NATS when sessions join and leave a group. It says three times that it has the first member, and once that the last
// member has left.
func TestWhatANodeTellsOfItsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{MaxGroups: 2})
		g, other := q.Group("lobby"), q.Group("other")
		ada, bob := q.join("ada").server, q.join("bob").server
		joins := func(c *godwit.Conn, g *Group, want bool) {
			t.Helper()
			if g.Join(c) != want {
				t.Errorf("Join to %s returns %v", g.Name(), !want)
			}
		}
		leaves := func(c *godwit.Conn, want bool) {
			t.Helper()
			if g.Leave(c) != want {
				t.Errorf("Leave returns %v", !want)
			}
		}
		members := func(what string, want ...*godwit.Conn) {
			t.Helper()
			n := 0
			for c := range g.Conns() {
				if n == len(want) || c != want[n] {
					t.Errorf("%s: member %d is %v", what, n, c.Identity().Name)
				}
				n++
			}
			if n != len(want) || g.Len() != n {
				t.Errorf("%s: there are %d members, and Len returns %d, want %d", what, n, g.Len(), len(want))
			}
		}
		members("before")
		leaves(ada, false)
		q.gives("before")
		joins(ada, g, true)
		q.gives("the first member", subLobby+"i", subLobby+"*", endLobby+"i", "here "+lobby+"i")
		joins(ada, g, false)
		joins(bob, g, true)
		q.gives("the second member")
		members("two", ada, bob)
		if len(q.visited) != 0 {
			t.Error("a group with members is one to be forgotten")
		}
		for range announcements {
			q.ticks()
			q.gives("a second later", "here "+lobby+"i")
		}
		q.ticks()
		q.gives("later")
		joins(ada, other, true)
		q.gives("another group", "sub godwit.g.other.i", "sub godwit.g.other.*", "end godwit.g.other.i", "here godwit.g.other.i")
		joins(bob, q.Group("third"), false) // one group too many
		leaves(ada, true)
		leaves(ada, false)
		q.gives("one has left")
		if of := q.memberships[ada]; len(of) != 1 || of[0] != q.state("other") {
			t.Errorf("the first member is in %d groups, want the other one", len(of))
		}
		leaves(bob, true)
		q.gives("the last one has left", subLobby+"i", endLobby+"*", "gone "+lobby+"i")
		if _, ok := q.memberships[bob]; ok {
			t.Error("the node remembers a session that is in no group")
		}
		members("afterwards")

		// The last member leaves soon after the first one has joined.
		joins(bob, g, true)
		q.gives("again", subLobby+"*", endLobby+"i", "here "+lobby+"i")
		leaves(bob, true)
		q.gives("and out", subLobby+"i", endLobby+"*", "gone "+lobby+"i")
		q.ticks()
		q.gives("a second later", "here godwit.g.other.i")

		// A session that ends leaves all groups.
		joins(bob, g, true)
		joins(bob, other, true)
		q.gives("in two groups", subLobby+"*", endLobby+"i", "here "+lobby+"i")
		q.ended(bob)
		q.gives("over", subLobby+"i", endLobby+"*", "gone "+lobby+"i")
		if s := q.state("other"); s.members != 1 || q.memberships[bob] != nil || len(q.memberships) != 1 {
			t.Errorf("after the end of a session %d members of the other group are left, and %d sessions are in groups", s.members, len(q.memberships))
		}

		q.mu.Lock()
		q.closed = true
		q.mu.Unlock()
		if err := g.Send(chat, nil); err != ErrClosed {
			t.Errorf("Send on a closed fleet: %v", err)
		}
		if _, err := g.SendNamed(nil, "chat", nil); err != ErrClosed {
			t.Errorf("SendNamed on a closed fleet: %v", err)
		}
		delete(q.groups, "lobby")
		joins(bob, g, false)
		q.closed = false
		q.server.Store(nil)
		joins(bob, g, false)
		if _, err := g.SendNamed(nil, "chat", nil); err != ErrFull {
			t.Errorf("SendNamed without a server: %v", err)
		}
	})
}

// A node asks which nodes have members, and does not give NATS what nobody needs.
func TestWhichNodesHaveMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{}, "no other node")
		g, a, b := q.Group("lobby"), instance{1}, instance{2}
		reply := q.inboxSubject("g", "lobby")
		who := "who " + lobby + "w " + reply
		message := func() string { return fmt.Sprint("group "+lobby+"m ", q.state("lobby").number) }
		sends := func(what string, after time.Duration, asks, needed bool) {
			t.Helper()
			time.Sleep(after)
			var want []string
			if asks {
				want = append(want, who)
			}
			if needed {
				want = append(want, message())
			}
			unneeded := q.Stats().Unneeded
			must(t, g.Send(chat, nil))
			q.gives(what, want...)
			if (q.Stats().Unneeded == unneeded) != needed {
				t.Errorf("%s: %d messages are counted as unneeded", what, q.Stats().Unneeded-unneeded)
			}
		}
		hears := func(k kind, from instance) { q.hear(lobby+"i", k, from, []byte("lobby")...) }
		logs := func(what string, want int) {
			t.Helper()
			if len(q.logs) != want {
				t.Errorf("%s: %d lines say that nobody has members, want %d", what, len(q.logs), want)
			}
			for len(q.logs) > 0 {
				<-q.logs
			}
		}
		must(t, g.Send(chat, nil))
		q.gives("the first message", subLobby+"i", who, "group "+lobby+"m 0")
		q.needs("the first message", "lobby", false)
		sends("no answer yet", 0, false, true)
		sends("no answer in less than a second", askSoon-1, false, true)
		sends("no answer in a second", 1, true, true)
		q.nobody(reply)
		logs("nobody", 1)
		q.needs("nobody", "lobby", true)
		q.nobody(reply)
		logs("still nobody", 0)
		q.nobody(q.inboxSubject("g", "unknown"))
		sends("nobody", 0, false, false)
		sends("nobody, a second later", askSoon, false, false)
		sends("nobody, in less than ten seconds", askAgain-askSoon-1, false, false)
		sends("nobody, in ten seconds", 1, true, false)

		hears(kindHere, a)
		q.needs("a has a member", "lobby", true, a)
		q.nobody(reply) // the answer to the question before
		logs("a has a member", 0)
		q.needs("a has got its first member after the question", "lobby", true, a)
		sends("a has a member", 0, false, true)
		hears(kindHere, b)
		hears(kindGone, a)
		q.needs("b has a member", "lobby", true, b)
		hears(kindHere, a)
		sends("the first question without an answer of a", askAgain, true, true)
		hears(kindHere, b)
		sends("the second question", askAgain, true, true)
		q.needs("the second question", "lobby", true, a, b)
		sends("the third question", askAgain, true, true)
		q.needs("a has not answered two questions", "lobby", true, b)
		sends("the fourth question", askAgain, true, false)
		q.needs("b has not answered two questions", "lobby", true)

		hears(kindHere, a)
		sends("a question", askAgain, true, true)
		q.nobody(reply)
		logs("nobody any more", 1)
		q.needs("nobody any more", "lobby", true)

		// A question that cannot be sent needs no answer.
		hears(kindHere, a)
		pending := q.config.MaxPending
		q.config.MaxPending = 0
		for range 4 {
			time.Sleep(askAgain)
			must(t, g.Send(chat, nil))
		}
		q.gives("the queue is full")
		if n := q.Stats().OutDropped; n != 8 {
			t.Errorf("%d messages are counted as dropped, want 4 questions and 4 messages", n)
		}
		q.config.MaxPending = pending
		q.needs("nobody was asked", "lobby", true, a)

		// NATS was away.
		q.away.Store(true)
		must(t, g.Send(chat, nil))
		q.gives("NATS is away")
		q.natsBack()
		q.needs("NATS was away", "lobby", false, a)
		q.gives("NATS is back", "beat godwit.b")
		sends("NATS was away", 0, true, true)
		q.nobody(reply)
		logs("NATS was away", 1)

		// What other nodes say of a group that this node does not use is forgotten.
		q.hear("godwit.g.other.i", kindHere, a, []byte("other")...)
		q.hear("godwit.g.other.i", kindGone, a, []byte("other")...)
		if len(q.groups) != 1 {
			t.Errorf("there are %d groups", len(q.groups))
		}

		// A node that nobody sends to is forgotten.
		sends("the last message", 0, false, false)
		series := q.state("lobby").stream
		time.Sleep(forgetAfter)
		q.ticks()
		q.gives("not yet")
		time.Sleep(time.Nanosecond)
		q.ticks()
		q.gives("forgotten", endLobby+"i")
		if len(q.groups)+len(q.visited) != 0 {
			t.Errorf("%d groups are left", len(q.groups))
		}
		q.nobody(reply)
		hears(kindHere, a)
		must(t, g.Send(chat, nil))
		q.gives("another message", subLobby+"i", who, "group "+lobby+"m 0")
		if q.state("lobby").stream == series {
			t.Error("the numbers of the group begin again in the same series: other nodes drop the messages as doubled ones")
		}
	})
}

// The table of the nodes that have members is bounded. A node that is in it stays in it while it answers.
func TestManyNodesWithMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{})
		must(t, q.Group("lobby").Send(chat, nil))
		s := q.state("lobby")
		node := func(i int) (n instance) {
			binary.BigEndian.PutUint64(n[:], uint64(i+1))
			return n
		}
		for i := range maxOrigins + 1 {
			q.hear(lobby+"i", kindHere, node(i), []byte("lobby")...)
		}
		if _, ok := s.needed[node(maxOrigins)]; len(s.needed) != maxOrigins || ok || !s.known {
			t.Fatalf("%d nodes have members, want %d, without the last one", len(s.needed), maxOrigins)
		}
		for range 5 {
			q.ask(s, time.Now())
			for i := range maxOrigins {
				q.hear(lobby+"i", kindHere, node(i), []byte("lobby")...)
			}
			if len(s.needed) != maxOrigins || s.needed[node(0)] != s.round {
				t.Fatalf("after question %d, which all have answered, %d nodes have members, and the answer of the first one is to question %d",
					s.round, len(s.needed), s.needed[node(0)])
			}
		}
	})
}

// A node answers whether it has members, if the question comes from a node.
func TestQuestionsAboutMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{})
		ask := func(group, reply string) {
			q.receive(&nats.Msg{Subject: lobby + "w", Reply: reply, Data: append(appendHeader(nil, kindWho, instance{1}), group...)})
		}
		must(t, q.Group("lobby").Send(chat, nil))
		q.gives("a message", subLobby+"i", "who "+lobby+"w "+q.inboxSubject("g", "lobby"), "group "+lobby+"m 0")
		ask("lobby", "godwit.n.1.g.lobby")
		q.gives("no members")
		q.Group("lobby").Join(q.join("ada").server)
		q.gives("a member", subLobby+"*", endLobby+"i", "here "+lobby+"i")
		ask("lobby", "godwit.n.1.g.lobby")
		q.gives("the answer", "here godwit.n.1.g.lobby")
		ask("lobby", "other.n.1.g.lobby")
		ask("lobby", "")
		ask("other", "godwit.n.1.g.other")
		q.gives("no answer")
		q.natsBack()
		q.gives("NATS is back", "here "+lobby+"i", "beat godwit.b")
	})
}

// What a node does with a message of another node to a group.
func TestMessagesOfOtherNodesToAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{})
		q.table = 7
		g, from := q.Group("lobby"), instance{1}
		h := groupHeader{table: 7, stream: 1, ch: uint64(chat)}
		hears := func(what, subject string, change func(h *groupHeader), text, want string) {
			t.Helper()
			h := h
			if change != nil {
				change(&h)
			}
			q.mu.Lock()
			q.counts = Stats{}
			q.mu.Unlock()
			q.hear(subject, kindGroup, from, append(h.append(nil), text...)...)
			if got := counters(q.Stats()); got != "unneeded 0 away 0 dropped 0/0 "+want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		none := "lost 0 late 0 doubled 0 foreign 0 malformed 0"
		hears("an unknown group", lobby+"m", nil, "x", none)
		must(t, g.Send(chat, nil))
		hears("a group without members", lobby+"m", nil, "x", none)
		ada := q.join("ada")
		g.Join(ada.server)
		number := func(n uint64) func(h *groupHeader) { return func(h *groupHeader) { h.number = n } }
		hears("the first message", lobby+"m", number(5), "a", none)
		ada.want(t, "the first message", "chat a")
		hears("the next one", lobby+"m", number(6), "b", none)
		ada.want(t, "the next one", "chat b")
		hears("after a gap", lobby+"m", number(9), "c", "lost 2 late 0 doubled 0 foreign 0 malformed 0")
		ada.want(t, "after a gap", "chat c")
		hears("of the gap", lobby+"m", number(7), "x", "lost 0 late 1 doubled 0 foreign 0 malformed 0")
		hears("twice", lobby+"m", number(9), "x", "lost 0 late 0 doubled 1 foreign 0 malformed 0")
		hears("another series", lobby+"m", func(h *groupHeader) { h.stream = 2 }, "d", none)
		ada.want(t, "another series", "chat d")
		hears("the name of the channel", lobby+"m", func(h *groupHeader) { h.number, h.ch, h.name = 10, 0, "chat" }, "e", none)
		ada.want(t, "the name of the channel", "chat e")
		hears("another table", lobby+"m", func(h *groupHeader) { h.number, h.table = 11, 8 }, "x", "lost 0 late 0 doubled 0 foreign 1 malformed 0")
		malformed := "lost 0 late 0 doubled 0 foreign 0 malformed 1"
		hears("the largest channel", lobby+"m", func(h *groupHeader) { h.number, h.ch = 11, channel.MaxChannels }, "x", none)
		hears("too large a channel", lobby+"m", func(h *groupHeader) { h.number, h.ch = 12, channel.MaxChannels+1 }, "x", malformed)
		hears("no subject of a group", "godwit.g.lobby", number(12), "x", malformed)
		hears("the subject of another fleet", "other.g.lobby.m", number(12), "x", malformed)
		hears("no payload", lobby+"m", func(h *groupHeader) { h.number, h.ch, h.name = 12, 0, "chat" }, "", none)
		q.hear(lobby+"m", kindGroup, from, 1, 2, 3)
		if n := q.Stats().Malformed; n != 1 {
			t.Errorf("a header that is cut off: %d messages are counted as malformed", n)
		}
		q.receive(&nats.Msg{Subject: lobby + "m", Data: append(h.append(appendHeader(nil, kindGroup, q.me)), "own"...)})
		ada.want(t, "no payload", "chat ")
		hears("the end", lobby+"m", number(13), "end", none)
		ada.want(t, "the end: nothing came in between", "chat end")

		// The memory of the numbers is bounded, and ends with the last member.
		s := q.state("lobby")
		for i := range uint32(maxOrigins) - 2 {
			s.from[origin{instance{9}, i}] = new(arrivals)
		}
		hears("a known series", lobby+"m", number(14), "f", none)
		if len(s.from) != maxOrigins {
			t.Errorf("%d series are known, want %d", len(s.from), maxOrigins)
		}
		hears("one series too many", lobby+"m", func(h *groupHeader) { h.stream = 3 }, "g", none)
		if len(s.from) != 1 {
			t.Errorf("%d series are known, want 1", len(s.from))
		}
		ada.want(t, "a known series", "chat f")
		ada.want(t, "one series too many", "chat g")
		g.Leave(ada.server)
		g.Join(ada.server)
		hears("a new member", lobby+"m", func(h *groupHeader) { h.stream, h.number = 3, 7 }, "h", none)
		ada.want(t, "a new member", "chat h")
	})
}

// The numbers and the header of what a node sends, also of messages that are dropped, fit the node that gets them.
func TestNumbersOfMessagesToAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newQuiet(t, Config{Name: "a"}), newQuiet(t, Config{Name: "b"})
		a.table, b.table = 7, 7
		g, bob := a.Group("lobby"), b.join("bob")
		b.Group("lobby").Join(bob.server)
		carry := func() {
			for _, o := range a.out.ops {
				if o.subject == lobby+"m" {
					b.receive(&nats.Msg{Subject: o.subject, Data: o.data})
				}
			}
			a.out.ops = nil
		}
		must(t, g.Send(chat, []byte("a")))
		must(t, g.SendExcept(nil, chat, []byte("b")))
		if skipped, err := g.SendNamed(nil, "chat", []byte("c")); skipped != 0 || err != nil {
			t.Errorf("SendNamed without members: %d, %v", skipped, err)
		}
		carry()
		for _, want := range []string{"chat a", "chat b", "chat c"} {
			bob.want(t, "a message", want)
		}
		a.away.Store(true)
		must(t, g.Send(chat, []byte("away")))
		a.away.Store(false)
		must(t, g.Send(chat, []byte("d")))
		carry()
		bob.want(t, "after a message that was dropped", "chat d")
		if s := b.Stats(); s.Lost != 1 || s.Foreign+s.Doubled+s.Late != 0 || a.Stats().Away != 1 {
			t.Errorf("the receiver counts: %s; the sender: %s", counters(s), counters(a.Stats()))
		}

		// Misuse sends nothing.
		if err := g.Send(7, nil); err != godwitUnknown {
			t.Errorf("no such channel: %v", err)
		}
		if err := g.Send(chat, make([]byte, a.maxPayload+1)); err != ErrTooLarge {
			t.Errorf("too large: %v", err)
		}
		if _, err := g.SendNamed(nil, "", nil); err != godwitUnknown {
			t.Errorf("no name: %v", err)
		}
		if len(a.out.ops) != 0 {
			t.Errorf("%d messages are sent", len(a.out.ops))
		}
		a.maxPayload = 3
		if err := g.Send(chat, []byte("abc")); err != nil || len(a.out.ops) != 1 {
			t.Errorf("as much as NATS takes: %v; %d messages are sent", err, len(a.out.ops))
		}
		if err := g.Send(chat, []byte("abcd")); err != ErrTooLarge {
			t.Errorf("a byte more: %v", err)
		}
		// A member without the channel is counted, and other nodes get the message.
		g.Join(a.join("ada").server)
		a.out.ops = nil
		if skipped, err := g.SendNamed(nil, "other", nil); skipped != 1 || err != nil || len(a.out.ops) != 1 {
			t.Errorf("SendNamed to a member without the channel: %d, %v; %d messages are sent", skipped, err, len(a.out.ops))
		}
	})
}

// That a node has members of more groups than the outbox takes, it says as soon as there is room: after Join, and when NATS is back.
func TestANodeTellsOfAllItsGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups, room = 50, 20
		q := newQuiet(t, Config{MaxPending: room})
		ada := q.join("ada").server
		told := make(map[string]int) // announcements
		writes := func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			for _, o := range q.out.ops {
				if m := (message{body: o.data}); o.data != nil && m.parseHeader() && m.kind == kindHere {
					told[string(m.body)]++
				}
			}
			q.out.ops, q.out.beat, q.out.msgs, q.out.bytes = nil, op{}, 0, 0
		}
		all := func(what string, seconds int) {
			t.Helper()
			for range seconds {
				q.ticks()
				writes()
			}
			if len(told) != groups || len(q.fresh) != 0 {
				t.Errorf("%s: the node has told %d groups, and will tell %d; want %d and 0", what, len(told), len(q.fresh), groups)
			}
			clear(told)
		}
		for i := range groups {
			q.Group(fmt.Sprint("g", i)).Join(ada)
		}
		writes()
		all("after Join", 2*groups*announcements/room)
		q.natsBack()
		writes()
		all("NATS is back", groups/room)
		q.mu.Lock()
		for range room {
			must(t, q.publish("x", "", []byte("x")))
		}
		q.mu.Unlock()
		q.receive(&nats.Msg{Subject: "godwit.g.g1.w", Reply: "godwit.n.x.g.g1", Data: append(appendHeader(nil, kindWho, instance{1}), "g1"...)})
		writes()
		clear(told)
		q.ticks()
		writes()
		if len(told) != 1 || told["g1"] != 1 {
			t.Errorf("a question for which there was no room is answered with %v, want that the group has members", told)
		}
	})
}

// A node that has no room to tell that the last member has left a group does not tell later that it has members.
func TestAGroupThatIsLeftWithoutRoom(t *testing.T) {
	q := newQuiet(t, Config{MaxPending: 1})
	ada, g := q.join("ada").server, q.Group("lobby")
	if !g.Join(ada) || !g.Leave(ada) || q.Stats().OutDropped != 1 {
		t.Fatalf("%d messages are dropped, want the one after Leave", q.Stats().OutDropped)
	}
	if len(q.fresh) != 0 {
		t.Errorf("the node will tell of its members of %d groups", len(q.fresh))
	}
}
