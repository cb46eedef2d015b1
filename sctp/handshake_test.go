package sctp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// initAck returns an INIT ACK with a cookie.
func initAck(cookie string) []byte {
	return initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte(cookie)))
}

// invite starts the handshake of a and returns its INIT packet.
func (a *testAssoc) invite() []byte {
	a.t.Helper()
	a.Connect(a.now)
	b := a.next()
	a.want("it begins", b, "INIT")
	return b
}

// only returns the one chunk of a packet.
func only(t *testing.T, b []byte) (c chunk) {
	t.Helper()
	n := 0
	for c = range chunks(b) {
		n++
	}
	if n != 1 {
		t.Fatalf("%d chunks in %s, want 1", n, debugPacket(b))
	}
	return c
}

// live advances the time by d in steps of a millisecond, and drains after each.
func (a *testAssoc) live(d time.Duration) (packets []string) {
	for end := a.now.Add(d); a.now.Before(end); {
		a.pass(time.Millisecond)
		packets = append(packets, a.drain()...)
	}
	return packets
}

func tagOf(b []byte) uint32 { return binary.BigEndian.Uint32(b[offsetTag:]) }

// RFC 9260, 3.1 and 3.3.2: ports, tag, and the fields of an INIT.
func TestFieldsOfAnInit(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{LocalTag: 0x01020304, InitialTSN: 0x05060708}, "13881388 00000000 01020304 00080000 ffff ffff 05060708"},
		{Config{LocalPort: 0x1234, RemotePort: 0x5678}, "12345678 00000000 00000001 00080000 ffff ffff 00000000"},
	} {
		a := New(tt.c)
		a.Connect(time.Unix(1, 0))
		b := a.Append(time.Unix(1, 0), nil)
		v := b[headerLen+chunkHeaderLen:]
		got := fmt.Sprintf("%x %x %x %x %x %x %x", b[:4], b[4:8], v[:4], v[4:8], v[8:10], v[10:12], v[12:16])
		if got != tt.want {
			t.Errorf("%+v:\nhave %s\nwant %s", tt.c, got, tt.want)
		}
	}
}

// An INIT ACK has the tag of its INIT, the fields of this end, a cookie, and each parameter
// that is not known as a parameter of its own (RFC 9260, 3.3.3).
func TestFieldsOfAnInitAck(t *testing.T) {
	a := newIdleAssoc(t)
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN, rawParam(0xc0fe, []byte("12345")), rawParam(0xc0ff, nil))))
	b := a.next()
	if tagOf(b) != peerTag {
		t.Errorf("tag %x, want the peer's %x", tagOf(b), peerTag)
	}
	c := only(t, b)
	if got, want := c.value[:initFixedLen], u32s(ourTag, localWindow, 0xffff_ffff, ourTSN); !bytes.Equal(got, want) {
		t.Errorf("fields %x, want %x", got, want)
	}
	var got []string
	for p := range params(c.value[initFixedLen:]) {
		if p.kind == paramCookie {
			p.value = nil
		}
		got = append(got, fmt.Sprintf("%x %x", p.kind, p.value))
	}
	want := "c000 , 8008 c082, 7 , 8 c0fe00093132333435, 8 c0ff0004"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("parameters %s, want %s", s, want)
	}
}

// Together the reported parameters have at most 256 bytes.
func TestUnknownParametersAreReportedUpToALimit(t *testing.T) {
	a := newIdleAssoc(t)
	many := bytes.Repeat(rawParam(0xc0ff, []byte("0123456789ab")), 40)
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN, many)))
	if n := strings.Count(string(a.next()), "0123456789ab"); n != maxUnknown/16 {
		t.Errorf("%d parameters of 16 bytes are reported, want %d", n, maxUnknown/16)
	}
}

// The list of extensions has their chunk types (RFC 5061, 4.2.7). Parameters that have no
// meaning here, such as addresses, are skipped without a report.
func TestPartialReliabilityIsFoundAmongParameters(t *testing.T) {
	for _, tt := range []struct {
		name string
		list []byte
		want bool
	}{
		{"named as an extension", rawParam(paramExtensions, []byte{chunkReconfig, chunkForwardTSN}), true},
		{"named first", rawParam(paramExtensions, []byte{chunkForwardTSN, chunkReconfig}), true},
		{"other extensions", rawParam(paramExtensions, []byte{chunkReconfig, 64}), false},
		{"the parameter", rawParam(paramForwardTSN, nil), true},
		{"the parameter before other extensions", append(rawParam(paramForwardTSN, nil), rawParam(paramExtensions, []byte{chunkReconfig})...), true},
		{"after an IPv4 address", append(rawParam(paramIPv4, []byte{127, 0, 0, 1}), rawParam(paramForwardTSN, nil)...), true},
		{"after an IPv6 address", append(rawParam(paramIPv6, make([]byte, 16)), rawParam(paramForwardTSN, nil)...), true},
		{"after a cookie's lifetime", append(rawParam(paramCookieLifetime, u32s(1000)), rawParam(paramForwardTSN, nil)...), true},
		{"after address types", append(rawParam(paramAddressTypes, []byte{0, 5}), rawParam(paramForwardTSN, nil)...), true},
		{"after a report of parameters that the peer does not know", append(rawParam(paramUnrecognized, rawParam(paramForwardTSN, nil)), rawParam(paramForwardTSN, nil)...), true},
		{"after a cookie", append(rawParam(paramCookie, []byte("c")), rawParam(paramForwardTSN, nil)...), true},
		{"after a parameter that ends the list", append(rawParam(0x00ff, nil), rawParam(paramForwardTSN, nil)...), false},
	} {
		i, ok := parseInit(append(u32s(peerTag, 1<<20, 0xffff_ffff, peerTSN), tt.list...))
		if !ok || i.forward != tt.want || len(i.unknown) > 0 {
			t.Errorf("%s: well formed %v, want true; FORWARD-TSN %v, want %v; parameters reported %x, want none", tt.name, ok, i.forward, tt.want, i.unknown)
		}
	}
}

// A peer without FORWARD-TSN would repeat lost messages, so its association is aborted, with
// its own tag, whichever end has sent the INIT.
func TestAbortOfAPeerWithoutPartialReliability(t *testing.T) {
	v := append(u32s(peerTag, 1<<20, 0xffff_ffff, peerTSN), rawParam(paramCookie, []byte("c"))...)
	a, b := newIdleAssoc(t), newIdleAssoc(t)
	a.writePacket(packet(0, rawChunk(chunkInit, 0, v)))
	b.invite()
	b.write(rawChunk(chunkInitAck, 0, v))
	for _, a := range []*testAssoc{a, b} {
		a.wantEvent("cannot be served", Event{Type: Closed, Reason: NoPartialReliability})
		p := a.next()
		if c := only(t, p); tagOf(p) != peerTag || c.kind != chunkAbort || !bytes.Equal(c.value, rawParam(causeProtocolViolation, nil)) {
			t.Errorf("the packet %x is not an ABORT with the peer's tag and a protocol violation", p)
		}
		a.wantDrops("and it is counted", dropUnsupported, 1)
	}
}

// The cookie of an INIT ACK is sent back unchanged, with the peer's tag, if it fits a packet.
func TestCookiesOfThePeer(t *testing.T) {
	for size, goesBack := range map[int]bool{0: false, 1: true, maxCookie: true, maxCookie + 1: false} {
		a := newIdleAssoc(t)
		a.invite()
		cookie := strings.Repeat("c", size)
		a.write(initAck(cookie))
		b := a.next()
		if !goesBack {
			a.wantDrops("a cookie that cannot be", dropChunk, 1)
			if len(b) > 0 {
				t.Errorf("a cookie of %d bytes is answered: %s", size, debugPacket(b))
			}
			continue
		}
		if c := only(t, b); c.kind != chunkCookieEcho || string(c.value) != cookie || tagOf(b) != peerTag {
			t.Errorf("a cookie of %d bytes: %s with tag %x, want a COOKIE-ECHO with this cookie and tag %x", size, debugPacket(b), tagOf(b), peerTag)
		}
	}
}

// A malformed INIT ACK is dropped, also if it has a cookie.
func TestMalformedInitAck(t *testing.T) {
	a := newIdleAssoc(t)
	a.invite()
	whole := initAck("cook")
	a.write(initChunk(chunkInitAck, 0, peerTSN, rawParam(paramCookie, []byte("cook"))))
	a.write(rawChunk(chunkInitAck, 0, whole[chunkHeaderLen:len(whole)-1]))
	a.write(rawChunk(chunkInitAck, 0, whole[chunkHeaderLen:chunkHeaderLen+initFixedLen-1]))
	a.wantDrops("all of them", dropChunk, 3)
	a.wantIdle("not answered")
	a.write(whole)
	a.wantPacket("this one is", "COOKIE-ECHO")
	if _, err := a.AppendMessage(a.now, nil, 0, Text, nil); err != ErrNotOpen {
		t.Errorf("AppendMessage before the handshake ends: %v, want ErrNotOpen", err)
	}
}

// Until an INIT is sent after the burst, an INIT ACK measures the round trip of the first INIT.
// After that nobody knows which INIT it answers.
func TestRoundTripOfTheHandshake(t *testing.T) {
	for _, tt := range []struct {
		after, want time.Duration
		inits       uint64
	}{
		{2 * time.Millisecond, 2 * time.Millisecond, 1},
		{50 * time.Millisecond, 50 * time.Millisecond, 4},
		{150 * time.Millisecond, 0, 5},
	} {
		a := newIdleAssoc(t)
		a.invite()
		a.live(tt.after)
		a.write(initAck("c"))
		if s := a.Stats(); s.RTT != tt.want || s.Retransmits != tt.inits-1 {
			t.Errorf("INIT ACK after %v: round trip %v, want %v; %d INITs are repeated, want %d", tt.after, s.RTT, tt.want, s.Retransmits, tt.inits-1)
		}
	}
}

// If the round trip is not known, a COOKIE ECHO is repeated after 80 ms, then after twice the
// time each, at most after 3 s.
func TestCookieEchoWithoutARoundTrip(t *testing.T) {
	a := newIdleAssoc(t)
	a.invite()
	a.live(150 * time.Millisecond)
	a.write(initAck("c"))
	repeats := a.Stats().Retransmits
	var sent []time.Duration
	last := a.now
	for len(a.events) == 0 {
		for range a.drain() {
			sent = append(sent, a.now.Sub(last))
			last = a.now
		}
		a.now = a.Deadline()
		a.events = a.Advance(a.now, a.events)
	}
	if got, want := fmt.Sprint(sent), "[0s 80ms 160ms 320ms 640ms 1.28s 2.56s 3s 3s]"; got != want {
		t.Errorf("sent after %s, want %s", got, want)
	}
	if n := a.Stats().Retransmits - repeats; n != maxCookieEchos-1 {
		t.Errorf("%d COOKIE ECHOs are counted as repeated, want %d", n, maxCookieEchos-1)
	}
}

// The first COOKIE ECHO is repeated after one and a half round trips, but not before 20 ms and
// not after 1 s.
func TestCookieEchoOfAnyRoundTrip(t *testing.T) {
	for rtt, want := range map[time.Duration]time.Duration{
		time.Millisecond:       20 * time.Millisecond,
		40 * time.Millisecond:  60 * time.Millisecond,
		900 * time.Millisecond: time.Second,
	} {
		a := newIdleAssoc(t)
		a.invite()
		a.rtt = rtt
		a.sends = initBurst + 1 // so the INIT ACK does not measure the round trip
		a.write(initAck("c"))
		a.wantPacket("once", "COOKIE-ECHO")
		if got := a.Deadline().Sub(a.now); got != want {
			t.Errorf("round trip %v: again after %v, want %v", rtt, got, want)
		}
	}
}

// After the error Stale Cookie one new INIT is sent, without a burst, and its answer does not
// measure the round trip. Other errors are ignored, and so is Stale Cookie after the handshake.
func TestErrorsOfTheHandshake(t *testing.T) {
	stale := rawChunk(chunkError, 0, append(rawParam(causeUnrecognizedChunk, nil), rawParam(causeStaleCookie, u32s(1000))...))
	a := newIdleAssoc(t)
	a.invite()
	a.write(initAck("old"))
	a.wantPacket("the cookie", "COOKIE-ECHO")
	for _, v := range [][]byte{nil, rawParam(causeUnrecognizedChunk, nil), {0, causeStaleCookie, 0, 9}} {
		a.write(rawChunk(chunkError, 0, v))
		a.wantIdle("another error")
	}
	a.pass(20 * time.Millisecond) // the COOKIE ECHO is due again
	a.write(stale)
	a.wantPacket("a new cookie is asked for", "INIT")
	a.wantIdle("with nothing beside it")
	rtt := a.rtt
	a.pass(199 * time.Millisecond)
	a.wantIdle("once")
	a.pass(time.Millisecond)
	a.wantPacket("until it comes", "INIT")
	a.write(initAck("new"))
	if b := a.next(); string(only(t, b).value) != "new" || a.rtt != rtt {
		t.Errorf("%s, round trip %v; want the new cookie and the round trip unchanged, %v", debugPacket(b), a.rtt, rtt)
	}
	a.write(rawChunk(chunkCookieAck, 0, nil))
	a.wantEvent("open", Event{Type: Established})
	a.write(stale, text(1, "x"))
	if !a.Established() || len(a.events) != 2 {
		t.Errorf("events %v after a late error, want the established association and 2 events", a.events)
	}
}

// Connect does nothing if the handshake has begun or is over.
func TestConnectOnce(t *testing.T) {
	a := newTestAssoc(t)
	a.Connect(a.now)
	a.wantIdle("it is connected")
	if !a.Established() {
		t.Error("Connect has ended the association")
	}
	a = newIdleAssoc(t)
	a.invite()
	a.Connect(a.now)
	a.wantIdle("an INIT is under way")
}

// If the peer's COOKIE ECHO arrives first, the own INIT is not sent any more.
func TestOwnInitIsNotSentOnceEstablished(t *testing.T) {
	other := newIdleAssoc(t)
	other.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	cookie := cookieOf(t, other.next())
	for _, sent := range []bool{false, true} {
		a := newIdleAssoc(t)
		a.Connect(a.now)
		if sent {
			a.drain()
		}
		a.write(cookieEcho(cookie))
		a.wantEvent("open", Event{Type: Established})
		a.wantPacket("and said so", "COOKIE-ACK")
		a.wantIdle("nothing else")
		if !a.Deadline().IsZero() {
			t.Errorf("INIT sent %v: a timer runs though the association is established", sent)
		}
	}
}

// DATA may follow COOKIE ACK, ERROR and a repeated COOKIE ECHO in one packet, but not a COOKIE
// ECHO that is refused.
func TestDataBehindChunksOfTheHandshake(t *testing.T) {
	a := newIdleAssoc(t)
	a.invite()
	a.write(initAck("c"))
	a.drain()
	a.write(rawChunk(chunkCookieAck, 0, nil), text(1, "first"))
	a.wantEvent("open", Event{Type: Established})
	a.wantEvent("in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
	a.wantMessage("with the COOKIE ACK", 1, Text, "first")
	if a.cookie != nil {
		t.Error("the peer's cookie is not freed")
	}
	a.write(rawChunk(chunkError, 0, nil), text(2, "second"))
	a.wantMessage("with an ERROR", 1, Text, "second")

	b := newIdleAssoc(t)
	cookieFor := func(tag, tsn uint32) []byte {
		b.writePacket(packet(0, initChunk(chunkInit, tag, tsn)))
		return cookieOf(t, b.next())
	}
	cookie := cookieFor(peerTag, peerTSN)
	b.write(cookieEcho(cookie))
	b.events = nil
	b.write(cookieEcho(cookie), text(1, "again"))
	b.wantEvent("in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
	b.wantMessage("with a COOKIE ECHO that is repeated", 1, Text, "again")
	for i, c := range [][]byte{cookieFor(peerTag+1, peerTSN), cookieFor(peerTag, peerTSN+1)} {
		b.write(cookieEcho(c), text(2, "of another"))
		b.wantNoEvent("of another association")
		b.wantDrops("which is none", dropRestart, uint32(1+i))
	}
}

// The cookie is valid only for an association with the same tag and the same initial TSN.
func TestCookieOfAnEarlierAssociation(t *testing.T) {
	other := newIdleAssoc(t, func(c *Config) { c.InitialTSN++ })
	other.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	a := newIdleAssoc(t)
	a.write(cookieEcho(cookieOf(t, other.next())))
	a.wantDrops("it had another first TSN", dropCookie, 1)
	a.wantNoEvent("nothing opens")
}

// The number of streams that a peer accepts is the number in its INIT, also when it comes from
// the cookie.
func TestStreamsThatThePeerTakes(t *testing.T) {
	v := append(u32s(peerTag, 1<<20, 0xffff_0004, peerTSN), rawParam(paramForwardTSN, nil)...)
	passive, active := newIdleAssoc(t), newIdleAssoc(t)
	passive.writePacket(packet(0, rawChunk(chunkInit, 0, v)))
	passive.write(cookieEcho(cookieOf(t, passive.next())))
	active.invite()
	active.write(rawChunk(chunkInitAck, 0, append(v, rawParam(paramCookie, []byte("c"))...)))
	active.write(rawChunk(chunkCookieAck, 0, nil))
	for _, a := range []*testAssoc{passive, active} {
		a.send(3, Text, "the last")
		if _, err := a.AppendMessage(a.now, nil, 4, Text, nil); err != ErrNotOpen {
			t.Errorf("a message on stream 4, the first that the peer does not accept: %v, want ErrNotOpen", err)
		}
	}
}
