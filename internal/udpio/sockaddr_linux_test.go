package udpio

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSockaddr(t *testing.T) {
	for _, test := range []struct {
		addr  string
		inet6 bool
		want  string // what comes back; "" if the socket cannot send there
	}{
		{"127.0.0.1:80", false, "127.0.0.1:80"},
		{"127.0.0.1:65535", true, "127.0.0.1:65535"},
		{"[::ffff:192.0.2.7]:80", false, "192.0.2.7:80"},
		{"[::ffff:192.0.2.7]:80", true, "192.0.2.7:80"},
		{"[2001:db8::1]:443", true, "[2001:db8::1]:443"},
		{"[2001:db8::1]:443", false, ""},
		{"[fe80::1%2]:443", true, "[fe80::1%2]:443"},
		{"[fe80::1%eth0]:443", true, ""},
	} {
		var b [sa6Len]byte
		for i := range b {
			b[i] = 0xff // bytes of an earlier address
		}
		n := putSockaddr(&b, netip.MustParseAddrPort(test.addr), test.inet6)
		if test.want == "" {
			if n != 0 {
				t.Errorf("%s, inet6 %v: encoded in %d bytes, want none", test.addr, test.inet6, n)
			}
			continue
		}
		if got := parseSockaddr(b[:n]).String(); got != test.want {
			t.Errorf("%s, inet6 %v: parsed as %s, want %s", test.addr, test.inet6, got, test.want)
		}
		for k := range n {
			if got := parseSockaddr(b[:k]); got.IsValid() {
				t.Errorf("%s cut to %d bytes: parsed as %v, want no address", test.addr, k, got)
			}
		}
	}
	var b [sa6Len]byte
	if n := putSockaddr(&b, netip.AddrPort{}, true); n != 0 {
		t.Errorf("no address: encoded in %d bytes, want none", n)
	}
}

func TestControl(t *testing.T) {
	for _, test := range []struct{ local, remote, want string }{
		{"127.0.0.2", "127.0.0.1", "127.0.0.2"},
		{"::ffff:127.0.0.2", "127.0.0.1", "127.0.0.2"},
		{"2001:db8::1", "2001:db8::2", "2001:db8::1"},
		{"fe80::1%2", "fe80::2%2", "fe80::1%2"},
		{"127.0.0.2", "::1", ""},
	} {
		var b [controlLen]byte
		for i := range b {
			b[i] = 0xff
		}
		n := putControl(&b, netip.MustParseAddr(test.local), netip.MustParseAddr(test.remote))
		if test.want == "" {
			if n != 0 {
				t.Errorf("from %s to %s: encoded in %d bytes, want none", test.local, test.remote, n)
			}
			continue
		}
		if got := parseControl(b[:n]).local; got != netip.MustParseAddr(test.want) {
			t.Errorf("from %s: parsed as %v, want %s", test.local, got, test.want)
		}
	}
}

func TestControlMessagesOfOneDatagram(t *testing.T) {
	var b [controlLen]byte
	n := putControl(&b, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1"))
	var drops [controlLen]byte
	putCmsg(drops[:], cmsgData+overflowLen, unix.SOL_SOCKET, unix.SO_RXQ_OVFL)
	binary.NativeEndian.PutUint32(drops[cmsgData:], 7)

	// The last message may come without its padding.
	all := append(b[:n:n], drops[:cmsgData+overflowLen]...)
	if c := parseControl(all); c.local.String() != "127.0.0.2" || c.drops != 7 || !c.hasDrops {
		t.Errorf("parsed as %+v, want 127.0.0.2 and 7 drops", c)
	}
	for k := range len(all) {
		if parseControl(all[:k]).hasDrops {
			t.Errorf("cut to %d bytes: the last message is used though it is not whole", k)
		}
	}
}

// The old content of a buffer does not get into another address.
func TestNothingOfAnEarlierAddressIsLeft(t *testing.T) {
	var b [sa6Len]byte
	fill := func(b []byte) {
		for i := range b {
			b[i] = 0xff
		}
	}
	zero := func(what string, b []byte) {
		t.Helper()
		for i, v := range b {
			if v != 0 {
				t.Errorf("%s: byte %d is %d, want 0", what, i, v)
			}
		}
	}
	fill(b[:])
	putSockaddr(&b, netip.MustParseAddrPort("192.0.2.1:80"), false)
	zero("behind an IPv4 address", b[sa4Addr+4:sa4Len])
	fill(b[:])
	putSockaddr(&b, netip.MustParseAddrPort("[2001:db8::1]:80"), true)
	zero("the flow", b[saPort+2:sa6Addr])
	zero("the scope", b[sa6Scope:])
	var c [controlLen]byte
	fill(c[:])
	putControl(&c, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"))
	zero("the interface, and the address in the header", append(c[info4Index:info4Local:info4Local], c[info4Local+4:control4Len]...))
	fill(c[:])
	putControl(&c, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"))
	zero("the interface", c[info6Index:control6Len])
}

func TestZones(t *testing.T) {
	for _, c := range []struct {
		addr  string
		scope uint32
		want  string
	}{
		{"fe80::1", 2, "fe80::1%2"}, {"fe80::1", 0, "fe80::1"}, {"2001:db8::1", 2, "2001:db8::1"}, {"169.254.1.1", 2, "169.254.1.1"},
	} {
		if got := withZone(netip.MustParseAddr(c.addr), c.scope); got != netip.MustParseAddr(c.want) {
			t.Errorf("%s at %d: %v, want %s", c.addr, c.scope, got, c.want)
		}
	}
	var b [controlLen]byte
	if putControl(&b, netip.Addr{}, netip.MustParseAddr("::1")) != 0 || putControl(&b, netip.Addr{}, netip.MustParseAddr("127.0.0.1")) != 0 {
		t.Error("putControl without a local address writes a control message")
	}
}

// A control message is used if its level, type and length are those of its kind. Others, and
// one without data, are skipped. A malformed one does not hide those before it.
func TestControlMessagesByKind(t *testing.T) {
	message := func(n int, level, typ uint32) []byte {
		var b [controlLen]byte
		putCmsg(b[:], n, level, typ)
		for i := cmsgData; i < len(b); i++ {
			b[i] = 7
		}
		return b[: (n+wordLen-1)/wordLen*wordLen : (n+wordLen-1)/wordLen*wordLen]
	}
	for name, k := range map[string]struct {
		n          int
		level, typ uint32
		seen       func(control) bool
	}{
		"IPv4":  {cmsgData + info4Len, unix.IPPROTO_IP, unix.IP_PKTINFO, func(c control) bool { return c.local.Is4() }},
		"IPv6":  {cmsgData + info6Len, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, func(c control) bool { return c.local.Is6() }},
		"drops": {cmsgData + overflowLen, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, func(c control) bool { return c.hasDrops }},
	} {
		whole := message(k.n, k.level, k.typ)
		for what, c := range map[string]struct {
			b    []byte
			want bool
		}{
			"alone":                       {whole, true},
			"of another level":            {message(k.n, 99, k.typ), false},
			"of another type":             {message(k.n, k.level, 99), false},
			"a byte short":                {message(k.n-1, k.level, k.typ), false},
			"behind one without data":     {append(message(cmsgData, 99, 99), whole...), true},
			"behind one of no length":     {append(noLength(), whole...), false},
			"behind one that never ends":  {append(tooLong(), whole...), false},
			"before one that is too long": {append(whole[:len(whole):len(whole)], tooLong()...), true},
		} {
			if got := k.seen(parseControl(c.b)); got != c.want {
				t.Errorf("%s, %s: used %v, want %v", name, what, got, c.want)
			}
		}
	}
}

// tooLong returns the header of a control message whose data is missing.
func tooLong() []byte {
	var b [controlLen]byte
	putCmsg(b[:], 4096, 99, 99)
	return b[:cmsgData]
}

func noLength() []byte {
	var b [controlLen]byte
	putCmsg(b[:], 0, 99, 99)
	return b[:cmsgData]
}

func FuzzControl(f *testing.F) {
	var b [controlLen]byte
	for _, ip := range []string{"127.0.0.2", "2001:db8::1", "fe80::1%2"} {
		a := netip.MustParseAddr(ip)
		n := putControl(&b, a, a)
		f.Add(append([]byte(nil), b[:n]...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := parseControl(b)
		if c.local.Is4In6() {
			t.Errorf("%v is an IPv4-mapped address", c.local)
		}
		parseSockaddr(b)
	})
}
