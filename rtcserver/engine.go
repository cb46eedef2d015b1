package rtcserver

import (
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/enum"
	"github.com/godwit-rtc/godwit/sdp"
)

// An Engine processes the messages of one [Conn], which is the link of the engine. The
// engine of this package gives every message to the [Handler]; that of package godwit
// implements channels and sessions. The server calls Receive, Append, Deadline, Advance,
// Preload and Ready with the Conn's lock held, and Deliver without it. These methods, except
// Deliver, must not call methods of the Conn. An engine needs no lock of its own: other
// code that calls into it calls Acquire before and Release after.
//
// An engine may be in use longer than its link: after LinkClosed the server calls
// Deadline, Advance, Ready and Deliver until Deadline returns zero.
type Engine interface {
	// Receive processes one event of the link. The bytes of the event are valid until the
	// next Deliver has returned.
	Receive(now time.Time, ev LinkEvent)
	// Append appends the engine's next message to b, at most limit bytes. If there is
	// none it returns b unchanged. The message leaves as a binary one on stream 0, where
	// the page must have a negotiated channel without retransmission.
	Append(now time.Time, b []byte, limit int) []byte
	// Deadline returns when Advance must be called; zero means never.
	Deadline() time.Time
	// Advance tells the engine the time, when Deadline has come.
	Advance(now time.Time)
	// Preload loads memory that Receive, Append and Deadline need, so that the processor has
	// it in its cache when the server calls them soon. A loop over many connections calls
	// Preload with step 0, 1, 2 and 3, some connections ahead, and does other work in
	// between. So each step may need what the step before has loaded. An engine with little
	// memory does nothing.
	Preload(step int)
	// Ready takes the news for the program. It returns true if Deliver must run.
	Ready() bool
	// Deliver runs the program's handlers for the news. Calls for one link never overlap.
	// If a handler panics and the program recovers around Poll, the server calls Ready
	// and Deliver again for the rest.
	Deliver()
}

// LinkEventType says what a [LinkEvent] is.
type LinkEventType uint8

const (
	LinkOpened        LinkEventType = iota // the link is open
	LinkChannel                            // the page has opened a channel in-band: Channel
	LinkChannelClosed                      // the page has closed an in-band channel: Channel
	LinkMessage                            // a message of the page: Message
	LinkClosed                             // the link is closed; the last event: Err
)

var linkEventNames = [...]string{"opened", "channel", "channel closed", "message", "closed"}

// String returns the type in one or two words.
func (t LinkEventType) String() string { return enum.Name(t, linkEventNames[:]) }

// Acquire locks the connection for calls into its engine. Call Release soon after. Between
// the two do not call other methods of the Conn. The connection must be or have been
// open. Any goroutine may call Acquire, but not a method of the engine that the server
// calls with the lock held.
func (c *Conn) Acquire() { c.shard.loop.Lock() }

// Release sends the engine's pending messages and unlocks the connection. If later is true,
// or with Config.Manual, the messages leave when Flush is called or in the next turn of the
// loop. If news is true, the loop takes a turn soon and calls Ready.
func (c *Conn) Release(later, news bool) { c.shard.loop.Release(c, later, news) }

// Flush sends the pending messages of the engines that were released with later, or with
// Config.Manual.
func (s *Server) Flush() {
	for _, sh := range s.shards {
		sh.loop.Flush()
	}
}

// Opening reports whether a connection is not open yet, and may open.
func (s *Server) Opening(c *Conn) bool {
	s.registry.mu.RLock()
	defer s.registry.mu.RUnlock()
	return s.registry.byUfrag[c.ufrag] == c && !c.opened
}

// Withdraw closes a connection that was given to Config.Engine, also if its page has not
// connected yet or Engine has not returned yet.
func (s *Server) Withdraw(c *Conn, text string) {
	sh := s.registry.withdraw(c)
	if sh == nil {
		return
	}
	sh.loop.Lock()
	defer sh.loop.Unlock()
	c.close(time.Now(), CloseByServer, text)
}

// Refuse makes the server refuse all further offers. It does not change existing
// connections: call it some time before Shutdown if they should end by themselves.
func (s *Server) Refuse() { s.refuseOffers() }

// A LinkEvent is an event of a link.
type LinkEvent struct {
	Type    LinkEventType
	Message Message
	Channel Channel
	Err     *CloseError
}

// datagrams is the engine that gives every event to the Handler.
type datagrams struct {
	conn    *Conn
	queue   []LinkEvent // guarded by the shard's lock
	pending []LinkEvent // being delivered
	begun   int32       // events of pending for which a handler was called; the last one may have panicked
	opened  bool        // the event LinkOpened was delivered; only Deliver uses it

	// For further offers of the page. renews and setup do not change after the first answer.
	renews  bool      // there may be further offers
	setup   sdp.Setup // of all answers
	renewal renewal
}

// Capacities of the event slices, in events, that a connection keeps: maxQueue for both
// slices while it is idle, keptEvents for pending at any time. Larger slices of a burst
// are not kept.
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

// Preload reads nothing: the fields are few.
func (d *datagrams) Preload(int) {}

func (d *datagrams) Deliver() {
	c, h, opens := d.conn, &d.conn.shard.server.config.Handler, false
	for int(d.begun) < len(d.pending) {
		ev := &d.pending[d.begun]
		d.begun++
		switch ev.Type {
		case LinkOpened:
			d.opened, opens = true, true
			if h.Open != nil {
				h.Open(c)
			}
		case LinkChannel:
			if h.ChannelOpen != nil {
				h.ChannelOpen(c, ev.Channel)
			}
		case LinkChannelClosed:
			if h.ChannelClose != nil {
				h.ChannelClose(c, ev.Channel)
			}
		case LinkMessage:
			if h.Message != nil {
				h.Message(c, ev.Message)
			}
		case LinkClosed:
			end := h.Fail
			if d.opened {
				end = h.Close
			}
			if end != nil {
				end(c, ev.Err)
			}
		}
	}
	clear(d.pending)
	if d.pending, d.begun = d.pending[:0], 0; opens || cap(d.pending) > keptEvents {
		d.pending = nil // a page that has only connected may stay silent
	}
}
