package rtcserver

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/sdp"
)

func addrsOf(list ...string) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range list {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs
}

// Which of a machine's addresses a page gets: a loopback address only over loopback, a private
// one only over a private network, a public one always, and of each only what the socket receives.
func TestWhichAddressesAPageGets(t *testing.T) {
	var bridges, wantBridges []string
	for i := range 9 {
		bridges = append(bridges, fmt.Sprintf("docker%d 172.17.%d.1/24", i, i))
		wantBridges = append(wantBridges, fmt.Sprintf("172.17.%d.1", i))
	}
	var temporary []string
	for i := range 9 {
		temporary = append(temporary, fmt.Sprintf("eth0 2001:db8::%d/64", i+1))
	}
	home := []string{"eth0 192.168.1.5/24"}
	both := []string{"eth0 203.0.113.5/24", "eth0 2001:db8::5/64", "eth1 10.0.0.5/8", "eth1 fd00::5/64"}
	cloud := []string{"eth0 10.0.0.5/8"}
	for _, test := range []struct {
		name       string
		sockets    string // what the socket receives; empty means both families
		page       string // empty means that it is not known
		asked      string
		routes     []string
		interfaces []string
		discovered string
		want       []string
	}{
		{name: "a page of the internet, a server with an address of its own", page: "198.51.100.7", asked: "203.0.113.5",
			routes: []string{"203.0.113.5"}, interfaces: []string{"eth0 203.0.113.5/24", "eth0 2001:db8::5/64"},
			want: []string{"203.0.113.5", "2001:db8::5"}},
		{name: "a page of the internet, a server with two networks", page: "198.51.100.7", asked: "203.0.113.5",
			routes: []string{"203.0.113.5", "2001:db8::5"}, interfaces: both,
			want: []string{"203.0.113.5", "2001:db8::5"}},
		{name: "a page of the internet, over IPv6", page: "2001:db8:1::7", asked: "2001:db8::5",
			routes: []string{"2001:db8::5"}, interfaces: both,
			want: []string{"2001:db8::5", "203.0.113.5"}},
		{name: "a page of the internet, a socket for IPv4", sockets: "4", page: "2001:db8:1::7", asked: "2001:db8::5",
			routes: []string{"2001:db8::5"}, interfaces: both,
			want: []string{"203.0.113.5"}},
		{name: "a page of the internet, a socket for IPv6", sockets: "6", page: "198.51.100.7", asked: "203.0.113.5",
			routes: []string{"203.0.113.5"}, interfaces: both,
			want: []string{"2001:db8::5"}},
		{name: "a page of the internet behind a proxy on the server's machine", page: "198.51.100.7", asked: "127.0.0.1",
			routes: []string{"203.0.113.5"}, interfaces: both,
			want: []string{"203.0.113.5", "2001:db8::5"}},
		{name: "a page of the internet behind a proxy on another machine", page: "198.51.100.7", asked: "10.0.0.5",
			routes: []string{"10.0.0.5"}, interfaces: both,
			want: []string{"203.0.113.5", "2001:db8::5"}},
		{name: "a page of the internet, a server behind a NAT", page: "198.51.100.7", asked: "10.0.0.5",
			routes: []string{"10.0.0.5"}, interfaces: cloud},
		{name: "a page of the internet, a server at home that has asked a STUN server", page: "198.51.100.7", asked: "192.168.1.5",
			routes: []string{"192.168.1.5"}, interfaces: home, discovered: "203.0.113.9:40000",
			want: []string{"203.0.113.9:40000"}},
		{name: "a page of the internet, a server with a VPN and a link-local address", page: "198.51.100.7", asked: "169.254.1.5",
			routes: []string{"100.100.1.5"}, interfaces: []string{"tailscale0 100.100.1.5/32", "eth0 203.0.113.5/24"},
			want: []string{"203.0.113.5"}},
		{name: "a page of the internet, nine bridges", page: "198.51.100.7", asked: "203.0.113.5",
			routes: []string{"203.0.113.5"}, interfaces: append(slices.Clone(bridges), both...),
			want: []string{"203.0.113.5", "2001:db8::5"}},

		{name: "a page of the LAN", page: "192.168.1.9", asked: "192.168.1.5",
			routes: []string{"192.168.1.5"}, interfaces: home,
			want: []string{"192.168.1.5"}},
		{name: "a page of the LAN, a server that has asked a STUN server", page: "192.168.1.9", asked: "192.168.1.5",
			routes: []string{"192.168.1.5"}, interfaces: home, discovered: "203.0.113.9:40000",
			want: []string{"192.168.1.5", "203.0.113.9:40000"}},
		{name: "a page of the LAN, a server with a public address, too", page: "10.0.0.7", asked: "10.0.0.5",
			routes: []string{"203.0.113.5"}, interfaces: both,
			want: []string{"10.0.0.5", "203.0.113.5", "2001:db8::5", "fd00::5"}},
		{name: "a page of the LAN, nine bridges before the interface, and a proxy", page: "192.168.1.9", asked: "172.17.0.1",
			routes: []string{"203.0.113.5"}, interfaces: append(slices.Clone(bridges), "eth1 192.168.1.5/24"),
			want: append([]string{"172.17.0.1", "203.0.113.5", "192.168.1.5"}, wantBridges[1:6]...)},
		{name: "a page of the LAN, nine addresses of IPv6 before the interface", page: "10.9.9.9", asked: "127.0.0.1",
			interfaces: append(slices.Clone(temporary), "eth0 192.168.1.5/24"),
			want: []string{"2001:db8::1", "192.168.1.5", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5",
				"2001:db8::6", "2001:db8::7"}},
		{name: "a page of another LAN behind a proxy, nine bridges and no route", page: "10.9.9.9", asked: "127.0.0.1",
			interfaces: append(slices.Clone(bridges), home...),
			want:       append([]string{"192.168.1.5"}, wantBridges[:7]...)},
		{name: "a page of the LAN, mapped", page: "::ffff:192.168.1.9", asked: "192.168.1.5",
			interfaces: append(slices.Clone(bridges), home...),
			want:       append([]string{"192.168.1.5"}, wantBridges[:7]...)},
		{name: "a page of the LAN behind a proxy on the server's machine", page: "192.168.1.9", asked: "127.0.0.1",
			routes: []string{"192.168.1.5"}, interfaces: home,
			want: []string{"192.168.1.5"}},
		{name: "a page of a VPN, whose addresses are of 100.64.0.0/10", page: "100.100.1.9", asked: "100.100.1.5",
			routes: []string{"100.100.1.5", "203.0.113.5"}, interfaces: []string{"tailscale0 100.100.1.5/32", "eth0 203.0.113.5/24"},
			want: []string{"100.100.1.5", "203.0.113.5"}},
		{name: "a page of a VPN, mapped", page: "::ffff:100.100.1.9", asked: "100.100.1.5",
			want: []string{"100.100.1.5"}},
		{name: "a page of the second LAN of a server, behind a proxy", page: "192.168.1.9", asked: "127.0.0.1",
			interfaces: []string{"eth0 10.0.0.5/8", "eth1 192.168.1.5/24"},
			want:       []string{"192.168.1.5", "10.0.0.5"}},
		{name: "a page of a network without a router", page: "fe80::9", asked: "169.254.1.5",
			want: []string{"169.254.1.5"}},
		{name: "a page of the host, a server in a container", page: "172.17.0.1", asked: "172.17.0.2",
			routes: []string{"172.17.0.2"}, interfaces: []string{"eth0 172.17.0.2/16"},
			want: []string{"172.17.0.2"}},

		{name: "a page of this machine", page: "127.0.0.1", asked: "127.0.0.1",
			routes: []string{"203.0.113.5"}, interfaces: both,
			want: []string{"127.0.0.1", "203.0.113.5", "2001:db8::5", "10.0.0.5", "fd00::5"}},
		{name: "a page of this machine, nine bridges", page: "127.0.0.1", asked: "127.0.0.1",
			routes: []string{"192.168.1.5"}, interfaces: append(slices.Clone(bridges), home...),
			want: append([]string{"127.0.0.1", "192.168.1.5"}, wantBridges[:6]...)},
		{name: "a page of this machine, a socket for IPv4", sockets: "4", page: "::1", asked: "::1",
			routes: []string{"192.168.1.5", "2001:db8::5"}, interfaces: []string{"eth0 2001:db8::5/64", "eth0 192.168.1.5/24"},
			want: []string{"127.0.0.1", "192.168.1.5"}},
		{name: "a page of this machine, a socket for IPv6", sockets: "6", page: "127.0.0.1", asked: "127.0.0.1",
			routes: []string{"192.168.1.5"}, interfaces: []string{"eth0 2001:db8::5/64"},
			want: []string{"::1", "2001:db8::5"}},
		{name: "a page of this machine, offline, over IPv6", page: "::1", asked: "::1",
			want: []string{"::1", "127.0.0.1"}},

		{name: "a page that is not known", asked: "127.0.0.1",
			routes: []string{"203.0.113.5"}, interfaces: both,
			want: []string{"203.0.113.5", "2001:db8::5", "10.0.0.5", "fd00::5"}},
		{name: "a page that is not known, offline",
			want: []string{"127.0.0.1"}},
		{name: "a page that is not known, offline, a socket for IPv6", sockets: "6",
			want: []string{"::1"}},
		{name: "mapped and with a zone", page: "192.168.1.9", asked: "::ffff:192.168.1.5",
			interfaces: home, want: []string{"192.168.1.5"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := own{
				wild: true, v4: test.sockets != "6", v6: test.sockets != "4", port: 7777,
				routes: addrsOf(test.routes...), interfaces: interfacesOf(test.interfaces...),
			}
			if test.page != "" {
				o.page = netip.MustParseAddr(test.page)
			}
			if test.asked != "" {
				o.asked = netip.MustParseAddr(test.asked)
			}
			if test.discovered != "" {
				o.discovered = netip.MustParseAddrPort(test.discovered)
			}
			var want []netip.AddrPort
			for _, w := range test.want {
				a, err := netip.ParseAddrPort(w)
				if err != nil {
					a = netip.AddrPortFrom(netip.MustParseAddr(w), 7777)
				}
				want = append(want, a)
			}
			if got := o.rank(); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// A server whose socket is bound to one address gives all pages that address. What Discover has
// found is for those that may get it, too.
func TestTheAddressOfABoundSocket(t *testing.T) {
	for _, test := range []struct{ page, discovered, want string }{
		{"198.51.100.7", "203.0.113.9:40000", "[203.0.113.9:40000]"},
		{"192.168.1.9", "203.0.113.9:40000", "[192.168.1.5:7777 203.0.113.9:40000]"},
		{"127.0.0.1", "203.0.113.9:40000", "[192.168.1.5:7777 203.0.113.9:40000]"},
	} {
		o := own{
			page: netip.MustParseAddr(test.page), v4: true, port: 7777,
			routes: addrsOf("192.168.1.5"), discovered: netip.MustParseAddrPort(test.discovered),
		}
		if got := fmt.Sprint(o.rank()); got != test.want {
			t.Errorf("a page at %s gets %v, want %v", test.page, got, test.want)
		}
	}
	inWorld(t, Config{}, func(w *world) {
		for _, page := range []string{"198.51.100.7", "192.168.1.9", "127.0.0.1"} {
			if got := w.server.Addresses(netip.MustParseAddr(page)); !slices.Equal(got, []netip.AddrPort{serverAddr}) {
				t.Errorf("a page at %s gets %v, want %v", page, got, serverAddr)
			}
		}
	})
}

// The program changes the addresses while the server runs, or chooses them for each page.
func TestPublicAddressesOfTheProgram(t *testing.T) {
	one, two := netip.MustParseAddrPort("203.0.113.1:1"), netip.MustParseAddrPort("203.0.113.2:2")
	page := netip.MustParseAddr("198.51.100.7")
	candidates := func(w *world) string {
		answer, err := w.signal(page, browserOffer(t))
		if err != nil {
			t.Fatal(err)
		}
		server, err := sdp.ParseAnswer(answer)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(server.Candidates)
	}
	want := func(w *world, why string, all ...netip.AddrPort) {
		t.Helper()
		if got := candidates(w); got != fmt.Sprint(all) {
			t.Errorf("%s: the answer has %v, want %v", why, got, all)
		}
	}
	inWorld(t, Config{Settings: Settings{Public: []netip.AddrPort{one}}}, func(w *world) {
		want(w, "of the Config", one)
		if err := w.server.SetPublic(two, one); err != nil {
			t.Fatal(err)
		}
		want(w, "after SetPublic", two, one)
		w.server.Addresses(netip.Addr{})[0] = one // the slice is the program's
		want(w, "after a change of what Addresses has returned", two, one)
		if w.server.SetPublic(netip.AddrPortFrom(one.Addr(), 0)) == nil || w.server.SetPublic(make([]netip.AddrPort, 9)...) == nil {
			t.Error("SetPublic takes port 0, or nine addresses")
		}
		want(w, "after an error", two, one)
		eight := slices.Repeat([]netip.AddrPort{one}, maxPublic)
		if err := w.server.SetPublic(eight...); err != nil {
			t.Errorf("SetPublic of eight addresses: %v", err)
		}
		eight[0] = two
		want(w, "after the program has changed its slice", one)
		if err := w.server.SetPublic(); err != nil {
			t.Fatal(err)
		}
		want(w, "after SetPublic of none", serverAddr)
	})
	var given []netip.AddrPort
	var asked netip.Addr
	inWorld(t, Config{Settings: Settings{PublicFunc: func(a netip.Addr) []netip.AddrPort {
		asked = a
		return given
	}}}, func(w *world) {
		want(w, "a func without an address", serverAddr)
		given = []netip.AddrPort{{}, one, netip.AddrPortFrom(two.Addr(), 0), netip.AddrPortFrom(netip.Addr{}, 5), two}
		want(w, "usable addresses of a func", one, two)
		if got := w.server.Addresses(page); !slices.Equal(got, []netip.AddrPort{one, two}) {
			t.Errorf("usable addresses of a func: %v, want %v and %v", got, one, two)
		}
		if asked != page {
			t.Errorf("the func was called for %v, want %v", asked, page)
		}
		given = slices.Repeat([]netip.AddrPort{one}, 20)
		want(w, "too many addresses of a func", one) // the reader drops equal ones
		if n := len(w.server.Addresses(page)); n != maxPublic {
			t.Errorf("a func gives 20 addresses, and the answer has %d, want %d", n, maxPublic)
		}
		if err := w.server.SetPublic(two); err != nil {
			t.Fatal(err)
		}
		want(w, "SetPublic replaces the func", two)
	})
}

// interfacesOf reads lines such as "eth0 192.168.1.5/24".
func interfacesOf(lines ...string) []interfaceAddr {
	var addrs []interfaceAddr
	byName := make(map[string][]net.Addr)
	var names []string
	for _, line := range lines {
		name, prefix, _ := strings.Cut(line, " ")
		if byName[name] == nil {
			names = append(names, name)
		}
		p := netip.MustParsePrefix(prefix)
		byName[name] = append(byName[name], &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	for _, name := range names {
		addrs = append(addrs, global(byName[name], bridges(name))...)
	}
	return addrs
}

func TestAnInterfaceThatIsDownIsNotTold(t *testing.T) {
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for i := range interfaces {
		interfaces[i].Flags |= net.FlagUp | net.FlagRunning
	}
	if len(reachable(interfaces)) == 0 {
		t.Skip("this machine has no address but loopback and link-local ones")
	}
	for i := range interfaces {
		interfaces[i].Flags &^= net.FlagRunning
	}
	if got := reachable(interfaces); len(got) != 0 {
		t.Errorf("all interfaces are down, but the candidates are %v", got)
	}
}
