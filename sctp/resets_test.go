package sctp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A chunk may hold a response and a request (RFC 6525, 3.1). Both are taken.
func TestResponseAndRequestInOneChunk(t *testing.T) {
	a := openChannel(t)
	a.CloseStream(a.now, 1)
	a.drain()
	a.write(rawChunk(chunkReconfig, 0, slices.Concat(rawParam(paramResetResponse, u32s(1000, resultPerformed)), rawParam(paramOutgoingReset, append(u32s(peerTSN, 1000, 1), 0, 1)))))
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
	a.wantPacket("answered", "RESET-RESPONSE(1 result=1)")
	if len(a.channels) != 0 || !a.Deadline().IsZero() {
		t.Errorf("%d channels are left, and a timer until %v", len(a.channels), a.Deadline())
	}
}

// RFC 6525, 4.3: an SSN/TSN Reset Request has nothing but its number. It is denied, once.
func TestTSNResetIsDenied(t *testing.T) {
	a := openChannel(t)
	for range 2 {
		a.write(rawChunk(chunkReconfig, 0, rawParam(paramTSNReset, u32s(peerTSN))))
		a.wantPacket("the same answer", "RESET-RESPONSE(1 result=2)")
	}
	if s := a.Stats(); s.Resets != 0 || s.Channels != 1 {
		t.Errorf("%+v", s)
	}
}

// The answer to another request of ours, or to none, ends nothing.
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
		t.Errorf("a timer until %v", a.Deadline())
	}
}

// A request is repeated as it is: after twice as long each time, at most after 3 s. What is
// closed meanwhile waits, also for a peer that never answers.
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
				t.Errorf("repeated: %s", p)
			}
			after = append(after, a.now.Sub(last).Round(time.Millisecond))
			last = a.now
		}
	}
	if got, want := fmt.Sprint(after), "[100ms 200ms 400ms 800ms 1.6s 3s 3s 3s 3s]"; got != want {
		t.Errorf("after %s, want %s", got, want)
	}
	if n := a.Stats().Retransmits; n != maxResetTries-1 {
		t.Errorf("%d are counted", n)
	}
	a.pass(3 * time.Second)
	a.wantPacket("the next", "RESET(1001 last=1002 stream=3)")
}

// A peer that is alive but not ready is asked again when the time of a first try has passed.
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

// The last request ends, and the channel that waited is the only one there is.
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

// A stream that is reset again is closed once. The same goes for one that the peer uses
// again before it has answered: that says enough.
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

// Streams that were not known are remembered until our direction is reset: as many as
// twice MaxChannels.
func TestResetOfManyUnknownStreams(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.MaxChannels = 2 })
	for i := range uint32(6) {
		a.write(resetRequest(peerTSN+i, 0, uint16(1+2*i)))
		a.drain()
	}
	a.wantDrops("the others are not", dropChannels, 2)
	if len(a.channels) != 4 {
		t.Errorf("%d are remembered", len(a.channels))
	}
}

// A request that does not fit beside a SACK leaves in the next packet. One names 256
// streams at most, so that it fits any.
func TestRequestsFitTheirPacket(t *testing.T) {
	for _, tt := range []struct {
		channels int
		want     []string // what is in each packet, and how many streams
		first    int      // bytes
	}{
		{164, []string{"SACK+164"}, MaxPacket - paramHeaderLen - responseLen}, // room for a response is kept
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
				t.Errorf("%d channels: %d bytes", tt.channels, len(b))
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
			t.Errorf("the rest: %q", p)
		}
	}
}

// A page that closes a channel and uses its stream again at once, before anything was
// asked for: no number is used up.
func TestRequestThatIsNotNeeded(t *testing.T) {
	a := openChannel(t)
	a.write(resetRequest(peerTSN, 1, 1), unreliableOpen(2, 1, "new"))
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
	a.wantEvent("open", Event{Type: ChannelOpen, Stream: 1, Label: "new", Reliability: Retransmits})
	a.wantPacket("answered", `RESET-RESPONSE(1 result=1) DATA(tsn=1001 stream=1 ssn=0 ppid=50 flags=3 "\x02")`)
	a.CloseStream(a.now, 1)
	a.wantPacket("the first request", "RESET(1000 last=1001 stream=1)")
}
