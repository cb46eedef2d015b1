package rtcserver

import (
	"net"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// Poll processes all datagrams that arrived before the call, also behind relays, where the kernel gives several datagrams
// as one message, and if a stranger sends some that are too large.
func TestPollTakesAllThatHasArrived(t *testing.T) {
	for what, relays := range map[string][]netip.Prefix{"alone": nil, "behind relays": {netip.MustParsePrefix("127.0.0.0/8")}} {
		s := testkit.Must(Listen("127.0.0.1:0", Config{Manual: true, Settings: Settings{TrustedRelays: relays}}))
		defer s.Close()
		stranger := testkit.Must(net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.Addr())))
		defer stranger.Close()
		const n, large = 200, 20
		for i := range n {
			b := make([]byte, 20)
			if i%(n/large) == 0 {
				b = make([]byte, inLen+1)
			}
			if _, err := stranger.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Poll(0); err != nil {
			t.Fatal(err)
		}
		if got := s.Stats().DatagramsIn; got != n-large {
			t.Errorf("%s: Poll has taken %d datagrams, want %d", what, got, n-large)
		}
	}
}
