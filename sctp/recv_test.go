package sctp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// cut returns the first n bytes of a packet, with a correct checksum.
func cut(b []byte, n int) []byte {
	b = bytes.Clone(b[:n])
	if n >= headerLen {
		finishPacket(b, 0)
	}
	return b
}

// Packets that break a rule of the packet format are dropped.
func TestPacketsThatAreNotRead(t *testing.T) {
	good := func() []byte { return packet(ourTag, text(1, "x"), text(2, "y")) }
	seal := func(b []byte) []byte { return finishPacket(b, 0) }
	for _, tt := range []struct {
		name string
		b    []byte
		why  DropReason
	}{
		{"empty", nil, dropShort},
		{"header only", good()[:headerLen], dropShort},
		{"source port zero", seal(append([]byte{0, 0}, good()[2:]...)), dropPort},
		{"destination port zero", seal(append([]byte{1, 1, 0, 0}, good()[4:]...)), dropPort},
		{"checksum", append(good()[:8], append([]byte{0, 0, 0, 0}, good()[12:]...)...), dropChecksum},
		{"zero checksum is not negotiated", func() []byte { b := good(); copy(b[8:12], "\x00\x00\x00\x00"); return b }(), dropChecksum},
		{"chunk shorter than its header", packet(ourTag, []byte{0, 7, 0, 3}), dropMalformed},
		{"chunk beyond the packet", packet(ourTag, []byte{0, 7, 0, 5, 0, 0, 0}[:7]), dropNone},
		{"chunk of 65535", packet(ourTag, []byte{0, 7, 0xff, 0xff}), dropMalformed},
		{"half a chunk header", packet(ourTag, rawChunk(chunkCookieAck, 0, nil), []byte{0, 7}), dropMalformed},
		{"65 chunks", packet(ourTag, bytes.Repeat(rawChunk(chunkCookieAck, 0, nil), 65)), dropMalformed},
		{"64 chunks", packet(ourTag, bytes.Repeat(rawChunk(chunkCookieAck, 0, nil), 64)), dropNone},
	} {
		if got := checkPacket(tt.b); got != tt.why {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.why)
		}
	}
	for n := range len(good()) {
		a := newTestAssoc(t)
		a.writePacket(cut(good(), n))
		if n < headerLen+dataHeaderLen+1 { // up to there the first message is not whole
			a.wantNoEvent(fmt.Sprint("cut at ", n))
		}
	}
}

// The verification tag of every packet is checked.
func TestVerificationTag(t *testing.T) {
	hello := Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits}
	for _, tt := range []struct {
		name  string
		tag   uint32
		chunk []byte
		reads bool
	}{
		{"DATA with ours", ourTag, text(1, "x"), true},
		{"DATA with the peer's", peerTag, text(1, "x"), false},
		{"DATA with zero", 0, text(1, "x"), false},
		{"ABORT with ours", ourTag, rawChunk(chunkAbort, 0, nil), true},
		{"ABORT with the peer's", peerTag, rawChunk(chunkAbort, 0, nil), false},
		{"ABORT with the peer's, reflected", peerTag, rawChunk(chunkAbort, flagReflected, nil), true},
		{"ABORT with ours, said to be reflected", ourTag, rawChunk(chunkAbort, flagReflected, nil), false},
		{"SHUTDOWN with a wrong one", 5, rawChunk(chunkShutdown, 0, u32s(999)), false},
		{"SHUTDOWN with ours", ourTag, rawChunk(chunkShutdown, 0, u32s(999)), true},
		{"INIT with ours", ourTag, initChunk(chunkInit, 9, 9), false},
		{"INIT ACK with zero", 0, initChunk(chunkInitAck, 9, 9), false},
		{"COOKIE ECHO with a wrong one", 5, cookieEcho(make([]byte, cookieLen)), false},
	} {
		a := newTestAssoc(t)
		a.writePacket(packet(tt.tag, tt.chunk))
		if read := a.Stats().Drops[dropTag] == 0; read != tt.reads {
			t.Errorf("%s: read %v, want %v", tt.name, read, tt.reads)
		}
		if !tt.reads {
			a.wantNoEvent(tt.name)
			a.wantIdle(tt.name)
		}
	}
	a := newTestAssoc(t)
	a.writePacket(packet(0, initChunk(chunkInit, 9, 9), text(1, "x")))
	a.wantDrops("an INIT is alone in its packet", dropTag, 1)
	a.write(text(1, "x"))
	a.wantEvent("after all of this it still reads", hello)
}

// The two highest bits of an unknown chunk type say whether the next chunks are read, and
// whether the chunk is reported.
func TestUnknownChunks(t *testing.T) {
	for _, tt := range []struct {
		kind     byte
		goesOn   bool
		reported bool
	}{
		{0x3e, false, false},
		{0x40, false, true}, // I-DATA, which was not negotiated
		{0x7e, false, true},
		{0xbe, true, false},
		{0xfe, true, true},
	} {
		a := newTestAssoc(t)
		a.write(rawChunk(tt.kind, 0, []byte("what is this")), text(1, "x"))
		if read := len(a.events) > 0; read != tt.goesOn {
			t.Errorf("chunk %#x: the next chunk is read: %v, want %v", tt.kind, read, tt.goesOn)
		}
		if reported := strings.Contains(fmt.Sprint(a.drain()), "ERROR"); reported != tt.reported {
			t.Errorf("chunk %#x: reported %v, want %v", tt.kind, reported, tt.reported)
		}
	}
	a := newTestAssoc(t)
	for range 10 {
		a.write(rawChunk(0xfe, 0, make([]byte, 1100)))
	}
	b := a.next()
	if a.want("one ERROR", b, "ERROR"); len(b) > headerLen+chunkHeaderLen+maxReport {
		t.Errorf("an ERROR packet of %d bytes, want at most %d", len(b), headerLen+chunkHeaderLen+maxReport)
	}
	a.wantIdle("for all of them")
}

func TestDataWithoutUserData(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(rawData(flagWhole|flagUnordered, 2, 1, 0, ppidText, ""))
	a.wantDrops("no user data", dropNoData, 1)
	if b := a.next(); !bytes.Contains(b, append([]byte{0, causeNoUserData, 0, 8}, u32s(2)...)) {
		t.Errorf("DATA without user data is not reported: %s %x", debugPacket(b), b)
	}
	if a.rx.cum != 1 {
		t.Errorf("DATA without user data is acknowledged: cumulative TSN %d, want 1", a.rx.cum)
	}
}

func TestPayloadProtocols(t *testing.T) {
	for _, tt := range []struct {
		ppid    uint32
		payload string
		kind    Kind
		want    string
	}{
		{ppidText, "héllo", Text, "héllo"},
		{ppidBinary, "\xff\x00", Binary, "\xff\x00"},
		{ppidTextPartial, "old", Text, "old"},
		{ppidBinaryPartial, "old", Binary, "old"},
		{ppidTextEmpty, "\x00", Text, ""},
		{ppidBinaryEmpty, "\x00", Binary, ""},
	} {
		a := newTestAssoc(t)
		a.use()
		a.write(dataChunk(2, 1, tt.ppid, tt.payload))
		a.wantMessage(fmt.Sprint(tt.ppid), 1, tt.kind, tt.want)
	}
	for _, ppid := range []uint32{0, 49, 55, 58, 1 << 31} {
		a := newTestAssoc(t)
		a.write(dataChunk(1, 1, ppid, "x"))
		a.wantNoEvent("an unknown one")
		a.wantDrops("is counted", dropPPID, 1)
		a.wantPacket("and acknowledged", "SACK(cum=1)")
	}
	a := newTestAssoc(t)
	a.use()
	a.write(text(2, "\xff"))
	a.wantNoEvent("text that is none")
	a.wantDrops("is counted", dropText, 1)
}

// TSNs far ahead are dropped, and need no memory.
func TestFarFutureTSNs(t *testing.T) {
	a := newTestAssoc(t, honest)
	a.use()
	for i := range uint32(2000) {
		a.write(text(2+maxAhead+i*1_000_003%(1<<30), "x"))
	}
	a.wantNoEvent("none is delivered")
	a.wantPacket("the SACK does not lie", "SACK(cum=1)")
	a.write(text(1+maxAhead, "the last in the window"))
	if len(a.events) != 1 {
		t.Error("the last TSN of the window is not delivered")
	}
}

func TestHeartbeatIsEchoed(t *testing.T) {
	a := newTestAssoc(t)
	info := rawParam(paramHeartbeatInfo, []byte("whatever the peer likes!"))
	a.write(rawChunk(chunkHeartbeat, 0, info))
	if b := a.next(); !bytes.Equal(b[headerLen:], rawChunk(chunkHeartbeatAck, 0, info)) {
		t.Errorf("%s %q, want a HEARTBEAT-ACK with the same information", debugPacket(b), b)
	}
	for _, bad := range [][]byte{nil, {0, 1}, {0, 1, 0, 2}, {0, 1, 0, 200, 0, 0, 0, 0}} {
		a.write(rawChunk(chunkHeartbeat, 0, bad))
		a.wantIdle("malformed")
	}
	a.write(rawChunk(chunkHeartbeat, 0, rawParam(paramHeartbeatInfo, make([]byte, 1300))))
	a.wantIdle("too large to send back")
	a.wantDrops("all counted", dropHeartbeat, 5)
	a.write(rawChunk(chunkHeartbeat, 0, rawParam(paramHeartbeatInfo, make([]byte, maxEcho-4))))
	if b := a.next(); len(b) != MaxPacket {
		t.Errorf("the largest HEARTBEAT-ACK is a packet of %d bytes, want %d", len(b), MaxPacket)
	}
}

func TestHeartbeatOut(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.Heartbeat = 15 * time.Second })
	a.pass(14 * time.Second)
	a.write(text(1, "alive"))
	a.drain()
	a.pass(14 * time.Second)
	a.wantIdle("the peer was heard")
	a.pass(time.Second)
	b := a.next()
	a.want("now it was not", b, "HEARTBEAT")
	a.pass(70 * time.Millisecond)
	a.write(rawChunk(chunkHeartbeatAck, 0, b[headerLen+chunkHeaderLen:]))
	if rtt := a.Stats().RTT; rtt != 70*time.Millisecond {
		t.Errorf("round trip %v, want 70 ms", rtt)
	}
	a.write(rawChunk(chunkHeartbeatAck, 0, b[headerLen+chunkHeaderLen:]))
	a.wantDrops("one answer to one question", dropHeartbeat, 1)
}

func TestShutdownOfThePeer(t *testing.T) {
	a := newTestAssoc(t)
	a.write(rawChunk(chunkShutdown, 0, u32s(999)))
	a.wantEvent("it is over", Event{Type: Closed, Reason: PeerShutdown})
	a.wantPacket("the peer knows that we know", "SHUTDOWN-ACK")
	a.wantIdle("that is all")
	if _, err := a.AppendMessage(a.now, nil, 0, Text, nil); err != ErrClosed {
		t.Errorf("AppendMessage after the SHUTDOWN: %v, want ErrClosed", err)
	}
}

// An ABORT with any cause closes, even with a cause that is cut.
func TestAbortOfThePeer(t *testing.T) {
	for _, v := range [][]byte{
		nil,
		{1, 2, 3},
		rawParam(0xbeef, []byte("not known")),
		{0, 12, 0, 2},
		{0, 12, 0xff, 0xff},
	} {
		a := newTestAssoc(t)
		a.write(rawChunk(chunkAbort, 0, v))
		if len(a.events) != 1 || a.events[0].Type != Closed || a.events[0].Reason != PeerAbort {
			t.Errorf("an ABORT with %x: events %v, want Closed by PeerAbort", v, a.events)
		}
		a.wantIdle("an ABORT is not answered")
	}
	a := newTestAssoc(t)
	a.write(rawChunk(chunkAbort, 0, rawParam(causeUserAbort, []byte("Close called"))))
	a.wantEvent("the cause is told", Event{Type: Closed, Reason: PeerAbort, Cause: causeUserAbort, Payload: []byte("Close called")})
}

func TestChunksOutOfPlace(t *testing.T) {
	for _, c := range [][]byte{
		text(1, "x"), sack(999), forward(5), resetRequest(1, 0, 1), rawChunk(chunkHeartbeat, 0, rawParam(1, []byte("x"))),
		rawChunk(chunkShutdown, 0, u32s(1)), rawChunk(chunkCookieAck, 0, nil), initChunk(chunkInitAck, 9, 9, rawParam(paramCookie, []byte("c"))),
		rawChunk(0xfe, 0, nil),
	} {
		a := newIdleAssoc(t)
		a.write(c)
		a.wantNoEvent("nothing happens before the handshake")
		a.wantIdle("and nothing is said")
	}
	a := newTestAssoc(t)
	a.write(initChunk(chunkInitAck, 9, 9, rawParam(paramCookie, []byte("c"))))
	a.write(rawChunk(chunkShutdownAck, 0, nil))
	a.write(rawChunk(chunkShutdownComplete, 0, nil))
	a.wantDrops("nor after it", dropState, 3)
	a.wantIdle("and nothing is said")
}

// Parsing a packet that is cut at any length reads no chunk beyond its end.
func TestCodecsTruncated(t *testing.T) {
	whole := packet(ourTag, sack(999, 1001, 1002), forward(5, 1, 2), resetRequest(1, 0, 1, 3, 5), text(1, "payload"))
	for n := range len(whole) {
		b := cut(whole, n)
		if checkPacket(b) != dropNone {
			continue
		}
		size := 0
		for c := range chunks(b) {
			size += pad4(len(c.raw))
		}
		if size < len(b)-headerLen || size > len(b)-headerLen+3 {
			t.Errorf("cut at %d: the chunks have %d bytes, the packet %d after its header", n, size, len(b)-headerLen)
		}
	}
	if binary.BigEndian.Uint32(whole[offsetTag:]) != ourTag {
		t.Error("the tag is not at offsetTag")
	}
}
