package client

import (
	"context"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/session"
)

// A Session is a client's end of a session with a godwit server: channels with
// promises, requests, and a life that is longer than its connection's. When the
// server is not heard it connects again by itself and goes on where it was. Its
// methods may be called from any goroutine.
type Session struct {
	// User is the program's own, from SessionConfig.User.
	User any

	endpoint *Endpoint
	own      bool // the endpoint ends with the session
	config   SessionConfig
	url      string
	life     context.Context
	die      context.CancelFunc
	stirred  chan struct{} // holds one token when there is news for pursue

	// Everything below belongs to the endpoint. It all happens under the one lock:
	// a session's links are connections of one endpoint.
	session *session.Session
	opened  chan struct{} // closed when session is open, or over; nil after that
	carrier *Conn         // stands for the session in the endpoint's lists and timers
	link    *Conn         // nil between two
	lost    *CloseError   // why the last link ended
	token   session.Token
	pursued bool            // pursue runs
	renew   bool            // the session is over, and a new one is tried for
	quit    bool            // none is to be tried for any more
	over    bool            // the endpoint has forgotten it
	last    *session.Reason // why no new one is tried for; to be told
	asked   map[uint32]func(Result)

	// The loop's own.
	news    []session.Event
	from    *session.Session // whose news they are
	renews  bool             // the end among them is followed by a new session
	answers []func(Result)
	done    bool // this is the last delivery
}

// Errors of sessions, besides ErrClosed.
var (
	// ErrUnknown: the table has no such channel.
	ErrUnknown = channel.ErrUnknown
	// ErrDirection: the table lets only the server send on the channel.
	ErrDirection = channel.ErrDirection
	// ErrMessageTooLarge: the message exceeds the channel's MaxMessage.
	ErrMessageTooLarge = channel.ErrTooLarge
	// ErrBudget: a reliable channel's queue is full; nothing was queued.
	ErrBudget = channel.ErrBudget
	// ErrInterrupted: the server is not heard, and what is sent unreliably now
	// would be stale.
	ErrInterrupted = session.ErrInterrupted
	// ErrAnswered: the request has its answer, or nobody waits for it.
	ErrAnswered = session.ErrAnswered
	// ErrExpired: the message's deadline has passed already.
	ErrExpired = channel.ErrExpired
	// ErrTooMany: too many requests wait for an answer.
	ErrTooMany = session.ErrTooMany
	// ErrName: a request's name is empty, longer than 64 bytes, or not UTF-8.
	ErrName = session.ErrName
	// ErrPayload: a request or a reply is too large.
	ErrPayload = session.ErrPayload
	// ErrInHandler: the call would wait for the goroutine it is on.
	ErrInHandler = handling.ErrInHandler
)

// Options are what one message asks for: a deadline, a key, a receipt.
type Options = channel.Options

// ID returns the session's number, which the server knows it by; zero until it is
// open.
func (s *Session) ID() uint64 {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	return s.session.ID()
}

// Send queues a message on a channel of the table. It does not wait. A nil error
// promises what the channel's mode promises, while the session lasts.
func (s *Session) Send(ch channel.ID, b []byte) error {
	_, err := s.SendWith(ch, b, Options{})
	return err
}

// SendWith is Send with options. The id is what a receipt will name.
func (s *Session) SendWith(ch channel.ID, b []byte, o Options) (channel.MessageID, error) {
	s.endpoint.mu.Lock()
	defer s.release()
	if s.renew {
		return 0, ErrClosed
	}
	return s.session.Send(time.Now(), ch, b, o)
}

// Channels returns the session's table, with the channels that the server has opened
// since. It must not be changed.
func (s *Session) Channels() channel.Channels {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	return s.session.Mux().Channels()
}

// Close ends the session. What was sent reliably is delivered first, for
// SessionConfig.DrainTimeout at most. Then Handler.Close is called, and the server's
// program gets the code and the text. It does not wait for that.
func (s *Session) Close(code CloseReasonCode, text string) {
	s.endpoint.mu.Lock()
	defer s.release()
	s.quit = true
	if s.renew {
		s.giveUp(session.Reason{Code: code, Text: text})
		return
	}
	s.session.Close(time.Now(), code, text, false)
}

// release lets the session say what it has to say, and gives the endpoint's lock
// back.
func (s *Session) release() {
	e := s.endpoint
	defer e.mu.Unlock()
	if e.busy {
		e.touch(s.carrier)
		return
	}
	s.settle(time.Now())
	e.flush()
	if s.session.Pending() || s.session.State() == session.Closed {
		e.touch(s.carrier)
		e.wake()
	}
}

// The endpoint calls the methods below. It holds its lock, except for deliver.

func (c *Conn) isCarrier() bool { return c.peer == nil }

// linkUp begins a link.
func (s *Session) linkUp(c *Conn) {
	if s.over || c.of != s.session || s.session.State() >= session.Closing {
		c.close(time.Now())
		return
	}
	s.link = c
	s.session.Link(time.Now(), session.LinkInfo{})
	s.endpoint.touch(s.carrier)
}

func (s *Session) receive(c *Conn, b []byte) {
	if c != s.link {
		return // the session has moved
	}
	s.session.Receive(time.Now(), b)
	s.endpoint.touch(s.carrier)
}

func (s *Session) linkDown(c *Conn) {
	if c != s.link {
		return
	}
	s.link, s.lost = nil, c.closed
	s.session.Unlink(time.Now())
	s.endpoint.touch(s.carrier)
	s.stir()
}

func (s *Session) advance(now time.Time) { s.session.Advance(now) }

// settle sends what the session has to say and sets its timer.
func (s *Session) settle(now time.Time) {
	e := s.endpoint
	for s.link != nil {
		b := s.session.Append(now, e.scratch[:0], MaxMessage)
		if len(b) == 0 {
			break
		}
		out, to, err := s.link.peer.Send(now, e.slot(), 0, peer.Kind(Binary), b)
		if err != nil {
			break
		}
		e.push(out, to, s.link.local)
		e.stats.MessagesOut++
	}
	if s.link != nil {
		e.time(s.link)
	}
	if s.over {
		return
	}
	e.timers.Set(s.carrier, &s.carrier.timer, s.session.Deadline())
	if s.session.Over() && (!s.renew || s.opened != nil) {
		e.touch(s.carrier) // to be forgotten, or told of
	}
	if !e.busy {
		e.arm()
	}
}

// abandon ends the session because the endpoint ends.
func (s *Session) abandon(now time.Time) {
	s.quit = true
	if s.renew {
		s.giveUp(session.Reason{Text: "the endpoint was closed"})
		return
	}
	s.session.Close(now, session.Normal, "the endpoint was closed", true)
	s.settle(now)
	s.endpoint.touch(s.carrier)
}

// ready moves the news to where deliver finds them, and ends what is over.
func (s *Session) ready() {
	s.news, s.from = s.session.Events(s.session.Release(s.news)), s.session
	s.answers = s.answers[:0]
	for i := range s.news {
		switch ev := &s.news[i]; ev.Type {
		case session.EventOpen:
			s.renew = false
			s.settled()
			s.stir()
		case session.EventResumed:
			s.stir()
		case session.EventToken:
			s.token = ev.Token
		case session.EventInterrupted:
			s.chase()
		case session.EventClosed:
			s.renew = s.config.Renew && !s.quit && renewable(ev.Reason)
			s.renews = s.renew
			s.stir()
			s.chase()
		case session.EventResult:
			s.answers = append(s.answers, s.asked[ev.Request])
			delete(s.asked, ev.Request)
		}
	}
	if s.last != nil {
		s.news = append(s.news, session.Event{Type: session.EventClosed, Reason: *s.last})
		s.last, s.renews = nil, false
		s.end()
	}
	if s.session.State() != session.Closed || !s.session.Over() || s.over {
		return
	}
	if s.settled(); !s.renew {
		s.end()
	}
}

// settled tells who waits for it that the session is open, or will not be.
func (s *Session) settled() {
	if s.opened != nil {
		close(s.opened)
		s.opened = nil
	}
}

// drop closes the link.
func (s *Session) drop() {
	if c := s.link; c != nil {
		s.link = nil
		c.close(time.Now())
	}
}

// end forgets the session.
func (s *Session) end() {
	e := s.endpoint
	s.over = true
	s.die()
	s.settled()
	s.drop()
	e.timers.Remove(&s.carrier.timer)
	delete(e.sessions, s)
	if s.own {
		s.done = true
	}
}

// deliver runs the handlers. No lock is held.
func (s *Session) deliver() {
	h := &s.config.Handler
	answers := s.answers
	for i := range s.news {
		switch ev := &s.news[i]; {
		case ev.Type == session.EventResult:
			if f := answers[0]; f != nil {
				f(Result{ev.Status, ev.Data, ev.Reason.Text})
			}
			answers = answers[1:]
		case ev.Type == session.EventOpen && h.Open != nil:
			h.Open(s)
		case ev.Type == session.EventMessage && h.Message != nil:
			h.Message(s, ev.Channel, ev.Data)
		case ev.Type == session.EventRequest:
			s.request(ev)
		case ev.Type == session.EventReceipt && h.Receipt != nil:
			h.Receipt(s, ev.Message, ev.Fate)
		case ev.Type == session.EventChannel && h.Channel != nil:
			h.Channel(s, ev.Channel)
		case ev.Type == session.EventInterrupted && h.Interrupted != nil:
			h.Interrupted(s)
		case ev.Type == session.EventResumed && h.Resumed != nil:
			h.Resumed(s)
		case ev.Type == session.EventClosed && s.renews:
			if h.Renewing != nil {
				h.Renewing(s, CloseReason(ev.Reason))
			}
		case ev.Type == session.EventClosed && h.Close != nil:
			h.Close(s, CloseReason(ev.Reason))
		}
	}
	if s.done {
		s.endpoint.mu.Lock()
		s.endpoint.single = true // it ends with its last connection
		s.endpoint.closed = s.endpoint.closed || s.endpoint.live == 0
		s.endpoint.mu.Unlock()
		s.done = false
	}
}
