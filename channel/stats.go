package channel

import "time"

// A DropReason says why something that came was not used.
type DropReason uint8

// The first group drops a packet, the second a frame.
const (
	DropMalformed    DropReason = iota // not a packet of this version
	DropDuplicate                      // the packet came before, or is older than the window
	DropAck                            // acknowledges what was never sent
	DropClosed                         // came after the close
	DropRefused                        // a reliable frame in it was refused
	DropUnknown                        // no such channel
	DropDirection                      // the peer may not send on the channel
	DropKind                           // a frame that does not go with the channel's mode
	DropTooLarge                       // exceeds MaxMessage
	DropMismatch                       // contradicts an earlier fragment
	DropWindow                         // a reliable message too far ahead
	DropBudget                         // the channel's QueueLimit is held already
	DropEvicted                        // an incomplete unreliable message made room for a newer one
	DropAged                           // an incomplete unreliable message grew too old
	DropUnknownFrame                   // an extension that is not known here
	DropReasons                        // the number of reasons
)

var dropNames = [DropReasons]string{
	"malformed", "duplicate", "ack", "closed", "refused", "unknown-channel", "direction", "kind",
	"too-large", "mismatch", "window", "budget", "evicted", "aged", "unknown-frame",
}

func (d DropReason) String() string {
	if d < DropReasons {
		return dropNames[d]
	}
	return "none"
}

// Stats are a Mux's counters, which only grow, and present figures.
type Stats struct {
	PacketsOut, PacketsIn uint64
	BytesOut, BytesIn     uint64
	AcksOut               uint64 // packets that carried nothing but an ack block
	Retransmits           uint64 // pieces sent again because they seemed lost
	Copies                uint64 // pieces sent again in spare bytes
	PacketsLost           uint64 // taken for lost
	Spurious              uint64 // of those, acknowledged after all
	Timeouts              uint64 // probes because no acknowledgement came
	Links                 uint64 // how often Relink was called
	Fallbacks             uint64 // times that packets were made smaller, since the link takes no large ones

	RTT, RTTVar, MinRTT, LatestRTT time.Duration
	LossOut, LossIn                float64 // share of packets lost, smoothed
	Rate                           float64 // bytes per second that may be sent
	DeliveryRate                   float64 // bytes per second that arrive, at best lately
	PacketLimit                    int     // bytes that a packet has at most: less than MaxPacket where larger ones do not arrive
	InFlight                       int     // bytes sent and not acknowledged
	Queued                         int     // bytes of QueueLimits in use
	Held                           int     // bytes held for reassembly and order
	Waits                          Wait    // what the messages in the queues wait for

	Drops [DropReasons]uint64
}

// A Wait says what the messages in a Mux's queues wait for.
type Wait uint8

// What messages may wait for.
const (
	WaitsForNothing Wait = iota // no message waits
	WaitsForCeiling             // Config.Ceiling: the network might take more
	WaitsForNetwork             // the rate that the network is found to take
	WaitsForPeer                // acknowledgements, or the peer's opening of a channel: all that may leave has left, or nothing is heard
)

var waitNames = [...]string{"nothing", "ceiling", "network", "peer"}

func (w Wait) String() string {
	if int(w) < len(waitNames) {
		return waitNames[w]
	}
	return "unknown"
}

// nearCeiling is the share of the ceiling from which on the ceiling is what limits: the
// rate moves a little below it.
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

// ChannelStats are the same for one channel.
type ChannelStats struct {
	MessagesOut, MessagesIn uint64 // sent at least in part; delivered
	BytesOut, BytesIn       uint64 // of those messages
	Retransmits, Copies     uint64 // pieces

	Expired    uint64 // dropped from the queue: deadline passed
	Overflowed uint64 // dropped from the queue: QueueLimit
	Replaced   uint64 // dropped from the queue: a newer one took the place
	OverBudget uint64 // refused by Send
	Stale      uint64 // came and were older than one delivered
	Duplicates uint64 // pieces that came again

	Queued     int           // messages waiting to be sent
	QueueBytes int           // of QueueLimit in use
	QueueTime  time.Duration // from Send to the first packet, smoothed
	Held       int           // bytes held for reassembly and order
}

// Stats returns the counters as they are now.
func (m *Mux) Stats() Stats {
	s := m.stats
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
	s := out.stats
	s.MessagesIn, s.BytesIn = in.stats.MessagesIn, in.stats.BytesIn
	s.Stale, s.Duplicates = in.stats.Stale, in.stats.Duplicates
	s.Queued, s.QueueBytes, s.Held = out.queue.n, out.cost, in.held
	return s
}

func (m *Mux) drop(d DropReason) { m.stats.Drops[d]++ }

// refuse counts a reliable frame that is not taken.
func (m *Mux) refuse(d DropReason) bool {
	m.drop(d)
	return false
}
