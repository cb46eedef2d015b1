package session

import "github.com/godwit-rtc/godwit/internal/enum"

// An EventType says what an event of a session is.
type EventType uint8

// The events. EventEnded does not belong to a session. It means that the server or the
// endpoint is closed, or that Poll was called where Poll cannot work.
const (
	EventOpen          EventType = iota // the session is open
	EventMessage                        // a message of the other end
	EventRequest                        // a request of the other end
	EventReceipt                        // the fate of a message that was sent with Options.Receipt
	EventChannel                        // the other end has opened a channel
	EventInterrupted                    // nothing arrives from the other end, or the link has closed
	EventResumed                        // packets of the other end arrive again
	EventClose                          // the session is over; the last event
	EventEnded                          // the server or the endpoint cannot be polled: see above
	EventChannelClosed                  // a channel that was opened at run time is closed at both ends
	EventRoom                           // a queue has room again for a message that was refused with ErrBudget
	EventRenewing                       // a client's session is over, and a new one will begin
)

var eventNames = [...]string{"open", "message", "request", "receipt", "channel", "interrupted", "resumed", "close", "ended", "channel closed", "room", "renewing"}

// String returns the type in one or two words.
func (t EventType) String() string { return enum.Name(t, eventNames[:]) }
