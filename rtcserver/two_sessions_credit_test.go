package rtcserver

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// One peer has a session at each of two shards. Both claim a victim's address, from which datagrams reach a third
// shard. A datagram with a record of each session counts once.
func TestRecordsOfTwoSessionsInADatagramCountOnce(t *testing.T) {
	for _, shards := range []int{2, 3} {
		tap := newWiretap()
		inShardsWith(t, shards, Config{Settings: Settings{KeyLog: tap}, Handler: Handler{Message: func(*Conn, Message) {}}}, func(w *world) {
			reached := 0 // the shard that datagrams reach
			w.network.SetTap(func(p *netsim.Packet) bool {
				switch {
				case p.To == serverAddr && reached > 0:
					tap.look(p.From, true, p.Payload)
					w.network.Inject(p.From, shardAddr(reached), slices.Clone(p.Payload))
					return false
				case p.From == shardAddr(1) || p.From == shardAddr(2):
					tap.look(p.From, false, p.Payload)
					w.network.Inject(serverAddr, p.To, slices.Clone(p.Payload))
					return false
				}
				return tap.see(p)
			})
			var sessions []*controlledPage
			for _, reached = range []int{shards - 2, shards - 1} {
				sessions = append(sessions, w.control(tap))
			}
			synctest.Wait()
			l := &ledger{w, make(map[netip.AddrPort]*account)}
			w.network.SetTap(func(p *netsim.Packet) bool {
				if p.From == serverAddr || p.From == shardAddr(1) || p.From == shardAddr(2) {
					l.at(p.To).out += len(p.Payload)
				}
				return p.To == victimAddr
			})
			nothing := chunk(0xc0, 0, []byte{0, 0, 0, 0})
			for range 2 { // each session selects the victim's address
				for _, h := range sessions {
					l.inject(victimAddr, h.offered.request("", true))
					l.inject(victimAddr, h.seal(nothing))
				}
			}
			synctest.Wait()
			for i, h := range sessions {
				if a := h.offered.conn.RemoteAddr(); a != victimAddr {
					t.Fatalf("%d shards: session %d is at %v, and the test tests nothing", shards, i, a)
				}
			}
			for range 100 {
				b := append(sealAll(sessions, nothing), record(23, 1, 1<<40, make([]byte, 1000))...)
				l.inject(victimAddr, b)
				synctest.Wait()
				for _, h := range sessions {
					for h.offered.conn.Send(0, Binary, make([]byte, 1000)) == nil {
					}
				}
				time.Sleep(10 * time.Millisecond)
			}
			a := l.at(victimAddr)
			if a.in == 0 || a.out == 0 || a.out > 3*a.in {
				t.Errorf("%d shards: %d bytes of the forger made the server send %d to the victim, want some and at most three times as many", shards, a.in, a.out)
			}
		})
	}
}

func sealAll(all []*controlledPage, c []byte) (b []byte) {
	for _, h := range all {
		b = append(b, h.seal(c)...)
	}
	return b
}
