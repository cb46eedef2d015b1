package client

import (
	"bytes"
	"context"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// Ask sends a request and does not wait for the answer. b is copied. If Ask returns no
// error, done is called exactly once, when the request has a final status: like a
// handler, on the endpoint's goroutine. done may be nil if the program does not need the
// answer. The errors are ErrName, ErrPayload, ErrTooMany, ErrBudget and ErrClosed of package
// session; done is not called then.
func (s *Session) Ask(name string, b []byte, done func(session.Result)) (session.RequestID, error) {
	id, _, err := s.ask(name, b, done)
	return session.RequestID(id), err
}

// ask is Ask that also returns the session that the request belongs to: s.session may be
// another one later.
func (s *Session) ask(name string, b []byte, done func(session.Result)) (uint32, *sessioncore.Session, error) {
	s.endpoint.loop.Lock()
	defer s.release()
	if s.state.over() {
		return 0, nil, session.ErrClosed
	}
	id, err := s.session.Request(time.Now(), name, b)
	if err == nil {
		if s.asked == nil {
			s.asked = make(map[uint32]func(session.Result))
		}
		s.asked[id] = done
	}
	return id, s.session, err
}

// Request sends a request and waits for the answer. It returns the bytes of a reply, nil
// for an acknowledgement, a *session.RequestError if there is no such answer, or an error
// of Ask. When ctx is done first it returns the error of ctx and discards the answer; the
// server may act on the request nevertheless. In a handler it returns
// session.ErrInHandler: use Ask there.
func (s *Session) Request(ctx context.Context, name string, b []byte) ([]byte, error) {
	r, err := handling.Await(ctx, func(answer func(session.Result)) (forget func(), err error) {
		id, asked, err := s.ask(name, b, func(r session.Result) {
			r.Data = bytes.Clone(r.Data)
			answer(r)
		})
		return func() { s.forgetRequest(asked, id) }, err
	})
	if err != nil {
		return nil, err
	}
	return r.Data, r.Err()
}

// forgetRequest forgets a request of the session on, which may be over.
func (s *Session) forgetRequest(on *sessioncore.Session, id uint32) {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	if s.session == on {
		s.session.Forget(id)
		delete(s.asked, id)
	}
}

// Status returns the status of a request of this end that has no final status yet, and
// false if there is no such request. With Renew, the numbers begin again with the new
// session.
func (s *Session) Status(id session.RequestID) (session.Status, bool) {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.session.Status(uint32(id))
}

// Stats returns the figures as they are now. The counters start at zero for the new
// session of Renew.
func (s *Session) Stats() session.Stats {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.session.Stats(time.Now())
}

// ChannelStats returns the counters of one channel as they are now.
func (s *Session) ChannelStats(ch channel.ID) channel.ChannelStats {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.session.Mux().ChannelStats(ch)
}

// Free returns the size in bytes of the largest message for which a channel has room now.
// An unreliable or sequenced channel always has room, because it drops its oldest message.
// Free returns -1 if the queue of a reliable channel is full, the table has no such channel
// or the channel is being closed, only the server may send on it, or the session is over.
// Free does not consider whether the session is interrupted or is being closed: Send may
// return session.ErrInterrupted or ErrClosed nevertheless.
func (s *Session) Free(ch channel.ID) int {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.session.Mux().Free(ch)
}
