package sctp

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A window of the safety valve is at least 500 ms and 16 TSNs. Four in a row above 40 % of
// loss open it, four in a row at 30 % or below close it.
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
		turns   string // at which of them it turns
	}{
		{"four bad ones", []window{bad, bad, bad, bad, bad}, "3"},
		{"40 % is not bad", []window{of(100, 40), of(100, 40), of(100, 40), of(100, 40), of(100, 40)}, ""},
		{"in a row", []window{bad, bad, bad, good, bad, bad, bad, bad}, "7"},
		{"what is between counts as good", []window{bad, bad, bad, between, bad, bad, bad, bad}, "7"},
		{"four good ones", []window{bad, bad, bad, bad, good, good, good, good, good}, "3 7"},
		{"31 % is not good", []window{bad, bad, bad, bad, of(100, 31), of(100, 31), of(100, 31), of(100, 31), of(100, 31)}, "3"},
		{"in a row", []window{bad, bad, bad, bad, good, good, good, between, good, good, good, good}, "3 11"},
		{"again", []window{bad, bad, bad, bad, good, good, good, good, bad, bad, bad, bad}, "3 7 11"},
		{"16 TSNs", []window{of(16, 16), of(16, 16), of(16, 16), of(16, 16)}, "3"},
		{"15 are none, but part of the next", []window{of(15, 15), of(15, 15), of(15, 15), of(15, 15), of(15, 15), of(15, 15), of(15, 15), of(15, 15)}, "7"},
		{"499 ms are none, but part of the next", []window{{499 * time.Millisecond, 100, 100}, bad, bad, bad, bad}, "4"},
		{"what came of before does not count twice", []window{of(100, 0), bad, bad, bad, bad}, "4"},
		{"more than passed came, since some was late", []window{of(100, 0), {500 * time.Millisecond, 16, 0}}, ""},
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
			t.Errorf("%s: it turns at %q, want %q", tt.name, got, tt.turns)
		}
	}
}

// In the first 100 ms acknowledgement is honest, also while nothing is missing.
func TestHonestAtFirst(t *testing.T) {
	a := newTestAssoc(t)
	a.write(text(1, "a"))
	a.pass(settleTime - time.Millisecond)
	a.write(text(2, "b"))
	if s := a.Stats(); s.Eager || s.AckSwitches != 0 {
		t.Errorf("eager %v after %d switches", s.Eager, s.AckSwitches)
	}
	a.pass(time.Millisecond)
	a.write(text(3, "c"))
	if s := a.Stats(); !s.Eager || s.AckSwitches != 1 {
		t.Errorf("eager %v after %d switches", s.Eager, s.AckSwitches)
	}
}

// A SACK tells of 20 duplicates at most.
func TestDuplicatesAreBounded(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	for range 30 {
		a.receive(text(1, "a duplicate"))
	}
	a.Flush(a.now)
	if n := strings.Count(debugPacket(a.next()), "dup=1"); n != maxDuplicates {
		t.Errorf("%d", n)
	}
	a.receive(text(1, "a duplicate"))
	a.Flush(a.now)
	a.wantPacket("each is told once", "SACK(cum=1 dup=1)")
	if a.ack.credit > maxCredit {
		t.Errorf("%d bytes saved up", a.ack.credit)
	}
}

// What was received pays for one SACK only.
func TestSackUsesUpWhatPaysForIt(t *testing.T) {
	a := newTestAssoc(t, honest)
	for i := range uint32(50) {
		a.receive(text(2+2*i, "x")) // 12 and 20 bytes
	}
	a.ack.credit = 0
	a.receive(forward(0)) // 12 and 8
	if a.ack.credit != 20 {
		t.Errorf("a packet of 20 bytes pays for %d", a.ack.credit)
	}
	a.ack.credit = headerLen + sackLen + 4*10
	a.Flush(a.now)
	if n := strings.Count(debugPacket(a.next()), "gap="); n != 10 || a.ack.credit != 0 {
		t.Errorf("%d gaps, %d bytes are left", n, a.ack.credit)
	}
	a.ack.credit = headerLen + sackLen + 4*300
	a.write(forward(0))
	if n := strings.Count(debugPacket(a.next()), "gap="); n != 50 || a.ack.credit != maxCredit-headerLen-sackLen-4*50 {
		t.Errorf("%d gaps, %d bytes are left", n, a.ack.credit)
	}
}

// The TSNs of both sides may be anywhere: samples are taken, and the valve is not turned
// by where they begin.
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
		if s := a.Stats(); s.RTT != 50*time.Millisecond || s.ValveOpenings != 0 || !s.Eager {
			t.Errorf("from %d: round trip %v, the valve opened %d times", tsn, s.RTT, s.ValveOpenings)
		}
	}
}

// Of two messages sent at one time the time of the last is known. What acknowledges only
// the first is no sample.
func TestSampleOfTheFirstOfTwo(t *testing.T) {
	a := newTestAssoc(t)
	a.pass(time.Second)
	a.send(1, Text, "a")
	a.send(1, Text, "b")
	a.pass(50 * time.Millisecond)
	a.write(sack(1000))
	if rtt := a.Stats().RTT; rtt != 0 {
		t.Errorf("round trip %v", rtt)
	}
	a.write(sack(1001))
	if rtt := a.Stats().RTT; rtt != 50*time.Millisecond {
		t.Errorf("round trip %v", rtt)
	}
}

func TestAcknowledged(t *testing.T) {
	var gaps []byte
	for _, v := range []uint16{2, 3, 6, 6, 9, 12} {
		gaps = binary.BigEndian.AppendUint16(gaps, v)
	}
	const cum = 0xffff_fffa
	for d := range uint32(16) {
		want := d <= 3 && d != 1 || d == 6 || d >= 9 && d <= 12
		if got := acknowledged(cum+d, cum, gaps); got != want {
			t.Errorf("%d after the cumulative TSN: %v", d, got)
		}
	}
	if !acknowledged(cum-5, cum, nil) || acknowledged(cum+1, cum, nil) {
		t.Error("without gaps")
	}
}

// The times of what was sent are kept when their ring grows, and a ring of 32 is kept.
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
			t.Errorf("%d: %d %v", 101+2*i, at, ok)
		}
		if tsn, ok := m.before(1000*i + 999); !ok || tsn != 100+2*i {
			t.Errorf("at %d: %d %v", 1000*i+999, tsn, ok)
		}
	}
	m.removeUpTo(1000)
	if m.n != 0 || m.ring != nil {
		t.Errorf("%d left in %d", m.n, len(m.ring))
	}
	for i := range uint32(keepMarks) {
		m.add(i, i)
	}
	m.removeUpTo(keepMarks)
	if len(m.ring) != keepMarks {
		t.Errorf("a ring of %d is left", len(m.ring))
	}
}
