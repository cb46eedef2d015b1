package game

import "math"

// HistoryStats are counters of a [History].
type HistoryStats struct {
	Old    uint64 // times before the oldest state
	Future uint64 // times after the newest state
	Wild   uint64 // times that are no number
}

// A History has the last states of the game at the server, for lag compensation: a client that
// shoots sends the time that it saw ([Snapshots.Shown]), and the server looks where the others were
// at that time. A client can claim any time; the number of states limits how far back it gets.
type History[S any] struct {
	states []state[S] // a ring; the newest is at last
	last   int
	n      int
	stats  HistoryStats
}

// A state is a state of the game at a tick.
type state[S any] struct {
	tick  float64
	value S
}

// NewHistory returns a History of the given number of states. It is how far back a client may
// shoot: one that sees the others 100 ms late over a round trip of 200 ms needs the states of
// 300 ms. The number is at most 1024; zero and less mean 16.
func NewHistory[S any](states int) *History[S] {
	return &History[S]{states: make([]state[S], min(orDefault(states, 16), 1024))}
}

// Add adds the state after a tick, in place of the oldest one. A tick that is not after the last one
// is ignored. The History keeps the state as it is: a state with pointers, slices or maps must not
// change any more.
func (h *History[S]) Add(tick uint32, s S) {
	if h.n > 0 && float64(tick) <= h.states[h.last].tick {
		return
	}
	h.last = (h.last + 1) % len(h.states)
	h.states[h.last] = state[S]{float64(tick), s}
	h.n = min(h.n+1, len(h.states))
}

// At returns the states before and after a time in ticks, and what share of the way from the first
// to the second one the time is, from 0 to 1. A time outside of the states counts as the nearest
// one, and one that is no number as the newest; the counters tell. ok is false without any state.
func (h *History[S]) At(time float64) (from, to S, share float64, ok bool) {
	if h.n == 0 {
		return from, to, 0, false
	}
	b := &h.states[h.last]
	switch {
	case math.IsNaN(time):
		h.stats.Wild++
		return b.value, b.value, 0, true
	case time > b.tick:
		h.stats.Future++
		return b.value, b.value, 0, true
	}
	for i := 1; i < h.n; i++ {
		a := &h.states[(h.last-i+len(h.states))%len(h.states)]
		if time >= a.tick {
			return a.value, b.value, (time - a.tick) / (b.tick - a.tick), true
		}
		b = a
	}
	if time < b.tick {
		h.stats.Old++
	}
	return b.value, b.value, 0, true
}

// Stats returns the counters.
func (h *History[S]) Stats() HistoryStats { return h.stats }
