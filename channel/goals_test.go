package channel

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

var testTable = Channels{
	{Name: "effects", Mode: Unreliable, Priority: 2},
	{Name: "positions", Mode: Sequenced, Priority: 1},
	{Name: "loot", Mode: ReliableUnordered, Priority: 3},
	{Name: "chat", Mode: ReliableOrdered, Priority: 3},
	{Name: "bulk", Mode: ReliableOrdered, Priority: 7, QueueLimit: 16 << 20},
}

const (
	effects ID = iota + 1
	positions
	loot
	chat
	bulk
)

func percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[min(len(d)-1, int(p*float64(len(d))))]
}

// TestLatency sends 60 reliable ordered messages of 200 bytes a second over a link
// with a round trip of 50 ms that loses each way.
func TestLatency(t *testing.T) {
	for _, tt := range []struct {
		loss float64
		goal time.Duration
	}{
		{0, 30 * time.Millisecond},
		{0.05, 60 * time.Millisecond},
		{0.10, 90 * time.Millisecond},
		{0.20, 150 * time.Millisecond},
		{0.30, 250 * time.Millisecond},
		{0.50, 900 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%.0f%%", tt.loss*100), func(t *testing.T) {
			w := newWorld(t, 7)
			up, down := w.both(netsim.Link{Delay: 25 * time.Millisecond, Loss: tt.loss})
			c, s := w.connect(Config{Channels: testTable}, up, down)
			const n = 60 * 120
			var took []time.Duration
			s.message = func(_ ID, b []byte) {
				took = append(took, w.now-time.Duration(binary.BigEndian.Uint64(b)))
			}
			w.every(time.Second/60, n, func(int) {
				b := make([]byte, 200)
				binary.BigEndian.PutUint64(b, uint64(w.now))
				w.send(c, chat, b, Options{})
			})
			w.run(150*time.Second, func() bool { return len(took) == n })
			st := c.mux.Stats()
			t.Logf("p50 %v p99 %v max %v, goal p99 %v; %d packets, %.0f B/s, %d retransmits, %d copies, loss %.2f",
				percentile(took, 0.5).Round(time.Millisecond), percentile(took, 0.99).Round(time.Millisecond),
				percentile(took, 1).Round(time.Millisecond), tt.goal, st.PacketsOut,
				float64(st.BytesOut)/120, st.Retransmits, st.Copies, st.LossOut)
			if len(took) != n {
				t.Errorf("%d of %d messages have arrived", len(took), n)
			}
			if p := percentile(took, 0.99); p > tt.goal {
				t.Errorf("p99 is %v, want at most %v", p, tt.goal)
			}
		})
	}
}

// pump keeps a bulk channel supplied until total bytes were sent.
func (w *world) pump(e *end, ch ID, total int) {
	b := make([]byte, 32<<10)
	var next func()
	next = func() {
		for total > 0 && e.mux.Free(ch) >= len(b) {
			n := min(total, len(b))
			w.send(e, ch, b[:n], Options{})
			total -= n
		}
		if total > 0 {
			w.after(5*time.Millisecond, next)
		}
	}
	next()
}

// TestBulk moves 10 MB over 10 Mbit/s with 5 % loss and a round trip of 100 ms.
func TestBulk(t *testing.T) {
	const rate = 10_000_000 / 8
	w := newWorld(t, 3)
	up, down := w.both(netsim.Link{Delay: 50 * time.Millisecond, Loss: 0.05, Rate: rate, Queue: rate / 2})
	c, s := w.connect(Config{Channels: testTable, Ceiling: -1}, up, down)
	got, from2, at2 := 0, 0, time.Duration(0)
	var moves, later []time.Duration
	s.message = func(ch ID, b []byte) {
		if ch == positions {
			sent := time.Duration(binary.BigEndian.Uint64(b))
			moves = append(moves, w.now-sent)
			if sent >= 2*time.Second {
				later = append(later, w.now-sent)
			}
			return
		}
		got += len(b)
		if w.now > 2*time.Second && at2 == 0 {
			at2, from2 = w.now, got
		}
	}
	const total = 10_000_000
	w.every(time.Second/60, 60*12, func(int) {
		b := make([]byte, 60)
		binary.BigEndian.PutUint64(b, uint64(w.now))
		w.send(c, positions, b, Options{})
	})
	w.pump(c, bulk, total)
	w.run(60*time.Second, func() bool { return got == total })
	share := float64(got-from2) / (w.now - at2).Seconds() / rate
	p99 := percentile(later, 0.99)
	st := c.mux.Stats()
	t.Logf("10 MB in %v; %.0f %% of the link from second 2 on, goal 70 %%; positions from then on p50 %v p99 %v, goal 80 ms, from the start p99 %v; %d retransmits, %d spurious",
		w.now.Round(time.Millisecond), 100*share, percentile(later, 0.5).Round(time.Millisecond), p99.Round(time.Millisecond),
		percentile(moves, 0.99).Round(time.Millisecond), st.Retransmits, st.Spurious)
	if got != total || share < 0.7 {
		t.Errorf("%d bytes have arrived, want %d; %.2f of the link is used, want 0.70", got, total, share)
	}
	if p99 > 80*time.Millisecond {
		t.Errorf("positions p99 is %v, want at most one way and 30 ms", p99)
	}
}

// TestColdMegabyte moves 1 MB from the first packet on.
func TestColdMegabyte(t *testing.T) {
	const rate, total = 10_000_000 / 8, 1_000_000
	w := newWorld(t, 4)
	up, down := w.both(netsim.Link{Delay: 50 * time.Millisecond, Loss: 0.05, Rate: rate, Queue: rate / 2})
	c, s := w.connect(Config{Channels: testTable, Ceiling: -1}, up, down)
	got := 0
	s.message = func(_ ID, b []byte) { got += len(b) }
	w.pump(c, bulk, total)
	w.run(20*time.Second, func() bool { return got == total })
	t.Logf("1 MB cold in %v, goal 2 s", w.now.Round(time.Millisecond))
	if w.now > 2*time.Second {
		t.Errorf("it took %v, want at most 2 s", w.now)
	}
}

// TestStandingQueue fills a slow link that would hold a second of packets.
func TestStandingQueue(t *testing.T) {
	for _, rate := range []int{1_000_000 / 8, 256_000 / 8} {
		for _, peers := range []int{1, 2} {
			t.Run(fmt.Sprintf("%d-kbit-%d", rate*8/1000, peers), func(t *testing.T) {
				w := newWorld(t, 5)
				up, down := w.both(netsim.Link{Delay: 25 * time.Millisecond, Rate: rate, Queue: rate})
				down.change(func(l *netsim.Link) { l.Rate = 0 })
				got := make([]int, peers)
				const begin, finish = 10 * time.Second, 60 * time.Second
				for i := range peers {
					w.after(time.Duration(i)*3*time.Second, func() {
						c, s := w.connect(Config{Channels: testTable}, up, down)
						s.message = func(_ ID, b []byte) {
							if w.now > begin {
								got[i] += len(b)
							}
						}
						w.pump(c, bulk, 100<<20)
					})
				}
				w.run(begin, nil)
				up.waited = nil
				w.run(finish-begin, nil)
				sum := 0
				for _, n := range got {
					sum += n
				}
				share := float64(got[0]) / float64(sum)
				t.Logf("queue p50 %v p95 %v max %v; %.0f %% used; the first peer has %.0f %%",
					percentile(up.waited, 0.5).Round(time.Millisecond), percentile(up.waited, 0.95).Round(time.Millisecond),
					percentile(up.waited, 1).Round(time.Millisecond), 100*float64(sum)/(finish-begin).Seconds()/float64(rate), 100*share)
				if p := percentile(up.waited, 0.5); p > 100*time.Millisecond {
					t.Errorf("the standing queue is %v, want at most 100 ms", p)
				}
				if peers == 2 && (share < 0.3 || share > 0.7) {
					t.Errorf("the shares are %v, want 0.3 to 0.7", got)
				}
			})
		}
	}
}

// TestIdle measures the cost of an idle link, with the overhead of UDP, DTLS and SCTP.
func TestIdle(t *testing.T) {
	const overhead = 28 + 37 + 28 // UDP over IPv4, a DTLS 1.2 record, SCTP and DATA
	w := newWorld(t, 6)
	up, down := w.both(netsim.Link{Delay: 25 * time.Millisecond, Loss: 0.01})
	c, s := w.connect(Config{Channels: testTable}, up, down)
	w.run(10*time.Minute, nil)
	for _, e := range []*end{c, s} {
		st := e.mux.Stats()
		own := float64(st.BytesOut) * 8 / 600 / 1000
		all := float64(st.BytesOut+st.PacketsOut*overhead) * 8 / 600 / 1000
		t.Logf("%s: %.3f kbit/s, %.2f with the layers below, goal 0.3; %d packets", e.name, own, all, st.PacketsOut)
		if all > 0.3 {
			t.Errorf("%s: %.2f kbit/s while idle, want at most 0.3", e.name, all)
		}
	}
}
