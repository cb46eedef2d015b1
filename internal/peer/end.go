package peer

import (
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// Close ends the peer with an SCTP ABORT and a DTLS close_notify in one datagram. Each
// of the two makes a browser close its channels at once. (An SCTP SHUTDOWN does not, in
// Firefox.) The first 128 bytes of cause are in the ABORT, and the browser may show
// them.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-9.1
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.2.1
func (p *Peer) Close(now time.Time, cause string) {
	var farewell []byte
	if p.state == Secure {
		b := p.assoc.Abort(now, cause, p.records.Reserve(nil))
		b, err := p.records.Seal(b, 0, dtls.TypeApplicationData)
		if err == nil {
			start := len(b)
			b = dtls.AppendCloseNotify(p.records.Reserve(b))
			b, err = p.records.Seal(b, start, dtls.TypeAlert)
		}
		if err == nil {
			farewell = b
		}
	}
	p.endWith(now, LocalClose, nil, farewell)
}

// GiveUp ends a peer that has not received a valid check, before PendingTimeout.
func (p *Peer) GiveUp(now time.Time) {
	if p.state == Waiting {
		p.end(now, NoContact, nil)
	}
}

// end ends the peer without a farewell and records the reason. Only the first call has an
// effect.
func (p *Peer) end(now time.Time, why Reason, err error) { p.endWith(now, why, err, nil) }

// endWith is end with a farewell, unless that is nil.
func (p *Peer) endWith(now time.Time, why Reason, err error, farewell []byte) {
	if p.state >= Closing {
		return
	}
	p.state, p.why = Closing, why
	p.ending = &ending{err: err, farewell: farewell, farewellDue: farewell != nil, goneAt: now}
	if farewell != nil {
		p.ending.goneAt = now.Add(lingerTime)
	}
}

// answer makes the farewell due because the other end still sends.
func (e *ending) answer() { e.farewellDue = len(e.farewell) > 0 }

// appendFarewell appends the datagram of Close if it is due: at once and then at growing
// intervals, because it may be lost, and for each datagram that the other end still sends.
func (p *Peer) appendFarewell(now time.Time, b []byte, path Path) ([]byte, Path) {
	e := p.ending
	if !e.farewellDue || e.farewellsSent == maxFarewells || !p.ice.maySend(now, path.Remote, len(e.farewell)) {
		return b, Path{}
	}
	e.farewellDue = false
	e.nextFarewell = now.Add(farewellInterval << e.farewellsSent)
	e.farewellsSent++
	return append(b, e.farewell...), path
}

// Flush ends a batch of received datagrams: acknowledgements that waited for a message to be
// sent with them are due now.
func (p *Peer) Flush(now time.Time) {
	if p.state == Secure {
		p.assoc.Flush(now)
	}
}

// Deadline returns when Advance must be called; zero means never.
func (p *Peer) Deadline() time.Time {
	if p.state >= Closing {
		if p.state == Gone {
			return time.Time{}
		}
		return sooner(p.ending.goneAt, p.ending.nextFarewell)
	}
	d := sooner(p.ice.deadline(), p.nextChallenge())
	// While a datagram of the handshake waits in the queue, no repetition is due.
	if p.handshake != nil && len(p.handshake.queue) == 0 {
		d = sooner(d, p.handshake.flight.Deadline())
	}
	if p.assoc != nil {
		d = sooner(d, p.assoc.Deadline())
	}
	return d
}

// sooner returns the earlier of two deadlines; zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Advance tells the peer that time has passed. The owner calls it when Deadline has come.
func (p *Peer) Advance(now time.Time, events []Event) []Event {
	switch {
	case p.state == Gone:
		return events
	case p.state == Closing:
		e := p.ending
		if !now.Before(e.goneAt) {
			p.state = Gone
		}
		if !e.nextFarewell.IsZero() && !now.Before(e.nextFarewell) {
			e.farewellDue, e.nextFarewell = true, time.Time{}
		}
		return events
	}
	// Without a valid check for 30 s "the endpoint MUST cease transmission on that 5-tuple".
	// https://www.rfc-editor.org/rfc/rfc7675.html#section-5.1
	if expired, err := p.ice.advance(now); expired {
		why := TimedOut
		if p.state == Waiting {
			why = NoContact
		}
		p.end(now, why, err)
		return events
	}
	if p.assoc != nil {
		first := len(events)
		events = p.assoc.Advance(now, events)
		p.processEvents(now, events[first:])
	}
	return events
}
