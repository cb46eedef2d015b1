package sctp

// An Event is an event of an association.
type Event struct {
	Type   EventType
	Stream uint16 // of a message or channel
	Kind   Kind   // of a message

	// Payload is a message, the content of a probe, or the cause text of the peer's
	// ABORT. It is a view of the received packet, or has its own memory if the message
	// arrived in fragments or had to wait.
	Payload []byte

	// Label, Protocol and the fields below describe a channel that opens or is refused. A
	// negotiated channel, which opens with its first message, has only Negotiated.
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
	Established    EventType = iota + 1 // the association is established: messages can be sent
	ChannelOpen                         // the peer has opened a channel, or has used a negotiated one
	ChannelClosed                       // a channel is closed: both directions are being reset
	ChannelRefused                      // a channel of the peer was refused; it may have been open as a negotiated one
	Message                             // a message has arrived
	Closed                              // the association is over; the last event
	Echo                                // the peer has sent back the content of a probe, Payload
)

// A Reliability says how often, or how long, the page sends a message of a channel again.
// This end never sends a message again.
type Reliability uint8

const (
	Reliable    Reliability = iota // until a message arrives
	Retransmits                    // at most Limit retransmissions
	Lifetime                       // for at most Limit milliseconds
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
	RefusedReliable               // the channel is reliable, and Config.AllowReliable is not set
	RefusedTooMany                // Config.MaxChannels are open
	RefusedStream                 // only this end may open the stream, or it does not exist
	RefusedMalformed              // the lengths do not fill the message, or the channel type is unknown
	RefusedLabel                  // label or protocol is too long or not UTF-8
	refuseReasons
)
