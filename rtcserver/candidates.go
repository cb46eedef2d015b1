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
	var asked netip.Addr // where the request came to
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			asked = ap.Addr()
		}
	}
	interfaces, _ := net.Interfaces() // none if the system does not tell
	addrs := rank(bound.Addr().Is6(), asked, routeAddrs(net.Dial), reachable(interfaces))
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a, bound.Port())
	}
	return out
}

// rank returns the addresses of a wildcard socket that a page is told, the best
// first, at most maxPublic:
//
//   - the address that the HTTP request came to: where the page reached our HTTP it
//     will reach our UDP, if both are on one machine and no proxy is between;
//   - if that is a loopback address, or there is no other, 127.0.0.1, which a page on
//     this machine reaches also where the browser's UDP has no IPv6;
//   - the addresses that the routes to the internet leave from;
//   - the others of the machine's interfaces, for Firefox, which does not connect to
//     a loopback address.
//
// Without dual, which says that the socket takes IPv6 too, there are only IPv4 ones.
func rank(dual bool, asked netip.Addr, routes, interfaces []netip.Addr) []netip.Addr {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	var addrs []netip.Addr
	add := func(a netip.Addr) {
		a = a.Unmap().WithZone("")
		if a.IsValid() && (dual || a.Is4()) && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	add(asked)
	if asked.Unmap().IsLoopback() {
		add(loopback)
	}
	for _, a := range routes {
		add(a)
	}
	for _, a := range interfaces {
		add(a)
	}
	if len(addrs) == 0 {
		add(loopback)
	}
	return addrs[:min(len(addrs), maxPublic)]
}

// routeAddrs returns the addresses that datagrams to the internet leave from. A
// socket is connected for each family, which sends nothing.
func routeAddrs(dial func(network, address string) (net.Conn, error)) []netip.Addr {
	var addrs []netip.Addr
	for _, to := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} { // addresses for documentation, RFC 5737 and RFC 3849
		c, err := dial("udp", to)
		if err != nil {
			continue // no route
		}
		if a := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(); a.IsGlobalUnicast() {
			addrs = append(addrs, a)
		}
		c.Close()
	}
	return addrs
}

// reachable returns the addresses that a page elsewhere could reach: of interfaces
// that are up, no loopback, no link-local ones.
func reachable(interfaces []net.Interface) []netip.Addr {
	const up = net.FlagUp | net.FlagRunning
	var addrs []netip.Addr
	for _, i := range interfaces {
		if i.Flags&up != up {
			continue
		}
		all, _ := i.Addrs()
		addrs = append(addrs, global(all)...)
	}
	return addrs
}

// global returns the addresses that are no loopback, and no link-local ones.
func global(all []net.Addr) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(n.IP) // zero if it is none
		if ip = ip.Unmap(); ip.IsGlobalUnicast() {
			addrs = append(addrs, ip)
		}
	}
	return addrs
}
