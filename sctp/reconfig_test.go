package sctp

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// openChannel opens stream 1 and acknowledges all answers.
func openChannel(t *testing.T, set ...func(*Config)) *testAssoc {
	t.Helper()
	a := newTestAssoc(t, set...)
	a.write(unreliableOpen(1, 1, "c"))
	a.drain()
	a.ackAll()
	a.events = nil
	return a
}

func TestPageClosesChannel(t *testing.T) {
	a := openChannel(t)
	request := resetRequest(peerTSN, 1, 1)
	if n := len(request) - chunkHeaderLen - 2; n != 18 { // as browsers write it, before padding
		t.Errorf("the request has %d bytes, want 18", n)
	}
	a.write(request)
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
	a.wantPacket("answered, and our side too", "RESET-RESPONSE(1 result=1) RESET(1000 last=1000 stream=1)")
	if _, err := a.AppendMessage(a.now, nil, 1, Text, nil); err != ErrNotOpen {
		t.Errorf("AppendMessage on a closing channel: %v, want ErrNotOpen", err)
	}
	a.write(request)
	a.wantNoEvent("the request again")
	a.wantPacket("the same answer", "RESET-RESPONSE(1 result=1)")
	a.write(resetResponse(1000, resultPerformed))
	a.pass(time.Minute)
	a.wantIdle("done")
	if len(a.channels) != 0 {
		t.Errorf("%d channels are stored, want 0", len(a.channels))
	}
}

func TestWeCloseChannel(t *testing.T) {
	a := openChannel(t)
	if !a.CloseStream(a.now, 1) || a.CloseStream(a.now, 1) || a.CloseStream(a.now, 3) {
		t.Error("CloseStream: want true for an open channel, then false, and false for a stream without a channel")
	}
	a.wantPacket("a reset", "RESET(1000 last=1000 stream=1)")
	a.pass(101 * time.Millisecond)
	a.wantPacket("until it is answered", "RESET(1000 last=1000 stream=1)")
	a.write(text(2, "sent meanwhile"))
	a.wantNoEvent("is dropped")
	a.wantDrops("and counted", dropClosedChannel, 1)
	a.write(resetResponse(1000, resultPerformed))
	a.write(resetRequest(peerTSN, 2, 1))
	a.wantEvent("closed when the peer has closed too", Event{Type: ChannelClosed, Stream: 1})
	a.wantPacket("its request is answered", "RESET-RESPONSE(1 result=1)")
	a.pass(sackDelay)
	a.wantPacket("the message too", "SACK(cum=2)")
	a.pass(time.Minute)
	a.wantIdle("done")
}

func TestBothCloseAtOnce(t *testing.T) {
	a := openChannel(t)
	a.CloseStream(a.now, 1)
	a.wantPacket("ours", "RESET(1000 last=1000 stream=1)")
	a.write(resetRequest(peerTSN, 1, 1))
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
	a.wantPacket("theirs", "RESET-RESPONSE(1 result=1)")
	a.write(resetResponse(1000, resultPerformed))
	a.pass(time.Minute)
	a.wantIdle("done")
	if len(a.channels) != 0 {
		t.Errorf("%d channels are stored, want 0", len(a.channels))
	}
}

// Messages that were sent before the reset belong to the old channel (RFC 6525, 5.2.2).
func TestResetWaitsForWhatWasSentBefore(t *testing.T) {
	a := openChannel(t)
	a.write(resetRequest(peerTSN, 3, 1))
	a.wantNoEvent("2 and 3 are under way")
	a.wantPacket("the peer has to ask again", "RESET-RESPONSE(1 result=6)")
	a.write(text(2, "a"), text(3, "b"))
	a.events = nil
	a.write(resetRequest(peerTSN, 3, 1))
	a.wantEvent("now it is done", Event{Type: ChannelClosed, Stream: 1})
	a.wantPacket("and said", "RESET-RESPONSE(1 result=1) RESET(1000 last=1000 stream=1)")
}

// dcSCTP, in Chromium and Firefox, repeats the request under a new number.
func TestResetIsAskedForAgainUnderANewNumber(t *testing.T) {
	a := openChannel(t)
	for i := range uint32(3) {
		a.write(resetRequest(peerTSN+i, 3, 1))
		a.wantNoEvent("2 and 3 are under way")
		a.wantPacket("the peer has to ask again", fmt.Sprintf("RESET-RESPONSE(%d result=6)", 1+i))
	}
	a.write(text(2, "a"), text(3, "b"))
	a.events = nil
	a.write(resetRequest(peerTSN+3, 3, 1))
	a.wantEvent("now it is done", Event{Type: ChannelClosed, Stream: 1})
	a.wantPacket("and said", "RESET-RESPONSE(4 result=1) RESET(1000 last=1000 stream=1)")
	a.write(resetRequest(peerTSN+2, 3, 1))
	a.wantIdle("a number that is over")
	a.write(resetRequest(peerTSN+3, 3, 1))
	a.wantPacket("the answer was lost", "RESET-RESPONSE(4 result=1)")
}

func TestPeerAsksUsToWait(t *testing.T) {
	a := openChannel(t)
	a.CloseStream(a.now, 1)
	a.drain()
	for i := range uint32(20) {
		a.write(resetResponse(1000+i, resultInProgress))
		a.wantIdle("not at once")
		a.pass(time.Second)
		// Under the old number dcSCTP would give the same answer for ever.
		if p := a.drain(); len(p) == 0 || p[0] != fmt.Sprintf("RESET(%d last=1000 stream=1)", 1001+i) {
			t.Fatalf("the request is repeated as %s, want the number %d", p, 1001+i)
		}
	}
}

func TestResetIsGivenUp(t *testing.T) {
	a := openChannel(t)
	a.CloseStream(a.now, 1)
	n := 0
	for range 100 {
		n += len(a.drain())
		a.pass(time.Second)
	}
	if n != maxResetTries {
		t.Errorf("the request is sent %d times, want %d", n, maxResetTries)
	}
	a.write(resetRequest(peerTSN, 1, 1))
	a.wantEvent("the channel closes when the peer says so", Event{Type: ChannelClosed, Stream: 1})
}

// Only one request is outstanding at a time. Streams that are closed before its answer are in
// the next request.
func TestResetsQueueUp(t *testing.T) {
	a := openChannel(t)
	for i := range uint32(3) {
		a.write(unreliableOpen(2+i, uint16(3+2*i), "c"))
	}
	a.drain()
	a.ackAll()
	a.CloseStream(a.now, 1)
	a.wantPacket("the first", "RESET(1000 last=1003 stream=1)")
	a.CloseStream(a.now, 3)
	a.CloseStream(a.now, 5)
	a.wantIdle("the others wait")
	a.write(resetResponse(1000, resultPerformed))
	a.wantPacket("and go together", "RESET(1001 last=1003 stream=3 stream=5)")
}

func TestResetOfAllStreams(t *testing.T) {
	a := openChannel(t)
	a.write(unreliableOpen(2, 3, "c"))
	a.drain()
	a.events = nil
	a.write(resetRequest(peerTSN, 2))
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 3})
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
	a.wantPacket("both", "RESET-RESPONSE(1 result=1) RESET(1000 last=1001 stream=1 stream=3)")
}

// The OPEN was lost, but acknowledged eagerly. The page still waits for the reset of our
// direction.
func TestResetOfUnknownStream(t *testing.T) {
	a := openChannel(t)
	a.write(resetRequest(peerTSN, 1, 9))
	a.wantNoEvent("there was no channel")
	a.wantPacket("our direction is reset", "RESET-RESPONSE(1 result=1) RESET(1000 last=1000 stream=9)")
	a.write(resetResponse(1000, resultPerformed))
	if a.channel(9) != nil {
		t.Error("a channel of stream 9 is stored, want none")
	}
}

func TestOtherReconfigurationsAreDenied(t *testing.T) {
	for i, kind := range []uint16{paramIncomingReset, paramTSNReset, paramAddOutgoing, paramAddIncoming} {
		a := openChannel(t)
		a.write(rawChunk(chunkReconfig, 0, rawParam(kind, u32s(peerTSN, 0, 0))))
		a.wantPacket(fmt.Sprint(i), "RESET-RESPONSE(1 result=2)")
		a.wantNoEvent("nothing changes")
	}
}

// Many requests, in and out of sequence, need no memory and cause few packets.
func TestReconfigFlood(t *testing.T) {
	a := openChannel(t)
	for i := range uint32(10_000) {
		a.write(resetRequest(i*77, 1, uint16(i)))
		a.write(rawChunk(chunkReconfig, 0, rawParam(paramResetResponse, u32s(i, i%8))))
	}
	for i := range uint32(10_000) {
		a.write(resetRequest(peerTSN+i, 1, uint16(2*i+3), uint16(2*i+5)))
	}
	if n := len(a.channels); n > 2*a.config.MaxChannels {
		t.Errorf("%d channels are stored, want at most %d", n, 2*a.config.MaxChannels)
	}
	packets := a.drain()
	if len(packets) > 2 {
		t.Errorf("%d packets answer the flood, want at most 2", len(packets))
	}
}

func TestMalformedReconfig(t *testing.T) {
	a := openChannel(t)
	for _, tt := range []struct {
		v    []byte
		why  DropReason
		more uint32
	}{
		{nil, dropChunk, 1},
		{[]byte{0}, dropChunk, 1},
		{[]byte{0, 13, 0, 2}, dropChunk, 1},
		{[]byte{0, 13, 0, 99}, dropChunk, 1},
		{rawParam(paramOutgoingReset, nil), dropReset, 1},
		{rawParam(paramOutgoingReset, []byte{0, 0, 1}), dropReset, 1},
		{rawParam(paramOutgoingReset, u32s(peerTSN, 0)), dropChunk, 1},
		{rawParam(paramOutgoingReset, u32s(peerTSN+1, 0, 1)), dropReset, 1}, // out of sequence
		{rawParam(paramOutgoingReset, u32s(0xffff_ffff, 0, 1)), dropReset, 1},
		{rawParam(paramResetResponse, u32s(1000)), dropChunk, 1},
		{rawParam(paramResetResponse, u32s(1000, 1)), dropReset, 1}, // there was no request
		{rawParam(99, u32s(1, 2, 3)), dropReset, 1},
		{slices.Concat(rawParam(paramResetResponse, u32s(5, 1)), rawParam(paramResetResponse, u32s(5, 1)), rawParam(paramOutgoingReset, u32s(peerTSN, 0, 1))), dropReset, 3},
	} {
		before := a.Stats().Drops[tt.why]
		a.write(rawChunk(chunkReconfig, 0, tt.v))
		a.wantNoEvent("nothing happens")
		a.wantIdle("and nothing is said")
		a.wantDrops(fmt.Sprintf("%x", tt.v), tt.why, before+tt.more)
	}
	a.write(resetRequest(peerTSN, 1, 1))
	a.wantEvent("and the sequence is intact", Event{Type: ChannelClosed, Stream: 1})
}

// A stream is opened and closed ten thousand times, by either end, and some answers are lost.
func TestStreamIsReused(t *testing.T) {
	a := newTestAssoc(t)
	tsn, number := uint32(1), uint32(peerTSN)
	for i := range 10_000 {
		a.write(unreliableOpen(tsn, 1, "c"))
		a.wantEvent("opened", Event{Type: ChannelOpen, Stream: 1, Label: "c", Reliability: Retransmits})
		a.write(dataChunk(tsn+1, 1, ppidText, "x"))
		a.wantMessage("used", 1, Text, "x")
		a.drain()
		a.ackAll()
		tsn += 2
		if i%3 == 0 {
			a.CloseStream(a.now, 1)
			a.drain()
			a.write(resetResponse(a.reset.next, resultPerformed))
		}
		a.write(resetRequest(number, tsn-1, 1))
		number++
		a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
		a.drain()
		if i%3 == 1 {
			a.write(resetResponse(a.reset.next, resultPerformed))
		} // else the answer is lost: the stream is used again nevertheless
		a.pass(time.Second)
		a.drain()
	}
	if len(a.channels) > 1 || len(a.control) != 0 || a.reset.ends != nil {
		t.Errorf("%d channels, want at most 1; %d answers wait, want 0; ends of streams %v, want none, because no message was late", len(a.channels), len(a.control), a.reset.ends)
	}
}
