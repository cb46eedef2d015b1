package session

import "github.com/godwit-rtc/godwit/internal/enum"

// A State is the state of a session, as one end sees it.
type State uint8

// The states. A session goes from StateOpening to StateOpen, from there to StateInterrupted
// and back, any number of times, and at the end through StateClosing to StateClosed. From
// every state it may go to StateClosed at once. Nothing follows StateClosed, except that a
// native client's session with Renew goes back to StateOpening.
const (
	StateOpening     State = iota // not open yet
	StateOpen                     // messages go both ways
	StateInterrupted              // nothing arrives from the other end, or there is no link
	StateClosing                  // Close was called, and reliable messages are not delivered yet
	StateClosed                   // over
)

var stateNames = [...]string{"opening", "open", "interrupted", "closing", "closed"}

// String returns the state in one word.
func (s State) String() string { return enum.Name(s, stateNames[:]) }
