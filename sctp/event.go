package sctp

// An Event is something that the owner of an association should know.
type Event struct {
	Type   EventType
	Stream uint16 // of a message or channel
	Kind   Kind   // of a message

	// Payload is a message, what a probe held, or what the peer gave as the cause of its ABORT. It is
	// a view of the received packet unless the message came in fragments or had to
	// wait; those own their memory.
	Payload []byte

	// Label, Protocol and the fields below describe a channel that opens or is
	// refused. A negotiated channel, known by its first message, has none of them.
	Label, Protocol string
	Negotiated      bool
	Ordered         bool
	Reliability     Reliability
	Limit           uint32 // retransmissions, or milliseconds of life

	Refused RefuseReason // of ChannelRefused
	Reason  CloseReason  // of Closed
	Cause   uint16       // error cause of the peer's ABORT
}

// An EventType says what happened.
type EventType uint8

const (
	Established    EventType = iota + 1 // messages can be sent
	ChannelOpen                         // the peer opened a channel, or used a negotiated one
	ChannelClosed                       // both directions of a channel are being reset
	ChannelRefused                      // the peer asked for a channel that it does not get; it may have been open as a negotiated one
	Message                             // a message arrived
	Closed                              // the association is over; nothing follows
	Echo                                // the peer sent back what AppendProbe was given: Payload
)

// Reliability says how hard a channel's sender tries. The page chose it for what
// it sends; what we send is never sent twice.
type Reliability uint8

const (
	Reliable    Reliability = iota // until it arrives
	Retransmits                    // Limit retransmissions
	Lifetime                       // Limit milliseconds
)

// A CloseReason says why an association ended.
type CloseReason uint8

const (
	closeNone            CloseReason = iota
	PeerAbort                        // the peer aborted: a page closed its connection
	PeerShutdown                     // the peer shut the association down
	InitTimeout                      // the peer never answered an INIT
	CookieTimeout                    // the peer never answered a COOKIE ECHO
	NoPartialReliability             // the peer does not support FORWARD-TSN
	closeReasons
)

// A RefuseReason says why a channel was refused.
type RefuseReason uint8

const (
	refuseNone       RefuseReason = iota
	RefusedReliable               // reliable, and Config.AllowReliable is not set
	RefusedTooMany                // Config.MaxChannels are open
	RefusedStream                 // the stream belongs to our side, or does not exist
	RefusedMalformed              // lengths do not fill the message, or an unknown channel type
	RefusedLabel                  // label or protocol is too long or not UTF-8
	refuseReasons
)
