package rtcserver

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/netsim"
)

// Several sessions of one peer claim a victim's address. Records that no key opens come from
// there, and give no credit to send: neither to each of the sessions, nor to each shard.
func TestForgedRecordsAllowNothingToBeSent(t *testing.T) {
	for _, shards := range []int{1, 2} {
		tap := newWiretap()
		inShardsWith(t, shards, Config{Settings: Settings{KeyLog: tap}, Handler: Handler{Message: func(*Conn, Message) {}}}, func(w *world) {
			reached := 0 // the shard that datagrams reach
			w.network.SetTap(func(p *netsim.Packet) bool {
				switch {
				case p.To == serverAddr && reached > 0:
					tap.look(p.From, true, p.Payload)
					w.network.Inject(p.From, shardAddr(reached), slices.Clone(p.Payload))
					return false
				case p.From == shardAddr(1):
					tap.look(p.From, false, p.Payload)
					w.network.Inject(serverAddr, p.To, slices.Clone(p.Payload))
					return false
				}
				return tap.see(p)
			})
			var sessions []*controlledPage
			for reached = range shards {
				sessions = append(sessions, w.control(tap), w.control(tap))
			}
			synctest.Wait()
			l := &ledger{w, make(map[netip.AddrPort]*account)}
			w.network.SetTap(func(p *netsim.Packet) bool {
				if p.From == serverAddr || p.From == shardAddr(1) {
					l.at(p.To).out += len(p.Payload)
				}
				return p.To == victimAddr
			})
			for range 2 { // each session selects the victim's address
				for _, h := range sessions {
					l.inject(victimAddr, h.offered.request("", true))
					l.inject(victimAddr, h.seal(chunk(0xc0, 0, []byte{0, 0, 0, 0})))
				}
			}
			synctest.Wait()
			for i, h := range sessions {
				if a := h.offered.conn.RemoteAddr(); a != victimAddr {
					t.Fatalf("%d shards: session %d is at %v, and the test tests nothing", shards, i, a)
				}
			}
			for range 50 {
				l.inject(victimAddr, record(23, 1, 1<<40, make([]byte, 1100)))
				synctest.Wait()
				for _, h := range sessions {
					for h.offered.conn.Send(0, Binary, make([]byte, 1000)) == nil {
					}
				}
				time.Sleep(10 * time.Millisecond)
			}
			l.want("records that no key opens", victimAddr, 0.2)
		})
	}
}

// Plaintext does not show its connection. Two connections at two shards shake hands with the
// same address, and each datagram from there reaches both, at the shard of one of them or at a
// third; its bytes count once.
func TestPlaintextCountsOnce(t *testing.T) {
	for at, shards := range []int{2, 2, 3} {
		x := newBareShards(t, shards)
		in, out := 0, 0
		hand := func(shard int, b []byte) {
			in += len(b)
			x.hand(shard, victimAddr, b)
		}
		both := []*bareConn{x.bareConn(0), x.bareConn(1)}
		for i, a := range both {
			hand(i, a.check())
		}
		hand(at, record(22, 0, 0, make([]byte, 1000)))
		for _, a := range both {
			if !a.entry.Touched() {
				t.Error("a claimant does not get the datagram")
			}
			a.has(8)
			out += a.says()
		}
		if out > 3*in || out < 2000 {
			t.Errorf("shard %d: %d bytes have arrived and %d may be sent, want 2000 to three times as many", at, in, out)
		}
		// What comes next is not passed on, and counts.
		hand(1, record(22, 0, 1, make([]byte, 1000)))
		if both[1].says() == 0 {
			t.Errorf("shard %d: a datagram that reached its own shard gives no credit", at)
		}
	}
}

// A record counts for the session that sent it, and not for a handshake of another shard with
// the same address, which sees it first; also if plaintext is before it, which counts for the
// handshake alone.
func TestARecordOfASessionCountsForNoHandshake(t *testing.T) {
	for _, plaintext := range []bool{false, true} {
		x := newBareShards(t, 2)
		shakes, lives := x.bareConn(0), x.bareConn(1)
		lives.comes(attackerAddr)
		lives.shakes(true)
		x.hand(0, victimAddr, shakes.check())
		x.hand(1, victimAddr, lives.check())
		var b []byte
		if plaintext {
			b = record(22, 0, 0, []byte{0})
		}
		sealed, err := lives.records.Seal(append(lives.records.Reserve(nil), make([]byte, 1000)...), 0, dtls.TypeApplicationData)
		if err != nil {
			t.Fatal(err)
		}
		x.hand(0, victimAddr, append(b, sealed...))
		if !lives.peer.Speaks(x.now, victimAddr) || lives.peer.Remote() != victimAddr || !shakes.entry.Touched() {
			t.Fatal("one of them does not see it, and the test tests nothing")
		}
		for _, a := range []*bareConn{shakes, lives} {
			a.has(8)
			if n := a.says(); (n > 0) != ((a == shakes) == plaintext) {
				t.Errorf("plaintext first: %v, in its handshake: %v: %d bytes may be sent, want some: %v", plaintext, a == shakes, n, (a == shakes) == plaintext)
			}
		}
	}
}

// has gives a's handshake n datagrams of 1,000 bytes to send.
func (a *bareConn) has(n int) {
	for i := range n {
		a.peer.ProcessHandshake(a.x.now, dtls.HandshakeEvent{Kind: dtls.Flight, First: i == 0, Datagram: make([]byte, 1000)}, nil)
	}
}

// says makes a send what it may send now, and returns the number of bytes.
func (a *bareConn) says() (n int) {
	for {
		b, _ := a.peer.Append(a.x.now, nil)
		if len(b) == 0 {
			return n
		}
		n += len(b)
	}
}
