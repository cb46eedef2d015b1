package netsim

import (
	"sync"
	"time"
)

// A Bottleneck is a limited rate with one queue, which the datagrams of several links
// share, first in, first out: like a router that many use. All links with the same
// Link.Through share it: links of several hosts of a [Network], of all clients of a
// [Relay], or of several values of [Wire].
//
// It is at the sender's end of the link, before the delay.
type Bottleneck struct {
	mu          sync.Mutex // guards everything below; no other lock is taken under it
	queue       queue
	rate, limit int
}

// NewBottleneck returns a bottleneck that carries rate bytes per second. queue is the
// number of bytes that may wait, including the datagram that is being sent. As in a Link, a
// zero rate means no limit, and a zero queue means 64 KiB.
func NewBottleneck(rate, queue int) *Bottleneck { return &Bottleneck{rate: rate, limit: queue} }

// Set changes the rate and the queue for datagrams sent from now on. Datagrams that already
// wait keep the time at which they leave.
func (b *Bottleneck) Set(rate, queue int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate, b.limit = rate, queue
}

// Backlog returns the number of bytes that wait.
func (b *Bottleneck) Backlog(now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.backlog(now, b.rate)
}

func (b *Bottleneck) transmit(now time.Time, size int) (leaves time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.transmit(now, size, b.rate, b.limit)
}

// queue is the queue for a rate. Its only state is the time at which its last byte has
// been sent.
type queue struct{ free time.Time }

// transmit returns when the last of size bytes has left the queue; ok is false
// if they do not fit.
func (q *queue) transmit(now time.Time, size, rate, limit int) (leaves time.Time, ok bool) {
	if rate <= 0 {
		return now, true
	}
	if q.free.Before(now) {
		q.free = now
	}
	if limit <= 0 {
		limit = defaultQueue
	}
	perByte := float64(time.Second) / float64(rate)
	waiting := float64(q.free.Sub(now)) / perByte
	// Half a byte for the rounding of times to nanoseconds.
	if waiting+float64(size) > float64(limit)+0.5 {
		return time.Time{}, false
	}
	q.free = q.free.Add(time.Duration(perByte * float64(size)))
	return q.free, true
}

func (q *queue) backlog(now time.Time, rate int) int {
	if rate <= 0 || !q.free.After(now) {
		return 0
	}
	return int(q.free.Sub(now).Seconds()*float64(rate) + 0.5)
}
