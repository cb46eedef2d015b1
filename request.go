package godwit

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/owed"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
)

// A Status says how far a request of this end has got.
type Status = sessioncore.Status

// The statuses. From StatusResponded on they are final. After StatusResponseLost it is not known
// whether the other end has acted on the request, so do not send a request again whose
// action must not be done twice.
const (
	StatusSending      = sessioncore.StatusSending      // the other end has not acknowledged the request yet
	StatusWaiting      = sessioncore.StatusWaiting      // the other end has the request and has not answered
	StatusResponded    = sessioncore.StatusResponded    // the other end called Request.Reply
	StatusAcknowledged = sessioncore.StatusAcknowledged // the other end called Request.Ack
	StatusRejected     = sessioncore.StatusRejected     // the other end called Request.Reject, or had no answer
	StatusSendFailed   = sessioncore.StatusSendFailed   // the session ended, and the other end did not get the request
	StatusResponseLost = sessioncore.StatusResponseLost // the session ended, and the answer is not known
)

// A Request is a request of the other end. The program answers it with one of Reply,
// Ack and Reject.
//
// Requests and answers of one end arrive in the order in which that end sent them.
// There is no order between them and the messages of channels: a message that is sent
// after Reply may arrive before the reply. If the order matters there are two ways.
// Put the content of the message into the reply. Or send the answer as a message on
// the same channel, with a number that the program has put into the request, and
// answer the request itself with Ack. See the example.
type Request struct {
	Name string
	Data []byte // valid until the handler returns, or the next event of Poll

	conn   *Conn
	answer owed.Answer
}

func newRequest(c *Conn, ev *sessioncore.Event) *Request {
	return &Request{Name: ev.Name, Data: ev.Data, conn: c, answer: owed.To(ev.Request, c.answer)}
}

// Conn returns the session that the request came from.
func (r *Request) Conn() *Conn { return r.conn }

// Keep allows the program to answer the request after the handler has returned, from
// any goroutine. It sets Data to nil: copy the bytes before if they are still needed.
// A kept request that becomes unreachable without an answer is rejected when it is
// garbage-collected.
func (r *Request) Keep() {
	if !r.answer.Kept() {
		owed.Keep(r, &r.answer)
		r.Data = nil
	}
}

// Reply answers the request with bytes, at most MaxRequest. b is copied. If Reply
// returns ErrBudget the request is not answered yet, and the program may try again.
func (r *Request) Reply(b []byte) error { return r.answer.Reply(b) }

// Ack answers the request without bytes; the asking end gets StatusAcknowledged.
func (r *Request) Ack() error { return r.answer.Ack() }

// Reject refuses the request; the asking end gets StatusRejected and the text. At most 256
// bytes of the text are sent.
func (r *Request) Reject(text string) error { return r.answer.Reject(text) }

func (c *Conn) answer(f func(*sessioncore.Session, time.Time) error) error {
	a := c.acquire()
	err := f(c.session, time.Now())
	c.release(a)
	return err
}

// A Result is the end of a request of this end.
type Result struct {
	Status Status
	Data   []byte // bytes of a reply; valid until the func that gets the Result returns
	Text   string // text of a rejection
}

// question is a request of this end that has no final status yet.
type question struct{ done func(Result) }

func (q *question) result(ev *sessioncore.Event) {
	if q.done == nil {
		return
	}
	q.done(Result{ev.Status, ev.Data, ev.Reason.Text})
}

// A RequestID is the number of a request of this end, for Conn.Status.
type RequestID uint32

// Ask sends a request and does not wait for the answer. b is copied. If Ask returns no
// error, done is called exactly once, when the request has a final status: like a
// handler, on the same goroutine and in order with the handlers. done may be nil if the
// program does not need the answer. The errors are ErrName, ErrPayload, ErrTooMany,
// ErrBudget and ErrClosed; done is not called then.
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

// Status returns the status of a request of this end that has no final status yet,
// and false if there is no such request.
func (c *Conn) Status(id RequestID) (Status, bool) {
	a := c.acquire()
	defer c.release(a)
	return c.session.Status(uint32(id))
}

// Request sends a request and waits for the answer. It returns the bytes of a reply,
// nil for an acknowledgement, a *RequestError if there is no such answer, or an error of
// Ask. When ctx is done first it returns the error of ctx and discards the answer; the
// other end may act on the request nevertheless. In a handler it returns ErrInHandler:
// use Ask there. With Config.Manual use Ask on the goroutine that calls Poll, too:
// nothing arrives while that goroutine waits.
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
		if r.Status == StatusResponded || r.Status == StatusAcknowledged {
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

// A RequestError says why a request has no answer, or that it was rejected.
type RequestError struct {
	Status Status // StatusRejected, StatusSendFailed or StatusResponseLost
	Text   string // text of a rejection
}

func (e *RequestError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("godwit: request: %v", e.Status)
	}
	return fmt.Sprintf("godwit: request: %v: %s", e.Status, e.Text)
}
