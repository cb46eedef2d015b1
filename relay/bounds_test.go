package relay

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// What a Config may have at most, and at least, is taken; what is one more, or one less, is not.
func TestLimitsOfAConfig(t *testing.T) {
	at := func(addr string) []Node { return []Node{{1, netip.MustParseAddrPort(addr)}} }
	nodes := func(n int) []Node {
		all := make([]Node, n)
		for i := range all {
			all[i] = Node{uint32(i), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 7777)}
		}
		return all
	}
	for what, tt := range map[string]struct {
		c  Config
		ok bool
	}{
		"nothing":                  {Config{}, true},
		"one client":               {Config{MaxClients: 1}, true},
		"the most clients":         {Config{MaxClients: maxClients}, true},
		"a client more":            {Config{MaxClients: maxClients + 1}, false},
		"fewer than no client":     {Config{MaxClients: -1}, false},
		"the most nodes":           {Config{Nodes: nodes(maxNodes)}, true},
		"a node more":              {Config{Nodes: nodes(maxNodes + 1)}, false},
		"the highest number":       {Config{Nodes: []Node{{ufrag.MaxNode, node1.Addr}}}, true},
		"a higher number":          {Config{Nodes: []Node{{ufrag.MaxNode + 1, node1.Addr}}}, false},
		"a number twice":           {Config{Nodes: []Node{{1, node1.Addr}, {1, node2.Addr}}}, false},
		"an address twice":         {Config{Nodes: []Node{{1, node1.Addr}, {2, node1.Addr}}}, false},
		"an address twice, mapped": {Config{Nodes: []Node{{1, netip.MustParseAddrPort("[::ffff:10.0.0.5]:7777")}, {2, node1.Addr}}}, false},
		"no address":               {Config{Nodes: []Node{{Number: 1}}}, false},
		"only a port":              {Config{Nodes: []Node{{1, netip.AddrPortFrom(netip.Addr{}, 7777)}}}, false},
		"no port":                  {Config{Nodes: at("10.0.0.5:0")}, false},
		"every address":            {Config{Nodes: at("[::]:7777")}, false},
		"a group of hosts":         {Config{Nodes: at("224.0.0.1:7777")}, false},
	} {
		if err := tt.c.setDefaults(); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want no error: %v", what, err, tt.ok)
		}
	}
	logger := slog.New(slog.DiscardHandler)
	c, own := Config{}, Config{ReadBuffer: 1, WriteBuffer: 2, Logger: logger}
	if err := c.setDefaults(); err != nil || c.MaxClients != 65536 || c.ReadBuffer != 4<<20 || c.WriteBuffer != 4<<20 || c.Logger == nil {
		t.Errorf("the defaults are %+v, %v", c, err)
	}
	if c.Logger.Enabled(t.Context(), slog.LevelWarn) || !c.Logger.Enabled(t.Context(), slog.LevelError) {
		t.Error("without a Logger not only errors go to standard error")
	}
	if err := own.setDefaults(); err != nil || own.ReadBuffer != 1 || own.WriteBuffer != 2 || own.Logger != logger {
		t.Errorf("%+v, %v; want what was set", own, err)
	}
}

// Each time of the table counts to the nanosecond.
func TestTimesOfATable(t *testing.T) {
	a, b, c := clientAt(1), clientAt(2), clientAt(3)
	for late := range time.Duration(2) { // just in time, and a nanosecond later
		x := newTable(4)
		x.add(time.Hour, a)
		if i := x.live(time.Hour+idleTimeout+late, a); (i != 0) == (late > 0) || x.used != 1-int(late) {
			t.Errorf("%v after the last datagram its entry is %d, and %d are used", idleTimeout+late, i, x.used)
		}
		x = newTable(4)
		x.add(0, a)
		if x.add(idleTimeout+late, b); x.used != 2-int(late) {
			t.Errorf("%d entries are used %v after the last datagram of one, want %d", x.used, idleTimeout+late, 2-late)
		}
		x = newTable(1)
		x.hear(0, x.add(0, a), true)
		if i := x.add(keptFor+late, b); (i != 0) != (late > 0) {
			t.Errorf("%v after the last datagram of a proved client another one gets the entry %d", keptFor+late, i)
		}
		x = newTable(4)
		i := x.add(0, a)
		if x.hear(touchEvery-1+late, i, false); (x.entries[i].heard == 0) == (late > 0) {
			t.Errorf("a datagram after %v is noted at %v", touchEvery-1+late, x.entries[i].heard)
		}
		x.noteVisit(0, a, asked, [stunIDLen]byte{1}, &node{})
		n := x.visit(a, [stunIDLen]byte{1}).node
		if v := x.answer(visitTimeout+late, a, [stunIDLen]byte{1}, n); (v != nil) == (late > 0) {
			t.Errorf("an answer after %v belongs to %v", visitTimeout+late, v)
		}
		e, first, second := new(entry), new(node), new(node)
		e.claim(0, first)
		if e.claim(claimTimeout+late, second); !e.has(second) || e.has(first) == (late > 0) {
			t.Errorf("%v after a node was heard another one claims its client: %+v", claimTimeout+late, e.claims)
		}
	}
	x := newTable(1)
	x.add(0, a)
	if x.add(0, b) == 0 || x.find(a) != 0 {
		t.Error("a client whose address is not proved keeps its place")
	}
	x = newTable(4)
	first, second := x.add(0, a), x.add(0, b)
	if x.hear(2*touchEvery, first, false); x.entries[unprovedList].prev != second || x.entries[unprovedList].next != first {
		t.Errorf("the oldest entry is %d, the newest %d; want %d and %d", x.entries[unprovedList].prev, x.entries[unprovedList].next, second, first)
	}
	if x.hash(a, [stunIDLen]byte{}) == x.hash(c, [stunIDLen]byte{}) || x.hash(a, [stunIDLen]byte{}) == x.hash(netip.AddrPortFrom(a.Addr(), 1), [stunIDLen]byte{}) {
		t.Error("two clients have the same hash")
	}
	for size, heads := range map[int]int{1: 1, 2: 2, 1000: 1024, 1024: 1024, 1025: 2048} {
		if n := len(newTable(size).heads); n != heads {
			t.Errorf("a table of %d clients has %d heads, want %d", size, n, heads)
		}
	}
}

// A node keeps its claim beside others while it is heard. Of several claims that are stale only the newest one stays.
func TestOlderClaimsEnd(t *testing.T) {
	e, first, second, third := new(entry), new(node), new(node), new(node)
	e.claim(0, first)
	e.claim(10*time.Second, first)
	e.claim(20*time.Second, second)
	e.claim(20*time.Second, third)
	if !e.has(first) || !e.has(second) || !e.has(third) {
		t.Fatalf("the claims are %+v, want all three", e.claims)
	}
	e.claim(24*time.Second, second)
	if e.unclaim(10*time.Second+claimTimeout+1, false); e.has(first) || !e.has(second) || !e.has(third) {
		t.Errorf("the claims are %+v, want those of the second and the third", e.claims)
	}
	if e.unclaim(24*time.Second+claimTimeout+1, false); !e.has(second) || e.has(third) {
		t.Errorf("the claims are %+v, want that of the node which was heard last", e.claims)
	}
}

// A check whose place another one has taken is not answered.
func TestAVisitThatAnotherOneReplaces(t *testing.T) {
	a, b, n := clientAt(1), clientAt(2), new(node)
	id, other := [stunIDLen]byte{1}, [stunIDLen]byte{2}
	for _, v := range []visit{{b, asked, id, n, 0}, {a, asked, other, n, 0}, {a, asked, id, &node{number: 1}, 0}} {
		x := newTable(1)
		*x.visit(a, id) = v
		if got := x.answer(0, a, id, n); got != nil {
			t.Errorf("%+v is taken for the check", got)
		}
	}
}

// A datagram that is dropped takes none with it that was to leave before.
func TestDroppedDatagramsTakeNoneWithThem(t *testing.T) {
	s := newScript(t, Config{Nodes: []Node{node1, node2}})
	s.enter(clientAt(5), node2)
	if err := s.r.SetNodes([]Node{node1}); err != nil {
		t.Fatal(err)
	}
	before := s.client(clientAt(1), check(1))
	if len(before) != 1 {
		t.Fatalf("%d datagrams leave, want 1", len(before))
	}
	text := string(before[0].B)
	for what, b := range map[string][]byte{
		"nothing": nil, "QUIC": {0x40}, "something else": {0x10, 1}, "a bad check": check(1)[:20], "a fragment of nobody": checkOf("XYZWV"),
		"an unknown node": check(9), "a record of a stranger": record,
	} {
		d := udpio.Datagram{Remote: clientAt(2), Local: asked, B: b}
		if out := s.r.fromClient(s.now, &d, before); len(out) != 1 || string(out[0].B) != text {
			t.Errorf("%s: %d datagrams leave, want the one of before", what, len(out))
		}
	}
	d := udpio.Datagram{Remote: clientAt(5), Local: asked, B: record}
	if out := s.r.fromClient(s.now, &d, before); len(out) != 1 {
		t.Errorf("a record for a node that is gone: %d datagrams leave, want the one of before", len(out))
	}
	for what, d := range map[string]udpio.Datagram{
		"of a stranger": {Remote: stranger, B: record}, "without a header": {Remote: node1.Addr, B: record},
		"for a client that is not known": {Remote: node1.Addr, B: append(envelope.Append(nil, clientAt(3), false), record...)},
	} {
		if out := s.r.fromNode(s.now, &d, before); len(out) != 1 || string(out[0].B) != text {
			t.Errorf("%s: %d datagrams leave, want the one of before", what, len(out))
		}
	}
	for b, why := range map[byte]DropReason{19: DropNotOurs, 20: DropUnknownClient, 63: DropUnknownClient, 64: DropQUIC} {
		n := s.r.stats.drops[why]
		if s.client(clientAt(3), []byte{b, 1, 2}); s.r.stats.drops[why] != n+1 {
			t.Errorf("a datagram that begins with %d is not dropped as %v", b, why)
		}
	}
}
