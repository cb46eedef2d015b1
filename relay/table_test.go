package relay

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// wantWhole checks that lists, chains and counters of a table agree.
func (s *script) wantWhole() {
	s.t.Helper()
	t := s.r.table
	used, proved, free := 0, 0, 0
	for list := range int32(lists) {
		for i := t.entries[list].next; i != list; i = t.entries[i].next {
			e := &t.entries[i]
			used++
			if e.proved {
				proved++
			}
			if e.proved != (list == provedList) || t.entries[e.next].prev != i || t.find(e.client) != i {
				s.t.Fatalf("entry %d on list %d is broken: %+v", i, list, *e)
			}
			if newer := e.prev; newer >= lists && t.entries[newer].heard < e.heard-touchEvery {
				s.t.Fatalf("entry %d was heard at %v, after the newer entry %d at %v", i, e.heard, newer, t.entries[newer].heard)
			}
		}
	}
	for i := t.free; i != 0; i = t.entries[i].next {
		free++
	}
	if used != t.used || proved != t.proved || used+free != len(t.entries)-lists {
		s.t.Fatalf("%d entries are used, %d proved and %d free; the table says %d and %d of %d", used, proved, free, t.used, t.proved, len(t.entries)-lists)
	}
}

// A client is forgotten 60 s after its node was heard last, whatever comes from its address.
func TestIdleClientsAreForgotten(t *testing.T) {
	s := newScript(t, Config{})
	a, b := clientAt(1), clientAt(2)
	s.enter(a, node1)
	s.enter(b, node1)
	for range 58 {
		s.now += time.Second
		s.wantUp("from a client whose node is silent", a, record, node1)
		s.wantDown("to the other one", node1, b, true, record, true)
	}
	s.now += 4 * time.Second
	s.wantUp("of the idle client", a, record)
	s.enter(clientAt(3), node1)
	s.wantUp("of the other one", b, record, node1)
	s.wantWhole()
}

// The time of a relay begins with the relay, and passes.
func TestTheTimeOfARelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newScript(t, Config{}).r
		proof := func(client int) {
			d := udpio.Datagram{Remote: node1.Addr, B: append(envelope.Append(nil, clientAt(client), true), record...)}
			r.routeAll([]udpio.Datagram{d}, make([]udpio.Datagram, 0, 1), r.fromNode)
		}
		proof(1)
		time.Sleep(idleTimeout + time.Second)
		if proof(2); r.table.find(clientAt(1)) != 0 || r.table.find(clientAt(2)) == 0 {
			t.Error("the relay has not forgotten the client whose node was silent for a minute, or not met the new one")
		}
	})
}

// A flood of forged checks takes no place of a client, however many addresses it has. One whose checks are
// good, because somebody who has a session forges their source, takes places only of clients whose
// addresses are not proved: not of those in play.
func TestFloodsPutNobodyOut(t *testing.T) {
	s := newScript(t, Config{MaxClients: 64})
	for n := range 32 {
		s.enter(clientAt(n), node1)
		s.wantDown("to a proved address", node1, clientAt(n), true, record, true)
	}
	for n := range 10_000 {
		s.client(clientAt(1000+n), check(1))
	}
	if s.r.table.used != 32 {
		t.Errorf("%d clients after forged checks, want 32", s.r.table.used)
	}
	for n := range 10_000 {
		s.enter(clientAt(1000+n), node2)
	}
	s.wantWhole()
	if s.r.table.used != 64 || s.r.table.proved != 32 {
		t.Errorf("%d clients, %d of them proved; want 64 and 32", s.r.table.used, s.r.table.proved)
	}
	for n := range 32 {
		s.wantUp("of a client in play", clientAt(n), record, node1)
	}
	// A new client gets a place amid the flood, and keeps it once it is proved.
	s.enter(clientAt(500), node3)
	s.wantDown("to the new client", node3, clientAt(500), true, record, true)
	for n := range 1000 {
		s.enter(clientAt(20_000+n), node2)
	}
	s.wantUp("of the new client", clientAt(500), record, node3)
	s.wantWhole()
}

// When all places are taken by clients in play, another one waits. It gets the place of one that has not
// been heard for 15 s.
func TestFullTable(t *testing.T) {
	s := newScript(t, Config{MaxClients: 4})
	for n := range 4 {
		s.wantDown("to a proved address", node1, clientAt(n), true, record, true)
	}
	first := check(2)
	s.wantUp("a check", clientAt(9), first, node2)
	s.wantDown("its answer", node2, clientAt(9), false, answer(first), false)
	s.wantDown("a proof", node2, clientAt(9), true, record, false)
	s.wantDrops(map[DropReason]uint64{DropFull: 2})
	s.now += keptFor - time.Second
	for n := 1; n < 4; n++ {
		s.wantDown("still in play", node1, clientAt(n), true, record, true)
	}
	s.now += 2 * time.Second
	s.enter(clientAt(9), node2)
	s.wantUp("of the silent one", clientAt(0), record)
	for n := 1; n < 4; n++ {
		s.wantUp("of the others", clientAt(n), record, node1)
	}
	s.wantWhole()
}

// A table stays whole whatever happens in whatever order.
func TestRandomTraffic(t *testing.T) {
	nodes := []Node{node1, node2, node3, node4, node5}
	s := newScript(t, Config{MaxClients: 8, Nodes: nodes})
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		s.now += time.Duration(rng.ExpFloat64() * float64(100*time.Millisecond))
		client, n := clientAt(rng.IntN(40)), nodes[rng.IntN(len(nodes))]
		switch rng.IntN(8) {
		case 0, 1, 2:
			b := check(n.Number)
			s.client(client, b)
			s.node(n.Addr, client, rng.IntN(4) == 0, answer(b))
		case 3, 4, 5:
			s.node(n.Addr, client, rng.IntN(3) == 0, record)
		case 6:
			s.client(client, record)
		case 7:
			if rng.IntN(50) == 0 {
				s.now += 100 * time.Second
			}
		}
		s.wantWhole()
	}
	if s.r.table.used == 0 || s.r.stats.drops[DropTaken] == 0 || s.r.stats.drops[DropFull] == 0 {
		t.Errorf("%d clients, drops %v: the traffic does not reach all cases", s.r.table.used, s.r.stats.drops)
	}
}
