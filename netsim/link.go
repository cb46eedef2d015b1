package netsim

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// Link is one direction of a path. The zero value delivers everything at once.
//
// A datagram meets the fields in this order: the MTU, the queue in front of a
// limited rate, loss, damage, and the way with its delay and jitter. Shares are
// from 0 to 1, and sizes are those of payloads.
type Link struct {
	// Loss is the share of datagrams that vanish. 1 is a blackout.
	Loss float64

	// Burst is how many datagrams in a row a loss takes on average, the
	// share of Loss staying what it is. Up to 1/(1-Loss), which chance alone
	// gives, losses are independent.
	Burst float64

	// Duplicate is the share of datagrams that arrive twice. The copy has
	// its own jitter, and may itself be held back or damaged.
	Duplicate float64

	// Reorder is the share of datagrams held back by ReorderDelay, so that
	// later ones overtake them. Nothing else changes the order.
	Reorder float64

	// ReorderDelay zero means 10 ms.
	ReorderDelay time.Duration

	// Corrupt is the share of datagrams in which one bit is inverted.
	Corrupt float64

	// Delay is the time a datagram is on its way.
	Delay time.Duration

	// Jitter is the most that chance adds to Delay, all values being equally
	// likely. It does not change the order: a datagram does not arrive before
	// the one sent before it.
	Jitter time.Duration

	// Rate is the bytes per second that the link carries. Zero is no limit.
	Rate int

	// Queue is how many bytes may wait for Rate, the one being sent
	// included; a datagram that no longer fits is dropped. Zero means 64 KiB.
	Queue int

	// MTU is the largest datagram that passes. Larger ones vanish. Zero is
	// no limit.
	MTU int
}

const (
	defaultReorderDelay = 10 * time.Millisecond
	defaultQueue        = 64 << 10
)

// LinkStats counts the datagrams of one direction. Sent is the sum of Passed,
// Lost, QueueDropped, TooLarge, Tapped and Overflowed; the last four count what
// happened to those that passed.
type LinkStats struct {
	Sent, SentBytes     uint64 // offered to the link
	Passed, PassedBytes uint64 // given to the way, copies not counted

	Lost         uint64 // by Loss, Burst and blackouts
	QueueDropped uint64 // by a full Queue
	TooLarge     uint64 // by the MTU
	Tapped       uint64 // by a Tap
	Overflowed   uint64 // because 65,536 datagrams were under way already

	Duplicated  uint64 // copies made
	Reordered   uint64 // datagrams and copies held back
	Corrupted   uint64 // datagrams and copies damaged
	Unreachable uint64 // datagrams and copies that found nobody at their address
}

func (s *LinkStats) add(o LinkStats) {
	s.Sent += o.Sent
	s.SentBytes += o.SentBytes
	s.Passed += o.Passed
	s.PassedBytes += o.PassedBytes
	s.Lost += o.Lost
	s.QueueDropped += o.QueueDropped
	s.TooLarge += o.TooLarge
	s.Tapped += o.Tapped
	s.Overflowed += o.Overflowed
	s.Duplicated += o.Duplicated
	s.Reordered += o.Reordered
	s.Corrupted += o.Corrupted
	s.Unreachable += o.Unreachable
}

// Packet is a datagram as a [Tap] sees it, before the link does.
type Packet struct {
	From, To netip.AddrPort
	Payload  []byte // valid during the call
}

// Tap looks at each datagram that is sent, and may change it. It returns false
// to drop it. Calls are made one at a time.
type Tap func(p *Packet) bool

// delivery is one arrival of a datagram.
type delivery struct {
	at   time.Time
	flip int // the bit to invert, or -1
}

// wire is the model: one direction of one path. It reads no clock and has its
// own source of chance.
//
// Every datagram draws the same number of times whatever the Link says, so the
// n-th one has the same luck before and after a change of another field.
type wire struct {
	link  Link
	rng   *rand.Rand
	stats LinkStats

	free   time.Time // when the last byte in the queue will have been sent
	last   time.Time // the latest arrival so far of a datagram not held back
	losing bool      // the last datagram was lost
}

func newWire(l Link, seed1, seed2 uint64) *wire {
	return &wire{link: l, rng: rand.New(rand.NewPCG(seed1, seed2))}
}

// chance is the luck of one datagram: [0, 1) each.
type chance struct {
	loss, duplicate float64
	copies          [2]copyChance
}

type copyChance struct{ corrupt, bit, jitter, reorder float64 }

func (w *wire) draw() (c chance) {
	c.loss, c.duplicate = w.rng.Float64(), w.rng.Float64()
	for i := range c.copies {
		p := &c.copies[i]
		p.corrupt, p.bit, p.jitter, p.reorder = w.rng.Float64(), w.rng.Float64(), w.rng.Float64(), w.rng.Float64()
	}
	return c
}

// offer sends a datagram of size bytes at now and appends its arrivals to ds:
// none if it is lost, two if it is doubled.
func (w *wire) offer(now time.Time, size int, ds []delivery) []delivery {
	w.stats.Sent++
	w.stats.SentBytes += uint64(size)
	c := w.draw()
	if w.link.MTU > 0 && size > w.link.MTU {
		w.stats.TooLarge++
		return ds
	}
	leaves, ok := w.transmit(now, size)
	if !ok {
		w.stats.QueueDropped++
		return ds
	}
	if w.loses(c.loss) {
		w.stats.Lost++
		return ds
	}
	w.stats.Passed++
	w.stats.PassedBytes += uint64(size)
	ds = append(ds, w.carry(leaves, size, c.copies[0]))
	if c.duplicate < w.link.Duplicate {
		w.stats.Duplicated++
		ds = append(ds, w.carry(leaves, size, c.copies[1]))
	}
	return ds
}

// refuse counts a datagram that does not get as far as the link, for one of
// three reasons, and reports whether there is one.
func (w *wire) refuse(size int, tapped, blackout, overflow bool) bool {
	switch {
	case tapped:
		w.stats.Tapped++
	case blackout:
		w.stats.Lost++
	case overflow:
		w.stats.Overflowed++
	default:
		return false
	}
	w.stats.Sent++
	w.stats.SentBytes += uint64(size)
	return true
}

// transmit returns when the last of size bytes has left the queue.
func (w *wire) transmit(now time.Time, size int) (leaves time.Time, ok bool) {
	if w.link.Rate <= 0 {
		return now, true
	}
	if w.free.Before(now) {
		w.free = now
	}
	queue := w.link.Queue
	if queue <= 0 {
		queue = defaultQueue
	}
	perByte := float64(time.Second) / float64(w.link.Rate)
	waiting := float64(w.free.Sub(now)) / perByte
	// Half a byte for the rounding of times to nanoseconds.
	if waiting+float64(size) > float64(queue)+0.5 {
		return time.Time{}, false
	}
	w.free = w.free.Add(time.Duration(perByte * float64(size)))
	return w.free, true
}

// loses decides on a loss. With Burst it is a chain of two states (Gilbert's
// model): a run of losses ends after each datagram with chance 1/Burst, and
// begins as often as gives the share of Loss in the long run.
func (w *wire) loses(draw float64) bool {
	l := &w.link
	p := l.Loss
	if 0 < l.Loss && l.Loss < 1 && l.Burst*(1-l.Loss) > 1 {
		p = l.Loss / (l.Burst * (1 - l.Loss))
		if w.losing {
			p = 1 - 1/l.Burst
		}
	}
	w.losing = draw < p
	return w.losing
}

// carry takes one copy the rest of the way.
func (w *wire) carry(leaves time.Time, size int, c copyChance) delivery {
	d := delivery{at: leaves.Add(w.link.Delay), flip: -1}
	d.at = d.at.Add(time.Duration(c.jitter * float64(w.link.Jitter)))
	if d.at.Before(w.last) {
		d.at = w.last
	}
	if c.corrupt < w.link.Corrupt && size > 0 {
		w.stats.Corrupted++
		d.flip = int(c.bit * float64(size*8))
	}
	if c.reorder >= w.link.Reorder {
		w.last = d.at
		return d
	}
	w.stats.Reordered++
	hold := w.link.ReorderDelay
	if hold <= 0 {
		hold = defaultReorderDelay
	}
	d.at = d.at.Add(hold)
	return d
}

// damage returns payload, or a copy of it with the bit inverted.
func (d delivery) damage(payload []byte) []byte {
	if d.flip < 0 {
		return payload
	}
	b := append([]byte(nil), payload...)
	b[d.flip/8] ^= 1 << (d.flip % 8)
	return b
}
