package rtcserver

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
)

func addrsOf(t *testing.T, list ...string) []netip.Addr {
	t.Helper()
	var addrs []netip.Addr
	for _, a := range list {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs
}

func TestWhichAddressesAPageIsTold(t *testing.T) {
	var bridges []string
	for i := range 9 {
		bridges = append(bridges, fmt.Sprintf("172.17.%d.1", i))
	}
	for _, test := range []struct {
		name       string
		v4Only     bool
		asked      string
		routes     []string
		interfaces []string
		want       []string
	}{
		{name: "a server with an address of its own", asked: "203.0.113.5",
			routes: []string{"203.0.113.5"}, interfaces: []string{"203.0.113.5", "2001:db8::5"},
			want: []string{"203.0.113.5", "2001:db8::5"}},
		{name: "nine bridges are before the interface that pages can reach", asked: "127.0.0.1",
			routes: []string{"192.168.1.5"}, interfaces: append(bridges, "192.168.1.5"),
			want: append([]string{"127.0.0.1", "192.168.1.5"}, bridges[:6]...)},
		{name: "a socket for IPv4 alone", v4Only: true, asked: "::1",
			routes: []string{"192.168.1.5", "2001:db8::5"}, interfaces: []string{"2001:db8::5", "192.168.1.5"},
			want: []string{"127.0.0.1", "192.168.1.5"}},
		{name: "offline, the page came from localhost over IPv6", asked: "::1",
			want: []string{"::1", "127.0.0.1"}},
		{name: "offline, the request came over a Unix socket",
			want: []string{"127.0.0.1"}},
		{name: "mapped and with a zone", asked: "::ffff:192.168.1.5",
			interfaces: []string{"192.168.1.5"},
			want:       []string{"192.168.1.5"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked netip.Addr
			if test.asked != "" {
				asked = netip.MustParseAddr(test.asked)
			}
			got := rank(!test.v4Only, asked, addrsOf(t, test.routes...), addrsOf(t, test.interfaces...))
			if want := addrsOf(t, test.want...); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
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
