package rtcserver

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// candidates returns the addresses for the answer to r, to which the page sends.
func (s *Server) candidates(r *http.Request) []netip.AddrPort {
	if len(s.config.Public) > 0 {
		return s.config.Public
	}
	bound := s.Addr()
	if !bound.Addr().IsUnspecified() {
		return []netip.AddrPort{bound}
	}
	var asked netip.Addr // the address at which the request arrived
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			asked = ap.Addr()
		}
	}
	interfaces, _ := net.Interfaces() // none if the system returns an error
	addrs := rank(bound.Addr().Is6(), asked, routeAddrs(net.Dial), reachable(interfaces))
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a, bound.Port())
	}
	return out
}

// rank returns the candidates of a server with a wildcard socket, the best first, at most
// maxPublic:
//
//   - the address at which the HTTP request arrived: if HTTP and UDP are on one machine,
//     without a proxy between, the page reaches both there;
//   - if that is a loopback address, or there is no other, 127.0.0.1: a page on this
//     machine reaches it even if the browser uses no IPv6 for UDP;
//   - the source addresses of the routes to the internet;
//   - the other addresses of the machine's interfaces, for Firefox, which does not connect
//     to a loopback address.
//
// dual says that the socket receives IPv6, too. Without it rank returns only IPv4
// addresses.
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

// routeAddrs returns the source addresses of datagrams to the internet. It connects a
// socket for each family, which sends nothing.
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

// reachable returns the addresses that a page on another machine may reach: those of
// interfaces that are up, without loopback and link-local addresses.
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

// global returns the addresses that are neither loopback nor link-local.
func global(all []net.Addr) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(n.IP) // the zero Addr if n.IP is not an address
		if ip = ip.Unmap(); ip.IsGlobalUnicast() {
			addrs = append(addrs, ip)
		}
	}
	return addrs
}
