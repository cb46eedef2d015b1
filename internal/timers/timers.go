// Package timers keeps the times at which many things want to be looked at, for
// an owner that has one timer for all of them.
//
// A [Heap] moves the time of a thing when it comes sooner, and not when it goes
// later, which with connections happens at nearly every packet: then the thing is
// due early once, finds nothing to do, and is set again. A Heap is not safe for
// concurrent use. It is no clock: it is told the time.
package timers

import "time"

// A Heap holds things of type T by the time at which they are due. The zero value
// is empty.
type Heap[T any] struct {
	heap []entry[T]
}

type entry[T any] struct {
	at   time.Time
	slot *Slot
	item T
}

// A Slot is the place of one thing in one Heap. It is a field of the thing, and
// its zero value is in no heap.
type Slot struct {
	n int // index in the heap, plus one
}

// Next returns when the first thing is due; zero means never.
func (h *Heap[T]) Next() time.Time {
	if len(h.heap) == 0 {
		return time.Time{}
	}
	return h.heap[0].at
}

// Due takes the first thing that is due from the heap. ok is false if none is.
func (h *Heap[T]) Due(now time.Time) (item T, ok bool) {
	if len(h.heap) > 0 && !now.Before(h.heap[0].at) {
		item, ok = h.heap[0].item, true
		h.Remove(h.heap[0].slot)
	}
	return item, ok
}

// Set makes sure that item, whose place is slot, is due by at. Zero means that it
// need not be.
func (h *Heap[T]) Set(item T, slot *Slot, at time.Time) {
	switch {
	case at.IsZero():
	case slot.n == 0:
		h.heap = append(h.heap, entry[T]{at, slot, item})
		slot.n = len(h.heap)
		h.up(len(h.heap) - 1)
	case at.Before(h.heap[slot.n-1].at):
		h.heap[slot.n-1].at = at
		h.up(slot.n - 1)
	}
}

// Remove takes the thing at slot from the heap, if it is there.
func (h *Heap[T]) Remove(slot *Slot) {
	i := slot.n - 1
	if i < 0 {
		return
	}
	last := len(h.heap) - 1
	h.swap(i, last)
	h.heap[last] = entry[T]{}
	h.heap = h.heap[:last]
	slot.n = 0
	if i < last {
		h.down(i)
		h.up(i)
	}
}

func (h *Heap[T]) up(i int) {
	for {
		parent := (i - 1) / 2 // the first is its own
		if !h.heap[i].at.Before(h.heap[parent].at) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *Heap[T]) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.heap) {
			return
		}
		if child+1 < len(h.heap) && h.heap[child+1].at.Before(h.heap[child].at) {
			child++
		}
		if !h.heap[child].at.Before(h.heap[i].at) {
			return
		}
		h.swap(i, child)
		i = child
	}
}

func (h *Heap[T]) swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].slot.n, h.heap[j].slot.n = i+1, j+1
}
