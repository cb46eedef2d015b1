package peer

import (
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/sctp"
)

// How long a flight waits for the answer before it is repeated: flightMargin plus the round
// trip between this end's first flight and its answer, at most maxFlightWait.
const (
	flightMargin  = 25 * time.Millisecond
	maxFlightWait = 400 * time.Millisecond

	// How often the last flight of a DTLS server is repeated, which takes about 11 s: the
	// server's handshake is over and repeats nothing; the client's handshake may last 10 s.
	lastRepeats = 30

	// How many datagrams of the handshake may wait to be sent. A flight has one to three
	// datagrams.
	maxQueued = 8
)

// handshake is the state of a peer that only its DTLS handshake and the repetitions of the
// last flight need.
type handshake struct {
	sieve  dtls.Sieve
	sifted []byte // scratch: output of the sieve
	flight dtls.Repeater
	queue  [][]byte // datagrams to be sent first, in order

	firstFlight      time.Time      // when the first flight was queued
	address          netip.AddrPort // the first address from or to which a datagram of the handshake was sent
	severalAddresses bool           // there was a second such address
	rtt              time.Duration  // from the first flight to its answer; zero before the answer

	remote sctp.Init // INIT of the other end from the SDP; zero if the handshake of SCTP takes place
}

// Begin tells the peer that its handshake has begun. From now on Receive returns
// datagrams for the handshake.
func (p *Peer) Begin() {
	p.state = Handshaking
	p.handshake = &handshake{sieve: dtls.Sieve{Client: p.client}}
}

// Yield makes this end the DTLS server, in place of the client, and forgets its handshake. The owner
// then begins another one. The address is not proved by the first handshake.
func (p *Peer) Yield() {
	p.client = false
	p.Begin()
}

// ProcessHandshake processes an event of the handshake.
func (p *Peer) ProcessHandshake(now time.Time, ev dtls.HandshakeEvent, events []Event) []Event {
	switch ev.Kind {
	case dtls.Flight:
		p.Flight(now, ev)
	case dtls.KeysReady:
		p.Keys(now, ev.Keys)
	case dtls.Done:
		return p.Done(now, events)
	case dtls.Failed:
		p.Fail(now, ev.Err)
	}
	return events
}

// Flight queues a datagram of the handshake. The datagrams of a flight are repeated
// until the other end answers, except flights that the handshake itself repeats.
// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.4
func (p *Peer) Flight(now time.Time, ev dtls.HandshakeEvent) {
	s := p.handshake
	if s == nil || len(s.queue) == maxQueued {
		p.drops.Unsendable++
		return
	}
	s.queue = append(s.queue, ev.Datagram)
	if s.firstFlight.IsZero() {
		s.firstFlight = now
	}
	switch {
	case ev.Again:
	case ev.First:
		s.flight.First = min(s.rtt+flightMargin, maxFlightWait)
		s.flight.Set(now, ev.Datagram)
	default:
		s.flight.Add(ev.Datagram)
	}
}

// Keys gives the peer its keys. A DTLS client may use them at once, before the other
// end's Finished is verified (False Start, RFC 7918), but only for the SCTP handshake:
// then its INIT follows its Finished. If the SDP had the INITs, nothing follows.
// https://www.rfc-editor.org/rfc/rfc7918.html#section-4
func (p *Peer) Keys(now time.Time, k *dtls.Keys) {
	if p.state != Handshaking {
		return // the peer was closed
	}
	p.records.Init(k, p.client, dtls.FirstRecord)
	p.state = Keyed
	// There are keys only if the other end has answered a flight of this end. So if all
	// datagrams of the handshake had the same address, that address is proved. If there were
	// several, nobody knows which one received the flight and answered it.
	if !p.handshake.severalAddresses {
		p.ice.proved(now, p.handshake.address)
	}
	p.associate(now)
	if p.client && !p.snaps {
		p.assoc.Connect(now)
	}
}

// Done tells the peer that the other end's Finished is verified. If the SDP of both ends had
// an INIT, the association is established. Then Done processes the records that arrived before.
func (p *Peer) Done(now time.Time, events []Event) []Event {
	if p.state != Keyed {
		return events
	}
	s := p.handshake
	p.state = Secure
	p.records.Done()
	if s.flight.Limit = lastRepeats; p.client {
		s.flight.Stop()
	}
	first := len(events)
	events = p.assoc.Establish(now, s.remote, events)
	p.processEvents(now, events[first:])
	for raw := range s.sieve.Early() {
		events, _ = p.openRecord(now, raw, events)
	}
	if p.ice.control != nil {
		p.assoc.Connect(now) // some servers wait for the INIT of the other end
	}
	return events
}

// forgetHandshake frees the memory of the handshake.
func (p *Peer) forgetHandshake() {
	p.drops.Sifted += p.handshake.sieve.Drops().Total()
	p.handshake = nil
}

// Fail tells the peer that the handshake has failed. Datagrams of the handshake that
// wait, such as an alert, are sent first.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.2.2
func (p *Peer) Fail(now time.Time, err error) {
	if p.state < Secure {
		p.end(now, HandshakeFailed, err)
	}
}

// receiveHandshake processes a datagram while the handshake runs, and returns the part for
// the handshake.
func (p *Peer) receiveHandshake(now time.Time, from netip.AddrPort, b []byte) []byte {
	s := p.handshake
	if p.rival = p.state == Handshaking && s.sieve.IsRival(b); p.rival {
		p.drops.Sifted++
		return nil
	}
	n := len(b)
	if p.passed || !IsPlaintext(b) { // an encrypted record gives credit to the peer whose keys open it
		n = 0
	}
	p.ice.heard(now, from, n, false)
	forHandshake := s.sieve.Append(now, s.sifted[:0], b)
	s.sifted = forHandshake
	if len(forHandshake) == 0 {
		return nil
	}
	s.noteAddress(from)
	if s.rtt == 0 && !s.firstFlight.IsZero() {
		s.rtt = max(now.Sub(s.firstFlight), time.Millisecond)
	}
	if p.state == Handshaking {
		s.flight.Stop()
	}
	return forHandshake
}

// noteAddress notes that a datagram of the handshake was sent from or to a.
func (s *handshake) noteAddress(a netip.AddrPort) {
	if !s.address.IsValid() {
		s.address = a
	}
	s.severalAddresses = s.severalAddresses || a != s.address
}
