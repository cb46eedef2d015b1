package client

import (
	"context"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// A Session is the client's end of a session with a godwit server: channels with
// promises, requests, and a lifetime that is longer than that of one connection. When
// nothing arrives from the server, the Session connects again by itself and continues
// where it was. Its methods may be called from any goroutine.
type Session struct {
	// User is a value for the program, at first SessionConfig.User. The package does not
	// use it. Handlers of the session may use it without a lock.
	User any

	endpoint *Endpoint
	own      bool // the endpoint was made by Connect, and ends with the session
	config   SessionConfig
	url      string
	life     context.Context
	die      context.CancelFunc
	stirred  chan struct{} // holds one token when something has changed for pursue
	finished chan struct{} // closed when the last handler has returned

	// The endpoint's lock guards the fields below: all links of a session are connections
	// of one endpoint.
	session *sessioncore.Session
	opened  chan struct{} // closed when session is open or over; nil after that
	entry   loop.Entry
	link    *Conn                // the open link; nil if there is none
	lost    *CloseError          // why the last link ended
	token   sessioncore.Token    // the newest resume token
	pursued bool                 // the goroutine of pursue runs
	renew   bool                 // the session is over, and pursue begins a new one
	quit    bool                 // no new session may begin
	over    bool                 // removed from the endpoint's tables
	last    *session.CloseReason // why pursue has given up; Handler.Close gets it
	asked   map[uint32]func(session.Result)

	// Only the endpoint's goroutine uses the fields below, from ready to deliver.
	news    []sessioncore.Event
	begun   int                    // handlers were called for so many of news; the last one may have panicked
	from    *sessioncore.Session   // the session that news is from
	renews  bool                   // a new session follows after the EventClosed in news
	answers []func(session.Result) // done of the results in news, in order
	done    bool                   // this is the last delivery
}

var _ session.End = (*Session)(nil)

// State returns the state of the session. While Renew begins a new session it is
// StateOpening.
func (s *Session) State() session.State {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	if s.renew {
		return session.StateOpening
	}
	return s.session.Public()
}

// Done returns a channel that is closed when the session is over, no new one follows, and
// SessionHandler.Close has returned.
func (s *Session) Done() <-chan struct{} { return s.finished }

// ID returns the number of the session, the same as at the server. It is zero until the
// session is open.
func (s *Session) ID() session.ID {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.session.ID()
}

// Send queues a copy of b as a message on a channel of the table. Send does not wait. If
// it returns nil, the channel's mode says what is promised, as long as the session
// lasts. If it returns an error, nothing was queued. The errors are ErrUnknown,
// ErrDirection, ErrTooLarge, ErrBudget, ErrInterrupted and ErrClosed of package session.
func (s *Session) Send(ch channel.ID, b []byte) error {
	_, err := s.SendWith(ch, b, channel.Options{})
	return err
}

// SendWith is Send with options. It has one more error, ErrExpired. The MessageID is the
// number that SessionHandler.Receipt gets.
func (s *Session) SendWith(ch channel.ID, b []byte, o channel.Options) (channel.MessageID, error) {
	s.endpoint.loop.Lock()
	defer s.release()
	if s.renew {
		return 0, ErrClosed
	}
	return s.session.Send(time.Now(), ch, b, o)
}

// Close ends the session. The session first delivers its reliable messages, for at most
// SessionConfig.DrainTimeout. Then SessionHandler.Close is called, and the server's
// program gets the code and the text, of which at most 256 bytes are sent. Close does
// not wait for any of this.
func (s *Session) Close(code session.CloseCode, text string) {
	s.endpoint.loop.Lock()
	defer s.release()
	s.quit = true
	if s.renew {
		s.giveUp(session.CloseReason{Code: code, Text: text})
		return
	}
	s.session.Close(time.Now(), code, text, false)
}

// release sends the session's pending datagrams and unlocks the endpoint. While the loop
// works through a batch it only makes sure that the loop sends them.
func (s *Session) release() {
	s.endpoint.loop.Release(s, false, s.session.Pending() || s.session.State() == sessioncore.Closed)
}

// The endpoint calls the methods below. Its lock is held, except in deliver.

func (s *Session) place() *loop.Entry { return &s.entry }

func (s *Session) deadline() time.Time {
	if s.over {
		return time.Time{}
	}
	return s.session.Deadline()
}

// linkUp gives the session its new link c, which has opened. It closes c if the session
// does not need a link any more.
func (s *Session) linkUp(c *Conn) {
	if s.over || c.of != s.session || s.session.State() >= sessioncore.Closing {
		c.close(time.Now())
		return
	}
	s.link = c
	s.session.Link(time.Now(), sessioncore.LinkInfo{})
	s.endpoint.loop.Touch(s)
}

func (s *Session) receive(c *Conn, b []byte) {
	if c != s.link {
		return // the session has moved
	}
	s.session.Receive(time.Now(), b)
	s.endpoint.loop.Touch(s)
}

func (s *Session) linkDown(c *Conn, why *CloseError) {
	if c != s.link {
		return
	}
	s.link, s.lost = nil, why
	s.session.Unlink(time.Now())
	s.endpoint.loop.Touch(s)
	s.stir()
}

func (s *Session) advance(now time.Time) { s.session.Advance(now) }

// settle sends the session's pending datagrams.
func (s *Session) settle(now time.Time) {
	e := s.endpoint
	for s.link != nil {
		b := s.session.Append(now, e.scratch[:0], MaxMessage)
		if len(b) == 0 {
			break
		}
		out, to, err := s.link.peer.Send(now, e.loop.Slot(), 0, peer.Kind(Binary), b)
		if err != nil {
			break
		}
		e.loop.Push(out, to.Remote, s.link.local)
		e.stats.MessagesOut++
	}
	if s.link != nil {
		e.loop.Time(s.link)
	}
	if over := s.session.Over() && (!s.renew || s.opened != nil); !s.over && (over || s.session.Pending()) {
		e.loop.Touch(s) // for ready, which takes the news, removes the session or ends the wait of open
		e.loop.Wake()
	}
}

// abandon ends the session because the endpoint ends.
func (s *Session) abandon(now time.Time) {
	s.quit = true
	if s.renew {
		s.giveUp(session.CloseReason{Text: "the endpoint was closed"})
		return
	}
	s.session.Close(now, session.CloseNormal, "the endpoint was closed", true)
	s.settle(now)
	s.endpoint.loop.Touch(s)
}

// ready takes the session's events for deliver, and removes a session that is over.
func (s *Session) ready() bool {
	s.take()
	return len(s.news) > 0 || s.done
}

func (s *Session) take() {
	if s.begun < len(s.news) {
		s.session.Own() // a handler has panicked, and the other events are delivered first
		return
	}
	s.begun = 0
	s.news, s.from = s.session.Events(s.session.Release(s.news)), s.session
	s.answers = s.answers[:0]
	for i := range s.news {
		switch ev := &s.news[i]; ev.Type {
		case sessioncore.EventOpen:
			s.renew = false
			s.settled()
			s.stir()
		case sessioncore.EventResumed:
			s.stir()
		case sessioncore.EventToken:
			s.token = ev.Token
		case sessioncore.EventInterrupted:
			s.chase()
		case sessioncore.EventClosed:
			s.renew = s.config.Renew && !s.quit && s.config.renewable(ev.Reason)
			s.renews = s.renew
			s.stir()
			s.chase()
		case sessioncore.EventResult:
			s.answers = append(s.answers, s.asked[ev.Request])
			delete(s.asked, ev.Request)
		}
	}
	if s.last != nil {
		s.news = append(s.news, sessioncore.Event{Type: sessioncore.EventClosed, Reason: *s.last})
		s.last, s.renews = nil, false
		s.end()
	}
	if s.session.State() != sessioncore.Closed || !s.session.Over() || s.over {
		return
	}
	if s.settled(); !s.renew {
		s.end()
	}
}

// settled ends the wait of open: the session is open, or is over.
func (s *Session) settled() {
	if s.opened != nil {
		close(s.opened)
		s.opened = nil
	}
}

// drop closes the link, if there is one.
func (s *Session) drop() {
	if c := s.link; c != nil {
		s.link = nil
		c.close(time.Now())
	}
}

// end removes the session from the endpoint's tables.
func (s *Session) end() {
	e := s.endpoint
	s.over = true
	s.die()
	s.settled()
	s.drop()
	e.loop.Forget(s)
	delete(e.sessions, s)
	if s.own {
		s.done = true
	}
}
