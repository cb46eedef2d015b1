package netsim

import "time"

// maxInFlight bounds the datagrams under way in one Network or Relay. The
// newest is dropped, and counted as Overflowed.
const maxInFlight = 1 << 16

// A Timeline holds values until their time has come, in the order of their
// times, and of their coming among equals, so that equal seeds give equal runs.
// It is what a simulation in virtual time needs besides a [Wire]: the time of
// [Timeline.Next] is the next now.
//
// The zero value is empty. It is a binary heap, and not safe for concurrent
// use. It grows as far as it must: bound what you push.
type Timeline[T any] struct {
	entries []entry[T]
	pushed  uint64
}

type entry[T any] struct {
	at    time.Time
	order uint64
	value T
}

func (e *entry[T]) before(o *entry[T]) bool {
	if e.at.Equal(o.at) {
		return e.order < o.order
	}
	return e.at.Before(o.at)
}

// Len is the number of values.
func (t *Timeline[T]) Len() int { return len(t.entries) }

func (t *Timeline[T]) full() bool { return len(t.entries) >= maxInFlight }

// Next is when the first value is due; ok is false if there is none.
func (t *Timeline[T]) Next() (at time.Time, ok bool) {
	if len(t.entries) == 0 {
		return time.Time{}, false
	}
	return t.entries[0].at, true
}

// Push adds a value that is due at the given time.
func (t *Timeline[T]) Push(at time.Time, v T) {
	t.pushed++
	t.entries = append(t.entries, entry[T]{at, t.pushed, v})
	for i := len(t.entries) - 1; i > 0; {
		parent := (i - 1) / 2
		if !t.entries[i].before(&t.entries[parent]) {
			return
		}
		t.entries[i], t.entries[parent] = t.entries[parent], t.entries[i]
		i = parent
	}
}

// Pop removes the first value and returns it, if it is due at now.
func (t *Timeline[T]) Pop(now time.Time) (v T, ok bool) {
	if len(t.entries) == 0 || t.entries[0].at.After(now) {
		return v, false
	}
	v = t.entries[0].value
	n := len(t.entries) - 1
	t.entries[0] = t.entries[n]
	t.entries[n] = entry[T]{}
	t.entries = t.entries[:n]
	for i := 0; ; {
		least := 2*i + 1
		if least >= n {
			return v, true
		}
		if right := least + 1; right < n && t.entries[right].before(&t.entries[least]) {
			least = right
		}
		if !t.entries[least].before(&t.entries[i]) {
			return v, true
		}
		t.entries[least], t.entries[i] = t.entries[i], t.entries[least]
		i = least
	}
}
