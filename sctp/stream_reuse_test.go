package sctp

import "testing"

// Chunks of a channel that arrive after its end.
var lateChunks = map[string][]byte{
	"message":       text(2, "late"),
	"ordered":       rawData(flagWhole, 2, 1, 7, ppidText, "late"),
	"fragment":      frag(flagBegin|unordered, 2, "la"),
	"opening":       unreliableOpen(2, 1, "late"),
	"empty message": dataChunk(2, 1, ppidTextEmpty, "\x00"),
}

// closedAround returns an association whose channel on stream 1 was closed, by the page or by
// this end, while TSN 2 was late. All other messages of the page have arrived.
func closedAround(t *testing.T, byUs bool, set ...func(*Config)) *testAssoc {
	t.Helper()
	a := openChannel(t, set...)
	a.write(text(3, "in time"))
	a.wantMessage("in time", 1, Text, "in time")
	if byUs {
		a.CloseStream(a.now, 1)
		a.drain()
		a.write(text(4, "sent before the reset was seen"))
	} else {
		a.write(text(4, "the last one"))
		a.wantMessage("the last one", 1, Text, "the last one")
	}
	a.write(resetRequest(peerTSN, 4, 1))
	a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})
	a.drain()
	a.write(resetResponse(1000, resultPerformed))
	if len(a.channels) != 0 {
		t.Fatalf("%d channels are stored, want 0", len(a.channels))
	}
	return a
}

// A chunk with a TSN up to the last one before a reset belongs to the old channel (RFC 6525,
// 5.1.2 and 5.2.2). It opens no new channel, which nobody would ever close.
func TestLateChunkOfAClosedChannel(t *testing.T) {
	for _, byUs := range []bool{false, true} {
		for name, c := range lateChunks {
			a := closedAround(t, byUs, eager)
			before := a.Stats().Drops[dropClosedChannel]
			a.write(c)
			a.wantNoEvent(name)
			a.wantDrops(name, dropClosedChannel, before+1)
			a.write(c)
			a.wantNoEvent("once more")
			if a.Stats().Duplicates != 1 || len(a.channels) != 0 || a.buffered != 0 {
				t.Errorf("%s, closed by us %v: %d duplicates, want 1; %d channels and %d bytes, want 0", name, byUs, a.Stats().Duplicates, len(a.channels), a.buffered)
			}
		}
	}
}

// Such a chunk is not delivered on a new channel of the stream either.
func TestLateChunkOnAReopenedStream(t *testing.T) {
	for _, byUs := range []bool{false, true} {
		for name, c := range lateChunks {
			a := closedAround(t, byUs, eager)
			a.write(unreliableOpen(5, 1, "new"))
			a.wantEvent("opened", Event{Type: ChannelOpen, Stream: 1, Label: "new", Reliability: Retransmits})
			a.write(c)
			a.wantNoEvent(name)
			a.write(frag(flagBegin|unordered, 6, "whole"), frag(flagEnd|unordered, 7, " again"))
			a.wantMessage("what was sent since", 1, Text, "whole again")
			a.write(resetRequest(peerTSN+1, 7, 1))
			a.wantEvent("closed", Event{Type: ChannelClosed, Stream: 1})

			a = closedAround(t, byUs, eager)
			a.write(text(6, "negotiated"))
			a.wantEvent("in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
			a.wantMessage("again", 1, Text, "negotiated")
			a.write(c)
			a.wantNoEvent(name)
			a.write(text(5, "late, but new"))
			a.wantMessage("what was sent since", 1, Text, "late, but new")
		}
	}
}

// A late chunk that was sent after the reset belongs to the new channel, also while an older
// one is late.
func TestLateChunkBehindTheReset(t *testing.T) {
	a := closedAround(t, false, eager)
	a.write(unreliableOpen(6, 1, "new"))
	a.events = nil
	a.write(text(5, "late, but new"))
	a.wantMessage("it came through", 1, Text, "late, but new")
	a.write(text(2, "late"))
	a.wantNoEvent("this one is of the old channel")
}

// A reset has no effect on late chunks of other streams.
func TestResetLeavesOtherStreams(t *testing.T) {
	a := openChannel(t, eager)
	a.write(text(6, "x"))
	a.write(resetRequest(peerTSN, 6, 1))
	a.events = nil
	a.write(unreliableOpen(3, 5, "late"))
	a.wantEvent("opened", Event{Type: ChannelOpen, Stream: 5, Label: "late", Reliability: Retransmits})
	a.write(dataChunk(2, 7, ppidText, "negotiated"))
	a.wantEvent("in use", Event{Type: ChannelOpen, Stream: 7, Negotiated: true, Reliability: Retransmits})
	a.wantMessage("in use", 7, Text, "negotiated")
}

// An OPEN is overtaken by all other chunks of its channel, and by the reset.
func TestOpeningAfterTheReset(t *testing.T) {
	a := openChannel(t, eager)
	a.write(text(3, "on another channel"))
	a.write(resetRequest(peerTSN, 2, 9))
	a.events = nil
	a.write(unreliableOpen(2, 9, "late"))
	a.wantNoEvent("it was closed")
	a.wantPacket("our direction is reset", "SACK(cum=3) RESET-RESPONSE(1 result=1) RESET(1000 last=1000 stream=9)")
	a.write(resetResponse(1000, resultPerformed))
	if a.channel(9) != nil {
		t.Error("a channel of stream 9 is stored, want none")
	}
}

// The answer to the reset of this end is lost, and the first messages of the stream's next
// channel overtake its OPEN.
func TestMessagesOvertakeTheReopening(t *testing.T) {
	opening := openChunk(2, 1, channelReliable, 0, "new")
	begin, end := rawData(flagBegin, 3, 1, 1, ppidText, "two "), rawData(flagEnd, 4, 1, 1, ppidText, "halves")
	last := rawData(flagWhole, 5, 1, 2, ppidText, "last")
	for _, order := range [][][]byte{{last, opening, begin, end}, {begin, opening, last, end}, {end, last, begin, opening}} {
		a := newTestAssoc(t, honest, allowReliable)
		a.write(openChunk(1, 1, channelReliable, 0, "old"))
		a.write(resetRequest(peerTSN, 1, 1))
		a.events = nil
		for _, c := range order {
			a.write(c)
		}
		for a.events[0].Label != "new" {
			a.wantEvent("in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Ordered: true})
		}
		a.wantEvent("opened", Event{Type: ChannelOpen, Stream: 1, Label: "new", Ordered: true})
		a.wantMessage("nothing is missing", 1, Text, "two halves")
		a.wantMessage("nothing is missing", 1, Text, "last")
	}
}

// The ends of the last resets are stored. An end is ignored when no TSN up to it can be late
// any more, because TSNs wrap.
func TestEndsOfStreams(t *testing.T) {
	a := openChannel(t, eager)
	a.write(text(100, "the rest is late"))
	const resets = 1000
	for i := range uint32(resets) {
		a.write(resetRequest(a.reset.expected, 100, uint16(i)))
		a.drain()
		a.write(resetResponse(a.reset.next, resultPerformed))
	}
	a.events = nil
	for i := range uint32(len(a.reset.ends.ring)) {
		a.write(dataChunk(10+i, uint16(resets-1-i), ppidText, "late"))
		a.wantNoEvent("that is over")
	}
	if len(a.channels) != 0 {
		t.Errorf("%d channels are stored, want 0", len(a.channels))
	}

	// After half of all TSNs a new TSN looks older than the end.
	for range 1<<31/maxForward + 1 {
		a.write(forward(a.rx.cum + maxForward))
	}
	a.write(dataChunk(a.rx.high+2, resets-1, ppidText, "x"))
	a.write(dataChunk(a.rx.high-1, resets-1, ppidText, "late"))
	a.wantEvent("in use", Event{Type: ChannelOpen, Stream: resets - 1, Negotiated: true, Reliability: Retransmits})
	a.wantMessage("in use", resets-1, Text, "x")
	a.wantMessage("though late", resets-1, Text, "late")
}

// The ends of as many streams as a page may have are known, also after further requests to reset
// all of them: a late chunk of each stream is of the old channel.
func TestLateChunksAfterRepeatedResets(t *testing.T) {
	for late := range uint16(16) {
		a := newTestAssoc(t, eager)
		for i := range uint16(16) {
			tsn := uint32(1 + i)
			if i > 0 {
				tsn++ // TSN 2 is late
			}
			a.write(unreliableOpen(tsn, 2*i+1, "a"))
		}
		for i := range uint32(2) {
			a.write(resetRequest(peerTSN+i, 17))
			a.drain()
		}
		a.events = nil
		a.write(dataChunk(2, 2*late+1, ppidText, "late"))
		a.wantNoEvent("it is of a channel that is closed")
		a.wantDrops("late", dropClosedChannel, 1)
	}
}

// A request to reset all streams has a later end than the one before: what the peer has sent
// between the two on a stream that was reset already is of a closed channel, too.
func TestLateChunkBetweenTwoResets(t *testing.T) {
	a := openChannel(t, eager)
	a.write(resetRequest(peerTSN, 1, 1))
	a.write(unreliableOpen(3, 3, "other")) // TSN 2 is late
	a.drain()
	a.write(resetRequest(peerTSN+1, 3))
	a.drain()
	a.events = nil
	a.write(dataChunk(2, 1, ppidText, "late"))
	a.wantNoEvent("it is of a channel that is closed")
	a.wantDrops("late", dropClosedChannel, 1)
}
