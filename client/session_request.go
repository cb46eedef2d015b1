package client

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/owed"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
)

// A Status is the state of a request of this end; see package godwit.
type Status = sessioncore.Status

// The statuses. From StatusResponded on they are final.
const (
	StatusSending      = sessioncore.StatusSending
	StatusWaiting      = sessioncore.StatusWaiting
	StatusResponded    = sessioncore.StatusResponded
	StatusAcknowledged = sessioncore.StatusAcknowledged
	StatusRejected     = sessioncore.StatusRejected
	StatusSendFailed   = sessioncore.StatusSendFailed
	StatusResponseLost = sessioncore.StatusResponseLost
)

// A Result is the end of a request of this end.
type Result struct {
	Status Status
	Data   []byte // bytes of a reply; valid until the func that gets the Result returns
	Text   string // text of a rejection
}

// Ask sends a request and does not wait for the answer. b is copied. If Ask returns no
// error, done is called exactly once, when the request has a final status: like a
// handler, on the endpoint's goroutine. done may be nil if the program does not need the
// answer. The errors are ErrName, ErrPayload, ErrTooMany, ErrBudget and ErrClosed; done is
// not called then.
func (s *Session) Ask(name string, b []byte, done func(Result)) (uint32, error) {
	id, _, err := s.ask(name, b, done)
	return id, err
}

// ask is Ask that also returns the session that the request belongs to: s.session may be
// another one later.
func (s *Session) ask(name string, b []byte, done func(Result)) (uint32, *sessioncore.Session, error) {
	s.endpoint.mu.Lock()
	defer s.release()
	if s.renew {
		return 0, nil, ErrClosed
	}
	id, err := s.session.Request(time.Now(), name, b)
	if err == nil {
		if s.asked == nil {
			s.asked = make(map[uint32]func(Result))
		}
		s.asked[id] = done
	}
	return id, s.session, err
}

// Request sends a request and waits for the answer. It returns the bytes of a reply,
// nil for an acknowledgement, a *RequestError if there is no such answer, or an error of
// Ask. When ctx is done first it returns the error of ctx and discards the answer; the
// server may act on the request nevertheless. In a handler it returns ErrInHandler: use
// Ask there.
func (s *Session) Request(ctx context.Context, name string, b []byte) ([]byte, error) {
	if handling.Now() {
		return nil, ErrInHandler
	}
	answer := make(chan Result, 1)
	id, asked, err := s.ask(name, b, func(r Result) {
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
		s.endpoint.mu.Lock()
		defer s.endpoint.mu.Unlock()
		if s.session == asked {
			s.session.Forget(id)
			delete(s.asked, id)
		}
		return nil, ctx.Err()
	}
}

// A RequestError says why a request has no answer, or that it was rejected.
type RequestError struct {
	Status Status // StatusRejected, StatusSendFailed or StatusResponseLost
	Text   string // text of a rejection
}

func (e *RequestError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("client: request: %v", e.Status)
	}
	return fmt.Sprintf("client: request: %v: %s", e.Status, e.Text)
}

// A Request is a request of the server. The program answers it with one of Reply, Ack
// and Reject. If the handler returns and has called none of these and not Keep, the
// request is rejected. There is no order between requests or answers and the messages of
// channels; see [github.com/godwit-rtc/godwit.Request].
type Request struct {
	Name string
	Data []byte // valid until the handler returns

	answer owed.Answer
}

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

// Reply answers the request with bytes, which are copied. If it returns ErrBudget the
// request is not answered yet, and the program may try again.
func (r *Request) Reply(b []byte) error { return r.answer.Reply(b) }

// Ack answers the request without bytes; the server gets StatusAcknowledged.
func (r *Request) Ack() error { return r.answer.Ack() }

// Reject refuses the request; the server gets StatusRejected and the text. At most 256 bytes
// of the text are sent.
func (r *Request) Reject(text string) error { return r.answer.Reject(text) }

func (s *Session) request(ev *sessioncore.Event) {
	asked := s.from
	do := func(f func(*sessioncore.Session, time.Time) error) error {
		s.endpoint.mu.Lock()
		defer s.release()
		if s.session != asked {
			return ErrAnswered // the session of the request is over; s.session is a newer one
		}
		return f(asked, time.Now())
	}
	r := &Request{Name: ev.Name, Data: ev.Data, answer: owed.To(ev.Request, do)}
	if f := s.config.Handler.Request; f != nil {
		f(s, r)
	}
	if !r.answer.Kept() {
		r.Reject("no answer")
	}
}

// SessionStats are the counters of a session. They continue when the session moves to
// another link, and start at zero for the new session of Renew.
type SessionStats struct {
	channel.Stats // packets, loss, round trips, rates, queues, drops by cause

	LastHeard     time.Duration // time since the last packet arrived
	Interrupted   bool          // the session is interrupted now
	Interruptions uint64        // times the session was interrupted
	Resumed       uint32        // times the session moved to another link
}

// Stats returns the counters as they are now.
func (s *Session) Stats() SessionStats {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	heard, _ := s.session.Mux().Heard()
	t := s.session.Stats()
	return SessionStats{s.session.Mux().Stats(), time.Since(heard), s.session.Interrupted(), t.Interruptions, t.Links}
}

// ChannelStats returns the counters of one channel as they are now.
func (s *Session) ChannelStats(ch channel.ID) channel.ChannelStats {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	return s.session.Mux().ChannelStats(ch)
}
