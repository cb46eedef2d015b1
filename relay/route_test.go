package relay

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// A check goes to the node that its fragment names, of every form. Records follow once the node has
// answered, and so do those of the node.
func TestChecksLeadToTheirNode(t *testing.T) {
	s := newScript(t, Config{})
	a := clientAt(1)
	s.wantUp("a record before a check", a, record)
	first := check(1)
	s.wantUp("a check", a, first, node1)
	s.wantUp("a record before the answer", a, record)
	s.wantDown("a record before the answer", node1, a, false, record, false)
	s.wantDown("the answer", node1, a, false, answer(first), true)
	s.wantDown("the ClientHello behind it", node1, a, false, record, true)
	s.wantUp("a record", a, record, node1)
	s.wantDown("a record of another node", node2, a, false, record, false)
	s.wantUp("a record of another client", clientAt(2), record)
	s.enter(clientAt(2), node3)
	s.wantUp("of another client", clientAt(2), record, node3)
	s.wantDown("to another client", node3, clientAt(2), true, record, true)
	s.wantDrops(map[DropReason]uint64{DropUnknownClient: 5})
	var key ufrag.Key
	for _, f := range []ufrag.Fragment{{Form: ufrag.Invite, Node: 2}, {Form: ufrag.Resume, Node: 2}} {
		text := f.Text(&key)
		s.wantUp("of another form", a, checkOf(text), node2)
		s.wantUp("with an INIT", a, checkOf(ufrag.WithInit(text, 1, 2)), node2)
	}
	if st := s.r.ownStats(); st.Clients != 2 || st.Proved != 1 || st.Up.Datagrams != 8 || st.Down.Datagrams != 4 || st.Nodes[0].Up != 2 || st.Nodes[2].Down != 2 {
		t.Errorf("%+v", st)
	}
}

// Datagrams leave from the address of the relay to which the client has sent the check that its node has
// granted, not one that somebody else may have sent from the address of the client.
func TestAnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	s := newScript(t, Config{})
	a, good := clientAt(1), check(1)
	other := netip.MustParseAddr("203.0.113.2")
	s.client(a, good)
	forged := udpio.Datagram{Remote: a, Local: other, B: check(1)}
	s.r.fromClient(s.now, &forged, s.out[:0])
	for _, b := range [][]byte{answer(good), record} {
		if out := s.node(node1.Addr, a, false, b); len(out) != 1 || out[0].Local != asked {
			t.Errorf("%v leaves, want a datagram from %v", out, asked)
		}
	}
	moved := udpio.Datagram{Remote: a, Local: other, B: check(1)}
	s.r.fromClient(s.now, &moved, s.out[:0])
	s.node(node1.Addr, a, false, answer(moved.B))
	if out := s.node(node1.Addr, a, false, record); len(out) != 1 || out[0].Local != other {
		t.Errorf("%v leaves, want a datagram from %v", out, other)
	}
}

// What is not a check with a fragment of a server, nor a record of a known client, goes nowhere.
func TestStrangersReachNobody(t *testing.T) {
	s := newScript(t, Config{})
	long := make([]byte, inLen)
	long[0] = 0x17
	bad := check(1)
	bad[len(bad)-1] ^= 1
	linkLocal := netip.MustParseAddrPort("[fe80::1%2]:5")
	for _, c := range []struct {
		why  DropReason
		from netip.AddrPort
		b    []byte
	}{
		{DropNotOurs, stranger, nil},
		{DropNotOurs, stranger, []byte{0x0f}},
		{DropNotOurs, stranger, append(envelope.Append(nil, clientAt(1), true), record...)},
		{DropNotOurs, linkLocal, check(1)},
		{DropNotOurs, netip.AddrPortFrom(stranger.Addr(), 0), check(1)},
		{DropQUIC, stranger, []byte{0xc0, 0, 0, 0, 1}},
		{DropQUIC, stranger, []byte{0x40}},
		{DropUnknownClient, stranger, record},
		{DropUnknownClient, stranger, long},
		{DropBadCheck, stranger, []byte{0}},
		{DropBadCheck, stranger, bad},
		{DropBadCheck, stranger, answer(check(1))},
		{DropBadCheck, stranger, checkOf("XAAABxxxx")},
		{DropBadCheck, stranger, checkOf("PAAA")},
		{DropUnknownNode, stranger, check(4)},
		{DropUnknownNode, stranger, check(0)},
	} {
		before := s.r.stats.drops[c.why]
		if out := s.client(c.from, c.b); len(out) != 0 || s.r.stats.drops[c.why] != before+1 {
			t.Errorf("%.20q of %v: %d datagrams leave, and %d are dropped as %v, want none and one", c.b, c.from, len(out), s.r.stats.drops[c.why]-before, c.why)
		}
	}
	if s.r.table.used != 0 {
		t.Errorf("%d clients, want none", s.r.table.used)
	}
}

// What does not come from a node, or has no header, goes to nobody; neither does what a node sends to a
// client that has sent it nothing, unless it has proved the address.
func TestOnlyNodesReachClients(t *testing.T) {
	s := newScript(t, Config{})
	a := clientAt(1)
	s.enter(a, node1)
	for _, c := range []struct {
		why  DropReason
		from netip.AddrPort
		b    []byte
	}{
		{DropForeign, stranger, append(envelope.Append(nil, a, true), record...)},
		{DropForeign, netip.AddrPortFrom(node1.Addr.Addr(), 7778), append(envelope.Append(nil, a, true), record...)},
		{DropBadHeader, node1.Addr, record},
		{DropBadHeader, node1.Addr, nil},
		{DropBadHeader, node1.Addr, envelope.Append(nil, a, true)},
		{DropBadHeader, node1.Addr, append(envelope.Append(nil, a, true), "hello"...)},
		{DropUnknownClient, node1.Addr, append(envelope.Append(nil, clientAt(2), false), record...)},
		{DropUnknownClient, node1.Addr, append(envelope.Append(nil, clientAt(2), false), answer(check(1))...)},
		{DropUnknownClient, node2.Addr, append(envelope.Append(nil, a, false), record...)},
	} {
		before := s.r.stats.drops[c.why]
		d := udpio.Datagram{Remote: c.from, B: c.b}
		if out := s.r.fromNode(s.now, &d, s.out[:0]); len(out) != 0 || s.r.stats.drops[c.why] != before+1 {
			t.Errorf("%q of %v: %d datagrams leave, and %d are dropped as %v, want none and one", c.b, c.from, len(out), s.r.stats.drops[c.why]-before, c.why)
		}
	}
	refused := check(1)
	s.client(clientAt(3), refused)
	s.wantDown("a refusal", node1, clientAt(3), false, refusal(refused), true)
	s.wantDown("a refusal again", node1, clientAt(3), false, refusal(refused), false)
	if s.r.table.used != 1 {
		t.Errorf("%d clients, want 1", s.r.table.used)
	}
	late := check(1)
	s.client(clientAt(4), late)
	s.now += visitTimeout + 1
	s.wantDown("an answer that is too late", node1, clientAt(4), false, answer(late), false)
	s.wantDown("a record to a proved address", node1, clientAt(5), true, record, true)
	s.wantUp("a record from there", clientAt(5), record, node1)
}

// A client that goes to another node is with the new one at once, and leaves the old one when that
// is silent. Nobody can take a node from a client by checks from its address, at however many nodes.
func TestNodesOfOneAddress(t *testing.T) {
	s := newScript(t, Config{Nodes: []Node{node1, node2, node3, node4, node5}})
	a := clientAt(1)
	s.enter(a, node1)
	s.wantUp("a check that the node does not answer", a, check(2), node2)
	s.wantUp("a record", a, record, node1)
	s.enter(a, node2)
	s.wantUp("a record for either", a, record, node1, node2)
	s.enter(a, node3) // a node that was killed, one that sent the client on, and the third
	s.wantUp("a record for each of three", a, record, node1, node2, node3)
	s.enter(a, node4)
	fifth := check(5)
	s.wantUp("a check for a fifth", a, fifth, node5)
	s.wantDown("its answer", node5, a, false, answer(fifth), false)
	s.wantDrops(map[DropReason]uint64{DropTaken: 1})
	for range 20 {
		s.now += time.Second
		s.wantDown("a record of the second", node2, a, true, record, true)
	}
	s.wantUp("when the others are silent", a, record, node2)
	s.enter(a, node5)
	s.now += claimTimeout + 1
	s.enter(a, node1)
	s.wantUp("when all others are silent", a, record, node1)
	s.now += claimTimeout + 1
	s.wantUp("a silent node alone", a, record, node1)
}

// The list of nodes changes while clients are there.
func TestNodesComeAndGo(t *testing.T) {
	s := newScript(t, Config{Nodes: []Node{node1, node2}})
	a, b := clientAt(1), clientAt(2)
	s.enter(a, node1)
	s.enter(b, node2)
	moved := Node{1, netip.MustParseAddrPort("10.0.0.9:7777")}
	if err := s.r.SetNodes([]Node{moved, node3}); err != nil {
		t.Fatal(err)
	}
	s.wantUp("to the node's new address", a, record, moved)
	s.wantDown("from the new address", moved, a, false, record, true)
	if out := s.node(node1.Addr, a, false, record); len(out) != 0 {
		t.Error("the old address is still one of a node")
	}
	s.wantUp("to a node that is gone", b, record)
	s.wantUp("a check for it", b, check(2))
	s.wantDrops(map[DropReason]uint64{DropForeign: 1, DropUnknownNode: 2})
	s.enter(b, node3)
	if err := s.r.SetNodes([]Node{moved, node2, node3}); err != nil {
		t.Fatal(err)
	}
	s.wantUp("with the node it has now", b, record, node3)
	for want, nodes := range map[string][]Node{
		"at most":         {{1 << 24, node1.Addr}},
		"two addresses":   {node1, {1, node2.Addr}},
		"another node":    {node1, {2, netip.MustParseAddrPort("[::ffff:10.0.0.5]:7777")}},
		"nobody can send": {{1, netip.MustParseAddrPort("0.0.0.0:7777")}},
	} {
		if err := s.r.SetNodes(nodes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error with %q", nodes, err, want)
		}
	}
	s.wantUp("after errors", b, record, node3)
}

// No datagram allocates memory: of a known client, of a new one, or of a stranger.
func TestDatagramsAllocateNothing(t *testing.T) {
	s := newScript(t, Config{MaxClients: 16})
	known, six := clientAt(1), netip.MustParseAddrPort("[2001:db8::7]:5")
	s.enter(known, node1)
	s.enter(six, node3)
	good, unknown := check(1), check(9)
	granted := append(envelope.Append(nil, known, false), answer(good)...)
	down := append(envelope.Append(nil, six, true), record...)
	n := 0
	if got := testing.AllocsPerRun(1000, func() {
		n++
		s.now += time.Second
		fresh := clientAt(100 + n)
		taught := udpio.Datagram{Remote: node2.Addr, B: append(envelope.Append(s.out[3].B[:0], fresh, n%2 == 0), record...)}
		for _, d := range []udpio.Datagram{
			{Remote: known, Local: asked, B: good}, {Remote: known, B: record}, {Remote: six, B: record},
			{Remote: stranger, B: record}, {Remote: stranger, B: unknown}, {Remote: stranger, B: record[1:]},
		} {
			s.r.fromClient(s.now, &d, s.out[:0])
		}
		for _, d := range []udpio.Datagram{{Remote: node1.Addr, B: granted}, {Remote: node3.Addr, B: down}, taught} {
			s.r.fromNode(s.now, &d, s.out[:0])
		}
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

// FuzzDatagrams gives a relay any bytes, in either direction.
func FuzzDatagrams(f *testing.F) {
	f.Add(true, check(1))
	f.Add(true, record)
	f.Add(false, append(envelope.Append(nil, clientAt(1), true), record...))
	f.Add(false, append(envelope.Append(nil, clientAt(1), false), answer(check(1))...))
	s := newScript(f, Config{MaxClients: 2})
	s.enter(clientAt(1), node1)
	f.Fuzz(func(t *testing.T, up bool, b []byte) {
		if len(b) > inLen {
			return
		}
		s.t = t
		before := s.r.stats.drops
		d := udpio.Datagram{Remote: clientAt(1), B: b}
		var out []udpio.Datagram
		if up {
			out = s.r.fromClient(s.now, &d, s.out[:0])
		} else {
			d.Remote = node1.Addr
			out = s.r.fromNode(s.now, &d, s.out[:0])
		}
		dropped := uint64(0)
		for why, n := range s.r.stats.drops {
			dropped += n - before[why]
		}
		s.wantWhole()
		if uint64(len(out))+dropped != 1 {
			t.Errorf("%d datagrams leave and %d are dropped, want one of both", len(out), dropped)
		}
	})
}
