package client

import "net/netip"

// sources gives each connection its own address of a prefix. The zero value gives the
// zero address to every connection.
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

// reserve returns an address that no connection has. It returns the first address of the
// prefix, which may be the address of the network, only if the prefix has no other.
func (s *sources) reserve() (netip.Addr, error) {
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

func (s *sources) release(a netip.Addr) { delete(s.used, a) }
