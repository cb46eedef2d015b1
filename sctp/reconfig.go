package sctp

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// RE-CONFIG parameters.
// https://www.rfc-editor.org/rfc/rfc6525.html#section-4
//
// Outgoing SSN Reset Request
//
//	request sequence number (32)
//	response sequence number (32)
//	sender's last assigned TSN (32)
//	stream numbers (16 each); none means all
//
// Re-configuration Response
//
//	response sequence number (32)
//	result (32)
const (
	outgoingResetLen = 12
	responseLen      = 8

	resultPerformed  = 1
	resultDenied     = 2
	resultInProgress = 6

	maxResetTries   = 10
	maxResetStreams = 256 // of one request; others wait for the next
)

// resetStep is how far the reset of our direction of a stream has come.
type resetStep uint8

const (
	resetNone  resetStep = iota
	resetWant            // to be asked for
	resetAsked           // part of the outstanding request
	resetDone
)

// resetState is the two request sequences of the association. Each side has at
// most one request outstanding.
//
// An answer that it is in progress uses a number up: dcSCTP, in Chromium and
// Firefox, asks again under the next one, and gives what is asked under the old one
// the old answer, for ever. Others ask again under the old one.
type resetState struct {
	expected uint32 // the peer's next request
	result   uint32 // of the request before it

	next    uint32 // ours
	lastTSN uint32 // of our outstanding request
	tries   uint8  // how often it was sent; zero when there is none

	ends *streamEnds // nil until something may be late
}

// A streamEnd is the last TSN that the peer had assigned when it reset a stream. What
// it sent on the stream up to there belongs to the channel that it closed.
// https://www.rfc-editor.org/rfc/rfc6525.html#section-5.1.2
type streamEnd struct {
	stream uint16
	tsn    uint32
}

// streamEnds are the last resets of the peer: as many as a page has channels by
// default. What is late on a stream whose end is forgotten counts as sent after it.
type streamEnds struct {
	ring [16]streamEnd
	n    uint
}

// wantReset asks for a reset of our direction of a channel: now, or after the
// request that is outstanding.
func (a *Assoc) wantReset(ch *channel) {
	if ch.out != resetNone {
		return
	}
	ch.out = resetWant
	if a.reset.tries == 0 {
		a.pend |= pendResetRequest
	}
}

// receiveReconfig takes the requests and responses of a RE-CONFIG chunk.
// https://www.rfc-editor.org/rfc/rfc6525.html#section-3.1
func (a *Assoc) receiveReconfig(t time.Duration, c chunk, events []Event) []Event {
	if len(c.value) == 0 || !checkParams(c.value) {
		a.drop(DropChunk)
		return events
	}
	n := 0
	for p := range params(c.value) {
		// A chunk holds one or two (RFC 6525, section 3.1).
		if n++; n > 2 || len(p.value) < 4 {
			a.drop(DropReset)
			return events
		}
		switch p.kind {
		case paramOutgoingReset, paramIncomingReset, paramTSNReset, paramAddOutgoing, paramAddIncoming:
			events = a.receiveResetRequest(p, events)
		case paramResetResponse:
			events = a.receiveResetResponse(t, p, events)
		default:
			a.drop(DropReset)
			return events
		}
	}
	return events
}

// receiveResetRequest answers a request, and performs it if it is new. One that
// comes again gets the same answer.
// https://www.rfc-editor.org/rfc/rfc6525.html#section-5.2.1
func (a *Assoc) receiveResetRequest(p param, events []Event) []Event {
	number := binary.BigEndian.Uint32(p.value)
	if p.kind == paramOutgoingReset && len(p.value) < outgoingResetLen {
		a.drop(DropChunk)
		return events
	}
	switch {
	case number == a.reset.expected:
		a.reset.expected++
	case number != a.reset.expected-1:
		a.drop(DropReset)
		return events
	case a.reset.result != resultInProgress:
		a.pend |= pendResetResponse
		return events
	}
	a.pend |= pendResetResponse
	switch {
	case p.kind != paramOutgoingReset:
		a.reset.result = resultDenied
		// https://www.rfc-editor.org/rfc/rfc6525.html#section-5.2.2
	case seq.Less(a.rx.cum, binary.BigEndian.Uint32(p.value[8:])):
		// Not everything that was sent before has come. The peer asks again.
		a.reset.result = resultInProgress
	default:
		a.reset.result = resultPerformed
		events = a.resetStreams(p.value[outgoingResetLen:], binary.BigEndian.Uint32(p.value[8:]), events)
	}
	return events
}

// resetStreams closes the channels that the peer has closed after TSN last, and our
// direction of each. An empty list means all of them.
func (a *Assoc) resetStreams(list []byte, last uint32, events []Event) []Event {
	a.stats.Resets++
	if len(list) < 2 {
		for i := len(a.channels) - 1; i >= 0; i-- {
			events = a.resetStream(a.channels[i].stream, last, events)
		}
		return events
	}
	for ; len(list) >= 2; list = list[2:] {
		events = a.resetStream(binary.BigEndian.Uint16(list), last, events)
	}
	return events
}

// endStream notes where a stream ends that the peer resets, if something of it may
// still be late.
func (a *Assoc) endStream(stream uint16, last uint32) {
	if !a.rx.within(last) {
		return
	}
	if a.reset.ends == nil {
		a.reset.ends = new(streamEnds)
	}
	e := a.reset.ends
	e.ring[e.n%uint(len(e.ring))] = streamEnd{stream, last}
	e.n++
}

// ended reports whether d, which is late, was sent before the peer reset its stream.
func (a *Assoc) ended(d *data) bool {
	if a.reset.ends == nil {
		return false
	}
	e := a.reset.ends
	return slices.ContainsFunc(e.ring[:min(e.n, uint(len(e.ring)))], func(e streamEnd) bool {
		return e.stream == d.stream && seq.LessEq(d.tsn, e.tsn) && a.rx.within(e.tsn)
	})
}

// resetStream takes note that the peer has closed its direction of a stream.
func (a *Assoc) resetStream(stream uint16, last uint32, events []Event) []Event {
	a.endStream(stream, last)
	ch := a.channel(stream)
	if ch == nil {
		// Its opening was lost: the peer still waits for our direction.
		if stream == maxStream || len(a.channels) >= 2*a.config.MaxChannels {
			a.drop(DropChannels)
			return events
		}
		ch = a.addChannel(channel{stream: stream, refused: true})
	}
	if ch.in {
		return events
	}
	ch.in = true
	if !ch.refused {
		events = append(events, Event{Type: ChannelClosed, Stream: stream})
	}
	a.closeChannel(stream)
	if ch.out == resetDone {
		a.removeChannel(stream)
	}
	return events
}

// receiveResetResponse ends our outstanding request, unless it is only delayed.
// https://www.rfc-editor.org/rfc/rfc6525.html#section-5.2.7
func (a *Assoc) receiveResetResponse(t time.Duration, p param, events []Event) []Event {
	if len(p.value) < responseLen {
		a.drop(DropChunk)
		return events
	}
	if a.reset.tries == 0 || binary.BigEndian.Uint32(p.value) != a.reset.next {
		a.drop(DropReset)
		return events
	}
	if binary.BigEndian.Uint32(p.value[4:]) == resultInProgress {
		a.reset.tries = 1 // it is alive; ask again at the timer's leisure
		a.reset.next++
		a.timers[timerReset] = t + a.controlTimeout()
		return events
	}
	a.endReset()
	return events
}

// endReset takes our request for performed and makes room for the next.
func (a *Assoc) endReset() {
	for i := len(a.channels) - 1; i >= 0; i-- {
		if ch := &a.channels[i]; ch.out == resetAsked {
			if ch.out = resetDone; ch.in {
				a.removeChannel(ch.stream)
			}
		}
	}
	a.reset.tries = 0
	a.reset.next++
	a.timers[timerReset] = 0
	for i := range a.channels {
		if a.channels[i].out == resetWant {
			a.pend |= pendResetRequest
		}
	}
}

// expireReset asks again. A peer that never answers does not know of resets; after
// maxResetTries its stream counts as reset.
func (a *Assoc) expireReset() {
	switch {
	case a.reset.tries == 0:
	case a.reset.tries >= maxResetTries:
		a.endReset()
	default:
		a.pend |= pendResetRequest
	}
}

// appendReconfig appends a RE-CONFIG chunk with the response and the request that
// are due.
func (a *Assoc) appendReconfig(t time.Duration, b []byte, limit int) []byte {
	if a.pend&(pendResetRequest|pendResetResponse) == 0 {
		return b
	}
	n := a.resetRequestSize()
	if chunkHeaderLen+paramHeaderLen+responseLen+n > limit-len(b) {
		return b
	}
	start := len(b)
	b = appendChunk(b, chunkReconfig, 0)
	last := len(b)
	if a.pend&pendResetResponse != 0 {
		b = binary.BigEndian.AppendUint32(appendParam(b, paramResetResponse), a.reset.expected-1)
		b = finishTLV(binary.BigEndian.AppendUint32(b, a.reset.result), last)
	}
	if n > 0 {
		last = len(b)
		b = a.appendResetRequest(t, b)
	}
	a.pend &^= pendResetRequest | pendResetResponse
	if len(b) == last {
		return b[:start]
	}
	return finishChunk(b, start, last)
}

// resetRequestSize returns the size of the request that is due, or zero. It begins
// a new one when none is outstanding.
func (a *Assoc) resetRequestSize() int {
	if a.pend&pendResetRequest == 0 {
		return 0
	}
	n := 0
	for i := range a.channels {
		ch := &a.channels[i]
		if ch.out == resetWant && a.reset.tries == 0 && n < maxResetStreams {
			ch.out = resetAsked
		}
		if ch.out == resetAsked {
			n++
		}
	}
	if n == 0 {
		// The streams are in use again, which says that the peer has performed the
		// request. An empty list would reset all streams.
		if a.reset.tries > 0 {
			a.endReset()
		}
		return 0
	}
	return paramHeaderLen + pad4(outgoingResetLen+2*n)
}

// appendResetRequest appends the outstanding request.
// https://www.rfc-editor.org/rfc/rfc6525.html#section-4.1
func (a *Assoc) appendResetRequest(t time.Duration, b []byte) []byte {
	if a.reset.tries == 0 {
		a.reset.lastTSN = a.nextTSN - 1
	} else {
		a.stats.Retransmits++
	}
	p := len(b)
	b = appendParam(b, paramOutgoingReset)
	b = binary.BigEndian.AppendUint32(b, a.reset.next)
	b = binary.BigEndian.AppendUint32(b, a.reset.expected-1)
	b = binary.BigEndian.AppendUint32(b, a.reset.lastTSN)
	for i := range a.channels {
		if a.channels[i].out == resetAsked {
			b = binary.BigEndian.AppendUint16(b, a.channels[i].stream)
		}
	}
	a.timers[timerReset] = t + min(a.controlTimeout()<<a.reset.tries, 3*time.Second)
	a.reset.tries++
	return finishTLV(b, p)
}
