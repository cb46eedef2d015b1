package fleet

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/session"
)

// The state of a player who moves goes from node to node over NATS, when the session at the old node is over: then the old node has got
// everything that the client has sent. The new node expects the player and the state from when it makes the seat of the player until
// the seat has ended, or until the old node says that the player stays.

// MaxState is the largest state of a player in bytes.
const MaxState = 256 << 10

const (
	stateWait  = 3 * time.Second // how long the admission of a player waits for the state
	stateTries = 8
	stateRetry = 250 * time.Millisecond
	maxExpects = 65_536

	// Limits of the states that are on their way when Drain moves one more player. The states of players whose turn it is count towards the
	// bytes, too, with the size of the largest state lately. The turn of a player who is interrupted ends after stateTurn.
	maxHanding      = 16
	maxHandingBytes = 1 << 20
	stateTurn       = 2 * time.Second
)

func init() {
	handlers[kindState] = (*Fleet).receiveState
	handlers[kindStays] = (*Fleet).receiveStays
}

// travels is what a node knows of players who come from other nodes or go there. Fleet.mu guards it.
type travels struct {
	expected map[string]*arrival  // players who are to come, by name
	taken    map[string]time.Time // players who have come with their state, until a copy of it cannot come any more

	going      map[*godwit.Conn]going    // sessions that move, until departed
	turns      map[*godwit.Conn]struct{} // those that Drain moves, until their states are on their way
	lostBefore uint64                    // Stats.StatesLost when the node began to drain

	handing int             // states on their way, from departed on
	bytes   int             // of them
	to      map[string]load // of them, by the ID of the node
	likely  int             // bytes of the next state: the largest one lately, at first MaxState
	free    chan struct{}   // closed when there may be room for one more turn; nil if nobody waits

	noNode      time.Time // when nextSeat found no node for a player first; zero if it has found one since
	noNodeStill time.Time // and last
}

// A load is some states.
type load struct{ states, bytes int }

// going is where a session moves.
type going struct {
	to    string // the ID of the node
	given bool   // the session has, or is about to get, a seat there: the client may follow it whatever happens to the session
}

// An arrival is a player who comes from another node.
type arrival struct {
	come  chan struct{} // closed when state has come, or none comes any more
	have  bool          // state has come
	gone  bool          // no state comes: the session at the other node has ended amid the move. The player may come nevertheless
	state []byte
	until time.Time // when the seat of the player is not good any more
}

func (f *Fleet) initTravels() {
	f.travels = travels{
		expected: make(map[string]*arrival), taken: make(map[string]time.Time),
		going: make(map[*godwit.Conn]going), turns: make(map[*godwit.Conn]struct{}), to: make(map[string]load), likely: MaxState,
	}
}

// hasState reports whether the state of a player goes along with the player.
func (f *Fleet) hasState(c *godwit.Conn) bool {
	return f.config.Leave != nil && c.Identity().Name != ""
}

// beginTurn begins the turn of a player. It returns false if there is no room for one more state, or if the player moves already; free is closed
// when there may be room.
func (f *Fleet) beginTurn(c *godwit.Conn) (free <-chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &f.travels
	_, moving := t.going[c]
	switch {
	case !moving && !f.hasState(c):
		return nil, true
	case !moving && t.hasRoom(min(maxHandingBytes, f.config.MaxPendingBytes/2), f.stuck()):
		t.turns[c] = struct{}{}
		return nil, true
	}
	if t.free == nil {
		t.free = make(chan struct{})
	}
	return t.free, false
}

// hasRoom reports whether one more state may be on its way, beside those that are not stuck.
func (t *travels) hasRoom(maxBytes int, stuck load) bool {
	handing, bytes := t.handing-stuck.states, t.bytes-stuck.bytes
	if handing+len(t.turns) == 0 {
		return true // also for a state that is larger than all room
	}
	return handing < maxHanding && bytes+(len(t.turns)+1)*t.likely <= maxBytes
}

// stuck returns the states on their way to nodes that are gone. They wait until their questions end, and hold up nobody else. f.mu is held.
func (f *Fleet) stuck() (l load) {
	for to, of := range f.travels.to {
		if f.nodes.peers[to] == nil {
			l.states += of.states
			l.bytes += of.bytes
		}
	}
	return l
}

// carry adds to the states on their way to a node.
func (t *travels) carry(to string, states, bytes int) {
	t.handing += states
	t.bytes += bytes
	l := t.to[to]
	if l.states, l.bytes = l.states+states, l.bytes+bytes; l.states > 0 {
		t.to[to] = l
	} else {
		delete(t.to, to)
	}
}

// endTurn ends the turn of a player, if it has not ended yet.
func (f *Fleet) endTurn(c *godwit.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.travels.turns, c)
	f.travels.tellRoom()
}

// tellRoom wakes those who wait in awaitTurn.
func (t *travels) tellRoom() {
	if t.free != nil {
		close(t.free)
		t.free = nil
	}
}

// departed hands over the state of a player whose session is over. If the session has ended amid the move there may be messages of the client
// that have not come, so Leave is not called: no state is better than one that lacks some of them. So has one whose move has taken too long: its
// reason has a Text. A client that makes new sessions follows its seat after that, too, and the other node tells its program that there is no state.
func (f *Fleet) departed(c *godwit.Conn, why godwit.CloseReason) {
	f.mu.Lock()
	g, ok := f.travels.going[c]
	delete(f.travels.going, c)
	if !ok || why.Code != session.CloseMoved || why.Text != "" || !f.hasState(c) {
		if ok {
			follows := g.given && (why.Code == session.CloseShutdown || why.Code == session.CloseTimeout || why.Code == session.CloseReplaced || why.Code == session.CloseMoved)
			if follows && f.hasState(c) {
				f.counts.StatesLost++
				f.config.Logger.Warn("fleet: the state of a player is lost", "node", f.config.Name, "player", c.Identity().Name, "to", g.to, "why", "the session has ended amid the move: "+why.Code.String())
			}
			f.tellStays(g.to, c, follows)
		}
		delete(f.travels.turns, c)
		f.travels.tellRoom()
		f.mu.Unlock()
		return
	}
	f.travels.carry(g.to, 1, 0) // before Leave, which may take time: Drain waits for the state
	f.mu.Unlock()
	name, size := c.Identity().Name, -1
	defer func() {
		if size < 0 { // the state is too large, or Leave has panicked
			f.handed(g.to, 0, true)
		}
		f.endTurn(c)
	}()
	state := f.config.Leave(c)
	if len(state) > MaxState {
		f.config.Logger.Warn("fleet: the state of a player is too large", "node", f.config.Name, "player", name, "bytes", len(state))
		return
	}
	body := append(appendString(nil, name), state...)
	size = len(body)
	f.mu.Lock()
	f.travels.carry(g.to, 0, size)
	f.travels.likely = max(size, f.travels.likely*3/4)
	f.mu.Unlock()
	f.handOver(g.to, body, 1, time.Now().Add(seatFor+stateWait))
}

// handOver sends a state, and again if there is no answer, as long as the node is there: it may come back to NATS later than this one.
// Without a time-out these are no tries: until then, the state waits for room in the outbox, for NATS, and for the other node.
func (f *Fleet) handOver(to string, body []byte, try int, until time.Time) {
	answered := func(_ []byte, err error) {
		_, there := f.node(to)
		f.mu.Lock()
		closed := f.closed
		f.mu.Unlock()
		waits := time.Now().Before(until) && (errors.Is(err, ErrFull) || errors.Is(err, ErrAway) || errors.Is(err, ErrNotHere) && there)
		_, refused := errors.AsType[*session.RequestError](err) // receiveState does not want it
		again := (waits || try < stateTries) && !refused && !closed && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrTooLarge)
		if errors.Is(err, ErrNotHere) || errors.Is(err, ErrTimeout) {
			again = again && there
		}
		switch {
		case err == nil:
			f.handed(to, len(body), false)
		case again:
			if !waits {
				try++
			}
			time.AfterFunc(stateRetry, func() { f.handOver(to, body, try, until) })
		default:
			r := reader{b: body}
			f.config.Logger.Warn("fleet: the state of a player is lost", "node", f.config.Name, "player", r.string(), "to", to, "err", err)
			f.handed(to, len(body), true)
		}
	}
	f.mu.Lock()
	_, err := f.question(f.nodeSubject(to), kindState, body, answered)
	f.mu.Unlock()
	if err != nil {
		answered(nil, err)
	}
}

// handed notes that a state of some bytes has arrived at another node, or is lost.
func (f *Fleet) handed(to string, size int, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.travels.carry(to, -1, -size)
	f.travels.tellRoom()
	if lost {
		f.counts.StatesLost++
	}
}

// tellStays tells another node, which has made a seat, that no state of the player comes. If follows is false the client does not have
// the seat, or does not use it. f.mu is held.
func (f *Fleet) tellStays(node string, c *godwit.Conn, follows bool) {
	if !f.hasState(c) {
		return
	}
	var flag byte
	if follows {
		flag = 1
	}
	// If the message is lost, the node expects the player until the seat has ended.
	f.publish(f.nodeSubject(node), "", append(appendString(appendHeader(f.buffer(), kindStays, f.me), c.Identity().Name), flag))
}

// receiveStays handles kindStays. A node of an earlier commit does not say whether the client may follow.
func (f *Fleet) receiveStays(m message) bool {
	r := reader{b: m.body}
	name := r.string()
	stays := len(r.b) > 0 && r.b[0] == 0
	f.mu.Lock()
	defer f.mu.Unlock()
	switch a := f.travels.expected[name]; {
	case r.bad || a == nil || a.have:
	case stays:
		a.end()
		delete(f.travels.expected, name)
	default: // if the player comes after all, arrive tells the program that there is no state
		a.end()
	}
	return !r.bad
}

// end notes that no state comes any more.
func (a *arrival) end() {
	if !a.have && !a.gone {
		a.gone = true
		close(a.come)
	}
}

// coming returns how many players may come with their states.
func (t *travels) coming() (n int) {
	for _, a := range t.expected {
		if !a.gone {
			n++
		}
	}
	return n
}

// expect notes that a player comes from another node, who sends a state. It returns an error if the node drains or too many players are expected.
func (f *Fleet) expect(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &f.travels
	before := t.expected[name]
	switch {
	case f.self().Draining:
		return errDraining
	case before == nil && len(t.expected) >= maxExpects:
		return ErrFull
	case before != nil:
		f.loseArrival(name, before, "the player has another seat")
	}
	delete(t.taken, name)
	t.expected[name] = &arrival{come: make(chan struct{}), until: time.Now().Add(seatFor + stateWait)}
	return nil
}

// receiveState handles kindState. A state that comes twice is acknowledged, because the answer to the first one may be lost. One that comes
// for nobody is refused: then the sender knows that it is lost.
func (f *Fleet) receiveState(m message) bool {
	r := reader{b: m.body}
	name := r.string()
	if r.bad {
		return false
	}
	f.mu.Lock()
	a := f.travels.expected[name]
	_, taken := f.travels.taken[name]
	refused := !taken && (a == nil || a.gone)
	if a != nil && !a.have && !a.gone {
		a.have, a.state = true, bytes.Clone(r.b)
		close(a.come)
	}
	f.mu.Unlock()
	if refused {
		f.answer(m.reply, answerFailed, append([]byte{byte(session.StatusRejected)}, "the player is not expected: the seat has ended, or the player has come without the state"...))
		return true
	}
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
	name := c.Identity().Name
	f.mu.Lock()
	t := &f.travels
	a := t.expected[name]
	delete(t.expected, name)
	if a != nil && a.have {
		if len(t.taken) < maxExpects { // else the sender counts a state whose copy comes as lost
			t.taken[name] = a.until
		}
	} else if a != nil {
		f.counts.StatesMissed++
	}
	f.mu.Unlock()
	if a != nil && f.config.Arrive != nil {
		f.config.Arrive(c, a.state)
	}
}

// loseArrival forgets a player who does not come. f.mu is held.
func (f *Fleet) loseArrival(name string, a *arrival, why string) {
	delete(f.travels.expected, name)
	a.end()
	if a.have {
		f.counts.StatesLost++
		f.config.Logger.Warn("fleet: the state of a player is lost", "node", f.config.Name, "player", name, "why", why)
	}
}

// forgetArrivals forgets players who have not come. f.mu is held.
func (f *Fleet) forgetArrivals(now time.Time) {
	for name, a := range f.travels.expected {
		if now.After(a.until) {
			f.loseArrival(name, a, "the player has not come")
		}
	}
	maps.DeleteFunc(f.travels.taken, func(_ string, until time.Time) bool { return now.After(until) })
}

// giveUpArrivals forgets all players who have not come: this node lets nobody in any more.
func (f *Fleet) giveUpArrivals() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, a := range f.travels.expected {
		f.loseArrival(name, a, "the node ends, and the player has not come")
	}
}
