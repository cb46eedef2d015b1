package rtcserver

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// candidates returns the addresses that the page of r is told to send to.
func (s *Server) candidates(r *http.Request) []netip.AddrPort {
	if len(s.config.Public) > 0 {
		return s.config.Public
	}
	bound := s.Addr()
	if !bound.Addr().IsUnspecified() {
		return []netip.AddrPort{bound}
	}
	// Where the page reached our HTTP it will reach our UDP, if both are on one
	// machine and no proxy is between.
	var addrs []netip.Addr
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			addrs = append(addrs, ap.Addr().Unmap().WithZone(""))
		}
	}
	// The others help Firefox, which does not connect to a loopback address.
	for _, a := range interfaceAddrs() {
		if !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	addrs = addrs[:min(len(addrs), maxPublic)]
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a, bound.Port())
	}
	return out
}

// interfaceAddrs returns the addresses of this machine that a page elsewhere
// could reach: no loopback, no link-local ones.
func interfaceAddrs() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var addrs []netip.Addr
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); ok && ip.IsGlobalUnicast() {
			addrs = append(addrs, ip)
		}
	}
	return addrs
}
