package client

import "net/netip"

// sources gives out the addresses of a prefix, one to each connection. The zero
// value gives out the zero address, to any number.
type sources struct {
	prefix netip.Prefix
	next   netip.Addr
	used   map[netip.Addr]struct{}
}

func newSources(p netip.Prefix) sources {
	if !p.IsValid() {
		return sources{}
	}
	p = p.Masked()
	return sources{prefix: p, next: p.Addr(), used: make(map[netip.Addr]struct{})}
}

// take returns an address that nobody has. The first of the prefix, which may name
// the network, is given out only if there is no other.
func (s *sources) take() (netip.Addr, error) {
	if !s.prefix.IsValid() {
		return netip.Addr{}, nil
	}
	for range len(s.used) + 2 {
		a := s.next.Next()
		if !s.prefix.Contains(a) {
			a = s.prefix.Addr()
		}
		s.next = a
		_, taken := s.used[a]
		if taken || a == s.prefix.Addr() && !s.prefix.IsSingleIP() {
			continue
		}
		s.used[a] = struct{}{}
		return a, nil
	}
	return netip.Addr{}, ErrNoSource
}

func (s *sources) giveBack(a netip.Addr) { delete(s.used, a) }
