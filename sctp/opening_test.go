package sctp

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// opening returns a DATA_CHANNEL_OPEN with a label and a protocol.
func opening(kind byte, label, protocol string) string {
	b := []byte{dcepOpen, kind, 0, 0, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(label)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(protocol)))
	return string(b) + label + protocol
}

const unreliable = channelUnordered | channelRetransmits

// Label and protocol are UTF-8 of at most 256 bytes each. The event of a refusal because of one
// of them has neither.
func TestLabelsAndProtocols(t *testing.T) {
	long := strings.Repeat("x", maxLabelLen)
	for _, tt := range []struct {
		label, protocol string
		opens           bool
	}{
		{"", "", true},
		{"chat", "v1", true},
		{"", "v1", true},
		{long, long, true},
		{long + "x", "v1", false},
		{"chat", long + "x", false},
		{"chat", "\xff", false},
		{"\xff", "v1", false},
	} {
		a := newTestAssoc(t)
		a.write(rawData(flagWhole, 1, 1, 0, ppidDCEP, opening(unreliable, tt.label, tt.protocol)))
		if tt.opens {
			a.wantEvent("open", Event{Type: ChannelOpen, Stream: 1, Label: tt.label, Protocol: tt.protocol, Reliability: Retransmits})
		} else {
			a.wantEvent("refused", Event{Type: ChannelRefused, Stream: 1, Reliability: Retransmits, Refused: RefusedLabel})
		}
	}
}

// An INIT can offer at most 65535 streams, so stream 65535 does not exist. An OPEN there is
// refused, and no state is kept.
func TestOpeningOfTheStreamThatDoesNotExist(t *testing.T) {
	a := newTestAssoc(t)
	a.write(unreliableOpen(1, 65533, "the last of the peer's"))
	a.wantEvent("open", Event{Type: ChannelOpen, Stream: 65533, Label: "the last of the peer's", Reliability: Retransmits})
	a.drain()
	a.ackAll()
	a.write(unreliableOpen(2, 65535, "none"))
	a.wantEvent("refused", Event{Type: ChannelRefused, Stream: 65535, Label: "none", Reliability: Retransmits, Refused: RefusedStream})
	a.write(dataChunk(3, 65535, ppidText, "x"))
	a.wantNoEvent("no negotiated channel either")
	a.wantDrops("its message is dropped", dropChannels, 1)
	a.write(resetRequest(peerTSN, 3, 65535))
	a.wantDrops("as is its reset", dropChannels, 2)
	a.wantPacket("which is answered", "SACK(cum=3) RESET-RESPONSE(1 result=1)")
	if len(a.channels) != 1 {
		t.Errorf("%d channels are stored, want 1", len(a.channels))
	}
}

// An OPEN on a stream that this end is closing is dropped.
func TestOpeningWhileTheChannelCloses(t *testing.T) {
	a := openChannel(t)
	a.CloseStream(a.now, 1)
	a.drain()
	a.write(unreliableOpen(2, 1, "again"))
	a.wantNoEvent("it is neither opened nor refused")
	a.wantDrops("but counted", dropClosedChannel, 1)
	a.pass(sackDelay)
	a.wantPacket("and acknowledged", "SACK(cum=2)")
	a.wantIdle("as DATA only")
}

// A negotiated channel that gets an OPEN later does not need a second place. If the OPEN is
// refused, the channel is closed, without a second event.
func TestOpeningOfANegotiatedChannel(t *testing.T) {
	one := func(c *Config) { c.MaxChannels = 1 }
	a := newTestAssoc(t, one)
	a.write(text(2, "early"))
	a.events = nil
	a.write(unreliableOpen(1, 1, "late"))
	a.wantEvent("it is not one too many", Event{Type: ChannelOpen, Stream: 1, Label: "late", Reliability: Retransmits})

	a = newTestAssoc(t, one)
	a.write(text(2, "early"))
	a.events = nil
	a.write(openChunk(1, 1, channelReliable, 0, "late"))
	a.wantEvent("it may not be reliable", Event{Type: ChannelRefused, Stream: 1, Label: "late", Ordered: true, Refused: RefusedReliable})
	a.wantPacket("it is closed", "SACK(cum=2) RESET(1000 last=999 stream=1)")
	if n := a.Stats().Channels; n != 0 {
		t.Errorf("%d channels are open, want 0", n)
	}
	a.write(text(3, "dropped"))
	a.write(resetResponse(1000, resultPerformed), resetRequest(peerTSN, 3, 1))
	a.wantNoEvent("the page has closed it")
	a.write(unreliableOpen(4, 3, "another"))
	a.wantEvent("its place is free", Event{Type: ChannelOpen, Stream: 3, Label: "another", Reliability: Retransmits})
}

// The first message has the sequence number after that of the OPEN, or 0 if the OPEN was
// unordered.
func TestFirstSequenceNumberOfAChannel(t *testing.T) {
	m := openMessage(channelReliable, 0, "chat")
	for _, tt := range []struct {
		opening []byte
		first   uint16
	}{
		{rawData(flagWhole, 1, 1, 0, ppidDCEP, m), 1},
		{rawData(flagWhole, 1, 1, 65535, ppidDCEP, m), 0},
		{rawData(flagWhole, 1, 1, 7, ppidDCEP, m), 8},
		{rawData(flagWhole|flagUnordered, 1, 1, 7, ppidDCEP, m), 0},
	} {
		a := newTestAssoc(t, allowReliable)
		a.write(tt.opening)
		a.events = nil
		a.write(ordered(3, tt.first+1, "second"))
		a.wantNoEvent("one is missing")
		a.write(ordered(2, tt.first, "first"))
		a.wantMessage("in order", 1, Text, "first")
		a.wantMessage("in order", 1, Text, "second")
	}
}

// A DATA_CHANNEL_ACK that is not sent yet is not acknowledged by a SACK of the TSNs before.
func TestAnswerThatHasNotLeft(t *testing.T) {
	a := newTestAssoc(t)
	a.receive(unreliableOpen(1, 1, "c"))
	a.receive(sack(ourTSN - 1))
	a.Flush(a.now)
	a.wantPacket("it leaves", `SACK(cum=1) DATA(tsn=1000 stream=1 ssn=0 ppid=50 flags=3 "\x02")`)
}

// A DATA_CHANNEL_ACK is repeated after twice the time each, at most after 3 s. The first time
// is two round trips and 50 ms, but not less than 100 ms and not more than 1 s.
func TestTimesOfAnAnswer(t *testing.T) {
	for rtt, want := range map[time.Duration]string{
		0:                      "[100ms 200ms 400ms 800ms 1.6s 3s 3s 3s 3s]",
		25 * time.Millisecond:  "[100ms 200ms 400ms 800ms 1.6s 3s 3s 3s 3s]",
		100 * time.Millisecond: "[250ms 500ms 1s 2s 3s 3s 3s 3s 3s]",
		time.Second:            "[1s 2s 3s 3s 3s 3s 3s 3s 3s]",
	} {
		a := newTestAssoc(t, func(c *Config) { c.RTT = rtt })
		a.write(unreliableOpen(1, 1, "c"))
		a.drain()
		last := a.now
		var after []time.Duration
		for !a.Deadline().IsZero() {
			a.now = a.Deadline()
			a.events = a.Advance(a.now, a.events)
			for _, p := range a.drain() {
				if strings.Contains(p, "DATA") {
					after = append(after, a.now.Sub(last))
					last = a.now
				}
			}
		}
		if got := fmt.Sprint(after); got != want {
			t.Errorf("round trip %v: %s, want %s", rtt, got, want)
		}
		if n := a.Stats().Retransmits; n != maxControlTries-1 {
			t.Errorf("%d repetitions are counted, want %d", n, maxControlTries-1)
		}
	}
}

// The timer belongs to the first DATA_CHANNEL_ACK that is due. When it ends, all that wait are
// repeated. Without any that waits there is no timer.
func TestTimerOfAnswers(t *testing.T) {
	a := newTestAssoc(t)
	start := a.now
	a.write(unreliableOpen(1, 1, "a"))
	a.drain()
	a.pass(100 * time.Millisecond)
	a.drain() // next due after 200 ms
	a.pass(50 * time.Millisecond)
	a.write(unreliableOpen(2, 3, "b"))
	a.drain()
	for _, p := range a.live(99 * time.Millisecond) {
		if strings.Contains(p, "DATA") {
			t.Errorf("a DATA_CHANNEL_ACK is sent too early: %s", p)
		}
	}
	a.pass(time.Millisecond)
	if at := a.now.Sub(start); at != 250*time.Millisecond {
		t.Fatalf("%v after the start, want 250 ms", at)
	}
	a.wantPacket("both, when the second is due", `DATA(tsn=1000 stream=1 ssn=0 ppid=50 flags=3 "\x02") DATA(tsn=1001 stream=3 ssn=0 ppid=50 flags=3 "\x02")`)
	a.write(sack(1000))
	a.pass(400 * time.Millisecond)
	if len(a.drain()) == 0 {
		t.Error("the second DATA_CHANNEL_ACK is not repeated")
	}
	a.write(sack(1001))
	if !a.Deadline().IsZero() {
		t.Errorf("all are acknowledged, but the deadline is %v", a.Deadline())
	}
}

// DATA_CHANNEL_ACKs fill a packet, and the others follow in the next one.
func TestManyAnswers(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.MaxChannels = 100 })
	for i := range uint32(60) {
		a.receive(unreliableOpen(1+i, uint16(1+2*i), ""))
	}
	a.Flush(a.now)
	for i, want := range []int{58, 2} {
		b := a.next()
		if n := strings.Count(debugPacket(b), "DATA("); n != want || i == 0 && len(b) != MaxPacket {
			t.Errorf("packet %d: %d DATA_CHANNEL_ACKs in %d bytes, want %d; the first packet is full", i, n, len(b), want)
		}
	}
	a.wantIdle("once")
	for i := range uint32(10) {
		a.receive(unreliableOpen(61+i, uint16(121+2*i), ""))
	}
	a.wantDrops("more than 64 do not wait", dropChannels, 6)
	if n := a.Stats().Channels; n != 70 {
		t.Errorf("%d channels are open, want 70", n)
	}
}

// A stream that is opened again gets a new DATA_CHANNEL_ACK, though the old one is not
// acknowledged.
func TestAnswerOnAReopenedStream(t *testing.T) {
	a := newTestAssoc(t)
	a.write(unreliableOpen(1, 1, "old"))
	a.drain()
	a.write(resetRequest(peerTSN, 1, 1))
	a.drain()
	a.write(resetResponse(1000, resultPerformed))
	a.write(unreliableOpen(2, 1, "new"))
	if p := a.drain(); len(p) == 0 || !strings.Contains(p[0], `DATA(tsn=1001 stream=1 ssn=0 ppid=50 flags=3 "\x02")`) {
		t.Errorf("the packets are %q, want TSN 1001 with the number 0", p)
	}
}

// A repeated OPEN gets the DATA_CHANNEL_ACK of its own stream.
func TestAnswersOfTwoStreams(t *testing.T) {
	a := newTestAssoc(t)
	a.write(unreliableOpen(1, 1, "a"), unreliableOpen(2, 3, "b"))
	a.drain()
	a.write(sack(999, 1001, 1001))
	a.write(unreliableOpen(3, 3, "b"))
	if p := a.drain(); len(p) == 0 || !strings.HasSuffix(p[0], `DATA(tsn=1002 stream=3 ssn=1 ppid=50 flags=3 "\x02")`) || strings.Contains(p[0], "stream=1") {
		t.Errorf("the packets are %q, want TSN 1002 on stream 3 alone", p)
	}
}

// If a DATA_CHANNEL_ACK was sent twice, its acknowledgement does not measure the round trip.
func TestAnswerSentTwiceIsNoSample(t *testing.T) {
	for _, twice := range []bool{false, true} {
		a := newTestAssoc(t, func(c *Config) { c.RTT = 40 * time.Millisecond })
		a.write(unreliableOpen(1, 1, "c"))
		a.drain()
		if twice {
			a.pass(130 * time.Millisecond)
			if len(a.drain()) == 0 {
				t.Fatal("the DATA_CHANNEL_ACK is not repeated")
			}
		} else {
			a.pass(120 * time.Millisecond)
		}
		a.write(sack(1000))
		if rtt := a.Stats().RTT; rtt != map[bool]time.Duration{false: 50 * time.Millisecond, true: 40 * time.Millisecond}[twice] {
			t.Errorf("sent twice %v: round trip %v, want 50 ms if sent once, 40 ms if twice", twice, rtt)
		}
	}
}

// A page opens a channel, its OPEN is lost, and the first message follows at any time later, whole or in pieces. The gap is
// told, so the page sends the OPEN again, and the channel gets its label. Then acknowledgement is eager.
func TestLostOpeningIsAskedForWheneverTheFirstMessageComes(t *testing.T) {
	for _, later := range []time.Duration{0, settleTime - 1, settleTime, 150 * time.Millisecond, time.Hour} {
		for _, pieces := range []bool{false, true} {
			a := newTestAssoc(t)
			a.pass(later)
			a.drain()
			flags := byte(flagWhole | flagUnordered)
			if pieces {
				flags = flagBegin | flagUnordered
			}
			a.write(rawData(flags, 2, 1, 0, ppidText, "x"))
			why := fmt.Sprintf("a message after %v, in pieces: %v", later, pieces)
			a.wantPacket(why, "SACK(cum=0 gap=2-2)")
			a.write(unreliableOpen(1, 1, "moves"))
			if !pieces {
				a.wantEvent(why, Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
				a.wantMessage(why, 1, Text, "x")
			}
			a.wantEvent(why, Event{Type: ChannelOpen, Stream: 1, Label: "moves", Reliability: Retransmits})
			a.drain()
			a.ackAll()
			a.pass(settleTime)
			a.write(text(4, "y"))
			a.wantPacket(why+": nothing is missing now", "SACK(cum=4)")
		}
	}
}

// The opening of a reliable channel is lost during eager acknowledgement, which it does not outlive: the page does not send it again. Another opening makes
// acknowledgement honest before the first message arrives. The message does not wait for the opening. It waits for what the page does send again.
func TestAnOpeningThatWasSkippedDoesNotStopItsChannel(t *testing.T) {
	const chat = 3
	say := func(tsn uint32, ssn uint16) []byte {
		return rawData(flagWhole, tsn, chat, ssn, ppidText, fmt.Sprint(ssn))
	}
	a := newTestAssoc(t, allowReliable)
	a.write(unreliableOpen(1, 1, "moves"))
	a.wantEvent("open", Event{Type: ChannelOpen, Stream: 1, Label: "moves", Reliability: Retransmits})
	a.drain()
	a.ackAll()
	a.pass(settleTime)
	a.write(dataChunk(3, 1, ppidText, "m")) // the opening of the chat was number 2
	a.wantMessage("after the opening", 1, Text, "m")
	a.pass(sackDelay)
	a.wantPacket("eager", "SACK(cum=3)")
	a.write(unreliableOpen(4, 5, "third"))
	a.wantEvent("open", Event{Type: ChannelOpen, Stream: 5, Label: "third", Reliability: Retransmits})
	a.drain()
	a.ackAll()
	a.write(say(5, 1))
	a.wantEvent("first message", Event{Type: ChannelOpen, Stream: chat, Negotiated: true, Ordered: true})
	a.wantMessage("first message", chat, Text, "1")
	a.write(say(7, 3))
	a.wantNoEvent("the page sends number 6 again")
	a.write(say(8, 4))
	a.wantNoEvent("it still does")
	a.write(say(6, 2))
	for _, m := range []string{"2", "3", "4"} {
		a.wantMessage("in order", chat, Text, m)
	}
	a.write(say(9, 7)) // what was between was acknowledged
	a.wantMessage("after a hole", chat, Text, "7")
	a.write(rawData(flagWhole, 2, chat, 0, ppidDCEP, opening(0, "chat", ""))) // it was only late
	a.wantEvent("late opening", Event{Type: ChannelOpen, Stream: chat, Label: "chat", Ordered: true})
	a.write(say(10, 8))
	a.wantMessage("after the late opening", chat, Text, "8")
	if a.buffered != 0 {
		t.Errorf("%d bytes are held", a.buffered)
	}
}

// A negotiated channel with an ordered message may be reliable, so acknowledgement stays honest as long as the channel is open.
func TestANegotiatedOrderedChannelKeepsAcknowledgementHonest(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(ordered(1, 0, "a"))
	a.wantEvent("first message", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Ordered: true})
	a.wantMessage("first message", 1, Text, "a")
	a.pass(settleTime + settleMost)
	a.drain()
	a.write(ordered(3, 2, "c"))
	a.wantPacket("number 2 is missing", "SACK(cum=1 gap=3-3)")
	a.wantNoEvent("the page sends number 2 again")
	a.write(ordered(2, 1, "b"))
	a.wantMessage("in order", 1, Text, "b")
	a.wantMessage("in order", 1, Text, "c")
}
