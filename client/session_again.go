package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/session"
)

// Times between attempts to reconnect.
const (
	firstBackoff   = 500 * time.Millisecond
	longestBackoff = 10 * time.Second
	attemptTimeout = 10 * time.Second
	patience       = 3 * time.Second // with a link that is open and silent

	maxStrangers = 5 // answers of one server that it does not know the session
)

// A lack is what a session wants that takes a while to get.
type lack uint8

const (
	nothing  lack = iota
	aLink         // to go on over
	aSession      // because this one is over
)

// lacks returns what the session lacks. The endpoint's lock is held.
func (s *Session) lacks() lack {
	switch {
	case s.over || s.endpoint.closed:
		return nothing
	case s.renew:
		return aSession
	case s.session.Interrupted() && !s.config.NoReconnect:
		return aLink
	}
	return nothing
}

// chase has what the session lacks tried for. The endpoint's lock is held.
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

// backoff is how long to wait between attempts to end one lack.
type backoff struct {
	of     lack
	next   time.Duration
	denied bool // the credentials were refused once

	stranger  string // the instance that did not know the session, last
	strangers int    // how often in a row
}

// alone takes note of an attempt that failed with err, and reports whether there seems
// to be one server only, which does not know the session.
func (b *backoff) alone(err error) bool {
	e, _ := errors.AsType[*SignalError](err)
	of := e.stranger()
	if of != b.stranger {
		b.stranger, b.strangers = of, 0
	}
	b.strangers++
	return of != "" && b.strangers == maxStrangers
}

// wait returns how long to wait after an attempt that failed with err, if it did.
func (b *backoff) wait(err error) time.Duration {
	d := b.next/2 + rand.N(b.next/2)
	b.next = min(2*b.next, longestBackoff)
	if e, ok := errors.AsType[*SignalError](err); ok {
		asked := e.retryAfter
		if b.of == aLink {
			asked = min(asked, longestBackoff) // the grace time runs
		}
		d = max(d, asked)
	}
	return d
}

// pursue tries until the session lacks nothing, or the server refuses for good. The
// first attempt at a link is immediate; many sessions may end at once, so the first at
// a new one is not.
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
			b.denied = true // the next token may be a better one
		} else if denied || isFinal(err) || b.alone(err) {
			s.refused(l, err)
		}
		s.pause(l, b.wait(err))
	}
}

// still returns what the session lacks. If that is nothing, pursue must end.
func (s *Session) still() lack {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	l := s.lacks()
	s.pursued = l != nothing
	return l
}

// attempt tries once.
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
	err := s.dial(ctx, true)
	if err == nil {
		s.pause(l, patience) // a link that ends, or says nothing, is none
	}
	return err
}

// restart puts a new session in the place of one that is over.
func (s *Session) restart(ctx context.Context) error {
	fresh, err := session.New(time.Now(), s.config.session())
	if err != nil {
		return err
	}
	e := s.endpoint
	e.mu.Lock()
	if !s.renew {
		e.mu.Unlock()
		return nil
	}
	s.drop()
	s.session, s.opened, s.lost = fresh, make(chan struct{}), nil
	e.mu.Unlock()
	return s.open(ctx)
}

// pause waits for d while the session lacks l, or until there is news.
func (s *Session) pause(l lack, d time.Duration) {
	s.endpoint.mu.Lock()
	changed := s.lacks() != l
	s.endpoint.mu.Unlock()
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

// refused ends the session, because the server wants no attempt any more. If it only
// has nothing to resume, a new session is another matter.
func (s *Session) refused(l lack, err error) {
	e := s.endpoint
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.lacks() != l {
		return // the server was heard meanwhile
	}
	why := session.Reason{Code: session.Timeout, Text: err.Error()}
	r, ok := errors.AsType[*SignalError](err)
	if ok {
		why.Text = r.Text
	}
	if ended, ok := errors.AsType[*SessionError](err); ok {
		why = session.Reason(ended.Why)
	}
	s.quit = s.quit || !ok || r.Status != http.StatusGone
	switch {
	case l == aLink:
		s.session.Close(time.Now(), why.Code, why.Text, true)
	case s.renew:
		s.giveUp(why)
	}
	e.touch(s.carrier)
	e.wake()
}

// giveUp ends what renew has begun. The endpoint's lock is held.
func (s *Session) giveUp(why session.Reason) {
	s.renew, s.quit, s.last = false, true, &why
	s.stir()
	s.endpoint.touch(s.carrier)
	s.endpoint.wake()
}

// renewable reports whether a new session may begin after one that ended like this.
func renewable(r session.Reason) bool {
	return r.Code == session.Timeout || r.Code == session.Shutdown
}

// isFinal reports whether to ask again is of no use.
func isFinal(err error) bool {
	if _, ok := errors.AsType[*channel.TableError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*SessionError](err); ok {
		return e.Why.Remote && !renewable(session.Reason(e.Why))
	}
	// What has no code is not the server's answer, but of something before it.
	e, ok := errors.AsType[*SignalError](err)
	return ok && e.Code != "" && e.stranger() == "" && e.Status != http.StatusTooManyRequests && e.Status < 500
}

// isDenied reports whether the server refuses the credentials.
func isDenied(err error) bool {
	e, ok := errors.AsType[*SignalError](err)
	return ok && e.Code != "" && e.Status == http.StatusUnauthorized
}
