package sctp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// rtt50 sets the known round trip to 50 ms.
func rtt50(c *Config) { c.RTT = 50 * time.Millisecond }

// A FORWARD-TSN skips messages that were sent a round trip ago, and no TSN that was not sent.
func TestForwardIsARoundTripLate(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	a.send(0, Text, "lost")
	a.pass(10 * time.Millisecond)
	a.send(0, Text, "arrives")
	a.pass(30 * time.Millisecond)
	a.send(0, Text, "under way")
	a.write(sack(999, 1001, 1001))
	a.wantIdle("1000 may only be late")
	rtt := a.rtt
	a.pass(rtt - 40*time.Millisecond - time.Millisecond)
	a.wantIdle("still")
	a.pass(time.Millisecond)
	a.wantPacket("now it is lost", "FORWARD-TSN(1000)")
	a.write(sack(1001))
	a.pass(time.Second)
	for _, p := range a.drain() {
		if p != "FORWARD-TSN(1002)" {
			t.Errorf("%s, want FORWARD-TSN(1002): 1003 was never sent", p)
		}
	}
}

// There is at most one FORWARD-TSN in a round trip.
func TestForwardIsPaced(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	start := a.now
	var last time.Time
	for i := range uint32(300) {
		a.send(0, Text, "x")
		a.pass(time.Millisecond)
		if i%2 == 1 {
			a.write(sack(999, 1001, 1001+max(i, 50)-50)) // no FORWARD-TSN has arrived
		}
		if p := a.drain(); len(p) > 0 {
			if !last.IsZero() && a.now.Sub(last) < 40*time.Millisecond {
				t.Errorf("%v after the last one, %v after the start: %s; want at least 40 ms", a.now.Sub(last), a.now.Sub(start), p)
			}
			last = a.now
		}
	}
	if n := a.Stats().Forwards; n < 3 || n > 300/40 {
		t.Errorf("%d FORWARD-TSNs in 300 ms, want 3 to 7", n)
	}
}

// No message follows the lost one, so no SACK reports the loss.
func TestForwardAfterSilence(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	start := a.now
	a.send(0, Text, "lost")
	var sent []string
	for !a.Deadline().IsZero() {
		a.now = a.Deadline()
		a.events = a.Advance(a.now, a.events)
		for _, p := range a.drain() {
			sent = append(sent, fmt.Sprint(p, " ", a.now.Sub(start)))
		}
	}
	want := "FORWARD-TSN(1000) 350ms, FORWARD-TSN(1000) 1.05s, FORWARD-TSN(1000) 2.45s, FORWARD-TSN(1000) 5.25s"
	if got := strings.Join(sent[:4], ", "); got != want {
		t.Errorf("have %s\nwant %s", got, want)
	}
	if len(sent) != maxIdleTries {
		t.Errorf("%d FORWARD-TSNs, want %d", len(sent), maxIdleTries)
	}
	a.write(sack(1000))
	a.send(0, Text, "again")
	a.pass(time.Second)
	a.wantPacket("it starts over after an answer", "FORWARD-TSN(1001)")
}

// A lost FORWARD-TSN is sent again if SACKs still show the gap.
func TestLostForwardIsRepeated(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	a.send(0, Text, "lost")
	a.pass(60 * time.Millisecond)
	a.send(0, Text, "arrives")
	a.write(sack(999, 1001, 1001))
	a.wantPacket("lost too", "FORWARD-TSN(1000)")
	a.write(sack(999, 1001, 1001))
	a.wantIdle("not at once")
	a.pass(a.rtt)
	a.wantPacket("after a round trip", "FORWARD-TSN(1001)")
	a.write(sack(1001))
	a.pass(10 * time.Second)
	a.wantIdle("done")
	if !a.Deadline().IsZero() || a.marks.n != 0 {
		t.Errorf("deadline %v and %d marks are left, want none", a.Deadline(), a.marks.n)
	}
}

func TestNoForwardWithoutLoss(t *testing.T) {
	a := newTestAssoc(t)
	type ack struct {
		at  time.Time
		tsn uint32
	}
	var acks []ack
	for i := range uint32(3000) {
		a.send(0, Text, "x")
		if i%2 == 1 {
			acks = append(acks, ack{a.now.Add(80 * time.Millisecond), 1000 + i})
		}
		a.pass(5 * time.Millisecond)
		for len(acks) > 0 && !acks[0].at.After(a.now) {
			a.write(sack(acks[0].tsn))
			acks = acks[1:]
		}
		a.wantIdle("everything arrives")
	}
}

// A message that is repeated until it arrives, such as a DATA_CHANNEL_ACK, is never skipped.
func TestForwardStopsAtDCEPAck(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	a.send(1, Text, "lost")
	a.write(unreliableOpen(1, 3, "c"))
	a.wantPacket("1001 is the answer", `SACK(cum=1) DATA(tsn=1001 stream=3 ssn=0 ppid=50 flags=3 "\x02")`)
	a.pass(60 * time.Millisecond)
	a.send(1, Text, "lost")
	a.pass(60 * time.Millisecond)
	a.send(1, Text, "arrives")
	a.write(sack(999, 1003, 1003))
	a.wantPacket("up to the one before", "FORWARD-TSN(1000)")
	a.write(sack(1000, 1003, 1003))
	a.pass(a.rtt)
	for _, p := range a.drain() {
		if strings.Contains(p, "FORWARD") {
			t.Errorf("%s skips a DATA_CHANNEL_ACK that is not acknowledged", p)
		}
	}
	a.write(sack(1001, 1003, 1003))
	a.pass(a.rtt)
	a.wantPacket("it arrived", "FORWARD-TSN(1003)")
}

// If no round trip is known, 200 ms are used for it.
func TestForwardWithoutARoundTrip(t *testing.T) {
	a := newTestAssoc(t)
	a.send(0, Text, "lost")
	a.pass(100 * time.Millisecond)
	a.send(0, Text, "arrives")
	a.resend() // so the SACK does not measure the round trip
	a.write(sack(999, 1001, 1001))
	a.pass(99 * time.Millisecond)
	a.wantIdle("not yet")
	a.pass(time.Millisecond)
	a.wantPacket("200 ms after it was sent", "FORWARD-TSN(1000)")

	b := newTestAssoc(t)
	start := b.now
	b.send(0, Text, "lost")
	if at := b.Deadline().Sub(start); at != 650*time.Millisecond {
		t.Errorf("without any SACK the message is given up after %v, want 650 ms", at)
	}
}

// resend makes a believe that it has sent a DATA_CHANNEL_ACK twice.
func (a *testAssoc) resend() { a.control = []controlData{{tsn: a.nextTSN + 1000, tries: 2}} }

// If the missing message is already old enough, the SACK that reports the gap causes a
// FORWARD-TSN at once.
func TestForwardAtOnce(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	a.send(0, Text, "lost")
	a.pass(50 * time.Millisecond)
	a.send(0, Text, "arrives")
	a.resend()
	a.write(sack(999, 1001, 1001))
	a.wantPacket("it is a round trip old", "FORWARD-TSN(1000)")
}

// A message that seems lost may arrive before it is skipped. Then only messages that are
// missing now are skipped, when they are old enough.
func TestForwardOfWhatIsMissingNow(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	a.send(0, Text, "late")
	a.pass(20 * time.Millisecond)
	a.send(0, Text, "arrives")
	a.send(0, Text, "lost")
	a.pass(20 * time.Millisecond)
	a.send(0, Text, "arrives")
	a.resend()
	a.write(sack(999, 1001, 1001))
	a.write(sack(1001, 1003, 1003))
	a.pass(29 * time.Millisecond)
	a.wantIdle("1002 is not old enough")
	a.pass(time.Millisecond)
	a.wantPacket("at its time", "FORWARD-TSN(1002)")

	a = newTestAssoc(t, rtt50)
	a.send(0, Text, "late")
	a.send(0, Text, "arrives")
	a.pass(10 * time.Millisecond)
	a.send(0, Text, "on its way to the peer")
	a.resend()
	a.write(sack(999, 1001, 1001))
	a.write(sack(1001))
	a.pass(300 * time.Millisecond)
	a.wantIdle("there is no gap any more")
}

// A FORWARD-TSN is not sent with another chunk before it is due.
func TestForwardOnlyWhenItIsDue(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	a.send(0, Text, "not acknowledged yet")
	a.pass(100 * time.Millisecond)
	a.write(text(1, "x"))
	a.wantPacket("it may be acknowledged late", "SACK(cum=1)")
}

// A FORWARD-TSN that is due, but not sent yet, is not sent when all messages have been
// acknowledged.
func TestForwardIsForgotten(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	a.send(0, Text, "x")
	a.pass(350 * time.Millisecond) // without any SACK
	a.write(sack(1000))
	a.send(0, Text, "x")
	a.pass(100 * time.Millisecond)
	a.wantIdle("this one has time")
}

// A FORWARD-TSN that has two reasons is sent once in a round trip.
func TestForwardThatIsDueTwice(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.RTT = time.Second })
	a.resend()
	a.send(0, Text, "lost")
	a.pass(1900 * time.Millisecond)
	a.send(0, Text, "lost")
	a.send(0, Text, "arrives")
	a.pass(100 * time.Millisecond)
	a.write(sack(999, 1002, 1002))
	a.wantPacket("the first", "FORWARD-TSN(1000)")
	a.pass(250 * time.Millisecond) // of silence since the first message
	a.write(sack(999, 1002, 1002))
	a.wantPacket("it is repeated", "FORWARD-TSN(1000)")
	a.pass(999 * time.Millisecond)
	a.wantIdle("once in a round trip")
}

// A SACK that acknowledges something new resets the growing timeout of silence.
func TestProgressEndsTheSilence(t *testing.T) {
	a := newTestAssoc(t, rtt50)
	a.resend()
	for range 2 {
		a.send(0, Text, "x")
		a.pass(time.Millisecond)
	}
	a.pass(5 * time.Second)
	a.drain()
	a.write(sack(1000))
	if at := a.Deadline().Sub(a.now); at != 350*time.Millisecond {
		t.Errorf("the timeout of silence is %v, want 350 ms", at)
	}
}

// The ring of marks grows with its use, is bounded, and is freed.
func TestMarks(t *testing.T) {
	var m marks
	for i := range uint32(10_000) {
		m.add(i, i*1000)
	}
	if m.n != maxMarks || len(m.ring) != maxMarks {
		t.Errorf("%d marks in a ring of %d, want %d in %d", m.n, len(m.ring), maxMarks, maxMarks)
	}
	if tsn, ok := m.before(9_000_500); !ok || tsn != 9000 {
		t.Errorf("before(9000500) = %d, %v; want 9000, true", tsn, ok)
	}
	if at, ok := m.sent(9000); !ok || at != 9_000_000 {
		t.Errorf("sent(9000) = %d, %v; want 9000000, true", at, ok)
	}
	if _, ok := m.before(100); ok {
		t.Error("before(100) has a result, though the oldest marks were joined with the next")
	}
	m.add(10_000, 9_999_000)
	if m.n != maxMarks || m.at(m.n-1).tsn != 10_000 {
		t.Errorf("two marks for the same time: %d marks, the last of TSN %d", m.n, m.at(m.n-1).tsn)
	}
	m.removeUpTo(10_000)
	if m.n != 0 || m.ring != nil {
		t.Errorf("%d marks in a ring of %d are left, want none", m.n, len(m.ring))
	}
	for range 100 {
		m.add(20_000, 5)
		m.removeUpTo(20_000)
	}
	if len(m.ring) != minMarks {
		t.Errorf("a ring of %d is kept, want %d", len(m.ring), minMarks)
	}
	// Times wrap after 71 minutes, TSNs after 2^32.
	m.add(0xffff_ffff, 0xffff_ff00)
	m.add(3, 100)
	if tsn, ok := m.before(50); !ok || tsn != 0xffff_ffff {
		t.Errorf("before, across the wrap: %x, %v; want ffffffff, true", tsn, ok)
	}
	if at, ok := m.sent(2); !ok || at != 0xffff_ff00 {
		t.Errorf("sent, across the wrap: %x, %v; want ffffff00, true", at, ok)
	}
}

func TestForwardIn(t *testing.T) {
	a := newTestAssoc(t, honest)
	a.use()
	a.write(text(4, "x"))
	a.drain()
	a.write(forward(3))
	a.wantPacket("answered at once", "SACK(cum=4)")
	a.write(forward(2))
	a.wantPacket("a stale one too: ours was lost", "SACK(cum=4)")
	a.write(forward(4 + maxForward + 1))
	a.wantDrops("one that cannot be", dropForward, 1)
	a.wantIdle("is not")
	b := newTestAssoc(t, honest)
	b.write(forward(peerTSN - 1 + maxForward))
	b.wantPacket("the farthest", fmt.Sprintf("SACK(cum=%d)", peerTSN-1+maxForward))
	a.write(forward(4 + 100_000))
	a.wantPacket("a long silence", "SACK(cum=100004)")
	a.events = nil
	a.write(text(100_005, "back"))
	a.wantMessage("ends", 1, Text, "back")
	for _, bad := range [][]byte{nil, {0, 0, 0}, {0, 1, 0x86, 0xa6, 0}} {
		a.write(rawChunk(chunkForwardTSN, 0, bad))
	}
	a.wantDrops("malformed", dropChunk, 3)
}

// A FORWARD-TSN has pairs of a stream and the sequence number up to which messages are skipped
// there. A lower number has no effect. A pair has no effect on a stream where nothing waits, and
// creates no stream.
func TestStreamsOfAForward(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelRetransmits, 1, "ordered"), orderedOpen(2, 3))
	a.events = nil
	for ssn := range uint16(5) {
		a.write(ordered(3+uint32(ssn), 1+ssn, "x"))
	}
	a.events = nil
	a.write(forward(8, 1, 2, 3, 9, 5, 7))
	a.write(ordered(9, 4, "a number that is over"))
	a.wantDrops("stream 1 was not turned back", dropOrder, 1)
	a.write(ordered(10, 6, "6"))
	a.wantMessage("it goes on", 1, Text, "6")
	a.write(rawData(flagWhole, 8, 3, 7, ppidText, "late"))
	a.wantMessage("on stream 3 nothing waits, and what comes comes", 3, Text, "late")
	if a.channel(5) != nil {
		t.Error("stream 5 exists, though only a FORWARD-TSN has named it")
	}
}

func TestLateMessageAfterForwardIsDeliveredOnce(t *testing.T) {
	a := newTestAssoc(t, honest)
	a.use()
	a.write(forward(5))
	a.write(text(3, "late"))
	a.write(text(3, "late"))
	a.wantMessage("once", 1, Text, "late")
	a.wantNoEvent("only")
}

// Of 250,000 messages each way, with losses in both directions, those that are not lost arrive,
// each at most once. See also the tests with pion.
func TestLongRunWithLosses(t *testing.T) {
	for _, mode := range []AckMode{AckEager, AckHonest} {
		longRun(t, mode, 0.1)
	}
}

func longRun(t *testing.T, mode AckMode, loss float64) {
	t.Helper()
	const messages = 250_000
	a := newIdleAssoc(t, func(c *Config) { c.Ack = mode })
	b := newIdleAssoc(t, func(c *Config) {
		c.Ack, c.LocalTag, c.InitialTSN = mode, peerTag, ^uint32(messages/2) // wraps in the middle
	})
	a.Connect(a.now)
	for range 2 {
		b.writePacket(a.next())
		a.writePacket(b.next())
	}

	rnd := rand.New(rand.NewPCG(1, 2))
	type flight struct {
		at time.Time
		to *testAssoc
		b  []byte
	}
	var air []flight
	var sent, got [2]int
	out := func(from, to *testAssoc, p []byte) {
		if len(p) > 0 && rnd.Float64() >= loss {
			air = append(air, flight{from.now.Add(20 * time.Millisecond), to, bytes.Clone(p)})
		}
	}
	payload := []byte("sixteen bytes...")
	var buf []byte
	for sent[0] < messages || len(air) > 0 {
		for i, x := range []*testAssoc{a, b} {
			y := []*testAssoc{b, a}[i]
			for range min(20, messages-sent[i]) {
				buf, _ = x.AppendMessage(x.now, buf[:0], 0, Binary, payload)
				out(x, y, buf)
				sent[i]++
			}
			for buf = x.Append(x.now, buf[:0]); len(buf) > 0; buf = x.Append(x.now, buf[:0]) {
				out(x, y, buf)
			}
			x.pass(5 * time.Millisecond)
		}
		for len(air) > 0 && !air[0].at.After(a.now) {
			f := air[0]
			air = air[1:]
			f.to.events = f.to.Receive(f.to.now, f.b, f.to.events[:0])
			for _, e := range f.to.events {
				if e.Type == Message {
					got[map[*testAssoc]int{a: 0, b: 1}[f.to]]++
				}
			}
		}
		a.Flush(a.now)
		b.Flush(b.now)
		for _, x := range []*testAssoc{a, b} {
			if seq.Less(x.nextTSN-1, x.acked) {
				t.Fatal("the peer has acknowledged a TSN that was not sent")
			}
		}
	}
	for i := range got {
		if low, high := int(0.88*messages), int(0.92*messages); got[i] < low || got[i] > high {
			t.Errorf("%v: %d of %d messages have arrived, want %d to %d", mode, got[i], messages, low, high)
		}
	}
	if lag := b.nextTSN - 1 - b.acked; lag > 5000 {
		t.Errorf("%v: %d messages are not acknowledged, want at most 5000", mode, lag)
	}
}
