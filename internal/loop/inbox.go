package loop

// An Inbox holds what other goroutines, or other members, leave for the next turn. The
// loop's lock guards it; who has added an item calls Loop.Wake. The Inbox keeps its items,
// so that their memory is used again. It has no limit of its own: who adds items limits
// them. The zero value is empty.
type Inbox[E any] struct {
	next  []E
	taken []E
}

// Add adds an item and returns it: an item of before, whose memory may be used again, or
// the zero value.
func (b *Inbox[E]) Add() *E {
	if len(b.next) < cap(b.next) {
		b.next = b.next[:len(b.next)+1]
	} else {
		b.next = append(b.next, *new(E))
	}
	return &b.next[len(b.next)-1]
}

// Undo removes the item that the last Add has returned.
func (b *Inbox[E]) Undo() { b.next = b.next[:len(b.next)-1] }

// Len returns the number of items that the next Take returns.
func (b *Inbox[E]) Len() int { return len(b.next) }

// keptItems is the number of items whose memory an Inbox always keeps. The memory of a
// larger burst is given back when the burst is over.
const keptItems = 64

// Take returns the items since the last Take. They do not change until the next Take.
func (b *Inbox[E]) Take() []E {
	if c := cap(b.taken); c > keptItems && len(b.next) < c/4 {
		b.taken = nil
	}
	b.next, b.taken = b.taken[:0], b.next
	return b.taken
}

// Abandon makes sure that the memory of the items that Take has returned is not used
// again.
func (b *Inbox[E]) Abandon() { b.taken = nil }
