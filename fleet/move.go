package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/session"
)

// A node that drains moves its players to other nodes: godwit.Server.Drain. The state of a player goes from node to node over
// NATS, when the session at the old node is over: then the old node has got everything that the client has sent.

// MaxState is the largest state of a player in bytes.
const MaxState = 256 << 10

const (
	bucketTime = 2 * time.Second // of a call of JetStream
	stateWait  = 3 * time.Second // how long the admission of a player waits for the state
	stateTries = 8
	stateRetry = 250 * time.Millisecond
	noNodeWait = 100 * time.Millisecond
	noNodeFor  = 20 * time.Second // how long Drain waits for a node that can take a player
	maxExpects = 65_536
)

func init() { handlers[kindState] = (*Fleet).receiveState }

// travels is what a node knows of players who come from other nodes or go there. Fleet.mu guards it.
type travels struct {
	expected map[string]*arrival     // players who are to come, by name
	going    map[*godwit.Conn]string // sessions that move, and the IDs of the nodes
	handing  int                     // states on their way
}

// An arrival is a player who comes from another node.
type arrival struct {
	come  chan struct{} // closed when state has come
	have  bool          // state has come
	state []byte
	until time.Time // when the seat of the player is not good any more
}

func (f *Fleet) initTravels() {
	f.travels = travels{expected: make(map[string]*arrival), going: make(map[*godwit.Conn]string)}
}

// Drain empties this node for its end: it lets nobody in, moves the players to nodes that Pick chooses, with the states that
// Config.Leave returns, gives up the rooms, and waits until all players have gone and their states have arrived. The clients
// follow by themselves, and no reliable message is lost: see godwit.Conn.Move. A player for whom no node has room within 20 s is
// closed with session.CloseShutdown. Close the server and the fleet next. If ctx is done first Drain returns its error.
// Drain does not end by itself while a client is interrupted and its grace time is not over: give ctx a deadline. In a handler it
// returns session.ErrInHandler.
func (f *Fleet) Drain(ctx context.Context) error {
	if handling.Now() {
		return session.ErrInHandler
	}
	f.setDraining()
	if srv := f.server.Load(); srv != nil {
		if err := srv.Drain(ctx, "this server is closed: connect again", f.nextSeat); err != nil {
			return err
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		f.mu.Lock()
		handing := f.travels.handing
		f.mu.Unlock()
		if handing == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("fleet: drain: the states of %d players have not arrived: %w", handing, ctx.Err())
		}
	}
	f.releaseRooms(ctx)
	return nil
}

// nextSeat returns a seat for a player of this node at another one.
func (f *Fleet) nextSeat(ctx context.Context, c *godwit.Conn) (auth.Seat, error) {
	refused := make(map[string]bool)
	for until := time.Now().Add(noNodeFor); ; {
		n, err := f.Pick(func(n Node) bool { return !n.Here && !refused[n.ID] && (f.config.Place == nil || f.config.Place(c, n)) })
		if err == nil {
			var seat auth.Seat
			if seat, err = f.seatElsewhere(ctx, c, n.ID); err == nil {
				return seat, nil
			}
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return auth.Seat{}, err
		}
		if refused[n.ID] = true; errors.Is(err, ErrNoNode) {
			clear(refused) // a node may have come, or be less full
			timer := time.NewTimer(noNodeWait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
		}
	}
}

// Move moves one player of this node to another one, with the state that Config.Leave returns. It waits until that node has made
// a seat, or until ctx is done, and not for the player. In a handler it returns session.ErrInHandler.
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
	f.mu.Lock()
	f.travels.going[c] = node
	f.mu.Unlock()
	var seat auth.Seat
	err := session.ErrClosed // departed may have been called before
	if c.State() != session.StateClosed {
		id := c.Identity()
		r := requestFor(id.Name, id.Data, c.Expires())
		r.Move = f.config.Leave != nil && id.Name != ""
		seat, err = f.seat(ctx, node, r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		delete(f.travels.going, c)
		return auth.Seat{}, err
	}
	f.counts.Moved++
	return seat, nil
}

// departed hands over the state of a player whose session is over.
func (f *Fleet) departed(c *godwit.Conn, why godwit.CloseReason) {
	f.mu.Lock()
	to, ok := f.travels.going[c]
	delete(f.travels.going, c)
	f.mu.Unlock()
	name := c.Identity().Name
	if !ok || why.Code != session.CloseMoved || f.config.Leave == nil || name == "" {
		return
	}
	state := f.config.Leave(c)
	if len(state) > MaxState {
		f.config.Logger.Warn("fleet: the state of a player is too large", "node", f.config.Name, "player", name, "bytes", len(state))
		f.count(&f.counts.StatesLost)
		return
	}
	f.mu.Lock()
	f.travels.handing++
	f.mu.Unlock()
	f.handOver(to, append(appendString(nil, name), state...), 1)
}

// handOver sends a state, and again if there is no answer.
func (f *Fleet) handOver(to string, body []byte, try int) {
	answered := func(_ []byte, err error) {
		switch {
		case err == nil:
			f.handed()
		case try < stateTries && !errors.Is(err, ErrNotHere) && !errors.Is(err, ErrClosed):
			time.AfterFunc(stateRetry, func() { f.handOver(to, body, try+1) })
		default:
			f.config.Logger.Warn("fleet: the state of a player is lost", "node", f.config.Name, "to", to, "err", err)
			f.count(&f.counts.StatesLost)
			f.handed()
		}
	}
	f.mu.Lock()
	_, err := f.question(f.nodeSubject(to), kindState, body, answered)
	f.mu.Unlock()
	if err != nil {
		answered(nil, err)
	}
}

func (f *Fleet) handed() {
	f.mu.Lock()
	f.travels.handing--
	f.mu.Unlock()
}

// expect notes that a player comes from another node, who sends a state.
func (f *Fleet) expect(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.travels.expected) < maxExpects {
		f.travels.expected[name] = &arrival{come: make(chan struct{}), until: time.Now().Add(seatFor + stateWait)}
	}
}

// receiveState handles kindState.
func (f *Fleet) receiveState(m message) bool {
	r := reader{b: m.body}
	name := r.string()
	if r.bad {
		return false
	}
	f.mu.Lock()
	if a := f.travels.expected[name]; a != nil && !a.have { // else it comes twice or too late
		a.have, a.state = true, bytes.Clone(r.b)
		close(a.come)
	}
	f.mu.Unlock()
	f.answer(m.reply, answerAcked, nil)
	return true
}

// awaitState waits until the state of a player who is being admitted has come, if the player comes from another node.
func (f *Fleet) awaitState(ctx context.Context, name string) {
	f.mu.Lock()
	a := f.travels.expected[name]
	f.mu.Unlock()
	if a == nil {
		return
	}
	timer := time.NewTimer(stateWait)
	defer timer.Stop()
	select {
	case <-a.come:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// arrive gives the program the state of a player whose session opens, if the player comes from another node.
func (f *Fleet) arrive(c *godwit.Conn) {
	f.mu.Lock()
	a := f.travels.expected[c.Identity().Name]
	delete(f.travels.expected, c.Identity().Name)
	missed := a != nil && !a.have
	if missed {
		f.counts.StatesMissed++
	}
	f.mu.Unlock()
	if a != nil && f.config.Arrive != nil {
		f.config.Arrive(c, a.state)
	}
}

// forgetArrivals forgets players who have not come. f.mu is held.
func (f *Fleet) forgetArrivals(now time.Time) {
	for name, a := range f.travels.expected {
		if now.After(a.until) {
			delete(f.travels.expected, name)
		}
	}
}
