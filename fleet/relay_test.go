package fleet

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/relay"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// newRelay starts a relay whose nodes are those of a fleet.
func newRelay(t testing.TB, f *Fleet) *relay.Relay {
	t.Helper()
	r, err := relay.Listen("127.0.0.1:0", "127.0.0.1:0", relay.Config{MaxClients: 64, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	f.FeedRelay(r)
	return r
}

// numbers returns the numbers of the nodes of a relay.
func numbers(r *relay.Relay) (all []uint32) {
	for _, n := range r.Stats().Nodes {
		all = append(all, n.Number)
	}
	slices.Sort(all)
	return all
}

func wantNumbers(t *testing.T, what string, r *relay.Relay, want ...uint32) {
	t.Helper()
	wait(t, fmt.Sprint(what, ": the relay has the nodes ", want), func() bool { return slices.Equal(numbers(r), want) })
}

// A relay that is a member of the fleet, and one in the process of a node, have the nodes that have a number: those that are there, those that
// come, not those that have left, and those that are not heard.
func TestARelayHasTheNodesOfTheFleet(t *testing.T) {
	nats := newNATS(t)
	listen := func(n *node, number uint32) {
		t.Helper()
		srv, err := n.Fleet.Listen("127.0.0.1:0", godwit.Config{Channels: table, RTC: rtcserver.Settings{Node: number}})
		if err != nil {
			t.Fatal(err)
		}
		n.srv = srv
		t.Cleanup(func() { srv.Close() })
	}
	start := func(c Config, number uint32) *node {
		t.Helper()
		c.NATS, c.deadAfter = nats.address(), time.Hour
		n := joinNode(t, c)
		listen(n, number)
		return n
	}
	a := start(Config{Name: "a"}, 1)
	b := start(Config{Name: "b", UDP: netip.MustParseAddrPort("127.0.0.2:0")}, 2)
	start(Config{Name: "without a number"}, 0)
	stalled := newProxy(t, nats.address())
	c := joinNode(t, Config{Name: "c", NATS: stalled.address()})
	listen(c, 3)
	member := joinNode(t, Config{Name: "relay", NATS: nats.address()})
	r, inner := newRelay(t, member.Fleet), newRelay(t, a.Fleet)
	wantNumbers(t, "at the beginning", r, 1, 2, 3)
	wantNumbers(t, "at the beginning, in the process of a node", inner, 1, 2, 3)
	for _, n := range member.relayNodes() {
		want := map[uint32]netip.AddrPort{
			1: a.srv.RTC().Addr(), 2: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), b.srv.RTC().Addr().Port()), 3: c.srv.RTC().Addr(),
		}[n.Number]
		if n.Addr != want {
			t.Errorf("node %d is at %v, want %v", n.Number, n.Addr, want)
		}
	}
	wait(t, "the nodes know the relay, which is no place for a player", func() bool {
		for _, n := range a.Nodes() {
			if n.Name == "relay" {
				return n.MaxSessions == 0 && n.Number == 0
			}
		}
		return false
	})

	b.srv.Close()
	b.Close()
	wantNumbers(t, "b has left", r, 1, 3)
	stalled.stall()
	member.mu.Lock()
	member.nodes.dead = time.Millisecond
	member.mu.Unlock()
	wait(t, "c is not heard", func() bool { _, there := member.node(c.me.String()); return !there })
	start(Config{Name: "d"}, 4)
	wantNumbers(t, "d has come, and c is kept", r, 1, 3, 4)
	e := start(Config{Name: "e"}, 3) // c again, for example
	wait(t, "e has the number of c", func() bool {
		for _, n := range member.relayNodes() {
			if n.Number == 3 {
				return n.Addr == e.srv.RTC().Addr()
			}
		}
		return false
	})
	wantNumbers(t, "e has come", r, 1, 3, 4)
	stalled.resume() // so that c ends fast
}

// While NATS is away a relay keeps its nodes, for as long as that takes.
func TestARelayWithoutNATS(t *testing.T) {
	nats := newNATS(t)
	member := joinNode(t, Config{Name: "relay", NATS: nats.address()}, "NATS is away")
	r := newRelay(t, member.Fleet)
	member.mu.Lock()
	member.setNumber(9, netip.MustParseAddrPort("10.0.0.9:7777"))
	member.noteNumber(&Node{ID: "x", Number: 1, UDP: netip.MustParseAddrPort("10.0.0.5:7777")}, true, time.Now())
	member.mu.Unlock()
	wantNumbers(t, "with NATS", r, 1, 9)
	nats.stop()
	wait(t, "NATS is away", func() bool { return !member.Connected() })
	member.mu.Lock()
	member.forgetUnheard(time.Now().Add(10 * keepUnheard))
	if all := member.relays.nodes; len(all) != 2 {
		t.Errorf("while NATS is away, relays have the nodes %v", all)
	}
	member.away.Store(false)
	member.forgetUnheard(time.Now().Add(10 * keepUnheard).Add(keepUnheard / 2))
	if all := member.relays.nodes; len(all) != 2 {
		t.Errorf("when NATS is back, relays have the nodes %v", all)
	}
	member.forgetUnheard(time.Now().Add(12 * keepUnheard))
	if all := member.relays.nodes; len(all) != 1 || all[9].id != member.me.String() {
		t.Errorf("of the nodes that were not heard for longer than a day, relays have %v", all)
	}
	member.away.Store(true)
	member.mu.Unlock()
	wantNumbers(t, "without the node that was not heard", r, 9)
}

// Of two nodes with one number or one address relays reach the one that has come later, and the log of every node says so. What
// no relay can have is no node.
func TestNumbersOfNodes(t *testing.T) {
	f := joinNode(t, Config{}, "two nodes")
	at := netip.MustParseAddrPort
	beats := func(id byte, number uint32, udp netip.AddrPort) {
		t.Helper()
		i := instance{id}
		b := fmt.Sprintf(`{"id":%q,"name":"n%d","number":%d,"udp":%q}`, i, id, number, udp)
		if !f.receiveBeat(message{from: i, body: []byte(b)}) {
			t.Fatalf("malformed: %s", b)
		}
	}
	want := func(what string, want ...relay.Node) {
		t.Helper()
		if got := f.relayNodes(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	beats(1, 1, at("10.0.0.1:7777"))
	beats(2, 2, at("[::ffff:10.0.0.2]:7777"))
	want("two nodes", relay.Node{Number: 1, Addr: at("10.0.0.1:7777")}, relay.Node{Number: 2, Addr: at("10.0.0.2:7777")})
	beats(3, 1, at("10.0.0.3:7777"))
	for range 3 {
		beats(1, 1, at("10.0.0.1:7777"))
		beats(3, 1, at("10.0.0.3:7777"))
	}
	want("another node with the number 1", relay.Node{Number: 1, Addr: at("10.0.0.3:7777")}, relay.Node{Number: 2, Addr: at("10.0.0.2:7777")})
	beats(4, 4, at("10.0.0.2:7777"))
	beats(2, 2, at("[::ffff:10.0.0.2]:7777"))
	want("another node with the address of node 2", relay.Node{Number: 1, Addr: at("10.0.0.3:7777")}, relay.Node{Number: 4, Addr: at("10.0.0.2:7777")})
	if n := len(f.logs); n != 2 {
		t.Errorf("%d lines in the log, want one for each of the two that were there first", n)
	}
	f.mu.Lock()
	f.forgetNumber(instance{3}.String())
	f.mu.Unlock()
	beats(1, 1, at("10.0.0.1:7777"))
	beats(5, 5, at("0.0.0.0:7777"))
	beats(6, 6, at("10.0.0.6:0"))
	beats(7, 1<<24, at("10.0.0.7:7777"))
	beats(8, 8, at("224.0.0.1:7777"))
	want("the first one has the number again when the other one has left",
		relay.Node{Number: 1, Addr: at("10.0.0.1:7777")}, relay.Node{Number: 4, Addr: at("10.0.0.2:7777")})
	if _, err := relay.Listen("127.0.0.1:0", "127.0.0.1:0", relay.Config{Nodes: []relay.Node{{Number: maxNumber + 1, Addr: at("10.0.0.1:1")}}}); err == nil {
		t.Error("a relay takes numbers above maxNumber")
	}
}
