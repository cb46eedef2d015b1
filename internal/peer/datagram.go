package peer

import (
	"errors"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/sctp"
)

// associate creates the SCTP association. It waits for the keys, so that a peer with only
// the ICE password costs no memory.
// https://www.rfc-editor.org/rfc/rfc8832.html#section-6
func (p *Peer) associate(now time.Time) {
	c := p.config.Config
	c.RTT = p.handshake.rtt
	c.EvenStreams = p.client
	p.assoc = sctp.New(c)
	p.handshake.remote = p.config.remote
	p.snaps = p.config.remote != sctp.Init{}
	p.config = nil
}

// Receive processes a DTLS datagram. While the handshake runs it returns the part for
// the handshake, which is valid until the next call.
func (p *Peer) Receive(now time.Time, from netip.AddrPort, b []byte, events []Event) (ev []Event, forHandshake []byte) {
	// Datagrams of the handshake are accepted only from an address with a valid check, or
	// from the server, so that a ClientHello of a stranger has no effect.
	p.authentic, p.rival = false, false
	if !p.ice.knows(from) {
		p.drops.Stranger++
		return events, nil
	}
	switch p.state {
	case Handshaking, Keyed:
		return events, p.receiveHandshake(now, from, b)
	case Secure:
		return p.receiveRecords(now, from, b, events), nil
	case Closing:
		p.ending.answer()
		return events, nil
	}
	p.drops.Early++
	return events, nil
}

// ReceivePassed is Receive for a datagram that may be for another peer at the same address.
// The owner gives the datagram to that peer's Receive, too. While the handshake runs, nobody
// knows which peer it is for. So only Receive of the other peer gives credit for the address.
func (p *Peer) ReceivePassed(now time.Time, from netip.AddrPort, b []byte, events []Event) (ev []Event, forHandshake []byte) {
	p.passed = true
	defer func() { p.passed = false }()
	return p.Receive(now, from, b, events)
}

// receiveRecords opens the records of a datagram.
func (p *Peer) receiveRecords(now time.Time, from netip.AddrPort, b []byte, events []Event) []Event {
	authentic := false
	n := 0 // the bytes of authentic records: each record counts for the one peer whose keys open it
	for r := range dtls.Records(b) {
		var ok bool
		if events, ok = p.openRecord(now, r.Raw, events); ok {
			authentic = true
			n += len(r.Raw)
		}
	}
	p.authentic = authentic
	if IsPlaintext(b) {
		n = 0 // the whole datagram counts for the peer that shakes hands
	}
	p.ice.heard(now, from, n, authentic)
	// An INIT does not show that the last flight of this end has arrived: a DTLS client with
	// False Start sends its INIT before that. The chunks that establish the association do, and
	// all others that the other end sends only when it is established there.
	if p.handshake != nil && (p.assoc.Heard() || p.state != Secure) {
		p.forgetHandshake()
	}
	return events
}

var errForged = errors.New("dtls: too many forged records: the keys must not be used any more")

// openRecord decrypts one record and processes its content.
// https://www.rfc-editor.org/rfc/rfc8261.html#section-3
func (p *Peer) openRecord(now time.Time, raw []byte, events []Event) (ev []Event, ok bool) {
	plain, t, drop := p.records.Open(raw)
	if drop == dtls.DropFailures {
		p.end(now, AssociationFailed, errForged)
	}
	if drop != dtls.DropNone {
		return events, false
	}
	switch t {
	case dtls.TypeApplicationData:
		first := len(events)
		events = p.assoc.Receive(now, plain, events)
		p.processEvents(now, events[first:])
	case dtls.TypeAlert:
		if dtls.AlertCloses(plain) {
			p.end(now, RemoteClose, nil)
		}
	}
	return events, true
}

// processEvents processes the events of the association that the peer itself needs: its
// beginning, its end, and answers to challenges.
func (p *Peer) processEvents(now time.Time, events []Event) {
	for i := range events {
		switch events[i].Type {
		case sctp.Established:
			p.ice.ask()
		case sctp.Echo:
			p.ice.answered(now, events[i].Payload)
		}
		if events[i].Type != sctp.Closed {
			continue
		}
		switch events[i].Reason {
		case sctp.PeerAbort, sctp.PeerShutdown:
			p.end(now, RemoteClose, nil)
		default:
			p.end(now, AssociationFailed, errors.New("sctp: "+events[i].Reason.String()))
		}
	}
}

// Send appends a datagram with one message to b.
// https://www.rfc-editor.org/rfc/rfc8831.html#section-6.6
func (p *Peer) Send(now time.Time, b []byte, stream uint16, k Kind, payload []byte) ([]byte, Path, error) {
	if p.state != Secure || !p.assoc.Established() {
		return b, Path{}, ErrNotOpen
	}
	path, _ := p.ice.selected()
	start := len(b)
	b, err := p.assoc.AppendMessage(now, p.records.Reserve(b), stream, k, payload)
	if err != nil {
		return b[:start], Path{}, err
	}
	b, err = p.records.Seal(b, start, dtls.TypeApplicationData)
	if err != nil {
		p.endIfExhausted(now, err)
		return b[:start], Path{}, err
	}
	if !p.ice.maySend(now, path.Remote, len(b)-start) {
		p.drops.Unsendable++
		return b[:start], Path{}, ErrSilenced
	}
	return b, path, nil
}

// Append appends the next datagram that is due to b, and returns its path. If there is
// none it returns b unchanged.
func (p *Peer) Append(now time.Time, b []byte) ([]byte, Path) {
	if out, to := p.appendCheck(now, b); len(out) > len(b) {
		return out, to
	}
	if p.state == Gone {
		return b, Path{}
	}
	path, _ := p.ice.selected() // without a selection the path is zero, and maySend allows nothing
	if p.handshake != nil {
		if out := p.appendFlight(now, b, path); len(out) > len(b) {
			return out, path
		}
	}
	if p.state == Closing {
		return p.appendFarewell(now, b, path)
	}
	if !p.records.Ready() {
		return b, Path{}
	}
	if out := p.appendChallenge(now, b); len(out) > len(b) {
		return out, path
	}
	start := len(b)
	out := p.records.Reserve(b)
	head := len(out)
	if out = p.assoc.Append(now, out); len(out) == head {
		return b[:start], Path{}
	}
	out, err := p.records.Seal(out, start, dtls.TypeApplicationData)
	if err != nil || !p.ice.maySend(now, path.Remote, len(out)-start) {
		p.endIfExhausted(now, err)
		p.drops.Unsendable++
		return b[:start], Path{}
	}
	return out, path
}

// endIfExhausted ends the peer if err is dtls.ErrExhausted: all record numbers are used.
// "Each value of the nonce_explicit MUST be distinct for each distinct invocation of the
// GCM encrypt function for any fixed key."
// https://www.rfc-editor.org/rfc/rfc5288.html#section-3
func (p *Peer) endIfExhausted(now time.Time, err error) {
	if err == dtls.ErrExhausted {
		p.end(now, AssociationFailed, err)
	}
}

// appendFlight appends a datagram of the handshake. If the datagram may not be sent yet it
// waits until datagrams of the other end, such as its next check, give more credit.
// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.4
func (p *Peer) appendFlight(now time.Time, b []byte, path Path) []byte {
	s := p.handshake
	if len(s.queue) == 0 {
		start := len(b)
		out := s.flight.Append(now, b)
		if len(out) == start {
			if p.state >= Secure && !s.flight.Active() {
				p.forgetHandshake()
			}
			return b
		}
		if p.ice.maySend(now, path.Remote, len(out)-start) {
			s.noteAddress(path.Remote)
			return out
		}
		s.queue = append(s.queue, append([]byte(nil), out[start:]...))
		return b[:start]
	}
	if !p.ice.maySend(now, path.Remote, len(s.queue[0])) {
		return b
	}
	s.noteAddress(path.Remote)
	b = append(b, s.queue[0]...)
	s.queue[0] = nil
	if s.queue = s.queue[1:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return b
}
