package sctp

import (
	"encoding/binary"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// FORWARD-TSN: lost messages are not sent again, so the peer must be told not to wait
// for them. Without it browsers stop sending 100,009 messages after a loss.
//
// "Any delay applied to the sending of FORWARD TSN chunk SHOULD NOT exceed 200ms and
// MUST NOT exceed 500ms." If the round trip is longer, this end waits longer
// nevertheless: otherwise the peer would drop messages that are only late.
// https://www.rfc-editor.org/rfc/rfc3758.html#section-3.5
const (
	defaultRTT    = 200 * time.Millisecond // round trip before the first measurement
	minForwardGap = 20 * time.Millisecond  // smallest time between two FORWARD-TSNs; a round trip if that is more

	// idleMargin is longer than 200 ms, the longest time by which a peer may delay a SACK.
	// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.2
	idleMargin     = 250 * time.Millisecond
	idleTimeoutMin = 300 * time.Millisecond
	idleTimeoutMax = 3 * time.Second
	maxIdleTries   = 10

	// maxForward is the largest distance by which a FORWARD-TSN of the peer may move
	// the cumulative TSN. It is larger than maxAhead: if one was refused, all later
	// ones would be refused, too.
	maxForward = 1 << 20
)

// lag returns the age from which an unacknowledged TSN counts as lost. A younger one
// may only be late, and after a FORWARD-TSN the peer would drop it.
func (a *Assoc) lag() time.Duration {
	if a.rtt == 0 {
		return defaultRTT
	}
	return a.rtt
}

// idleTimeout returns how long to wait for an acknowledgement.
func (a *Assoc) idleTimeout() time.Duration {
	d := max(2*a.lag()+idleMargin, idleTimeoutMin)
	return min(d<<a.idleTries, idleTimeoutMax)
}

// rearm sets the timers after a SACK. If the SACK has a gap, a FORWARD-TSN is due when
// the oldest missing TSN is old enough, but at most one in each round trip. A
// FORWARD-TSN that the SACK before needed may not be needed any more.
func (a *Assoc) rearm(t time.Duration, progress, gap bool) {
	a.timers[timerForward] = 0
	if a.acked == a.nextTSN-1 {
		a.timers[timerT3] = 0
		a.pend &^= pendForward
		a.idleTries = 0
		return
	}
	if progress {
		a.idleTries = 0
		a.timers[timerT3] = t + a.idleTimeout()
	}
	if !gap || a.pend&pendForward != 0 {
		return
	}
	oldest := microsSince(t, a.marks.at(0).at)
	at := max(t+a.lag()-oldest, a.forwardNext)
	if at <= t {
		a.pend |= pendForward
		return
	}
	a.timers[timerForward] = at
}

// expireT3 gives up the messages that were not acknowledged: the last messages before a
// pause were lost, or this end's FORWARD-TSN was.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.3.3
func (a *Assoc) expireT3(t time.Duration) {
	if a.idleTries >= maxIdleTries {
		return
	}
	a.pend |= pendForward
	a.idleTries++
	a.timers[timerT3] = t + a.idleTimeout()
}

// forwardPoint returns the TSN up to which everything is given up: it was sent at least
// a round trip ago, and is before any DATA_CHANNEL_ACK, which is sent until it arrives.
// https://www.rfc-editor.org/rfc/rfc3758.html#section-3.5
func (a *Assoc) forwardPoint(t time.Duration) (tsn uint32, ok bool) {
	tsn, ok = a.marks.before(micros(t) - micros(a.lag()))
	if !ok {
		return 0, false
	}
	for i := range a.control {
		if d := &a.control[i]; d.tries > 0 {
			tsn = seq.Min(tsn, d.tsn-1)
		}
	}
	return tsn, seq.Less(a.acked, tsn)
}

// FORWARD-TSN.
// https://www.rfc-editor.org/rfc/rfc3758.html#section-3.2
//
//	new cumulative TSN (32)
//	for ordered streams only: stream (16) | stream sequence number (16)

// appendForward appends a FORWARD-TSN that is due. There is always room for it after
// the largest SACK.
func (a *Assoc) appendForward(t time.Duration, b []byte) []byte {
	if a.pend&pendForward == 0 {
		return b
	}
	a.pend &^= pendForward
	tsn, ok := a.forwardPoint(t)
	if !ok {
		return b
	}
	a.forwardNext = t + max(a.lag(), minForwardGap)
	a.given = seq.Max(a.given, tsn)
	a.stats.Forwards++
	start := len(b)
	b = binary.BigEndian.AppendUint32(appendChunk(b, chunkForwardTSN, 0), tsn)
	return finishTLV(b, start)
}

// receiveForward skips the TSNs that the peer has given up: "the data receiver MUST first
// update its cumulative TSN point to the value carried in the FORWARD TSN chunk". A SACK
// always answers it.
// https://www.rfc-editor.org/rfc/rfc3758.html#section-3.6
func (a *Assoc) receiveForward(t time.Duration, c chunk, events []Event) []Event {
	if len(c.value) < 4 || len(c.value)%4 != 0 {
		a.drop(dropChunk)
		return events
	}
	tsn := binary.BigEndian.Uint32(c.value)
	if seq.Less(a.rx.cum, tsn) && tsn-a.rx.cum > maxForward {
		a.drop(dropForward)
		return events
	}
	a.stats.forwardsIn++
	if seq.Less(a.rx.cum, tsn) {
		a.rx.skip(tsn)
	}
	if seq.Less(a.forwarded, tsn) {
		a.forwarded = tsn
		a.forwardFragments()
		for pairs := c.value[4:]; len(pairs) > 0; pairs = pairs[4:] {
			events = a.forwardStream(binary.BigEndian.Uint16(pairs), binary.BigEndian.Uint16(pairs[2:]), events)
		}
	}
	a.acknowledge(t, true)
	return events
}

// forwardStream delivers the held messages of an ordered stream up to ssn, and does not
// wait for the missing ones. Unordered streams have nothing to skip.
func (a *Assoc) forwardStream(stream, ssn uint16, events []Event) []Event {
	ch := a.channel(stream)
	if ch == nil || !ch.ordered || seq.Less(ssn, ch.nextIn) {
		return events
	}
	return a.deliverHeld(ch, ssn+1, events)
}
