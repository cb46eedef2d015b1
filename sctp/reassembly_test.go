package sctp

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const unordered = flagUnordered

// frag returns a fragment of a text message on stream 1.
func frag(flags byte, tsn uint32, s string) []byte {
	return rawData(flags, tsn, 1, 0, ppidText, s)
}

func TestFragmentsInAnyOrder(t *testing.T) {
	parts := [][]byte{
		frag(flagBegin|unordered, 2, "one "), frag(unordered, 3, "two "),
		frag(unordered, 4, "three "), frag(flagEnd|unordered, 5, "four"),
	}
	for seed := range uint64(50) {
		a := newTestAssoc(t)
		a.use()
		for _, i := range rand.New(rand.NewPCG(seed, 0)).Perm(len(parts)) {
			a.wantNoEvent("not before it is whole")
			a.write(parts[i])
		}
		a.wantMessage("whole", 1, Text, "one two three four")
		if a.buffered != 0 || a.loose != nil {
			t.Fatalf("%d bytes are buffered, want 0", a.buffered)
		}
	}
}

func TestAssembledMessageOwnsItsMemory(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	first, last := packet(ourTag, frag(flagBegin|unordered, 2, "abc")), packet(ourTag, frag(flagEnd|unordered, 3, "def"))
	a.writePacket(first)
	a.writePacket(last)
	clear(first)
	clear(last)
	a.wantMessage("the packets are gone", 1, Text, "abcdef")
}

// Messages with consecutive TSNs are not mixed.
func TestNeighboursAreNotMixed(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(frag(flagEnd|unordered, 5, "y2"), frag(flagBegin|unordered, 4, "y1"))
	a.write(frag(flagEnd|unordered, 3, "x2"), frag(flagBegin|unordered, 2, "x1"))
	a.wantMessage("the later came first", 1, Text, "y1y2")
	a.wantMessage("then the other", 1, Text, "x1x2")

	a.write(frag(flagBegin|unordered, 6, "a"), rawData(flagEnd|unordered, 7, 3, 0, ppidText, "other stream"))
	a.write(frag(flagBegin|unordered, 8, "b"), rawData(flagEnd, 9, 1, 0, ppidText, "ordered"))
	a.write(frag(flagBegin|unordered, 10, "c"), rawData(flagEnd|unordered, 11, 1, 0, ppidBinary, "binary"))
	a.wantNoEvent("halves of different messages")
}

// A message has at most MaxMessage bytes.
func TestMessageThatIsTooLarge(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.MaxMessage = 3000 })
	a.use()
	kilo := strings.Repeat("x", 1000)
	a.write(frag(flagBegin|unordered, 2, kilo))
	a.write(frag(unordered, 3, kilo))
	a.write(frag(flagEnd|unordered, 4, kilo))
	a.wantMessage("just fits", 1, Text, kilo+kilo+kilo)
	a.write(frag(flagBegin|unordered, 5, kilo))
	a.write(frag(unordered, 6, kilo))
	a.write(frag(unordered, 7, kilo))
	a.write(frag(unordered, 8, "x"))
	a.write(frag(unordered, 9, kilo))
	a.write(frag(flagEnd|unordered, 10, kilo))
	a.wantNoEvent("a byte too much")
	a.wantDrops("it is dropped to its end", dropTooLarge, 3)
	if a.buffered != 0 {
		t.Errorf("%d bytes are buffered, want 0", a.buffered)
	}
	a.write(text(11, "next"))
	a.wantMessage("and the next message is read", 1, Text, "next")
}

// An incomplete message is dropped after 2 s.
func TestIncompleteMessageGrowsOld(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(frag(flagBegin|unordered, 2, "old"))
	a.pass(time.Second)
	a.write(frag(flagBegin|unordered, 4, "younger"))
	a.pass(time.Second)
	a.wantDrops("2 s", dropExpired, 1)
	a.write(frag(flagEnd|unordered, 5, "!"))
	a.wantMessage("the younger one is still there", 1, Text, "younger!")
	a.write(frag(flagEnd|unordered, 3, "too late"))
	a.wantNoEvent("half of it is gone")
	a.pass(3 * time.Second)
	if a.buffered != 0 || !a.Deadline().IsZero() {
		t.Errorf("%d bytes are buffered, want 0; deadline %v, want none", a.buffered, a.Deadline())
	}
}

// However many halves of messages come, the buffer keeps its bound, and later messages arrive.
func TestHalfMessageFloodIsBounded(t *testing.T) {
	for _, size := range []int{1, 100, 1160} {
		a := newTestAssoc(t, eager)
		a.use()
		for i := range uint32(20_000) {
			a.write(frag(flagBegin|unordered, 2+2*i, strings.Repeat("x", size)))
			if a.buffered > a.config.MaxBuffered || len(a.loose) > a.config.MaxBuffered/bufferOverhead {
				t.Fatalf("%d bytes in %d runs are buffered, want at most %d in %d", a.buffered, len(a.loose), a.config.MaxBuffered, a.config.MaxBuffered/bufferOverhead)
			}
		}
		a.write(frag(flagBegin|unordered, 50_000, "a"), frag(flagEnd|unordered, 50_001, "b"))
		a.wantDrops("far away", dropWindow, 2)
		a.write(frag(flagBegin|unordered, 42_000, "a"), frag(flagEnd|unordered, 42_001, "b"))
		a.wantMessage("a message after the flood", 1, Text, "ab")
	}
}

func TestForwardPurgesFragments(t *testing.T) {
	a := newTestAssoc(t, honest)
	a.use()
	a.write(frag(flagBegin|unordered, 2, "given up "), frag(unordered, 3, "given up "))
	a.write(frag(flagBegin|unordered, 6, "kept "))
	a.write(forward(5))
	a.wantDrops("one message", dropForwarded, 1)
	a.write(frag(flagEnd|unordered, 4, "late"))
	a.wantDrops("what is late is dropped", dropForwarded, 2)
	a.write(frag(flagEnd|unordered, 7, "whole"))
	a.wantMessage("what was not given up is delivered", 1, Text, "kept whole")
}

// A reliable channel loses no message because of the limits: a chunk that does not fit is not
// acknowledged, so the peer sends it again.
func TestReliableFragmentsAreNotGivenUp(t *testing.T) {
	a := newTestAssoc(t, allowReliable, func(c *Config) { c.MaxBuffered, c.MaxMessage = 5000, 4000 })
	a.write(openChunk(1, 1, channelReliable, 0, "file"))
	a.events = nil
	kilo := strings.Repeat("x", 900)
	part := func(flags byte, tsn uint32) []byte { return rawData(flags, tsn, 1, 1, ppidBinary, kilo) }
	a.write(part(0, 3))
	a.write(part(0, 4))
	a.write(part(flagEnd, 5))
	a.write(rawData(flagWhole, 6, 1, 2, ppidBinary, kilo))
	a.write(rawData(flagWhole, 7, 1, 3, ppidBinary, kilo))
	a.wantDrops("the buffer is full", dropRefused, 1)
	if a.rx.seen(7) {
		t.Error("a refused chunk is acknowledged")
	}
	a.pass(time.Minute)
	a.write(part(flagBegin, 2))
	a.wantMessage("the missing one always fits", 1, Binary, kilo+kilo+kilo+kilo)
	a.wantMessage("and frees the next", 1, Binary, kilo)
	a.write(rawData(flagWhole, 7, 1, 3, ppidBinary, kilo))
	a.wantMessage("the refused one comes again", 1, Binary, kilo)
	if a.buffered != 0 {
		t.Errorf("%d bytes are buffered, want 0", a.buffered)
	}
}

func TestTooLargeOnReliableChannelClosesIt(t *testing.T) {
	a := newTestAssoc(t, allowReliable, func(c *Config) { c.MaxMessage = 100 })
	a.write(openChunk(1, 1, channelReliable, 0, "file"))
	a.drain()
	a.ackAll()
	a.write(rawData(flagBegin, 2, 1, 1, ppidBinary, strings.Repeat("x", 101)))
	a.wantPacket("a stream reset", "RESET(1000 last=1000 stream=1)")
}

func TestOrderedDelivery(t *testing.T) {
	for _, kind := range []byte{channelReliable, channelRetransmits, channelLifetime} {
		a := newTestAssoc(t, allowReliable)
		a.write(openChunk(1, 1, kind, 5, "chat"))
		a.events = nil
		for _, i := range []uint32{3, 2, 5, 1, 4} {
			a.write(rawData(flagWhole, 1+i, 1, uint16(i), ppidText, string(rune('0'+i))))
		}
		for _, s := range []string{"1", "2", "3", "4", "5"} {
			a.wantMessage("in order", 1, Text, s)
		}
		a.write(rawData(flagWhole|unordered, 8, 1, 0, ppidText, "in passing"))
		a.wantMessage("an unordered one does not wait", 1, Text, "in passing")
	}
}

func TestForwardSkipsInOrderedStream(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelRetransmits, 1, "ordered, unreliable"))
	a.events = nil
	a.write(rawData(flagWhole, 3, 1, 2, ppidText, "2"))
	a.write(rawData(flagWhole, 5, 1, 4, ppidText, "4"))
	a.wantNoEvent("1 and 3 are missing")
	a.write(forward(2, 1, 1))
	a.wantMessage("1 was given up", 1, Text, "2")
	a.wantNoEvent("3 was not")
	a.write(forward(6, 1, 5))
	a.wantMessage("up to 5", 1, Text, "4")
	a.write(rawData(flagWhole, 7, 1, 6, ppidText, "6"))
	a.wantMessage("6 is next", 1, Text, "6")
	a.write(rawData(flagWhole, 4, 1, 3, ppidText, "3"))
	a.wantDrops("3 is too late", dropOrder, 1)
}

// An ordered message that overtakes the OPEN of its channel waits for it.
func TestOrderedMessageBeforeItsOpening(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(rawData(flagWhole, 3, 1, 2, ppidText, "2"), rawData(flagWhole, 2, 1, 1, ppidText, "1"))
	a.wantEvent("the stream is in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Ordered: true})
	a.wantNoEvent("the messages wait")
	a.write(openChunk(1, 1, channelReliable, 0, "chat"))
	a.wantEvent("now it has a name", Event{Type: ChannelOpen, Stream: 1, Label: "chat", Ordered: true})
	a.wantMessage("in order", 1, Text, "1")
	a.wantMessage("in order", 1, Text, "2")

	a = newTestAssoc(t, allowReliable)
	a.write(rawData(flagWhole, 3, 1, 2, ppidText, "2"), rawData(flagWhole, 2, 1, 1, ppidText, "1"))
	a.events = nil
	a.write(unreliableOpen(1, 1, "fast"))
	a.wantEvent("an unordered one", Event{Type: ChannelOpen, Stream: 1, Label: "fast", Reliability: Retransmits})
	a.wantMessage("nothing has to wait", 1, Text, "1")
	a.wantMessage("any longer", 1, Text, "2")
	if a.ack.honest != 0 {
		t.Error("the channel still counts as reliable")
	}
}

// If a sequence number comes twice, with two TSNs, the second message is dropped: it would wait
// for ever.
func TestSequenceNumberTwice(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelReliable, 0, "evil"))
	a.events = nil
	a.write(rawData(flagWhole, 3, 1, 2, ppidText, "2"), rawData(flagWhole, 4, 1, 2, ppidText, "another"))
	a.wantDrops("the number is taken", dropOrder, 1)
	a.write(rawData(flagWhole, 2, 1, 1, ppidText, "1"))
	a.wantMessage("in order", 1, Text, "1")
	a.wantMessage("in order", 1, Text, "2")
	a.wantNoEvent("once")
	if a.buffered != 0 {
		t.Errorf("%d bytes are buffered, want 0", a.buffered)
	}
}

// An OPEN that arrives after messages of its channel does not set its sequence number back.
func TestOrderedOpeningAfterItsMessages(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(rawData(flagWhole, 4, 1, 3, ppidText, "3"))
	a.write(forward(3, 1, 2))
	a.wantEvent("the stream is in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Ordered: true})
	a.wantMessage("what came before was given up", 1, Text, "3")
	a.write(openChunk(1, 1, channelReliable, 0, "chat"))
	a.wantEvent("now it has a name", Event{Type: ChannelOpen, Stream: 1, Label: "chat", Ordered: true})
	a.write(rawData(flagWhole, 5, 1, 4, ppidText, "4"))
	a.wantMessage("the next one", 1, Text, "4")
}

// With eager acknowledgement a message that overtakes its OPEN is delivered at once, since the
// OPEN may never come. When the OPEN comes, the channel continues after that message.
func TestOpeningIsOvertakenWhileEager(t *testing.T) {
	a := newTestAssoc(t, eager, allowReliable)
	a.write(rawData(flagWhole, 2, 1, 1, ppidText, "1"))
	a.wantEvent("the stream is in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
	a.wantMessage("at once", 1, Text, "1")
	a.write(openChunk(1, 1, channelReliable, 0, "chat"))
	a.wantEvent("now it has a name", Event{Type: ChannelOpen, Stream: 1, Label: "chat", Ordered: true})
	a.write(rawData(flagWhole, 4, 1, 3, ppidText, "3"))
	a.wantNoEvent("now it is in order")
	a.write(rawData(flagWhole, 3, 1, 2, ppidText, "2"))
	a.wantMessage("the next one", 1, Text, "2")
	a.wantMessage("and the one behind", 1, Text, "3")
}

func TestSkippedSequenceNumbersDoNotFillMemory(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelReliable, 0, "evil"))
	a.events = nil
	for i := range uint32(5000) {
		a.write(rawData(flagWhole, 2+i, 1, uint16(2+i), ppidBinary, strings.Repeat("x", 100)))
		if limit := a.config.MaxBuffered + 3*a.config.MaxMessage; a.buffered > limit {
			t.Fatalf("%d bytes are buffered, want at most %d", a.buffered, limit)
		}
	}
	if len(a.events) > 1 || a.Stats().Drops[dropRefused] == 0 {
		t.Errorf("events %v, want at most 1; %d chunks are refused, want some", a.events, a.Stats().Drops[dropRefused])
	}
}

// A page may have sent more messages after a loss than the buffer holds, before it gives up the
// lost one. On an unreliable channel only the lost message is missing then.
func TestOrderedUnreliableChannelGoesOnWhenTheBufferIsFull(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelRetransmits, 1, "state"))
	a.events = nil
	const n = 300
	payload := strings.Repeat("x", 1000)
	next := 2 // 1 is lost
	for i := next; i <= n; i++ {
		a.write(rawData(flagWhole, uint32(1+i), 1, uint16(i), ppidBinary, payload))
		if limit := a.config.MaxBuffered + bufferOverhead + len(payload); a.buffered > limit {
			t.Fatalf("%d bytes are buffered, want at most %d", a.buffered, limit)
		}
	}
	a.write(forward(2, 1, 1))
	for _, e := range a.events {
		if e.Type != Message {
			t.Fatalf("event %v, want only messages", debugEvent(e))
		}
		next++
	}
	if next != n+1 {
		t.Errorf("%d messages are delivered, want %d", next-2, n-1)
	}
	a.write(rawData(flagWhole, 2, 1, 1, ppidBinary, "1"))
	a.wantDrops("the lost one is too late", dropOrder, 1)
	if a.buffered != 0 {
		t.Errorf("%d bytes are buffered, want 0", a.buffered)
	}
}

// The sender of an ordered unreliable channel sends a fragment again until it gives up the
// message, and then sends a FORWARD-TSN. If this end gave up before, the message would be
// missing for ever, and all later ones would wait.
func TestOrderedFragmentsAreNotGivenUpFirst(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelLifetime, 5000, "state"))
	a.ackAll()
	a.drain()
	a.events = nil
	a.write(rawData(flagBegin, 2, 1, 1, ppidText, "late "))
	a.write(rawData(flagWhole, 4, 1, 2, ppidText, "next"))
	a.pass(4 * time.Second)
	a.drain()
	a.write(rawData(flagEnd, 3, 1, 1, ppidText, "but whole"))
	a.wantMessage("sent again", 1, Text, "late but whole")
	a.wantMessage("and what waited for it", 1, Text, "next")
	a.write(rawData(flagBegin, 5, 1, 3, ppidText, "never"))
	a.pass(6 * time.Second)
	a.write(forward(6, 1, 3))
	a.write(rawData(flagWhole, 7, 1, 4, ppidText, "after"))
	a.wantMessage("one that was given up is not waited for", 1, Text, "after")
	if a.buffered != 0 {
		t.Errorf("%d bytes are buffered, want 0", a.buffered)
	}
}

// Fragments of random sizes, with losses and duplicates, give the messages that were sent.
func TestReassemblyAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		a := newTestAssoc(t, eager, func(c *Config) { c.MaxBuffered = 1 << 20 })
		tsn := uint32(1)
		want := map[string]bool{}
		var packets [][]byte
		for m := range 100 {
			message := bytes.Repeat([]byte{byte('a' + m%26), byte('0' + m/26)}, 1+rnd.IntN(3000))
			lost := false
			for rest := message; len(rest) > 0; {
				n := min(1+rnd.IntN(1000), len(rest))
				flags := byte(unordered)
				if len(rest) == len(message) {
					flags |= flagBegin
				}
				if n == len(rest) {
					flags |= flagEnd
				}
				if rnd.IntN(20) == 0 {
					lost = true
				} else {
					packets = append(packets, packet(ourTag, frag(flags, tsn, string(rest[:n]))))
				}
				rest = rest[n:]
				tsn++
			}
			if !lost {
				want[string(message)] = true
			}
		}
		for i := range packets { // reorder by up to 30 places, repeat some
			j := max(i-rnd.IntN(30), 0)
			packets[i], packets[j] = packets[j], packets[i]
		}
		for i, p := range packets {
			a.writePacket(p)
			if i%7 == 0 {
				a.writePacket(p)
			}
		}
		for _, e := range a.events {
			if e.Type != Message {
				continue
			}
			if !want[string(e.Payload)] {
				t.Fatalf("seed %d: a message of %d bytes is delivered twice, or is wrong", seed, len(e.Payload))
			}
			delete(want, string(e.Payload))
		}
		if len(want) > 0 {
			t.Fatalf("seed %d: %d messages are missing", seed, len(want))
		}
	}
}
