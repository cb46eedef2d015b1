package session

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/godwit-rtc/godwit/internal/enum"
)

// A RequestID is the number of a request of this end, for Status of *godwit.Conn and
// *client.Session.
type RequestID uint32

// A Status says how far a request of this end has got.
type Status uint8

// The statuses. From StatusResponded on they are final. After StatusResponseLost it is not
// known whether the other end has acted on the request, so do not send a request again
// whose action must not be done twice.
const (
	StatusSending      Status = iota // the other end has not acknowledged the request yet
	StatusWaiting                    // the other end has the request and has not answered
	StatusResponded                  // the other end called Request.Reply
	StatusAcknowledged               // the other end called Request.Ack
	StatusRejected                   // the other end called Request.Reject, or had no answer
	StatusSendFailed                 // the session ended, and the other end did not get the request
	StatusResponseLost               // the session ended, and the answer is not known
)

var statusNames = [...]string{"sending", "waiting", "responded", "acknowledged", "rejected", "send failed", "response lost"}

// String returns the status in words.
func (s Status) String() string { return enum.Name(s, statusNames[:]) }

// A Result is the final status of a request, and the answer if there is one.
type Result struct {
	Status Status
	Data   []byte // bytes of a reply; valid until the func that gets the Result returns
	Text   string // text of a rejection
}

// Err returns nil for a reply and for an acknowledgement, otherwise a *RequestError.
func (r Result) Err() error {
	if r.Status == StatusResponded || r.Status == StatusAcknowledged {
		return nil
	}
	return &RequestError{Status: r.Status, Text: r.Text}
}

// A RequestError says why a request has no answer, or that it was rejected.
type RequestError struct {
	Status Status // StatusRejected, StatusSendFailed or StatusResponseLost
	Text   string // text of a rejection
}

func (e *RequestError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("session: request: %v", e.Status)
	}
	return fmt.Sprintf("session: request: %v: %s", e.Status, e.Text)
}

// A Request is a request of the other end. The program answers it with one of Reply,
// Ack and Reject. If its handler returns and has called none of these and not Keep, the
// request is rejected. The methods may be called from any goroutine, except Keep, which
// only the handler may call.
//
// Requests and answers of one end arrive in the order in which that end sent them.
// There is no order between them and the messages of channels: a message that is sent
// after Reply may arrive before the reply. If the order matters there are two ways.
// Put the content of the message into the reply. Or send the answer as a message on
// the same channel, with a number that the program has put into the request, and
// answer the request itself with Ack. Package godwit has an example.
type Request struct {
	Name string
	Data []byte // valid until the handler returns; with Poll, until the next event

	answer *answer
	kept   bool
}

// answer has what is needed to answer a request, without a reference to the request.
type answer struct {
	give  func(Result) error
	given atomic.Bool
}

// HandleRequest calls handle with a request, and rejects the request with the text "no
// answer" if handle returns or panics and has called none of Reply, Ack, Reject and Keep.
// It calls give with the answer of the request: with StatusResponded and Data,
// StatusAcknowledged, or StatusRejected and Text. If give returns nil or ErrAnswered, it is
// not called again. Ends of a session use HandleRequest. A program uses it to test its
// handlers without a session.
func HandleRequest(name string, data []byte, give func(Result) error, handle func(*Request)) {
	r := &Request{Name: name, Data: data, answer: &answer{give: give}}
	defer func() {
		if !r.kept {
			r.answer.lost()
		}
	}()
	handle(r)
}

// Keep allows the program to answer the request after the handler has returned, from
// any goroutine. It sets Data to nil: copy the bytes before if they are still needed.
// A kept request that becomes unreachable without an answer is rejected when it is
// garbage-collected.
func (r *Request) Keep() {
	if !r.kept {
		r.kept = true
		runtime.AddCleanup(r, (*answer).lost, r.answer)
		r.Data = nil
	}
}

func (a *answer) lost() { a.once(Result{Status: StatusRejected, Text: "no answer"}) }

// Reply answers the request with bytes, at most MaxRequest. b is copied. The errors are
// ErrPayload, ErrBudget and ErrAnswered. After ErrPayload and ErrBudget the request is not
// answered yet, and the program may try again.
func (r *Request) Reply(b []byte) error {
	return r.answer.once(Result{Status: StatusResponded, Data: b})
}

// Ack answers the request without bytes; the asking end gets StatusAcknowledged. The errors
// are ErrBudget, after which the program may try again, and ErrAnswered.
func (r *Request) Ack() error { return r.answer.once(Result{Status: StatusAcknowledged}) }

// Reject refuses the request; the asking end gets StatusRejected and the text, cut to
// MaxText bytes. It works when the queue is full, too: the only error is ErrAnswered.
func (r *Request) Reject(text string) error {
	return r.answer.once(Result{Status: StatusRejected, Text: text})
}

// once gives the answer if there is none yet. After any error except ErrAnswered the
// request has no answer yet.
func (a *answer) once(r Result) error {
	if a == nil || !a.given.CompareAndSwap(false, true) {
		return ErrAnswered
	}
	err := a.give(r)
	if err != nil && err != ErrAnswered {
		a.given.Store(false)
	}
	return err
}
