package peer

import (
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// How long the flight with our Finished waits for the answer before it is
// repeated, besides the round trip that the ClientHello measured, and the most
// it waits.
const (
	flightGrace = 25 * time.Millisecond
	flightWait  = 400 * time.Millisecond

	// How often the last flight of a DTLS server is repeated, about 11 s long. Its
	// handshake is over and repeats nothing; its client's goes on for 10 s.
	lastRepeats = 30

	// How many datagrams of the handshake may wait to be sent. A flight has one
	// to three.
	maxQueued = 8
)

// shake is what a peer has besides while its handshake runs.
type shake struct {
	sieve  dtls.Sieve
	sifted []byte // scratch: what the sieve let through
	flight dtls.Repeater
	queue  [][]byte       // datagrams to be sent first, in order
	begun  time.Time      // when the first flight was set
	with   netip.AddrPort // the first address that a datagram of it came from or went to
	mixed  bool           // there was another
	rtt    time.Duration  // from our first flight to its answer; zero before
}

// Begin tells the peer that its handshake runs, which is when Receive begins to
// return what is for it.
func (p *Peer) Begin() {
	p.state = Shaking
	p.shake = &shake{}
}

// Shake takes what the handshake says.
func (p *Peer) Shake(now time.Time, ev dtls.HandshakeEvent, events []Event) []Event {
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

// Flight takes a datagram that the handshake wants sent, and keeps it. Those of a
// flight are repeated until the other side answers, except repetitions that the
// handshake makes itself.
// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.4
func (p *Peer) Flight(now time.Time, ev dtls.HandshakeEvent) {
	s := p.shake
	if s == nil || len(s.queue) == maxQueued {
		p.drops.Unsendable++
		return
	}
	s.queue = append(s.queue, ev.Datagram)
	if s.begun.IsZero() {
		s.begun = now
	}
	switch {
	case ev.Again:
	case ev.First:
		if s.rtt > 0 {
			s.flight.First = min(s.rtt+flightGrace, flightWait)
		}
		s.flight.Set(now, ev.Datagram)
	default:
		s.flight.Add(ev.Datagram)
	}
}

// Keys takes the keys. As the DTLS client we may use them at once, before the
// other side's Finished is verified (False Start, RFC 7918), for the SCTP
// handshake and nothing else: then our INIT follows our Finished.
// https://www.rfc-editor.org/rfc/rfc7918.html#section-3
func (p *Peer) Keys(now time.Time, k *dtls.Keys) {
	if p.state != Shaking {
		return // it was closed meanwhile
	}
	p.records.Init(k, p.client, dtls.FirstRecord)
	p.state = Keyed
	// Keys exist only because the other side answered what we sent to it. If there
	// was more than one address, one of them may not have been asked, or may have
	// repeated what it saw.
	if !p.shake.mixed {
		p.ice.proved(now, p.shake.with)
	}
	p.associate(now)
	if p.client {
		p.assoc.Connect(now)
	}
}

// Done tells the peer that the other side's Finished is verified. What came too
// early is received now.
func (p *Peer) Done(now time.Time, events []Event) []Event {
	s := p.shake
	if s == nil || p.state != Keyed {
		return events
	}
	p.state = Secure
	p.records.Done()
	if s.flight.Limit = lastRepeats; p.client {
		s.flight.Stop()
	}
	for raw := range s.sieve.Early() {
		events, _ = p.open(now, raw, events)
	}
	if p.ice.control != nil && p.state == Secure {
		p.assoc.Connect(now) // the server may be one that waits for it
	}
	p.forgetShake()
	return events
}

// forgetShake frees the handshake's memory once there is nothing to repeat.
func (p *Peer) forgetShake() {
	if s := p.shake; s != nil && p.state >= Secure && !s.flight.Active() && len(s.queue) == 0 {
		p.drops.Sifted += s.sieve.Drops().Total()
		p.shake = nil
	}
}

// Fail tells the peer that the handshake failed. What it left to be sent, an
// alert, goes out first.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.2.2
func (p *Peer) Fail(now time.Time, err error) {
	if p.state < Secure {
		p.end(now, HandshakeFailed, err)
	}
}

// split takes a datagram while the handshake runs and returns what is for it.
func (p *Peer) split(now time.Time, from netip.AddrPort, b []byte) []byte {
	s := p.shake
	p.ice.heard(now, from, len(b), false)
	forHandshake := s.sieve.Append(now, s.sifted[:0], b)
	s.sifted = forHandshake
	if len(forHandshake) == 0 {
		return nil
	}
	s.meet(from)
	if s.rtt == 0 && !s.begun.IsZero() {
		s.rtt = max(now.Sub(s.begun), time.Millisecond)
	}
	if p.state == Shaking {
		s.flight.Stop()
	}
	return forHandshake
}

// meet notes that a datagram of the handshake came from or went to a.
func (s *shake) meet(a netip.AddrPort) {
	if !s.with.IsValid() {
		s.with = a
	}
	s.mixed = s.mixed || a != s.with
}
