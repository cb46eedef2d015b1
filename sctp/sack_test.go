package sctp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// The first DATA is acknowledged at once, then every second packet, or after 20 ms.
func TestDelayedAcknowledgement(t *testing.T) {
	a := newTestAssoc(t)
	a.write(text(1, "a"))
	a.wantPacket("the first at once", "SACK(cum=1)")
	a.write(text(2, "b"), text(3, "c"))
	a.wantIdle("one packet waits, whatever is in it")
	a.write(text(4, "d"))
	a.wantPacket("the second does not", "SACK(cum=4)")
	a.write(text(5, "e"))
	a.pass(sackDelay - time.Millisecond)
	a.wantIdle("19 ms are not enough")
	a.pass(time.Millisecond)
	a.wantPacket("20 ms are", "SACK(cum=5)")
	a.pass(time.Second)
	a.wantIdle("nothing is left")
}

func TestSlowAcknowledgement(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.SlowAck = true })
	a.use()
	a.write(text(2, "a"))
	a.pass(199 * time.Millisecond)
	a.wantIdle("it may still be sent with a message")
	a.pass(time.Millisecond)
	a.wantPacket("it has waited long enough", "SACK(cum=2)")
}

// The I bit, which browsers set often, asks for a SACK at once.
func TestImmediateBit(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(rawData(flagWhole|flagUnordered|flagImmediate, 2, 1, 0, ppidText, "now"))
	a.wantPacket("at once", "SACK(cum=2)")
}

func TestHonestAcknowledgement(t *testing.T) {
	a := newTestAssoc(t, honest)
	a.use()
	a.write(text(3, "c"))
	a.wantPacket("a gap at once", "SACK(cum=1 gap=3-3)")
	a.write(text(4, "d"), text(7, "g"))
	a.wantPacket("and as long as it lasts", "SACK(cum=1 gap=3-4 gap=7-7)")
	a.write(text(3, "c"))
	a.wantPacket("a duplicate at once", "SACK(cum=1 gap=3-4 gap=7-7 dup=3)")
	a.write(text(2, "b"))
	a.wantPacket("the gap closes", "SACK(cum=4 gap=7-7)")
	a.write(text(5, "e"), text(6, "f"))
	a.wantIdle("and the next waits again")
}

func TestEagerAcknowledgement(t *testing.T) {
	a := newTestAssoc(t, eager)
	a.write(text(3, "c"))
	a.wantPacket("from the first packet, with no gap", "SACK(cum=3)")
	a.events = nil
	a.write(text(2, "b"))
	a.wantMessage("a late packet is delivered though it is acknowledged", 1, Text, "b")
	a.write(text(2, "b"))
	a.wantNoEvent("once")
	a.wantPacket("and its duplicate is reported", "SACK(cum=3 dup=2)")
	if s := a.Stats(); s.Late != 1 || s.Duplicates != 1 || !s.Eager {
		t.Errorf("%+v, want 1 late, 1 duplicate, eager", s)
	}
}

func TestAutoTurnsEagerWhenNothingIsMissingBelowAnOpening(t *testing.T) {
	a := newTestAssoc(t)
	a.write(unreliableOpen(2, 1, "second"))
	a.wantPacket("an opening may be missing", `SACK(cum=0 gap=2-2) DATA(tsn=1000 stream=1 ssn=0 ppid=50 flags=3 "\x02")`)
	a.pass(settleTime)
	a.ackAll()
	a.write(dataChunk(3, 1, ppidText, "x"))
	a.wantPacket("time does not make up for it", "SACK(cum=0 gap=2-3)")
	a.write(unreliableOpen(1, 3, "first"))
	a.drain()
	a.write(dataChunk(4, 1, ppidText, "x"), dataChunk(6, 1, ppidText, "x"))
	a.wantPacket("openings come in groups", "SACK(cum=4 gap=6-6)")
	a.write(dataChunk(5, 1, ppidText, "x"))
	a.drain()
	a.pass(settleTime)
	a.write(dataChunk(8, 1, ppidText, "x"), dataChunk(10, 1, ppidText, "x"))
	a.drain()
	a.write(dataChunk(12, 1, ppidText, "x"))
	a.pass(sackDelay)
	a.wantPacket("all is there: eager from now on", "SACK(cum=12)")
}

// If a page sends much at once and some of it is lost, honest acknowledgement would slow it
// down as long as the gaps last.
func TestAutoTurnsEagerInTheEndThoughSomethingIsMissing(t *testing.T) {
	a := newTestAssoc(t)
	a.write(text(1, "a"))
	a.write(text(3, "c"))
	a.drain()
	a.pass(settleTime + settleMost - time.Millisecond)
	a.drain()
	a.write(text(4, "d"))
	a.wantPacket("the second message may be an opening", "SACK(cum=1 gap=3-4)")
	a.pass(time.Millisecond)
	a.write(text(6, "f"))
	a.write(text(7, "g"))
	a.wantPacket("it was sent again long ago if it was", "SACK(cum=7)")
}

// Three channels are opened at once, and any of the three OPENs may be lost at first.
func TestLostOpeningsAreAskedForAgain(t *testing.T) {
	for lost := range 8 {
		a := newTestAssoc(t)
		for i := range uint32(3) {
			if lost&(1<<i) == 0 {
				a.write(unreliableOpen(1+i, uint16(2*i+1), "c"))
			}
		}
		a.pass(50 * time.Millisecond)
		a.write(dataChunk(4, 1, ppidText, "x"))
		cum := a.rx.cum
		if lost&7 != 0 && cum >= 3 {
			t.Errorf("lost %03b: acknowledged up to %d, want less than 3", lost, cum)
		}
		for i := range uint32(3) {
			if lost&(1<<i) != 0 {
				a.write(unreliableOpen(1+i, uint16(2*i+1), "c"))
			}
		}
		opened := 0
		for _, e := range a.events {
			if e.Type == ChannelOpen && !e.Negotiated {
				opened++
			}
		}
		if opened != 3 {
			t.Errorf("lost %03b: %d channels opened, want 3", lost, opened)
		}
	}
}

func TestSecondOpeningUnderLoadSettlesAgain(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(text(2, "x"), text(4, "x"))
	a.pass(sackDelay)
	a.wantPacket("eager", "SACK(cum=4)")
	a.write(unreliableOpen(5, 3, "second"))
	a.drain()
	a.write(text(7, "x"))
	a.wantPacket("honest for a while", "SACK(cum=5 gap=7-7)")
	a.write(unreliableOpen(6, 5, "third"))
	a.drain()
	a.ackAll()
	a.pass(settleTime)
	a.write(text(9, "x"))
	a.write(text(10, "x"))
	a.wantPacket("and eager again", "SACK(cum=10)")
}

func TestReliableChannelMakesHonest(t *testing.T) {
	for _, mode := range []AckMode{AckAuto, AckEager} {
		a := newTestAssoc(t, allowReliable, func(c *Config) { c.Ack = mode })
		a.use()
		a.write(openChunk(2, 3, channelReliable, 0, "chat"))
		a.drain()
		a.ackAll()
		a.pass(settleTime)
		a.write(text(4, "x"))
		a.wantPacket("the gap is told", "SACK(cum=2 gap=4-4)")
		a.CloseStream(a.now, 3)
		a.drain()
		a.write(text(3, "x"), text(6, "x"))
		a.pass(sackDelay)
		a.wantPacket("until the channel closes", "SACK(cum=6)")
	}
}

// A channel with retransmissions needs honest acknowledgement, too.
func TestPartlyReliableChannelMakesHonest(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	a.write(openChunk(2, 3, channelUnordered|channelRetransmits, 3, "three tries"))
	a.events = nil
	a.drain()
	a.ackAll()
	a.pass(settleTime)
	a.write(text(4, "x"))
	a.wantPacket("the gap is told", "SACK(cum=2 gap=4-4)")
}

// The safety valve: four windows above 40 % of loss, four at 30 % or below.
func TestSafetyValve(t *testing.T) {
	a := newTestAssoc(t, eager)
	tsn := uint32(0)
	second := func(lossPercent uint32) {
		for i := range uint32(100) {
			tsn++
			a.pass(10 * time.Millisecond)
			if i%10 >= lossPercent/10 {
				a.write(text(tsn, "x"))
			}
			a.drain()
		}
		a.events = nil
	}
	for range 5 {
		second(40)
	}
	if !a.Stats().Eager {
		t.Fatal("honest after windows with 40 % of loss, want eager: 40 % is not above 40 %")
	}
	second(50)
	if !a.Stats().Eager {
		t.Fatal("honest after 1 s of 50 % loss, want eager until four windows have passed")
	}
	second(50)
	second(50)
	if a.Stats().Eager {
		t.Fatal("eager after 3 s of 50 % loss, want honest")
	}
	second(40)
	second(40)
	second(40)
	if a.Stats().Eager {
		t.Fatal("eager after windows with 40 % of loss, want honest")
	}
	second(10)
	second(10)
	second(10)
	if s := a.Stats(); !s.Eager || s.valveOpenings != 1 || s.ackSwitches != 2 {
		t.Fatalf("after 3 s of 10 %% loss: %+v, want eager, 1 valve opening, 2 switches", s)
	}
}

// An outage is in one window, however long it is, so it does not open the valve.
func TestBlackoutDoesNotOpenTheValve(t *testing.T) {
	a := newTestAssoc(t, eager)
	for i := range uint32(60) {
		a.write(text(1+i, "x"))
		a.pass(16 * time.Millisecond)
	}
	a.pass(6 * time.Second)
	for i := range uint32(30) {
		a.write(text(420+i, "x"))
		a.pass(16 * time.Millisecond)
	}
	if !a.Stats().Eager {
		t.Error("honest after an outage, want eager")
	}
}

func TestSackThatDoesNotFitFollows(t *testing.T) {
	a := newTestAssoc(t, honest)
	a.receive(text(1, "x"))
	big := strings.Repeat("x", MaxPayload)
	if b := a.send(1, Binary, big); len(b) != MaxPacket {
		t.Errorf("the largest message is a packet of %d bytes, want %d", len(b), MaxPacket)
	}
	a.wantPacket("the SACK afterwards", "SACK(cum=1)")
	a.receive(text(2, "x"))
	a.want("it fits just so", a.send(1, Binary, big[sackLen:]), fmt.Sprintf("SACK(cum=2) DATA(tsn=1001 stream=1 ssn=0 ppid=53 flags=7 %q)", big[sackLen:]))
	a.receive(text(3, "x"))
	a.send(1, Binary, big[sackLen-1:])
	a.Flush(a.now)
	a.wantIdle("it is only delayed, so it may still wait")
	a.pass(sackDelay)
	a.wantPacket("for its time", "SACK(cum=3)")
}

// A SACK reports no more gaps and duplicates than fit one packet.
func TestSackIsBounded(t *testing.T) {
	a := newTestAssoc(t, honest)
	for i := range uint32(300) {
		a.receive(text(2+2*i, "x"))
		a.receive(text(2+2*i, "x"))
	}
	a.Flush(a.now)
	b := a.next()
	s := debugPacket(b)
	if g, d := strings.Count(s, "gap="), strings.Count(s, "dup="); g != maxGapBlocks || d != maxDuplicates {
		t.Errorf("%d gaps, want %d; %d duplicates, want %d", g, maxGapBlocks, d, maxDuplicates)
	}
	if len(b) != headerLen+sackLen+4*(maxGapBlocks+maxDuplicates) {
		t.Errorf("the packet has %d bytes, want %d", len(b), headerLen+sackLen+4*(maxGapBlocks+maxDuplicates))
	}
}

// The advertised window is smaller by the bytes that are buffered.
func TestWindowShrinks(t *testing.T) {
	a := newTestAssoc(t, honest)
	window := func() uint32 {
		b := a.next()
		return binary.BigEndian.Uint32(b[headerLen+8:])
	}
	a.write(text(1, "x"))
	if w := window(); w != localWindow {
		t.Errorf("window %d, want %d", w, localWindow)
	}
	a.write(rawData(flagBegin|flagUnordered, 3, 1, 0, ppidText, strings.Repeat("x", 1000)))
	if w := window(); w != localWindow-1000-bufferOverhead {
		t.Errorf("window %d with a fragment, want %d", w, localWindow-1000-bufferOverhead)
	}
}

// A SACK that cannot be right has no effect.
func TestInvalidSacksChangeNothing(t *testing.T) {
	a := newTestAssoc(t)
	for range 10 {
		a.send(0, Text, "x")
		a.pass(time.Millisecond)
	}
	a.write(sack(1004))
	before := *a.Assoc
	before.marks.ring = slices.Clone(a.marks.ring)
	for name, c := range map[string][]byte{
		"never sent":           sack(1010),
		"half the space away":  sack(1004 + 1<<31),
		"gap never sent":       sack(1004, 1008, 1010),
		"gap of 65535":         sack(1004, 1006, 1004+0xffff),
		"gap backwards":        sack(1004, 1008, 1006),
		"gap at zero":          sack(1004, 1004, 1006),
		"second gap wrong":     sack(1005, 1007, 1007, 1009, 1010),
		"short":                rawChunk(chunkSack, 0, u32s(1009, 1<<20)),
		"counts beyond":        rawChunk(chunkSack, 0, u32s(1009, 1<<20, 2<<16, 0x0002_0002)),
		"duplicates beyond":    rawChunk(chunkSack, 0, u32s(1009, 1<<20, 0xffff)),
		"counts short of size": rawChunk(chunkSack, 0, u32s(1009, 1<<20, 0, 0)),
		"older":                sack(1003, 1005, 1009),
	} {
		a.write(c)
		after := *a.Assoc
		after.stats, after.ack.credit = before.stats, before.ack.credit
		if !reflect.DeepEqual(before, after) {
			t.Errorf("the SACK %q has changed the state", name)
		}
	}
	a.write(sack(1009))
	if a.acked != 1009 || a.marks.n != 0 {
		t.Errorf("a valid SACK: acknowledged up to %d, want 1009; %d marks are left, want 0", a.acked, a.marks.n)
	}
	a.write(sack(1009 + 1<<31)) // neither before nor after the TSNs that were sent
	if a.acked != 1009 || a.topAcked != 1009 {
		t.Errorf("a SACK far away: acknowledged up to %d, highest %d; want 1009", a.acked, a.topAcked)
	}
}

func TestRoundTripFromSacks(t *testing.T) {
	a := newTestAssoc(t)
	a.send(0, Text, "x")
	a.pass(80 * time.Millisecond)
	a.write(sack(1000))
	if rtt := a.Stats().RTT; rtt != 80*time.Millisecond {
		t.Errorf("the first round trip is %v, want 80 ms", rtt)
	}
	a.send(0, Text, "x")
	a.send(0, Text, "lost")
	a.pass(10 * time.Millisecond)
	a.send(0, Text, "x")
	a.pass(40 * time.Millisecond)
	a.write(sack(1001, 1003, 1003))
	if rtt := a.Stats().RTT; rtt != 75*time.Millisecond {
		t.Errorf("round trip %v, want 75 ms: the newest acknowledged TSN measures it", rtt)
	}
	a.pass(time.Second)
	a.write(sack(1001, 1003, 1003))
	if rtt := a.Stats().RTT; rtt != 75*time.Millisecond {
		t.Errorf("round trip %v, want 75 ms: a SACK without a new TSN measures nothing", rtt)
	}
}

// The tracker has the same results as a map of all TSNs.
func TestTrackerAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		first := rnd.Uint32()
		if seed%2 == 0 {
			first = -uint32(rnd.IntN(5000)) // wraps soon
		}
		var r tracker
		r.init(first - 1)
		eager := seed%3 == 0
		got := map[uint32]bool{} // by distance from first
		cum, high := int64(-1), int64(-1)
		for range 8_000 {
			d := max(high+int64(rnd.IntN(40))-25, 0)
			switch rnd.IntN(400) {
			case 0:
				d = high + int64(rnd.IntN(maxAhead*2))
			case 1:
				d = max(high-int64(rnd.IntN(maxAhead+100)), 0)
			case 2:
				skip := cum + int64(rnd.IntN(300))
				if rnd.IntN(10) == 0 {
					skip = cum + maxAhead + int64(rnd.IntN(10000))
				}
				if skip > cum {
					r.skip(first + uint32(skip))
					cum, high = skip, max(high, skip)
					for cum < high && got[uint32(cum+1)] {
						cum++
					}
				}
			}
			tsn := first + uint32(d)
			if r.beyond(tsn) != (d > cum+maxAhead) {
				t.Fatalf("seed %d: beyond(%d) = %v with cum %d", seed, d, r.beyond(tsn), cum)
			}
			if d > cum+maxAhead {
				continue
			}
			if got[uint32(d)] && !r.seen(tsn) {
				t.Fatalf("seed %d: TSN %d would be delivered twice", seed, d)
			}
			if !r.seen(tsn) {
				r.mark(tsn)
				got[uint32(d)] = true
				high = max(high, d)
			} else if !got[uint32(d)] && d > high-maxAhead && d > cum {
				t.Fatalf("seed %d: TSN %d counts as seen, but was not received", seed, d)
			}
			if eager {
				r.skipAll()
				cum = high
			}
			for cum < high && got[uint32(cum+1)] {
				cum++
			}
			if r.cum != first+uint32(cum) || r.high != first+uint32(high) {
				t.Fatalf("seed %d: cum %d high %d, want %d %d", seed, int32(r.cum-first), int32(r.high-first), cum, high)
			}
			checkTracker(t, &r, func(tsn uint32) bool { return got[tsn-first] })
		}
	}
}

// checkTracker checks the gap blocks and the bounds of the tracker.
func checkTracker(t *testing.T, r *tracker, got func(uint32) bool) {
	t.Helper()
	if r.cum-r.base > maxAhead || r.high-r.cum > maxAhead || r.high-r.base > maxAhead {
		t.Fatalf("the tracker breaks its bounds: base %d, cum %d, high %d", r.base, r.cum, r.high)
	}
	after := r.cum
	for range 3 {
		first, last, ok := r.gap(after)
		if !ok {
			return
		}
		for tsn := after + 1; tsn != last+1; tsn++ {
			if got(tsn) != (tsn-first <= last-first) {
				t.Fatalf("gap %d-%d after %d is wrong at %d", first, last, after, tsn)
			}
		}
		after = last
	}
}
