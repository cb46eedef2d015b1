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

// settling is the time after its first check from an address in which a claimant is expected
// to prove the address. A proof takes one round trip from the end of the handshake.
const settling = 3 * time.Second

// claim makes c a claimant of an address from which it has sent a valid check. If there are
// maxClaimants already, the weakest of them and c goes.
func (s *shard) claim(now time.Time, c *Conn, a netip.AddrPort) {
	all := s.claimants[a]
	switch o := s.byAddr[a]; {
	case o == nil:
		s.byAddr[a] = c
		c.addrs = append(c.addrs, a)
		return
	case o == c || slices.Contains(all, c):
		return
	case all == nil:
		all = append(make([]*Conn, 0, maxClaimants+1), o)
	}
	all = append(all, c)
	c.addrs = append(c.addrs, a)
	s.claimants[a] = all
	if len(all) <= maxClaimants {
		return
	}
	goes := weakest(now, all, a)
	if goes == c {
		s.stats.drops[DropTaken]++
	}
	s.unclaim(goes, a)
}

// weakest returns the claimant that goes. One that has proved the address, and is heard there,
// stays. Of the others one goes whose offers came from the site with most of them, so that one
// host gets no place of another by many connections. Of sites with equally many, that of the
// address itself stays. Within a site, one that settles stays before one that sends records,
// and this before one that is silent. Of equals the newest goes, so that nobody is put out by
// others that take turns.
func weakest(now time.Time, all []*Conn, a netip.AddrPort) *Conn {
	goes, most := all[len(all)-1], [3]int{}
	for _, c := range all {
		if c.peer.Holds(now, a) {
			continue
		}
		var weakness [3]int
		for _, o := range all {
			if o.site == c.site && !o.peer.Holds(now, a) {
				weakness[0]++
			}
		}
		if c.site != site(a.Addr()) {
			weakness[1] = 1
		}
		switch {
		case now.Sub(c.peer.Since(a)) < settling:
		case c.peer.Speaks(now, a):
			weakness[2] = 1
		default:
			weakness[2] = 2
		}
		if slices.Compare(weakness[:], most[:]) >= 0 {
			goes, most = c, weakness
		}
	}
	return goes
}

// unclaim takes an address from c, which has it.
func (s *shard) unclaim(c *Conn, a netip.AddrPort) {
	c.addrs = slices.DeleteFunc(c.addrs, func(b netip.AddrPort) bool { return a == b })
	all := slices.DeleteFunc(s.claimants[a], func(o *Conn) bool { return o == c })
	switch len(all) {
	case 0:
		delete(s.byAddr, a)
		s.server.registry.removeAddr(a, s)
		return
	case 1:
		delete(s.claimants, a)
	default:
		s.claimants[a] = all
	}
	s.byAddr[a] = all[0]
}

// removeOldAddrs forgets the addresses of c that are not paths any more.
func (s *shard) removeOldAddrs(c *Conn) {
	for _, a := range slices.Clone(c.addrs) {
		if !c.peer.Knows(a) {
			s.unclaim(c, a)
		}
	}
}

// receiveFrom takes a datagram from an address that c has, and reports whether it was authentic.
func (s *shard) receiveFrom(now time.Time, c *Conn, d *udpio.Datagram) bool {
	if len(s.claimants) > 0 {
		if all := s.claimants[d.Remote]; all != nil {
			return s.receiveContested(now, all, d)
		}
	}
	s.receiveFor(now, c, d)
	return c.peer.Authentic()
}

// receiveContested takes a datagram from an address with several claimants, and reports whether it
// was authentic.
func (s *shard) receiveContested(now time.Time, all []*Conn, d *udpio.Datagram) bool {
	if peer.IsPlaintext(d.B) {
		c := handshaker(all, d.Remote)
		s.receiveFor(now, c, d)
		return c.peer.Authentic() // records of an open one may follow, and are decrypted in place
	}
	n := copy(s.original[:], d.B)
	for _, c := range all {
		if c.peer.State() != peer.Secure {
			continue
		}
		if s.receiveFor(now, c, d); c.peer.Authentic() {
			return true
		}
		copy(d.B, s.original[:n])
		s.stats.contested++
	}
	if c := handshaker(all, d.Remote); c.peer.State() != peer.Secure {
		s.receiveFor(now, c, d)
	}
	return false
}

// handshaker returns the claimant for datagrams that nobody's keys open: the one that shakes
// hands. If several do, it is one whose offer came from the address's own site, and the newest
// of these. If none does, it is one that is being closed, or the first.
func handshaker(all []*Conn, a netip.AddrPort) (best *Conn) {
	most := 0
	for _, c := range all {
		r := 0
		switch c.peer.State() {
		case peer.Handshaking, peer.Keyed:
			r = 2
			if c.site == site(a.Addr()) {
				r = 3
			}
		case peer.Closing:
			r = 1
		}
		if best == nil || r > most || r == most && r > 1 {
			best, most = c, r
		}
	}
	return best
}
