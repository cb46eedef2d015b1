package sctp

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Captured OPENs of Chromium and Firefox: label "d", maxRetransmits 0.
const (
	chromiumOpen = "\x03\x81\x01\x00\x00\x00\x00\x00\x00\x01\x00\x00d"
	firefoxOpen  = "\x03\x81\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00d"
)

func TestOpenIsAcknowledgedUntilItIsHeard(t *testing.T) {
	for _, message := range []string{chromiumOpen, firefoxOpen} {
		a := newTestAssoc(t)
		a.write(rawData(flagWhole, 1, 1, 0, ppidDCEP, message))
		a.wantEvent("open", Event{Type: ChannelOpen, Stream: 1, Label: "d", Reliability: Retransmits})
		const ack = `DATA(tsn=1000 stream=1 ssn=0 ppid=50 flags=3 "\x02")`
		a.wantPacket("acknowledged in both senses", "SACK(cum=1) "+ack)
		a.pass(101 * time.Millisecond)
		a.wantPacket("again", ack)
		a.pass(201 * time.Millisecond)
		a.wantPacket("and again", ack)
		a.write(sack(1000))
		a.pass(time.Minute)
		a.wantIdle("until it is acknowledged")
	}
}

func TestOpenAckGivesUp(t *testing.T) {
	a := newTestAssoc(t)
	a.write(unreliableOpen(1, 1, "c"))
	n := 0
	for range 1000 {
		a.pass(100 * time.Millisecond)
		for _, p := range a.drain() {
			n += strings.Count(p, "DATA(")
		}
	}
	if n != maxControlTries || a.control != nil {
		t.Errorf("the DATA_CHANNEL_ACK is sent %d times, want %d, and then forgotten", n, maxControlTries)
	}
	a.send(1, Text, "the channel works nevertheless")
}

// A gap block acknowledges the DATA_CHANNEL_ACK, too.
func TestOpenAckAcknowledgedByGap(t *testing.T) {
	a := newTestAssoc(t)
	a.send(0, Text, "lost")
	a.write(unreliableOpen(1, 1, "c"))
	a.drain()
	a.write(sack(999, 1001, 1001))
	if a.control != nil {
		t.Error("the DATA_CHANNEL_ACK will be sent again though it is acknowledged")
	}
}

func TestDuplicateOpen(t *testing.T) {
	a := newTestAssoc(t)
	a.write(unreliableOpen(1, 1, "c"))
	a.events = nil
	a.drain()
	a.write(unreliableOpen(1, 1, "c"))
	a.wantNoEvent("the same TSN")
	a.wantPacket("is a duplicate", "SACK(cum=1 dup=1)")
	a.write(unreliableOpen(2, 1, "c"))
	a.wantNoEvent("another TSN")
	a.wantPacket("is acknowledged again", `DATA(tsn=1000 stream=1 ssn=0 ppid=50 flags=3 "\x02")`)
	a.ackAll()
	a.write(unreliableOpen(3, 1, "c"))
	a.wantPacket("with a sequence number of its own after that", `SACK(cum=3) DATA(tsn=1001 stream=1 ssn=1 ppid=50 flags=3 "\x02")`)
}

func TestOpenInFragments(t *testing.T) {
	a := newTestAssoc(t)
	m := openMessage(channelUnordered|channelRetransmits, 0, "a label")
	a.write(rawData(flagBegin, 1, 1, 0, ppidDCEP, m[:9]), rawData(flagEnd, 2, 1, 0, ppidDCEP, m[9:]))
	a.wantEvent("open", Event{Type: ChannelOpen, Stream: 1, Label: "a label", Reliability: Retransmits})
}

// Pages send ordered messages until their OPEN is acknowledged.
func TestOrderedMessagesOnUnorderedChannel(t *testing.T) {
	a := newTestAssoc(t)
	a.write(unreliableOpen(1, 1, "c"))
	a.events = nil
	a.write(rawData(flagWhole, 4, 1, 3, ppidText, "third"))
	a.wantMessage("there is no order to keep", 1, Text, "third")
	a.write(rawData(flagWhole, 2, 1, 1, ppidText, "first"))
	a.wantMessage("nor to refuse", 1, Text, "first")
}

func TestMessageBeforeItsOpening(t *testing.T) {
	a := newTestAssoc(t)
	a.write(dataChunk(2, 1, ppidText, "early"))
	a.wantEvent("a negotiated channel", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
	a.wantMessage("its message", 1, Text, "early")
	a.write(unreliableOpen(1, 1, "named"))
	a.wantEvent("it has a name after all", Event{Type: ChannelOpen, Stream: 1, Label: "named", Reliability: Retransmits})
	if n := a.Stats().Channels; n != 1 {
		t.Errorf("%d channels, want 1", n)
	}
}

func TestRefusedChannels(t *testing.T) {
	long := strings.Repeat("x", maxLabelLen+1)
	for _, tt := range []struct {
		name    string
		stream  uint16
		message string
		why     RefuseReason
	}{
		{"ordered, reliable", 1, openMessage(channelReliable, 0, "c"), RefusedReliable},
		{"unordered, reliable", 1, openMessage(channelUnordered|channelReliable, 0, "c"), RefusedReliable},
		{"our stream", 2, openMessage(channelUnordered|channelRetransmits, 0, "c"), RefusedStream},
		{"unknown type", 1, openMessage(3, 0, "c"), RefusedMalformed},
		{"long label", 1, openMessage(channelUnordered|channelRetransmits, 0, long), RefusedLabel},
		{"label that is no text", 1, openMessage(channelUnordered|channelRetransmits, 0, "\xff"), RefusedLabel},
		{"type only", 1, "\x03", RefusedMalformed},
		{"too short", 1, chromiumOpen[:12], RefusedMalformed},
		{"too long", 1, chromiumOpen + "!", RefusedMalformed},
	} {
		a := newTestAssoc(t)
		a.write(rawData(flagWhole, 1, tt.stream, 0, ppidDCEP, tt.message))
		if len(a.events) != 1 || a.events[0].Type != ChannelRefused || a.events[0].Refused != tt.why {
			t.Errorf("%s: events %v, want ChannelRefused for %s", tt.name, a.events, tt.why)
		}
		a.wantPacket(tt.name, fmt.Sprintf("SACK(cum=1) RESET(1000 last=999 stream=%d)", tt.stream))
		a.events = nil
		a.write(resetResponse(1000, resultPerformed))
		a.write(dataChunk(2, tt.stream, ppidText, "sent for nothing"))
		a.wantNoEvent("what was sent meanwhile is dropped")
		a.write(resetRequest(peerTSN, 2, tt.stream))
		a.wantNoEvent("the peer closes too; it never was open")
		if len(a.channels) != 0 {
			t.Errorf("%s: %d channels are still stored, want 0", tt.name, len(a.channels))
		}
	}
}

func TestChannelsOfTheirSide(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.EvenStreams = false })
	a.write(unreliableOpen(1, 1, "odd"))
	if a.events[0].Refused != RefusedStream {
		t.Errorf("events %v, want a refusal for RefusedStream", a.events)
	}
	a.events = nil
	a.write(unreliableOpen(2, 2, "even"))
	a.wantEvent("the DTLS client's streams are even", Event{Type: ChannelOpen, Stream: 2, Label: "even", Reliability: Retransmits})
}

func TestAllowedChannels(t *testing.T) {
	for kind, want := range map[byte]Event{
		channelReliable:                       {Ordered: true, Reliability: Reliable},
		channelRetransmits:                    {Ordered: true, Reliability: Retransmits, Limit: 7},
		channelLifetime:                       {Ordered: true, Reliability: Lifetime, Limit: 7},
		channelUnordered | channelReliable:    {Reliability: Reliable},
		channelUnordered | channelRetransmits: {Reliability: Retransmits, Limit: 7},
		channelUnordered | channelLifetime:    {Reliability: Lifetime, Limit: 7},
	} {
		a := newTestAssoc(t, allowReliable)
		a.write(openChunk(1, 1, kind, 7, "c"))
		want.Type, want.Stream, want.Label = ChannelOpen, 1, "c"
		a.wantEvent("admitted", want)
	}
}

func TestTooManyChannels(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.MaxChannels = 3 })
	for i := range uint32(10) {
		a.write(unreliableOpen(1+i, uint16(1+2*i), "c"))
	}
	for i, e := range a.events {
		if want := []EventType{ChannelOpen, ChannelRefused}[min(i/3, 1)]; e.Type != want {
			t.Errorf("channel %d: %s, want %s", i, debugEvent(e), want)
		}
	}
	if len(a.channels) > 6 {
		t.Errorf("%d channels are stored, want at most 6", len(a.channels))
	}
	a.events = nil
	a.write(dataChunk(11, 8, ppidText, "x"))
	a.wantNoEvent("nor a negotiated one")
	a.wantDrops("its messages are dropped", dropChannels, 5) // 4 OPENs without an answer are among them
}

// For its page a negotiated channel is open from the start. If there are too many, the first
// message of one more closes it; the others are not affected.
func TestTooManyNegotiatedChannels(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.MaxChannels = 2 })
	a.write(dataChunk(1, 0, ppidText, "a"), dataChunk(2, 1, ppidText, "b"))
	a.events = nil
	a.drain()
	a.write(dataChunk(3, 4, ppidText, "one too many"))
	a.wantEvent("it is refused", Event{Type: ChannelRefused, Stream: 4, Negotiated: true, Refused: RefusedTooMany})
	a.wantPacket("and closed", "RESET(1000 last=999 stream=4)")
	a.write(dataChunk(4, 4, ppidText, "again"))
	a.wantNoEvent("once")
	a.write(dataChunk(5, 0, ppidText, "on"))
	a.wantMessage("the others go on", 0, Text, "on")
	a.write(resetResponse(1000, resultPerformed), resetRequest(peerTSN, 5, 4))
	a.wantNoEvent("the page has closed it")
	if len(a.channels) != 2 {
		t.Errorf("%d channels are stored, want 2", len(a.channels))
	}
}

// A negotiated channel whose opening is refused does not count as open any more, but it is stored
// until the peer has reset it. A peer that never does so cannot make the list long.
func TestNegotiatedChannelsThatAreRefusedAreLimited(t *testing.T) {
	for _, next := range []func(tsn uint32, stream uint16) []byte{
		func(tsn uint32, stream uint16) []byte { return dataChunk(tsn, stream, ppidText, "x") },
		func(tsn uint32, stream uint16) []byte { return unreliableOpen(tsn, stream, "c") },
	} {
		a := newTestAssoc(t, func(c *Config) { c.MaxChannels = 2 })
		for i := range uint32(20) {
			a.write(dataChunk(2*i+1, uint16(2*i), ppidText, "x"), openChunk(2*i+2, uint16(2*i), 3, 0, "of no kind"))
			a.drain()
		}
		a.write(next(41, 101), next(42, 103), next(43, 105))
		if len(a.channels) != 6 {
			t.Errorf("%d channels are stored, want 6", len(a.channels))
		}
	}
}

func TestUnknownDCEPMessages(t *testing.T) {
	a := newTestAssoc(t)
	a.write(rawData(flagWhole, 1, 1, 0, ppidDCEP, "\x02"))
	a.write(rawData(flagWhole, 2, 1, 0, ppidDCEP, "\x05what"))
	a.wantNoEvent("nothing opens")
	a.wantDrops("the unknown one is counted", dropDCEP, 1)
}

func TestOpenCutAtEveryLength(t *testing.T) {
	whole := []byte(openMessage(channelUnordered|channelLifetime, 300, "label"))
	for n := range whole {
		if _, why := parseOpen(whole[:n]); why != RefusedMalformed {
			t.Errorf("OPEN cut at %d: %s, want %s", n, why, RefusedMalformed)
		}
	}
	o, why := parseOpen(whole)
	if why != refuseNone || string(o.label) != "label" || o.limit != 300 || o.ordered || o.reliability != Lifetime {
		t.Errorf("parseOpen of a whole OPEN: %+v, %s", o, why)
	}
}
