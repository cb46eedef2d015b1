package session

import (
	"time"
	"unicode/utf8"
)

// closing is what is left of a closed session.
type closing struct {
	begun  bool // no more is taken from the program
	reason Reason
	since  time.Time // when the program has closed it
	by     time.Time // when the draining ends at the latest
	over   bool      // the link may go
}

// Close ends the session. What was sent reliably is delivered first, for
// Config.DrainTimeout at most; at once says not to wait, also for a session that is
// closing already. EventClosed comes when the close frame is sent.
func (s *Session) Close(now time.Time, code Code, text string, atOnce bool) {
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

// Drain is Close that waits until everything is delivered, or nothing is heard of the
// peer for Config.Silence. A session that is closing already stays as it is.
func (s *Session) Drain(now time.Time, code Code, text string) {
	if s.state != Closing {
		s.close(now, code, text, forever)
	}
}

// close ends the session when all is delivered, or wait is over, which may be at once.
func (s *Session) close(now time.Time, code Code, text string, wait time.Duration) {
	if s.state == Closed {
		return
	}
	r := Reason{Code: min(code, maxCode), Text: cut(text)}
	if s.state != Open || !s.linked {
		s.finish(now, r)
		return
	}
	s.state, s.closing = Closing, closing{begun: true, reason: r, since: now, by: now.Add(wait)}
	s.drain(now)
}

// fail ends the session because of what the peer did, or did not do.
func (s *Session) fail(now time.Time, code Code, text string) { s.Close(now, code, text, true) }

// end ends the session because the peer has.
func (s *Session) end(now time.Time, r Reason) {
	if s.state == Closing { // the program has closed first
		own := s.closing.reason
		own.LostIn = r.LostIn
		r = own
	}
	if s.state != Closed {
		s.finish(now, r)
	}
}

// finish ends the session, and tells the program if it knew: first what became of its
// messages and requests, then why.
func (s *Session) finish(now time.Time, r Reason) {
	told := s.state == Open || s.state == Closing
	s.state = Closed
	s.mux.Close(now, uint64(r.Code), r.Text) // the Mux forgets all messages
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

// lastReceipts tells what became of the messages whose fates were not told yet.
func (s *Session) lastReceipts() {
	for _, ev := range s.early { // of a session that never opened
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

// drain ends a session that is closing when all is acknowledged, or it is time.
func (s *Session) drain(now time.Time) {
	if s.state != Closing {
		return
	}
	if s.mux.Idle() || !now.Before(s.drainDeadline()) {
		s.finish(now, s.closing.reason)
	}
}

// drainDeadline is when draining ends at the latest.
func (s *Session) drainDeadline() time.Time {
	heard, _ := s.mux.Heard()
	if heard.Before(s.closing.since) {
		heard = s.closing.since
	}
	return sooner(s.closing.by, heard.Add(s.config.Silence))
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
