package netsim

import "time"

// A Link describes one direction of a path. The zero value delivers everything at once.
//
// The fields act on a datagram in this order: the MTU, the queue for a limited rate, loss,
// damage, and then delay and jitter. Shares are from 0 to 1. Sizes are those of payloads, in
// bytes.
type Link struct {
	// Loss is the share of datagrams that are lost. 1 means that all are.
	Loss float64

	// Burst is the mean number of datagrams that are lost in a row. It does not change
	// the share of Loss. If it is at most 1/(1-Loss), the mean of independent losses,
	// losses are independent.
	//
	// This is the model of Gilbert and Elliott with a good state that loses nothing and a
	// bad state that loses everything.
	Burst float64

	// Outage is a time in which nothing passes. There is one at the end of every
	// OutageEvery, counted from the first datagram: like handovers and tunnels. Both must
	// be set.
	Outage, OutageEvery time.Duration

	// Duplicate is the share of datagrams that arrive twice. The copy has its own jitter,
	// and may itself be delayed by Reorder or damaged.
	Duplicate float64

	// Reorder is the share of datagrams that are delayed by ReorderDelay, so that later
	// ones overtake them. No other field changes the order.
	Reorder float64

	// ReorderDelay is the further delay of reordered datagrams. Zero means 10 ms.
	ReorderDelay time.Duration

	// Corrupt is the share of datagrams in which one bit is inverted.
	Corrupt float64

	// Delay is the time from the end of the queue to the arrival, without Jitter.
	Delay time.Duration

	// Jitter is the largest random time that is added to Delay; all times from 0 to Jitter
	// are equally likely. Jitter does not change the order: a datagram does not arrive
	// before the one sent before it.
	Jitter time.Duration

	// Rate is the number of bytes per second that the link carries. Zero means no limit.
	Rate int

	// Queue is the number of bytes that may wait for Rate, including the datagram that is
	// being sent. A datagram that does not fit is dropped. Zero means 64 KiB.
	Queue int

	// Through is a rate and a queue that this link shares with others. If it is set, Rate
	// and Queue have no effect.
	Through *Bottleneck

	// MTU is the size of the largest datagram that passes. Larger ones are dropped. Zero
	// means no limit.
	MTU int

	// Replay gives datagrams the fates of a recorded path. If it is set, only MTU has an
	// effect besides it.
	Replay *Replay
}

const (
	defaultReorderDelay = 10 * time.Millisecond
	defaultQueue        = 64 << 10
)

// out reports whether there is an outage when that long has passed since the
// first datagram.
func (l *Link) out(since time.Duration) bool {
	if l.Outage <= 0 || l.OutageEvery <= 0 {
		return false
	}
	return since%l.OutageEvery >= l.OutageEvery-l.Outage
}

// LinkStats counts the datagrams of one direction. Sent is the sum of Passed, Lost,
// QueueDropped, TooLarge, Tapped and Overflowed. The last four fields count what happened
// to the datagrams of Passed.
type LinkStats struct {
	Sent, SentBytes     uint64 // sent to the link
	Passed, PassedBytes uint64 // not dropped; copies do not count

	Lost         uint64 // dropped by Loss, Burst, outages and blackouts
	QueueDropped uint64 // dropped by a full Queue
	TooLarge     uint64 // dropped by the MTU
	Tapped       uint64 // dropped by a Tap
	Overflowed   uint64 // dropped because 65,536 datagrams were in flight already

	Duplicated  uint64 // copies made
	Reordered   uint64 // datagrams and copies delayed by Reorder
	Corrupted   uint64 // datagrams and copies damaged
	Unreachable uint64 // datagrams and copies that arrived at an address without a Conn
}

func (s *LinkStats) add(o LinkStats) {
	s.Sent += o.Sent
	s.SentBytes += o.SentBytes
	s.Passed += o.Passed
	s.PassedBytes += o.PassedBytes
	s.Lost += o.Lost
	s.QueueDropped += o.QueueDropped
	s.TooLarge += o.TooLarge
	s.Tapped += o.Tapped
	s.Overflowed += o.Overflowed
	s.Duplicated += o.Duplicated
	s.Reordered += o.Reordered
	s.Corrupted += o.Corrupted
	s.Unreachable += o.Unreachable
}

// count counts what a link did with a datagram of size bytes.
func (s *LinkStats) count(size int, d Drop) {
	s.Sent++
	s.SentBytes += uint64(size)
	switch d {
	case DropNone:
		s.Passed++
		s.PassedBytes += uint64(size)
	case DropLost:
		s.Lost++
	case dropQueue:
		s.QueueDropped++
	case dropMTU:
		s.TooLarge++
	case dropTap:
		s.Tapped++
	case dropOverflow:
		s.Overflowed++
	}
}

// A Drop says why a datagram was dropped.
type Drop uint8

const (
	DropNone     Drop = iota // it was not dropped
	DropLost                 // Loss, Burst, an outage or a blackout
	dropQueue                // the Queue was full
	dropMTU                  // larger than the MTU
	dropTap                  // a Tap dropped it
	dropOverflow             // too many datagrams were in flight
)

// dropNames are the names of causes in a trace.
var dropNames = [...]string{"", "lost", "queue", "mtu", "tap", "overflow"}

func (d Drop) String() string {
	if int(d) < len(dropNames) {
		return dropNames[d]
	}
	return "unknown"
}
