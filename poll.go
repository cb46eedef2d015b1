package godwit

import (
	"iter"
	"time"
)

// poll is one call of Poll.
type poll struct {
	running bool
	yield   func(Event) bool // nil once the program has had enough
	saved   []Event          // what happened after that, for the next call
}

// Poll waits at most d for something to happen, does all there is to do, and yields
// what happened, as a game loop wants it in every tick:
//
//	for {
//		for ev := range srv.Poll(time.Until(next)) {
//			switch ev.Type {
//			case godwit.MessageEvent:
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
// It returns as soon as the first datagrams that came are served, which may be long
// before d has passed; acknowledgements are such too, and cause no event. Where they
// come faster than they are served it returns when d has passed. With d zero or less
// it does not wait, and serves those that had come before it was called. A loop that
// waits in Poll until its next tick costs less than one that sleeps and then polls:
// the system wakes the program for datagrams in either case.
//
// What the Handler has a func for is told to it instead, so a program with handlers
// ranges over nothing. Both run inside Poll. A loop that breaks off gets the rest in
// the next call. Poll is for servers with Config.Manual, and for one goroutine; when
// the server is closed, or Poll cannot work, it yields one EndedEvent, whose Conn is nil.
func (s *Server) Poll(d time.Duration) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		switch {
		case !s.config.Manual:
			yield(Event{Type: EndedEvent, Err: ErrManual})
			return
		case s.polling != nil && s.polling.running:
			yield(Event{Type: EndedEvent, Err: ErrInHandler})
			return
		}
		if s.polling == nil {
			s.polling = &poll{}
		}
		p := s.polling
		saved, told := p.saved, 0
		p.saved, p.yield, p.running = nil, yield, true
		defer func() {
			p.saved = append(saved[told:len(saved):len(saved)], p.saved...) // the former if the loop's body panicked
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
			p.tell(Event{Type: EndedEvent, Err: err})
		}
	}
}

// turn runs the loops of all links once.
func (s *Server) turn(d time.Duration) error {
	if s.rtc == nil {
		return s.local.turn(d)
	}
	if s.local.pending() {
		d = 0
	}
	if err := s.rtc.Poll(d); err != nil {
		return ErrClosed
	}
	return s.local.turn(0)
}

// tell yields an event, or keeps it.
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

// yield gives an event that no handler wants to Poll.
func (s *Server) yield(c *Conn, ev Event) {
	if s.polling == nil {
		return
	}
	ev.Conn = c
	s.polling.tell(ev)
}
