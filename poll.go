package godwit

import (
	"iter"
	"time"

	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// Poll waits at most d for datagrams, timers or calls, processes them, runs the
// handlers, and yields the events that the Handler has no func for. A game loop calls
// it in every tick:
//
//	for {
//		for ev := range srv.Poll(time.Until(next)) {
//			switch ev.Type {
//			case session.EventMessage:
//				...
//			}
//		}
//		if time.Now().Before(next) {
//			continue // something happened, and there is time for more
//		}
//		next = next.Add(time.Second / 60)
//		... // the tick
//		srv.Flush()
//	}
//
// Poll returns after it has processed the first datagrams that arrived. This may be long
// before d has passed, and without an event: an acknowledgement causes none. If datagrams
// arrive faster than Poll processes them, Poll returns when d has passed. If d is zero or
// negative Poll does not wait: it processes the datagrams that arrived before the call. A
// loop that waits in Poll until its next tick costs less than a loop that sleeps and then
// polls: the system wakes the program for datagrams in both cases.
//
// Events that have a Handler func go to it, inside Poll, and are not yielded. If the
// program leaves the range loop early, the next Poll yields the remaining events. Poll
// needs Config.Manual, and only one goroutine may call it. Poll yields one
// session.EventEnded, with a nil Conn, where it cannot work: Event.Err is
// session.ErrClosed after the server is closed, ErrManual without Manual, and
// ErrInHandler inside another Poll.
func (s *Server) Poll(d time.Duration) iter.Seq[Event] {
	if !s.config.Manual {
		return func(yield func(Event) bool) { yield(endedEvent(session.ErrManual)) }
	}
	return s.polling.Poll(d, session.ErrInHandler)
}

// endedEvent is the event of a Poll that cannot work.
func endedEvent(err error) Event { return Event{Type: session.EventEnded, Err: err} }

// turn runs the loops of all links once.
func (s *Server) turn(d time.Duration) error {
	if s.rtc == nil {
		return s.links.turn(time.Now().Add(d))
	}
	if t := s.links.loop.Due(); !t.IsZero() {
		d = min(d, time.Until(t))
	}
	rtc := s.rtc.Poll(d)
	links := s.links.turn(loop.Past) // also if the socket has failed: the other links still work
	if rtc != nil {
		return session.ErrClosed
	}
	return links
}

// keep copies the bytes of an event that the next Poll yields.
func keep(ev Event) Event {
	if ev.Data != nil {
		ev.Data = append([]byte{}, ev.Data...)
	}
	if ev.Request != nil {
		ev.Request = sessioncore.KeepRequest(ev.Request)
	}
	return ev
}

// yielded ends an event that the body of a range over Poll has processed.
func yielded(ev Event) {
	if ev.Type == session.EventChannelClosed {
		ev.Conn.channelDelivered(ev.Channel)
	}
}

// Yield has Poll yield an event that a func of the Handler was called for, as if the Handler had
// no such func. Only this func may call Yield, with the event's values: what it gets is valid
// until it returns, and what Poll yields is valid as always. Yield is for packages that put
// themselves in front of a program's Handler; ev is any event except EventChannelClosed.
// Without Config.Manual Yield does nothing.
func (c *Conn) Yield(ev Event) { c.server.yield(c, ev) }

// yield gives Poll an event that the Handler has no func for. It returns false without
// Config.Manual: the program does not get the event.
func (s *Server) yield(c *Conn, ev Event) bool {
	if !s.config.Manual {
		return false
	}
	ev.Conn = c
	s.polling.Yield(ev)
	return true
}
