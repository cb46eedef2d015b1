// Package owed has the answer to a request of the other end of a session. A program
// gives the answer once, on any goroutine. If a request that was kept becomes
// unreachable without an answer, the package rejects it.
//
// The requests of package godwit and of package client use it. It knows nothing of
// links and locks: the Do of an [Answer] gives access to the session.
package owed

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/internal/sessioncore"
)

// A Do calls a func with the session, with the lock held that guards the session.
type Do func(func(s *sessioncore.Session, now time.Time) error) error

// An Answer is the answer to one request. Its methods may be called from any goroutine,
// except Keep and Kept, which only the handler may call.
type Answer struct {
	*debt
	kept bool
}

// debt has what is needed to answer, without a reference to the request.
type debt struct {
	id   uint32
	do   Do
	done atomic.Bool
}

// To returns an Answer for the request with an id.
func To(id uint32, do Do) Answer { return Answer{debt: &debt{id: id, do: do}} }

// Kept reports whether Keep was called.
func (a *Answer) Kept() bool { return a.kept }

// Keep makes the garbage collector reject the request if holder, which contains the
// Answer, becomes unreachable before it is answered. Call Keep at most once.
func Keep[T any](holder *T, a *Answer) {
	a.kept = true
	runtime.AddCleanup(holder, (*debt).lost, a.debt)
}

func (d *debt) lost() { d.Reject("no answer") }

// Reply answers with bytes. After any error except ErrAnswered the request has no
// answer yet.
func (d *debt) Reply(b []byte) error {
	return d.once(func(s *sessioncore.Session, now time.Time) error { return s.Reply(now, d.id, b) })
}

// Ack answers: done.
func (d *debt) Ack() error {
	return d.once(func(s *sessioncore.Session, now time.Time) error { return s.Ack(now, d.id) })
}

// Reject answers: no.
func (d *debt) Reject(text string) error {
	return d.once(func(s *sessioncore.Session, now time.Time) error { return s.Reject(now, d.id, text) })
}

func (d *debt) once(f func(*sessioncore.Session, time.Time) error) error {
	if !d.done.CompareAndSwap(false, true) {
		return sessioncore.ErrAnswered
	}
	err := d.do(f)
	if err != nil && err != sessioncore.ErrAnswered {
		d.done.Store(false)
	}
	return err
}
