package session

import (
	"time"
	"unicode/utf8"
)

// drainTime is how long a session that closes waits for acknowledgements.
const drainTime = 2 * time.Second

// closing is what is left of a closed session.
type closing struct {
	begun  bool // no more is taken from the program
	reason Reason
	by     time.Time // when the close frame is sent at the latest; zero once it is
	over   bool      // the link may go
}

// Close ends the session. What was sent reliably is delivered first, for 2 s at
// most; at once says not to wait. EventClosed comes immediately.
func (s *Session) Close(now time.Time, code Code, text string, atOnce bool) {
	if s.state == Closed {
		return
	}
	told := s.state == Open
	r := Reason{Code: min(code, maxCode), Text: cut(text)}
	s.finish(r)
	switch {
	case !s.linked:
		s.leave(now)
	case atOnce || !told:
		s.mux.Close(now, uint64(r.Code), r.Text)
	default:
		s.closing.by = now.Add(drainTime)
		s.drain(now)
	}
}

// fail ends the session because of what the peer did, or did not do.
func (s *Session) fail(now time.Time, code Code, text string) { s.Close(now, code, text, true) }

// end ends the session because the peer has.
func (s *Session) end(r Reason) {
	if s.state == Closed { // we were waiting for acknowledgements
		s.closing.by = time.Time{}
		return
	}
	s.finish(r)
}

// finish tells the program, if it knew.
func (s *Session) finish(r Reason) {
	told := s.state == Open
	s.state = Closed
	s.closing.begun, s.closing.reason = true, r
	s.interrupted, s.early = false, nil
	s.loseRequests()
	if told {
		s.emit(Event{Type: EventClosed, Reason: r})
	}
}

// leave ends what has no link to say goodbye on. The session may be referred to for
// long, so the Mux lets go of all messages.
func (s *Session) leave(now time.Time) {
	s.closing.over = true
	s.mux.Close(now, uint64(s.closing.reason.Code), s.closing.reason.Text)
	s.take(now)
}

// drain sends the close frame when all is acknowledged, or it is time.
func (s *Session) drain(now time.Time) {
	if s.closing.by.IsZero() || !s.mux.Idle() && now.Before(s.closing.by) {
		return
	}
	s.closing.by = time.Time{}
	s.mux.Close(now, uint64(s.closing.reason.Code), s.closing.reason.Text)
}

// Reason returns why the session ended, once it is closed. One that lost its link
// before it was open has no reason: Normal, without a text.
func (s *Session) Reason() Reason { return s.closing.reason }

// Over reports whether the session is closed and has nothing more to say: its link
// may go.
func (s *Session) Over() bool { return s.closing.over }

// cut makes text what the wire takes.
func cut(text string) string {
	for len(text) > MaxText {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	if !utf8.ValidString(text) {
		return ""
	}
	return text
}
