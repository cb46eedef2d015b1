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

	// Room is called when there is room again for a message that was refused with
	// session.ErrBudget: once for each channel that has refused messages since the last
	// call, when the last of them would fit its queue. ChannelID 0 means that a request
	// or a reply was refused.
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

// A Fate says what happened to a message; package channel has the fates. A message that was
// sent with Options.Receipt has exactly one fate, and Receipt is called before Close.
// [channel.FateLost] is a guess: perhaps the message arrived and only its acknowledgement was
// lost. A message with [channel.FateAbandoned] may have arrived, too. A message with
// [channel.FateDelivered] has reached the other end. But that end's Message handler is not
// called if its program has called Close before: an end that closes delivers its own messages
// and discards those that arrive.
type Fate = channel.Fate

// A CloseReason says why a session ended. Both ends get one. Package session has the codes,
// such as [session.CloseKicked].
type CloseReason = session.CloseReason
