package session

import "github.com/godwit-rtc/godwit/internal/enum"

// An EventType says what an event of a session is.
type EventType uint8

// The events. EventEnded does not belong to a session. It means that the server or the
// endpoint is closed, or that Poll was called where Poll cannot work.
const (
	EventOpen EventType = iota
	EventMessage
	EventRequest
	EventReceipt
	EventChannel
	EventInterrupted
	EventResumed
	EventClose
	EventEnded
	EventChannelClosed // a channel that was opened at run time is closed at both ends
	EventRoom          // a queue has room again for a message that was refused with ErrBudget
	EventRenewing      // a client's session is over, and a new one will begin
)

var eventNames = [...]string{"open", "message", "request", "receipt", "channel", "interrupted", "resumed", "close", "ended", "channel closed", "room", "renewing"}

// String returns the type in one word.
func (t EventType) String() string { return enum.Name(t, eventNames[:]) }
