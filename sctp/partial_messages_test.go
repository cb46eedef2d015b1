package sctp

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// oframe returns a fragment of an ordered message on stream 1.
func oframe(flags byte, tsn uint32, ssn uint16, s string) []byte {
	return rawData(flags, tsn, 1, ssn, ppidText, s)
}

// Fragments with consecutive TSNs belong to one message if they have the same stream, the same
// payload protocol, the same order and, if they are ordered, the same sequence number. They may
// arrive in any order.
func TestWhatBelongsTogether(t *testing.T) {
	for _, tt := range []struct {
		name        string
		first, last []byte
		whole       bool
	}{
		{"unordered", rawData(flagBegin|unordered, 2, 1, 5, ppidText, "a"), rawData(flagEnd|unordered, 3, 1, 6, ppidText, "b"), true},
		{"ordered", oframe(flagBegin, 2, 1, "a"), oframe(flagEnd, 3, 1, "b"), true},
		{"ordered, of two", oframe(flagBegin, 2, 1, "a"), oframe(flagEnd, 3, 2, "b"), false},
		{"two streams", frag(flagBegin|unordered, 2, "a"), rawData(flagEnd|unordered, 3, 3, 0, ppidText, "b"), false},
		{"two kinds", frag(flagBegin|unordered, 2, "a"), rawData(flagEnd|unordered, 3, 1, 0, ppidBinary, "b"), false},
		{"two orders", frag(flagBegin|unordered, 2, "a"), rawData(flagEnd, 3, 1, 0, ppidText, "b"), false},
		{"two ends", frag(flagEnd|unordered, 2, "a"), frag(flagEnd|unordered, 3, "b"), false},
		{"two beginnings", frag(flagBegin|unordered, 2, "a"), frag(flagBegin|unordered, 3, "b"), false},
		{"not in a row", frag(flagBegin|unordered, 2, "a"), frag(flagEnd|unordered, 4, "b"), false},
	} {
		for _, order := range [][2][]byte{{tt.first, tt.last}, {tt.last, tt.first}} {
			a := newTestAssoc(t)
			a.use()
			a.write(order[0])
			a.write(order[1])
			if tt.whole {
				a.wantMessage(tt.name, 1, Text, "ab")
			}
			a.wantNoEvent(tt.name)
			if want := 2 * (1 + bufferOverhead); !tt.whole && a.Stats().Buffered != want {
				t.Errorf("%s: %d bytes are held, want %d", tt.name, a.Stats().Buffered, want)
			}
		}
	}
}

// A message that is incomplete costs its received bytes and 128 bytes, and 64 bytes for each
// fragment that comes before one that is stored. If it grows, it costs at most twice its
// received bytes, and at most MaxMessage.
func TestWhatIsHeldIsCounted(t *testing.T) {
	for _, tt := range []struct {
		name string
		tsns []uint32
		want []int // besides the 128
	}{
		{"forwards", []uint32{2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, []int{1, 2, 4, 4, 8, 8, 8, 8, 10, 10}},
		{"backwards", []uint32{11, 10, 9}, []int{1, 66, 131}},
		{"joined", []uint32{5, 3, 4}, []int{1, 1 + 129, 1 + 129 + 1}},
	} {
		a := newTestAssoc(t, func(c *Config) { c.MaxMessage = 10 })
		a.use()
		for i, tsn := range tt.tsns {
			flags := byte(unordered)
			if tsn == 2 {
				flags |= flagBegin
			}
			a.write(frag(flags, tsn, "x"))
			if got := a.Stats().Buffered - bufferOverhead; got != tt.want[i] {
				t.Errorf("%s: %d bytes for %d pieces, want %d", tt.name, got, i+1, tt.want[i])
			}
		}
	}
}

// If any fragment makes a message too large, all of its fragments are dropped: those that are
// stored, and those that follow, to its end.
func TestTooLargeInAnyOrder(t *testing.T) {
	kilo := strings.Repeat("x", 1000)
	for _, tt := range []struct {
		name   string
		pieces []string // "tsn flags", in the order in which they come
		drops  uint32
	}{
		{"the end", []string{"2B", "3", "4", "5E"}, 1},
		{"the beginning", []string{"5E", "4", "3", "2B"}, 1},
		{"between", []string{"5E", "4", "2B", "3"}, 1},
		{"between, from both sides", []string{"2B", "3", "5E", "4"}, 1},
		{"of two runs that were joined", []string{"2B", "4", "3", "5E"}, 1},
		{"and its end follows", []string{"2B", "3", "4", "5", "6", "7E"}, 3},
		{"its end is still missing, from the right", []string{"5", "4", "3", "2B", "6", "7E"}, 3},
		{"its end is still missing, from both sides", []string{"2B", "4", "5", "3", "6E"}, 2},
	} {
		a := newTestAssoc(t, func(c *Config) { c.MaxMessage = 3000 })
		a.use()
		last := uint32(0)
		for _, p := range tt.pieces {
			var tsn uint32
			fmt.Sscanf(p, "%d", &tsn)
			last = max(last, tsn)
			flags := byte(unordered)
			if strings.HasSuffix(p, "B") {
				flags |= flagBegin
			}
			if strings.HasSuffix(p, "E") {
				flags |= flagEnd
			}
			a.write(frag(flags, tsn, kilo))
		}
		a.wantNoEvent(tt.name)
		a.wantDrops(tt.name, dropTooLarge, tt.drops)
		if a.Stats().Buffered != 0 || !a.Deadline().IsZero() && a.Deadline().Sub(a.now) > sackDelay {
			t.Errorf("%s: %d bytes are buffered, want 0; a timer until %v", tt.name, a.Stats().Buffered, a.Deadline())
		}
		a.write(frag(unordered, last+1, "of another message"), frag(flagBegin|unordered, last+2, "and "), frag(flagEnd|unordered, last+3, "another"))
		a.wantMessage("the next", 1, Text, "and another")
		a.wantDrops("none of the next is taken for it", dropTooLarge, tt.drops)
	}
	// A fragment that follows, but begins a message, belongs to the next one. So does one with
	// a TSN that is not consecutive.
	a := newTestAssoc(t, func(c *Config) { c.MaxMessage = 3000 })
	a.use()
	a.write(frag(flagBegin|unordered, 2, strings.Repeat("x", 3001)))
	a.write(frag(flagEnd|unordered, 5, "b"), frag(flagBegin|unordered, 4, "a"))
	a.wantMessage("not in a row", 1, Text, "ab")
	a.write(frag(flagBegin|unordered, 3, "c"))
	a.wantDrops("it began", dropTooLarge, 1)
}

// Sizes at the limit.
func TestWhatJustFits(t *testing.T) {
	two := func(c *Config) { c.MaxBuffered = 2 * (1 + bufferOverhead) }
	a := newTestAssoc(t, two)
	a.use()
	a.write(frag(flagBegin|unordered, 100, "a"), frag(flagBegin|unordered, 102, "b"))
	a.wantDrops("two fit", dropEvicted, 0)
	a = newTestAssoc(t, two, func(c *Config) { c.MaxBuffered++ })
	a.use()
	a.write(frag(flagBegin|unordered, 2, "a"), frag(flagBegin|unordered, 4, "c"))
	a.wantDrops("two fit", dropEvicted, 0)
	a.write(frag(flagBegin|unordered, 6, "e"))
	a.wantDrops("a third does not", dropEvicted, 1)
	a.write(frag(flagEnd|unordered, 5, "d"))
	a.wantMessage("the oldest went", 1, Text, "cd")
	a.write(frag(flagEnd|unordered, 3, "b"))
	a.wantNoEvent("the oldest went")

	// A message of a reliable channel that does not fit is refused, unless it is the next one:
	// then the limit is MaxMessage and 256 bytes more.
	a = newTestAssoc(t, allowReliable, two, func(c *Config) { c.MaxMessage = 3 })
	a.write(openChunk(1, 1, channelReliable, 0, "c"))
	a.write(ordered(4, 3, "3"), oframe(flagBegin, 6, 5, "5"))
	a.wantDrops("two fit", dropRefused, 0)
	a.write(ordered(8, 7, "7"))
	a.wantDrops("a third does not", dropRefused, 1)
	a.write(oframe(flagBegin, 2, 1, "12"))
	a.wantDrops("it is the next one", dropRefused, 1)
	a.write(oframe(flagBegin, 3, 2, "12"))
	a.wantDrops("as is this: all but one byte", dropRefused, 2)
	a.write(oframe(flagBegin, 3, 2, "1"))
	a.wantDrops("which fits just so", dropRefused, 2)
	if n := a.Stats().Buffered; n != a.mostBuffered() {
		t.Errorf("%d bytes are buffered, want %d", n, a.mostBuffered())
	}
}

// Each incomplete message has its own age, from its first fragment on, whatever the order of
// the TSNs. The timer runs while there is such a message.
func TestEachMessageGrowsOldByItself(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(text(7, "x"))
	a.drain()
	a.events = nil
	start := a.now
	a.write(dataChunk(2, 1, ppidText, "x"))
	for i, tsn := range []uint32{3, 9, 5} { // at 0, 500 and 1000 ms
		a.now = start.Add(time.Duration(i) * 500 * time.Millisecond)
		a.write(frag(flagBegin|unordered, tsn, "half"))
		a.drain()
	}
	a.write(frag(unordered, 10, "of the one that came at 500 ms"))
	a.pass(sackDelay)
	a.drain()
	for i, at := range []time.Duration{2000, 2500, 3000} {
		at *= time.Millisecond
		if got := a.Deadline().Sub(start); got != at {
			t.Errorf("the next one is due after %v, want %v", got, at)
		}
		a.pass(start.Add(at).Sub(a.now) - time.Millisecond)
		a.wantDrops("not yet", dropExpired, uint32(i))
		a.pass(time.Millisecond)
		a.wantDrops("now", dropExpired, uint32(1+i))
	}
	if s := a.Stats(); s.Buffered != 0 || !a.Deadline().IsZero() {
		t.Errorf("%d bytes are buffered, want 0; the timer runs until %v, want none", s.Buffered, a.Deadline())
	}
}

// An incomplete message on an unknown stream has an age, too. The timer ends with a message
// that becomes whole, or is dropped with its channel.
func TestTimerOfHalves(t *testing.T) {
	a := newTestAssoc(t)
	a.write(frag(flagBegin|unordered, 1, "half"))
	a.drain()
	if at := a.Deadline().Sub(a.now); at != 2*time.Second {
		t.Errorf("the timer ends in %v, want 2 s", at)
	}
	a.pass(2 * time.Second)
	a.wantDrops("too old", dropExpired, 1)
	for _, end := range [][]byte{frag(flagEnd|unordered, 4, "b"), resetRequest(peerTSN, 2, 1), forward(3), rawChunk(chunkAbort, 0, nil)} {
		a = openChannel(t)
		a.write(text(2, "x"))
		a.write(frag(flagBegin|unordered, 3, "a"))
		a.pass(sackDelay)
		a.drain()
		a.write(end)
		a.drain()
		a.write(resetResponse(1000, resultPerformed))
		a.pass(sackDelay)
		a.drain()
		if !a.Deadline().IsZero() {
			t.Errorf("the timer runs until %v after %x, want no timer", a.Deadline(), end)
		}
	}
}

// Incomplete messages on a stream that is not open have no timeout if it may become reliable.
// If it is opened and not reliable, their age counts from their first fragment.
func TestOldHalvesOfAChannelThatOpens(t *testing.T) {
	for i, opening := range [][]byte{unreliableOpen(1, 1, "c"), dataChunk(1, 1, ppidText, "negotiated"), unreliableOpen(1, 1, "c")} {
		a := newTestAssoc(t, allowReliable)
		tsns := [][2]uint32{{4, 6}, {4, 6}, {6, 4}}[i]
		a.write(frag(flagBegin|unordered, tsns[0], "half"))
		a.pass(time.Second)
		a.write(frag(flagBegin|unordered, tsns[1], "younger"), rawData(flagBegin|unordered, 8, 3, 0, ppidText, "another's"))
		a.pass(1500 * time.Millisecond)
		a.write(opening)
		a.drain()
		a.ackAll()
		a.pass(0)
		a.wantDrops("it is too old at once", dropExpired, 1)
		a.pass(500*time.Millisecond - 1)
		a.wantDrops("the younger one is not", dropExpired, 1)
		a.pass(1)
		a.wantDrops("but is when its time has come", dropExpired, 2)
		if !a.Deadline().IsZero() || a.Stats().Buffered != len("another's")+bufferOverhead {
			t.Errorf("%d bytes are buffered, want only the other stream's; the timer runs until %v, want none", a.Stats().Buffered, a.Deadline())
		}
	}
}

// Incomplete messages of a channel that repeats its messages, or keeps their order, have no
// timeout and no timer.
func TestHalvesThatDoNotGrowOld(t *testing.T) {
	for _, kind := range []byte{channelReliable, channelUnordered | channelReliable, channelLifetime} {
		a := newTestAssoc(t, allowReliable)
		a.write(openChunk(1, 1, kind, 100, "c"), rawData(flagBegin|kind>>5&flagUnordered, 2, 1, 1, ppidText, "half"))
		a.drain()
		a.ackAll()
		if !a.Deadline().IsZero() {
			t.Errorf("kind %d: the timer runs until %v, want none", kind, a.Deadline())
		}
	}
}

// A page that uses a stream again may send half of a message before its OPEN. The half is
// stored as one of a channel that may be reliable, not as one of the old channel.
func TestHalfOnAReusedStream(t *testing.T) {
	a := newTestAssoc(t, allowReliable, honest)
	a.write(unreliableOpen(1, 1, "old"))
	a.write(resetRequest(peerTSN, 1, 1))
	a.drain()
	a.events = nil
	a.write(oframe(flagBegin, 3, 1, "one of "))
	a.pass(10 * time.Second)
	a.write(openChunk(2, 1, channelReliable, 0, "new"))
	a.wantEvent("open", Event{Type: ChannelOpen, Stream: 1, Label: "new", Ordered: true})
	a.write(oframe(flagEnd, 4, 1, "a reliable channel"))
	a.wantMessage("nothing is missing", 1, Text, "one of a reliable channel")
}

// A message becomes whole though an earlier one is incomplete.
func TestWholeBehindAHalf(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(frag(flagBegin|unordered, 2, "half"))
	a.write(frag(flagEnd|unordered, 6, "b"))
	a.write(frag(flagBegin|unordered, 5, "a"))
	a.wantMessage("its beginning came last", 1, Text, "ab")
	a.write(frag(flagBegin|unordered, 8, "a"))
	a.write(frag(flagEnd|unordered, 9, "b"))
	a.wantMessage("its end did", 1, Text, "ab")
	if n := a.Stats().Buffered; n != 4+bufferOverhead {
		t.Errorf("%d bytes are buffered, want %d", n, 4+bufferOverhead)
	}
}

// The association copies what it stores: the packet may be overwritten.
func TestWhatIsHeldIsOwned(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelReliable, 0, "c"))
	a.events = nil
	for _, c := range [][]byte{ordered(3, 2, "waits"), oframe(flagBegin, 4, 3, "in "), oframe(flagEnd, 5, 3, "two")} {
		p := packet(ourTag, c)
		a.writePacket(p)
		clear(p)
	}
	a.write(ordered(2, 1, "first"))
	a.wantMessage("in order", 1, Text, "first")
	a.wantMessage("in order", 1, Text, "waits")
	a.wantMessage("in order", 1, Text, "in two")
}

// TSNs wrap. A fragment with the TSN of one that is still stored is dropped.
func TestFragmentOfATSNThatIsHeld(t *testing.T) {
	a := newTestAssoc(t, allowReliable, eager)
	a.write(rawData(0, 5, 9, 0, ppidText, "old"), rawData(0, 6, 9, 0, ppidText, "old"))
	for range 7 {
		a.leapIn()
	}
	a.rx.init(4)
	a.events = nil
	held := a.Stats().Buffered
	for _, tsn := range []uint32{5, 6} {
		a.write(rawData(0, tsn, 9, 0, ppidText, "new"))
	}
	a.wantDrops("there is no place for them", dropEvicted, 2)
	if n := a.Stats().Buffered; n != held {
		t.Errorf("%d bytes are buffered, want %d as before", n, held)
	}
	a.write(rawData(0, 7, 9, 0, ppidText, "new"))
	a.wantDrops("for this there is", dropEvicted, 2)
}
