package godwit

import (
	"iter"
	"time"

	"github.com/godwit-rtc/godwit/internal/loop"
)

// poll is the state of Poll, during a call and between calls.
type poll struct {
	running bool             // a Poll or a Shutdown is under way
	yield   func(Event) bool // the loop body of the call; nil after the body broke off
	saved   []Event          // events after the body broke off, for the next call
}

// Poll waits at most d for datagrams, timers or calls, processes them, runs the
// handlers, and yields the events that the Handler has no func for. A game loop calls
// it in every tick:
//
//	for {
//		for ev := range srv.Poll(time.Until(next)) {
//			switch ev.Type {
//			case godwit.EventMessage:
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
// Events that have a Handler func go to it, inside Poll, and are not yielded. If the loop
// body breaks off, the next call yields the remaining events. Poll needs Config.Manual,
// and only one goroutine may call it. When the server is closed (Event.Err is ErrClosed),
// without Manual (ErrManual), and inside another Poll (ErrInHandler) it yields an
// EventEnded, with a nil Conn.
func (s *Server) Poll(d time.Duration) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		switch {
		case !s.config.Manual:
			yield(Event{Type: EventEnded, Err: ErrManual})
			return
		case s.polling.running:
			yield(Event{Type: EventEnded, Err: ErrInHandler})
			return
		}
		p := &s.polling
		saved, told := p.saved, 0
		p.saved, p.yield, p.running = nil, yield, true
		defer func() {
			p.saved = append(saved[told:len(saved):len(saved)], p.saved...) // saved has a rest only if the loop body panicked
			p.yield, p.running = nil, false
		}()
		for _, ev := range saved {
			told++
			p.tell(ev)
		}
		if len(saved) > 0 {
			d = 0
		}
		if err := s.turn(d); err != nil {
			p.tell(Event{Type: EventEnded, Err: err})
		}
	}
}

// turn runs the loops of all links once.
func (s *Server) turn(d time.Duration) error {
	if s.rtc == nil {
		return s.local.turn(time.Now().Add(d))
	}
	if s.local.loop.Due() {
		d = 0
	}
	if err := s.rtc.Poll(d); err != nil {
		return ErrClosed
	}
	return s.local.turn(loop.Past)
}

// tell yields an event. After the loop body broke off it saves a copy for the next Poll.
func (p *poll) tell(ev Event) {
	if p.yield == nil {
		if ev.Data != nil {
			ev.Data = append([]byte{}, ev.Data...)
		}
		if ev.Request != nil && ev.Request.Data != nil {
			data := append([]byte{}, ev.Request.Data...)
			ev.Request.Keep()
			ev.Request.Data = data
		}
		p.saved = append(p.saved, ev)
		return
	}
	if !p.yield(ev) {
		p.yield = nil
	}
}

// yield gives Poll an event that the Handler has no func for.
func (s *Server) yield(c *Conn, ev Event) {
	if !s.config.Manual {
		return
	}
	ev.Conn = c
	s.polling.tell(ev)
}
