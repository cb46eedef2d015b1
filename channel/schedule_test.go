package channel

import (
	"strings"
	"testing"
	"time"
)

// drainOver takes what the Mux sends in d at its pace, acknowledges all of it, and
// counts the bytes of each channel.
func (x *testMux) drainOver(d time.Duration, refill func()) (bytes [8]int) {
	for stop := x.now.Add(d); x.now.Before(stop); x.wait(5 * time.Millisecond) {
		refill()
		for {
			b := x.m.Append(x.now, nil, MaxPacket)
			if len(b) == 0 {
				break
			}
			var p packet
			p.parse(b)
			for b := p.frames; len(b) > 0; {
				var f frame
				b = b[f.parse(b):]
				if f.kind != frameControl {
					bytes[f.channel] += len(f.payload)
				}
			}
			x.ack(0, x.m.flight.next-1)
		}
	}
	return bytes
}

// fill keeps a reliable channel's queue full.
func (x *testMux) fill(chs ...ID) func() {
	b := make([]byte, 700)
	return func() {
		for _, ch := range chs {
			for x.m.senders[ch].queue.n < 50 {
				x.m.Send(x.now, ch, b, Options{})
			}
		}
	}
}

func TestWeightsAmongEquals(t *testing.T) {
	x := newTestMux(t, Config{Rate: 100_000, Channels: Channels{
		{Name: "one", Mode: ReliableOrdered, Weight: 1},
		{Name: "three", Mode: ReliableOrdered, Weight: 3},
		{Name: "last", Mode: ReliableOrdered, Priority: 1},
	}})
	got := x.drainOver(3*time.Second, x.fill(1, 2, 3))
	if ratio := float64(got[2]) / float64(got[1]); ratio < 2.8 || ratio > 3.2 {
		t.Errorf("weights 1 and 3 got %d and %d bytes, want a ratio of 3", got[1], got[2])
	}
	if got[3] != 0 {
		t.Errorf("a channel of lower priority got %d bytes, want 0", got[3])
	}
}

func TestGuaranteedShare(t *testing.T) {
	x := newTestMux(t, Config{Rate: 100_000, Ceiling: 100_000, Channels: Channels{
		{Name: "greedy", Mode: ReliableOrdered},
		{Name: "guaranteed", Mode: ReliableOrdered, Priority: 7, Guarantee: 20_000},
	}})
	got := x.drainOver(5*time.Second, x.fill(1, 2))
	if got[2] < 95_000 || got[2] > 115_000 {
		t.Errorf("100,000 bytes in five seconds are guaranteed, got %d", got[2])
	}
	if got[1] < 350_000 {
		t.Errorf("the other channel got %d bytes, want 350,000 at least", got[1])
	}
}

// Bytes that a channel has sent while no other channel had any are not taken off its share
// later.
func TestGuaranteedShareAfterPlenty(t *testing.T) {
	x := newTestMux(t, Config{Rate: 100_000, Ceiling: 100_000, Channels: Channels{
		{Name: "greedy", Mode: ReliableOrdered},
		{Name: "guaranteed", Mode: ReliableOrdered, Priority: 7, Guarantee: 20_000},
	}})
	x.drainOver(10*time.Second, x.fill(2))
	got := x.drainOver(5*time.Second, x.fill(1, 2))
	if got[2] < 95_000 || got[2] > 115_000 {
		t.Errorf("100,000 bytes in five seconds are guaranteed, got %d", got[2])
	}
}

func TestIdleChannelSavesNoShareUp(t *testing.T) {
	x := newTestMux(t, Config{Rate: 100_000, Channels: Channels{{Name: "a", Mode: ReliableOrdered}, {Name: "b", Mode: ReliableOrdered}}})
	x.send(2, "idle from then on", Options{})
	x.drainOver(2*time.Second, x.fill(1))
	got := x.drainOver(2*time.Second, x.fill(1, 2))
	if ratio := float64(got[2]) / float64(got[1]); ratio < 0.9 || ratio > 1.3 {
		t.Errorf("equal weights got %d and %d bytes", got[1], got[2])
	}
}

func TestSmallPieceFillsWhatALargeOneLeaves(t *testing.T) {
	x := newTestMux(t, Config{})
	x.send(positions, strings.Repeat("p", 200), Options{})
	x.send(loot, strings.Repeat("l", 1000), Options{})
	x.send(chat, "c", Options{})
	x.wantPacket("a piece that does not fit waits, one that fits is sent", "message 2/0 200 bytes", "message 4/0 c")
	x.wantPacket("then its turn comes", "message 3/0 1000 bytes")
}

func TestPacing(t *testing.T) {
	x := newTestMux(t, Config{Rate: 115_000, Ceiling: 115_000})
	b := strings.Repeat("x", 1000)
	for range 20 {
		x.send(loot, b, Options{})
	}
	n := 0
	for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
		n++
	}
	if n != 2 {
		t.Errorf("%d packets left at once, want 2", n)
	}
	start := x.now
	for range 5 {
		x.wait(x.m.Deadline().Sub(x.now))
		if len(x.m.Append(x.now, nil, MaxPacket)) == 0 {
			t.Fatal("nothing is sent at the deadline of the pacer")
		}
		x.wantIdle("one at a time")
	}
	if d := x.now.Sub(start); d < 40*time.Millisecond || d > 60*time.Millisecond {
		t.Errorf("five packets took %v, want 50 ms: 10 ms each", d)
	}
}

func TestWindowHoldsBackWhatNobodyAcknowledges(t *testing.T) {
	x := newTestMux(t, Config{RTT: 50 * time.Millisecond})
	refill := x.fill(loot)
	sent := 0
	for range 400 {
		refill()
		for {
			b := x.m.Append(x.now, nil, MaxPacket)
			if len(b) == 0 {
				break
			}
			sent += len(b)
		}
		x.wait(10 * time.Millisecond)
	}
	// A window of about 12 KB, and two probes at each of a few timeouts.
	if sent > 40_000 {
		t.Errorf("%d bytes are sent in four seconds of silence, want at most 40,000", sent)
	}
	last := x.m.flight.next - 1
	x.ack(last, last)
	for range 20 {
		x.m.Append(x.now, nil, MaxPacket)
		x.wait(20 * time.Millisecond)
	}
	if x.m.Stats().PacketsLost == 0 || x.m.flight.next-1 < last+5 {
		t.Error("no packet is lost, or nothing more is sent after the silence")
	}
}

// A sender continues for long enough that one of the acknowledgements arrives.
func TestWindowWhereHalfIsLost(t *testing.T) {
	var packets [2]int
	for i, share := range []float64{0, 0.5} {
		x := newTestMux(t, Config{RTT: 50 * time.Millisecond})
		x.m.loss.share = share
		for range 33 { // up to the first timeout
			x.fill(loot)()
			for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
				packets[i]++
			}
			x.wait(10 * time.Millisecond)
		}
	}
	if n := packets[1] - packets[0]; n < 6 {
		t.Errorf("%d packets without loss, %d with a loss of half; want 6 more at least", packets[0], packets[1])
	}
}

func TestReliableWindow(t *testing.T) {
	x := newTestMux(t, Config{Rate: 1 << 30, Ceiling: -1, Channels: Channels{{Name: "tiny", Mode: ReliableUnordered, QueueLimit: 1 << 20}}})
	for range sendWindow + 10 {
		x.send(1, "", Options{})
	}
	take := func() {
		for i := 0; i < 100 && len(x.m.Append(x.now, nil, MaxPacket)) > 0; i++ {
			x.wait(time.Millisecond)
		}
	}
	take()
	if n := x.m.senders[1].nextID; n != sendWindow {
		t.Errorf("%d messages without an acknowledgement, want %d", n, sendWindow)
	}
	last := x.m.flight.next - 1
	x.ack(1, last)
	take()
	if n := x.m.senders[1].nextID; n != sendWindow {
		t.Errorf("%d messages are sent while the oldest is missing, want %d", n, sendWindow)
	}
	x.ack(0, x.m.flight.next-1)
	take()
	if n := x.m.senders[1].nextID; n != sendWindow+10 {
		t.Errorf("%d messages are sent in all, want %d", n, sendWindow+10)
	}
}

func TestRedundancy(t *testing.T) {
	x := newTestMux(t, Config{})
	for share, want := range map[float64]int{0.011: 2, 0.02: 2, 0.05: 3, 0.09: 3, 0.12: 4, 0.2: 5, 0.3: 6, 0.6: 6} {
		x.m.loss.share = share + 1e-9
		if got := x.m.copies(x.m.senders[chat]); got != want {
			t.Errorf("%d copies at a loss of %v, want %d", got, share, want)
		}
	}
	x.m.loss.share = 0.02
	x.send(chat, "a", Options{})
	x.wantPacket("first", "message 4/0 a")
	x.wantIdle("a copy makes no packet of its own")
	x.send(effects, "1", Options{})
	x.wantPacket("a copy rides in what leaves anyway", "bare 1 1", "message 4/0 a")
	x.send(chat, "b", Options{})
	x.wantPacket("new ones first", "message 4/1 b", "message 4/0 a")
	x.send(effects, "2", Options{})
	x.wantPacket("two copies of each, newest first", "bare 1 2", "message 4/1 b")
	x.send(effects, "3", Options{})
	x.wantPacket("not more", "bare 1 3", "message 4/1 b")
	x.send(effects, "4", Options{})
	x.wantPacket("not more", "bare 1 4")
	x.wait(20 * time.Millisecond)
	x.ack(2, 2)
	if !x.m.Idle() {
		t.Error("Idle() = false though a copy has arrived")
	}
	x.m.loss.share = 0.005
	x.send(chat, "c", Options{})
	x.wantPacket("first", "message 4/2 c")
	x.send(effects, "5", Options{})
	x.wantPacket("a link that hardly loses needs none", "bare 1 5")
}
