package netsim

import (
	"net/netip"
	"testing"
)

func TestPairsAreBounded(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		n.pairs.max = 3
		nobody := func(i byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 9, i}), 9) }
		sent := func(i byte) uint64 { return n.Stats(clientAddr.Addr(), nobody(i).Addr()).Sent }
		for i := range byte(3) {
			n.send(n.client, nobody(i), "x")
		}
		n.send(n.client, nobody(0), "y")
		n.send(n.client, nobody(3), "x")
		if sent(0) != 2 || sent(1) != 0 || sent(2) != 1 || sent(3) != 1 {
			t.Errorf("the counters are %d %d %d %d, want 2 0 1 1: pair 1, the oldest, is removed", sent(0), sent(1), sent(2), sent(3))
		}
		for i := range byte(200) {
			n.send(n.client, nobody(i), "x")
		}
		if len(n.pairs.by) != 3 || n.Evicted() != 1+199 { // of the 200 one is known
			t.Errorf("%d pairs are stored, want 3; %d were removed, want 200", len(n.pairs.by), n.Evicted())
		}
		var all netip.Addr
		if s := n.Stats(all, all); s.Sent != 205 || s.Unreachable != 205 {
			t.Errorf("the sum of all has %d sent and %d unreachable, want 205", s.Sent, s.Unreachable)
		}
	})
}

func TestPairIsForgottenWithDatagramsUnderWay(t *testing.T) {
	onNetwork(t, 1, Link{Delay: ms}, func(n *testNetwork) {
		n.pairs.max = 1
		n.send(n.client, otherAddr, "under way")
		n.send(n.client, serverAddr, "hello")
		n.wantRead("the newer pair", n.server, clientAddr, "hello")
		var all netip.Addr
		if s := n.Stats(all, all); s.Sent != 2 || s.Unreachable != 1 {
			t.Errorf("%+v, want 2 sent, 1 unreachable", s)
		}
	})
}
