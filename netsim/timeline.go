package netsim

import "time"

// maxInFlight limits the datagrams in flight in one Network or Relay. One more is dropped
// and counted as Overflowed.
const maxInFlight = 1 << 16

// A Timeline holds values until they are due. It returns them in the order of their times;
// values with the same time in the order of Push, so that the same seed gives the same run.
// A simulation in virtual time needs it besides a [Wire]: it continues at the time that
// [Timeline.Next] returns.
//
// The zero value is empty. A Timeline is a binary heap. It is not safe for concurrent use.
// It has no limit: the caller must limit the values that it pushes.
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

// Len returns the number of values.
func (t *Timeline[T]) Len() int { return len(t.entries) }

func (t *Timeline[T]) full() bool { return len(t.entries) >= maxInFlight }

// Next returns when the first value is due; ok is false if there is none.
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

// Pop removes and returns the first value if it is due at now; otherwise ok is false.
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
