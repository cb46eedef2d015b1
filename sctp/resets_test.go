package sctp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A RE-CONFIG chunk may have a response and a request (RFC 6525, 3.1). Both are processed.
func TestResponseAndRequestInOneChunk(t *testing.T) {
	a := openChannel(t)
	a.CloseStream(a.now, 1)
	a.drain()
	a.write(rawChunk(chunkReconfig, 0, slices.Concat(rawParam(paramResetResponse, u32s(1000, resultPerformed)), rawParam(paramOutgoingReset, append(u32s(peerTSN, 1000, 1), 0, 1)))))
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
	a.wantPacket("answered", "RESET-RESPONSE(1 result=1)")
	if len(a.channels) != 0 || !a.Deadline().IsZero() {
		t.Errorf("%d channels are stored, want 0; a timer runs until %v, want none", len(a.channels), a.Deadline())
	}
}

// An SSN/TSN Reset Request has only its number (RFC 6525, 4.3). It is denied, and its
// repetition gets the same answer.
func TestTSNResetIsDenied(t *testing.T) {
	a := openChannel(t)
	for range 2 {
		a.write(rawChunk(chunkReconfig, 0, rawParam(paramTSNReset, u32s(peerTSN))))
		a.wantPacket("the same answer", "RESET-RESPONSE(1 result=2)")
	}
	if s := a.Stats(); s.resets != 0 || s.Channels != 1 {
		t.Errorf("%d resets, want 0; %d channels, want 1", s.resets, s.Channels)
	}
}

// A response with the number of another request, or without any request, has no effect.
func TestAnswersToOtherRequests(t *testing.T) {
	a := openChannel(t)
	a.write(resetResponse(1000, resultPerformed))
	a.CloseStream(a.now, 1)
	a.wantPacket("the number is still free", "RESET(1000 last=1000 stream=1)")
	a.write(resetResponse(999, resultPerformed), resetResponse(1001, resultPerformed))
	a.wantDrops("none of them is it", dropReset, 3)
	a.pass(100 * time.Millisecond)
	a.wantPacket("it is asked again", "RESET(1000 last=1000 stream=1)")
	a.write(resetResponse(1000, resultPerformed))
	if !a.Deadline().IsZero() {
		t.Errorf("a timer runs until %v, want none", a.Deadline())
	}
}

// A request is repeated unchanged, after twice the time each, at most after 3 s. Channels that
// are closed after it wait, also if the peer never answers.
func TestRequestIsRepeated(t *testing.T) {
	a := openChannel(t)
	a.write(unreliableOpen(2, 3, "d"))
	a.drain()
	a.ackAll()
	a.CloseStream(a.now, 1)
	a.wantPacket("the first", "RESET(1000 last=1001 stream=1)")
	a.CloseStream(a.now, 3)
	a.send(5, Text, "sent since")
	a.ackAll()
	last := a.now
	var after []time.Duration
	for range maxResetTries - 1 {
		a.now = a.Deadline()
		a.events = a.Advance(a.now, a.events)
		for _, p := range a.drain() {
			if p != "RESET(1000 last=1001 stream=1)" {
				t.Errorf("the request is repeated as %s", p)
			}
			after = append(after, a.now.Sub(last).Round(time.Millisecond))
			last = a.now
		}
	}
	if got, want := fmt.Sprint(after), "[100ms 200ms 400ms 800ms 1.6s 3s 3s 3s 3s]"; got != want {
		t.Errorf("repeated after %s, want %s", got, want)
	}
	if n := a.Stats().Retransmits; n != maxResetTries-1 {
		t.Errorf("%d repetitions are counted, want %d", n, maxResetTries-1)
	}
	a.pass(3 * time.Second)
	a.wantPacket("the next", "RESET(1001 last=1002 stream=3)")
}

// After the answer In Progress the request is sent again after the time of a first repetition.
func TestRequestInProgress(t *testing.T) {
	a := openChannel(t)
	a.CloseStream(a.now, 1)
	a.drain()
	a.pass(60 * time.Millisecond)
	a.write(resetResponse(1000, resultInProgress))
	a.pass(99 * time.Millisecond)
	a.wantIdle("not yet")
	a.pass(time.Millisecond)
	a.wantPacket("under the next number", "RESET(1001 last=1000 stream=1)")
}

// When the last request ends, the only channel that waits is in the next request.
func TestTheOnlyOneThatWaits(t *testing.T) {
	a := openChannel(t)
	a.write(unreliableOpen(2, 3, "d"))
	a.drain()
	a.ackAll()
	a.CloseStream(a.now, 1)
	a.drain()
	a.CloseStream(a.now, 3)
	a.write(resetRequest(peerTSN, 2, 1))
	a.wantPacket("the peer's is answered", "RESET-RESPONSE(1 result=1)")
	a.write(resetResponse(1000, resultPerformed))
	a.wantPacket("it is its turn", "RESET(1001 last=1001 stream=3)")
}

// A channel that waits for its request is in the next one, also if the peer has reset the stream
// meanwhile.
func TestOneThatWaitsAndIsReset(t *testing.T) {
	a := openChannel(t)
	a.write(unreliableOpen(2, 3, "d"))
	a.drain()
	a.ackAll()
	a.CloseStream(a.now, 1)
	a.drain()
	a.CloseStream(a.now, 3)
	a.write(resetRequest(peerTSN, 2, 3))
	a.wantPacket("the peer's is answered", "RESET-RESPONSE(1 result=1)")
	a.write(resetResponse(1000, resultPerformed))
	a.wantPacket("it is its turn", "RESET(1001 last=1001 stream=3)")
}

// A second reset of a stream closes nothing. If the peer uses a stream again before it has
// answered the request of this end, the request counts as answered.
func TestResetOfAClosedStream(t *testing.T) {
	a := openChannel(t)
	a.write(resetRequest(peerTSN, 1, 1))
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
	a.wantPacket("answered", "RESET-RESPONSE(1 result=1) RESET(1000 last=1000 stream=1)")
	a.write(resetRequest(peerTSN+1, 1, 1))
	a.wantNoEvent("it is closed already")
	a.wantPacket("answered", "RESET-RESPONSE(2 result=1)")
	a.write(unreliableOpen(2, 1, "new"))
	a.wantEvent("open", Event{Type: ChannelOpen, Stream: 1, Label: "new", Reliability: Retransmits})
	a.ackAll()
	a.pass(sackDelay)
	a.drain()
	a.ackAll()
	a.pass(time.Second)
	if b := a.Append(a.now, []byte("kept")); string(b) != "kept" {
		t.Errorf("the old request is repeated: %q", b)
	}
	a.CloseStream(a.now, 1)
	a.wantPacket("the next has the next number", "RESET(1001 last=1001 stream=1)")
}

// Up to twice MaxChannels unknown streams are stored until our direction is reset.
func TestResetOfManyUnknownStreams(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.MaxChannels = 2 })
	for i := range uint32(6) {
		a.write(resetRequest(peerTSN+i, 0, uint16(1+2*i)))
		a.drain()
	}
	a.wantDrops("the others are not", dropChannels, 2)
	if len(a.channels) != 4 {
		t.Errorf("%d streams are stored, want 4", len(a.channels))
	}
}

// A request that does not fit in the packet with a SACK is sent in the next packet. One request
// has 256 streams at most, so it fits a packet.
func TestRequestsFitTheirPacket(t *testing.T) {
	for _, tt := range []struct {
		channels int
		want     []string // chunks of each packet, and number of streams
		first    int      // bytes
	}{
		{164, []string{"SACK+164"}, MaxPacket - paramHeaderLen - responseLen}, // leaves room for a response
		{166, []string{"SACK", "166"}, 0},
		{256, []string{"SACK", "256"}, 0},
		{300, []string{"SACK", "256"}, 0},
	} {
		a := newTestAssoc(t, honest, func(c *Config) { c.MaxChannels = 300 })
		for i := range tt.channels {
			a.write(dataChunk(uint32(1+i), uint16(i), ppidText, "x"))
			a.drain()
		}
		for i := range uint32(300) {
			a.receive(dataChunk(uint32(tt.channels)+2+2*i, 0, ppidText, strings.Repeat("x", 20)))
		}
		a.drain()
		for i := range tt.channels {
			a.CloseStream(a.now, uint16(i))
		}
		a.ack.credit = maxCredit
		a.receive(dataChunk(uint32(tt.channels)+2, 0, ppidText, "x"))
		a.ack.duplicates = nil
		a.Flush(a.now)
		var got []string
		for b := a.next(); len(b) > 0; b = a.next() {
			if len(got) == 0 && tt.first > 0 && len(b) != tt.first {
				t.Errorf("%d channels: the first packet has %d bytes, want %d", tt.channels, len(b), tt.first)
			}
			s, n := debugPacket(b), ""
			if strings.Contains(s, "SACK") {
				n = "SACK"
			}
			if streams := strings.Count(s, "stream="); streams > 0 {
				n = strings.TrimPrefix(n+"+"+fmt.Sprint(streams), "+")
			}
			got = append(got, n)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%d channels: %q, want %q", tt.channels, got, tt.want)
		}
		a.write(resetResponse(1000, resultPerformed))
		if p := a.drain(); tt.channels > maxResetStreams && (len(p) != 1 || strings.Count(p[0], "stream=") != tt.channels-maxResetStreams) {
			t.Errorf("after the response: %q, want a request for %d streams", p, tt.channels-maxResetStreams)
		}
	}
}

// If a page closes a channel and uses its stream again at once, before this end has sent its
// request, no request is sent and no number is used.
func TestRequestThatIsNotNeeded(t *testing.T) {
	a := openChannel(t)
	a.write(resetRequest(peerTSN, 1, 1), unreliableOpen(2, 1, "new"))
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
	a.wantEvent("open", Event{Type: ChannelOpen, Stream: 1, Label: "new", Reliability: Retransmits})
	a.wantPacket("answered", `RESET-RESPONSE(1 result=1) DATA(tsn=1001 stream=1 ssn=0 ppid=50 flags=3 "\x02")`)
	a.CloseStream(a.now, 1)
	a.wantPacket("the first request", "RESET(1000 last=1001 stream=1)")
}
