package godwit

// An anchorState is the state of an anchor: where its link is, and whether the session is
// on it. The link's lock guards it. It changes only in setState, along these edges:
//
//	         the session comes         the session moves on
//	waiting ───────────────────► home ──────────────────────► left
//	   │ │                       │  │                           ▲
//	   │ │ the session is over   │  │ the link closes           │
//	   │ └─────────► ending ◄────┘  └────────► unlinked ────────┘
//	   │ the link      │ the link closes           ▲
//	   │ closes        └───────────────────────────┤
//	   └──────────────► lost ──────────────────────┘
//	                          the session comes
//
// A session is home at the first of its links that opens, from then on. It comes to
// another link when the client has sent a datagram on that link. If the client has sent none on
// the link that the session leaves, that link is waiting again: two links may open at the same
// time, and the client may come to the second one later.
type anchorState uint8

const (
	anchorWaiting  anchorState = iota // for the session; the link is open, or being opened
	anchorHome                        // the session is here
	anchorEnding                      // the session is over, and Deliver closes the link, or has closed it
	anchorUnlinked                    // the session is here, and the link is closed
	anchorLeft                        // the session was here, and is on another link
	anchorLost                        // the link has closed before the session came

	anchorStates = int(anchorLost) + 1
)

var anchorNames = [anchorStates]string{"waiting", "home", "ending", "unlinked", "left", "lost"}

func (s anchorState) String() string { return anchorNames[s] }

// nextAnchorStates are the states that may follow each state, a bit for each.
var nextAnchorStates = [anchorStates]uint8{
	anchorWaiting:  1<<anchorHome | 1<<anchorEnding | 1<<anchorLost,
	anchorHome:     1<<anchorEnding | 1<<anchorUnlinked | 1<<anchorLeft | 1<<anchorWaiting,
	anchorEnding:   1 << anchorUnlinked,
	anchorUnlinked: 1 << anchorLeft,
	anchorLost:     1 << anchorUnlinked,
}

// setState changes the state of a. If there is no such edge it returns false and changes
// nothing.
func (a *anchor) setState(to anchorState) bool {
	if nextAnchorStates[a.state]&(1<<to) == 0 {
		return false
	}
	a.state = to
	return true
}

// closed reports whether the link is closed.
func (a *anchor) closed() bool { return a.state == anchorUnlinked || a.state == anchorLost }

// A delivery is what a Deliver of an anchor has to do, a bit for each.
type delivery uint8

const (
	deliverNews    delivery = 1 << iota // run the handlers
	deliverEnd                          // then close the link
	deliverForget                       // then tell the server that the session is over
	deliverMore                         // then have the loop look again, for news that came before Deliver
	deliverSession                      // move the session here, and nothing else
)
