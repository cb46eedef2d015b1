package godwit

import (
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// A Handler is the set of funcs that a Server calls when something happens. For one
// Conn it calls them one at a time; the documentation of the package says on which
// goroutine and in which order. A func that is nil is not called.
type Handler struct {
	// Open is called when a session is open. From now on Conn.Send works and
	// Conn.Hello returns the connect message.
	Open func(*Conn)

	// Message is called for each message of the other end. The bytes are valid until
	// the func returns.
	Message func(*Conn, ChannelID, []byte)

	// Request is called for each request of the other end. If the func returns and has
	// called none of Reply, Ack, Reject and Keep, the request is rejected.
	Request func(*Conn, *Request)

	// Receipt is called once for each message that was sent with Options.Receipt.
	// The Fate says what happened to the message.
	Receipt func(*Conn, MessageID, Fate)

	// Channel is called when the other end has opened a channel; see Conn.OpenChannel.
	Channel func(*Conn, ChannelID)

	// ChannelClosed is called when a channel that was opened with Conn.OpenChannel is closed
	// at both ends; see Conn.CloseChannel. It is the last call for the channel. Until it
	// returns Conn.Channels has the channel; do not use the number after that. It is not
	// called for channels that end with the session.
	ChannelClosed func(*Conn, ChannelID)

	// Room is called when there is room again for a message that was refused with ErrBudget:
	// once for each channel that has refused messages since the last call, when the last of
	// them would fit its queue. ChannelID 0 means that a request or a reply was refused.
	Room func(*Conn, ChannelID)

	// Interrupted is called when nothing arrives from the other end any more, or its
	// link has closed. Reliable messages wait until the session is resumed.
	Interrupted func(*Conn)

	// Resumed is called when packets of the other end arrive again after Interrupted,
	// on the same link or on another one.
	Resumed func(*Conn)

	// Close is called when the session is over. It is the last call for the Conn.
	Close func(*Conn, CloseReason)
}

// The events. EventEnded does not belong to a Conn. It means that the server is closed, or
// that Poll was called where Poll cannot work; Event.Err says which.
const (
	EventOpen          = session.EventOpen
	EventMessage       = session.EventMessage
	EventRequest       = session.EventRequest
	EventReceipt       = session.EventReceipt
	EventChannel       = session.EventChannel
	EventChannelClosed = session.EventChannelClosed
	EventRoom          = session.EventRoom
	EventInterrupted   = session.EventInterrupted
	EventResumed       = session.EventResumed
	EventClose         = session.EventClose
	EventEnded         = session.EventEnded
)

// An Event is something that happened and that the Handler has no func for.
// [Server.Poll] yields it.
type Event struct {
	Type    session.EventType
	Conn    *Conn       // nil with EventEnded
	Channel ChannelID   // of EventMessage, EventReceipt, EventChannel, EventChannelClosed and EventRoom
	Data    []byte      // of EventMessage; valid until the next event
	Request *Request    // of EventRequest; rejected at the next event unless answered or kept
	Message MessageID   // of EventReceipt
	Fate    Fate        // of EventReceipt
	Reason  CloseReason // of EventClose
	Err     error       // of EventEnded
}

// A MessageID is the number by which a receipt names a message.
type MessageID = channel.MessageID

// A Fate says what happened to a message.
type Fate = channel.Fate

// The fates. A message that was sent with Options.Receipt has exactly one fate, and
// Receipt is called before Close. FateLost is a guess: perhaps the message arrived and only
// its acknowledgement was lost. A message with FateAbandoned may have arrived, too. A
// message with FateDelivered has reached the other end. But that end's Message handler is
// not called if its program has called Close before: an end that closes delivers its own
// messages and discards those that arrive.
const (
	FateDelivered = channel.FateDelivered // the other end has acknowledged all of it
	FateLost      = channel.FateLost      // an unreliable message was sent and not acknowledged
	FateExpired   = channel.FateExpired   // its deadline passed while it was in the queue
	FateDropped   = channel.FateDropped   // the queue was full, and it was the oldest message
	FateAbandoned = channel.FateAbandoned // the session ended before it was acknowledged
	FateReplaced  = channel.FateReplaced  // a newer message took its place in the queue
)

// The words of the end of a session; package session describes them.
type (
	// A CloseCode says why a session ended. The codes from CloseProgram, 256, to 65535 are
	// for the program.
	CloseCode = session.CloseCode
	// A CloseReason says why a session ended. Both ends get one.
	CloseReason = session.CloseReason
)

// The codes.
const (
	CloseNormal        = session.CloseNormal        // the program, or the player, has finished
	CloseKicked        = session.CloseKicked        // the program called Conn.Kick
	CloseShutdown      = session.CloseShutdown      // the server shuts down
	CloseProtocolError = session.CloseProtocolError // the other end broke the protocol: see Text
	CloseAuth          = session.CloseAuth          // Identity.Expires has passed, or the program says that the credentials are not valid
	CloseReplaced      = session.CloseReplaced      // the same Identity connected once more
	CloseTimeout       = session.CloseTimeout       // interrupted for longer than Grace, or for 5 s while too many sessions were interrupted
	CloseDuplicate     = session.CloseDuplicate     // the same Identity is connected already
	CloseLimitMessages = session.CloseLimitMessages // too many messages per second
	CloseLimitBytes    = session.CloseLimitBytes    // too many bytes per second
	CloseLimitSize     = session.CloseLimitSize     // a message larger than its channel allows
	CloseLimitEarly    = session.CloseLimitEarly    // too much sent before the session was open
	CloseLimitRequests = session.CloseLimitRequests // so many requests that there was no room to queue their rejections
	CloseProgram       = session.CloseProgram       // the first code of the program's own
)
