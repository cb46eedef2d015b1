package netsim

import (
	"sync"
	"time"
)

// A dispatcher holds the datagrams in flight of a [Relay] or a [Tun], and delivers each of
// them when it is due, in real time. T is what the owner must know to deliver one.
type dispatcher[T any] struct {
	wake chan struct{} // holds one token when the time of the next delivery has changed

	mu   *sync.Mutex // the owner's; guards everything below
	line Timeline[T]
	dark time.Time  // the end of a blackout
	ds   []Delivery // reused by launch
}

func newDispatcher[T any](mu *sync.Mutex) dispatcher[T] {
	return dispatcher[T]{wake: make(chan struct{}, 1), mu: mu}
}

// send gives a datagram to a wire, under mu. flight returns what run delivers, and gets the
// payload as it arrives.
func (d *dispatcher[T]) send(w *Wire, payload []byte, flight func(payload []byte) T) {
	now := time.Now()
	switch size := len(payload); {
	case now.Before(d.dark):
		w.refuse(now, size, DropLost)
	case d.line.full():
		w.refuse(now, size, dropOverflow)
	default:
		d.launch(now, w, payload, flight)
	}
}

// launch wakes run if the datagram is the next to be delivered.
func (d *dispatcher[T]) launch(now time.Time, w *Wire, payload []byte, flight func(payload []byte) T) {
	first, some := d.line.Next()
	d.ds = w.Send(now, len(payload), d.ds[:0])
	for _, x := range d.ds {
		d.line.Push(x.At, flight(x.Damage(payload)))
	}
	if at, ok := d.line.Next(); ok && (!some || at.Before(first)) {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// run calls deliver for each datagram that is due, without mu, until done is closed.
func (d *dispatcher[T]) run(done <-chan struct{}, deliver func(T)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		d.mu.Lock()
		now := time.Now()
		f, due := d.line.Pop(now)
		at, more := d.line.Next()
		d.mu.Unlock()
		if due {
			deliver(f)
			continue
		}
		wait := time.Hour
		if more {
			wait = at.Sub(now)
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-d.wake:
		case <-done:
			return
		}
	}
}
