package client

import (
	"context"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/deflate"
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
	own      bool // the endpoint was made by Connect, and ends with the session if that was open
	config   SessionConfig
	url      string
	over     *LinkConfig // of JoinOver; else nil
	ctx      context.Context
	cancel   context.CancelFunc
	woken    chan struct{} // holds one token when something has changed for reconnect
	finished chan struct{} // closed when the last handler has returned

	// The endpoint's lock guards the fields below: all links of a session are connections
	// of one endpoint.
	state        sessionState
	session      *sessioncore.Session
	opened       chan struct{} // closed when session is not being opened any more
	entry        loop.Entry
	link         link              // the open link of session; nil if there is none
	linkName     string            // for Link
	moved        time.Time         // when the session moved to the link; zero if the link is its first one
	noUDP        bool              // the next race is without UDP
	better       time.Duration     // wait before the next attempt at a better link
	tcp          bool              // the last answer had a WebSocket, and the session wants it
	retry        time.Time         // while link takes no datagram: when session is looked at again
	up           chan struct{}     // closed when dial need not wait any more, and then nil
	upErr        error             // why dial has failed
	lost         *CloseError       // why the last link ended
	token        sessioncore.Token // the newest resume token
	next         nextLink          // what the session needs for a link without a request
	trying       *Conn             // the last such link
	opening      *Conn             // the last connection that was begun for the session; nil if it is gone
	seat         *auth.Seat        // where the session is; nil if it is where Connect or Join began it
	goal         *auth.Seat        // where the next session is to be; see move.go
	moves        moves
	refusal      *SignalError        // why the server has refused such a link, until an attempt takes it
	reconnecting bool                // the goroutine of reconnect runs
	resumed      int                 // times that the session was resumed
	why          session.CloseReason // in sessionGivenUp: why it has
	asked        map[uint32]func(session.Result)

	told delivery
}

var _ session.End = (*Session)(nil)

// State returns the state of the session. While Renew begins a new session it is
// StateOpening.
func (s *Session) State() session.State {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.state.public(s.session.Public())
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

// SendWith is Send with options. It has one more error, session.ErrExpired. The MessageID
// is the number that SessionHandler.Receipt gets.
func (s *Session) SendWith(ch channel.ID, b []byte, o channel.Options) (channel.MessageID, error) {
	return s.send(ch, "", b, nil, o)
}

// send is SendWith. If name is not empty it is the name of the channel. packed, if not nil, is b for
// channels with Compress. No lock is held while send makes it.
func (s *Session) send(ch channel.ID, name string, b, packed []byte, o channel.Options) (channel.MessageID, error) {
	s.endpoint.loop.Lock()
	if name != "" {
		ch, _ = s.session.Mux().Channels().ID(name) // 0 if there is none, which is ErrUnknown
	}
	if packed == nil && s.session.Mux().Packs(ch, len(b)) {
		s.endpoint.loop.Unlock()
		p := deflate.TakePacker()
		defer p.Return()
		return s.send(ch, name, b, p.Pack(b), o)
	}
	defer s.release()
	if s.state.over() {
		return 0, session.ErrClosed
	}
	return s.session.SendPacked(time.Now(), ch, b, packed, o)
}

// Close ends the session. The session first delivers its reliable messages, for at most
// SessionConfig.DrainTimeout; without a link it ends at once. Then SessionHandler.Close is
// called, and the server's program gets the code and the text. At most 256 bytes of text
// are sent, and none if it is not UTF-8. Close does not wait for any of this. A code above
// 65535 becomes 65535. While Renew begins a new session, Close ends that, too.
func (s *Session) Close(code session.CloseCode, text string) {
	s.endpoint.loop.Lock()
	defer s.release()
	s.close(session.CloseReason{Code: code, Text: text}, false)
}

// release sends the session's pending datagrams and unlocks the endpoint. While the loop
// works through a batch it only makes sure that the loop sends them.
func (s *Session) release() {
	s.endpoint.loop.Release(s, false, s.session.Pending() || s.session.State() == sessioncore.Closed)
}

// The endpoint calls the methods below. Its lock is held, except in deliver.

func (s *Session) loopEntry() *loop.Entry { return &s.entry }

func (s *Session) deadline() time.Time {
	if s.state == sessionEnded {
		return time.Time{}
	}
	t := s.session.Deadline()
	if w, ok := s.link.(*carried); ok && w.held != nil {
		if t.Before(s.retry) && !t.IsZero() {
			t = s.retry
		}
		return loop.Sooner(t, w.stuck)
	}
	return t
}

// linkUp gives the session its new link l, which has opened. It closes l if the session
// does not need a link any more, or has a better one, and returns false.
func (s *Session) linkUp(l link) bool {
	now := time.Now()
	if l.name() == session.LinkWebRTC {
		s.forgetFall()
	}
	over := s.state.over() && !s.state.renewing() || l.madeFor() != s.session || s.session.State() >= sessioncore.Closing
	if over || s.link != nil && !s.session.Interrupted() && s.rank(l.name()) >= s.rank(s.link.name()) {
		l.leave(now, false)
		return false
	}
	if old := s.link; old != nil {
		s.link = nil // so that linkDown does nothing
		old.leave(now, true)
	}
	s.link, s.linkName, s.moved = l, l.name(), time.Time{}
	if c, ok := l.(*Conn); ok {
		s.noteReach(c)
	}
	if s.session.WasOpen() {
		s.moved = now
	}
	s.session.Link(now, sessioncore.LinkInfo{Reliable: l.isReliable()})
	s.endpoint.loop.Touch(s)
	s.dialed(nil)
	return true
}

// dialed ends the wait of dial.
func (s *Session) dialed(err error) {
	if s.up != nil {
		s.upErr = err
		close(s.up)
		s.up = nil
	}
}

func (s *Session) receive(l link, b []byte) {
	if l != s.link {
		return // the session has moved
	}
	s.session.Receive(time.Now(), b)
	s.endpoint.loop.Touch(s)
}

func (s *Session) linkDown(l link, why *CloseError) {
	if l != s.link {
		return
	}
	s.link, s.lost = nil, why
	s.session.Unlink(time.Now())
	s.endpoint.loop.Touch(s)
	s.wakeReconnect()
}

func (s *Session) advance(now time.Time) {
	s.session.Advance(now)
	s.retry = now.Add(fullPause)
	if w, ok := s.link.(*carried); ok && w.held != nil && !now.Before(w.stuck) {
		w.leave(now, false)
		s.linkDown(w, &CloseError{Code: CloseByClient, Err: errLinkStuck})
	}
}

// settle sends the session's pending datagrams.
func (s *Session) settle(now time.Time) {
	e := s.endpoint
	for s.link != nil && s.link.takes() {
		b := s.session.Append(now, e.scratch[:0], MaxMessage)
		if len(b) == 0 || !s.link.carry(now, b) {
			break
		}
	}
	if c, ok := s.link.(*Conn); ok {
		e.loop.Time(c)
	}
	if s.due() {
		e.loop.Touch(s)
		e.loop.Wake()
	}
}

// carry sends a datagram of a session over c. It returns false if c cannot send.
func (e *Endpoint) carry(now time.Time, c *Conn, b []byte) bool {
	if c.admit != nil && !e.push(now, c, c.admit) {
		return false
	}
	if !e.push(now, c, b) {
		return false
	}
	e.stats.MessagesOut++
	return true
}

// push sends a datagram over c. It returns false if c cannot send.
func (e *Endpoint) push(now time.Time, c *Conn, b []byte) bool {
	out, to, err := c.peer.Send(now, e.loop.Slot(), 0, peer.Kind(Binary), b)
	if err != nil {
		return false
	}
	e.loop.Push(out, to.Remote, c.local)
	return true
}

// due reports whether ready has something to do: it has events to take, or the session is
// over and is to be removed, or to be renewed.
func (s *Session) due() bool {
	switch s.state {
	case sessionRenewing, sessionEnded: // over, and its events are taken
		return false
	}
	return s.session.Pending() || s.session.Over()
}

// abandon ends the session because the endpoint ends.
func (s *Session) abandon(now time.Time) {
	s.close(session.CloseReason{Text: "the endpoint was closed"}, true)
	s.settle(now)
	s.session.Unlink(now) // the server may say nothing more, and a WebSocket would wait for its answer
	s.endpoint.loop.Touch(s)
}

// close ends the session, and none follows. atOnce means that it does not wait until its
// messages are delivered.
func (s *Session) close(why session.CloseReason, atOnce bool) {
	if s.state.renewing() {
		s.giveUp(why)
	}
	if s.state.over() {
		return
	}
	s.setState(sessionClosing)
	s.session.Close(time.Now(), why.Code, why.Text, atOnce)
}

// giveUp ends the renewing of the session; Handler.Close gets why.
func (s *Session) giveUp(why session.CloseReason) {
	if !s.setState(sessionGivenUp) {
		return
	}
	s.why = why
	s.session.Close(time.Now(), why.Code, why.Text, true) // a new session that its server has opened
}

// ready takes the session's events for deliver, and removes a session that is over.
func (s *Session) ready() bool {
	if s.told.rest() { // a handler has panicked, and the other events are delivered first
		s.session.Own()
		s.endpoint.loop.Touch(s) // the next turn delivers what comes after these events
		return true
	}
	s.told.take(s.session)
	if s.state == sessionGivenUp { // nobody waits for the events of a new session
		s.told.end(s.why) // and the new session repeats its close frame until it is over
	}
	for i := range s.told.events {
		s.processEvents(&s.told.events[i])
	}
	if s.session.Over() {
		switch s.state {
		case sessionReopening:
			s.setState(sessionRenewing)
		case sessionOpening, sessionClosing:
			s.end()
		}
	}
	return s.told.rest() || s.told.last
}

// processEvents does what an event of the session causes, before the program gets the event.
func (s *Session) processEvents(ev *sessioncore.Event) {
	switch ev.Type {
	case sessioncore.EventOpen:
		s.setState(sessionOpen)
		s.goal, s.moves.opened = nil, time.Now()
		s.startReconnect() // on a worse link it looks for a better one
	case sessioncore.EventResumed:
		s.resumed++
		s.wakeReconnect() // which runs while the session is interrupted
	case sessioncore.EventToken:
		s.token, s.next.ufrag, s.next.pwd = sessioncore.Next(ev.Data)
	case sessioncore.EventInterrupted:
		s.noteLife(time.Now())
		s.wakeReconnect() // which may rest because the link of before was worse than WebRTC
		s.startReconnect()
		s.startAsking()
	case sessioncore.EventMoved:
		s.noteMove(ev.Data)
	case sessioncore.EventClosed:
		if !s.config.Renew || !s.config.renewable(ev.Reason) || !s.setState(sessionRenewing) { // only an open session is renewed
			s.setState(sessionClosing)
		}
		s.told.renews = s.state == sessionRenewing
		s.wakeReconnect()
		s.startReconnect()
	case sessioncore.EventResult:
		s.told.answers = append(s.told.answers, s.asked[ev.Request])
		delete(s.asked, ev.Request)
	}
}

// closeLink closes the link, if there is one.
func (s *Session) closeLink() {
	if l := s.link; l != nil {
		s.link = nil
		l.leave(time.Now(), false)
	}
}

// end removes the session from the endpoint's tables.
func (s *Session) end() {
	e := s.endpoint
	s.told.last = s.own && s.state != sessionOpening // Connect tries again, or closes the endpoint
	s.setState(sessionEnded)
	s.cancel()
	s.closeLink()
	if c := s.opening; c != nil && c.state == connOpening { // another link was faster
		c.close(time.Now())
	}
	e.loop.Remove(s)
	delete(e.sessions, s)
}
