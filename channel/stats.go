package channel

import (
	"time"

	"github.com/godwit-rtc/godwit/internal/enum"
)

// A DropReason says why a packet or a frame of the peer was dropped.
type DropReason uint8

// The reasons. DropMalformed, DropDuplicate, DropAck and DropRefused count packets, the
// others frames.
const (
	DropMalformed    DropReason = iota // the packet is malformed, or has another version
	DropDuplicate                      // the packet arrived before, or is older than the window of 4096
	DropAck                            // the packet acknowledges a packet that was never sent
	DropClosed                         // a message that arrived after the link was closed
	DropRefused                        // a frame of the packet was refused, so the packet is not acknowledged
	DropUnknown                        // the table has no such channel
	DropDirection                      // the peer may not send on the channel
	DropKind                           // the kind of the frame does not fit the channel's mode
	DropTooLarge                       // the message is larger than MaxMessage
	DropMismatch                       // the fragment contradicts an earlier one
	DropWindow                         // a reliable message too far ahead of the oldest that is missing
	DropBudget                         // a reliable message for which QueueLimit has no room
	DropEvicted                        // an incomplete unreliable message, dropped for a newer one
	DropAged                           // an incomplete unreliable message, dropped after 3 s
	DropUnknownFrame                   // an extension frame that this version does not know
	DropStale                          // a late frame of a channel that is closed; another channel may have its number
	DropInflate                        // a message of a channel with Compress that cannot be inflated; the channel delivers no more
	dropReasons                        // the number of reasons
)

var dropNames = [dropReasons]string{
	"malformed", "duplicate", "ack", "closed", "refused", "unknown-channel", "direction", "kind",
	"too-large", "mismatch", "window", "budget", "evicted", "aged", "unknown-frame", "stale-channel", "inflate",
}

func (d DropReason) String() string {
	if d < dropReasons {
		return dropNames[d]
	}
	return "none"
}

// Counters count what a Mux has sent and received. They never decrease.
type Counters struct {
	PacketsOut, PacketsIn uint64
	BytesOut, BytesIn     uint64 // bytes of packets
	AcksOut               uint64 // packets with no frame of a message: an ack block, and perhaps a ping
	Retransmits           uint64 // pieces sent again because they seemed lost
	Copies                uint64 // pieces sent again in free space of packets
	PacketsLost           uint64 // packets considered lost
	Spurious              uint64 // packets of PacketsLost that were acknowledged later
	Timeouts              uint64 // times that no acknowledgement arrived and probes were sent
	Links                 uint64 // calls of Relink
	Fallbacks             uint64 // times that packets were made smaller because large ones did not arrive

	Drops [dropReasons]uint64 // packets and frames dropped, by reason
}

// Stats are the figures of a Mux: its counters and its present values.
type Stats struct {
	Counters

	RTT, RTTVar, MinRTT, LatestRTT time.Duration
	LossOut, LossIn                float64 // share of packets lost, 0 to 1, smoothed
	Rate                           float64 // bytes per second that may be sent
	DeliveryRate                   float64 // bytes per second that arrive at the peer: the highest of the last ten rounds
	PacketLimit                    int     // largest size of a packet in bytes: less than MaxPacket if larger ones do not arrive
	InFlight                       int     // bytes of packets sent and neither acknowledged nor considered lost
	Queued                         int     // bytes of all QueueLimits in use
	Held                           int     // bytes held for reassembly and order
	Waits                          Wait    // what the messages in the queues wait for
}

// A Wait says what the messages in a Mux's queues wait for.
type Wait uint8

// The values of Wait.
const (
	WaitsForNothing Wait = iota // no message waits
	WaitsForCeiling             // Config.Ceiling limits the rate: the network may carry more
	WaitsForNetwork             // the network limits the rate
	WaitsForPeer                // everything that may be sent was sent: acknowledgements or the opening of a channel are missing, or the peer is silent
)

var waitNames = [...]string{"nothing", "ceiling", "network", "peer"}

func (w Wait) String() string { return enum.Name(w, waitNames[:]) }

// nearCeiling is the share of the ceiling from which on waits says WaitsForCeiling: a
// rate that the ceiling limits varies a little below it.
const nearCeiling = 0.85

// waits returns what the messages in the queues wait for.
func (m *Mux) waits() Wait {
	waiting, sendable := false, false
	for _, s := range m.senders {
		waiting = waiting || s.cost > 0
		head := s.queue.head
		sendable = sendable || !s.shut && (s.lost > 0 || head != nil && (head.sent > 0 || s.inWindow()))
	}
	switch {
	case !waiting:
		return WaitsForNothing
	case !sendable || m.loss.timeouts > 1:
		return WaitsForPeer
	case m.cc.rate >= nearCeiling*m.cc.ceiling:
		return WaitsForCeiling
	}
	return WaitsForNetwork
}

// ChannelStats are the figures of one channel. The first two groups are counters, the
// third group are present values.
type ChannelStats struct {
	MessagesOut, MessagesIn uint64 // messages sent at least in part; messages delivered
	BytesOut, BytesIn       uint64 // bytes of these messages, as programs send and get them
	WireOut, WireIn         uint64 // bytes of these messages as packets carry them: fewer if Compress makes them smaller
	Retransmits, Copies     uint64 // pieces sent again, as in Stats

	Expired    uint64 // messages dropped because their deadline passed, or they waited too long on a silent link
	Overflowed uint64 // messages dropped because the queue was full
	Replaced   uint64 // messages dropped because a newer one took their place in the queue
	OverBudget uint64 // messages that Send refused with ErrBudget
	Stale      uint64 // sequenced messages, or fragments of them, dropped because a newer one was delivered before
	Duplicates uint64 // pieces that arrived again

	Queued     int           // messages waiting to be sent
	QueueBytes int           // bytes of QueueLimit in use
	QueueTime  time.Duration // time from Send to the first packet, smoothed
	Held       int           // bytes held for reassembly and order
}

// sentCounts are the counters of ChannelStats that a sender counts.
type sentCounts struct {
	MessagesOut, BytesOut, WireOut            uint64
	Retransmits, Copies                       uint64
	Expired, Overflowed, Replaced, OverBudget uint64
	QueueTime                                 time.Duration
}

// receivedCounts are the counters of ChannelStats that a receiver counts.
type receivedCounts struct {
	MessagesIn, BytesIn, WireIn, Stale, Duplicates uint64
}

// count counts a message, whose bytes on the wire may be others.
func (c *receivedCounts) count(wire, n int) {
	c.MessagesIn++
	c.WireIn += uint64(wire)
	c.BytesIn += uint64(n)
}

// Stats returns the counters as they are now.
func (m *Mux) Stats() Stats {
	s := Stats{Counters: m.stats}
	s.RTT, s.RTTVar, s.MinRTT, s.LatestRTT = m.rtt.smoothed, m.rtt.variance, m.rtt.minimum, m.rtt.latest
	s.LossOut, s.LossIn = m.loss.share, m.received.loss
	s.Rate, s.DeliveryRate = m.cc.rate, m.cc.delivery()
	s.PacketLimit, s.InFlight = m.path.budget, m.flight.bytes
	s.Waits = m.waits()
	for i := range m.senders {
		s.Queued += m.senders[i].cost
		s.Held += m.receivers[i].held
	}
	return s
}

// ChannelStats returns the counters of one channel.
func (m *Mux) ChannelStats(id ID) ChannelStats {
	if int(id) >= len(m.senders) {
		return ChannelStats{}
	}
	out, in := m.senders[id], m.receivers[id]
	o, i := &out.stats, &in.stats
	return ChannelStats{
		MessagesOut: o.MessagesOut, MessagesIn: i.MessagesIn,
		BytesOut: o.BytesOut, BytesIn: i.BytesIn,
		WireOut: o.WireOut, WireIn: i.WireIn,
		Retransmits: o.Retransmits, Copies: o.Copies,
		Expired: o.Expired, Overflowed: o.Overflowed, Replaced: o.Replaced, OverBudget: o.OverBudget,
		Stale: i.Stale, Duplicates: i.Duplicates,
		Queued: out.queue.n, QueueBytes: out.cost, QueueTime: o.QueueTime, Held: in.held,
	}
}

func (m *Mux) drop(d DropReason) { m.stats.Drops[d]++ }

// refuse counts a frame that is refused. Its packet must not be acknowledged.
func (m *Mux) refuse(d DropReason) bool {
	m.drop(d)
	return false
}
