package webtransport

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/quic-go/quic-go"
)

// A client must prove its address if a quarter of the places of visitors is taken, or half of those of
// its address.
func TestWhoMustProveAnAddress(t *testing.T) {
	for _, c := range []struct {
		all, here int // visitors, and those of the address
		want      bool
	}{
		{0, 0, false}, {15, 3, false}, {16, 0, true}, {15, 4, true}, {4, 4, true}, {64, 8, true},
	} {
		v := visitors{most: 64, bySite: make(map[netip.Addr]int)}
		for i := range c.all {
			site := byte(1)
			if i >= c.here {
				site = byte(10 + i)
			}
			if _, err := v.enter(t.Context(), &quic.ClientInfo{RemoteAddr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, site)}}); err != nil {
				t.Fatal(err)
			}
		}
		if got := v.unproved(&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1)}); got != c.want || v.retried != map[bool]uint64{true: 1}[got] {
			t.Errorf("%d visitors, %d of the address: %v, %d counted", c.all, c.here, got, v.retried)
		}
	}
}

// The addresses of one /64 of IPv6 share the places of one address, and so do both forms of an IPv4
// address. A visitor leaves once.
func TestVisitorsOfOneSite(t *testing.T) {
	v := visitors{most: 16, bySite: make(map[netip.Addr]int)}
	enter := func(ip string) *visitor {
		ctx, err := v.enter(context.Background(), &quic.ClientInfo{RemoteAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1))})
		if err != nil {
			return nil
		}
		return ctx.Value(visitorKey{}).(*visitor)
	}
	for _, three := range [][]string{
		{"2001:db8::1", "2001:db8::ffff:1", "2001:db8::2"},
		{"2001:db8:0:1::1", "2001:db8:0:1::1%eth0", "2001:db8:0:1::2"},
		{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"},
	} {
		first, second := enter(three[0]), enter(three[1])
		if first == nil || second == nil || enter(three[2]) != nil {
			t.Errorf("%v: not two of three are visitors", three)
			continue
		}
		first.leave()
		first.leave()
		if enter(three[2]) == nil || enter(three[2]) != nil {
			t.Errorf("%v: the place of one that has left is not that of one more", three)
		}
	}
	enter("192.0.2.2").leave()
	if v.n != 6 || len(v.bySite) != 3 {
		t.Errorf("%d visitors from %d addresses, want 6 from 3", v.n, len(v.bySite))
	}
}

// A datagram for which the outbox has no room is lost, and its buffer is used again.
func TestAFullOutbox(t *testing.T) {
	s := &Server{buffers: make(chan []byte, 2)}
	c := &conn{server: s, out: make(chan []byte, 1)}
	if !c.Send([]byte("one")) || c.Send([]byte("two")) || len(s.buffers) != 1 {
		t.Errorf("%d buffers are free, want that of the second datagram", len(s.buffers))
	}
	free := s.buffer()
	if len(free) != 0 || cap(free) != maxDatagram || len(s.buffers) != 0 {
		t.Errorf("a buffer of %d bytes with room for %d", len(free), cap(free))
	}
	for range 3 {
		s.reuse(free)
	}
	if len(s.buffers) != 2 {
		t.Errorf("%d buffers are kept, want 2", len(s.buffers))
	}
	c.Close("")
	if b, ok := <-c.out; string(b) != "one" || !ok {
		t.Errorf("before the end %q is lost", "one")
	}
}
