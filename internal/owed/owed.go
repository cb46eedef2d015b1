// Package owed is the answer that a program owes the other end of a session: given
// once, by any goroutine, and a rejection if the program loses sight of it.
//
// Both ends' requests are made of it: those of package godwit and of package client.
// It knows nothing of links and locks: whoever makes an [Answer] says how to reach the
// session.
package owed

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/internal/session"
)

// A Do runs a func with the session, and the lock that guards it held.
type Do func(func(s *session.Session, now time.Time) error) error

// An Answer is owed to one request. Its methods may be called from any goroutine, but
// for Keep and Kept, which belong to the handler.
type Answer struct {
	*debt
	kept bool
}

// debt is what an answer takes, without the request that it is for.
type debt struct {
	id   uint32
	do   Do
	done atomic.Bool
}

// To returns the answer to the request with an id.
func To(id uint32, do Do) Answer { return Answer{debt: &debt{id: id, do: do}} }

// Kept reports whether Keep was called.
func (a *Answer) Kept() bool { return a.kept }

// Keep has the request rejected when the garbage collector finds that nobody has
// holder any more, which has the Answer in it, and that it has not been answered. It
// is called once.
func Keep[T any](holder *T, a *Answer) {
	a.kept = true
	runtime.AddCleanup(holder, (*debt).lost, a.debt)
}

func (d *debt) lost() { d.Reject("no answer") }

// Reply answers with bytes. After an error but ErrAnswered the answer is still owed.
func (d *debt) Reply(b []byte) error {
	return d.once(func(s *session.Session, now time.Time) error { return s.Reply(now, d.id, b) })
}

// Ack answers: done.
func (d *debt) Ack() error {
	return d.once(func(s *session.Session, now time.Time) error { return s.Ack(now, d.id) })
}

// Reject answers: no.
func (d *debt) Reject(text string) error {
	return d.once(func(s *session.Session, now time.Time) error { return s.Reject(now, d.id, text) })
}

func (d *debt) once(f func(*session.Session, time.Time) error) error {
	if !d.done.CompareAndSwap(false, true) {
		return session.ErrAnswered
	}
	err := d.do(f)
	if err != nil && err != session.ErrAnswered {
		d.done.Store(false)
	}
	return err
}
