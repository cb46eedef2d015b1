package client

import (
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// deliver runs the handlers. No lock is held. If a handler panics, and the program recovers
// around Poll, the next call goes on with the event after it.
func (s *Session) deliver() {
	for s.begun < len(s.news) {
		ev := &s.news[s.begun]
		s.begun++
		switch ev.Type {
		case sessioncore.EventResult:
			done := s.answers[0]
			s.answers = s.answers[1:]
			if done != nil {
				done(session.Result{Status: ev.Status, Data: ev.Data, Text: ev.Reason.Text})
			}
		case sessioncore.EventRequest:
			s.request(ev)
		case sessioncore.EventMessage:
			s.message(ev)
		case sessioncore.EventClosed:
			s.closed(ev.Reason)
		default:
			s.event(ev)
		}
	}
	if s.done {
		s.endEndpoint()
		s.done = false
	}
}

func (s *Session) message(ev *sessioncore.Event) {
	if f := s.config.Handler.Message; f != nil {
		f(s, ev.Channel, ev.Data)
		return
	}
	s.yield(Event{Type: session.EventMessage, Channel: ev.Channel, Data: ev.Data})
}

// closed tells the program that the session is over.
func (s *Session) closed(why session.CloseReason) {
	h := &s.config.Handler
	switch {
	case s.renews && h.Renewing != nil:
		h.Renewing(s, why)
	case s.renews:
		s.yield(Event{Type: session.EventRenewing, Reason: why})
	default:
		defer close(s.finished)
		if h.Close != nil {
			h.Close(s, why)
		} else {
			s.yield(Event{Type: session.EventClose, Reason: why})
		}
	}
}

// event tells the program of all other events.
func (s *Session) event(ev *sessioncore.Event) {
	h := &s.config.Handler
	say := func(t session.EventType, f func(*Session)) {
		if f != nil {
			f(s)
		} else {
			s.yield(Event{Type: t})
		}
	}
	of := func(t session.EventType, f func(*Session, channel.ID)) {
		if f != nil {
			f(s, ev.Channel)
		} else {
			s.yield(Event{Type: t, Channel: ev.Channel})
		}
	}
	switch ev.Type {
	case sessioncore.EventOpen:
		say(session.EventOpen, h.Open)
	case sessioncore.EventInterrupted:
		say(session.EventInterrupted, h.Interrupted)
	case sessioncore.EventResumed:
		say(session.EventResumed, h.Resumed)
	case sessioncore.EventReceipt:
		if h.Receipt != nil {
			h.Receipt(s, ev.Message, ev.Fate)
		} else {
			s.yield(Event{Type: session.EventReceipt, Channel: ev.Channel, Message: ev.Message, Fate: ev.Fate})
		}
	case sessioncore.EventChannel:
		of(session.EventChannel, h.Channel)
	case sessioncore.EventChannelClosed:
		of(session.EventChannelClosed, h.ChannelClosed)
	case sessioncore.EventRoom:
		of(session.EventRoom, h.Room)
	}
}

// request runs the handler for a request of the server.
func (s *Session) request(ev *sessioncore.Event) {
	asked, id := s.from, ev.Request
	answer := func(r session.Result) error {
		s.endpoint.loop.Lock()
		defer s.release()
		if s.session != asked {
			return session.ErrAnswered // the session of the request is over; s.session is a newer one
		}
		return asked.Answer(time.Now(), id, r)
	}
	session.Serve(ev.Name, ev.Data, answer, func(r *session.Request) {
		if f := s.config.Handler.Request; f != nil {
			f(s, r)
		} else {
			s.yield(Event{Type: session.EventRequest, Request: r})
		}
	})
}

// endEndpoint makes the endpoint of a session that has made it end with its last
// connection.
func (s *Session) endEndpoint() {
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if e.single = true; e.live == 0 {
		e.loop.Close()
	}
}
