package channel

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A receivedModel is a plain model of received, with one entry for each number.
type receivedModel struct {
	came        map[uint64]bool
	next, floor uint64
}

func (m *receivedModel) low() uint64 {
	low := m.floor
	if m.next > receivedWindow {
		low = max(low, m.next-receivedWindow)
	}
	return low
}

func (m *receivedModel) fresh(n uint64) bool {
	return !m.came[n] && (n >= m.next || m.next-n <= receivedWindow)
}

// ranges returns the runs of numbers that came, newest first, from low on.
func (m *receivedModel) ranges(most int) (runs [][2]uint64) {
	n := m.next - 1
	for len(runs) < most {
		high := n
		for n > m.low() && m.came[n-1] {
			n--
		}
		runs = append(runs, [2]uint64{n, high})
		for n > m.low() && !m.came[n-1] {
			n--
		}
		if n <= m.low() {
			return runs
		}
		n--
	}
	return runs
}

// An ack block has the numbers that have arrived, newest ranges first: at most 32 ranges, and
// none that the peer is known to have, or that is older than the window.
func TestAckBlocksAgainstModel(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var r received
		r.init()
		m := receivedModel{came: map[uint64]bool{}}
		if seed%2 == 1 {
			start := rng.Uint64() >> 12
			r.next, r.floor, m.next, m.floor = start, start, start, start
		}
		for step := range 600 {
			n := m.next
			switch rng.IntN(8) {
			case 0:
				n += uint64(rng.IntN(5))
			case 1:
				n += uint64(rng.IntN(400))
			case 2:
				if n > m.floor {
					n -= 1 + rng.Uint64N(min(n-m.floor, 100))
				}
			case 3:
				if n > m.floor {
					n -= 1 + rng.Uint64N(min(n-m.floor, receivedWindow+20))
				}
			case 4:
				if rng.IntN(20) == 0 {
					n += receivedWindow - 2 + rng.Uint64N(4)
				}
			}
			if got := r.fresh(n); got != m.fresh(n) {
				t.Fatalf("seed %d, step %d: packet %d is fresh: %v, want %v; next is %d", seed, step, n, got, m.fresh(n), m.next)
			}
			if m.fresh(n) {
				r.mark(moment(step), n, true)
				m.came[n] = true
				m.next = max(m.next, n+1)
			}
			if rng.IntN(100) == 0 && m.next > m.floor {
				r.said()
				m.floor += rng.Uint64N(m.next - m.floor)
				r.confirmed(m.floor - 1)
			}
			if rng.IntN(3) > 0 || m.next == 0 {
				continue
			}
			var a ackBlock
			a.ranges = rng.IntN(5)
			r.block(moment(step), &a)
			want := m.ranges(maxRanges)
			high := m.next - 1
			if a.largest != uint16(high) || a.ranges != len(want)-1 {
				t.Fatalf("seed %d, step %d: largest %d and %d ranges more, want %d and %d", seed, step, a.largest, a.ranges, uint16(high), len(want)-1)
			}
			low := high - a.first
			for i, run := range want {
				if i > 0 {
					high = low - a.rest[i-1].gap - 2
					low = high - a.rest[i-1].length
				}
				if low != run[0] || high != run[1] {
					t.Fatalf("seed %d, step %d: range %d is %d to %d, want %d to %d; from %d on", seed, step, i, low, high, run[0], run[1], m.low())
				}
			}
		}
	}
}

// A range at the end of the unacknowledged numbers is in the block, wherever the words of the
// window begin.
func TestLastRangeOfAnAckBlock(t *testing.T) {
	for start := range uint64(130) {
		for gap := uint64(2); gap < 200; gap++ {
			var r received
			r.init()
			r.next, r.floor, r.spanStart = start, start, start
			r.mark(0, start, true)
			r.mark(0, start+gap, true)
			var a ackBlock
			r.block(0, &a)
			if a.largest != uint16(start+gap) || a.first != 0 || a.ranges != 1 || a.rest[0] != (ackRange{gap - 2, 0}) {
				t.Fatalf("%d and %d have arrived: largest %d, first %d, %d more ranges, the first of them %v", start, start+gap, a.largest, a.first, a.ranges, a.rest[0])
			}
		}
	}
}

// When all numbers of the window have arrived, the block is one range.
func TestAckBlockOfAWholeWindow(t *testing.T) {
	for _, n := range []uint64{1, 64, receivedWindow - 1, receivedWindow, receivedWindow + 1, 3 * receivedWindow} {
		var r received
		r.init()
		for i := range n {
			r.mark(0, i, true)
		}
		var a ackBlock
		if r.block(0, &a); a.ranges != 0 || a.first != min(n, receivedWindow)-1 {
			t.Errorf("%d packets have arrived: %d before the largest, want %d; %d more ranges, want 0", n, a.first, min(n, receivedWindow)-1, a.ranges)
		}
	}
}

// An ack block has the time since the largest number arrived, in units of 256 µs, up to its
// limit.
func TestDelayOfAnAckBlock(t *testing.T) {
	for d, want := range map[time.Duration]uint64{
		0: 0, 255_999: 0, 256_000: 1, 20 * time.Millisecond: 78, 4 * time.Second: 15625, 256_000 << 14: 1 << 14, time.Hour: 1 << 14,
	} {
		var r received
		r.init()
		r.mark(5, 0, true)
		r.mark(5+time.Second, 2, true)
		r.mark(5+time.Second+d, 1, true) // not the largest
		var a ackBlock
		r.block(5+time.Second+d, &a)
		if a.delay != want {
			t.Errorf("%v: %d units, want %d", d, a.delay, want)
		}
	}
}

// An acknowledgement waits 20 ms from the first packet that needs one. It does not wait when a
// number is missing, or when a missing number arrives.
func TestWhenAnAckIsDue(t *testing.T) {
	type packet struct {
		at        moment
		number    uint64
		eliciting bool
	}
	for _, c := range []struct {
		name    string
		packets []packet
		due     moment
		count   int
	}{
		{"nothing that wants one", []packet{{1, 0, false}, {2, 2, false}}, never, 0},
		{"one", []packet{{1, 0, true}}, 1 + maxAckDelay, 1},
		{"the first counts", []packet{{1, 0, false}, {2, 1, true}, {3, 2, true}}, 2 + maxAckDelay, 2},
		{"one is missing", []packet{{1, 0, true}, {2, 2, true}}, 2, 2},
		{"what was missing comes", []packet{{1, 0, true}, {2, 2, false}, {3, 1, true}}, 3, 2},
		{"the first of all is missing", []packet{{7, 1, true}}, 7, 1},
	} {
		var r received
		r.init()
		for _, p := range c.packets {
			r.mark(p.at, p.number, p.eliciting)
		}
		if r.due != c.due || r.eliciting != c.count {
			t.Errorf("%s: due at %d, for %d packets; want %d, %d", c.name, r.due, r.eliciting, c.due, c.count)
		}
		if r.said(); r.due != never || r.eliciting != 0 {
			t.Errorf("%s: after an ack is sent the next is due at %d, want never; %d eliciting packets, want 0", c.name, r.due, r.eliciting)
		}
	}
}

// The incoming loss is the share of 64 numbers that did not arrive, smoothed by a quarter. A
// packet that is too late for its 64 numbers does not count.
func TestLossOfWhatComesIn(t *testing.T) {
	var r received
	r.init()
	for n := range uint64(64) {
		if n%4 != 1 {
			r.mark(0, n, true)
		}
	}
	if r.loss != 0.25/4 {
		t.Errorf("a quarter is missing: loss %v, want %v", r.loss, 0.25/4)
	}
	r.mark(0, 1, true) // too late to count
	for n := range uint64(63) {
		r.mark(0, 64+n, true)
	}
	if r.loss != 0.25/4 {
		t.Errorf("a span has 64 numbers: loss %v, want %v", r.loss, 0.25/4)
	}
	r.mark(0, 127, true)
	if want := 0.25 / 4 * 3 / 4; r.loss != want {
		t.Errorf("none is missing: %v, want %v", r.loss, want)
	}
}
