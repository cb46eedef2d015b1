package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A node that drains moves its players to other nodes: godwit.Server.Drain. travel.go has the states of the players.

const (
	bucketTime = 2 * time.Second // of a call of JetStream
	drainTick  = 5 * time.Millisecond
	comingFor  = 10 * time.Second // how long Drain lets in players who have a seat of this node
	noNodeWait = 100 * time.Millisecond
	noNodeFor  = 20 * time.Second // how long Drain waits for a node that can take a player

	noNodePause = 5 * time.Second // without a player for whom there is no node, after which the next one waits again
)

var (
	errOnTheWay = errors.New("fleet: the player is on the way to another node already")
	errSameNode = errors.New("fleet: the player is at this node already")
)

// Drain empties this node for its end. It makes no more seats, and waits for the players who come from other nodes and have a seat of this
// node already, 10 s at most, and at most for a third of the time until the deadline of ctx: until then they are let in, and with Config.Seats others with a seat, too. Then it lets nobody in, moves the
// players to nodes that Pick chooses, with the states that Config.Leave returns, gives up the rooms, and waits until all players have gone
// and their states have arrived. The clients follow by themselves, and no reliable message is lost: see godwit.Conn.Move. Players wait for
// their move while the states of 16 others, or 1 MiB of them, are on their way; those of players whose move has begun by then come in addition. A player for whom no node has room within 20 s, without this wait, is
// closed with session.CloseShutdown; so is, at once, one for whom there is none after there was none for the players before for 20 s. Close the server and the fleet next. If ctx is done first Drain returns its error.
// If states were lost Drain still empties the node, and then returns an error that says how many since the first call: Stats.StatesLost.
// Drain does not end by itself while a client is interrupted and its grace time is not over: give ctx a deadline. In a handler it
// returns session.ErrInHandler.
func (f *Fleet) Drain(ctx context.Context) error {
	if handling.Now() {
		return session.ErrInHandler
	}
	f.setDraining()
	if err := f.awaitArrivals(ctx); err != nil {
		return err
	}
	if srv := f.server.Load(); srv != nil {
		if err := srv.Drain(ctx, "this server is closed: connect again", f.nextSeat); err != nil {
			return err
		}
	}
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for {
		f.mu.Lock()
		coming := len(f.travels.going) + f.travels.handing // departed may not have been called yet for the last sessions
		f.mu.Unlock()
		if coming == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("fleet: drain: the states of %d players have not arrived: %w", coming, ctx.Err())
		}
	}
	f.giveUpArrivals()
	f.releaseRooms(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if lost := f.counts.StatesLost - f.travels.lostBefore; lost > 0 {
		return fmt.Errorf("fleet: drain: the states of %d players are lost", lost)
	}
	return nil
}

// awaitArrivals waits until nobody is on the way to this node, which makes no more seats, comingFor at most. Two thirds of the time until the
// deadline of ctx are for the players who are here.
func (f *Fleet) awaitArrivals(ctx context.Context) error {
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	wait := cmp.Or(f.config.comingFor, comingFor)
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/3)
	}
	for until := time.Now().Add(wait); ; {
		f.mu.Lock()
		coming := f.travels.coming()
		f.mu.Unlock()
		if coming == 0 {
			return nil
		}
		select {
		case now := <-tick.C:
			if now.After(until) {
				f.config.Logger.Info("fleet: the node drains, and players who have a seat have not come", "node", f.config.Name, "players", coming)
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("fleet: drain: %d players are on their way to this node: %w", coming, ctx.Err())
		}
	}
}

// admitDraining returns a refusal if the node drains and the client is not one for whom Drain waits. With Config.Seats all who come have seats
// that were made before Drain.
func (f *Fleet) admitDraining(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.nodes.self.Draining || f.config.Seats || name != "" && f.travels.expected[name] != nil {
		return nil
	}
	return &rtcserver.StatusError{Status: http.StatusServiceUnavailable, Code: "shutdown", Text: "the server shuts down"}
}

// nextSeat returns a seat for a player of this node at another one.
func (f *Fleet) nextSeat(ctx context.Context, c *godwit.Conn) (auth.Seat, error) {
	refused := make(map[string]bool)
	var why error // of the last refusal
	for until := time.Now().Add(noNodeFor); ; {
		begun := time.Now()
		if err := f.awaitTurn(ctx, c); err != nil {
			return auth.Seat{}, err
		}
		until = until.Add(time.Since(begun))
		n, err := f.Pick(func(n Node) bool { return !n.Here && !refused[n.ID] && (f.config.Place == nil || f.config.Place(c, n)) })
		if err == nil {
			var seat auth.Seat
			if seat, err = f.seatElsewhere(ctx, c, n.ID); err == nil {
				time.AfterFunc(stateTurn, func() { f.endTurn(c) })
				f.noteNode(true)
				return seat, nil
			}
		}
		f.endTurn(c)
		all := errors.Is(err, ErrNoNode) // have been asked
		switch {
		case !all:
			f.takeBack(n.ID)
		case why != nil:
			err = why
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return auth.Seat{}, err
		}
		switch {
		case errors.Is(err, errOnTheWay): // the program has called Move, which may fail: awaitTurn waits for it
			continue
		case !all:
			f.noteNode(true) // a node that refuses is not none
			refused[n.ID], why = true, err
			continue
		case why == nil && f.noteNode(false) > noNodeFor: // the players before have waited
			return auth.Seat{}, err
		}
		clear(refused) // a node may have come, or be less full
		why = nil
		timer := time.NewTimer(noNodeWait)
		select {
		case <-timer.C:
		case <-c.Done():
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// noteNode notes whether there was a node for a player. It returns how long there has been none, for whomever nextSeat has asked.
func (f *Fleet) noteNode(found bool) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, now := &f.travels, time.Now()
	if found {
		t.noNode = time.Time{}
		return 0
	}
	if t.noNode.IsZero() || now.Sub(t.noNodeStill) > noNodePause {
		t.noNode = now
	}
	t.noNodeStill = now
	return now.Sub(t.noNode)
}

// awaitTurn waits until Drain may move a player: until there is room for the state of the player on its way, and while a Move of the program is
// not over. The player's turn then lasts until endTurn. The error is session.ErrClosed if the player leaves or has moved.
func (f *Fleet) awaitTurn(ctx context.Context, c *godwit.Conn) error {
	for {
		if c.State() >= session.StateClosing {
			return session.ErrClosed
		}
		free, ok := f.beginTurn(c)
		if ok {
			return nil
		}
		timer := time.NewTimer(noNodeWait) // nothing says that a Move is over
		select {
		case <-free:
		case <-timer.C:
		case <-c.Done():
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// Move moves one player of this node to another one, with the state that Config.Leave returns. It waits until that node has made
// a seat, or until ctx is done, and not for the player. A player moves once: an error says that the player is on the way already. The
// error is session.ErrClosed if the session is over, is being closed, or is of another server. In a handler Move returns
// session.ErrInHandler.
func (f *Fleet) Move(ctx context.Context, c *godwit.Conn, node string) error {
	if handling.Now() {
		return session.ErrInHandler
	}
	seat, err := f.seatElsewhere(ctx, c, node)
	if err != nil {
		return err
	}
	return c.Move(seat)
}

// seatElsewhere returns a seat at another node for a player of this one, who is about to move there.
func (f *Fleet) seatElsewhere(ctx context.Context, c *godwit.Conn, node string) (auth.Seat, error) {
	if node == f.me.String() {
		return auth.Seat{}, errSameNode
	}
	f.mu.Lock()
	_, moving := f.travels.going[c]
	if !moving {
		f.travels.going[c] = going{to: node}
	}
	f.mu.Unlock()
	if moving {
		return auth.Seat{}, errOnTheWay
	}
	var seat auth.Seat
	made := false            // the other node has made a seat, or may have
	err := session.ErrClosed // departed may have been called before
	if f.canMove(c) {
		id := c.Identity()
		r := requestFor(id.Name, id.Data, c.Expires())
		r.Move = f.hasState(c)
		seat, err = f.seat(ctx, node, r)
		made = err == nil || ctx.Err() != nil || errors.Is(err, ErrTimeout) || errors.Is(err, ErrNotHere)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, moves := f.travels.going[c]; !moves { // departed was called meanwhile
		err = session.ErrClosed
	}
	if err != nil {
		delete(f.travels.going, c)
		if made {
			f.tellStays(node, c, false)
		}
		return auth.Seat{}, err
	}
	f.travels.going[c] = going{node, true}
	f.counts.Moved++
	return seat, nil
}

// canMove reports whether a session is one of this node and is not being closed.
func (f *Fleet) canMove(c *godwit.Conn) bool {
	srv := f.server.Load()
	if srv == nil {
		return false
	}
	here, _ := srv.Conn(c.ID())
	return here == c && c.State() < session.StateClosing
}

// takeBack notes that a player for whom Pick has chosen a node does not go there.
func (f *Fleet) takeBack(node string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.nodes.peers[node]; p != nil {
		p.promised = max(p.promised-1, 0)
	}
}
