package doctor

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// A hostile answer causes no panic, and no address to which nothing can be sent is used.
func FuzzAddress(f *testing.F) {
	for _, line := range []string{
		"1 1 udp 2130706431 203.0.113.1 7777 typ host", "1 1 udp 1 fe80::1%eth0 7777 typ host", "1 1 tcp 1 x.local 9 typ host", "1 1 udp 1 ::ffff:10.0.0.1 65536 typ host",
		"1 1 udp 1 ::ffff:0.0.0.0 7777 typ host",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a := judgeAddress(line, netip.MustParseAddr("203.0.113.1"))
		if b := a.addr; b.IsValid() && (b.Port() == 0 || b.Addr().IsUnspecified() || b.Addr().IsMulticast() || b.Addr().Zone() != "") {
			t.Errorf("%q is %v", line, b)
		}
		if !a.addr.IsValid() && a.why == "" || (a.why == "") != (a.next == "") {
			t.Errorf("%q: %+v", line, a)
		}
	})
}

// Only a server with the password can answer a check.
func FuzzAnswer(f *testing.F) {
	good, err := stun.Build(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: []byte{203, 0, 113, 7}, Port: 4242}, stun.NewShortTermIntegrity("right"), stun.Fingerprint)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Raw)
	f.Add(good.Raw[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, mapped, ok := (credentials{}).answer(b); ok && !mapped.IsValid() {
			t.Errorf("%x has no address", b)
		}
		if _, _, ok := (credentials{pwd: "wrong"}).answer(b); ok {
			t.Errorf("%x is accepted without the password", b)
		}
	})
}

// Lines of the kernel's tables that are cut or changed cause no panic.
func FuzzSockets(f *testing.F) {
	f.Add(udpTable)
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parseSockets(text) {
			if !s.local.Addr().IsValid() {
				t.Errorf("%q has a socket without an address", text)
			}
		}
	})
}
