package rtcserver

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v3"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// With several sockets on one port the kernel gives the answer of the STUN server to one of them,
// which need not be the one that has asked.
func TestDiscoverWithSeveralSockets(t *testing.T) {
	seen := netip.MustParseAddrPort("203.0.113.9:40000")
	for range 8 { // other ports, and so other sockets
		at, err := udpio.Listen("127.0.0.1:0", udpio.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer at[0].Close()
		go func() {
			in := []udpio.Datagram{{B: make([]byte, 1500)}}
			for {
				if n, err := at[0].ReadBatch(in); err != nil || n == 0 {
					return
				}
				m := stun.New()
				if stun.Decode(slices.Clone(in[0].B), m) == nil {
					at[0].WriteBatch([]udpio.Datagram{{Remote: in[0].Remote, B: binding(stun.BindingSuccess, m, seen)}})
				}
			}
		}()
		s, err := Listen("127.0.0.1:0", Config{Settings: Settings{
			Certificate: serverCertificate, Shards: 4, Discover: at[0].LocalAddr().String(),
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got := s.Addresses(netip.MustParseAddr("198.51.100.7")); !slices.Equal(got, []netip.AddrPort{seen}) {
			t.Errorf("a page of the internet gets %v, want %v", got, seen)
		}
	}
}
