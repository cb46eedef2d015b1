package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// Times between attempts to reconnect.
const (
	firstBackoff   = 500 * time.Millisecond
	longestBackoff = 10 * time.Second
	attemptTimeout = 10 * time.Second

	// The longest wait after a server's answer that it does not know the session. Such an answer costs it little, and another
	// server may know the session.
	unknownBackoff = time.Second

	patience = 3 * time.Second // wait for a packet of the server over a new link

	maxUnknown = 5 // attempts in a row after which one server's "unknown session" is final
)

// A need is what an interrupted or ended session needs, and reconnect makes.
type need uint8

const (
	needNothing need = iota
	needLink         // the session is interrupted and needs a link
	needSession      // the session is over and needs a new session
	needBetter       // the session is open on a WebSocket, and prefers WebRTC
)

// backoff is the state of reconnect between attempts that are for the same need.
type backoff struct {
	of     need
	next   time.Duration // longest wait before the next attempt
	denied bool          // the credentials were refused once

	unknownAt string // the last instance of a server that did not know the session
	unknown   int    // the number of its refusals in a row
}

// countUnknown counts an attempt that failed with err. It returns true if maxUnknown attempts in a row reached the same server,
// which does not know the session: there is probably no other server. Attempts that reached no server, or one that is busy, do not
// count.
func (b *backoff) countUnknown(err error) bool {
	e, _ := errors.AsType[*SignalError](err)
	at := e.unknownAt()
	if at == "" {
		return false
	}
	if at != b.unknownAt {
		b.unknownAt, b.unknown = at, 0
	}
	b.unknown++
	return b.unknown == maxUnknown
}

// wait returns the time to wait after an attempt that returned err, which may be nil.
func (b *backoff) wait(err error) time.Duration {
	e, ok := errors.AsType[*SignalError](err)
	next := b.next
	if e.unknownAt() != "" {
		next = min(next, unknownBackoff)
	}
	d := next/2 + rand.N(next/2)
	b.next = min(2*b.next, longestBackoff)
	if ok {
		asked := e.retryAfter
		if b.of == needLink {
			asked = min(asked, longestBackoff) // the session ends when its grace time has passed
		}
		// Clients that are refused at the same moment must not come back at the same moment.
		d = max(d, asked+rand.N(asked/2+1))
	}
	return d
}

// needs returns what the session needs now. The endpoint's lock is held.
func (s *Session) needs() need {
	switch {
	case s.endpoint.loop.Closed():
		return needNothing
	case s.state.renewing():
		return needSession
	case s.state == sessionOpen && s.session.Interrupted() && !s.config.NoReconnect:
		return needLink
	case s.state == sessionOpen && s.link != nil && s.rank(s.link.name()) > s.rank(session.LinkWebRTC) && !s.config.NoReconnect:
		return needBetter
	}
	return needNothing
}

// startReconnect starts reconnect if the session needs something and reconnect does not
// run. The endpoint's lock is held.
func (s *Session) startReconnect() {
	if s.reconnecting || s.needs() == needNothing {
		return
	}
	s.reconnecting = true
	go s.reconnect()
}

// wakeReconnect makes reconnect look at what the session needs now.
func (s *Session) wakeReconnect() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// forgetWake takes back a wakeReconnect that came before now.
func (s *Session) forgetWake() {
	select {
	case <-s.woken:
	default:
	}
}

// reconnect makes attempts until the session needs nothing, or the server's refusal is
// final. It makes the first attempt at a link at once. It waits before the first attempt
// at a new session, because the sessions of many clients may end at the same time.
func (s *Session) reconnect() {
	var b backoff
	for n := s.nextNeed(); n != needNothing; n = s.nextNeed() {
		if n != b.of {
			b = backoff{of: n, next: firstBackoff}
			s.forgetWake() // it was for the need of before, and must not end the first wait
			if n == needSession && !s.follows(&b) {
				s.rest(n, b.wait(nil))
			}
		}
		if n == needBetter {
			if s.rest(n, s.untilBetter()) {
				s.attemptBetter()
			}
			continue
		}
		resumed := s.timesResumed()
		err := s.attempt(n)
		if n == needSession && s.detours(err) { // the program's own server is the next one
		} else if isDenied(err) && !b.denied && s.config.mayGetAnother() {
			b.denied = true // Token may return another token the next time
		} else if s.config.isFinal(err) || b.countUnknown(err) {
			s.fail(n, err)
		}
		s.restSince(n, b.wait(err), resumed) // the end of a link is a wake, but no reason to ask a busy server earlier than it says
	}
}

// nextNeed returns what the session needs. If it needs nothing, reconnect must end.
func (s *Session) nextNeed() need {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	n := s.needs()
	s.reconnecting = n != needNothing
	return n
}

// attempt makes one attempt to get what the session needs.
func (s *Session) attempt(n need) error {
	ctx, cancel := context.WithTimeout(s.ctx, attemptTimeout)
	defer cancel()
	if n == needSession {
		return s.reopen(ctx)
	}
	s.setQuit(cancel)
	err := s.dial(ctx, true, false)
	s.setQuit(nil)
	if err == nil {
		s.pause(n, patience) // until a packet arrives over the new link; else try again
		s.endpoint.loop.Lock()
		defer s.endpoint.loop.Unlock()
		return s.takeRefusal()
	}
	return err
}

// rest waits for d, also after wakeReconnect. It returns false, at once, if the session does
// not need n any more, also if it needs n again since: after it was resumed and interrupted.
func (s *Session) rest(n need, d time.Duration) bool {
	return s.restSince(n, d, s.timesResumed())
}

// timesResumed returns how often the session was resumed.
func (s *Session) timesResumed() int {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.resumed
}

// restSince is rest of a session that had been resumed so many times when its last attempt began.
func (s *Session) restSince(n need, d time.Duration, resumed int) bool {
	for end := time.Now().Add(d); ; {
		s.endpoint.loop.Lock()
		needed := s.needs() == n && s.resumed == resumed
		s.endpoint.loop.Unlock()
		left := time.Until(end)
		if !needed || left <= 0 || s.ctx.Err() != nil {
			return needed && s.ctx.Err() == nil
		}
		s.pause(n, left)
	}
}

// attemptBetter makes one attempt at a better link.
func (s *Session) attemptBetter() {
	ctx, cancel := context.WithTimeout(s.ctx, betterOpens)
	defer cancel()
	s.dialBetter(ctx)
}

// reopen replaces a session that is over by a new one, and waits until the new session is
// open or has failed.
func (s *Session) reopen(ctx context.Context) error {
	fresh, err := sessioncore.New(time.Now(), s.config.session())
	if err != nil {
		return err
	}
	s.endpoint.loop.Lock()
	if !s.setState(sessionReopening) {
		s.endpoint.loop.Unlock()
		return nil // the program has closed it
	}
	s.closeLink()
	s.session, s.opened, s.lost = fresh, make(chan struct{}), nil
	s.endpoint.loop.Unlock()
	return s.open(ctx, false)
}

// pause waits for d. It returns at once if the session does not need n any more, and
// earlier than d after wakeReconnect or when the session is over.
func (s *Session) pause(n need, d time.Duration) {
	s.endpoint.loop.Lock()
	changed := s.needs() != n
	s.endpoint.loop.Unlock()
	if changed {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.woken:
	case <-s.ctx.Done():
	}
}

// fail ends the session because err, of an attempt to get n, is final. After the status 410
// (the session cannot be resumed) a new session may begin if SessionConfig.Renew is set.
func (s *Session) fail(n need, err error) {
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if s.needs() != n {
		return // the session has got it, or is over, since the attempt
	}
	why := session.CloseReason{Code: session.CloseTimeout, Text: err.Error()}
	r, refused := errors.AsType[*SignalError](err)
	if refused {
		why.Text = r.Text
	}
	if ended, ok := errors.AsType[*SessionError](err); ok {
		why = ended.Why
	}
	if n == needLink && refused && r.Status == http.StatusGone {
		s.session.Close(time.Now(), why.Code, why.Text, true)
	} else {
		s.close(why, true)
	}
	e.loop.Touch(s)
	e.loop.Wake()
}

// isFinal reports whether another attempt would fail with the same error.
func (c *SessionConfig) isFinal(err error) bool {
	if _, ok := errors.AsType[*channel.TableError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*SessionError](err); ok {
		return e.Why.Remote && !c.renewable(e.Why)
	}
	// A response without a code is not of the server, but for example of a proxy.
	e, ok := errors.AsType[*SignalError](err)
	return ok && e.Code != "" && e.unknownAt() == "" && e.Status != http.StatusTooManyRequests && e.Status < 500
}

// isDenied reports whether the server refuses the credentials.
func isDenied(err error) bool {
	e, ok := errors.AsType[*SignalError](err)
	return ok && e.Code != "" && e.Status == http.StatusUnauthorized
}
