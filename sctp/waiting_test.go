package sctp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// Until its OPEN is acknowledged, a page sends ordered messages on an unordered channel (RFC
// 8832, 6). They do not wait, whatever the reliability of the channel.
func TestOrderedMessagesOfUnorderedChannelsDoNotWait(t *testing.T) {
	for _, kind := range []byte{channelReliable, channelRetransmits, channelLifetime} {
		a := newTestAssoc(t, allowReliable)
		a.write(openChunk(1, 1, channelUnordered|kind, 7, "c"))
		a.events = nil
		a.write(ordered(3, 2, "second"))
		a.wantMessage("at once", 1, Text, "second")
	}
}

// If no channel may be reliable, a stream without an OPEN is unordered, also while
// acknowledgement is honest.
func TestNegotiatedChannelsDoNotWait(t *testing.T) {
	for _, set := range []func(*Config){honest, eager, func(*Config) {}} {
		a := newTestAssoc(t, set)
		a.write(ordered(3, 2, "second"))
		a.wantEvent("in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
		a.wantMessage("at once", 1, Text, "second")
	}
}

// Half of a message is stored before its channel is known. When the channel opens, the half is
// treated like one of that channel: dropped after 2 s, or kept.
func TestHalvesBelongToTheChannelThatOpens(t *testing.T) {
	half := rawData(flagBegin|unordered, 4, 1, 0, ppidText, "half")
	for _, tt := range []struct {
		name    string
		opening []byte
		stays   bool
	}{
		{"unreliable", unreliableOpen(1, 1, "c"), false},
		{"negotiated", text(1, "x"), false},
		{"reliable", openChunk(1, 1, channelUnordered|channelReliable, 0, "c"), true},
		{"late, of a negotiated one", append(text(1, "x"), openChunk(2, 1, channelUnordered|channelReliable, 0, "c")...), true},
	} {
		a := newTestAssoc(t, allowReliable)
		a.write(half, rawData(flagBegin|unordered, 6, 3, 0, ppidText, "of another"))
		a.write(tt.opening)
		a.events = nil
		a.drain()
		a.ackAll()
		if timed := !a.Deadline().IsZero(); timed == tt.stays {
			t.Errorf("%s: a timer runs: %v, want %v", tt.name, timed, !tt.stays)
		}
		a.pass(time.Minute)
		if gone := a.Stats().Drops[dropExpired] == 1; gone == tt.stays {
			t.Errorf("%s: given up %v, want %v", tt.name, gone, !tt.stays)
		}
		a.write(rawData(flagEnd|unordered, 5, 1, 0, ppidText, "!"))
		if whole := len(a.events) > 0; whole != tt.stays {
			t.Errorf("%s: the message is whole: %v, want %v", tt.name, whole, tt.stays)
		}
		a.events = nil
		a.write(rawData(flagEnd|unordered, 7, 3, 0, ppidText, "!"))
		a.wantEvent("the other stream has nothing to do with it", Event{Type: ChannelOpen, Stream: 3, Negotiated: true, Reliability: Retransmits})
	}
}

// If the OPEN of a negotiated channel allows retransmissions, acknowledgement is honest from
// then on.
func TestLateOpeningMakesHonest(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(openChunk(2, 1, unreliable, 3, "three tries"))
	a.drain()
	a.ackAll()
	a.pass(settleTime)
	a.write(text(4, "x"))
	a.wantPacket("the gap is told", "SACK(cum=2 gap=4-4)")
	a.CloseStream(a.now, 1)
	a.drain()
	a.write(dataChunk(6, 3, ppidText, "x"))
	a.pass(sackDelay)
	a.wantPacket("until it closes", "SACK(cum=6)")
	a.write(resetRequest(peerTSN, 6, 1), resetResponse(1000, resultPerformed))
	a.drain()
	a.write(dataChunk(8, 3, ppidText, "x"))
	a.pass(sackDelay)
	a.wantPacket("and is closed", "SACK(cum=8)")
}

// A message whose sequence number is half of all numbers ahead has no order and is dropped. One
// number less, and it waits.
func TestMessagesFarAhead(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelReliable, 0, "c"))
	a.write(ordered(2, 1+32768, "neither before nor after"))
	a.wantDrops("it has no place", dropOrder, 1)
	a.write(ordered(3, 1+32767, "far ahead"))
	a.wantDrops("it has one", dropOrder, 1)
	if a.buffered != len("far ahead")+bufferOverhead {
		t.Errorf("%d bytes are buffered, want %d", a.buffered, len("far ahead")+bufferOverhead)
	}
}

// Messages after a loss wait as long as all of them fit the buffer. If they fit exactly, none
// is given up.
func TestWaitingEndsWhenTheBufferIsFull(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.MaxBuffered = 2 * (1 + bufferOverhead) })
	a.write(openChunk(1, 1, channelRetransmits, 1, "c"))
	a.events = nil
	a.write(ordered(3, 2, "2"), ordered(5, 4, "4"))
	a.wantNoEvent("both fit")
	a.write(ordered(7, 6, "6"))
	a.wantMessage("the oldest goes on", 1, Text, "2")
	a.wantNoEvent("and the others fit again")
	a.write(ordered(4, 3, "3"))
	a.wantMessage("the next one", 1, Text, "3")
	a.wantMessage("and the one behind it", 1, Text, "4")
}

// The buffer may be over its limit because of another channel, whose messages may not be given
// up. Then the message of an unreliable channel does not wait.
func TestFullBufferOfAnotherChannel(t *testing.T) {
	a := newTestAssoc(t, allowReliable, func(c *Config) { c.MaxBuffered, c.MaxMessage = 2000, 2000 })
	a.write(openChunk(1, 1, channelReliable, 0, "file"), openChunk(2, 3, channelRetransmits, 1, "moves"))
	a.events = nil
	kilo := strings.Repeat("x", 1000)
	a.write(rawData(flagBegin, 3, 1, 1, ppidBinary, kilo))
	a.write(rawData(0, 4, 1, 1, ppidBinary, kilo[:900]))
	if a.buffered <= a.config.MaxBuffered {
		t.Fatalf("%d bytes are buffered, want more than %d", a.buffered, a.config.MaxBuffered)
	}
	a.write(rawData(flagWhole, 6, 3, 2, ppidText, "2"))
	a.wantMessage("it does not wait", 3, Text, "2")
	a.write(rawData(flagEnd, 5, 1, 1, ppidBinary, "!"))
	if len(a.events) != 1 || len(a.events[0].Payload) != 1901 {
		t.Errorf("events %v, want one message of 1901 bytes", a.events)
	}
}

// If channels may be reliable, the first messages of a stream may wait for an OPEN that is
// late. Without room they are refused, not acknowledged, and sent again, like those of a known
// channel. The association continues.
func TestMessagesBeforeTheirOpeningsIntoAFullBuffer(t *testing.T) {
	a := newTestAssoc(t, allowReliable, func(c *Config) { c.MaxBuffered, c.MaxMessage = 4000, 1000 })
	a.write(openChunk(1, 1, channelReliable, 0, "file"))
	a.events = nil
	payload := strings.Repeat("x", 800)
	tsn := uint32(3) // 2 is missing
	for ; a.Stats().Drops[dropRefused] == 0; tsn++ {
		a.write(ordered(tsn, uint16(tsn-1), payload))
	}
	a.drain()
	for n := a.Stats().Drops[dropRefused]; a.Stats().Drops[dropRefused] == n; tsn++ {
		a.write(ordered(tsn, uint16(tsn-1), "x"))
	}
	for i := range uint32(10) {
		a.write(rawData(flagWhole, 100+i, uint16(3+2*i), 1, ppidText, payload))
		if a.rx.seen(100 + i) {
			t.Errorf("stream %d: a refused message is acknowledged", 3+2*i)
		}
	}
	a.wantNoEvent("none of them is open, and nothing is over")
	a.write(openChunk(200, 3, channelReliable, 0, "opening"))
	a.wantEvent("an opening does not wait", Event{Type: ChannelOpen, Stream: 3, Label: "opening", Ordered: true})
	a.write(rawData(flagWhole|unordered, 201, 5, 0, ppidText, "nor what is unordered"))
	a.wantEvent("in use", Event{Type: ChannelOpen, Stream: 5, Negotiated: true, Reliability: Retransmits})
	a.wantMessage("at once", 5, Text, "nor what is unordered")
	a.write(ordered(2, 1, "the missing one"))
	a.wantMessage("it frees the buffer", 1, Text, "the missing one")
	a.events = nil
	a.write(rawData(flagWhole, 100, 3, 1, ppidText, payload))
	a.wantMessage("and the refused one comes again", 3, Text, payload)
}

// A message that is too large closes its channel if the channel is reliable. If the channel was
// never opened, only the message is dropped.
func TestTooLargeOnAStreamThatIsNotOpen(t *testing.T) {
	a := newTestAssoc(t, allowReliable, func(c *Config) { c.MaxMessage = 100 })
	a.write(rawData(flagBegin, 1, 1, 0, ppidBinary, strings.Repeat("x", 101)))
	a.wantDrops("too large", dropTooLarge, 1)
	a.wantPacket("acknowledged", "SACK(cum=1)")
	a.wantIdle("and no more")
}

// The messages of a closing channel are dropped, and so are those that arrive after both ends
// have closed it.
func TestNothingIsHeldOfAClosedChannel(t *testing.T) {
	for _, byUs := range []bool{false, true} {
		a := newTestAssoc(t, allowReliable, honest)
		a.write(openChunk(1, 1, channelReliable, 0, "c"), unreliableOpen(2, 3, "d"))
		a.write(ordered(5, 2, "waits"), rawData(flagBegin, 6, 1, 3, ppidText, "half"), rawData(flagBegin|unordered, 8, 3, 0, ppidText, "another's"))
		others := len("another's") + bufferOverhead
		if a.buffered != others+len("waits")+bufferOverhead+len("half")+bufferOverhead {
			t.Fatalf("%d bytes are buffered, want the messages of both channels", a.buffered)
		}
		number := uint32(peerTSN)
		if byUs {
			a.CloseStream(a.now, 1)
		} else {
			a.write(resetRequest(number, 2, 1))
			number++
		}
		if a.buffered != others {
			t.Errorf("closed by us %v: %d bytes are buffered, want %d", byUs, a.buffered, others)
		}
		if a.drain(); !byUs {
			a.events = nil
			a.write(rawData(flagEnd|unordered, 9, 3, 0, ppidText, " half"))
			a.wantMessage("which has nothing to do with it", 3, Text, "another's half")
			continue
		}
		a.write(rawData(flagBegin, 10, 1, 4, ppidText, "sent before it knew"))
		a.write(resetResponse(1000, resultPerformed))
		a.write(rawData(flagWhole, 3, 1, 1, ppidText, "x"), rawData(flagWhole, 4, 1, 1, ppidText, "x"), text(7, "x"), text(9, "x"), text(11, "x"))
		a.write(resetRequest(number, 11, 1))
		if a.buffered != others || len(a.channels) != 1 {
			t.Errorf("closed by us: %d bytes are buffered, want %d; %d channels, want 1", a.buffered, others, len(a.channels))
		}
	}
}

// Each counter counts its own packets and messages.
func TestCountersOfMessages(t *testing.T) {
	a := newTestAssoc(t, honest)
	a.send(1, Text, "four")
	a.send(1, Binary, "")
	a.write(text(1, "three"), dataChunk(2, 1, ppidTextEmpty, "\x00"), text(3, "\xff"))
	a.drain()
	a.write(forward(5))
	a.write(forward(4))
	a.drain()
	a.write(text(9, "x"))
	for range 2 {
		a.drain()
		a.write(text(9, "x"))
	}
	a.drain()
	s := a.Stats()
	got := fmt.Sprint(s.MessagesOut, s.BytesOut, s.MessagesIn, s.BytesIn, s.forwardsIn, s.Duplicates, s.SacksOut, s.GapSacksOut, s.Drops[dropText])
	if want := "2 4 3 6 2 2 5 3 1"; got != want {
		t.Errorf("%s, want %s: %+v", got, want, s)
	}
}

// The memory of messages that have waited is given back although a later one of the channel waits.
func TestMemoryOfMessagesThatHaveWaited(t *testing.T) {
	const channels, all = 16, 400
	a := newTestAssoc(t, allowReliable)
	before := testkit.HeapNow()
	tsn := uint32(1)
	write := func(b []byte) {
		a.write(b)
		a.events = nil
		tsn++
	}
	for i := range uint16(channels) {
		stream := 2*i + 1
		write(openChunk(tsn, stream, channelReliable, 0, "")) // it has the number 0
		for n := range uint16(all) {
			write(rawData(flagWhole, tsn, stream, n+2, ppidBinary, "x"))
		}
		write(rawData(flagWhole, tsn, stream, all+3, ppidBinary, "x")) // two are missing before it
		write(rawData(flagWhole, tsn, stream, 1, ppidBinary, "x"))     // all but the last are delivered
		a.drain()
		a.ackAll()
		if ch := a.channel(stream); len(ch.held) != 1 || int(ch.gone)+cap(ch.held) > 8 {
			t.Fatalf("%d messages wait, with room for %d; want one, with room for 8 at most", len(ch.held), int(ch.gone)+cap(ch.held))
		}
	}
	if grown := testkit.HeapNow() - before; grown > 32<<10 {
		t.Errorf("%d bytes of heap for %d messages, want at most 32 KiB", grown, channels)
	}
	write(rawData(flagWhole, tsn, 1, all+2, ppidBinary, "x"))
	if ch := a.channel(1); ch.held != nil || ch.gone != 0 {
		t.Errorf("%d messages wait, with room for %d; want none, without an array", len(ch.held), int(ch.gone)+cap(ch.held))
	}
}

// A message that waits is moved a few times at most while those before it are delivered one by one.
func TestWaitingMessagesAreSeldomMoved(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelReliable, 0, ""))
	const all = 400
	for n := range uint16(all) {
		a.write(rawData(flagWhole, uint32(2+n), 1, 2*n+2, ppidBinary, "x")) // each behind a gap
	}
	moves, delivered, last := 0, 0, &a.channel(1).held[all-1] // delivered since the last move
	for n := range uint16(all - 1) {
		a.write(rawData(flagWhole, uint32(2+all+n), 1, 2*n+1, ppidBinary, "x"))
		held := a.channel(1).held
		delivered++
		if now := &held[len(held)-1]; now != last {
			moves, delivered, last = moves+1, 0, now
		}
		if delivered > 4+3*len(held) {
			t.Fatalf("%d messages wait in an array with %d that do not", len(held), delivered)
		}
	}
	if moves == 0 || moves > 8 {
		t.Errorf("the last message was moved %d times, want 1 to 8", moves)
	}
}

// An OPEN that comes after messages of its channel does not make the array of those that wait look smaller.
func TestOpenKeepsWhatIsKnownOfTheArray(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	was := a.addChannel(channel{stream: 1, negotiated: true, ordered: true, reliable: true, held: []data{{ssn: 8}, {ssn: 9}}, gone: 10})
	a.openChannel(channel{stream: 1, ordered: true, reliable: true}, was, Event{Type: ChannelOpen, Stream: 1}, nil)
	if ch := a.channel(1); len(ch.held) != 2 || ch.gone < 10 {
		t.Errorf("%d messages are before those that wait, want 10 at least", ch.gone)
	}
}
