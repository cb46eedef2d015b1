package sctp

import (
	"encoding/binary"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// FORWARD-TSN: what is lost is not sent again, so the peer must be told not to
// wait. Browsers fall silent 100,009 messages after a loss without it.
//
// "Any delay applied to the sending of FORWARD TSN chunk SHOULD NOT exceed 200ms and MUST
// NOT exceed 500ms." We wait for a longer round trip nevertheless: the peer would drop
// what is only late.
// https://www.rfc-editor.org/rfc/rfc3758.html#section-3.5
const (
	defaultRTT    = 200 * time.Millisecond // until there is a measurement
	minForwardGap = 20 * time.Millisecond  // between two of them, or a round trip

	idleTimeoutMin = 300 * time.Millisecond
	idleTimeoutMax = 3 * time.Second
	maxIdleTries   = 10

	// maxForward is how far a peer may move the TSN at once. More than maxAhead: a
	// FORWARD-TSN that is refused would never be followed by an acceptable one.
	maxForward = 1 << 20
)

// lag is the age from which an unacknowledged TSN is taken for lost. Anything
// younger may only be late, and the peer would drop it.
func (a *Assoc) lag() time.Duration {
	if a.rtt == 0 {
		return defaultRTT
	}
	return a.rtt
}

// idleTimeout is how long to wait for any acknowledgement of what was sent. It has
// to outlast the 200 ms that peers delay a SACK.
func (a *Assoc) idleTimeout() time.Duration {
	d := max(2*a.lag()+250*time.Millisecond, idleTimeoutMin)
	return min(d<<a.idleTries, idleTimeoutMax)
}

// rearm sets the timers after a SACK. A gap calls for a FORWARD-TSN when the TSNs
// behind it are old enough, at most one each round trip; what the SACK before called for
// may have come since.
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

// expireT3 gives up what was sent and never acknowledged: the last messages before
// a pause are lost, or our FORWARD-TSN is.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.3.3
func (a *Assoc) expireT3(t time.Duration) {
	if a.idleTries >= maxIdleTries {
		return
	}
	a.pend |= pendForward
	a.idleTries++
	a.timers[timerT3] = t + a.idleTimeout()
}

// forwardPoint returns the TSN up to which everything is given up: sent at least a
// round trip ago, and before any message that is sent until it arrives.
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

// appendForward appends a FORWARD-TSN that is due. There is always room for it beside the
// largest SACK.
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

// receiveForward skips what the peer gave up. It is always answered by a SACK.
// https://www.rfc-editor.org/rfc/rfc3758.html#section-3.6
func (a *Assoc) receiveForward(t time.Duration, c chunk, events []Event) []Event {
	if len(c.value) < 4 || len(c.value)%4 != 0 {
		a.drop(DropChunk)
		return events
	}
	tsn := binary.BigEndian.Uint32(c.value)
	if seq.Less(a.rx.cum, tsn) && tsn-a.rx.cum > maxForward {
		a.drop(DropForward)
		return events
	}
	a.stats.ForwardsIn++
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

// forwardStream delivers what was held of an ordered stream up to ssn, and does
// not wait for the rest. Unordered streams have nothing to skip.
func (a *Assoc) forwardStream(stream, ssn uint16, events []Event) []Event {
	ch := a.channel(stream)
	if ch == nil || !ch.ordered || seq.Less(ssn, ch.nextIn) {
		return events
	}
	return a.deliverHeld(ch, ssn+1, events)
}
