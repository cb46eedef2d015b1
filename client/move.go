package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/session"
)

// Limits of the moves from server to server.
const (
	maxMoves   = 4                // moves in a row that a session follows
	settled    = 30 * time.Second // a session that was open for so long ends the row
	maxDetours = 2                // failed attempts where the server has sent the session
	farewells  = 200 * time.Millisecond
)

// moves is what a Session knows of its moves from server to server. The endpoint's lock guards it.
type moves struct {
	opened  time.Time          // when the session has opened
	inARow  int                // moves of sessions that were open for less than settled
	detours int                // failed attempts to begin the session at goal
	asking  bool               // the goroutine of askGone runs
	quit    context.CancelFunc // ends the attempt at a link that runs; nil if none does
}

// Next returns where the server has moved the session, and false if it has not. A program without
// SessionConfig.Renew may begin a session there when Handler.Close has got session.CloseMoved.
func (s *Session) Next() (auth.Seat, bool) {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	if s.goal == nil {
		return auth.Seat{}, false
	}
	return *s.goal, true
}

// at returns the URL of requests for the session; empty if there is none. Only who makes a new session
// changes it, with the endpoint's lock held.
func (s *Session) at() string {
	if s.seat != nil {
		return s.seat.URL
	}
	return s.url
}

// noteMove notes where the server moves the session. A seat that cannot be used is as none: the next session
// begins where the program does. The endpoint's lock is held.
func (s *Session) noteMove(seat []byte) {
	if to, err := auth.ParseSeat(seat); err == nil {
		s.goal = &to
	}
}

// follows reports whether the next session begins at once, where the server has moved the last one. It waits
// until the server has got the end of the last one. b is the state of the attempts.
func (s *Session) follows(b *backoff) bool {
	e := s.endpoint
	e.loop.Lock()
	m := &s.moves
	if s.goal == nil {
		e.loop.Unlock()
		return false
	}
	if time.Since(m.opened) >= settled {
		m.inARow = 0
	}
	m.inARow, m.detours = m.inARow+1, 0
	circles := m.inARow - maxMoves
	if circles > 0 {
		s.goal = nil
	}
	over := s.session.Over()
	e.loop.Unlock()
	for range min(circles, 10) {
		b.wait(nil) // as after so many attempts
	}
	const step = 20 * time.Millisecond
	for waited := time.Duration(0); !over && waited < farewells && s.rest(needSession, step); waited += step {
		e.loop.Lock()
		over = s.session.Over()
		e.loop.Unlock()
	}
	return circles <= 0
}

// detours reports whether err is of an attempt to begin the session where the server has moved it. After two such
// attempts, or one that is refused for good, the next one is where the program begins its sessions.
func (s *Session) detours(err error) bool {
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if err == nil || s.goal == nil {
		return false
	}
	s.moves.detours++
	if s.moves.detours >= maxDetours || s.config.isFinal(err) {
		s.goal = nil
	}
	return true
}

// takeSeat sets where a new session is, and returns its invite, or nil if it needs a request.
func (s *Session) takeSeat(ctx context.Context) (*auth.Invite, error) {
	e, c := s.endpoint, &s.config
	e.loop.Lock()
	seat := s.goal
	e.loop.Unlock()
	switch {
	case seat != nil:
	case c.Seat != nil:
		got, err := c.Seat(ctx)
		if err != nil {
			return nil, fmt.Errorf("client: no seat: %w", err)
		}
		seat = &got
	case c.Invite != nil:
		i, err := c.Invite(ctx)
		if err != nil {
			return nil, fmt.Errorf("client: no invite: %w", err)
		}
		s.sit(nil)
		return &i, nil
	default:
		s.sit(nil)
		return nil, nil
	}
	s.sit(seat)
	if seat.URL != "" && (seat.Invite == nil || !s.wants(session.LinkWebRTC) || s.onTCP()) {
		return nil, nil
	}
	if seat.Invite == nil {
		return nil, errors.New("client: the seat has neither an invite nor a URL")
	}
	return seat.Invite, nil
}

// setQuit notes what ends the attempt at a link that begins, or that there is none.
func (s *Session) setQuit(quit context.CancelFunc) {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	s.moves.quit = quit
}

func (s *Session) sit(seat *auth.Seat) {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	s.seat = seat
}

// onTCP reports whether the last link was a WebSocket: then UDP does not arrive, and an invite needs it.
func (s *Session) onTCP() bool {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.linkName == session.LinkWebSocket
}

// startAsking starts askGone if it does not run. The endpoint's lock is held.
func (s *Session) startAsking() {
	if s.config.Gone == nil || s.moves.asking {
		return
	}
	s.moves.asking = true
	go s.askGone()
}

// Times of askGone.
const (
	askEvery   = time.Second
	askTimeout = 3 * time.Second
)

// askGone asks SessionConfig.Gone whether the server is gone while the session is interrupted, and ends the
// session if it is.
func (s *Session) askGone() {
	e := s.endpoint
	for {
		e.loop.Lock()
		of := s.session
		interrupted := s.state == sessionOpen && of.Interrupted() && !e.loop.Closed() && s.ctx.Err() == nil
		s.moves.asking = interrupted
		var seat auth.Seat
		if s.seat != nil {
			seat = *s.seat
		}
		e.loop.Unlock()
		if !interrupted {
			return
		}
		ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
		gone, err := s.config.Gone(ctx, seat)
		cancel()
		if gone && err == nil {
			e.loop.Lock()
			if s.session == of && of.Interrupted() {
				of.Close(time.Now(), session.CloseTimeout, "the server is gone", true)
				if s.moves.quit != nil {
					s.moves.quit()
				}
				e.loop.Touch(s)
				e.loop.Wake()
			}
			e.loop.Unlock()
			continue
		}
		timer := time.NewTimer(askEvery)
		select {
		case <-timer.C:
		case <-s.ctx.Done():
		}
		timer.Stop()
	}
}

// mayGetAnother reports whether another token may be had after one that was refused.
func (c *SessionConfig) mayGetAnother() bool { return c.Token != nil || c.Seat != nil }
