package client

import (
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// A delivery is what a turn tells the program of a session. Only the goroutine of the turns
// uses it: Session.ready fills it, with the endpoint's lock held, and then deliver empties
// it, without.
type delivery struct {
	from    *sessioncore.Session // the session of events
	events  []sessioncore.Event
	begun   int                    // handlers were called for so many of events; the last one may have panicked
	answers []func(session.Result) // done of the results in events, in order
	renews  bool                   // a new session follows the EventClosed in events
	last    bool                   // the endpoint, which Connect has made, ends after it
}

// rest reports whether there are events that no handler was called for.
func (d *delivery) rest() bool { return d.begun < len(d.events) }

// take replaces the events, which are all delivered, by the next ones of the session from.
func (d *delivery) take(from *sessioncore.Session) {
	if d.from != nil {
		d.events = d.from.Release(d.events)
	}
	d.from, d.events, d.begun = from, from.Events(d.events), 0
}

// end replaces the events by the end of the session.
func (d *delivery) end(why session.CloseReason) {
	d.events = append(d.events[:0], sessioncore.Event{Type: sessioncore.EventClosed, Reason: why})
}

// answer returns what is called for the next result.
func (d *delivery) answer() func(session.Result) {
	done := d.answers[0]
	d.answers = slices.Delete(d.answers, 0, 1)
	return done
}

// deliver runs the handlers. No lock is held. If a handler panics, and the program recovers
// around Poll, the next call goes on with the event after it.
func (s *Session) deliver() {
	d := &s.told
	for d.rest() {
		ev := &d.events[d.begun]
		d.begun++
		switch ev.Type {
		case sessioncore.EventResult:
			if done := d.answer(); done != nil {
				done(session.Result{Status: ev.Status, Data: ev.Data, Text: ev.Reason.Text})
			}
		case sessioncore.EventRequest:
			s.deliverRequest(ev)
		case sessioncore.EventMessage:
			s.deliverMessage(ev)
		case sessioncore.EventClosed:
			s.deliverClose(ev.Reason)
		default:
			s.deliverEvent(ev)
		}
	}
	if d.last {
		s.endEndpoint()
	}
}

func (s *Session) deliverMessage(ev *sessioncore.Event) {
	if f := s.config.Handler.Message; f != nil {
		f(s, ev.Channel, ev.Data)
		return
	}
	s.yield(Event{Type: session.EventMessage, Channel: ev.Channel, Data: ev.Data})
}

// deliverClose tells the program that the session is over.
func (s *Session) deliverClose(why session.CloseReason) {
	h := &s.config.Handler
	switch {
	case s.told.renews && h.Renewing != nil:
		h.Renewing(s, why)
	case s.told.renews:
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

// deliverEvent tells the program of all other events.
func (s *Session) deliverEvent(ev *sessioncore.Event) {
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
		s.deliverChannelClosed(ev.Channel)
	case sessioncore.EventRoom:
		of(session.EventRoom, h.Room)
	}
}

// deliverChannelClosed tells the program that a channel is closed. The number of the channel
// is free when the handler, or the body of a range over Poll, has returned or panicked.
func (s *Session) deliverChannelClosed(ch channel.ID) {
	from := s.told.from
	if f := s.config.Handler.ChannelClosed; f != nil {
		defer s.channelDelivered(from, ch)
		f(s, ch)
	} else if !s.yield(Event{Type: session.EventChannelClosed, Channel: ch, from: from}) {
		s.channelDelivered(from, ch)
	}
}

// channelDelivered does nothing if another session has followed the one with the channel.
func (s *Session) channelDelivered(from *sessioncore.Session, ch channel.ID) {
	s.endpoint.loop.Lock()
	defer s.release()
	if s.session == from {
		from.ChannelDelivered(ch)
	}
}

// deliverRequest runs the handler for a request of the server.
func (s *Session) deliverRequest(ev *sessioncore.Event) {
	asked, id := s.told.from, ev.Request
	answer := func(r session.Result) error {
		s.endpoint.loop.Lock()
		defer s.release()
		if s.session != asked {
			return session.ErrAnswered // the session of the request is over; s.session is a newer one
		}
		return asked.Answer(time.Now(), id, r)
	}
	session.HandleRequest(ev.Name, ev.Data, answer, func(r *session.Request) {
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
