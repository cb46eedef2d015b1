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
	maxResetStreams = 256 // streams of one request; others wait for the next
)

// A resetStep is the state of the reset of this end's direction of a stream.
type resetStep uint8

const (
	resetNone  resetStep = iota
	resetWant            // not requested yet
	resetAsked           // part of the outstanding request
	resetDone
)

// resetState has the two request sequences of the association. Each end has at most one
// request outstanding.
//
// After the answer "in progress" dcSCTP (in Chromium and Firefox) requests again with
// the next number, and gives a request with the old number always the old answer.
// Others request again with the old number.
type resetState struct {
	expected uint32 // number of the peer's next request
	result   uint32 // result of the peer's last request

	next    uint32 // number of this end's next request
	lastTSN uint32 // last assigned TSN of this end's outstanding request
	tries   uint8  // how often that request was sent; zero if there is none

	ends *streamEnds // nil until chunks of a reset stream may be late
}

// A streamEnd is the last TSN that the peer had assigned when it reset a stream. Chunks
// on the stream up to this TSN belong to the closed channel.
// https://www.rfc-editor.org/rfc/rfc6525.html#section-5.1.2
type streamEnd struct {
	stream uint16
	tsn    uint32
}

// streamEnds are the last resets of the peer: as many as a page may have channels by
// default. If the end of a stream is not among them any more, late chunks count as sent
// after the reset.
type streamEnds struct {
	ring [16]streamEnd
	n    uint
}

// wantReset makes a reset of this end's direction of a channel due, now or after the
// outstanding request.
func (a *Assoc) wantReset(ch *channel) {
	if ch.out != resetNone {
		return
	}
	ch.out = resetWant
	if a.reset.tries == 0 {
		a.pend |= pendResetRequest
	}
}

// receiveReconfig processes the requests and responses of a RE-CONFIG chunk.
// https://www.rfc-editor.org/rfc/rfc6525.html#section-3.1
func (a *Assoc) receiveReconfig(t time.Duration, c chunk, events []Event) []Event {
	if len(c.value) == 0 || !checkParams(c.value) {
		a.drop(dropChunk)
		return events
	}
	n := 0
	for p := range params(c.value) {
		// A chunk holds one or two (RFC 6525, section 3.1).
		if n++; n > 2 || len(p.value) < 4 {
			a.drop(dropReset)
			return events
		}
		switch p.kind {
		case paramOutgoingReset, paramIncomingReset, paramTSNReset, paramAddOutgoing, paramAddIncoming:
			events = a.receiveResetRequest(p, events)
		case paramResetResponse:
			events = a.receiveResetResponse(t, p, events)
		default:
			a.drop(dropReset)
			return events
		}
	}
	return events
}

// receiveResetRequest answers a request, and performs it if it is new. The same request
// gets the same answer.
// https://www.rfc-editor.org/rfc/rfc6525.html#section-5.2.1
func (a *Assoc) receiveResetRequest(p param, events []Event) []Event {
	number := binary.BigEndian.Uint32(p.value)
	if p.kind == paramOutgoingReset && len(p.value) < outgoingResetLen {
		a.drop(dropChunk)
		return events
	}
	switch {
	case number == a.reset.expected:
		a.reset.expected++
	case number != a.reset.expected-1:
		a.drop(dropReset)
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
		// Chunks that were sent before have not arrived yet. The peer requests again.
		a.reset.result = resultInProgress
	default:
		a.reset.result = resultPerformed
		events = a.resetStreams(p.value[outgoingResetLen:], binary.BigEndian.Uint32(p.value[8:]), events)
	}
	return events
}

// resetStreams closes the channels that the peer has closed after TSN last, and this
// end's direction of each. An empty list means all channels.
func (a *Assoc) resetStreams(list []byte, last uint32, events []Event) []Event {
	a.stats.resets++
	if len(list) < 2 {
		for i := len(a.channels) - 1; i >= 0; i-- {
			if ch := &a.channels[i]; ch.in { // a packet may have many such requests
				a.endStream(ch.stream, last)
				continue
			}
			events = a.resetStream(a.channels[i].stream, last, events)
		}
		return events
	}
	for ; len(list) >= 2; list = list[2:] {
		events = a.resetStream(binary.BigEndian.Uint16(list), last, events)
	}
	return events
}

// endStream notes the end of a stream that the peer has reset, if chunks of it may
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

// resetStream notes that the peer has closed its direction of a stream.
func (a *Assoc) resetStream(stream uint16, last uint32, events []Event) []Event {
	a.endStream(stream, last)
	ch := a.channel(stream)
	if ch == nil {
		// Its opening was lost: the peer waits for the reset of this end's direction.
		if stream == maxStream || len(a.channels) >= 2*a.config.MaxChannels {
			a.drop(dropChannels)
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

// receiveResetResponse ends the outstanding request of this end, unless the response is
// "in progress".
// https://www.rfc-editor.org/rfc/rfc6525.html#section-5.2.7
func (a *Assoc) receiveResetResponse(t time.Duration, p param, events []Event) []Event {
	if len(p.value) < responseLen {
		a.drop(dropChunk)
		return events
	}
	if a.reset.tries == 0 || binary.BigEndian.Uint32(p.value) != a.reset.next {
		a.drop(dropReset)
		return events
	}
	if binary.BigEndian.Uint32(p.value[4:]) == resultInProgress {
		a.reset.tries = 1 // the peer answers; request again when the timer expires
		a.reset.next++
		a.timers[timerReset] = t + a.controlTimeout()
		return events
	}
	a.endReset()
	return events
}

// endReset ends the outstanding request, which counts as performed.
func (a *Assoc) endReset() {
	for i := range a.channels {
		switch ch := &a.channels[i]; ch.out {
		case resetAsked:
			ch.out = resetDone
		case resetWant:
			a.pend |= pendResetRequest
		}
	}
	a.channels = slices.DeleteFunc(a.channels, func(ch channel) bool { return ch.in && ch.out == resetDone })
	a.reset.tries = 0
	a.reset.next++
	a.timers[timerReset] = 0
}

// expireReset makes the outstanding request due again. A peer that never answers does
// not support resets: after maxResetTries the streams count as reset.
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

// resetRequestSize returns the size of the request that is due, or zero. If none is
// outstanding it begins a new one.
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
		// The streams are in use again, so the peer has performed the request. An empty list
		// would reset all streams.
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
