package sctp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func orderedOpen(tsn uint32, stream uint16) []byte {
	return openChunk(tsn, stream, channelRetransmits, 0, "moves")
}

// ordered returns a chunk with a whole message of an ordered channel.
func ordered(tsn uint32, ssn uint16, s string) []byte {
	return rawData(flagWhole, tsn, 1, ssn, ppidText, s)
}

// An ordered channel without retransmission is unreliable: it needs no AllowReliable, and does
// not end eager acknowledgement. Nobody repeats a missing message, so no message waits for it.
// A message that was overtaken is dropped, so the order is kept.
func TestOrderedWithoutRetransmission(t *testing.T) {
	for _, set := range []func(*Config){func(*Config) {}, allowReliable, honest, eager} {
		a := newTestAssoc(t, set)
		a.write(orderedOpen(1, 1))
		a.wantEvent("it is served", Event{Type: ChannelOpen, Stream: 1, Label: "moves", Ordered: true, Reliability: Retransmits})
		a.drain()
		a.ackAll()
		a.pass(time.Second)
		a.drain()
		a.write(ordered(2, 1, "1"))
		a.write(ordered(5, 4, "4"))
		a.wantMessage("in order", 1, Text, "1")
		a.wantMessage("nothing waits", 1, Text, "4")
		a.write(ordered(4, 3, "3"))
		a.wantDrops("overtaken", dropOrder, 1)
		a.write(forward(4, 1, 3)) // the page has given up 2 and 3, as after honest acknowledgement
		a.write(ordered(3, 2, "2"))
		a.wantDrops("overtaken and given up", dropOrder, 2)
		a.write(ordered(6, 5, "5"))
		a.wantMessage("it goes on", 1, Text, "5")
		a.write(rawData(flagWhole|unordered, 7, 1, 0, ppidText, "in passing"))
		a.wantMessage("an unordered one has no place", 1, Text, "in passing")
		if a.buffered != 0 || a.ack.honest != 0 {
			t.Errorf("%d bytes are buffered, want 0; %d channels need honest acknowledgement, want 0", a.buffered, a.ack.honest)
		}
	}
	a := newTestAssoc(t)
	a.write(orderedOpen(1, 1))
	a.drain()
	a.ackAll()
	a.pass(settleTime)
	a.write(ordered(3, 2, "2"))
	a.pass(sackDelay)
	a.wantPacket("what was lost is acknowledged", "SACK(cum=3)")
}

// Sequence numbers wrap, and begin again with a new channel on the stream.
func TestOrderedWithoutRetransmissionWraps(t *testing.T) {
	a := newTestAssoc(t, eager)
	a.write(orderedOpen(1, 1))
	a.events = nil
	tsn := uint32(2)
	for ssn := 1; ssn < 150_000; ssn += 5000 {
		a.write(ordered(tsn, uint16(ssn), fmt.Sprint(ssn)))
		a.wantMessage("in order", 1, Text, fmt.Sprint(ssn))
		tsn += 2
	}
	a.drain()
	a.write(resetRequest(peerTSN, tsn-2, 1))
	a.events = nil
	a.write(orderedOpen(tsn, 1))
	a.events = nil
	a.write(ordered(tsn+1, 1, "first"))
	a.wantMessage("a new channel", 1, Text, "first")
}

// Messages that overtake the OPEN are delivered as they arrive; the channel continues after
// them.
func TestOrderedWithoutRetransmissionBeforeItsOpening(t *testing.T) {
	a := newTestAssoc(t, eager)
	a.write(ordered(3, 2, "2"))
	a.write(orderedOpen(1, 1))
	a.write(ordered(2, 1, "1"))
	a.write(ordered(4, 3, "3"))
	got := ""
	for _, e := range a.events {
		got += string(e.Payload)
	}
	if got != "23" {
		t.Errorf("the messages %q are delivered, want 23", got)
	}

	a = newTestAssoc(t, allowReliable) // here the first messages wait, because the channel may be reliable
	a.write(ordered(4, 3, "3"), ordered(3, 2, "2"))
	a.write(orderedOpen(1, 1))
	a.write(ordered(2, 1, "1"))
	a.write(ordered(5, 4, "4"))
	got = ""
	for _, e := range a.events {
		got += string(e.Payload)
	}
	if got != "234" || a.buffered != 0 {
		t.Errorf("the messages %q are delivered, want 234; %d bytes are buffered, want 0", got, a.buffered)
	}
}

// Whatever is lost or overtaken, each message is delivered at most once and in order, also in
// fragments, and every message that was neither is delivered.
func TestOrderedWithoutRetransmissionAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		a := newTestAssoc(t, eager)
		a.write(orderedOpen(1, 1))
		a.events = nil
		tsn, sent := uint32(2), 0
		type arrival struct {
			at      int
			message int
			chunks  [][]byte
		}
		var air []arrival
		overtaken := map[int]bool{}
		last := 0
		for i := 1; i <= 500; i++ {
			s, at := fmt.Sprint(i), i
			late := rnd.IntN(10) == 0
			if late {
				at += rnd.IntN(5)
			}
			var chunks [][]byte
			if n := len(s); n > 1 && rnd.IntN(3) == 0 {
				chunks = [][]byte{rawData(flagBegin, tsn, 1, uint16(i), ppidText, s[:1]), rawData(flagEnd, tsn+1, 1, uint16(i), ppidText, s[1:])}
			} else {
				chunks = [][]byte{ordered(tsn, uint16(i), s)}
			}
			tsn += uint32(len(chunks))
			if rnd.IntN(10) > 0 {
				air = append(air, arrival{at, i, chunks})
				sent++
			}
		}
		for at := range 510 {
			for _, p := range air {
				if p.at != at {
					continue
				}
				if p.message < last {
					overtaken[p.message] = true
				}
				last = max(last, p.message)
				for _, c := range p.chunks {
					a.write(c)
				}
			}
		}
		before := 0
		for _, e := range a.events {
			var n int
			fmt.Sscan(string(e.Payload), &n)
			if n <= before {
				t.Fatalf("seed %d: message %d is delivered after %d", seed, n, before)
			}
			before = n
		}
		if len(a.events) != sent-len(overtaken) {
			t.Errorf("seed %d: %d messages are delivered, want all of %d except %d that were overtaken", seed, len(a.events), sent, len(overtaken))
		}
	}
}

// An ordered channel with a limit of retransmissions or of time is unreliable, too. Its
// messages wait until the sender gives up the missing one.
func TestOrderedWithRetransmissionsNeedsNoLeave(t *testing.T) {
	for _, kind := range []byte{channelRetransmits, channelLifetime} {
		a := newTestAssoc(t)
		a.write(openChunk(1, 1, kind, 3, "moves"))
		a.events = nil
		a.write(ordered(3, 2, "2"))
		a.wantNoEvent("1 may be sent again")
		a.write(forward(2, 1, 1))
		a.wantMessage("1 was given up", 1, Text, "2")
	}
}
