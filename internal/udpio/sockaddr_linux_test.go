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
			b[i] = 0xff // of an earlier address
		}
		n := putSockaddr(&b, netip.MustParseAddrPort(test.addr), test.inet6)
		if test.want == "" {
			if n != 0 {
				t.Errorf("%s, inet6 %v: encoded", test.addr, test.inet6)
			}
			continue
		}
		if got := parseSockaddr(b[:n]).String(); got != test.want {
			t.Errorf("%s, inet6 %v: came back as %s", test.addr, test.inet6, got)
		}
		for k := range n {
			if got := parseSockaddr(b[:k]); got.IsValid() {
				t.Errorf("%s cut to %d bytes: %v", test.addr, k, got)
			}
		}
	}
	var b [sa6Len]byte
	if n := putSockaddr(&b, netip.AddrPort{}, true); n != 0 {
		t.Error("no address was encoded")
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
				t.Errorf("from %s to %s: encoded", test.local, test.remote)
			}
			continue
		}
		if got := parseControl(b[:n]).local; got != netip.MustParseAddr(test.want) {
			t.Errorf("from %s: came back as %v", test.local, got)
		}
	}
}

func TestControlMessagesOfOneDatagram(t *testing.T) {
	var b [controlLen]byte
	n := putControl(&b, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1"))
	var drops [controlLen]byte
	putCmsg(&drops, cmsgData+overflowLen, unix.SOL_SOCKET, unix.SO_RXQ_OVFL)
	binary.NativeEndian.PutUint32(drops[cmsgData:], 7)

	// The last message may come without its padding.
	all := append(b[:n:n], drops[:cmsgData+overflowLen]...)
	if c := parseControl(all); c.local.String() != "127.0.0.2" || c.drops != 7 || !c.hasDrops {
		t.Errorf("parsed %+v", c)
	}
	for k := range len(all) {
		if parseControl(all[:k]).hasDrops {
			t.Errorf("cut to %d bytes the last message is not whole", k)
		}
	}
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
			t.Errorf("%v is mapped", c.local)
		}
		parseSockaddr(b)
	})
}
