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
	patience       = 3 * time.Second // wait for a packet of the server over a new link

	maxStrangers = 5 // attempts in a row after which one server's "unknown session" is final
)

// A lack is what an interrupted or ended session needs, and pursue makes.
type lack uint8

const (
	nothing  lack = iota
	aLink         // the session is interrupted and needs a link
	aSession      // the session is over and needs a new session
)

// lacks returns what the session needs now. The endpoint's lock is held.
func (s *Session) lacks() lack {
	switch {
	case s.over || s.endpoint.loop.Closed():
		return nothing
	case s.renew:
		return aSession
	case s.session.Interrupted() && !s.config.NoReconnect:
		return aLink
	}
	return nothing
}

// chase starts pursue if the session needs something and pursue does not run. The
// endpoint's lock is held.
func (s *Session) chase() {
	if s.pursued || s.lacks() == nothing {
		return
	}
	s.pursued = true
	select {
	case <-s.stirred: // old news
	default:
	}
	go s.pursue()
}

// backoff is the state of pursue between attempts that are for the same lack.
type backoff struct {
	of     lack
	next   time.Duration // longest wait before the next attempt
	denied bool          // the credentials were refused once

	stranger  string // the last instance of a server that did not know the session
	strangers int    // the number of its refusals in a row
}

// alone counts an attempt that failed with err. It returns true if the last maxStrangers
// attempts reached the same server, which does not know the session: there is probably
// no other server.
func (b *backoff) alone(err error) bool {
	e, _ := errors.AsType[*SignalError](err)
	of := e.stranger()
	if of != b.stranger {
		b.stranger, b.strangers = of, 0
	}
	b.strangers++
	return of != "" && b.strangers == maxStrangers
}

// wait returns the time to wait after an attempt that returned err, which may be nil.
func (b *backoff) wait(err error) time.Duration {
	d := b.next/2 + rand.N(b.next/2)
	b.next = min(2*b.next, longestBackoff)
	if e, ok := errors.AsType[*SignalError](err); ok {
		asked := e.retryAfter
		if b.of == aLink {
			asked = min(asked, longestBackoff) // the session ends when its grace time has passed
		}
		d = max(d, asked)
	}
	return d
}

// pursue makes attempts until the session needs nothing, or the server's refusal is
// final. It makes the first attempt at a link at once. It waits before the first attempt
// at a new session, because the sessions of many clients may end at the same time.
func (s *Session) pursue() {
	var b backoff
	for l := s.still(); l != nothing; l = s.still() {
		if l != b.of {
			b = backoff{of: l, next: firstBackoff}
			if l == aSession {
				s.pause(l, b.wait(nil))
				continue
			}
		}
		err := s.attempt(l)
		if denied := isDenied(err); denied && !b.denied && s.config.Token != nil {
			b.denied = true // Token may return another token the next time
		} else if denied || s.config.isFinal(err) || b.alone(err) {
			s.refused(l, err)
		}
		s.pause(l, b.wait(err))
	}
}

// still returns what the session needs. If it needs nothing, still clears pursued and
// the loop of pursue must end.
func (s *Session) still() lack {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	l := s.lacks()
	s.pursued = l != nothing
	return l
}

// attempt makes one attempt to get l.
func (s *Session) attempt(l lack) error {
	ctx, cancel := context.WithTimeout(s.life, attemptTimeout)
	defer cancel()
	select {
	case <-s.stirred: // old news
	default:
	}
	if l == aSession {
		return s.restart(ctx)
	}
	err := s.dial(ctx, true, false)
	if err == nil {
		s.pause(l, patience) // until a packet arrives over the new link; else try again
	}
	return err
}

// restart replaces a session that is over by a new one, and waits until the new session
// is open or has failed.
func (s *Session) restart(ctx context.Context) error {
	fresh, err := sessioncore.New(time.Now(), s.config.session())
	if err != nil {
		return err
	}
	e := s.endpoint
	e.loop.Lock()
	if !s.renew {
		e.loop.Unlock()
		return nil
	}
	s.drop()
	s.session, s.opened, s.lost = fresh, make(chan struct{}), nil
	e.loop.Unlock()
	return s.open(ctx, false)
}

// pause waits for d. It returns at once if the session does not need l any more, and
// earlier than d after stir or when the session is over.
func (s *Session) pause(l lack, d time.Duration) {
	s.endpoint.loop.Lock()
	changed := s.lacks() != l
	s.endpoint.loop.Unlock()
	if changed {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stirred:
	case <-s.life.Done():
	}
}

// stir ends a pause.
func (s *Session) stir() {
	select {
	case s.stirred <- struct{}{}:
	default:
	}
}

// refused ends the session because of a final refusal. After the status 410 (the session
// cannot be resumed) a new session may begin if SessionConfig.Renew is set.
func (s *Session) refused(l lack, err error) {
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if s.lacks() != l {
		return // the session has got it, or is over, since the attempt
	}
	why := session.CloseReason{Code: session.CloseTimeout, Text: err.Error()}
	r, ok := errors.AsType[*SignalError](err)
	if ok {
		why.Text = r.Text
	}
	if ended, ok := errors.AsType[*SessionError](err); ok {
		why = ended.Why
	}
	s.quit = s.quit || !ok || r.Status != http.StatusGone
	switch {
	case l == aLink:
		s.session.Close(time.Now(), why.Code, why.Text, true)
	case s.renew:
		s.giveUp(why)
	}
	e.loop.Touch(s)
	e.loop.Wake()
}

// giveUp ends the attempts to begin a new session; Handler.Close gets why. The endpoint's
// lock is held.
func (s *Session) giveUp(why session.CloseReason) {
	s.renew, s.quit, s.last = false, true, &why
	s.stir()
	s.endpoint.loop.Touch(s)
	s.endpoint.loop.Wake()
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
	return ok && e.Code != "" && e.stranger() == "" && e.Status != http.StatusTooManyRequests && e.Status < 500
}

// isDenied reports whether the server refuses the credentials.
func isDenied(err error) bool {
	e, ok := errors.AsType[*SignalError](err)
	return ok && e.Code != "" && e.Status == http.StatusUnauthorized
}
