package channel

// lostMessages are the messages of a sender that have pieces to send again: a heap by id,
// the oldest on top. A message without such pieces stays in the heap until it is on top,
// or until no piece of the sender is lost. A message is in the heap at most once, so
// sendWindow limits its size.
type lostMessages struct {
	heap  []lossOf
	steps int // steps of nextLost, for tests
}

type lossOf struct {
	id  uint64
	msg *message
	gen uint32
}

// keptLosses is the largest capacity of the heap that a sender keeps while it is empty.
const keptLosses = 64

func (l *lostMessages) add(msg *message) {
	if msg.listed {
		return
	}
	msg.listed = true
	l.heap = append(l.heap, lossOf{msg.id, msg, msg.gen})
	h := l.heap
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up].id <= h[i].id {
			return
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
}

// pop removes the top.
func (l *lostMessages) pop() {
	h := l.heap
	last := len(h) - 1
	h[0], h[last] = h[last], lossOf{}
	h = h[:last]
	l.heap = h
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			return
		}
		if c+1 < last && h[c+1].id < h[c].id {
			c++
		}
		if h[i].id <= h[c].id {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// clear empties the heap: nothing is lost.
func (l *lostMessages) clear() {
	for i, e := range l.heap {
		if e.gen == e.msg.gen {
			e.msg.listed = false
		}
		l.heap[i] = lossOf{}
	}
	if l.heap = l.heap[:0]; cap(l.heap) > keptLosses {
		l.heap = nil
	}
}

// found notes that n lost pieces need not be sent again, or were sent again.
func (s *sender) found(n int) {
	if s.lost -= int32(n); s.lost == 0 {
		s.losses.clear()
	}
}

// nextLost returns the oldest lost piece. There must be one.
func (s *sender) nextLost() (*message, int) {
	for {
		s.losses.steps++
		top := &s.losses.heap[0]
		msg := top.msg
		if top.gen == msg.gen && msg.lost > 0 {
			for msg.pieces[msg.firstOut].state != pieceLost {
				s.losses.steps++
				msg.firstOut++
			}
			return msg, int(msg.firstOut)
		}
		if top.gen == msg.gen {
			msg.listed = false
		}
		s.losses.pop()
	}
}
