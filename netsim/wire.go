package netsim

import (
	"math/rand/v2"
	"time"
)

// A Wire is the model of one direction of one path, as a value. It has no goroutine, no
// lock and no clock, so a simulation can run it in its own time; a [Timeline] holds the
// datagrams in flight. [Network] and [Relay] use Wires.
//
// The same seed and the same calls give the same fates. A Wire draws the same number of
// random numbers for every datagram, whatever the Link is. So if one field of the Link
// changes, the random numbers for the other fields stay the same.
//
// A Wire is not safe for concurrent use.
type Wire struct {
	link  Link
	rng   *rand.Rand
	stats LinkStats

	queue  queue
	last   time.Time // the latest arrival so far, without those that Reorder delayed
	losing bool      // the chain of losses is in its bad state
	dark   time.Time // datagrams sent before this time are lost
	first  time.Time // when the first datagram was sent; valid if begun
	begun  bool
	replay int // index of the last fate taken from link.Replay

	record *Recorder
	path   string // its name in the record, in quotes
}

// NewWire returns a Wire with the link l.
func NewWire(l Link, seed uint64) *Wire { return newWire(l, seed, 0) }

func newWire(l Link, seed1, seed2 uint64) *Wire {
	return &Wire{link: l, rng: rand.New(rand.NewPCG(seed1, seed2)), replay: -1}
}

// A Delivery is one arrival of a datagram.
type Delivery struct {
	At   time.Time
	Flip int // index of the inverted bit, from 0; -1 if none is
}

// Damage returns payload, or a copy of it in which the bit Flip is inverted.
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

// Backlog returns the number of bytes that wait for the rate of the link, or of its
// Bottleneck.
func (w *Wire) Backlog(now time.Time) int {
	if w.link.Through != nil {
		return w.link.Through.Backlog(now)
	}
	return w.queue.backlog(now, w.link.Rate)
}

// Blackout drops every datagram that is sent before until. A time in the past ends a
// blackout.
func (w *Wire) Blackout(until time.Time) { w.dark = until }

// Record records the fates of datagrams sent from now on in r, with the name path. Nil
// ends the recording.
func (w *Wire) Record(r *Recorder, path string) {
	w.record, w.path = r, ""
	if r != nil {
		w.path = quote(path)
	}
}

// Send sends a datagram of size bytes and appends its arrivals to ds: none if it is lost,
// two if it is duplicated. The time now must not decrease from call to call. Arrivals are
// not before now. They are not in order if Reorder delays some.
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

// refuse counts a datagram that was dropped before the link.
func (w *Wire) refuse(now time.Time, size int, why Drop) {
	w.draw()
	w.stats.count(size, why)
	if w.record != nil {
		w.record.write(w.path, now, size, why, nil)
	}
}

// chance has the random numbers of one datagram, each in [0, 1).
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

// carry appends the arrivals of a datagram to ds, or returns why it is dropped.
func (w *Wire) carry(now time.Time, size int, c *chance, ds []Delivery) ([]Delivery, Drop) {
	if !w.begun {
		w.first, w.begun = now, true
	}
	if w.link.MTU > 0 && size > w.link.MTU {
		return ds, dropMTU
	}
	if w.link.Replay != nil {
		return w.repeat(now, size, ds)
	}
	leaves, ok := w.transmit(now, size)
	if !ok {
		return ds, dropQueue
	}
	// The chain continues during an outage, so that later losses do not depend on it.
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

// loses decides whether a datagram is lost. With Burst it is a chain of two states: a run
// of losses ends after each datagram with a chance of 1/Burst, and begins so often that the
// mean share of lost datagrams is Loss.
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

// arrive returns the arrival of one copy that has left the queue.
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
