package godwit

import (
	"fmt"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/session"
)

// A Handler is told what happens. Its funcs are called one at a time for one Conn;
// the package's page says by whom and in what order. A func that is nil is not
// called.
type Handler struct {
	// Open: a session begins. It may be sent to, and its Hello is known.
	Open func(*Conn)

	// Message: a message came. The bytes are valid until the func returns.
	Message func(*Conn, ChannelID, []byte)

	// Request: the other end wants an answer. If the func returns without one, and
	// without Request.Keep, the request is rejected.
	Request func(*Conn, *Request)

	// Receipt: what became of a message that was sent with Options.Receipt.
	Receipt func(*Conn, MessageID, Fate)

	// Channel: the server has opened a channel; see Conn.OpenChannel. Only a client's
	// end in this process is told so.
	Channel func(*Conn, ChannelID)

	// Interrupted: the other end is not heard. Reliable messages wait until it is.
	Interrupted func(*Conn)

	// Resumed: it is heard again, on the same link or on another.
	Resumed func(*Conn)

	// Close: the session is over. It is the last call for it.
	Close func(*Conn, CloseReason)
}

// An EventType says what an Event is.
type EventType uint8

// The events. Ended is not one of a Conn: the server is closed, or Poll was called
// where it cannot work; see Err.
const (
	OpenEvent EventType = iota
	MessageEvent
	RequestEvent
	ReceiptEvent
	ChannelEvent
	InterruptedEvent
	ResumedEvent
	CloseEvent
	EndedEvent
)

var eventNames = [...]string{"open", "message", "request", "receipt", "channel", "interrupted", "resumed", "close", "ended"}

// String returns the type in one word.
func (t EventType) String() string {
	if int(t) < len(eventNames) {
		return eventNames[t]
	}
	return "unknown"
}

// An Event is what [Server.Poll] yields of what happens: what the Handler has no
// func for.
type Event struct {
	Type    EventType
	Conn    *Conn       // nil of an EndedEvent
	Channel ChannelID   // of a MessageEvent, a ReceiptEvent or a ChannelEvent
	Data    []byte      // of a MessageEvent; valid until the next event
	Request *Request    // of a RequestEvent; rejected at the next event unless answered or kept
	Message MessageID   // of a ReceiptEvent
	Fate    Fate        // of a ReceiptEvent
	Reason  CloseReason // of a CloseEvent
	Err     error       // of an EndedEvent
}

// A MessageID is how receipts call a message.
type MessageID = channel.MessageID

// A Fate is what became of a message.
type Fate = channel.Fate

// The fates. A message that was sent with Options.Receipt has exactly one, and it is
// told before Close. Lost is a guess: the message may have arrived, and its
// acknowledgement not. An Abandoned one may have arrived, too. A Delivered one is not
// told to the other end's program if that has closed the session before it came: an
// end that closes waits for its own messages only.
const (
	Delivered = channel.Delivered // the other end has it
	Lost      = channel.Lost      // it was sent, and it is unreliable
	Expired   = channel.Expired   // its deadline passed first
	Dropped   = channel.Dropped   // the queue was full, and it was the oldest
	Abandoned = channel.Abandoned // the session ended first
	Outdated  = channel.Replaced  // a newer one took its place in the queue
)

// A CloseCode tells why a session ended. From ProgramCode, 256, to 65535 they are the
// program's own. Clients get the same numbers; docs/SESSION.md, section 5, has them.
type CloseCode = session.Code

// The codes.
const (
	Normal        = session.Normal        // the program, or the player, is done
	Kicked        = session.Kicked        // put out
	ShutDown      = session.Shutdown      // the server ends
	ProtocolError = session.ProtocolError // the other end broke the protocol: see Text
	AuthEnded     = session.Auth          // the credentials are not valid any more; for the program to say
	Replaced      = session.Replaced      // the same Identity connected once more
	TimedOut      = session.Timeout       // interrupted for longer than Grace
	Duplicate     = session.Duplicate     // the same Identity is connected already
	LimitMessages = session.LimitMessages // too many messages per second
	LimitBytes    = session.LimitBytes    // too many bytes per second
	LimitSize     = session.LimitSize     // a message larger than its channel allows
	LimitEarly    = session.LimitEarly    // too much sent before the session was open
	LimitRequests = session.LimitRequests // so many requests that not even rejections are taken
	ProgramCode   = session.CodeProgram
)

// A CloseReason tells why a session ended, at either end.
type CloseReason struct {
	Code   CloseCode
	Text   string // at most 256 bytes
	Remote bool   // the other end ended it

	// LostOut is how many bytes of this end's reliable messages the end of the session
	// gave up: they were not acknowledged, so the other end's program may not have had
	// them. LostIn is how many of the other end's it says that it gave up; it says so
	// if it ended the session, and the word of that came here.
	LostOut, LostIn uint64
}

// String returns the reason for the log.
func (r CloseReason) String() string {
	who := "closed here"
	if r.Remote {
		who = "closed by the other end"
	}
	s := fmt.Sprintf("%s: %v", who, r.Code)
	if r.Text != "" {
		s += ": " + r.Text
	}
	if r.LostOut > 0 {
		s += fmt.Sprintf(" (gave up %d bytes)", r.LostOut)
	}
	if r.LostIn > 0 {
		s += fmt.Sprintf(" (%d bytes did not come)", r.LostIn)
	}
	return s
}
