package godwit

import (
	"bytes"
	"context"
	"time"

	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// The types of requests.
type (
	// A Request is a request of the other end.
	Request = session.Request
	// A Result is the final status of a request of this end, and its answer.
	Result = session.Result
)

// answer gives the answer of a request to the session.
func (c *Conn) answer(id uint32, r Result) error {
	a := c.acquire()
	err := c.session.Answer(time.Now(), id, r)
	c.release(a)
	return err
}

// question is a request of this end that has no final status yet.
type call struct{ done func(Result) }

func (q *call) result(ev *sessioncore.Event) {
	if q.done == nil {
		return
	}
	q.done(Result{Status: ev.Status, Data: ev.Data, Text: ev.Reason.Text})
}

// Ask sends a request and does not wait for the answer. b is copied. If Ask returns no
// error, done is called exactly once, when the request has a final status: like a
// handler, on the same goroutine and in order with the handlers. done may be nil if the
// program does not need the answer. The errors are ErrName, ErrPayload, ErrTooMany,
// ErrBudget and ErrClosed of package session; done is not called then.
func (c *Conn) Ask(name string, b []byte, done func(Result)) (session.RequestID, error) {
	a := c.acquire()
	id, err := c.session.Request(time.Now(), name, b)
	if err == nil {
		if c.asked == nil {
			c.asked = make(map[uint32]*call)
		}
		c.asked[id] = &call{done}
	}
	c.release(a)
	return session.RequestID(id), err
}

// Status returns the status of a request of this end that has no final status yet,
// and false if there is no such request.
func (c *Conn) Status(id session.RequestID) (session.Status, bool) {
	a := c.acquire()
	defer c.release(a)
	return c.session.Status(uint32(id))
}

// Request sends a request and waits for the answer. It returns the bytes of a reply, nil
// for an acknowledgement, a *session.RequestError if there is no such answer, or an error
// of Ask. When ctx is done first it returns the error of ctx and discards the answer; the
// other end may act on the request nevertheless. In a handler it returns
// session.ErrInHandler: use Ask there. With Config.Manual use Ask on the goroutine that
// calls Poll, too: nothing arrives while that goroutine waits.
func (c *Conn) Request(ctx context.Context, name string, b []byte) ([]byte, error) {
	r, err := handling.Await(ctx, func(answer func(Result)) (forget func(), err error) {
		id, err := c.Ask(name, b, func(r Result) {
			r.Data = bytes.Clone(r.Data)
			answer(r)
		})
		return func() { c.forgetRequest(id) }, err
	})
	if err != nil {
		return nil, err
	}
	return r.Data, r.Err()
}

func (c *Conn) forgetRequest(id session.RequestID) {
	a := c.acquire()
	c.session.Forget(uint32(id))
	delete(c.asked, uint32(id))
	c.release(a)
}
