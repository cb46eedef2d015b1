package sessioncore

import (
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// A session that moves to another server stays Open, because both ends still deliver, and the client
// may still resume it. It takes no more messages of its program. The steps, docs/SESSION.md section 5:
//
//  1. Move: the server waits until all that it has sent is acknowledged.
//  2. The server sends MOVE. So the client has got everything when it gets MOVE.
//  3. The client waits until all that it has sent is acknowledged, and for the answers to its requests, for
//     answerTime at most. So the program of the server has got everything before it gets the end.
//  4. The client closes the session with CloseMoved.

const (
	defaultMove = 10 * time.Second // how long a move may take if Config.DrainTimeout is negative
	answerTime  = time.Second      // how long a client that moves waits for the answers to its requests
	minMove     = 3 * answerTime   // a shorter limit would end moves of clients that wait for answers
)

// moveTooLong is the Text of the reason at the server that has ended a move. Otherwise the Text of CloseMoved is empty there.
const moveTooLong = "the move took too long: messages may be lost"

// Moving reports whether the session moves and is not over yet.
func (s *Session) Moving() bool { return s.closing.moving && s.state == Open }

// Move tells the client to go on at another server. seat says where: JSON of at most session.MaxMove
// bytes, which the session keeps. Only a server calls it. If the client does not support it, the session
// is closed with CloseShutdown, after its messages are delivered. Move does nothing if the session is
// not open, moves already, or is closing.
func (s *Session) Move(now time.Time, seat []byte) {
	switch {
	case s.state != Open || s.closing.moving:
	case s.takes&takesMove == 0:
		s.Close(now, session.CloseShutdown, "connect again", false)
	default:
		s.seat = seat
		s.beginMove(now, false)
		s.move(now)
	}
}

// receiveMove processes MOVE.
func (s *Session) receiveMove(now time.Time, f *frame) {
	switch {
	case s.server:
		s.fail(now, session.CloseProtocolError, "MOVE from a client")
	case s.state == Open && !s.closing.moving:
		s.beginMove(now, true)
		s.emit(Event{Type: EventMoved, Data: f.payload})
	}
}

func (s *Session) beginMove(now time.Time, remote bool) {
	s.closing = closing{
		begun: true, moving: true,
		reason: session.CloseReason{Code: session.CloseMoved, Remote: remote},
		since:  now, by: now.Add(s.moveTime()),
	}
}

func (s *Session) moveTime() time.Duration {
	if !s.server {
		return answerTime
	}
	if d := s.config.DrainTimeout; d > 0 {
		return max(d, minMove)
	}
	return defaultMove
}

// move does the next step of a session that moves.
func (s *Session) move(now time.Time) {
	switch {
	case !s.Moving():
	case s.server && !s.interrupted && !now.Before(s.closing.by):
		r := s.closing.reason
		r.Text = moveTooLong
		s.finish(now, r)
	case !s.mux.Idle():
	case !s.server:
		if len(s.waiting) == 0 || !now.Before(s.closing.by) {
			s.finish(now, s.closing.reason)
		}
	case s.seat != nil:
		s.sendControl(now, append(append(s.scratch[:0], typeMove), s.seat...), channel.Options{})
		s.seat = nil
	}
}

// moveAgain gives a move as much time as at its beginning: the session has resumed. A client that is away
// and comes back again and again gets no more than the grace time beside that.
func (s *Session) moveAgain(now time.Time) {
	if s.Moving() {
		s.closing.by = sooner(now, s.closing.since.Add(max(s.config.Grace, 0))).Add(s.moveTime())
	}
}

// moveDeadline returns when the next step of the move is due at the latest; zero means never. While the session is
// interrupted only the grace time counts. A client that waits for acknowledgements needs no limit: its server has one.
func (s *Session) moveDeadline() time.Time {
	if !s.Moving() || s.interrupted || !s.server && (len(s.waiting) == 0 || !s.mux.Idle()) {
		return time.Time{}
	}
	return s.closing.by
}
