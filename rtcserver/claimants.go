package rtcserver

import (
	"net/netip"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// Several connections of a shard may have sent valid checks from one address: a page's new
// connection beside its old one, two pages behind a NAT that has given a mapping away, or an
// observer's beside a page's, because the source of a check can be forged. Each of them is a
// claimant of the address. A record is for the claimant whose keys open it; plaintext is for
// the one that shakes hands. So claimants take nothing from each other, as long as there
// are few of them: see claim.

// maxClaimants limits the claimants of an address. Each costs the server one attempt to open
// a record that none of them has sent.
const maxClaimants = 4

// settling is how long a claimant that has not proved the address cannot be put out by
// another of its rank. A proof takes one round trip from the end of the handshake.
const settling = 3 * time.Second

// A claimant is a connection that has sent a valid check from an address which others have,
// too.
type claimant struct {
	conn  *Conn
	since time.Time
}

// claim makes c a claimant of an address from which it has sent a valid check. If there are
// maxClaimants, c takes the place of the one with the lowest rank, or gets nothing if
// no rank is lower than its own.
func (s *shard) claim(now time.Time, c *Conn, a netip.AddrPort) {
	all := s.claimants[a]
	switch o := s.byAddr[a]; {
	case o == nil:
		s.byAddr[a] = c
		c.addrs = append(c.addrs, a)
		return
	case o == c || slices.ContainsFunc(all, func(x claimant) bool { return x.conn == c }):
		return
	case all == nil:
		all = append(make([]claimant, 0, maxClaimants), claimant{o, now})
	}
	newcomer := claimant{c, now}
	if len(all) == maxClaimants {
		weakest := newcomer // of equals the newest goes, so that nobody is put out by others that take turns
		for _, x := range slices.Backward(all) {
			if x.rank(now, a) < weakest.rank(now, a) {
				weakest = x
			}
		}
		if weakest == newcomer {
			s.stats.drops[DropTaken]++
			return
		}
		s.unclaim(weakest.conn, a)
		all = s.claimants[a]
	}
	c.addrs = append(c.addrs, a)
	s.claimants[a] = append(all, newcomer)
}

// rank says how strong a claim is. Whoever has proved the address, and is heard there, keeps
// it. Whoever has not proved it yet has settling to do so, and afterwards gives way to
// newcomers, first of all if it sends no records. A connection whose offer came from another
// host than its checks stands behind one whose offer came from the same: to forge both takes
// more than a forged source.
func (x claimant) rank(now time.Time, a netip.AddrPort) (r int) {
	switch {
	case x.conn.peer.Holds(now, a):
		return 5
	case now.Sub(x.since) < settling:
		r = 2
	case x.conn.peer.Speaks(now, a):
		r = 1
	}
	if x.conn.site == site(a.Addr()) {
		r += 2
	}
	return r
}

// unclaim takes an address from c, which has it.
func (s *shard) unclaim(c *Conn, a netip.AddrPort) {
	c.addrs = slices.DeleteFunc(c.addrs, func(b netip.AddrPort) bool { return a == b })
	all := slices.DeleteFunc(s.claimants[a], func(x claimant) bool { return x.conn == c })
	switch len(all) {
	case 0:
		delete(s.byAddr, a)
		s.server.registry.leave(a, s)
		return
	case 1:
		delete(s.claimants, a)
	default:
		s.claimants[a] = all
	}
	s.byAddr[a] = all[0].conn
}

// prune forgets the addresses of c that are not paths any more.
func (s *shard) prune(c *Conn) {
	for _, a := range slices.Clone(c.addrs) {
		if !c.peer.Knows(a) {
			s.unclaim(c, a)
		}
	}
}

// take takes a datagram from an address that c has, and reports whether it was authentic.
func (s *shard) take(now time.Time, c *Conn, d *udpio.Datagram) bool {
	if len(s.claimants) > 0 {
		if all := s.claimants[d.Remote]; all != nil {
			return s.contested(now, all, d)
		}
	}
	s.datagram(now, c, d)
	return c.peer.Authentic()
}

// contested takes a datagram from an address with several claimants, and reports whether it
// was authentic.
func (s *shard) contested(now time.Time, all []claimant, d *udpio.Datagram) bool {
	if peer.IsPlaintext(d.B) {
		s.datagram(now, shaking(now, all, d.Remote), d)
		return false
	}
	n := copy(s.unspoilt[:], d.B)
	for _, x := range all {
		if x.conn.peer.State() != peer.Secure {
			continue
		}
		if s.datagram(now, x.conn, d); x.conn.peer.Authentic() {
			return true
		}
		copy(d.B, s.unspoilt[:n])
		s.stats.contested++
	}
	if c := shaking(now, all, d.Remote); c.peer.State() != peer.Secure {
		s.datagram(now, c, d)
	}
	return false
}

// shaking returns the claimant for datagrams that nobody's keys open: the one that shakes
// hands. If several do, it is the one with the highest rank, and the newest of equals. If
// none does, it is one that is being closed, or the first.
func shaking(now time.Time, all []claimant, a netip.AddrPort) (c *Conn) {
	best := -1
	for _, x := range all {
		r := 0
		switch x.conn.peer.State() {
		case peer.Shaking, peer.Keyed:
			r = 2 + x.rank(now, a)
		case peer.Closing:
			r = 1
		}
		if r > best || r == best && r > 1 {
			c, best = x.conn, r
		}
	}
	return c
}
