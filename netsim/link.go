package netsim

import "time"

// Link is one direction of a path. The zero value delivers everything at once.
//
// A datagram meets the fields in this order: the MTU, the queue in front of a
// limited rate, loss, damage, and the way with its delay and jitter. Shares are
// from 0 to 1, and sizes are those of payloads.
type Link struct {
	// Loss is the share of datagrams that vanish. 1 is a blackout.
	Loss float64

	// Burst is how many datagrams in a row a loss takes on average, the
	// share of Loss staying what it is. Up to 1/(1-Loss), which chance alone
	// gives, losses are independent.
	//
	// This is the model of Gilbert and Elliott with a good state that loses
	// nothing and a bad one that loses everything.
	Burst float64

	// Outage is how long nothing passes at the end of every OutageEvery,
	// counted from the first datagram: handovers and tunnels. Both must be
	// set.
	Outage, OutageEvery time.Duration

	// Duplicate is the share of datagrams that arrive twice. The copy has
	// its own jitter, and may itself be held back or damaged.
	Duplicate float64

	// Reorder is the share of datagrams held back by ReorderDelay, so that
	// later ones overtake them. Nothing else changes the order.
	Reorder float64

	// ReorderDelay zero means 10 ms.
	ReorderDelay time.Duration

	// Corrupt is the share of datagrams in which one bit is inverted.
	Corrupt float64

	// Delay is the time a datagram is on its way.
	Delay time.Duration

	// Jitter is the most that chance adds to Delay, all values being equally
	// likely. It does not change the order: a datagram does not arrive before
	// the one sent before it.
	Jitter time.Duration

	// Rate is the bytes per second that the link carries. Zero is no limit.
	Rate int

	// Queue is how many bytes may wait for Rate, the one being sent
	// included; a datagram that no longer fits is dropped. Zero means 64 KiB.
	Queue int

	// Through is a rate and a queue that this link shares with others. If it
	// is set, Rate and Queue do not count.
	Through *Bottleneck

	// MTU is the largest datagram that passes. Larger ones vanish. Zero is
	// no limit.
	MTU int

	// Replay gives datagrams the fates of a recorded path. If it is set, MTU
	// counts and no other field does.
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

// LinkStats counts the datagrams of one direction. Sent is the sum of Passed,
// Lost, QueueDropped, TooLarge, Tapped and Overflowed; the last four count what
// happened to those that passed.
type LinkStats struct {
	Sent, SentBytes     uint64 // offered to the link
	Passed, PassedBytes uint64 // given to the way, copies not counted

	Lost         uint64 // by Loss, Burst, outages and blackouts
	QueueDropped uint64 // by a full Queue
	TooLarge     uint64 // by the MTU
	Tapped       uint64 // by a Tap
	Overflowed   uint64 // because 65,536 datagrams were under way already

	Duplicated  uint64 // copies made
	Reordered   uint64 // datagrams and copies held back
	Corrupted   uint64 // datagrams and copies damaged
	Unreachable uint64 // datagrams and copies that found nobody at their address
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
	case DropQueue:
		s.QueueDropped++
	case DropMTU:
		s.TooLarge++
	case DropTap:
		s.Tapped++
	case DropOverflow:
		s.Overflowed++
	}
}

// Drop is why a datagram went no further.
type Drop uint8

const (
	DropNone     Drop = iota // it passed
	DropLost                 // by Loss, Burst, an outage or a blackout
	DropQueue                // by a full Queue
	DropMTU                  // larger than the MTU
	DropTap                  // by a Tap
	DropOverflow             // too many under way
)

// dropNames are the names of causes in a trace.
var dropNames = [...]string{"", "lost", "queue", "mtu", "tap", "overflow"}

func (d Drop) String() string {
	if int(d) < len(dropNames) {
		return dropNames[d]
	}
	return "unknown"
}
