package sctp

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPassiveHandshake(t *testing.T) {
	a := newIdleAssoc(t)
	a.wantIdle("it waits")
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	reply := a.next()
	a.want("INIT is answered", reply, "INIT-ACK")
	a.wantNoEvent("and nothing else happens")
	// Messages may be in the packet of the COOKIE ECHO.
	a.write(cookieEcho(cookieOf(t, reply)), text(1, "early"))
	a.wantEvent("the cookie opens", Event{Type: Established})
	a.wantEvent("the channel is negotiated", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
	a.wantMessage("DATA beside it is read", 1, Text, "early")
	a.wantPacket("both are acknowledged", "COOKIE-ACK SACK(cum=1)")
	a.wantIdle("all is said")
}

func TestActiveHandshake(t *testing.T) {
	a := newIdleAssoc(t)
	a.Connect(a.now)
	a.wantPacket("INIT", "INIT")
	a.write(initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte("peer's cookie"))))
	echo := a.next()
	a.want("the cookie goes back", echo, "COOKIE-ECHO")
	if !bytes.Contains(echo, []byte("peer's cookie")) {
		t.Error("the COOKIE ECHO does not have the peer's cookie")
	}
	a.wantNoEvent("not yet")
	a.write(rawChunk(chunkCookieAck, 0, nil))
	a.wantEvent("open", Event{Type: Established})
	a.wantIdle("nothing to add")
	a.send(0, Binary, "first")
}

// A HEARTBEAT may overtake the COOKIE ACK, and is answered before it arrives; one before the
// INIT ACK is not.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-8.3
func TestHeartbeatOvertakesCookieAck(t *testing.T) {
	a := newIdleAssoc(t)
	a.invite()
	heartbeat := rawChunk(chunkHeartbeat, 0, rawParam(paramHeartbeatInfo, []byte("x")))
	a.write(heartbeat)
	a.wantIdle("before the INIT ACK")
	a.wantDrops("before the INIT ACK", dropState, 1)
	a.write(initAck("cookie"))
	a.wantPacket("the cookie goes back", "COOKIE-ECHO")
	a.write(heartbeat, rawChunk(chunkCookieAck, 0, nil))
	a.wantEvent("what follows it counts", Event{Type: Established})
	a.wantPacket("answered", "HEARTBEAT-ACK")

	a = newIdleAssoc(t)
	a.invite()
	a.write(initAck("cookie"))
	a.wantPacket("the cookie goes back", "COOKIE-ECHO")
	a.write(heartbeat)
	a.wantPacket("answered before the COOKIE ACK", "HEARTBEAT-ACK")
	a.wantNoEvent("which is still missing")
	a.write(rawChunk(chunkHeartbeatAck, 0, rawParam(paramHeartbeatInfo, []byte("x"))))
	a.wantIdle("nothing else is processed before the COOKIE ACK")
	a.wantDrops("nothing else is processed before the COOKIE ACK", dropState, 1)
}

// A peer aborts if an INIT offers an extension that this end does not do.
func TestInitSaysExactlyWhatIsDone(t *testing.T) {
	a := newIdleAssoc(t)
	a.Connect(a.now)
	b := a.next()
	want := initFixedLen + headerLen + chunkHeaderLen
	if got, params := fmt.Sprintf("%x", b[want:]), "c000000480080006c0820000"; got != params {
		t.Errorf("parameters %s, want %s", got, params)
	}
	if tag := b[offsetTag : offsetTag+4]; !bytes.Equal(tag, make([]byte, 4)) {
		t.Errorf("the tag of an INIT is %x, want zero", tag)
	}
}

func TestInitBurstThenBackoffThenFailure(t *testing.T) {
	a := newIdleAssoc(t)
	start := a.now
	a.Connect(a.now)
	var sent []time.Duration
	for len(a.events) == 0 {
		for range a.drain() {
			sent = append(sent, a.now.Sub(start).Round(time.Millisecond))
		}
		a.now = a.Deadline()
		a.events = a.Advance(a.now, a.events)
	}
	want := "[0s 3ms 6ms 9ms 109ms 309ms 709ms 1.509s 3.109s 6.109s 9.109s]"
	if got := fmt.Sprint(sent); got != want {
		t.Errorf("INITs at\n%s, want\n%s", got, want)
	}
	a.wantEvent("it gives up", Event{Type: Closed, Reason: InitTimeout})
	a.wantIdle("for good")
	if !a.Deadline().IsZero() {
		t.Errorf("a closed association has the deadline %v", a.Deadline())
	}
}

func TestInitsStopWhenThePeerAnswers(t *testing.T) {
	a := newIdleAssoc(t)
	a.Connect(a.now)
	a.drain()
	a.pass(5 * time.Millisecond)
	a.drain()
	a.write(initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte("c"))))
	a.wantPacket("on to the cookie", "COOKIE-ECHO")
	a.pass(10 * time.Millisecond)
	a.wantIdle("no INIT follows")
}

func TestCookieEchoIsRepeated(t *testing.T) {
	for _, tt := range []struct {
		rtt  time.Duration
		want string
	}{
		{0, "[20ms 60ms 140ms 300ms]"}, // the INIT ACK, which arrives at once, measures the round trip
		{100 * time.Millisecond, "[131ms 394ms 919ms]"},
	} {
		a := newIdleAssoc(t, func(c *Config) { c.RTT = tt.rtt })
		a.Connect(a.now)
		a.drain()
		a.write(initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte("c"))))
		a.wantPacket("once", "COOKIE-ECHO")
		start := a.now
		var sent []time.Duration
		for a.now.Sub(start) < 500*time.Millisecond {
			a.now = a.Deadline()
			a.events = a.Advance(a.now, a.events)
			for range a.drain() {
				sent = append(sent, a.now.Sub(start).Round(time.Millisecond))
			}
		}
		if got := fmt.Sprint(sent[:min(len(sent), 4)]); got != tt.want {
			t.Errorf("RTT %v: again at %s, want %s", tt.rtt, got, tt.want)
		}
	}
}

func TestCookieEchoGivesUp(t *testing.T) {
	a := newIdleAssoc(t)
	a.Connect(a.now)
	a.drain()
	a.write(initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte("c"))))
	n := 0
	for len(a.events) == 0 {
		n += len(a.drain())
		a.now = a.Deadline()
		a.events = a.Advance(a.now, a.events)
	}
	a.wantEvent("no answer", Event{Type: Closed, Reason: CookieTimeout})
	if n != maxCookieEchos {
		t.Errorf("%d COOKIE ECHOs, want %d", n, maxCookieEchos)
	}
}

func TestDataStandsForALostCookieAck(t *testing.T) {
	a := newIdleAssoc(t)
	a.Connect(a.now)
	a.drain()
	a.write(initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte("c"))))
	a.drain()
	a.write(text(1, "the peer is open"))
	a.wantEvent("so are we", Event{Type: Established})
	a.drain()
	a.events = nil
	a.write(rawChunk(chunkCookieAck, 0, nil))
	a.wantNoEvent("a late COOKIE ACK changes nothing")
	a.pass(time.Second)
	a.wantIdle("and the cookie is not sent again")
}

func TestStaleCookieErrorStartsOver(t *testing.T) {
	a := newIdleAssoc(t)
	a.Connect(a.now)
	a.drain()
	a.write(initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte("old"))))
	a.wantPacket("an old cookie", "COOKIE-ECHO")
	a.write(rawChunk(chunkError, 0, rawParam(causeStaleCookie, u32s(1000))))
	a.wantPacket("a new INIT", "INIT")
	a.write(initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte("new"))))
	a.wantPacket("a new cookie", "COOKIE-ECHO")
}

// Both ends send an INIT, and each packet of the handshake may be late, doubled, lost or out of
// order: both ends become established, with the right tags and TSNs.
func TestCrossingHandshakesInEveryOrder(t *testing.T) {
	for seed := range 4000 {
		crossHandshake(t, seed)
	}
}

// A disorder delivers the packets of two associations in an order that depends on a seed. It loses
// some, and delivers some twice.
type disorder struct {
	a, b *testAssoc
	rnd  uint32
	air  []flight
}

// A flight is a packet on its way.
type flight struct {
	to *testAssoc
	b  []byte
}

func newDisorder(a, b *testAssoc, seed int) *disorder {
	return &disorder{a: a, b: b, rnd: uint32(seed)*2654435761 + 1}
}

// draw returns a number below n.
func (w *disorder) draw(n int) int {
	w.rnd ^= w.rnd << 13
	w.rnd ^= w.rnd >> 17
	w.rnd ^= w.rnd << 5
	return int(w.rnd % uint32(n))
}

// take takes the packets that the associations have to send.
func (w *disorder) take() {
	for p := w.a.next(); len(p) > 0; p = w.a.next() {
		w.air = append(w.air, flight{w.b, p})
	}
	for p := w.b.next(); len(p) > 0; p = w.b.next() {
		w.air = append(w.air, flight{w.a, p})
	}
}

// step delivers or loses a packet, or lets time pass.
func (w *disorder) step() {
	if len(w.air) == 0 || w.draw(8) == 0 {
		w.a.pass(3 * time.Millisecond)
		w.b.pass(3 * time.Millisecond)
		return
	}
	i := w.draw(len(w.air))
	f := w.air[i]
	switch w.draw(8) {
	case 0: // comes again later
	case 1: // lost
		w.air = slices.Delete(w.air, i, i+1)
		return
	default:
		w.air = slices.Delete(w.air, i, i+1)
	}
	f.to.writePacket(f.b)
}

// crossHandshake delivers the packets of two associations in an order that depends on seed.
func crossHandshake(t *testing.T, seed int) {
	t.Helper()
	a := newIdleAssoc(t)
	b := newIdleAssoc(t, func(c *Config) { c.LocalTag, c.InitialTSN = peerTag, peerTSN })
	w := newDisorder(a, b, seed)
	a.Connect(a.now)
	if seed%4 != 0 {
		b.Connect(b.now)
	}
	for range 400 {
		w.take()
		w.step()
	}
	for _, x := range []*testAssoc{a, b} {
		if !x.Established() || len(x.events) != 1 || x.events[0].Type != Established {
			t.Fatalf("seed %d: state %d, events %v; want established with one event", seed, x.state, x.events)
		}
	}
	if a.peer.tag != peerTag || b.peer.tag != ourTag || a.rx.cum != peerTSN-1 || b.rx.cum != ourTSN-1 {
		t.Fatalf("seed %d: peer tags %x and %x, cumulative TSNs %d and %d", seed, a.peer.tag, b.peer.tag, a.rx.cum, b.rx.cum)
	}
}

// If the peer answers with one tag and sends its own INIT with another, the tag of its INIT is
// valid (RFC 9260, 5.2.4 B).
func TestCookieOverridesInitAck(t *testing.T) {
	a := newIdleAssoc(t)
	a.Connect(a.now)
	a.drain()
	a.write(initChunk(chunkInitAck, 0x77777777, 500, rawParam(paramCookie, []byte("c"))))
	a.wantPacket("answered", "COOKIE-ECHO")
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	a.write(cookieEcho(cookieOf(t, a.next())))
	a.wantEvent("open", Event{Type: Established})
	if a.peer.tag != peerTag || a.rx.cum != peerTSN-1 {
		t.Errorf("the peer has tag %x and first TSN %d, want %x and %d", a.peer.tag, a.rx.cum+1, peerTag, peerTSN)
	}
}

// All INITs and INIT ACKs of an association have the same tag and initial TSN, so a repeated
// INIT leaves earlier answers valid.
func TestRepeatedInitsKeepEarlierAnswersValid(t *testing.T) {
	a := newIdleAssoc(t)
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	first := a.next()
	for range 5 {
		a.pass(time.Second)
		a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
		again := a.next()
		if fixed := headerLen + chunkHeaderLen + initFixedLen; !bytes.Equal(again[headerLen:fixed], first[headerLen:fixed]) {
			t.Fatalf("two INIT ACKs differ: %x and %x", again, first)
		}
	}
	a.write(cookieEcho(cookieOf(t, first)))
	a.wantEvent("the first cookie opens", Event{Type: Established})
}

// If the COOKIE ACK is lost, the same COOKIE ECHO comes again and gets a second COOKIE ACK.
func TestDuplicateCookieEchoIsAcknowledgedAgain(t *testing.T) {
	a := newIdleAssoc(t)
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	cookie := cookieOf(t, a.next())
	a.write(cookieEcho(cookie))
	a.wantPacket("once", "COOKIE-ACK")
	a.wantEvent("open", Event{Type: Established})
	a.pass(2 * cookieLifetime)
	a.write(cookieEcho(cookie))
	a.wantPacket("again, however old", "COOKIE-ACK")
	a.wantNoEvent("nothing new")
}

// The INIT of a restart never ends a running association.
func TestRestartIsNotForStrangers(t *testing.T) {
	a := newTestAssoc(t)
	a.writePacket(packet(0, initChunk(chunkInit, 0x33333333, 7)))
	reply := a.next()
	a.want("the INIT is answered", reply, "INIT-ACK")
	a.write(cookieEcho(cookieOf(t, reply)))
	a.wantDrops("its cookie is not taken", dropRestart, 1)
	a.wantIdle("nor answered")
	a.write(text(1, "still here"))
	a.wantEvent("the association goes on", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
}

func TestCookiesThatAreNotOurs(t *testing.T) {
	fresh := func() (*testAssoc, []byte) {
		a := newIdleAssoc(t)
		a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
		return a, cookieOf(t, a.next())
	}
	refused := func(why string, a *testAssoc, cookie []byte) {
		t.Helper()
		a.write(cookieEcho(cookie), text(1, "beside it"))
		a.wantDrops(why, dropCookie, 1)
		a.wantNoEvent(why)
		a.wantIdle(why)
	}
	_, cookie := fresh()
	for i := range len(cookie) * 8 {
		a, cookie := fresh()
		bad := bytes.Clone(cookie)
		bad[i/8] ^= 1 << (i % 8)
		refused(fmt.Sprintf("bit %d flipped", i), a, bad)
	}
	for n := range len(cookie) {
		a, cookie := fresh()
		refused("cut", a, cookie[:n])
	}
	a, cookie := fresh()
	refused("longer", a, append(bytes.Clone(cookie), 0))

	a, cookie = fresh()
	a.pass(cookieLifetime + time.Millisecond)
	refused("expired", a, cookie)

	other := newIdleAssoc(t, func(c *Config) { c.LocalTag++ })
	other.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	a, _ = fresh()
	refused("of an association that shares the key", a, cookieOf(t, other.next()))

	a, cookie = fresh()
	a.pass(cookieLifetime)
	a.write(cookieEcho(cookie))
	a.wantEvent("on its last moment", Event{Type: Established})
}

func TestInitParametersOutOfBounds(t *testing.T) {
	whole := initChunk(chunkInit, peerTag, peerTSN, rawParam(paramIPv4, []byte{127, 0, 0, 1}))[chunkHeaderLen:]
	for n := range len(whole) {
		if n == initFixedLen || n == initFixedLen+4 || n >= initFixedLen+10 && n <= initFixedLen+12 {
			continue // ends between parameters, or in padding
		}
		if _, ok := parseInit(whole[:n]); ok {
			t.Errorf("parseInit accepts an INIT that is cut at %d", n)
		}
	}
	if _, ok := parseInit(whole); !ok {
		t.Error("parseInit refuses the whole INIT")
	}
	for size := range 4 {
		a := newIdleAssoc(t)
		a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN, []byte{0, 5, 0, byte(size)})))
		a.wantDrops("a parameter shorter than its header", dropChunk, 1)
		a.wantIdle("is not answered")
	}
	for name, v := range map[string][]byte{
		"tag zero":            u32s(0, 1, 0x0001_0001, 1),
		"no outbound streams": u32s(1, 1, 0x0000_0001, 1),
		"no inbound streams":  u32s(1, 1, 0x0001_0000, 1),
	} {
		if _, ok := parseInit(v); ok {
			t.Error("parseInit accepts an INIT with " + name)
		}
	}
}

// The two highest bits of a parameter that is not known say what to do with it.
func TestUnknownInitParameters(t *testing.T) {
	for _, tt := range []struct {
		kind     uint16
		reported bool
		goesOn   bool
	}{
		{0x00ff, false, false},
		{0x40ff, true, false},
		{0x80ff, false, true},
		{0xc0ff, true, true},
	} {
		v := append(u32s(peerTag, 1<<20, 0xffff_ffff, peerTSN), rawParam(tt.kind, []byte("?"))...)
		v = append(v, rawParam(paramForwardTSN, nil)...)
		i, ok := parseInit(v)
		if !ok || i.forward != tt.goesOn || (len(i.unknown) > 0) != tt.reported {
			t.Errorf("parameter %#x: reads on %v, want %v; reported %x, want a report: %v", tt.kind, i.forward, tt.goesOn, i.unknown, tt.reported)
		}
	}
	a := newIdleAssoc(t)
	var many [][]byte
	for range 50 {
		many = append(many, rawParam(0xc0ff, []byte("0123456789")))
	}
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN, many...)))
	b := a.next()
	if n := strings.Count(string(b), "0123456789"); n == 0 || n > maxUnknown/14 {
		t.Errorf("%d parameters are reported in %d bytes, want 1 to %d", n, len(b), maxUnknown/14)
	}
}

func TestPeerWithoutPartialReliability(t *testing.T) {
	a := newIdleAssoc(t)
	a.writePacket(packet(0, rawChunk(chunkInit, 0, u32s(peerTag, 1<<20, 0xffff_ffff, peerTSN))))
	a.wantEvent("cannot be served", Event{Type: Closed, Reason: NoPartialReliability})
	a.wantPacket("and is told", "ABORT")
	a.wantIdle("once")

	b := newTestAssoc(t)
	b.writePacket(packet(0, rawChunk(chunkInit, 0, u32s(peerTag, 1<<20, 0xffff_ffff, peerTSN))))
	b.wantNoEvent("a running association does not end by it")
}

func TestAbortBeforeAndAfter(t *testing.T) {
	a := newIdleAssoc(t)
	if b := a.Abort(a.now, "kicked", nil); len(b) > 0 {
		t.Errorf("Abort before the handshake sends %s, want nothing", debugPacket(b))
	}
	if _, err := a.AppendMessage(a.now, nil, 0, Text, nil); err != ErrClosed {
		t.Errorf("AppendMessage after the end: %v, want ErrClosed", err)
	}
	a = newTestAssoc(t)
	b := a.Abort(a.now, "kicked", nil)
	if debugPacket(b) != "ABORT" || !bytes.Contains(b, []byte("kicked")) {
		t.Errorf("Abort sends %s %q, want an ABORT with its cause", debugPacket(b), b)
	}
	if again := a.Abort(a.now, "kicked", nil); len(again) > 0 {
		t.Error("a second Abort sends a packet")
	}
	a.write(text(1, "late"))
	a.wantNoEvent("nothing comes through")
}
