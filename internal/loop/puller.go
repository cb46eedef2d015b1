package loop

import (
	"iter"
	"sync/atomic"
	"time"
)

// A Puller gives events to the body of a range over a Poll: the events that the program has
// no handler for. Only one goroutine at a time may be in Poll, or in another call that takes
// turns: Start says which. The zero value is ready.
type Puller[E any] struct {
	// Keep returns an event whose memory stays valid: the body has broken off, and the
	// next Poll yields the event. Nil means that every event stays valid.
	Keep func(E) E

	// After may be nil. It is called for each event when the body has returned or panicked.
	After func(E)

	// Turn takes a turn for Poll, which waits at most as long as it says. Ended returns the event
	// that says why Poll cannot work. Only Poll needs them.
	Turn  func(time.Duration) error
	Ended func(error) E

	running atomic.Bool
	yield   func(E) bool // nil while the body runs and after it broke off
	saved   []E          // events for the next Pull
}

// Running reports whether a Pull is under way, or a time that Start has begun.
func (p *Puller[E]) Running() bool { return p.running.Load() }

// Start begins a time in which Yield saves events for the next Pull; End ends it. Start
// returns false, and does nothing, if Running.
func (p *Puller[E]) Start() bool { return p.running.CompareAndSwap(false, true) }

// End ends what Start has begun.
func (p *Puller[E]) End() { p.running.Store(false) }

// Saved returns the number of events that the next Pull yields first.
func (p *Puller[E]) Saved() int { return len(p.saved) }

// Poll returns the events of a Poll that takes turns for at most d: what was saved, and then
// what Turn yields. An error of Turn, or busy if Running, is an event of Ended.
func (p *Puller[E]) Poll(d time.Duration, busy error) iter.Seq[E] {
	return func(yield func(E) bool) {
		pulled := p.Pull(yield, func(saved bool) {
			wait := d // of this range: a program may range over the sequence again
			if saved {
				wait = 0
			}
			if err := p.Turn(wait); err != nil {
				p.Yield(p.Ended(err))
			}
		})
		if !pulled {
			yield(p.Ended(busy))
		}
	}
}

// Pull yields what was saved, and then what turn yields. saved says that there was
// something, so that turn should not wait. Pull returns false, and does nothing, if Running.
func (p *Puller[E]) Pull(yield func(E) bool, turn func(saved bool)) bool {
	if !p.Start() {
		return false
	}
	saved, yielded := p.saved, 0
	p.saved, p.yield = nil, yield
	defer func() {
		p.saved = append(saved[yielded:len(saved):len(saved)], p.saved...) // saved has a rest only if the body panicked
		p.yield = nil
		p.End()
	}()
	for _, e := range saved {
		yielded++
		p.Yield(e)
	}
	turn(len(saved) > 0)
	return true
}

// Yield yields an event. It saves the event for the next Pull if the body has broken off, or
// runs and has made a call that yields another event.
// Package handling knows this method by its name.
func (p *Puller[E]) Yield(e E) {
	if p.yield == nil {
		if p.Keep != nil {
			e = p.Keep(e)
		}
		p.saved = append(p.saved, e)
		return
	}
	yield := p.yield
	p.yield = nil
	if p.After != nil {
		defer p.After(e)
	}
	if yield(e) {
		p.yield = yield
	}
}
