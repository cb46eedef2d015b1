package rtcserver

import (
	"slices"
	"time"
)

// An Engine gives the datagrams of one [Conn] their meaning. The server's own
// engine hands every message to the [Handler]; package godwit has one that speaks
// channels. A Conn is the engine's link: it calls Receive, Append, Deadline,
// Advance and Ready under its lock, and Deliver without it. An engine has no lock
// of its own and must not call the Conn's methods from within the locked ones. Who
// else calls into it calls Acquire before and Release after.
//
// An engine may outlive its link: Deadline, Advance, Ready and Deliver are called
// after LinkClosed too, until Deadline is zero.
type Engine interface {
	// Receive takes one event of the link. The bytes in it are valid until the
	// Deliver that follows has returned.
	Receive(now time.Time, ev LinkEvent)
	// Append appends the engine's next message to b, at most limit bytes more. b
	// unchanged means that there is nothing to say.
	Append(now time.Time, b []byte, limit int) []byte
	// Deadline returns when Advance must be called; zero means never.
	Deadline() time.Time
	// Advance tells the engine that time has passed.
	Advance(now time.Time)
	// Ready moves what is to be told to the program to where Deliver finds it,
	// and reports whether there is anything.
	Ready() bool
	// Deliver runs the program's handlers. Calls for one link never overlap. If a
	// handler panics and the program recovers around Poll, Ready and Deliver are
	// called again, for the rest.
	Deliver()
}

// LinkEventType says what a [LinkEvent] is.
type LinkEventType uint8

const (
	LinkOpened    LinkEventType = iota // messages may be sent
	LinkChannel                        // the page opened a channel in-band: Stream, Label, Protocol
	LinkUnchannel                      // the page closed it: Stream, Label
	LinkMessage                        // Message
	LinkClosed                         // Err; the last event
)

var linkEventNames = [...]string{"opened", "channel", "unchannel", "message", "closed"}

// String returns the type in one word.
func (t LinkEventType) String() string {
	if int(t) < len(linkEventNames) {
		return linkEventNames[t]
	}
	return "unknown"
}

// Acquire takes the connection's lock for calls into its engine, which must not
// call the Conn meanwhile. Release must follow soon. The connection must be open,
// or have been. An engine's owner may call both from anywhere but the engine's own
// locked methods.
func (c *Conn) Acquire() { c.shard.mu.Lock() }

// Release gives the lock back after the engine has said what it has to say. If
// later, or with Config.Manual, it speaks when Flush is called or in the next turn of the loop.
// If news, the loop calls Ready soon.
func (c *Conn) Release(later, news bool) {
	s := c.shard
	defer s.mu.Unlock()
	switch {
	case s.busy:
		s.touch(c)
		return
	case later || s.server.config.Manual:
		if !c.later {
			c.later = true
			s.later = append(s.later, c)
		}
	default:
		c.pump(time.Now())
		s.flush()
		s.time(c)
	}
	if news {
		s.touch(c)
		s.wake()
	}
}

// Flush sends what engines have to say whose Release said later.
func (s *Server) Flush() {
	for _, sh := range s.shards {
		sh.mu.Lock()
		if !sh.busy { // or the loop will
			sh.speak(time.Now())
			sh.flush()
			sh.arm()
		}
		sh.mu.Unlock()
	}
}

// Withdraw closes a connection of Config.Engine's whose page may not have come yet.
func (s *Server) Withdraw(c *Conn, text string) {
	sh := s.registry.withdraw(c)
	if sh == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c.close(time.Now(), ClosedByUs, text)
}

// Refuse answers no more offers. Connections that exist go on.
func (s *Server) Refuse() { s.refuseOffers() }

// speak lets the engines speak that were to do so later.
func (s *shard) speak(now time.Time) {
	for i, c := range s.later {
		s.preload(s.later, i)
		c.later = false
		c.pump(now)
		s.timers.Set(c, &c.timer, c.deadline())
	}
	clear(s.later)
	s.later = s.later[:0]
}

// A LinkEvent is something that happened to a link.
type LinkEvent struct {
	Type    LinkEventType
	Message Message
	Channel Channel
	Err     *CloseError
}

// datagrams is the engine of level one: no state, every message to the handler.
type datagrams struct {
	conn    *Conn
	queue   []LinkEvent // guarded by the shard's lock
	pending []LinkEvent // being delivered
	begun   int         // how many of pending the handlers have had, or have panicked at
}

// How much room for events a connection keeps while it is idle, and at all. What a
// burst takes besides goes with it.
const (
	maxQueue   = 8
	keptEvents = 64
)

func (d *datagrams) Receive(_ time.Time, ev LinkEvent)          { d.queue = append(d.queue, ev) }
func (d *datagrams) Append(_ time.Time, b []byte, _ int) []byte { return b }
func (d *datagrams) Deadline() time.Time                        { return time.Time{} }
func (d *datagrams) Advance(time.Time)                          {}

func (d *datagrams) Ready() bool {
	if left := d.pending[d.begun:]; len(left) > 0 { // a handler has panicked
		d.queue = append(slices.Clone(left), d.queue...)
	}
	d.queue, d.pending, d.begun = d.pending[:0], d.queue, 0
	if len(d.pending) > 0 {
		return true
	}
	if cap(d.queue)+cap(d.pending) > maxQueue {
		d.queue, d.pending = nil, nil // a burst is over; an idle connection stays small
	}
	return false
}

func (d *datagrams) Deliver() {
	c, h := d.conn, &d.conn.shard.server.config.Handler
	for d.begun < len(d.pending) {
		ev := &d.pending[d.begun]
		d.begun++
		switch ev.Type {
		case LinkOpened:
			if h.Open != nil {
				h.Open(c)
			}
		case LinkChannel:
			if h.ChannelOpen != nil {
				h.ChannelOpen(c, ev.Channel)
			}
		case LinkUnchannel:
			if h.ChannelClose != nil {
				h.ChannelClose(c, ev.Channel)
			}
		case LinkMessage:
			if h.Message != nil {
				h.Message(c, ev.Message)
			}
		case LinkClosed:
			h.closed(c, ev.Err)
		}
	}
	clear(d.pending)
	if d.pending, d.begun = d.pending[:0], 0; cap(d.pending) > keptEvents {
		d.pending = nil
	}
}
