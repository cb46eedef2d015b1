package sctp

import "time"

// Stats are the counters and present values of an association.
type Stats struct {
	Counters
	Eager    bool          // acknowledgement is eager now
	RTT      time.Duration // smoothed; zero until measured
	Buffered int           // bytes held for reassembly and order now
	Channels int           // channels open now
}

// Counters count from the beginning of an association.
type Counters struct {
	MessagesOut,
	BytesOut uint64
	PacketsIn  uint64
	MessagesIn uint64 // messages delivered as events
	BytesIn    uint64 // bytes of these messages

	Duplicates    uint64 // DATA chunks received more than once
	Late          uint64 // DATA chunks delivered after they were acknowledged eagerly
	SacksOut      uint64
	GapSacksOut   uint64 // SACKs with gap blocks
	Forwards      uint64 // FORWARD-TSNs sent
	forwardsIn    uint64
	Retransmits   uint64 // INIT, COOKIE ECHO, DATA_CHANNEL_ACK and RE-CONFIG sent again
	resets        uint64 // stream resets of the peer performed
	ackSwitches   uint64 // changes between eager and honest acknowledgement
	valveOpenings uint64 // changes to honest because of measured loss

	// Drops counts the packets, chunks and messages that were dropped, by cause: the index
	// is a [DropReason].
	Drops [dropReasons]uint32
}

// A DropReason says why a packet, a chunk or a message was dropped. No caller acts on a
// reason, so the reasons have no exported names: String names them, for a counter.
type DropReason uint8

// Reasons for a drop. The first group drops a packet, the second a chunk, the third a
// message or fragment that was acknowledged.
const (
	dropNone      DropReason = iota
	dropShort                // shorter than a header and a chunk
	dropPort                 // a port is zero
	dropChecksum             // CRC32c is wrong
	dropMalformed            // a length exceeds the packet, or there are too many chunks
	dropTag                  // the verification tag is not that of this end
	dropState                // such a chunk is not valid in this state

	dropChunk        // a chunk or a parameter is malformed
	dropUnknownChunk // chunk type is unknown
	dropCookie       // cookie is forged, expired or of another association
	dropRestart      // cookie would replace a running association
	dropUnsupported  // INIT without FORWARD-TSN
	dropSack         // SACK acknowledges a TSN that was never sent
	dropStaleSack    // SACK is older than the last one
	dropForward      // FORWARD-TSN is out of its window
	dropReset        // RE-CONFIG is out of sequence or of an unknown kind
	dropHeartbeat    // HEARTBEAT is malformed or too large to echo
	dropEcho         // an error report was replaced by a later one before it was sent
	dropWindow       // TSN is beyond the receive window
	dropRefused      // there is no buffer for a reliable fragment, which is not acknowledged

	dropNoData        // DATA without user data
	dropPPID          // payload protocol identifier is unknown
	dropText          // text is not UTF-8
	dropDCEP          // DCEP message is of an unknown kind
	dropChannels      // too many channels
	dropClosedChannel // the channel is closing
	dropTooLarge      // message exceeds Config.MaxMessage
	dropExpired       // incomplete message is too old
	dropEvicted       // incomplete message was dropped for a newer one
	dropForwarded     // incomplete message was given up by its sender
	dropOrder         // ordered message arrived after a later one
	dropReasons       // the number of reasons
)

// Stats returns the counters as they are now.
func (a *Assoc) Stats() Stats {
	s := Stats{Counters: a.stats, Eager: a.ack.eager, RTT: a.rtt, Buffered: a.buffered}
	for i := range a.channels {
		if a.channels[i].state == channelOpen {
			s.Channels++
		}
	}
	return s
}

func (a *Assoc) drop(r DropReason) { a.stats.Drops[r]++ }
