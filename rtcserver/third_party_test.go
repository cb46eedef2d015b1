package rtcserver

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/netsim"
)

// An attacker with a session, who can forge source addresses, points it at a victim:
// a check and a record come from the victim's address, and then as many packets as
// the attacker likes. A record proves who speaks and not where, so the victim gets at
// most three times the bytes that came from its address: acknowledgements, the
// program's messages and the questions for a proof included.

// newWiretap returns a wiretap that has seen nothing.
func newWiretap() *wiretap {
	return &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
}

// openUnordered is a DATA_CHANNEL_OPEN of a channel that is sent again once.
func openUnordered(label string) []byte {
	b := []byte{3, 0x81, 1, 0, 0, 0, 0, 1, 0, byte(len(label)), 0, 0}
	return append(b, label...)
}

func TestASessionPointedAtAVictim(t *testing.T) {
	tap := newWiretap()
	inWorld(t, Config{Settings: Settings{KeyLog: tap}, Handler: Handler{Message: func(*Conn, Message) {}}}, func(w *world) {
		w.network.SetTap(tap.see)
		h := w.control(tap)
		h.packet(data(3, h.tsn, 1, 0, 50, openUnordered("gaps")))
		for i := range uint32(205) {
			h.packet(data(7, h.tsn+2+2*i, 1, 0, 53, []byte{1}))
		}
		synctest.Wait()
		l := w.ledger()
		stale := chunk(0xc0, 0, binary.BigEndian.AppendUint32(nil, h.tsn-1))
		// The page's own datagrams stay away, as the attacker likes.
		w.network.BlackoutFor(h.addr().Addr(), serverAddr.Addr(), time.Hour)
		during(100*time.Millisecond, func() {
			l.inject(victimAddr, h.offered.request("", true))
			for range 20 {
				l.inject(victimAddr, h.seal(stale))
			}
			h.offered.conn.Send(0, Binary, make([]byte, 1000))
		})
		l.want("checks, records and the program's messages", victimAddr, 3)
		if to := h.offered.conn.RemoteAddr(); l.at(victimAddr).out == 0 {
			t.Errorf("the attack has not happened, and the test tests nothing: the server sends to %v", to)
		}
	})
}

// The same with one check and one record, and then only stale FORWARD-TSNs.
func TestStaleForwardsFromAVictim(t *testing.T) {
	tap := newWiretap()
	inWorld(t, Config{Settings: Settings{KeyLog: tap}, Handler: Handler{Message: func(*Conn, Message) {}}}, func(w *world) {
		w.network.SetTap(tap.see)
		h := w.control(tap)
		h.packet(data(3, h.tsn, 1, 0, 50, openUnordered("gaps")))
		for i := range uint32(205) {
			h.packet(data(7, h.tsn+2+2*i, 1, 0, 53, []byte{1}))
		}
		synctest.Wait()
		l := w.ledger()
		stale := chunk(0xc0, 0, binary.BigEndian.AppendUint32(nil, h.tsn-1))
		w.network.BlackoutFor(h.addr().Addr(), serverAddr.Addr(), time.Hour)
		l.inject(victimAddr, h.offered.request("", true))
		for range 2000 {
			l.inject(victimAddr, h.seal(stale))
			time.Sleep(10 * time.Millisecond)
		}
		l.want("one check, stale FORWARD-TSNs", victimAddr, 3)
		if l.at(victimAddr).out == 0 {
			t.Error("the attack has not happened, and the test tests nothing")
		}
	})
}

// The attacker has proved an address, leaves it, and continues as if from there; the victim gets
// the address next. The server asks for an answer again, and without an answer the address is
// like any other: 30 s after the attacker has left, the server sends at most three times the
// bytes that come from there.
func TestAProofDoesNotOutliveThePeer(t *testing.T) {
	for name, moves := range map[string]bool{"at one address": false, "between two": true} {
		t.Run(name, func(t *testing.T) { aProofDoesNotOutliveThePeer(t, moves) })
	}
}

// With moves the attacker moves the session to another address, and back, every ten seconds.
func aProofDoesNotOutliveThePeer(t *testing.T, moves bool) {
	tap := newWiretap()
	inWorld(t, Config{Settings: Settings{KeyLog: tap}, Handler: Handler{Message: func(*Conn, Message) {}}}, func(w *world) {
		w.network.SetTap(tap.see)
		h := w.control(tap)
		victim := h.addr()
		l := w.ledger()
		w.network.SetTap(func(p *netsim.Packet) bool { // the attacker has gone
			if p.From == serverAddr {
				l.at(p.To).out += len(p.Payload)
			}
			return p.From == serverAddr
		})
		check := func(from netip.AddrPort) { l.inject(from, h.offered.request("", true)) }
		record := func(from netip.AddrPort) {
			l.inject(from, h.seal(chunk(0xc0, 0, binary.BigEndian.AppendUint32(nil, h.tsn-1))))
		}
		attack := func() {
			for i := range 300 {
				away := moves && i%100 == 99
				if away {
					check(attackerAddr)
					record(attackerAddr)
					time.Sleep(20 * time.Millisecond)
				}
				if i%25 == 0 || away {
					check(victim)
				}
				record(victim)
				h.offered.conn.Send(0, Binary, make([]byte, 1000))
				time.Sleep(100 * time.Millisecond)
			}
			synctest.Wait() // the tap writes the ledger too
		}
		attack()
		t.Logf("in the first 30 s: %+v", *l.at(victim))
		*l.at(victim) = account{}
		attack()
		attack()
		l.want("in the minute after them", victim, 3)
	})
}

// seal returns the datagram of an SCTP packet with these chunks.
func (h *controlledPage) seal(chunks ...[]byte) []byte {
	b, err := h.records.Seal(h.plain(chunks...), 0, dtls.TypeApplicationData)
	if err != nil {
		panic(err)
	}
	return b
}
