package sessioncore

import (
	"crypto/sha256"
	"math"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// A LinkInfo describes a link.
type LinkInfo struct {
	Reliable bool          // the link neither loses nor reorders
	RTT      time.Duration // a round trip, such as that of the handshake; zero means unknown
	Token    Token         // the next resume token; only at a server, and not for the first link

	// Next returns the ICE credentials of the next link, with which the client that has a resume
	// token needs no request; nil if there are none. Only at a server.
	Next func(Token) (ufrag, pwd string)
}

// Link gives the session a link. It returns true if the token of l is in use now. It is
// not if the client has not acknowledged the token before it yet.
func (s *Session) Link(now time.Time, l LinkInfo) (rotated bool) {
	if s.state >= Closing {
		return false
	}
	s.linked = true
	if s.state == Fresh {
		s.begin(now, l)
		return false
	}
	s.links++
	s.mux.Relink(now, l.Reliable, l.RTT)
	_, s.packets = s.mux.Heard()
	switch {
	case s.state != Open:
		return false
	case !s.server:
		s.sendControl(now, appendNumbered(s.scratch[:0], typeHere, s.links), channel.Options{})
		return false
	case s.welcome != 0:
		return false // the Mux sends the WELCOME before again
	}
	s.next = sha256.Sum256(l.Token[:])
	s.sendWelcome(now, l.Token, l.Next)
	return true
}

// begin is Link for the first link.
func (s *Session) begin(now time.Time, l LinkInfo) {
	s.state = Opened
	s.since = now
	s.mux.Relink(now, l.Reliable, l.RTT) // time may have passed since New
	if s.server {
		s.sendWelcome(now, s.config.Token, l.Next)
		s.config.Token = Token{}
	}
}

// sendWelcome sends WELCOME. next is that of LinkInfo.
func (s *Session) sendWelcome(now time.Time, token Token, next func(Token) (ufrag, pwd string)) {
	grace := millis(max(s.config.Grace, 0))
	b := appendWelcome(s.scratch[:0], uint64(s.id), token, grace, millis(s.config.Silence))
	b = appendMayOpen(b, s.config.ClientChannels, s.config.ClientQueue)
	if next != nil {
		b = appendNext(b, next, token)
	}
	s.welcome, _ = s.sendControl(now, b, channel.Options{Receipt: true})
	clear(b)
}

func millis(d time.Duration) uint32 {
	return uint32(min(d.Milliseconds(), math.MaxUint32))
}

// Admits reports whether a client may resume the session with the token with this hash.
// If it is the newest token, the older one is not valid any more: the client has the
// newest.
func (s *Session) Admits(hash [sha256.Size]byte) bool {
	if s.state != Open {
		return false
	}
	if hash == s.next {
		s.confirm()
		return true
	}
	return hash == s.valid
}

// Tokens returns the hashes of the valid tokens; they are equal if there is only one.
func (s *Session) Tokens() (valid, next [sha256.Size]byte) { return s.valid, s.next }

// confirm makes the newest token the only valid one.
func (s *Session) confirm() {
	s.welcome = 0
	if s.valid != s.next {
		s.valid = s.next
		s.emit(Event{Type: EventToken})
	}
}

// receipt processes an EventReceipt of the Mux. It ignores other events, and receipts
// that it has processed already: their Message is 0.
func (s *Session) receipt(ev *channel.Event) {
	if ev.Message == 0 {
		return
	}
	if ev.Channel != channel.Control {
		out := Event{Type: EventReceipt, Channel: ev.Channel, Message: ev.Message, Fate: ev.Fate}
		ev.Message = 0 // processed
		if s.state < Open {
			s.early = append(s.early, out) // the program has sent the message before the opening
			return
		}
		s.emit(out)
		return
	}
	if ev.Fate != channel.FateDelivered {
		return
	}
	if ev.Message == s.welcome {
		s.confirm()
		return
	}
	if id, ok := s.byReport[ev.Message]; ok {
		delete(s.byReport, ev.Message)
		s.waiting[id].status = session.StatusWaiting
	}
}

// Unlink tells the session that its link is closed.
func (s *Session) Unlink(now time.Time) {
	s.linked = false
	switch s.state {
	case Open:
		s.interrupt(now)
		if s.config.Grace < 0 {
			s.fail(now, session.CloseTimeout, "the link is closed")
		}
	case Closing:
		s.finish(now, s.closing.reason)
	case Closed:
		s.closing.over = true
	default:
		s.finish(now, session.CloseReason{}) // the session was never open
	}
}

// An Arrival is what the first packet of a client on a link says about when the client came to
// the link.
type Arrival struct {
	Here  uint32 // largest count of a HERE; 0 if there is none
	Hello bool   // HELLO is in it
}

// ArrivalOf reads a packet, which no session has received yet.
func ArrivalOf(b []byte) (a Arrival) {
	for m := range channel.ControlMessages(b) {
		var f frame
		if f.parse(m) {
			a.Hello = a.Hello || f.kind == typeHello
			if f.kind == typeHere {
				a.Here = max(a.Here, f.id)
			}
		}
	}
	return a
}

// Left reports whether the client has left a link, on which it has come as a says, before it
// came to the session's link. Only a server knows this.
func (s *Session) Left(a Arrival) bool { return a.Here != 0 && a.Here < s.here }

// Await is Unlink for a session that is not open yet, and whose client may open it over
// another link: the session ends as if no HELLO had arrived, unless Link is called before.
func (s *Session) Await() { s.linked = false }

func (s *Session) interrupt(now time.Time) {
	if s.interrupted {
		return
	}
	s.interrupted, s.since = true, now
	s.counts.interruptions++
	s.emit(Event{Type: EventInterrupted})
}

// resumeIfHeard emits EventResumed if packets of the peer have arrived since its last call and
// the session is interrupted.
func (s *Session) resumeIfHeard(now time.Time) {
	_, n := s.mux.Heard()
	if n == s.packets {
		return
	}
	s.packets = n
	if s.interrupted && s.state == Open {
		s.interrupted = false
		s.emit(Event{Type: EventResumed})
		s.moveAgain(now)
	}
}

// checkSilence interrupts or ends the session if silenceDeadline has come.
func (s *Session) checkSilence(now time.Time) {
	at := s.silenceDeadline()
	if at.IsZero() || now.Before(at) {
		return
	}
	if !s.interrupted {
		s.interrupt(now)
		if s.config.Grace >= 0 {
			return
		}
	}
	s.fail(now, session.CloseTimeout, "nothing arrived for too long")
}

// silenceDeadline returns when the session is interrupted, or ends if it is interrupted
// already, unless a packet of the peer arrives before.
func (s *Session) silenceDeadline() time.Time {
	if s.interrupted {
		return s.since.Add(max(s.config.Grace, 0))
	}
	at, _ := s.mux.Heard()
	return at.Add(s.silence())
}

// silenceTrips is the number of round trips in which a client expects an answer to its ping:
// one for the answer, and two more because the ping or the answer may be lost once.
const silenceTrips = 3

// silence returns the time without a packet of the peer after which the session is
// interrupted. At a client it is never so short that an answer to a ping cannot arrive in
// time. A server has no ping to wait for: the client's arrive by themselves.
func (s *Session) silence() time.Duration {
	if s.server {
		return s.config.Silence
	}
	return max(s.config.Silence, s.mux.AnswerTime(silenceTrips))
}
