package channel

import (
	"math"
	"math/bits"
)

// maxAckDelay is how long an acknowledgement waits for a packet with content.
const maxAckDelay = 20_000_000 // ns

// ackEvery is the number of bytes after which an acknowledgement does not wait any more on
// a reliable link, where the peer's window may be as small as leastWindow.
const ackEvery = leastWindow / 2

// received records which of the peer's last receivedWindow packets have arrived, to
// detect duplicates and to write ack blocks.
type received struct {
	next   uint64 // largest number that has arrived, plus one; 0 before the first
	floor  uint64 // the peer knows which packets below this have arrived
	news   uint64 // smallest number that has arrived since the last ack block
	lastAt moment // when the largest number arrived

	waiting   int    // bytes of the packets that eliciting counts; only on a reliable link
	eliciting int    // packets since the last ack block that must be acknowledged
	due       moment // when an ack block must leave

	// Loss is measured in spans of at least lossSpan numbers.
	spanStart uint64
	spanCame  int
	loss      float64

	bits [receivedWindow / 64]uint64 // a bit for each number; see bit
}

const (
	receivedWindow = 4096
	lossSpan       = 64
)

func (r *received) init() { *r = received{due: never, news: math.MaxUint64} }

func (r *received) bit(n uint64) (word *uint64, mask uint64) {
	return &r.bits[n/64%(receivedWindow/64)], 1 << (n % 64)
}

func (r *received) has(n uint64) bool {
	w, mask := r.bit(n)
	return *w&mask != 0
}

// expand returns the full number of a packet.
func (r *received) expand(p *packet) uint64 { return expand(p.number, p.numberLen, r.next) }

// fresh reports whether a packet arrives for the first time. It returns false for a packet
// that is older than the window.
func (r *received) fresh(n uint64) bool {
	if n >= r.next {
		return true
	}
	return r.next-n <= receivedWindow && !r.has(n)
}

// mark records a fresh packet.
func (r *received) mark(t moment, n uint64, eliciting bool) {
	gap := n != r.next
	if n >= r.next {
		r.forget(n)
		r.next, r.lastAt = n+1, t
	}
	w, mask := r.bit(n)
	*w |= mask
	r.news = min(r.news, n)
	r.floor = min(r.floor, n) // the peer does not know of a packet that arrives late
	r.measure(n)
	if !eliciting {
		return
	}
	r.eliciting++
	if r.due == never {
		r.due = t + maxAckDelay
	}
	if gap {
		r.due = t // the peer should know at once that packets are missing or late
	}
}

// forget clears the bits of the numbers from r.next to n-1; mark sets the bit of n.
func (r *received) forget(n uint64) {
	if n-r.next >= receivedWindow {
		clear(r.bits[:])
		return
	}
	for i := r.next; i < n; i++ {
		w, mask := r.bit(i)
		if i%64 == 0 && n-i >= 64 {
			mask, i = math.MaxUint64, i+63
		}
		*w &^= mask
	}
}

// measure estimates the share of the peer's packets that do not arrive.
func (r *received) measure(n uint64) {
	if n < r.spanStart {
		return
	}
	r.spanCame++
	span := r.next - r.spanStart
	if span < lossSpan {
		return
	}
	share := max(0, 1-float64(r.spanCame)/float64(span))
	r.loss += (share - r.loss) / 4
	r.spanStart, r.spanCame = r.next, 0
}

// block fills a with the ranges of packets that have arrived, newest first.
func (r *received) block(t moment, a *ackBlock) {
	low := max(r.floor, r.next-min(r.next, receivedWindow))
	largest := r.next - 1
	a.largest = uint16(largest)
	a.delay = min(maxDelay, uint64(t-r.lastAt)/delayUnit)
	start := r.runStart(largest, low)
	a.first = largest - start
	a.ranges = 0
	for start > low && a.ranges < len(a.rest) {
		end, ok := r.prior(start-1, low)
		if !ok {
			return
		}
		gap := start - 1 - end
		start = r.runStart(end, low)
		a.rest[a.ranges] = ackRange{gap - 1, end - start}
		a.ranges++
	}
}

// runStart returns the first number of the run that ends at n.
func (r *received) runStart(n, low uint64) uint64 {
	for {
		w, _ := r.bit(n)
		ones := uint64(bits.LeadingZeros64(^(*w << (63 - n%64)))) // at most n%64+1
		if n+1-ones <= low {
			return low
		}
		if ones < n%64+1 {
			return n + 1 - ones
		}
		n -= ones
	}
}

// prior returns the largest number up to n, and not below low, that has arrived.
func (r *received) prior(n, low uint64) (uint64, bool) {
	for {
		w, _ := r.bit(n)
		zeros := min(uint64(bits.LeadingZeros64(*w<<(63-n%64))), n%64+1)
		if zeros < n%64+1 {
			n -= zeros
			return n, n >= low
		}
		if n < zeros+low {
			return 0, false
		}
		n -= zeros
	}
}

// said notes that an ack block has left.
func (r *received) said() { r.eliciting, r.waiting, r.due, r.news = 0, 0, never, math.MaxUint64 }

// wait notes that a packet of n bytes that must be acknowledged has arrived over a reliable
// link.
func (r *received) wait(t moment, n int) {
	if r.waiting += n; r.waiting >= ackEvery {
		r.due = t
	}
}

// confirmed notes that the peer has received an ack block with this largest number. It
// does not know of packets with smaller numbers that have arrived since (news).
func (r *received) confirmed(largest uint64) { r.floor = min(max(r.floor, largest+1), r.news) }
