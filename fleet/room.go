package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/session"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A room is a name that belongs to one node. The node is the value of the name in a bucket of JetStream, which nodes
// change by compare-and-set. When a node is gone, each other node looks for its rooms, and one of those with Config.Adopt,
// which all of them compute alike, takes each of them.
//
// An answer of NATS may get lost: then a node does not know whether the bucket has what it wrote. So each node compares the
// bucket with its rooms from time to time, and after each failure: see sweep.go.

// Errors of rooms. Find them with errors.Is.
var (
	// ErrNoRoom: no node has the room.
	ErrNoRoom = errors.New("fleet: no node has the room")
	// ErrTaken: another node has the room, or may have it: see Fleet.Claim.
	ErrTaken = errors.New("fleet: another node has the room")
)

// A Room is a name that belongs to this node.
type Room struct {
	fleet    *Fleet
	name     string
	revision uint64 // of its value; Fleet.mu guards it
	lost     chan struct{}
}

// Name returns the name of the room.
func (r *Room) Name() string { return r.name }

// Lost returns a channel that is closed when the room does not belong to this node any more: after Release, or because
// the other nodes have not heard this one for too long, and one of them has the room now.
func (r *Room) Lost() <-chan struct{} { return r.lost }

// rooms is what a node knows of rooms. Fleet.mu guards kv, known, unread, mine and claiming; the goroutine of keepRooms owns the last three.
type rooms struct {
	kv       jetstream.KeyValue // nil until there is a server, or Claim or Find needs it
	known    bucketState        // of kv at the last sweep that was not soon after NATS was away
	unread   bool               // no sweep has succeeded since NATS was away or the bucket was opened in doubt, or the last one has failed: a cluster needs some seconds to start again
	mine     map[string]*Room   // by token
	claiming map[string]int     // claims in progress, by token: the bucket may have a room that is not in mine yet
	wake     chan struct{}

	adopting map[string]bool // rooms, by token, that this node has taken from one that is gone, if NATS has not answered
	again    bool            // compareRooms is to compare the rooms at its next call
	swept    time.Time       // when compareRooms has done so, or sweepEvery before it is to do so again
}

// A roomValue is the value of a room in the bucket.
type roomValue struct {
	Node string `json:"node"` // ID
	Name string `json:"name"` // of the room
}

func (f *Fleet) initRooms() {
	f.rooms = rooms{
		mine: make(map[string]*Room), claiming: make(map[string]int), adopting: make(map[string]bool), wake: make(chan struct{}, 1),
	}
}

// roomValue returns the value of a room that belongs to this node.
func (f *Fleet) roomValue(name string) []byte {
	b, _ := json.Marshal(roomValue{f.me.String(), name}) // a struct of strings has no error
	return b
}

// readRoom reads the value of a room. ok says that a node may have written it: the name is that of the key.
func readRoom(e jetstream.KeyValueEntry) (v roomValue, ok bool) {
	err := json.Unmarshal(e.Value(), &v)
	return v, err == nil && token(v.Name) == e.Key()
}

// openRooms opens the bucket of rooms, and makes it if there is none. At the first time it finds out whether NATS may have lost the rooms
// of other nodes a moment ago, before this node has joined or has asked for rooms.
func (f *Fleet) openRooms(ctx context.Context) error {
	kv, err := f.openBucket(ctx, jetstream.KeyValueConfig{
		Bucket: f.bucketName("rooms"), Replicas: f.config.Replicas,
		Storage: jetstream.MemoryStorage, // the nodes can write it again
	})
	if err != nil {
		return fmt.Errorf("fleet: the bucket of rooms: %w", err)
	}
	f.mu.Lock()
	first, before := f.rooms.kv == nil && !f.alone(), f.nodes.back
	f.mu.Unlock()
	var age time.Duration
	if first {
		short, cancel := context.WithTimeout(ctx, bucketTime) // a bucket without a leader does not answer
		_, age, err = stateOf(short, kv)
		cancel()
		if err := ctx.Err(); err != nil { // the caller's time is over, and not that of NATS
			return fmt.Errorf("fleet: the bucket of rooms: %w", err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	opened := f.rooms.kv != nil // another goroutine was faster
	f.rooms.kv = kv
	switch {
	case !first || opened:
	case err != nil || !f.nodes.back.Equal(before): // NATS was away meanwhile, or the bucket cannot be read: the first sweep says when it can be
		f.rooms.unread = true
	default: // NATS may have lost its memory just before the mark was made: other nodes may not have written their rooms again
		if made := time.Now().Add(-max(age, 0)); made.After(f.nodes.back) {
			f.nodes.back = made
		}
	}
	return nil
}

// openBucket opens a bucket, and makes it if there is none. It asks again if NATS has not answered for bucketTime: a cluster does not answer if
// several nodes make a bucket at the same time. From the third time on it waits twice as long: a slow NATS needs time for several calls. It also asks
// again if NATS says that its JetStream cannot answer now: a cluster without a leader does. It gives
// up after 7 times bucketTime. While NATS is away the error is ErrAway.
func (f *Fleet) openBucket(ctx context.Context, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, 7*bucketTime)
	defer cancel()
	for calls := 1; ; calls++ {
		if f.away.Load() {
			return nil, ErrAway
		}
		limit := bucketTime
		if calls > 2 {
			limit *= 2
		}
		once, cancel := context.WithTimeout(ctx, limit)
		kv, err := f.js.CreateOrUpdateKeyValue(once, c)
		cancel()
		switch api, ok := errors.AsType[*jetstream.APIError](err); {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		case errors.Is(err, context.DeadlineExceeded) && caller.Err() == nil:
			return nil, errNoAnswer
		case errors.Is(err, nats.ErrReconnectBufExceeded): // NATS has just gone away
			return nil, ErrAway
		case ok && api.ErrorCode == unavailable && pause(ctx, reconnectWait):
		default:
			return kv, err
		}
	}
}

// unavailable is the code of the error that JetStream is temporarily unavailable.
const unavailable jetstream.ErrorCode = 10008

// errNoAnswer is the error of the time that a bucket has to open.
var errNoAnswer = fmt.Errorf("NATS does not answer: has its cluster a leader, and the user the right to $JS.API.>? %w", context.DeadlineExceeded)

// pause waits for some time. It returns false if ctx is done before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *Fleet) roomsBucket() jetstream.KeyValue {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rooms.kv
}

// openRoomsBucket returns the bucket of rooms, and opens it if this is not done yet: a node without a server may claim and find
// rooms, too. While NATS is away the error is ErrAway: nats.go holds its lock during an attempt to connect, so a call would return later than ctx is done.
func (f *Fleet) openRoomsBucket(ctx context.Context) (jetstream.KeyValue, error) {
	if f.away.Load() {
		return nil, ErrAway
	}
	if kv := f.roomsBucket(); kv != nil {
		return kv, nil
	}
	err := f.openRooms(ctx)
	return f.roomsBucket(), err
}

// wakeRooms makes keepRooms compare all rooms soon.
func (f *Fleet) wakeRooms() {
	select {
	case f.rooms.wake <- struct{}{}:
	default:
	}
}

// Claim makes a room belong to this node, until Release or Close. It returns ErrTaken if the room belongs to another
// node that is there, and the same Room if it belongs to this one. For four seconds after Join, and after NATS was away, this node does not know
// which nodes are gone, and each room of another one is ErrTaken. In the four seconds after NATS was away a room that NATS does not know
// is ErrTaken, too, unless NATS still has all other rooms that it had: it may have started again without its memory, and the node of the
// room may be back later than this one. So is each room in the first four seconds of a new fleet, because its first node does not know that NATS is new;
// only a node with a NATS server in its process that does not listen claims rooms at once. Try again later. Claim waits
// for NATS, or until ctx is done, and for the opening of the bucket of rooms 14 s at most; while NATS is away it returns ErrAway, in a handler
// session.ErrInHandler, and amid and after Close ErrClosed. A name has 1 to 256 bytes of UTF-8.
func (f *Fleet) Claim(ctx context.Context, name string) (*Room, error) {
	if handling.Now() {
		return nil, session.ErrInHandler
	}
	r, _, err := f.claim(ctx, name)
	return r, f.plain(ctx, err)
}

// claim is Claim. fresh says that the room did not belong to this node before.
func (f *Fleet) claim(ctx context.Context, name string) (r *Room, fresh bool, err error) {
	if name == "" || len(name) > 256 || !utf8.ValidString(name) {
		return nil, false, errors.New("fleet: the name of a room has 1 to 256 bytes of UTF-8")
	}
	if f.isClosing() {
		return nil, false, ErrClosed
	}
	key := token(name)
	f.noteClaiming(key, 1)
	defer func() {
		f.noteClaiming(key, -1)
		if err != nil && !errors.Is(err, ErrTaken) {
			f.wakeRooms() // the bucket may say that the room belongs to this node nevertheless
		}
	}()
	for range claimTries {
		f.mu.Lock()
		mine := f.rooms.mine[key]
		f.mu.Unlock()
		if mine != nil {
			return mine, false, nil
		}
		revision, err := f.claimRoom(ctx, key, f.roomValue(name), false)
		if isConflict(err) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		r, fresh := f.keepRoom(key, name, revision)
		if r == nil {
			f.removeRoom(ctx, key, revision) // else others adopt it when this node is gone
			return nil, false, ErrClosed
		}
		return r, fresh, nil
	}
	return nil, false, ErrTaken
}

// noteClaiming notes that n claims of a room have begun or, if n is negative, have ended.
func (f *Fleet) noteClaiming(key string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rooms.claiming[key] += n; f.rooms.claiming[key] == 0 {
		delete(f.rooms.claiming, key)
	}
}

// claimRoom tries once to write the value of a room. mine says that the room belongs to this node. An error of isConflict means that
// somebody else has written it meanwhile.
func (f *Fleet) claimRoom(ctx context.Context, key string, value []byte, mine bool) (revision uint64, err error) {
	kv, err := f.openRoomsBucket(ctx)
	if err != nil {
		return 0, err
	}
	e, err := kv.Get(ctx, key)
	if isGone(err) { // a NATS server that had the bucket in memory has started again
		if err = f.openRooms(ctx); err != nil {
			return 0, err
		}
		kv, err = f.roomsBucket(), jetstream.ErrKeyNotFound
	}
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound) && !mine && f.backLately() && !f.keptRooms(ctx, kv):
		return 0, ErrTaken // the node of the room may not have written the room again
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return kv.Create(ctx, key, value)
	case err != nil:
		return 0, err
	}
	if v, ok := readRoom(e); ok && v.Node != f.me.String() {
		if gone, sure := f.checkGone(ctx, v.Node, time.Now()); !gone || !sure {
			return 0, ErrTaken
		}
	}
	return kv.Update(ctx, key, value, e.Revision())
}

// keepRoom notes that a room belongs to this node. fresh says that it did not before. r is nil if Close was called, which releases the rooms that the
// node has.
func (f *Fleet) keepRoom(key, name string, revision uint64) (r *Room, fresh bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.rooms.mine[key]; r != nil {
		r.revision = max(r.revision, revision)
		return r, false
	}
	if f.closing {
		return nil, false
	}
	r = &Room{fleet: f, name: name, revision: revision, lost: make(chan struct{})}
	f.rooms.mine[key] = r
	return r, true
}

// adopt claims a room that a front needs, and tells the program.
func (f *Fleet) adopt(name string) error {
	if f.config.Adopt == nil {
		return errors.New("fleet: the node has no Config.Adopt")
	}
	ctx, cancel := context.WithTimeout(context.Background(), bucketTime)
	defer cancel()
	r, fresh, err := f.claim(ctx, name)
	if fresh {
		f.adopted(r)
	}
	return err
}

// Find returns the node that has a room. The error is ErrNoRoom if no node that is there has it, and in the four seconds after NATS was
// away also if the node of the room has not told NATS of it again: Claim returns ErrTaken then. Find waits for NATS, or until ctx is
// done, and for the opening of the bucket of rooms 14 s at most; while NATS is away it returns ErrAway, in a handler session.ErrInHandler, and amid and after Close ErrClosed.
func (f *Fleet) Find(ctx context.Context, name string) (Node, error) {
	if handling.Now() {
		return Node{}, session.ErrInHandler
	}
	n, err := f.find(ctx, name)
	return n, f.plain(ctx, err)
}

func (f *Fleet) find(ctx context.Context, name string) (Node, error) {
	if f.isClosing() {
		return Node{}, ErrClosed
	}
	kv, err := f.openRoomsBucket(ctx)
	if err != nil {
		return Node{}, err
	}
	e, err := kv.Get(ctx, token(name))
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return Node{}, fmt.Errorf("fleet: the bucket of rooms: %w", err) // its server is down, or has just started again
	case errors.Is(err, jetstream.ErrKeyNotFound), isGone(err):
		return Node{}, ErrNoRoom
	case err != nil:
		return Node{}, err
	}
	if v, ok := readRoom(e); ok {
		if n, ok := f.node(v.Node); ok {
			return n, nil
		}
	}
	return Node{}, ErrNoRoom
}

// Rooms returns the rooms of this node.
func (f *Fleet) Rooms() []*Room {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*Room
	for _, r := range f.rooms.mine {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *Room) int { return cmp.Compare(a.name, b.name) })
	return all
}

// Release gives the room up: any node may claim it. It waits for NATS, or until ctx is done. If it returns an error NATS has not
// noted it; the room does not belong to this node nevertheless, and this node repeats it. In a handler it returns session.ErrInHandler,
// and the room stays.
func (r *Room) Release(ctx context.Context) error {
	if handling.Now() {
		return session.ErrInHandler
	}
	f, key := r.fleet, token(r.name)
	revision, ok := f.loseRoom(key, r)
	if !ok {
		return nil
	}
	err := f.removeRoom(ctx, key, revision)
	if err != nil {
		f.wakeRooms() // the bucket may still say that the room belongs to this node
	}
	if isConflict(err) || isGone(err) {
		return nil
	}
	return err
}

// removeRoom removes a revision of a room of this node from the bucket. It reads the bucket first: in a new one, after NATS has
// started again, a claim of another node may have this revision.
func (f *Fleet) removeRoom(ctx context.Context, key string, revision uint64) error {
	kv := f.roomsBucket()
	e, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if v, ok := readRoom(e); !ok || v.Node != f.me.String() { // no node has a malformed value
		return nil
	}
	return kv.Delete(ctx, key, jetstream.LastRevision(revision))
}

// loseRoom notes that a room does not belong to this node any more.
func (f *Fleet) loseRoom(key string, r *Room) (revision uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rooms.mine[key] != r {
		return 0, false
	}
	delete(f.rooms.mine, key)
	close(r.lost)
	return r.revision, true
}

// releaseRooms gives up all rooms of this node. While NATS is away the bucket keeps them, and others adopt them when this node is gone.
func (f *Fleet) releaseRooms(ctx context.Context) {
	for _, r := range f.Rooms() {
		if f.away.Load() {
			f.loseRoom(token(r.name), r)
		} else {
			r.Release(ctx)
		}
	}
}
