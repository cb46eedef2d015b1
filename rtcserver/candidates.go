package rtcserver

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// candidates returns the addresses for the answer to r, to which the page sends. page is the
// address of the page; it may be the zero Addr.
func (s *Server) candidates(r *http.Request, page netip.Addr) []netip.AddrPort {
	var asked netip.Addr // the address at which the request arrived
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			asked = ap.Addr()
		}
	}
	all := s.addresses(page, asked)
	if len(all) == 0 && s.unreachable.due(time.Now()) {
		s.config.Logger.Warn("rtcserver: a page got an answer without an address, because this machine has only addresses that the page cannot reach: set Config.RTC.Public to the address that pages use, or Config.RTC.Discover",
			"page", page, "reach", reachOf(page).String())
	}
	return all
}

// Addresses returns the addresses that the answer to a page has: see [Settings].Public. The
// zero Addr means a page whose address is not known.
func (s *Server) Addresses(page netip.Addr) []netip.AddrPort {
	return slices.Clone(s.addresses(page, netip.Addr{})) // the program may change it
}

// SetPublic replaces Settings.Public, Settings.PublicFunc and what Settings.Discover has found,
// for all answers from now on. Connections are not affected. The addresses must be as those of
// Settings.Public, or the error says which one is wrong, and nothing changes. SetPublic without
// addresses means those of this machine again, and what Discover has found.
func (s *Server) SetPublic(addrs ...netip.AddrPort) error {
	if err := checkPublic(addrs); err != nil {
		return err
	}
	addrs = slices.Clone(addrs)
	s.public.Store(&addrs)
	return nil
}

// checkPublic returns an error if a page could not send to one of the addresses.
func checkPublic(addrs []netip.AddrPort) error {
	if len(addrs) > maxPublic {
		return fmt.Errorf("rtcserver: Config.Public has %d addresses, but may have at most %d", len(addrs), maxPublic)
	}
	for _, a := range addrs {
		if !usable(a) {
			return fmt.Errorf("rtcserver: Config.Public has %v: a page cannot send there", a)
		}
	}
	return nil
}

// usable reports whether a page can send to a.
func usable(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && !a.Addr().Unmap().IsUnspecified()
}

// addresses is Addresses for a page whose request arrived at the address asked.
func (s *Server) addresses(page, asked netip.Addr) []netip.AddrPort {
	if all := s.named(page); len(all) > 0 {
		return all
	}
	bound := s.Addr()
	if !bound.Addr().IsUnspecified() && !s.discovered.IsValid() {
		return []netip.AddrPort{bound} // the program has chosen this address
	}
	o := own{page: page, port: bound.Port(), discovered: s.discovered}
	o.v4, o.v6 = s.shards[0].socket.Families()
	if o.wild = bound.Addr().IsUnspecified(); o.wild {
		o.asked, o.routes = asked, routeAddrs(net.Dial, page)
		interfaces, _ := net.Interfaces() // none if the system returns an error
		o.interfaces = reachable(interfaces)
	} else {
		o.routes = []netip.Addr{bound.Addr()}
	}
	return o.rank()
}

// named returns the addresses that the program has given, for a page; none if it has given none.
func (s *Server) named(page netip.Addr) []netip.AddrPort {
	if p := s.public.Load(); p != nil {
		return *p
	}
	if s.config.PublicFunc == nil {
		return nil
	}
	all := slices.Clone(s.config.PublicFunc(page))
	all = slices.DeleteFunc(all, func(a netip.AddrPort) bool { return !usable(a) })
	return all[:min(len(all), maxPublic)]
}

// A reach says from where an address can be reached, or where a page is.
type reach uint8

const (
	reachUnknown  reach = iota // a page whose address is not known
	reachLoopback              // this machine
	reachPrivate               // a private network, such as a LAN, a VPN, or the bridge of a container
	reachPublic                // the internet
)

// String returns the reach in one word.
func (r reach) String() string { return [...]string{"unknown", "loopback", "private", "public"}[r] }

// sharedSpace is the address space of carriers for the networks between their NATs and their
// customers. VPNs use it, too. https://www.rfc-editor.org/rfc/rfc6598.html
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// reachOf returns the reach of an address. Browsers divide addresses in the same way for Local
// Network Access. https://wicg.github.io/local-network-access/
func reachOf(a netip.Addr) reach {
	a = a.Unmap()
	switch {
	case !a.IsValid():
		return reachUnknown
	case a.IsLoopback():
		return reachLoopback
	case a.IsPrivate() || a.IsLinkLocalUnicast() || sharedSpace.Contains(a):
		return reachPrivate
	}
	return reachPublic
}

// An own has what a server knows about its own addresses, for the answer to one page.
type own struct {
	page       netip.Addr // address of the page; zero if it is not known
	asked      netip.Addr // address at which the HTTP request arrived; zero if it is not known
	wild       bool       // the socket receives at all addresses of the machine
	v4, v6     bool       // the socket receives IPv4, IPv6
	port       uint16     // of the socket
	routes     []netip.Addr
	interfaces []interfaceAddr
	discovered netip.AddrPort // found by Config.Discover; zero if there is none
}

// An interfaceAddr is an address of an interface of this machine.
type interfaceAddr struct {
	netip.Prefix      // the address, and the length of the network's prefix
	virtual      bool // of a bridge between containers or virtual machines
	nth          int  // number of addresses of the same interface and family before it
}

// rank returns the candidates, the best first, at most maxPublic:
//
//   - the address at which the HTTP request arrived: if HTTP and UDP are on one machine,
//     without a proxy between, the page reaches both there;
//   - for a page on this machine, the loopback address of IPv4: the page reaches it even if the
//     browser uses no IPv6 for UDP;
//   - the source address of the route to the page, and those of the routes to the internet;
//   - what Config.Discover has found;
//   - the other addresses of the machine's interfaces: those of the page's network, then the
//     first address of each interface, then the others; those of bridges for containers last.
//     Firefox needs them for a page on this machine, because it does not connect to a loopback
//     address.
//
// A page gets only addresses that it may reach: see tells.
func (o *own) rank() []netip.AddrPort {
	var all []netip.AddrPort
	where := reachOf(o.page)
	add := func(a netip.AddrPort) {
		a = netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
		if o.receives(a.Addr()) && tells(where, reachOf(a.Addr())) && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	here := func(a netip.Addr) { add(netip.AddrPortFrom(a, o.port)) }
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if !o.v4 {
		loopback = netip.IPv6Loopback()
	}
	here(o.asked)
	if o.wild {
		here(loopback) // only a page on this machine gets it: see tells
	}
	for _, a := range o.routes {
		here(a)
	}
	add(o.discovered)
	slices.SortStableFunc(o.interfaces, func(a, b interfaceAddr) int {
		return cmp.Or(o.distance(a)-o.distance(b), a.nth-b.nth)
	})
	for _, a := range o.interfaces {
		here(a.Addr())
	}
	if len(all) == 0 && where == reachUnknown {
		all = append(all, netip.AddrPortFrom(loopback, o.port))
	}
	return all[:min(len(all), maxPublic)]
}

// receives reports whether the socket receives datagrams that are sent to a.
func (o *own) receives(a netip.Addr) bool { return a.Is4() && o.v4 || a.Is6() && o.v6 }

// distance is 0 for an address in the network of the page, 2 for one of a bridge, otherwise 1.
func (o *own) distance(a interfaceAddr) int {
	switch {
	case a.Masked().Contains(o.page.Unmap().WithZone("")):
		return 0
	case a.virtual:
		return 2
	}
	return 1
}

// tells reports whether a page gets an address of this machine: a loopback address only over
// loopback, and a private one only over a private network or loopback. Another page could not
// use the address, and a browser may ask its user for permission to use it. A page whose address
// is not known may be on a private network.
func tells(page, a reach) bool {
	switch a {
	case reachLoopback:
		return page == reachLoopback
	case reachPrivate:
		return page != reachPublic
	}
	return a == reachPublic
}

// routeAddrs returns the source addresses of datagrams to the page and to the internet. It
// connects a socket for each, which sends nothing.
func routeAddrs(dial func(network, address string) (net.Conn, error), page netip.Addr) []netip.Addr {
	to := make([]string, 0, 3)
	if page.IsValid() && !page.IsLoopback() {
		to = append(to, netip.AddrPortFrom(page, 9).String())
	}
	var addrs []netip.Addr
	for _, to := range append(to, "192.0.2.1:9", "[2001:db8::1]:9") { // addresses for documentation, RFC 5737 and RFC 3849
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
func reachable(interfaces []net.Interface) []interfaceAddr {
	const up = net.FlagUp | net.FlagRunning
	var addrs []interfaceAddr
	for _, i := range interfaces {
		if i.Flags&up != up {
			continue
		}
		all, _ := i.Addrs()
		addrs = append(addrs, global(all, bridges(i.Name))...)
	}
	return addrs
}

// bridgeNames are the beginnings of the names that programs for containers and virtual machines
// give to their interfaces.
var bridgeNames = []string{"docker", "br-", "veth", "virbr", "lxc", "lxdbr", "cni", "flannel", "cali", "podman", "vmnet", "vboxnet", "vEthernet"}

// bridges reports whether an interface of this name connects only containers or virtual
// machines.
func bridges(name string) bool {
	return slices.ContainsFunc(bridgeNames, func(p string) bool { return strings.HasPrefix(name, p) })
}

// global returns the addresses of one interface that are neither loopback nor link-local.
func global(all []net.Addr, virtual bool) []interfaceAddr {
	var addrs []interfaceAddr
	nth := make(map[bool]int, 2) // by family
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(n.IP) // the zero Addr if n.IP is not an address
		if ip = ip.Unmap(); !ip.IsGlobalUnicast() {
			continue
		}
		ones, _ := n.Mask.Size()
		if len(n.Mask) > ip.BitLen()/8 {
			ones -= 96 // the mask of an IPv4 address in the form for IPv6
		}
		addrs = append(addrs, interfaceAddr{netip.PrefixFrom(ip, ones), virtual, nth[ip.Is4()]})
		nth[ip.Is4()]++
	}
	return addrs
}
