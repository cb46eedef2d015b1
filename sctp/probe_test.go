package sctp

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// answer returns the HEARTBEAT ACK of a HEARTBEAT packet.
func answer(t *testing.T, b []byte) []byte {
	t.Helper()
	c := only(t, b)
	if c.kind != chunkHeartbeat {
		t.Fatalf("%s is not a HEARTBEAT", debugPacket(b))
	}
	return rawChunk(chunkHeartbeatAck, 0, c.value)
}

// The bytes of a probe come back as an event. The answer to the last probe measures the round
// trip.
func TestProbe(t *testing.T) {
	for _, info := range []string{"", "x", "four", string(bytes.Repeat([]byte("12345678"), 4))} {
		a := newTestAssoc(t)
		b := a.AppendProbe(a.now, nil, []byte(info))
		if len(b) != ProbeLen(len(info)) || tagOf(b) != peerTag {
			t.Errorf("a probe of %d bytes: the packet has %d, want %d; tag %x, want %x", len(info), len(b), ProbeLen(len(info)), tagOf(b), peerTag)
		}
		if v := only(t, b).value; binary.BigEndian.Uint16(v) != paramHeartbeatInfo || int(binary.BigEndian.Uint16(v[2:])) != 4+8+len(info) {
			t.Errorf("a probe of %d bytes: its parameter is %x", len(info), v)
		}
		a.pass(30 * time.Millisecond)
		a.write(answer(t, b))
		if len(info) > 0 {
			a.wantEvent("it comes back", Event{Type: Echo})
		}
		a.wantNoEvent("that is all")
		if rtt := a.Stats().RTT; rtt != 30*time.Millisecond {
			t.Errorf("round trip %v, want 30 ms", rtt)
		}
		a.wantDrops("nothing was wrong", dropHeartbeat, 0)
	}
}

// The answer to an earlier probe gives an event, and does not measure the round trip. A
// HEARTBEAT ACK that cannot be an answer gives no event.
func TestAnswersToOtherProbes(t *testing.T) {
	a := newTestAssoc(t)
	first := a.AppendProbe(a.now, nil, []byte("first"))
	a.pass(10 * time.Millisecond)
	second := a.AppendProbe(a.now, nil, []byte("second"))
	a.pass(10 * time.Millisecond)
	for _, tt := range []struct {
		packet []byte
		want   string
		rtt    time.Duration
	}{
		{first, "first", 0},
		{second, "second", 20 * time.Millisecond},
		{second, "second", 20 * time.Millisecond}, // it has measured the round trip already
	} {
		a.write(answer(t, tt.packet))
		if len(a.events) != 1 || string(a.events[0].Payload) != tt.want || a.Stats().RTT != tt.rtt {
			t.Errorf("events %v, round trip %v; want %q and %v", a.events, a.Stats().RTT, tt.want, tt.rtt)
		}
		a.events = nil
		a.pass(10 * time.Millisecond)
	}
	a.AppendProbe(a.now, nil, nil)
	for i, v := range [][]byte{
		nil,
		rawParam(paramHeartbeatInfo, make([]byte, 7)),
		rawParam(paramHeartbeatInfo, make([]byte, 8)), // its time is not the last probe's
		rawParam(paramHeartbeatInfo, make([]byte, 8+maxProbe+1)),
	} {
		a.write(rawChunk(chunkHeartbeatAck, 0, v))
		a.wantNoEvent("no answer")
		a.wantDrops("no answer", dropHeartbeat, uint32(1+i))
	}
	fresh := newTestAssoc(t)
	fresh.write(rawChunk(chunkHeartbeatAck, 0, rawParam(paramHeartbeatInfo, make([]byte, 8))))
	fresh.wantDrops("nothing was asked", dropHeartbeat, 1)
	if fresh.Stats().RTT != 0 {
		t.Error("an answer without a probe has measured the round trip")
	}
}
