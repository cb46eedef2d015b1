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
	going    map[*godwit.Conn]string // sessions that move, until departed, and the IDs of the nodes
	handing  int                     // states on their way, from departed on
}

// An arrival is a player who comes from another node.
type arrival struct {
	come  chan struct{} // closed when state has come
	have  bool          // state has come
	state []byte
	until time.Time // when the seat of the player is not good any more
}

var (
	errOnTheWay = errors.New("fleet: the player is on the way to another node already")
	errSameNode = errors.New("fleet: the player is at this node already")
)

func (f *Fleet) initTravels() {
	f.travels = travels{expected: make(map[string]*arrival), going: make(map[*godwit.Conn]string)}
}

// Drain empties this node for its end: it lets nobody in, moves the players to nodes that Pick chooses, with the states that
// Config.Leave returns, gives up the rooms, and waits until all players have gone and their states have arrived. The clients
// follow by themselves, and no reliable message is lost: see godwit.Conn.Move. A player for whom no node has room within 20 s is
// closed with session.CloseShutdown. Close the server and the fleet next. If ctx is done first Drain returns its error.
// If states were lost meanwhile Drain still empties the node, and then returns an error that says how many.
// Drain does not end by itself while a client is interrupted and its grace time is not over: give ctx a deadline. In a handler it
// returns session.ErrInHandler.
func (f *Fleet) Drain(ctx context.Context) error {
	if handling.Now() {
		return session.ErrInHandler
	}
	f.setDraining()
	before := f.Stats().StatesLost
	if srv := f.server.Load(); srv != nil {
		if err := srv.Drain(ctx, "this server is closed: connect again", f.nextSeat); err != nil {
			return err
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
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
	f.releaseRooms(ctx)
	if lost := f.Stats().StatesLost - before; lost > 0 {
		return fmt.Errorf("fleet: drain: the states of %d players are lost", lost)
	}
	return nil
}

// nextSeat returns a seat for a player of this node at another one.
func (f *Fleet) nextSeat(ctx context.Context, c *godwit.Conn) (auth.Seat, error) {
	refused := make(map[string]bool)
	for until := time.Now().Add(noNodeFor); ; {
		if c.State() >= session.StateClosing { // the player leaves, or Move was called
			return auth.Seat{}, session.ErrClosed
		}
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
			case <-c.Done():
			case <-ctx.Done():
			}
			timer.Stop()
		}
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
		f.travels.going[c] = node
	}
	f.mu.Unlock()
	if moving {
		return auth.Seat{}, errOnTheWay
	}
	var seat auth.Seat
	err := session.ErrClosed // departed may have been called before
	if f.canMove(c) {
		id := c.Identity()
		r := requestFor(id.Name, id.Data, c.Expires())
		r.Move = f.config.Leave != nil && id.Name != ""
		seat, err = f.seat(ctx, node, r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, going := f.travels.going[c]; !going { // departed was called meanwhile
		err = session.ErrClosed
	}
	if err != nil {
		delete(f.travels.going, c)
		return auth.Seat{}, err
	}
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

// departed hands over the state of a player whose session is over.
func (f *Fleet) departed(c *godwit.Conn, why godwit.CloseReason) {
	name := c.Identity().Name
	f.mu.Lock()
	to, ok := f.travels.going[c]
	delete(f.travels.going, c)
	if !ok || why.Code != session.CloseMoved || f.config.Leave == nil || name == "" {
		f.mu.Unlock()
		return
	}
	f.travels.handing++ // before Leave, which may take time: Drain waits for the state
	f.mu.Unlock()
	state := f.config.Leave(c)
	if len(state) > MaxState {
		f.config.Logger.Warn("fleet: the state of a player is too large", "node", f.config.Name, "player", name, "bytes", len(state))
		f.handed(true)
		return
	}
	f.handOver(to, append(appendString(nil, name), state...), 1, time.Now().Add(seatFor+stateWait))
}

// handOver sends a state, and again if there is no answer. That nobody has got it is no answer while the node is there: it may come back
// to NATS later than this one. ErrFull is not a try: until then, the state waits for room in the outbox.
func (f *Fleet) handOver(to string, body []byte, try int, until time.Time) {
	answered := func(_ []byte, err error) {
		full := errors.Is(err, ErrFull) && time.Now().Before(until)
		again := (full || try < stateTries) && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrTooLarge)
		if errors.Is(err, ErrNotHere) {
			_, there := f.node(to)
			again = again && there
		}
		switch {
		case err == nil:
			f.handed(false)
		case again:
			if !full {
				try++
			}
			time.AfterFunc(stateRetry, func() { f.handOver(to, body, try, until) })
		default:
			f.config.Logger.Warn("fleet: the state of a player is lost", "node", f.config.Name, "to", to, "err", err)
			f.handed(true)
		}
	}
	f.mu.Lock()
	_, err := f.question(f.nodeSubject(to), kindState, body, answered)
	f.mu.Unlock()
	if err != nil {
		answered(nil, err)
	}
}

// handed notes that a state has arrived at the other node, or is lost.
func (f *Fleet) handed(lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.travels.handing--
	if lost {
		f.counts.StatesLost++
	}
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
