package sctp

import (
	"encoding/binary"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// Bytes of the peer that are sent back to it.
const (
	maxEcho   = MaxPacket - headerLen - chunkHeaderLen // bytes of a HEARTBEAT
	maxReport = 128                                    // bytes of error causes in one packet
)

// Receive processes a packet and appends its events to events. It counts and drops a
// packet that cannot be used. Payloads may be views of b.
func (a *Assoc) Receive(now time.Time, b []byte, events []Event) []Event {
	t := a.since(now)
	a.stats.PacketsIn++
	if r := checkPacket(b); r != dropNone {
		a.drop(r)
		return events
	}
	if a.state == stateClosed {
		a.drop(dropState)
		return events
	}
	if !a.checkTag(b) {
		a.drop(dropTag)
		return events
	}
	if a.config.Heartbeat > 0 && a.state == stateEstablished {
		a.timers[timerHeartbeat] = t + a.config.Heartbeat
	}
	data, urgent := false, false
	credit := headerLen
	for c := range chunks(b) {
		var more bool
		if c.kind != chunkHeartbeat { // its answer has the same bytes
			credit += len(c.raw)
		}
		if c.kind == chunkData {
			var at bool
			events, at, more = a.receiveData(t, c, events)
			data, urgent = true, urgent || at
		} else {
			events, more = a.receiveChunk(t, c, events)
		}
		if !more {
			break
		}
	}
	a.ack.credit = uint16(min(int(a.ack.credit)+credit, maxCredit))
	if data && a.state == stateEstablished {
		a.acknowledge(t, urgent)
	}
	return events
}

// checkTag applies the rules for the verification tag. The first chunk decides. "When
// receiving an SCTP packet, the endpoint MUST ensure that the value in the Verification Tag
// field of the received SCTP packet matches its own tag", except for the chunks below.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-8.5
// https://www.rfc-editor.org/rfc/rfc9260.html#section-8.5.1
func (a *Assoc) checkTag(b []byte) bool {
	tag := binary.BigEndian.Uint32(b[offsetTag:])
	kind, flags := b[headerLen], b[headerLen+1]
	switch kind {
	case chunkInit:
		// There is no tag to check. An endpoint "MUST NOT bundle INIT" with other chunks.
		// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.10
		size := int(binary.BigEndian.Uint16(b[headerLen+2:]))
		return tag == 0 && pad4(size) >= len(b)-headerLen
	case chunkAbort, chunkShutdownComplete:
		if flags&flagReflected != 0 {
			return a.peer.tag != 0 && tag == a.peer.tag
		}
	}
	return tag == a.config.LocalTag
}

// receiveChunk processes any chunk except DATA. It reports whether to continue with the
// packet.
func (a *Assoc) receiveChunk(t time.Duration, c chunk, events []Event) ([]Event, bool) {
	switch c.kind {
	case chunkInit:
		return a.receiveInit(c, events), false
	case chunkInitAck:
		return a.receiveInitAck(t, c, events), false
	case chunkCookieEcho:
		return a.receiveCookieEcho(t, c, events)
	case chunkCookieAck:
		return a.receiveCookieAck(t, events), true
	case chunkAbort:
		return a.receiveAbort(c, events), false
	case chunkError:
		a.receiveError(c)
		return events, true
	}
	if a.state == stateCookieEchoed && c.kind == chunkHeartbeat {
		a.receiveHeartbeat(c) // it may overtake the COOKIE ACK
		return events, true
	}
	if a.state != stateEstablished {
		a.drop(dropState)
		return events, false
	}
	a.unheard = false
	switch c.kind {
	case chunkSack:
		a.receiveSack(t, c)
	case chunkForwardTSN:
		events = a.receiveForward(t, c, events)
	case chunkReconfig:
		events = a.receiveReconfig(t, c, events)
	case chunkHeartbeat:
		a.receiveHeartbeat(c)
	case chunkHeartbeatAck:
		events = a.receiveHeartbeatAck(t, c, events)
		// https://www.rfc-editor.org/rfc/rfc9260.html#section-9.2
	case chunkShutdown:
		events = a.fail(PeerShutdown, events)
		a.pend = pendShutdownAck
		return events, false
	case chunkShutdownAck, chunkShutdownComplete:
		a.drop(dropState) // this end never sends SHUTDOWN
	default:
		return events, a.unknownChunk(c)
	}
	return events, true
}

// DATA.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.1
//
//	TSN (32)
//	stream identifier (16) | stream sequence number (16)
//	payload protocol identifier (32)
//	user data

// receiveData processes a DATA chunk. It reports whether the chunk must be acknowledged
// at once, and whether to continue with the packet.
func (a *Assoc) receiveData(t time.Duration, c chunk, events []Event) (_ []Event, urgent, more bool) {
	if a.state == stateCookieEchoed {
		// Only a peer that has this end's cookie sends DATA: its COOKIE ACK is lost or late.
		events = a.establish(t, events)
	}
	if a.state != stateEstablished {
		a.drop(dropState)
		return events, false, false
	}
	a.unheard = false
	if len(c.value) < dataFieldsLen {
		a.drop(dropChunk)
		return events, false, true
	}
	d := data{
		tsn:     binary.BigEndian.Uint32(c.value),
		stream:  binary.BigEndian.Uint16(c.value[4:]),
		ssn:     binary.BigEndian.Uint16(c.value[6:]),
		ppid:    binary.BigEndian.Uint32(c.value[8:]),
		flags:   c.flags,
		payload: c.value[dataFieldsLen:],
	}
	// "The receiver SHOULD NOT delay the sending of the corresponding SACK chunk."
	// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.2-9
	urgent = c.flags&flagImmediate != 0
	switch {
	// The RFC requires an ABORT with this cause. An ERROR also tells the peer, and does
	// not end the association.
	// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.10.9
	case len(d.payload) == 0:
		a.drop(dropNoData)
		a.reportCause(causeNoUserData, c.value[:4])
		return events, false, true
	case a.rx.seen(d.tsn):
		a.stats.Duplicates++
		a.ack.duplicate(d.tsn)
		return events, true, true
	case a.rx.beyond(d.tsn):
		a.drop(dropWindow)
		return events, true, true
	case !a.admit(&d):
		a.drop(dropRefused)
		return events, true, true
	}
	over := false
	if seq.LessEq(d.tsn, a.rx.cum) {
		a.stats.Late++
		over = a.ended(&d) // a stream is reset only when everything before is acknowledged
	}
	a.rx.mark(d.tsn)
	a.ack.windowGot++
	if over {
		a.drop(dropClosedChannel)
		return events, urgent, true
	}
	if d.flags&flagWhole == flagWhole {
		return a.receiveMessage(t, &d, false, events), urgent, true
	}
	return a.receiveFragment(t, &d, events), urgent, true
}

// receiveAbort ends the association, whatever the cause is.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-9.1
func (a *Assoc) receiveAbort(c chunk, events []Event) []Event {
	e := Event{Type: Closed, Reason: PeerAbort}
	first := firstParam(c.value)
	e.Cause, e.Payload = first.kind, first.value
	a.close()
	return append(events, e)
}

// receiveError begins the handshake again if the error is a stale cookie. It ignores
// other errors.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.2.6
func (a *Assoc) receiveError(c chunk) {
	if a.state != stateCookieEchoed || !checkParams(c.value) {
		return
	}
	for p := range params(c.value) {
		if p.kind == causeStaleCookie {
			a.state = stateCookieWait
			a.sends = initBurst // do not send a second burst
			a.pend = a.pend&^pendCookieEcho | pendInit
			return
		}
	}
}

// receiveHeartbeat keeps the content of a HEARTBEAT, which Append sends back.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-8.3
func (a *Assoc) receiveHeartbeat(c chunk) {
	if len(c.value) == 0 || len(c.value) > maxEcho || !checkParams(c.value) {
		a.drop(dropHeartbeat)
		return
	}
	a.heartbeat = append(a.heartbeat[:0], c.value...)
}

// appendHeartbeats appends the answer to the peer's HEARTBEAT, and a HEARTBEAT of this end.
func (a *Assoc) appendHeartbeats(t time.Duration, b []byte, limit int) []byte {
	if a.heartbeat != nil && chunkHeaderLen+pad4(len(a.heartbeat)) <= limit-len(b) {
		start := len(b)
		b = finishTLV(append(appendChunk(b, chunkHeartbeatAck, 0), a.heartbeat...), start)
		a.heartbeat = nil
	}
	if a.pend&pendHeartbeat != 0 && chunkHeaderLen+paramHeaderLen+timeLen <= limit-len(b) {
		a.pend &^= pendHeartbeat
		b = a.appendHeartbeat(t, b, nil)
	}
	return b
}

// maxProbe is the largest number of bytes of a probe.
const maxProbe = 32

// ProbeLen returns the length of a packet of AppendProbe with n bytes.
func ProbeLen(n int) int {
	return headerLen + chunkHeaderLen + paramHeaderLen + pad4(timeLen+n)
}

// timeLen is the length of the time in a HEARTBEAT of this end.
const timeLen = 8

// AppendProbe appends a packet with only a HEARTBEAT that contains info, at most 32
// bytes. A peer that receives it sends the same bytes back, and the event Echo has
// them. AppendProbe does nothing before the association is established.
func (a *Assoc) AppendProbe(now time.Time, b, info []byte) []byte {
	if a.state != stateEstablished || len(info) > maxProbe {
		return b
	}
	start := len(b)
	b = a.appendHeader(b, a.peer.tag)
	return finishPacket(a.appendHeartbeat(a.since(now), b, info), start)
}

// appendHeartbeat appends a HEARTBEAT with the time and info.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.5
func (a *Assoc) appendHeartbeat(t time.Duration, b, info []byte) []byte {
	a.heartSent = t
	start := len(b)
	b = appendChunk(b, chunkHeartbeat, 0)
	p := len(b)
	b = binary.BigEndian.AppendUint64(appendParam(b, paramHeartbeatInfo), uint64(t))
	b = finishTLV(append(b, info...), p)
	return finishChunk(b, start, p)
}

// receiveHeartbeatAck measures the round trip of the last HEARTBEAT of this end, and
// emits the content of a probe, also of an earlier one.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-8.3
func (a *Assoc) receiveHeartbeatAck(t time.Duration, c chunk, events []Event) []Event {
	info := firstParam(c.value).value
	n := len(info) - timeLen
	if n < 0 || n > maxProbe {
		a.drop(dropHeartbeat)
		return events
	}
	switch sent := time.Duration(binary.BigEndian.Uint64(info)); {
	case a.heartSent != 0 && sent == a.heartSent:
		a.sampleRTT(t - a.heartSent)
		a.heartSent = 0
	case n == 0:
		a.drop(dropHeartbeat)
	}
	if n > 0 {
		events = append(events, Event{Type: Echo, Payload: info[timeLen:]})
	}
	return events
}

// unknownChunk does what the two highest bits of the type say, and reports whether to
// continue with the packet.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.2
func (a *Assoc) unknownChunk(c chunk) bool {
	a.drop(dropUnknownChunk)
	if c.kind&unknownReport != 0 {
		a.reportCause(causeUnrecognizedChunk, c.raw)
	}
	return c.kind&unknownSkip != 0
}

// reportCause adds an error cause to the next ERROR chunk. It cuts off what does not
// fit, and drops the cause if there is no room.
func (a *Assoc) reportCause(cause uint16, info []byte) {
	room := maxReport - len(a.report) - paramHeaderLen
	if room < 4 {
		a.drop(dropEcho)
		return
	}
	start := len(a.report)
	a.report = finishTLV(append(appendParam(a.report, cause), info[:min(len(info), room)]...), start)
}

// appendReport appends an ERROR chunk with the causes of reportCause.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.10
func (a *Assoc) appendReport(b []byte, limit int) []byte {
	if a.report == nil || chunkHeaderLen+len(a.report) > limit-len(b) {
		return b
	}
	start, last := len(b), 0
	b = appendChunk(b, chunkError, 0)
	for cause := range params(a.report) {
		last = len(b)
		b = finishTLV(append(b, cause.raw...), last)
	}
	a.report = nil
	return finishChunk(b, start, last)
}
