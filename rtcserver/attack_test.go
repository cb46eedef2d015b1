package rtcserver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// BenchmarkAttackHandshakePlaces measures the cost of one offer whose page sends one check and
// then nothing: the offer, the check, and a handshake that begins and is stopped. Its time
// includes waits: -cpuprofile shows the CPU time, which times MaxOffers is the cost of one
// address.
func BenchmarkAttackHandshakePlaces(b *testing.B) {
	w := &world{t: b, network: netsim.New(1), events: make(chan string, 1)}
	defer w.network.Close()
	pc := testkit.Listen(b, w.network, serverAddr)
	w.serve(pc, Config{Settings: Settings{MaxPending: 1 << 20}, Handler: Handler{Message: func(*Conn, Message) {}}})
	defer w.server.Close()
	port := uint16(1)
	for b.Loop() {
		o := w.offer("")
		port = max(port+1, 1024)
		before := w.server.Stats().DatagramsOut
		o.check(netip.AddrPortFrom(attackerAddr.Addr(), port), "")
		for w.server.Stats().DatagramsOut < before+2 { // the answer to the check, and the ClientHello
			time.Sleep(50 * time.Microsecond)
		}
		o.conn.Close("")
		for w.server.Stats().Handshakes > 0 {
			time.Sleep(100 * time.Microsecond)
		}
	}
}
