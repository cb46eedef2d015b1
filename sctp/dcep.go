package sctp

import (
	"encoding/binary"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// DATA_CHANNEL_OPEN and DATA_CHANNEL_ACK.
// https://www.rfc-editor.org/rfc/rfc8832.html#section-5.1
//
//	message type (8) | channel type (8) | priority (16)
//	reliability parameter (32)
//	label length (16) | protocol length (16)
//	label
//	protocol
const (
	dcepAck     = 2
	dcepOpen    = 3
	openLen     = 12
	maxLabelLen = 256 // bytes of the label, and of the protocol

	channelReliable    = 0
	channelRetransmits = 1
	channelLifetime    = 2
	channelUnordered   = 1 << 7
)

// Retransmission of DATA_CHANNEL_ACK.
const (
	maxControl      = 64 // DATA_CHANNEL_ACKs that are not acknowledged
	maxControlTries = 10

	// The first repetition comes after two round trips and controlMargin, within the
	// limits. Then the time doubles, up to controlWaitMax.
	controlMargin   = 50 * time.Millisecond
	controlFirstMin = 100 * time.Millisecond
	controlFirstMax = time.Second
	controlWaitMax  = 3 * time.Second
)

// open is the content of a DATA_CHANNEL_OPEN. Label and protocol are views.
type open struct {
	ordered         bool
	reliability     Reliability
	limit           uint32
	label, protocol []byte
}

// parseOpen reads a DATA_CHANNEL_OPEN.
func parseOpen(b []byte) (o open, _ RefuseReason) {
	if len(b) < openLen {
		return o, RefusedMalformed
	}
	o.ordered = b[1]&channelUnordered == 0
	o.limit = binary.BigEndian.Uint32(b[4:])
	switch b[1] &^ channelUnordered {
	case channelReliable:
		o.reliability, o.limit = Reliable, 0
	case channelRetransmits:
		o.reliability = Retransmits
	case channelLifetime:
		o.reliability = Lifetime
	default:
		return o, RefusedMalformed
	}
	label, protocol := int(binary.BigEndian.Uint16(b[8:])), int(binary.BigEndian.Uint16(b[10:]))
	if len(b) != openLen+label+protocol {
		return o, RefusedMalformed
	}
	o.label, o.protocol = b[openLen:openLen+label], b[openLen+label:]
	if label > maxLabelLen || protocol > maxLabelLen || !utf8.Valid(o.label) || !utf8.Valid(o.protocol) {
		o.label, o.protocol = nil, nil
		return o, RefusedLabel
	}
	return o, refuseNone
}

// receiveDCEP processes a DCEP message.
func (a *Assoc) receiveDCEP(t time.Duration, d *data, events []Event) []Event {
	switch d.payload[0] {
	case dcepOpen:
		return a.receiveOpen(t, d, events)
	case dcepAck:
		return events // this end opens no channels
	}
	a.drop(dropDCEP)
	return events
}

// receiveOpen opens a channel, or refuses it. If the same opening arrives again, it
// only acknowledges it again.
// https://www.rfc-editor.org/rfc/rfc8832.html#section-6
func (a *Assoc) receiveOpen(t time.Duration, d *data, events []Event) []Event {
	a.ack.noteOpen(t, d.tsn)
	ch := a.current(d.stream)
	if ch != nil && ch.state != channelOpen {
		a.drop(dropClosedChannel)
		return events
	}
	if ch != nil && !ch.negotiated {
		a.sendDCEPAck(ch)
		return events
	}
	o, reason := parseOpen(d.payload)
	if reason == refuseNone {
		reason = a.judge(d.stream, o, ch != nil)
	}
	e := Event{
		Type: ChannelOpen, Stream: d.stream,
		Label: string(o.label), Protocol: string(o.protocol),
		Ordered: o.ordered, Reliability: o.reliability, Limit: o.limit,
	}
	if reason != refuseNone {
		e.Type, e.Refused = ChannelRefused, reason
		a.refuse(d.stream)
		return append(events, e)
	}
	again := o.reliability != Retransmits || o.limit != 0
	c := channel{
		stream: d.stream, ordered: o.ordered && again, sequenced: o.ordered && !again,
		reliable: o.reliability == Reliable, honest: again,
	}
	if c.nextIn = d.ssn + 1; d.flags&flagUnordered != 0 {
		c.nextIn = 0
	}
	return a.openChannel(c, ch, e, events)
}

// openChannel adds a channel. If its first messages have overtaken its opening, the
// channel exists as a negotiated one; then openChannel changes it.
func (a *Assoc) openChannel(c channel, was *channel, e Event, events []Event) []Event {
	next := c.nextIn
	if was == nil {
		was = a.addChannel(c)
	} else {
		if was.honest {
			a.ack.honest--
		}
		if c.honest {
			a.ack.honest++
		}
		next = seq.Max(next, was.nextIn)
		c.held, c.gone = was.held, was.gone
		*was = c
	}
	a.sortRuns(was.stream)
	a.sendDCEPAck(was)
	switch n := len(was.held); {
	case was.ordered:
	case n > 0:
		next = seq.Max(next, was.held[n-1].ssn+1) // deliver all held messages
	}
	return a.deliverHeld(was, next, append(events, e))
}

// judge returns why a well-formed opening is refused, or refuseNone.
func (a *Assoc) judge(stream uint16, o open, known bool) RefuseReason {
	// The DTLS client opens channels on even streams, the DTLS server on odd ones
	// (RFC 8832), so that both can open one at the same time.
	ours := stream%2 == 0
	if !a.config.EvenStreams {
		ours = !ours
	}
	switch {
	case ours || stream == maxStream:
		return RefusedStream
	case !a.config.AllowReliable && o.reliability == Reliable:
		return RefusedReliable
	case !known && a.full():
		return RefusedTooMany
	}
	return refuseNone
}

// refuse answers an opening with a stream reset. It remembers the stream until the peer
// has reset it, too, so that messages on it do not open a negotiated channel. If there
// are already 2*MaxChannels entries, it only drops the opening.
func (a *Assoc) refuse(stream uint16) {
	if stream == maxStream {
		return
	}
	ch := a.channel(stream)
	if ch == nil {
		if len(a.channels) >= 2*a.config.MaxChannels {
			a.drop(dropChannels)
			return
		}
		ch = a.addChannel(channel{stream: stream})
	}
	ch.refused = true
	a.closeChannel(stream)
}

// controlData is a DATA_CHANNEL_ACK, the only message of this end that is sent again
// until it is acknowledged.
type controlData struct {
	tsn    uint32
	stream uint16
	ssn    uint16
	tries  uint8
	due    bool
}

// sendDCEPAck queues a DATA_CHANNEL_ACK for Append. If the last one of the channel is
// not acknowledged yet, that one is sent again.
// https://www.rfc-editor.org/rfc/rfc8832.html#section-5.2
func (a *Assoc) sendDCEPAck(ch *channel) {
	for i := range a.control {
		if d := &a.control[i]; d.stream == ch.stream && d.ssn+1 == ch.nextOut {
			d.due = true
			a.pend |= pendControl
			return
		}
	}
	if len(a.control) >= maxControl {
		a.drop(dropChannels)
		return
	}
	a.control = append(a.control, controlData{stream: ch.stream, ssn: ch.nextOut, due: true})
	ch.nextOut++
	a.pend |= pendControl
}

// appendControlData appends the DATA_CHANNEL_ACKs that are due and fit.
func (a *Assoc) appendControlData(t time.Duration, b []byte, limit int) []byte {
	if a.pend&pendControl == 0 {
		return b
	}
	for i := range a.control {
		d := &a.control[i]
		if !d.due {
			continue
		}
		if dataHeaderLen+4 > limit-len(b) {
			return b
		}
		if d.tries == 0 {
			d.tsn = a.assignTSN(t)
		} else {
			a.stats.Retransmits++
		}
		// DCEP messages are ordered and reliable (RFC 8832).
		b = appendDataHeader(b, flagWhole, d.tsn, d.stream, d.ssn, ppidDCEP, 1)
		b = append(b, dcepAck, 0, 0, 0)
		if at := t + min(a.controlTimeout()<<d.tries, controlWaitMax); a.timers[timerControl] == 0 || at < a.timers[timerControl] {
			a.timers[timerControl] = at
		}
		d.due = false
		d.tries++
	}
	a.pend &^= pendControl
	return b
}

// controlTimeout returns how long to wait before the first repetition.
func (a *Assoc) controlTimeout() time.Duration {
	return min(max(2*a.rtt+controlMargin, controlFirstMin), controlFirstMax)
}

// expireControl makes the DATA_CHANNEL_ACKs that are not acknowledged due again. After
// ten times it gives one up: the channel works without it.
func (a *Assoc) expireControl() {
	kept := a.control[:0]
	for _, d := range a.control {
		if d.tries >= maxControlTries {
			continue
		}
		d.due = true
		a.pend |= pendControl
		kept = append(kept, d)
	}
	if a.control = kept; len(kept) == 0 {
		a.control = nil
	}
}

// ackControl removes the DATA_CHANNEL_ACKs that a valid SACK acknowledges.
func (a *Assoc) ackControl(cum uint32, gaps []byte) {
	if len(a.control) == 0 {
		return
	}
	// Gaps may have any order. So the TSNs are sorted, and each gap looks for its first one:
	// the largest SACK would look at each gap for each of them else.
	var waiting [maxControl]uint32
	tsns := waiting[:0]
	for _, d := range a.control {
		if seq.Less(cum, d.tsn) {
			tsns = append(tsns, d.tsn-cum)
		}
	}
	slices.Sort(tsns)
	for ; len(gaps) > 0; gaps = gaps[4:] {
		first, end := uint32(binary.BigEndian.Uint16(gaps)), uint32(binary.BigEndian.Uint16(gaps[2:]))
		i, _ := slices.BinarySearch(tsns, first)
		n := i
		for n < len(tsns) && tsns[n] <= end {
			n++
		}
		tsns = slices.Delete(tsns, i, n)
	}
	a.control = slices.DeleteFunc(a.control, func(d controlData) bool {
		if d.tries == 0 {
			return false
		}
		_, ok := slices.BinarySearch(tsns, d.tsn-cum)
		return !ok
	})
	if len(a.control) == 0 {
		a.control = nil
		a.timers[timerControl] = 0
	}
}

// resending reports whether a DATA_CHANNEL_ACK was sent more than once, which
// makes a round trip ambiguous.
func (a *Assoc) resending() bool {
	for i := range a.control {
		if a.control[i].tries > 1 {
			return true
		}
	}
	return false
}
