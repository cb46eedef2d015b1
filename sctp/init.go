package sctp

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Values of this end in INIT and INIT ACK.
const (
	localWindow  = 512 << 10 // a_rwnd
	localStreams = 0xffff    // in both directions, as browsers offer
)

// Handshake timers. The first INITs are sent in a burst: if there was only one, and it
// was lost or overtook the end of the DTLS handshake, a timeout would pass.
const (
	initBurst      = 4 // the first INIT and three repeats
	initBurstGap   = 3 * time.Millisecond
	initTimeout    = 100 * time.Millisecond // after the burst, doubling
	initTimeoutMax = 3 * time.Second
	maxInits       = initBurst + 7         // about 10 s in all
	cookieTimeout  = 80 * time.Millisecond // without a measured round trip; otherwise 1.5 round trips within the limits
	cookieWaitMin  = 20 * time.Millisecond
	cookieWaitMax  = time.Second
	maxCookieEchos = 9
	maxCookie      = MaxPacket - headerLen - chunkHeaderLen
	maxUnknown     = 256 // bytes of unrecognized parameters that are echoed
)

// INIT and INIT ACK.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.2
//
//	initiate tag (32)
//	advertised receiver window (32)
//	outbound streams (16) | inbound streams (16)
//	initial TSN (32)
//	parameters
const initFixedLen = 16

// endpoint has the values of an INIT or INIT ACK that are used later. The window is not
// used: flow control is a task of the layer above.
type endpoint struct {
	tag uint32
	tsn uint32
	in  uint16 // inbound streams
}

// initInfo has the values that are read from an INIT or INIT ACK.
type initInfo struct {
	endpoint
	forward bool   // FORWARD-TSN is supported
	cookie  []byte // cookie of an INIT ACK, a view
	unknown []byte // parameters to report, a copy
}

// parseInit reads the value of an INIT or INIT ACK.
func parseInit(b []byte) (i initInfo, ok bool) {
	if len(b) < initFixedLen || !checkParams(b[initFixedLen:]) {
		return initInfo{}, false
	}
	i.tag = binary.BigEndian.Uint32(b)
	out := binary.BigEndian.Uint16(b[8:])
	i.in = binary.BigEndian.Uint16(b[10:])
	i.tsn = binary.BigEndian.Uint32(b[12:])
	for p := range params(b[initFixedLen:]) {
		if !i.parseParam(p) {
			break
		}
	}
	return i, i.tag != 0 && out != 0 && i.in != 0
}

// parseParam reads one parameter and reports whether to continue with the next.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.2.2
func (i *initInfo) parseParam(p param) bool {
	switch p.kind {
	case paramForwardTSN:
		i.forward = true
	case paramExtensions:
		i.forward = i.forward || bytes.IndexByte(p.value, chunkForwardTSN) >= 0
	case paramCookie:
		i.cookie = p.value
	case paramIPv4, paramIPv6, paramCookieLifetime, paramAddressTypes, paramUnrecognized:
		// Known and ignored: addresses have no meaning inside DTLS (RFC 8261).
	default:
		if p.kind&(unknownReport<<8) != 0 && len(i.unknown)+pad4(len(p.raw)) <= maxUnknown {
			start := len(i.unknown)
			i.unknown = finishTLV(append(i.unknown, p.raw...), start)
		}
		return p.kind&(unknownSkip<<8) != 0
	}
	return true
}

// Connect sends an INIT. It does nothing if the association has begun already.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.1
func (a *Assoc) Connect(now time.Time) {
	if a.state != stateIdle {
		return
	}
	a.state = stateCookieWait
	a.pend |= pendInit
}

// appendInit appends a packet with only an INIT, whose tag is zero.
func (a *Assoc) appendInit(t time.Duration, b []byte) []byte {
	a.pend &^= pendInit
	start := len(b)
	b = finishPacket(a.AppendInit(a.appendHeader(b, 0)), start)

	if a.sends == 0 {
		a.initSent = t
	} else {
		a.stats.Retransmits++
	}
	a.sends++
	wait := initBurstGap
	if a.sends >= initBurst {
		wait = min(initTimeout<<(a.sends-initBurst), initTimeoutMax)
	}
	a.timers[timerInit] = t + wait
	return b
}

// appendInitFields appends the fields that INIT and INIT ACK have in common, and
// returns where the last parameter begins. It offers only extensions that are
// implemented: a peer aborts if it was offered interleaving and does not get it.
// https://www.rfc-editor.org/rfc/rfc8831.html#section-6.2
func appendInitFields(b []byte, tag, tsn uint32) (_ []byte, last int) {
	b = binary.BigEndian.AppendUint32(b, tag)
	b = binary.BigEndian.AppendUint32(b, localWindow)
	b = binary.BigEndian.AppendUint16(b, localStreams)
	b = binary.BigEndian.AppendUint16(b, localStreams)
	b = binary.BigEndian.AppendUint32(b, tsn)
	b = finishTLV(appendParam(b, paramForwardTSN), len(b))
	last = len(b)
	return finishTLV(append(appendParam(b, paramExtensions), chunkForwardTSN, chunkReconfig), last), last
}

// receiveInit notes an INIT, which Append answers. It changes nothing else, in any
// state: the cookie in the answer has everything that is needed later.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.2.2
func (a *Assoc) receiveInit(c chunk, events []Event) []Event {
	info, ok := parseInit(c.value)
	if !ok {
		a.drop(dropChunk)
		return events
	}
	if !info.forward {
		return a.unsupported(info.tag, events)
	}
	a.initReply = &info
	return events
}

// unsupported ends an association that is not established at the peer, because the peer does
// not support FORWARD-TSN, which would tell it that messages are lost.
// https://www.rfc-editor.org/rfc/rfc3758.html#section-3.3.2
func (a *Assoc) unsupported(tag uint32, events []Event) []Event {
	a.drop(dropUnsupported)
	if a.Heard() {
		return events
	}
	a.peer.tag = tag
	events = a.fail(NoPartialReliability, events)
	a.pend = pendAbort
	return events
}

// appendInitAck appends the answer to the last INIT.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.1
func (a *Assoc) appendInitAck(t time.Duration, b []byte) []byte {
	info := a.initReply
	a.initReply = nil
	start := len(b)
	b = a.appendHeader(b, info.tag)
	c := len(b)
	b, _ = appendInitFields(appendChunk(b, chunkInitAck, 0), a.config.LocalTag, a.config.InitialTSN)
	last := len(b)
	b = finishTLV(a.appendCookie(t, appendParam(b, paramCookie), info), last)
	for u := range params(info.unknown) {
		last = len(b)
		b = finishTLV(append(appendParam(b, paramUnrecognized), u.raw...), last)
	}
	return finishPacket(finishChunk(b, c, last), start)
}

// receiveInitAck stores the peer's cookie, which Append sends back.
func (a *Assoc) receiveInitAck(t time.Duration, c chunk, events []Event) []Event {
	// In any other state it answers an old INIT, or one that this end did not send.
	// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.2.3
	if a.state != stateCookieWait {
		a.drop(dropState)
		return events
	}
	info, ok := parseInit(c.value)
	if !ok || len(info.cookie) == 0 || len(info.cookie) > maxCookie {
		a.drop(dropChunk)
		return events
	}
	if !info.forward {
		return a.unsupported(info.tag, events)
	}
	a.cookie = bytes.Clone(info.cookie)
	a.peer = info.endpoint
	a.state = stateCookieEchoed
	if a.sends <= initBurst {
		// The first INIT of the burst may be lost, so this is at most 9 ms too long.
		a.sampleRTT(t - a.initSent)
	}
	a.pend = a.pend&^pendInit | pendCookieEcho
	a.sends = 0
	return events
}

// appendCookieEcho appends a packet with only the peer's cookie: before the browser's
// Finished is verified, only packets of the handshake may be sent.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.11
func (a *Assoc) appendCookieEcho(t time.Duration, b []byte) []byte {
	a.pend &^= pendCookieEcho
	start := len(b)
	b = a.appendHeader(b, a.peer.tag)
	c := len(b)
	b = finishTLV(append(appendChunk(b, chunkCookieEcho, 0), a.cookie...), c)
	b = finishPacket(b, start)

	if a.sends > 0 {
		a.stats.Retransmits++
	}
	wait := cookieTimeout
	if a.rtt > 0 {
		wait = min(max(a.rtt*3/2, cookieWaitMin), cookieWaitMax)
	}
	a.timers[timerInit] = t + min(wait<<a.sends, initTimeoutMax)
	a.sends++
	return b
}

// expireInit makes an INIT or COOKIE ECHO due again, or ends the association after too many.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.1
func (a *Assoc) expireInit(events []Event) []Event {
	switch a.state {
	case stateCookieWait:
		if a.sends >= maxInits {
			return a.fail(InitTimeout, events)
		}
		a.pend |= pendInit
	case stateCookieEchoed:
		if a.sends >= maxCookieEchos {
			return a.fail(CookieTimeout, events)
		}
		a.pend |= pendCookieEcho
	}
	return events
}

// receiveCookieEcho checks a cookie of this end and establishes the association that it
// describes. If both ends have sent an INIT, the tag in the cookie replaces that of the
// peer's INIT ACK. After Establish it replaces that of the INIT from outside: the peer did
// not get the INIT of this end, and begins with another tag.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.2.4
func (a *Assoc) receiveCookieEcho(t time.Duration, c chunk, events []Event) ([]Event, bool) {
	info, fresh, ok := a.openCookie(t, c.value)
	if !ok {
		a.drop(dropCookie)
		return events, false
	}
	if a.Heard() {
		if info.tag != a.peer.tag || info.tsn != a.peer.tsn {
			a.drop(dropRestart)
			return events, false
		}
		a.pend |= pendCookieAck
		return events, true
	}
	if !fresh {
		a.drop(dropCookie)
		return events, false
	}
	a.peer = info
	events = a.establish(t, events)
	a.unheard = false
	a.pend |= pendCookieAck
	return events, true
}

// receiveCookieAck establishes the association at the end that has sent the COOKIE ECHO.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.2.5
func (a *Assoc) receiveCookieAck(t time.Duration, events []Event) []Event {
	if a.state != stateCookieEchoed {
		return events // a repeated COOKIE ACK
	}
	return a.establish(t, events)
}

// establish begins the association with a.peer, or begins it again with another peer's tag
// after Establish. Then the peer has dropped all packets so far: the timer of T3 tells it soon
// which TSNs are given up.
func (a *Assoc) establish(t time.Duration, events []Event) []Event {
	again := a.state == stateEstablished
	a.state = stateEstablished
	a.cookie = nil
	a.pend &^= pendInit | pendCookieEcho
	a.timers[timerInit] = 0
	a.rx.init(a.peer.tsn - 1)
	a.ack.init(t, &a.config, a.rx.high)
	a.forwarded = a.peer.tsn - 1
	a.reset.expected = a.peer.tsn
	if a.config.Heartbeat > 0 {
		a.timers[timerHeartbeat] = t + a.config.Heartbeat
	}
	if again {
		if a.idleTries = 0; a.timers[timerT3] != 0 {
			a.timers[timerT3] = t + a.idleTimeout()
		}
		return events
	}
	return append(events, Event{Type: Established})
}
