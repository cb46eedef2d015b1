package channel

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// bulkShare sends without end over a link and returns the share of the link's rate that carried
// messages after the first three seconds.
func bulkShare(t *testing.T, seed uint64, l netsim.Link, length time.Duration) (float64, *world, *end) {
	w := newWorld(t, 11+seed)
	up, down := w.both(l)
	down.change(func(l *netsim.Link) { l.Rate = 0 })
	c, s := w.connect(Config{Channels: testTable, Ceiling: -1}, up, down)
	got := 0
	s.message = func(_ ID, b []byte) {
		if w.now > 3*time.Second {
			got += len(b)
		}
	}
	w.pump(c, bulk, 1<<30)
	w.run(length, nil)
	return float64(got) / (length - 3*time.Second).Seconds() / float64(l.Rate), w, c
}

const megabit = 1_000_000 / 8

func TestRandomLossIsNotCongestion(t *testing.T) {
	for _, loss := range []float64{0, 0.01, 0.1, 0.3} {
		share, _, c := bulkShare(t, 0, netsim.Link{Delay: 30 * time.Millisecond, Loss: loss, Rate: 8 * megabit, Queue: 8 * megabit / 2}, 20*time.Second)
		t.Logf("%2.0f %% loss: %.0f %% of the link carried messages", 100*loss, 100*share)
		if share < 0.7*(1-loss) {
			t.Errorf("%.2f loss: %.2f of the link is used, want %.2f; rate %.0f", loss, share, 0.7*(1-loss), c.mux.cc.rate)
		}
	}
}

func TestJitterIsNotAQueue(t *testing.T) {
	for _, tt := range []struct {
		jitter      time.Duration
		loss        float64
		goal, worst float64 // of the link, on average and at worst
	}{
		{5 * time.Millisecond, 0, 0.85, 0.8},
		{20 * time.Millisecond, 0, 0.85, 0.6},
		{40 * time.Millisecond, 0.3, 0.48, 0.05},
		{80 * time.Millisecond, 0, 0.5, 0.1}, // more than a round trip: now and then it does pass for a queue
	} {
		var shares []float64
		for seed := range uint64(10) {
			share, _, _ := bulkShare(t, seed, netsim.Link{Delay: 30 * time.Millisecond, Jitter: tt.jitter, Loss: tt.loss,
				Rate: 8 * megabit, Queue: 8 * megabit / 2}, 20*time.Second)
			shares = append(shares, share)
		}
		t.Logf("%v jitter, %.0f %% loss: %.0f %% of the link, %.0f to %.0f", tt.jitter, 100*tt.loss,
			100*mean(shares), 100*slices.Min(shares), 100*slices.Max(shares))
		if mean(shares) < tt.goal || slices.Min(shares) < tt.worst {
			t.Errorf("%v jitter: the shares %.2f of the link are used, want a mean of %.2f and %.2f at least", tt.jitter, shares, tt.goal, tt.worst)
		}
	}
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// TestPolicer drops the excess without a queue, so no round trip shows it. The result depends on
// small differences, so there are ten links.
func TestPolicer(t *testing.T) {
	var shares, losses []float64
	for i := range 10 {
		share, _, c := bulkShare(t, 0, netsim.Link{Delay: time.Duration(20+3*i) * time.Millisecond, Rate: megabit, Queue: 3 * MaxPacket}, 30*time.Second)
		s := c.mux.Stats()
		shares, losses = append(shares, share), append(losses, float64(s.PacketsLost)/float64(s.PacketsOut))
	}
	t.Logf("%.0f %% used, %.0f to %.0f; %.0f %% lost, at most %.0f", 100*mean(shares), 100*slices.Min(shares), 100*slices.Max(shares),
		100*mean(losses), 100*slices.Max(losses))
	if mean(shares) < 0.6 || slices.Min(shares) < 0.35 || slices.Max(losses) > 0.4 {
		t.Errorf("used %.2f of the link, want a mean of 0.60 and 0.35 at least; lost %.2f, want at most 0.40", shares, losses)
	}
}

// A rate that fell because less arrived than was sent does not fall again because less arrives
// at the lower rate: otherwise it would fall to the floor.
func TestPolicerForLong(t *testing.T) {
	for i := range 3 {
		share, _, c := bulkShare(t, 0, netsim.Link{Delay: time.Duration(20+13*i) * time.Millisecond, Rate: megabit, Queue: 3 * MaxPacket}, 2*time.Minute)
		s := c.mux.Stats()
		lost := float64(s.PacketsLost) / float64(s.PacketsOut)
		t.Logf("%.0f %% used, %.0f %% lost", 100*share, 100*lost)
		if share < 0.9 || lost > 0.4 {
			t.Errorf("link %d: used %.2f, want 0.90 at least; lost %.2f, want at most 0.40", i, share, lost)
		}
	}
}

// TestBottleneckAppears narrows a link to a tenth while it is in use.
func TestBottleneckAppears(t *testing.T) {
	w := newWorld(t, 12)
	up, down := w.both(netsim.Link{Delay: 30 * time.Millisecond, Rate: 10 * megabit, Queue: 10 * megabit})
	down.change(func(l *netsim.Link) { l.Rate = 0 })
	c, _ := w.connect(Config{Channels: testTable, Ceiling: -1}, up, down)
	w.pump(c, bulk, 1<<30)
	w.run(5*time.Second, nil)
	up.change(func(l *netsim.Link) { l.Rate = megabit })
	w.run(2*time.Second, nil)
	up.waited = nil
	w.run(8*time.Second, nil)
	p50, p95 := percentile(up.waited, 0.5), percentile(up.waited, 0.95)
	t.Logf("from two seconds after it on: queue p50 %v, p95 %v", p50.Round(time.Millisecond), p95.Round(time.Millisecond))
	if p95 > 150*time.Millisecond {
		t.Errorf("the 95th percentile of the queue is %v, want at most 150 ms", p95)
	}
	up.change(func(l *netsim.Link) { l.Rate = 10 * megabit })
	w.run(20*time.Second, nil)
	if r := c.mux.cc.rate; r < 5*megabit {
		t.Errorf("twenty seconds after the competition has ended the rate is %.0f, want %.0f at least", r, float64(5*megabit))
	}
}

// TestLongQueueIsDrainedAtOnce narrows a link with a short queue, of which the sender
// sees no more than the beginning when it begins to drain it.
func TestLongQueueIsDrainedAtOnce(t *testing.T) {
	worst := time.Duration(0)
	for _, p := range channelFlow(t) {
		if p.at >= flowNarrows+1500*time.Millisecond && p.at < flowWidens {
			worst = max(worst, p.queue)
		}
	}
	t.Logf("a queue of a second, a second and a half later: at most %v", worst.Round(time.Millisecond))
	if worst > 250*time.Millisecond {
		t.Errorf("the queue is still, or again, %v, want at most 250 ms", worst)
	}
}

// The path changes to one with four times the round trip, which looks like a queue until the old
// minimum is forgotten.
func TestPathGetsLonger(t *testing.T) {
	w := newWorld(t, 13)
	up, down := w.both(netsim.Link{Delay: 10 * time.Millisecond, Rate: 4 * megabit, Queue: megabit})
	down.change(func(l *netsim.Link) { l.Rate = 0 })
	c, s := w.connect(Config{Channels: testTable, Ceiling: -1}, up, down)
	got := 0
	s.message = func(_ ID, b []byte) { got += len(b) }
	w.pump(c, bulk, 1<<30)
	w.run(5*time.Second, nil)
	for _, l := range []*way{up, down} {
		l.change(func(l *netsim.Link) { l.Delay = 60 * time.Millisecond })
	}
	w.run(20*time.Second, nil)
	got = 0
	w.run(10*time.Second, nil)
	share := float64(got) / 10 / (4 * megabit)
	t.Logf("%.0f %% of the link", 100*share)
	if share < 0.6 {
		t.Errorf("%.2f of the link is used, want 0.60 at least", share)
	}
}

// The first message after a blackout is new, and arrives soon: at the next probe, a link's delay
// later.
func TestAfterABlackout(t *testing.T) {
	for _, dark := range []time.Duration{time.Second, 6 * time.Second, 20 * time.Second} {
		w := newWorld(t, 14)
		up, down := w.both(netsim.Link{Delay: 25 * time.Millisecond})
		w.blackout(2*time.Second, dark, up, down)
		c, s := w.connect(Config{Channels: testTable}, up, down)
		over := 2*time.Second + dark
		var first, oldest time.Duration
		s.message = func(ch ID, b []byte) {
			if ch == chat || w.now < over {
				return
			}
			if first == 0 {
				first = w.now - over
			}
			oldest = max(oldest, w.now-time.Duration(binary.BigEndian.Uint64(b)))
		}
		w.every(time.Second/60, int(60*(dark+5*time.Second).Seconds()), func(int) {
			b := binary.BigEndian.AppendUint64(nil, uint64(w.now))
			w.send(c, positions, append(b, make([]byte, 50)...), Options{})
			w.send(c, effects, append(b, make([]byte, 150)...), Options{})
			w.send(c, chat, make([]byte, 100), Options{})
		})
		w.run(dark+7*time.Second, nil)
		t.Logf("%v dark: the first of unreliable messages comes after %v, the oldest is %v old", dark, first.Round(time.Millisecond), oldest.Round(time.Millisecond))
		if first == 0 || first > 300*time.Millisecond || oldest > staleAge+50*time.Millisecond {
			t.Errorf("an outage of %v: the first message after %v, want within 300 ms; the oldest is %v old, want at most %v", dark, first, oldest, staleAge+50*time.Millisecond)
		}
	}
}

// A small queue is full over a bad link: the receiver must not hold any more what the sender
// counts as settled.
func TestOrderedQueueIsNeverRefused(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(t, seed)
		up, down := w.both(netsim.Link{Delay: 25 * time.Millisecond, Loss: 0.3, Reorder: 0.3, ReorderDelay: 60 * time.Millisecond})
		table := Channels{{Name: "small", Mode: ReliableOrdered, MaxMessage: 3000, QueueLimit: 6000, Copies: -1}}
		c, s := w.connect(Config{Channels: table, Ceiling: -1}, up, down)
		got, sent := 0, 0
		s.message = func(_ ID, b []byte) {
			if n := int(binary.BigEndian.Uint32(b)); n != got {
				t.Fatalf("message %d, want %d", n, got)
			}
			got++
		}
		w.every(time.Millisecond, 20_000, func(int) {
			b := binary.BigEndian.AppendUint32(nil, uint32(sent))
			for w.send(c, 1, append(b, make([]byte, w.rng.IntN(2900))...), Options{}) == nil {
				sent++
				b = binary.BigEndian.AppendUint32(nil, uint32(sent))
			}
		})
		w.run(60*time.Second, func() bool { return w.now > 20*time.Second && got == sent })
		if d := s.mux.Stats().Drops; d[DropRefused] > 0 || got != sent || sent < 100 {
			t.Errorf("seed %d: %d of %d messages have arrived; drops %v", seed, got, sent, d)
		}
	}
}

func TestStatsOfALink(t *testing.T) {
	w := newWorld(t, 15)
	up, down := w.both(netsim.Link{Delay: 40 * time.Millisecond, Loss: 0.2})
	down.change(func(l *netsim.Link) { l.Loss = 0.05 })
	c, s := w.connect(Config{Channels: testTable}, up, down)
	for _, e := range []*end{c, s} {
		w.every(10*time.Millisecond, 3000, func(int) { w.send(e, effects, make([]byte, 30), Options{}) })
	}
	w.run(30*time.Second, nil)
	a, b := c.mux.Stats(), s.mux.Stats()
	near := func(what string, got, want, by float64) {
		t.Helper()
		if got < want-by || got > want+by {
			t.Errorf("%s is %.3f, want %.3f", what, got, want)
		}
	}
	near("loss out", a.LossOut, 0.2, 0.12)
	near("loss in at the other end", b.LossIn, 0.2, 0.08)
	near("loss out of the other end", b.LossOut, 0.05, 0.08)
	near("loss in", a.LossIn, 0.05, 0.05)
	near("round trip", a.RTT.Seconds(), 0.085, 0.01)
	near("shortest", a.MinRTT.Seconds(), 0.080, 0.003)
	if ch := c.mux.ChannelStats(effects); ch.MessagesOut != 3000 || ch.BytesOut != 90_000 || ch.MessagesIn == 0 {
		t.Errorf("%+v, want 3000 messages of 90,000 bytes out, and some in", ch)
	}
	if fmt.Sprint(DropWindow) != "window" || len(dropNames) != int(dropReasons) {
		t.Errorf("DropWindow is called %q; %d of %d drops have names", fmt.Sprint(DropWindow), len(dropNames), int(dropReasons))
	}
}
