package channel

import (
	"strings"
	"testing"
	"time"
)

// Channels of one priority begin in the order of the table, and continue by weight, piece by
// piece: the bytes sent divided by the weight decide.
func TestPiecesInTurnByWeight(t *testing.T) {
	x := newTestMux(t, Config{Channels: Channels{
		{Name: "a", Mode: ReliableOrdered, Weight: 1}, {Name: "b", Mode: ReliableOrdered, Weight: 3}, {Name: "c", Mode: ReliableOrdered, Weight: 3},
	}})
	for i := range 7 {
		for ch := range ID(3) {
			x.send(ch+1, strings.Repeat("x", 47+i), Options{}) // 50 bytes with the header, and one more each
		}
	}
	var order string
	for b := x.m.Append(x.now, nil, MaxPacket); len(b) > 0; b = x.m.Append(x.now, nil, MaxPacket) {
		var p packet
		p.parse(b)
		for b := p.frames; len(b) > 0; {
			var f frame
			b = b[f.parse(b):]
			order += string('a' + rune(f.channel) - 1)
		}
	}
	if want := "abcbcbcabcbcbcabcaaaa"; order != want {
		t.Errorf("got  %s\nwant %s", order, want)
	}
}

// Bytes count for the turn, not pieces.
func TestSmallPiecesHaveMoreTurns(t *testing.T) {
	x := newTestMux(t, Config{Channels: Channels{{Name: "a", Mode: ReliableOrdered}, {Name: "b", Mode: ReliableOrdered}}})
	small, large := strings.Repeat("x", 97), strings.Repeat("x", 296) // 100 and 300 bytes with the headers
	for range 8 {
		x.send(1, small, Options{})
		x.send(2, large, Options{})
	}
	b := x.m.Append(x.now, nil, MaxPacket)
	var order string
	for piece := range strings.SplitSeq(script(b), "; ") {
		order += piece[:len("message 1")][len("message "):]
	}
	if want := "1211121"; order != want {
		t.Errorf("pieces of the channels %s, want %s", order, want)
	}
}

// A message that comes while its channel has others to send does not change its turn.
func TestSendingMoreDoesNotChangeTheTurn(t *testing.T) {
	x := newTestMux(t, Config{Rate: 1 << 20, Channels: Channels{{Name: "a", Mode: ReliableOrdered}, {Name: "b", Mode: ReliableOrdered}}})
	large := strings.Repeat("x", 1000)
	for range 3 {
		x.send(1, large, Options{})
	}
	x.wantPacket("the first", "message 1/0 1000 bytes")
	x.send(2, large, Options{}) // begins level with the other
	x.now = x.now.Add(10 * time.Millisecond)
	x.wantPacket("the table's order", "message 1/1 1000 bytes")
	for range 2 {
		x.send(2, large, Options{})
	}
	x.wantPacket("the other's turn", "message 2/0 1000 bytes")
	x.now = x.now.Add(10 * time.Millisecond)
	x.wantPacket("and again", "message 1/2 1000 bytes")
	x.wantPacket("one more behind", "message 2/1 1000 bytes")
	x.now = x.now.Add(10 * time.Millisecond)
	x.wantPacket("the last", "message 2/2 1000 bytes")
}

// A guaranteed share grows with time: it is zero at first, and at most a quarter of a second's
// worth or two packets, whichever is more.
func TestGuaranteedShareIsAccumulated(t *testing.T) {
	for _, c := range []struct {
		guarantee int
		after     time.Duration
		pieces    int // of 100 bytes with their headers
	}{
		{10_000, 0, 0},
		{10_000, time.Millisecond, 1},
		{10_000, 50 * time.Millisecond, 5},
		{10_000, 200 * time.Millisecond, 20},
		{10_000, time.Hour, 25},
		{100, time.Hour, 23},
	} {
		x := newTestMux(t, Config{Rate: 1 << 20, Ceiling: -1, Channels: Channels{
			{Name: "greedy", Mode: ReliableOrdered}, {Name: "guaranteed", Mode: ReliableOrdered, Priority: 7, Guarantee: c.guarantee},
		}})
		x.now = x.now.Add(c.after)
		for range 60 {
			x.send(1, strings.Repeat("g", 97), Options{})
			x.send(2, strings.Repeat("x", 97), Options{}) // 100 with the header
		}
		got := ""
		for !strings.Contains(got, "message 1/") {
			got += script(x.m.Append(x.now, nil, MaxPacket)) + "\n"
			x.m.pacer.tokens = MaxPacket // no time may pass
		}
		got, _, _ = strings.Cut(got, "message 1/")
		if got := strings.Count(got, "message 2/"); got != c.pieces {
			t.Errorf("%d bytes a second, after %v: %d messages before those of the first priority, want %d", c.guarantee, c.after, got, c.pieces)
		}
	}
}

// When there is nothing to send, or nothing that may be sent, there is no time to send at.
func TestNothingToSendIsNoDeadline(t *testing.T) {
	x := newTestMux(t, Config{Rate: 100_000, RTT: 40 * time.Millisecond})
	large := strings.Repeat("x", 1000)
	for range 3 {
		x.send(loot, large, Options{})
	}
	for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
	}
	first := x.m.Deadline()
	if d := first.Sub(x.now); d <= 0 || d > 20*time.Millisecond {
		t.Fatalf("the third packet may be sent in %v, want within 20 ms", d)
	}
	x.now = first
	x.wantPacket("the third", "message 3/2 1000 bytes")
	x.wantIdle("that is all")
	if d := x.m.Deadline().Sub(x.now); d != 40*time.Millisecond+80*time.Millisecond+20*time.Millisecond {
		t.Errorf("the deadline is in %v, want the timeout", d)
	}
}

// While a further new piece waits, a packet has no copies, even if it has room for one.
func TestCopiesDoNotTakeTheRoomOfNewPieces(t *testing.T) {
	x := newTestMux(t, Config{})
	x.m.loss.share = 0.05
	x.send(chat, "a", Options{})
	x.wantPacket("first", "message 4/0 a")
	x.send(effects, strings.Repeat("x", 600), Options{})
	x.send(effects, strings.Repeat("y", 600), Options{})
	x.wantPacket("there is room, but another piece waits", "bare 1 600 bytes")
	x.wantPacket("now none waits", "bare 1 600 bytes", "message 4/0 a")
}
