package godwit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/session"
)

// Move makes the client continue at another server: to says where, with an invite, or a URL and a token.
// The session takes no more messages of this program (Send returns session.ErrClosed) and ends with
// session.CloseMoved when all reliable messages of both ends are delivered: the Message handler is called for
// those of the client until Close is called, so what Close knows of the player is complete. The client then
// begins a new session at the other server, by itself if it renews its sessions. The session lasts for at most
// Config.DrainTimeout after Move, but 3 s or more, or 10 s if that is negative, and then ends with session.CloseMoved and a Text:
// messages of both ends may be lost. While the client is interrupted it lasts for the
// grace time, and the move goes on when the client is back. A client of an older version is closed with
// session.CloseShutdown, and may connect again. Move does not wait. It does nothing if the session is being
// closed or moved. The error says what is wrong with to.
func (c *Conn) Move(to auth.Seat) error {
	b, err := to.JSON()
	if err != nil {
		return err
	}
	a := c.acquire()
	c.session.Move(time.Now(), b)
	c.release(a)
	return nil
}

// Limits of Drain.
const (
	maxMoving = 64              // sessions that move at the same time
	moveTurn  = 2 * time.Second // after which another session begins to move beside a slow one
)

// Drain empties the server. It refuses new clients, moves each session to the seat that next returns for it
// (see [Conn.Move]), and waits until all sessions are over. Interrupted clients can still resume, and are moved
// then. At most 64 sessions move at a time, so that the other servers do not get all clients at once. Up to 64
// goroutines call next, once for each session; it may wait until its context, which is ctx, is done. A session for
// which next returns an error is closed with session.CloseShutdown and text, after its messages are delivered, unless
// it is being closed or moved already. If ctx
// is done before all sessions are over, Drain returns its error and leaves the other sessions as they are. The server
// lets in no new clients after Drain: call Shutdown next. With Config.Manual, do not call Drain on the goroutine that
// calls Poll. In a handler Drain returns session.ErrInHandler.
func (s *Server) Drain(ctx context.Context, text string, next func(context.Context, *Conn) (auth.Seat, error)) error {
	if handling.Now() {
		return session.ErrInHandler
	}
	s.draining.Store(true)
	var moving sync.WaitGroup
	defer moving.Wait()
	places := make(chan struct{}, maxMoving)
	begun := make(map[*Conn]struct{})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		left := s.directory.count()
		for c := range s.Conns() { // again each time: clients that were admitted before may open their sessions late
			if _, ok := begun[c]; ok {
				continue
			}
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return fmt.Errorf("godwit: drain: %d sessions are left: %w", s.directory.count(), ctx.Err())
			}
			begun[c] = struct{}{}
			moving.Go(func() {
				defer func() { <-places }()
				s.moveAway(ctx, c, text, next)
			})
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("godwit: drain: %d sessions are left: %w", s.directory.count(), ctx.Err())
		case <-tick.C:
		}
	}
}

// moveAway moves a session, and returns when the session is over or moveTurn has passed.
func (s *Server) moveAway(ctx context.Context, c *Conn, text string, next func(context.Context, *Conn) (auth.Seat, error)) {
	to, err := next(ctx, c)
	if err == nil {
		err = c.Move(to)
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil && c.State() < session.StateClosing { // else it has left, or the program has moved it itself
		s.config.Logger.Warn("godwit: a session cannot be moved", "session", c.id.String(), "why", err)
		c.drain(session.CloseShutdown, text)
	}
	turn := time.NewTimer(moveTurn)
	defer turn.Stop()
	select {
	case <-c.Done():
	case <-turn.C:
	case <-ctx.Done():
	}
}
