package sessioncore

import (
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit/session"
)

// maxCode is the largest code that a program may close with.
const maxCode session.CloseCode = 1<<16 - 1

// closing is the state of a session that is closing or closed.
type closing struct {
	begun  bool // Close was called, the session moves, or it is closed: calls return ErrClosed
	over   bool // there is nothing more to send: the link may be closed
	moving bool // Move was called, or MOVE has arrived: see move.go
	reason session.CloseReason
	since  time.Time // when Close was called
	by     time.Time // when draining, or the move, ends at the latest
}

// Close ends the session. The session first delivers its reliable messages, for at most
// Config.DrainTimeout. atOnce means that it does not wait, also if it is closing already.
// EventClosed is emitted when the close frame is due.
func (s *Session) Close(now time.Time, code session.CloseCode, text string, atOnce bool) {
	if s.state == Closing {
		if atOnce {
			s.finish(now, s.closing.reason)
		}
		return
	}
	if atOnce {
		s.close(now, code, text, 0)
		return
	}
	s.close(now, code, text, s.config.DrainTimeout)
}

// forever is a time to wait that does not end: 292 years.
const forever time.Duration = 1<<63 - 1

// Drain is Close that waits until every reliable message is delivered, or nothing has
// arrived from the peer for Config.Silence. It does not change a session that is
// closing already.
func (s *Session) Drain(now time.Time, code session.CloseCode, text string) {
	if s.state != Closing {
		s.close(now, code, text, forever)
	}
}

// close ends the session when its reliable messages are delivered or wait has passed.
func (s *Session) close(now time.Time, code session.CloseCode, text string, wait time.Duration) {
	if s.state == Closed {
		return
	}
	r := session.CloseReason{Code: min(code, maxCode), Text: cut(text)}
	if s.state != Open || !s.linked {
		s.finish(now, r)
		return
	}
	s.state, s.closing = Closing, closing{begun: true, reason: r, since: now, by: now.Add(wait)}
	s.drain(now)
}

// fail ends the session at once, because of an error or a silence of the peer.
func (s *Session) fail(now time.Time, code session.CloseCode, text string) {
	s.Close(now, code, text, true)
}

// end ends the session because the peer has ended it.
func (s *Session) end(now time.Time, r session.CloseReason) {
	if s.state == Closing || s.Moving() && r.Code == session.CloseMoved { // the program has closed first
		own := s.closing.reason
		own.LostIn = r.LostIn
		r = own
	}
	if s.state != Closed {
		s.finish(now, r)
	}
}

// finish ends the session. It emits the fates of messages and the results of requests,
// and then EventClosed if the session was open.
func (s *Session) finish(now time.Time, r session.CloseReason) {
	told := s.state == Open || s.state == Closing
	s.state = Closed
	s.mux.Close(now, uint64(r.Code), r.Text) // drops all messages
	r.LostOut = s.mux.GivenUp()
	s.closing.begun, s.closing.reason = true, r
	s.interrupted = false
	s.lastReceipts()
	s.loseRequests()
	if told {
		s.emit(Event{Type: EventClosed, Reason: r})
	}
	s.closing.over = !s.linked
}

// lastReceipts emits the fates of messages that were not emitted yet.
func (s *Session) lastReceipts() {
	for _, ev := range s.early { // not empty if the session never opened
		if ev.Type == EventReceipt {
			s.emit(ev)
		}
	}
	s.early = nil
	for i := range s.in { // finish may be called from within take
		s.receipt(&s.in[i])
	}
	rest := s.mux.Events(nil)
	for i := range rest {
		s.receipt(&rest[i])
	}
	s.mux.Release(rest)
}

// drain ends a session that is closing if everything is acknowledged, or drainDeadline
// has come.
func (s *Session) drain(now time.Time) {
	if s.state != Closing {
		return
	}
	if s.mux.Idle() || !now.Before(s.drainDeadline()) {
		s.finish(now, s.closing.reason)
	}
}

// drainDeadline returns when draining ends at the latest.
func (s *Session) drainDeadline() time.Time {
	heard, _ := s.mux.Heard()
	if heard.Before(s.closing.since) {
		heard = s.closing.since
	}
	return sooner(s.closing.by, heard.Add(s.silence()))
}

// Reason returns why the session ended, once it is closed. If the link closed before
// the session was open, the reason is CloseNormal without a text.
func (s *Session) Reason() session.CloseReason { return s.closing.reason }

// Over reports whether the session is closed and has nothing more to send: its link may be
// closed.
func (s *Session) Over() bool { return s.closing.over }

// cut returns text cut to MaxText bytes, or the empty string if it is not UTF-8.
func cut(text string) string {
	for len(text) > session.MaxText {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	if !utf8.ValidString(text) {
		return ""
	}
	return text
}
