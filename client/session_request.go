package client

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/owed"
	"github.com/godwit-rtc/godwit/internal/session"
)

// A Status is what is known of a request; see package godwit.
type Status = session.Status

// The statuses. From Responded on they are final.
const (
	Sending      = session.Sending
	Waiting      = session.Waiting
	Responded    = session.Responded
	Acknowledged = session.Acknowledged
	Rejected     = session.Rejected
	SendFailed   = session.SendFailed
	ResponseLost = session.ResponseLost
)

// A Result is what came of a request.
type Result struct {
	Status Status
	Data   []byte // of a reply; valid until the func that gets it returns
	Text   string // of a rejection
}

// Ask sends a request and returns. done is called like a handler when there is a
// final status, which there is always unless an error is returned. done may be nil: the
// answer is of no interest then.
func (s *Session) Ask(name string, b []byte, done func(Result)) (uint32, error) {
	id, _, err := s.ask(name, b, done)
	return id, err
}

// ask is Ask that returns the session too, which may be another one later.
func (s *Session) ask(name string, b []byte, done func(Result)) (uint32, *session.Session, error) {
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

// Request sends a request and waits for the answer: bytes of a reply, nil bytes of
// an acknowledgement, or a *RequestError. It must not be called in a handler, which
// uses Ask.
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
		if r.Status == Responded || r.Status == Acknowledged {
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

// A RequestError tells why a request has no answer.
type RequestError struct {
	Status Status // Rejected, SendFailed or ResponseLost
	Text   string // of a rejection
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("client: request: %v: %s", e.Status, e.Text)
}

// A Request is something that the server wants an answer to: one of Reply, Ack and
// Reject. One that the handler leaves unanswered, and has not kept, is rejected.
// Requests and answers are in no order with the messages of channels; see
// [github.com/godwit-rtc/godwit.Request].
type Request struct {
	Name string
	Data []byte // valid until the handler returns

	answer owed.Answer
}

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

// Reply answers with bytes. If it returns ErrBudget the request is not answered yet.
func (r *Request) Reply(b []byte) error { return r.answer.Reply(b) }

// Ack answers: done.
func (r *Request) Ack() error { return r.answer.Ack() }

// Reject answers: no. At most 256 bytes of the text are sent.
func (r *Request) Reject(text string) error { return r.answer.Reject(text) }

func (s *Session) request(ev *session.Event) {
	asked := s.from
	do := func(f func(*session.Session, time.Time) error) error {
		s.endpoint.mu.Lock()
		defer s.release()
		if s.session != asked {
			return ErrAnswered // a newer session has nothing to do with it
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

// SessionStats are the counters of a session, which outlive its links.
type SessionStats struct {
	channel.Stats

	LastHeard     time.Duration // since the last packet came
	Interrupted   bool
	Interruptions uint64
	Resumed       uint32 // how often the session moved to another link
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
