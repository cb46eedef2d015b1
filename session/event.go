package session

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
	EventRenewing // a client's session is over, and a new one will begin
)

var eventNames = [...]string{"open", "message", "request", "receipt", "channel", "interrupted", "resumed", "close", "ended", "renewing"}

// String returns the type in one word.
func (t EventType) String() string {
	if int(t) < len(eventNames) {
		return eventNames[t]
	}
	return "unknown"
}
