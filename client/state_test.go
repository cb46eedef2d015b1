package client

import (
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// The states of a connection follow each other as the picture at connState shows, and in no
// other order.
func TestStatesOfAConn(t *testing.T) {
	testkit.WalkStates(t, connStates, [][2]connState{
		{connOpening, connOpen}, {connOpening, connClosing},
		{connOpen, connClosing},
		{connClosing, connGone},
	}, func(from, to connState) (bool, connState) {
		c := Conn{state: from, opened: make(chan struct{})}
		return c.setState(to), c.state
	})
}

// The states of a session follow each other as the picture at sessionState shows, and in no
// other order. A call that waits until a session is open continues when the session leaves an
// opening state, and only then.
func TestStatesOfASession(t *testing.T) {
	testkit.WalkStates(t, sessionStates, [][2]sessionState{
		{sessionOpening, sessionOpen}, {sessionOpening, sessionClosing}, {sessionOpening, sessionEnded},
		{sessionOpen, sessionClosing}, {sessionOpen, sessionRenewing},
		{sessionClosing, sessionEnded},
		{sessionRenewing, sessionReopening}, {sessionRenewing, sessionGivenUp},
		{sessionReopening, sessionOpen}, {sessionReopening, sessionRenewing}, {sessionReopening, sessionGivenUp},
		{sessionGivenUp, sessionClosing},
	}, func(from, to sessionState) (bool, sessionState) {
		s := Session{state: from, opened: make(chan struct{})}
		ok := s.setState(to)
		select {
		case <-s.opened:
			if !ok || from != sessionOpening && from != sessionReopening {
				t.Errorf("from %v to %v: open continues, want it to wait", from, to)
			}
		default:
			if ok && (from == sessionOpening || from == sessionReopening) {
				t.Errorf("from %v to %v: open waits, want it to continue", from, to)
			}
		}
		return ok, s.state
	})
}

// The public state of each internal state, and whether Send is allowed.
func TestPublicStatesOfASession(t *testing.T) {
	const other = session.StateInterrupted // of the session underneath
	for st, want := range [sessionStates]struct {
		state session.State
		over  bool
	}{
		sessionOpening: {other, false}, sessionOpen: {other, false}, sessionClosing: {other, false},
		sessionRenewing: {session.StateOpening, true}, sessionReopening: {session.StateOpening, true},
		sessionGivenUp: {session.StateClosed, true}, sessionEnded: {session.StateClosed, true},
	} {
		st := sessionState(st)
		if got := st.public(other); got != want.state || st.over() != want.over {
			t.Errorf("%v is %v, over %v; want %+v", st, got, st.over(), want)
		}
	}
}
