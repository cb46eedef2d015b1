package sctp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Each packet or chunk that is dropped is counted under its fault. After a faulty chunk the
// next chunks are read if the packet itself is valid.
func TestDropsAreCounted(t *testing.T) {
	broken := packet(ourTag, text(2, "x"))
	broken[20] ^= 1
	for _, tt := range []struct {
		name   string
		packet []byte
		why    DropReason
		goesOn bool
	}{
		{"short", []byte{1, 2, 3}, dropShort, false},
		{"checksum", broken, dropChecksum, false},
		{"length", packet(ourTag, []byte{0, 7, 0, 3}), dropMalformed, false},
		{"tag", packet(peerTag, text(2, "x")), dropTag, false},
		{"INIT with another chunk", packet(0, initChunk(chunkInit, 9, 9), text(2, "x")), dropTag, false},
		{"INIT that is malformed", packet(0, rawChunk(chunkInit, 0, u32s(1, 2, 3))), dropChunk, false},
		{"SHUTDOWN ACK", packet(ourTag, rawChunk(chunkShutdownAck, 0, nil), text(2, "behind")), dropState, true},
		{"unknown, go on", packet(ourTag, rawChunk(0xbe, 0, nil), text(2, "behind")), dropUnknownChunk, true},
		{"unknown, stop", packet(ourTag, rawChunk(0x3e, 0, nil), text(2, "behind")), dropUnknownChunk, false},
		{"DATA of 11 bytes", packet(ourTag, rawChunk(chunkData, flagWhole, make([]byte, 11)), text(2, "behind")), dropChunk, true},
		{"DATA without user data", packet(ourTag, rawData(flagWhole, 5, 1, 0, ppidText, ""), text(2, "behind")), dropNoData, true},
		{"DATA too far ahead", packet(ourTag, text(2+maxAhead, "x"), text(2, "behind")), dropWindow, true},
		{"SACK that is short", packet(ourTag, rawChunk(chunkSack, 0, u32s(999, 1)), text(2, "behind")), dropChunk, true},
		{"SACK of another length", packet(ourTag, rawChunk(chunkSack, 0, u32s(999, 1, 0, 0)), text(2, "behind")), dropChunk, true},
		{"SACK that is old", packet(ourTag, sack(998), text(2, "behind")), dropStaleSack, true},
		{"SACK of what was not sent", packet(ourTag, sack(1000), text(2, "behind")), dropSack, true},
		{"FORWARD-TSN that is short", packet(ourTag, rawChunk(chunkForwardTSN, 0, nil), text(2, "behind")), dropChunk, true},
		{"HEARTBEAT that is empty", packet(ourTag, rawChunk(chunkHeartbeat, 0, nil), text(2, "behind")), dropHeartbeat, true},
	} {
		a := newTestAssoc(t)
		a.use()
		a.writePacket(tt.packet)
		var got []string
		for r, n := range a.Stats().Drops {
			if n > 0 {
				got = append(got, fmt.Sprint(n, " ", DropReason(r)))
			}
		}
		if want := "1 " + tt.why.String(); strings.Join(got, ", ") != want || (len(a.events) > 0) != tt.goesOn {
			t.Errorf("%s: drops %q, want %q; the next chunk is read: %v, want %v", tt.name, got, want, len(a.events) > 0, tt.goesOn)
		}
	}
	for _, c := range [][]byte{text(1, "x"), sack(999)} {
		a := newIdleAssoc(t, func(c *Config) { c.Heartbeat = time.Second })
		a.write(c)
		a.wantDrops("before the handshake", dropState, 1)
		if a.Flush(a.now); !a.Deadline().IsZero() {
			t.Errorf("a timer is set before the handshake, until %v", a.Deadline())
		}
	}
}

// The I bit of any chunk in a packet asks for a SACK at once.
func TestImmediateBitOfTheFirstOfTwo(t *testing.T) {
	for i, flags := range [][2]byte{{flagImmediate, 0}, {0, flagImmediate}} {
		a := newTestAssoc(t)
		a.use()
		a.write(rawData(flags[0]|flagWhole|flagUnordered, 2, 1, 0, ppidText, "a"), rawData(flags[1]|flagWhole|flagUnordered, 3, 1, 0, ppidText, "b"))
		a.wantPacket(fmt.Sprint(i), "SACK(cum=3)")
	}
}

// DATA before an ABORT in its packet is delivered, and sets no timer.
func TestDataBeforeAnAbort(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(text(2, "last"), rawChunk(chunkAbort, 0, nil), text(3, "never"))
	a.wantMessage("it came", 1, Text, "last")
	a.wantEvent("then the end", Event{Type: Closed, Reason: PeerAbort})
	a.wantNoEvent("what is behind does not count")
	if !a.Deadline().IsZero() {
		t.Errorf("a timer runs after the end, until %v", a.Deadline())
	}
}

// All packets of a batch are acknowledged, however many there are.
func TestManyPacketsInABatch(t *testing.T) {
	for _, n := range []uint32{255, 256, 257, 512} {
		a := newTestAssoc(t)
		a.use()
		for i := range n {
			a.receive(text(2+i, "x"))
		}
		a.want("with a message", a.send(1, Text, "y"), fmt.Sprintf(`SACK(cum=%d) DATA(tsn=1000 stream=1 ssn=0 ppid=51 flags=7 "y")`, 1+n))
	}
}

// An answer that does not fit a packet is sent in the next one.
func TestRepliesFitTheirPacket(t *testing.T) {
	echo := func(n int) []byte {
		return rawChunk(chunkHeartbeat, 0, rawParam(paramHeartbeatInfo, make([]byte, n-4)))
	}
	a := newTestAssoc(t, honest, func(c *Config) { c.Heartbeat = time.Minute })
	const sackOne = sackLen
	for _, tt := range []struct {
		name   string
		chunks [][]byte
		ours   bool
		want   string
	}{
		{"the largest echo", [][]byte{text(1, "x"), echo(maxEcho)}, false, "SACK | HEARTBEAT-ACK"},
		{"one that just does not fit", [][]byte{text(2, "x"), text(2, "x"), echo(maxEcho - sackOne - 4 + 4)}, false, "SACK | HEARTBEAT-ACK"},
		{"one that just fits", [][]byte{text(3, "x"), text(3, "x"), echo(maxEcho - sackOne - 4)}, false, "SACK HEARTBEAT-ACK"},
		{"our own that just does not fit", [][]byte{echo(maxEcho - 12)}, true, "HEARTBEAT-ACK | HEARTBEAT"},
		{"our own that just fits", [][]byte{echo(maxEcho - 16)}, true, "HEARTBEAT-ACK HEARTBEAT"},
		{"a report that just does not fit", [][]byte{echo(maxEcho - 12), rawChunk(0xfe, 0, make([]byte, 4))}, false, "HEARTBEAT-ACK | ERROR"},
		{"a report that just fits", [][]byte{echo(maxEcho - 16), rawChunk(0xfe, 0, make([]byte, 4))}, false, "HEARTBEAT-ACK ERROR"},
	} {
		a.write(tt.chunks...)
		if tt.ours {
			a.pend |= pendHeartbeat
		}
		var got []string
		for b := a.next(); len(b) > 0; b = a.next() {
			s, _, _ := strings.Cut(debugPacket(b), "(")
			if i := strings.Index(debugPacket(b), ") "); i > 0 {
				s += debugPacket(b)[i+1:]
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " | "); s != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, s, tt.want)
		}
	}
}

// Reports have 128 bytes at most: a long one is cut, and one without room is dropped and
// counted.
func TestReportsAreBounded(t *testing.T) {
	unknown := func(n int) []byte { return rawChunk(0xfe, 0, bytes.Repeat([]byte("?"), n-4)) }
	for _, tt := range []struct {
		sizes []int // of unknown chunks
		want  string
		drops uint32
	}{
		{[]int{8}, "8", 0},
		{[]int{9, 10}, "9 10", 0},
		{[]int{124}, "124", 0},
		{[]int{125}, "124", 0},
		{[]int{1000, 8}, "124", 1},
		{[]int{116, 8}, "116 4", 0},
		{[]int{117, 8}, "117", 1},
		{[]int{100, 100, 100}, "100 20", 1},
	} {
		a := newTestAssoc(t)
		var all [][]byte
		for _, n := range tt.sizes {
			all = append(all, unknown(n))
		}
		a.write(all...)
		var got []string
		c := only(t, a.next())
		for p := range params(c.value) {
			if p.kind != causeUnrecognizedChunk || !bytes.HasPrefix(unknown(1000)[4:], p.value[4:]) || p.value[0] != 0xfe {
				t.Errorf("chunks %v: cause %d, %q; want an unrecognized chunk", tt.sizes, p.kind, p.value)
			}
			got = append(got, fmt.Sprint(len(p.value)))
		}
		if s := strings.Join(got, " "); c.kind != chunkError || s != tt.want || a.Stats().Drops[dropEcho] != tt.drops {
			t.Errorf("chunks %v: reports of %s bytes, want %s; %d dropped, want %d", tt.sizes, s, tt.want, a.Stats().Drops[dropEcho], tt.drops)
		}
	}
}

// A HEARTBEAT ACK without a HEARTBEAT does not measure the round trip, whatever it contains.
func TestEchoOfNothing(t *testing.T) {
	a := newTestAssoc(t)
	a.pass(time.Second)
	a.write(rawChunk(chunkHeartbeatAck, 0, rawParam(paramHeartbeatInfo, make([]byte, 8+4))))
	if rtt := a.Stats().RTT; rtt != 0 {
		t.Errorf("round trip %v, want none", rtt)
	}
}
