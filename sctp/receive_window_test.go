package sctp

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A window of the safety valve lasts at least 500 ms and has at least 16 TSNs. Four in a row
// with more than 40 % of loss open the valve, four in a row with 30 % or less close it.
func TestWindowsOfTheValve(t *testing.T) {
	type window struct {
		took         time.Duration
		passed, lost uint32
	}
	of := func(passed, lost uint32) window { return window{500 * time.Millisecond, passed, lost} }
	bad, good, between := of(100, 41), of(100, 30), of(100, 35)
	for _, tt := range []struct {
		name    string
		windows []window
		turns   string // the windows that open or close the valve
	}{
		{"four bad ones", []window{bad, bad, bad, bad, bad}, "3"},
		{"40 % is not bad", []window{of(100, 40), of(100, 40), of(100, 40), of(100, 40), of(100, 40)}, ""},
		{"in a row", []window{bad, bad, bad, good, bad, bad, bad, bad}, "7"},
		{"between 30 and 40 % ends a row of bad ones", []window{bad, bad, bad, between, bad, bad, bad, bad}, "7"},
		{"four good ones", []window{bad, bad, bad, bad, good, good, good, good, good}, "3 7"},
		{"31 % is not good", []window{bad, bad, bad, bad, of(100, 31), of(100, 31), of(100, 31), of(100, 31), of(100, 31)}, "3"},
		{"in a row", []window{bad, bad, bad, bad, good, good, good, between, good, good, good, good}, "3 11"},
		{"again", []window{bad, bad, bad, bad, good, good, good, good, bad, bad, bad, bad}, "3 7 11"},
		{"16 TSNs", []window{of(16, 16), of(16, 16), of(16, 16), of(16, 16)}, "3"},
		{"15 are none, but part of the next", []window{of(15, 15), of(15, 15), of(15, 15), of(15, 15), of(15, 15), of(15, 15), of(15, 15), of(15, 15)}, "7"},
		{"499 ms are none, but part of the next", []window{{499 * time.Millisecond, 100, 100}, bad, bad, bad, bad}, "4"},
		{"messages of an earlier window do not count twice", []window{of(100, 0), bad, bad, bad, bad}, "4"},
		{"late messages: more than the window has TSNs", []window{of(100, 0), {500 * time.Millisecond, 16, 0}}, ""},
	} {
		start := time.Hour
		var k acker
		k.init(start, &Config{}, 0xffff_ff00)
		now, high := start, uint32(0xffff_ff00)
		var turns []string
		for i, w := range tt.windows {
			now += w.took
			high += w.passed
			k.windowGot += w.passed - w.lost
			if k.measure(now, high) {
				turns = append(turns, fmt.Sprint(i))
			}
		}
		if got := strings.Join(turns, " "); got != tt.turns {
			t.Errorf("%s: the valve turns at the windows %q, want %q", tt.name, got, tt.turns)
		}
	}
}

// In the first 100 ms acknowledgement is honest, even if nothing is missing.
func TestHonestAtFirst(t *testing.T) {
	a := newTestAssoc(t)
	a.write(text(1, "a"))
	a.pass(settleTime - time.Millisecond)
	a.write(text(2, "b"))
	if s := a.Stats(); s.Eager || s.ackSwitches != 0 {
		t.Errorf("after 99 ms: eager %v, want false; %d switches, want 0", s.Eager, s.ackSwitches)
	}
	a.pass(time.Millisecond)
	a.write(text(3, "c"))
	if s := a.Stats(); !s.Eager || s.ackSwitches != 1 {
		t.Errorf("after 100 ms: eager %v, want true; %d switches, want 1", s.Eager, s.ackSwitches)
	}
}

// A SACK reports 20 duplicates at most.
func TestDuplicatesAreBounded(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	for range 30 {
		a.receive(text(1, "a duplicate"))
	}
	a.Flush(a.now)
	if n := strings.Count(debugPacket(a.next()), "dup=1"); n != maxDuplicates {
		t.Errorf("%d duplicates are reported, want %d", n, maxDuplicates)
	}
	a.receive(text(1, "a duplicate"))
	a.Flush(a.now)
	a.wantPacket("each is told once", "SACK(cum=1 dup=1)")
	if a.ack.credit > maxCredit {
		t.Errorf("a credit of %d bytes, want at most %d", a.ack.credit, maxCredit)
	}
}

// Received bytes give credit for one SACK only.
func TestSackUsesUpWhatPaysForIt(t *testing.T) {
	a := newTestAssoc(t, honest)
	for i := range uint32(50) {
		a.receive(text(2+2*i, "x")) // 12 and 20 bytes
	}
	a.ack.credit = 0
	a.receive(forward(0)) // 12 and 8
	if a.ack.credit != 20 {
		t.Errorf("a packet of 20 bytes gives a credit of %d", a.ack.credit)
	}
	a.ack.credit = headerLen + sackLen + 4*10
	a.Flush(a.now)
	if n := strings.Count(debugPacket(a.next()), "gap="); n != 10 || a.ack.credit != 0 {
		t.Errorf("%d gaps, want 10; %d bytes of credit are left, want 0", n, a.ack.credit)
	}
	a.ack.credit = headerLen + sackLen + 4*300
	a.write(forward(0))
	if n := strings.Count(debugPacket(a.next()), "gap="); n != 50 || a.ack.credit != maxCredit-headerLen-sackLen-4*50 {
		t.Errorf("%d gaps, want 50; %d bytes of credit are left, want %d", n, a.ack.credit, maxCredit-headerLen-sackLen-4*50)
	}
}

// The initial TSNs of both ends may have any value: the round trip is measured, and the valve
// stays closed.
func TestTSNsAnywhere(t *testing.T) {
	for _, tsn := range []uint32{0, 1, 1 << 31, 0x9000_0000, 0xffff_ffff} {
		a := newIdleAssoc(t, eager, func(c *Config) { c.InitialTSN = tsn })
		a.writePacket(packet(0, initChunk(chunkInit, peerTag, tsn)))
		a.write(cookieEcho(cookieOf(t, a.next())))
		a.drain()
		for i := range uint32(8) {
			for range 16 {
				a.write(text(a.rx.high+1, "x"))
			}
			a.send(1, Text, "y")
			a.pass(50 * time.Millisecond)
			a.write(sack(tsn + i))
			a.pass(450 * time.Millisecond)
			a.drain()
		}
		if s := a.Stats(); s.RTT != 50*time.Millisecond || s.valveOpenings != 0 || !s.Eager {
			t.Errorf("initial TSN %d: round trip %v, want 50 ms; the valve has opened %d times, want 0; eager %v, want true", tsn, s.RTT, s.valveOpenings, s.Eager)
		}
	}
}

// If two messages were sent at the same time, only the time of the last TSN is stored. A SACK
// of the first alone does not measure the round trip.
func TestSampleOfTheFirstOfTwo(t *testing.T) {
	a := newTestAssoc(t)
	a.pass(time.Second)
	a.send(1, Text, "a")
	a.send(1, Text, "b")
	a.pass(50 * time.Millisecond)
	a.write(sack(1000))
	if rtt := a.Stats().RTT; rtt != 0 {
		t.Errorf("round trip %v after a SACK of the first, want none", rtt)
	}
	a.write(sack(1001))
	if rtt := a.Stats().RTT; rtt != 50*time.Millisecond {
		t.Errorf("round trip %v after a SACK of both, want 50 ms", rtt)
	}
}

// A SACK removes the DATA_CHANNEL_ACKs that it acknowledges, in whatever order its gaps and theirs
// are. Those that were not sent yet stay.
func TestAcknowledgedControl(t *testing.T) {
	cum := uint32(0xffff_fffa)
	for _, blocks := range [][]uint16{{2, 3, 6, 6, 9, 12}, {9, 12, 2, 3, 6, 6}, {2, 2, 10, 12, 6, 6, 2, 3, 9, 11}} {
		var gaps []byte
		for _, v := range blocks {
			gaps = binary.BigEndian.AppendUint16(gaps, v)
		}
		a := newTestAssoc(t)
		var want []uint32
		for i := range uint32(22) {
			d := (i*7)%22 - 5 // from -5 to 16, in no order
			a.control = append(a.control, controlData{tsn: cum + d, tries: 1})
			if d == 1 || d == 4 || d == 5 || d == 7 || d == 8 || d > 12 && d < 17 {
				want = append(want, d)
			}
		}
		a.control = append(a.control, controlData{tsn: cum + 2})
		want = append(want, 2)
		a.ackControl(cum, gaps)
		var got []uint32
		for _, d := range a.control {
			got = append(got, d.tsn-cum)
		}
		if !slices.Equal(got, want) {
			t.Errorf("gaps %v: %v are not acknowledged, want %v", blocks, got, want)
		}
		if a.ackControl(cum+16, nil); len(a.control) != 1 {
			t.Errorf("%d are left, want the one that was not sent", len(a.control))
		}
	}
}

// The ring of send times keeps its marks when it grows. An empty ring of up to 32 is not freed.
func TestMarksGrow(t *testing.T) {
	var m marks
	for i := range uint32(40) {
		m.add(100+2*i, 1000*i)
		if i == 5 {
			m.removeUpTo(104)
		}
	}
	for i := uint32(3); i < 40; i++ {
		if at, ok := m.sent(101 + 2*i); !ok || at != 1000*i {
			t.Errorf("sent(%d) = %d, %v; want %d, true", 101+2*i, at, ok, 1000*i)
		}
		if tsn, ok := m.before(1000*i + 999); !ok || tsn != 100+2*i {
			t.Errorf("before(%d) = %d, %v; want %d, true", 1000*i+999, tsn, ok, 100+2*i)
		}
	}
	m.removeUpTo(1000)
	if m.n != 0 || m.ring != nil {
		t.Errorf("%d marks in a ring of %d are left, want none", m.n, len(m.ring))
	}
	for i := range uint32(keepMarks) {
		m.add(i, i)
	}
	m.removeUpTo(keepMarks)
	if len(m.ring) != keepMarks {
		t.Errorf("a ring of %d is left, want %d", len(m.ring), keepMarks)
	}
}
