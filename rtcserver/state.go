package rtcserver

// A connState is the state of a Conn: where it is on its way from the answer to the end.
// The shard's lock guards it. It changes only in setState, along these edges:
//
//	          a valid check                      done            SCTP is up
//	waiting ────────────────► shaking ─────────────────► secure ───────────► open
//	   │  │                     ▲  │                        │                  │
//	   │  │ without a place     │  │                        │                  │
//	   │  └──────► queued ──────┘  │                        │                  │
//	   │              │  a place   │ failed                 │ failed           │ over
//	   └──────────────┴────────────┴───────────┬────────────┴──────────────────┘
//	                                           ▼      nothing more is sent
//	                                        closing ──────────────────────────► gone
//
// Every state before closing may end: because of the page, of a time limit, or of Close. A
// connection that waits has no shard, or was just given to one that ends it.
type connState uint8

const (
	stateWaiting connState = iota // for the first valid check
	stateQueued                   // in places.waiting: for the place of a handshake
	stateShaking                  // in places.taken, unless the handshake has just failed: the DTLS handshake runs
	stateSecure                   // the keys are known; the association is being made
	stateOpen                     // in shard.open: messages can be sent
	stateClosing                  // the engine knows of the end; the page may be told again
	stateGone                     // in no table of the shard; the engine may have a deadline

	connStates = int(stateGone) + 1
)

var stateNames = [connStates]string{"waiting", "queued", "shaking", "secure", "open", "closing", "gone"}

func (s connState) String() string { return stateNames[s] }

// nextStates are the states that may follow each state, a bit for each.
var nextStates = [connStates]uint8{
	stateWaiting: 1<<stateQueued | 1<<stateShaking | 1<<stateClosing,
	stateQueued:  1<<stateShaking | 1<<stateClosing,
	stateShaking: 1<<stateSecure | 1<<stateClosing,
	stateSecure:  1<<stateOpen | 1<<stateClosing,
	stateOpen:    1 << stateClosing,
	stateClosing: 1 << stateGone,
}

// setState changes the state of c. If there is no such edge it returns false and changes
// nothing: what happens late, such as the end of a handshake after Close, has no effect.
func (c *Conn) setState(to connState) bool {
	if nextStates[c.state]&(1<<to) == 0 {
		return false
	}
	c.state = to
	return true
}
