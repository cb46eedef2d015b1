package rtcserver

import "time"

// timers is a heap of connections by the time at which they want to be looked
// at. The timer of a connection is moved when its deadline comes sooner, but
// not when it goes later, which happens with nearly every packet: then it fires
// early once, finds nothing due, and is set anew.
//
// It belongs to the shard.
type timers struct {
	heap []timer
}

type timer struct {
	at   time.Time
	conn *Conn
}

// next returns when the first timer fires; zero means never.
func (t *timers) next() time.Time {
	if len(t.heap) == 0 {
		return time.Time{}
	}
	return t.heap[0].at
}

// due takes the first connection whose timer has fired from the heap, or nil.
func (t *timers) due(now time.Time) *Conn {
	if len(t.heap) == 0 || now.Before(t.heap[0].at) {
		return nil
	}
	c := t.heap[0].conn
	t.remove(c)
	return c
}

// set makes sure that c is looked at by at; zero means that it need not be.
func (t *timers) set(c *Conn, at time.Time) {
	switch {
	case at.IsZero():
	case c.timer < 0:
		c.timer = len(t.heap)
		t.heap = append(t.heap, timer{at, c})
		t.up(c.timer)
	case at.Before(t.heap[c.timer].at):
		t.heap[c.timer].at = at
		t.up(c.timer)
	}
}

// remove takes c from the heap, if it is there.
func (t *timers) remove(c *Conn) {
	i := c.timer
	if i < 0 {
		return
	}
	c.timer = -1
	last := len(t.heap) - 1
	moved := t.heap[last]
	t.heap[last] = timer{}
	t.heap = t.heap[:last]
	if i == last {
		return
	}
	t.heap[i] = moved
	moved.conn.timer = i
	t.down(i)
	t.up(i)
}

func (t *timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !t.heap[i].at.Before(t.heap[parent].at) {
			return
		}
		t.swap(i, parent)
		i = parent
	}
}

func (t *timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(t.heap) {
			return
		}
		if child+1 < len(t.heap) && t.heap[child+1].at.Before(t.heap[child].at) {
			child++
		}
		if !t.heap[child].at.Before(t.heap[i].at) {
			return
		}
		t.swap(i, child)
		i = child
	}
}

func (t *timers) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.heap[i].conn.timer, t.heap[j].conn.timer = i, j
}
