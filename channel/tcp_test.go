package channel

import (
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// tcp is one direction of a TCP connection as a model, to compare with: a stream
// with cumulative acknowledgements, delivered in order. Its window is NewReno's (RFC
// 5681, RFC 6582), its timer that of RFC 6298 with at least 200 ms as Linux has it. It
// has timestamps, selective acknowledgements without limit, an initial window of ten
// segments, no Nagle's delay, and a receiver that acknowledges every segment at once.
// It has no RACK, no tail loss probe, no CUBIC and no flow control: a real one finds
// some losses sooner, and one with BBR would not slow down for them.
type tcp struct {
	w        *world
	data     *way
	acks     *way
	deliver  func(upTo int) // bytes of the stream, in order
	written  int
	una, nxt int // first unacknowledged byte; next to send
	top      int // one after the highest byte sent

	cwnd, ssthresh float64
	dups           int
	recovering     bool
	recover        int
	sacked         []span // what the receiver has beyond una, in order
	repaired       int    // up to where holes were filled in this recovery

	srtt, rttvar, rto time.Duration
	timer             int // generation of the running one; 0 if none
	timers            int

	// The receiver: what came in order, and ranges beyond it.
	next   int
	beyond []span
}

type span struct{ from, to int }

const (
	tcpSegment = 1150 // as our packets
	tcpHeader  = 40
	minRTO     = 200 * time.Millisecond
	maxRTO     = 60 * time.Second
)

func newTCP(w *world, data, acks *way) *tcp {
	return &tcp{w: w, data: data, acks: acks, cwnd: 10 * tcpSegment, ssthresh: 1 << 30, rto: time.Second}
}

// write gives n more bytes to the stream.
func (c *tcp) write(n int) {
	c.written += n
	c.fill()
}

// fill sends what the window allows and the receiver has not.
func (c *tcp) fill() {
	for {
		limit := c.written
		for _, r := range c.sacked {
			if r.from <= c.nxt {
				c.nxt = max(c.nxt, r.to)
			} else {
				limit = min(limit, r.from)
			}
		}
		n := min(tcpSegment, limit-c.nxt)
		if n <= 0 || c.nxt-c.una >= int(c.cwnd) {
			return
		}
		c.segment(c.nxt, n)
		c.nxt += n
		c.top = max(c.top, c.nxt)
	}
}

// repair fills the next hole, if there is one below what the receiver has.
func (c *tcp) repair() bool {
	at := max(c.una, c.repaired)
	for _, r := range c.sacked {
		if at < r.from {
			n := min(tcpSegment, r.from-at)
			c.segment(at, n)
			c.repaired = at + n
			return true
		}
		at = max(at, r.to)
	}
	return false
}

func (c *tcp) segment(from, n int) {
	if c.timer == 0 {
		c.restart()
	}
	sent := c.w.now
	c.w.over(c.data, n+tcpHeader, func() { c.arrive(span{from, from + n}, sent) })
}

// arrive is the receiver.
func (c *tcp) arrive(s span, sent time.Duration) {
	c.beyond = append(c.beyond, s)
	slices.SortFunc(c.beyond, func(a, b span) int { return a.from - b.from })
	for len(c.beyond) > 0 && c.beyond[0].from <= c.next {
		c.next = max(c.next, c.beyond[0].to)
		c.beyond = c.beyond[1:]
	}
	c.deliver(c.next)
	next, beyond := c.next, slices.Clone(c.beyond)
	c.w.over(c.acks, tcpHeader, func() { c.acked(next, beyond, sent) })
}

func (c *tcp) acked(upTo int, beyond []span, sent time.Duration) {
	if upTo >= c.una {
		c.sacked = beyond
	}
	switch {
	case upTo > c.una:
		c.sample(c.w.now - sent)
		c.advance(upTo)
	case upTo == c.una && c.nxt > c.una:
		c.duplicate()
	}
	c.fill()
}

func (c *tcp) advance(upTo int) {
	n := upTo - c.una
	full := c.nxt-c.una+tcpSegment > int(c.cwnd)
	c.una, c.nxt, c.dups = upTo, max(c.nxt, upTo), 0
	switch {
	case c.recovering && upTo < c.recover:
		c.repair()
		c.cwnd = max(c.cwnd-float64(n)+tcpSegment, tcpSegment)
	case c.recovering:
		c.recovering, c.cwnd = false, c.ssthresh
	case full && c.cwnd < c.ssthresh:
		c.cwnd += float64(min(n, tcpSegment))
	case full:
		c.cwnd += tcpSegment * tcpSegment / c.cwnd
	}
	c.timer = 0
	if c.una < c.top {
		c.restart()
	}
}

func (c *tcp) duplicate() {
	c.dups++
	switch {
	case c.recovering:
		if !c.repair() {
			c.cwnd += tcpSegment
		}
	case c.dups == 3 && c.una >= c.recover:
		c.ssthresh = c.half()
		c.recovering, c.recover = true, c.top
		c.cwnd = c.ssthresh + 3*tcpSegment
		c.repaired = c.una
		c.repair()
	}
}

func (c *tcp) half() float64 { return max(float64(c.nxt-c.una)/2, 2*tcpSegment) }

// sample measures a round trip as in RFC 6298. An acknowledgement of new bytes ends the backoff.
func (c *tcp) sample(d time.Duration) {
	if c.srtt == 0 {
		c.srtt, c.rttvar = d, d/2
	} else {
		c.rttvar = (3*c.rttvar + (c.srtt - d).Abs()) / 4
		c.srtt = (7*c.srtt + d) / 8
	}
	c.rto = max(c.srtt+4*c.rttvar, minRTO)
}

func (c *tcp) restart() {
	c.timers++
	c.timer = c.timers
	mine := c.timer
	c.w.after(c.rto, func() {
		if c.timer == mine {
			c.timeout()
		}
	})
}

// timeout goes back to the first unacknowledged byte.
func (c *tcp) timeout() {
	c.ssthresh, c.cwnd = c.half(), tcpSegment
	c.rto = min(2*c.rto, maxRTO)
	c.recovering, c.recover, c.dups = false, c.top, 0
	c.nxt, c.timer = c.una, 0
	c.fill()
}

// over sends size bytes over a way and runs f at each arrival.
func (w *world) over(l *way, size int, f func()) {
	w.deliveries = l.Send(w.time(), size, w.deliveries[:0])
	for _, d := range append([]netsim.Delivery(nil), w.deliveries...) {
		w.pending.Push(d.At, pending{run: f})
	}
}
