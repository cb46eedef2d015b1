package client

import "github.com/godwit-rtc/godwit/session"

// A sessionState is the state of a Session. The endpoint's lock guards it. It changes only
// in setState, along these edges:
//
//	         it is open         no new one will follow       nothing more is sent
//	opening ────────────► open ─────────────────────► closing ────────────────────► ended
//	 │  │                 │  ▲                           ▲ ▲                           ▲
//	 │  │ the endpoint is │  └───────────────┐           │ │ the end is told           │
//	 │  │ closed          │                  │ it is open│ └───────────┐               │
//	 │  └─────────────────┼──────────────────┼───────────┘             │               │
//	 │         it is over,│         an attempt                         │               │
//	 │      and is renewed└───► renewing ───────► reopening            │               │
//	 │                              │   ◄───────  │                    │               │
//	 │                              │ it failed   │                    │               │
//	 │                              └─────────────┴──► givenUp ────────┘               │
//	 └─────────────────────────────────────────────────────────────────────────────────┘
//	                       it has ended before it was open
//
// The state is that of all the sessions that follow each other with SessionConfig.Renew;
// Session.session is one of them. In the first three states the program may use the
// session. What an open session does, such as being interrupted, is the state of
// Session.session; whether a reconnect goroutine runs is apart from both.
type sessionState uint8

const (
	sessionOpening   sessionState = iota // Connect or Join waits for it
	sessionOpen                          // open; perhaps interrupted, and perhaps it needs a link
	sessionClosing                       // Close was called, the server has refused a link for good, or it is over
	sessionRenewing                      // over; reconnect waits before it opens a new session
	sessionReopening                     // over; reconnect opens a new session
	sessionGivenUp                       // over, and so is renewing: Session.why has the reason, and is not told yet
	sessionEnded                         // in no table of the endpoint

	sessionStates = int(sessionEnded) + 1
)

var sessionStateNames = [sessionStates]string{"opening", "open", "closing", "renewing", "reopening", "given up", "ended"}

func (st sessionState) String() string { return sessionStateNames[st] }

// nextSessionStates are the states that may follow each state, a bit for each.
var nextSessionStates = [sessionStates]uint8{
	sessionOpening:   1<<sessionOpen | 1<<sessionClosing | 1<<sessionEnded,
	sessionOpen:      1<<sessionClosing | 1<<sessionRenewing,
	sessionClosing:   1 << sessionEnded,
	sessionRenewing:  1<<sessionReopening | 1<<sessionGivenUp,
	sessionReopening: 1<<sessionOpen | 1<<sessionRenewing | 1<<sessionGivenUp,
	sessionGivenUp:   1 << sessionClosing,
}

// renewing reports whether the session is over and reconnect begins a new one.
func (st sessionState) renewing() bool { return st == sessionRenewing || st == sessionReopening }

// over reports whether calls of the program return ErrClosed, whatever Session.session is.
func (st sessionState) over() bool { return st > sessionClosing }

// public returns the state as the program sees it; of is the state of Session.session.
func (st sessionState) public(of session.State) session.State {
	switch {
	case st.renewing():
		return session.StateOpening
	case st.over():
		return session.StateClosed
	}
	return of
}

// setState changes the state of s. If there is no such edge it returns false and changes
// nothing. When a session is not being opened any more, open goes on.
func (s *Session) setState(to sessionState) bool {
	if nextSessionStates[s.state]&(1<<to) == 0 {
		return false
	}
	if s.state == sessionOpening || s.state == sessionReopening {
		close(s.opened)
	}
	s.state = to
	return true
}
