package godwit

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/owed"
	"github.com/godwit-rtc/godwit/internal/session"
)

// A Status is what is known of a request.
type Status = session.Status

// The statuses. From Responded on they are final. After ResponseLost the other end
// may have acted on the request or not, so ask for nothing twice that must not be
// done twice.
const (
	Sending      = session.Sending      // the other end's link has not acknowledged it
	Waiting      = session.Waiting      // the other end has it
	Responded    = session.Responded    // it replied with bytes
	Acknowledged = session.Acknowledged // it said: done
	Rejected     = session.Rejected     // it said no
	SendFailed   = session.SendFailed   // the session ended, and the other end did not get it
	ResponseLost = session.ResponseLost // the session ended, and the answer is not known
)

// A Request is something that the other end wants an answer to: one of Reply, Ack
// and Reject.
//
// Requests and answers are in order among themselves in each direction, and in no order
// with the messages of channels: a message that is sent after Reply may be told first.
// Where that matters, send the answer as a message, with a number of the program's own
// that the request had, on the channel that it must be in order with, and Ack the
// request; or put what must come with the answer into it. See the example.
type Request struct {
	Name string
	Data []byte // valid until the handler returns, or the next event of Poll

	conn   *Conn
	answer owed.Answer
}

func newRequest(c *Conn, ev *session.Event) *Request {
	return &Request{Name: ev.Name, Data: ev.Data, conn: c, answer: owed.To(ev.Request, c.answer)}
}

// Conn returns who asks.
func (r *Request) Conn() *Conn { return r.conn }

// Keep lets the request be answered after the handler has returned, from any
// goroutine. It sets Data to nil: copy what is still needed before. A kept
// request that becomes unreachable without an answer is rejected when it is
// garbage-collected.
func (r *Request) Keep() {
	if !r.answer.Kept() {
		owed.Keep(r, &r.answer)
		r.Data = nil
	}
}

// Reply answers with bytes, at most MaxRequest. If it returns ErrBudget the request
// is not answered yet.
func (r *Request) Reply(b []byte) error { return r.answer.Reply(b) }

// Ack answers: done.
func (r *Request) Ack() error { return r.answer.Ack() }

// Reject answers: no. At most 256 bytes of the text are sent.
func (r *Request) Reject(text string) error { return r.answer.Reject(text) }

func (c *Conn) answer(f func(*session.Session, time.Time) error) error {
	a := c.acquire()
	err := f(c.session, time.Now())
	c.release(a)
	return err
}

// A Result is how a request of this end ended.
type Result struct {
	Status Status
	Data   []byte // of a reply; valid until the func that gets it returns
	Text   string // of a rejection
}

// question is a request of this end that has no final status yet.
type question struct{ done func(Result) }

func (q *question) result(ev *session.Event) {
	if q.done == nil {
		return
	}
	q.done(Result{ev.Status, ev.Data, ev.Reason.Text})
}

// A RequestID is the number of a request of this end, for Status.
type RequestID uint32

// Ask sends a request and returns. done is called like a handler, and in order with
// them, when there is a final status, which there is always unless an error is
// returned: ErrName, ErrPayload, ErrTooMany, ErrBudget or ErrClosed. done may be nil:
// the answer is of no interest then.
func (c *Conn) Ask(name string, b []byte, done func(Result)) (RequestID, error) {
	a := c.acquire()
	id, err := c.session.Request(time.Now(), name, b)
	if err == nil {
		if c.asked == nil {
			c.asked = make(map[uint32]*question)
		}
		c.asked[id] = &question{done}
	}
	c.release(a)
	return RequestID(id), err
}

// Status returns what is known of a request that has no final status yet.
func (c *Conn) Status(id RequestID) (Status, bool) {
	a := c.acquire()
	defer c.release(a)
	return c.session.Status(uint32(id))
}

// Request sends a request and waits for the answer: bytes of a reply, nil bytes of
// an acknowledgement, or a *RequestError. When ctx is done first, the answer is of
// no interest any more, but the other end may act on the request nevertheless. In a
// handler use Ask, and with Config.Manual where Poll is called: nothing comes in while
// that goroutine waits.
func (c *Conn) Request(ctx context.Context, name string, b []byte) ([]byte, error) {
	if handling.Now() {
		return nil, ErrInHandler
	}
	answer := make(chan Result, 1)
	id, err := c.Ask(name, b, func(r Result) {
		if r.Data != nil {
			r.Data = append([]byte{}, r.Data...)
		}
		answer <- r
	})
	if err != nil {
		return nil, err
	}
	select {
	case r := <-answer:
		if r.Status == Responded || r.Status == Acknowledged {
			return r.Data, nil
		}
		return nil, &RequestError{r.Status, r.Text}
	case <-ctx.Done():
		c.forgetRequest(id)
		return nil, ctx.Err()
	}
}

func (c *Conn) forgetRequest(id RequestID) {
	a := c.acquire()
	c.session.Forget(uint32(id))
	delete(c.asked, uint32(id))
	c.release(a)
}

// A RequestError tells why a request has no answer.
type RequestError struct {
	Status Status // Rejected, SendFailed or ResponseLost
	Text   string // of a rejection
}

func (e *RequestError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("godwit: request: %v", e.Status)
	}
	return fmt.Sprintf("godwit: request: %v: %s", e.Status, e.Text)
}
