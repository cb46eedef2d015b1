// Package timers keeps the deadlines of many items, for an owner that has one timer for
// all of them.
//
// A [Heap] moves an item when its deadline becomes earlier, and not when it becomes
// later, which happens with connections at nearly every packet. Then the time of the item
// is too early. Before the owner waits for the first item and the time of the item is near, the
// owner looks at the deadline of the item and calls PutOff if the deadline is later: a wait that ends
// too early costs more than to move an item. A Heap is not safe for concurrent use. It reads no clock.
package timers

import "time"

// A Heap holds items of type T by the times at which they are due. The zero value is empty.
type Heap[T any] struct {
	heap []entry[T]
}

type entry[T any] struct {
	at   time.Time
	slot *Slot
	item T
}

// A Slot is the place of one item in one Heap. It is a field of the item. The zero
// value is in no Heap.
type Slot struct {
	n int // index in the heap, plus one
}

// First returns the item that is due first, and when it is due; zero means that there is none.
func (h *Heap[T]) First() (item T, at time.Time) {
	if len(h.heap) > 0 {
		item, at = h.heap[0].item, h.heap[0].at
	}
	return item, at
}

// PutOff makes the first item due at a later time. Zero means that the item need not be due.
// The heap must have an item.
func (h *Heap[T]) PutOff(at time.Time) {
	if at.IsZero() {
		h.Remove(h.heap[0].slot)
		return
	}
	h.heap[0].at = at
	h.down(0)
}

// Due removes and returns the first item that is due; ok is false if none is.
func (h *Heap[T]) Due(now time.Time) (item T, ok bool) {
	if len(h.heap) > 0 && !now.Before(h.heap[0].at) {
		item, ok = h.heap[0].item, true
		h.Remove(h.heap[0].slot)
	}
	return item, ok
}

// Set makes item, whose place is slot, due at the time at or earlier. Zero means that
// the item need not be due.
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

// Remove removes the item at slot, if it is in the heap.
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
