package netsim

import (
	"math/rand/v2"
	"time"
)

// A Wire is the model itself: one direction of one path as a value. It has no
// goroutine, no lock and no clock, so a simulation can run it in a time of its
// own; [Timeline] keeps what is under way. [Network] and [Relay] are made of
// wires.
//
// Equal seeds and equal calls give equal fates. Every datagram draws the same
// number of times whatever the Link says, so the n-th one has the same luck
// before and after a change of another field.
//
// A Wire is not safe for concurrent use.
type Wire struct {
	link  Link
	rng   *rand.Rand
	stats LinkStats

	queue  queue
	last   time.Time // the latest arrival so far of a datagram not held back
	losing bool      // the chain of losses is in its bad state
	dark   time.Time // datagrams sent before it are lost
	first  time.Time // the first datagram; counts if begun
	begun  bool
	replay int // index of the last fate taken from link.Replay

	record *Recorder
	path   string // its name in the record, in quotes
}

// NewWire returns a wire that behaves like l.
func NewWire(l Link, seed uint64) *Wire { return newWire(l, seed, 0) }

func newWire(l Link, seed1, seed2 uint64) *Wire {
	return &Wire{link: l, rng: rand.New(rand.NewPCG(seed1, seed2)), replay: -1}
}

// Delivery is one arrival of a datagram.
type Delivery struct {
	At   time.Time
	Flip int // the bit that is inverted on the way, from 0, or -1
}

// Damage returns payload, or a copy of it in which the bit is inverted.
func (d Delivery) Damage(payload []byte) []byte {
	if d.Flip < 0 || d.Flip >= 8*len(payload) {
		return payload
	}
	b := append([]byte(nil), payload...)
	b[d.Flip/8] ^= 1 << (d.Flip % 8)
	return b
}

// Link returns the link as it is now.
func (w *Wire) Link() Link { return w.link }

// SetLink changes the link for datagrams sent from now on.
func (w *Wire) SetLink(l Link) {
	if l.Replay != w.link.Replay {
		w.replay = -1
	}
	w.link = l
}

// Stats returns the counters as they are now.
func (w *Wire) Stats() LinkStats { return w.stats }

// Backlog returns how many bytes wait for the link's rate, or in its
// Bottleneck for that one's.
func (w *Wire) Backlog(now time.Time) int {
	if w.link.Through != nil {
		return w.link.Through.Backlog(now)
	}
	return w.queue.backlog(now, w.link.Rate)
}

// Blackout loses every datagram sent before until. A time in the past ends a
// blackout.
func (w *Wire) Blackout(until time.Time) { w.dark = until }

// Record writes the fates of datagrams sent from now on to r, under the given
// name. nil ends that.
func (w *Wire) Record(r *Recorder, path string) {
	w.record, w.path = r, ""
	if r != nil {
		w.path = quote(path)
	}
}

// Send sends a datagram of size bytes and appends its arrivals to ds: none if
// it is lost, two if it is doubled. The times sent must not decrease; arrivals
// are not before now, and not in order if some are held back.
func (w *Wire) Send(now time.Time, size int, ds []Delivery) []Delivery {
	sent := len(ds)
	c := w.draw()
	ds, drop := w.carry(now, size, &c, ds)
	w.stats.count(size, drop)
	if w.record != nil {
		w.record.write(w.path, now, size, drop, ds[sent:])
	}
	return ds
}

// refuse counts a datagram that does not get as far as the link.
func (w *Wire) refuse(now time.Time, size int, why Drop) {
	w.draw()
	w.stats.count(size, why)
	if w.record != nil {
		w.record.write(w.path, now, size, why, nil)
	}
}

// chance is the luck of one datagram: [0, 1) each.
type chance struct {
	loss, duplicate float64
	copies          [2]copyChance
}

type copyChance struct{ corrupt, bit, jitter, reorder float64 }

func (w *Wire) draw() (c chance) {
	c.loss, c.duplicate = w.rng.Float64(), w.rng.Float64()
	for i := range c.copies {
		p := &c.copies[i]
		p.corrupt, p.bit, p.jitter, p.reorder = w.rng.Float64(), w.rng.Float64(), w.rng.Float64(), w.rng.Float64()
	}
	return c
}

// carry takes a datagram from one end to the other, or as far as it gets.
func (w *Wire) carry(now time.Time, size int, c *chance, ds []Delivery) ([]Delivery, Drop) {
	if !w.begun {
		w.first, w.begun = now, true
	}
	if w.link.MTU > 0 && size > w.link.MTU {
		return ds, DropMTU
	}
	if w.link.Replay != nil {
		return w.repeat(now, size, ds)
	}
	leaves, ok := w.transmit(now, size)
	if !ok {
		return ds, DropQueue
	}
	// The chain goes on during an outage too: luck does not depend on it.
	if w.loses(c.loss) || now.Before(w.dark) || w.link.out(now.Sub(w.first)) {
		return ds, DropLost
	}
	ds = append(ds, w.arrive(leaves, size, c.copies[0]))
	if c.duplicate < w.link.Duplicate {
		w.stats.Duplicated++
		ds = append(ds, w.arrive(leaves, size, c.copies[1]))
	}
	return ds, DropNone
}

// transmit returns when the last of size bytes has left the queue.
func (w *Wire) transmit(now time.Time, size int) (leaves time.Time, ok bool) {
	if w.link.Through != nil {
		return w.link.Through.transmit(now, size)
	}
	return w.queue.transmit(now, size, w.link.Rate, w.link.Queue)
}

// loses decides on a loss. With Burst it is a chain of two states: a run of
// losses ends after each datagram with chance 1/Burst, and begins as often as
// gives the share of Loss in the long run.
func (w *Wire) loses(draw float64) bool {
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

// arrive takes one copy from the queue to the other end.
func (w *Wire) arrive(leaves time.Time, size int, c copyChance) Delivery {
	d := Delivery{At: leaves.Add(w.link.Delay), Flip: -1}
	d.At = d.At.Add(time.Duration(c.jitter * float64(w.link.Jitter)))
	if d.At.Before(w.last) {
		d.At = w.last
	}
	if c.corrupt < w.link.Corrupt && size > 0 {
		w.stats.Corrupted++
		d.Flip = int(c.bit * float64(size*8))
	}
	if c.reorder >= w.link.Reorder {
		w.last = d.At
		return d
	}
	w.stats.Reordered++
	hold := w.link.ReorderDelay
	if hold <= 0 {
		hold = defaultReorderDelay
	}
	d.At = d.At.Add(hold)
	return d
}
