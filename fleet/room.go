package fleet

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
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
// bucket with its rooms from time to time, and after each failure: see sweepRooms.

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

// Times of rooms.
const (
	roomsEvery = 250 * time.Millisecond // how often keepRooms looks whether a node is gone
	sweepEvery = 10 * time.Second       // how often it compares all rooms
	restorers  = 64                     // how many rooms it writes again at a time
)

// A bucketState says whether a bucket has lost values: it is another one then or, in a cluster, the same one with fewer changes.
type bucketState struct {
	created time.Time // zero if it is not known
	changes uint64
}

// stateOf returns the state of a bucket.
func stateOf(ctx context.Context, kv jetstream.KeyValue) (s bucketState, err error) {
	status, err := kv.Status(ctx)
	if err != nil {
		return s, err
	}
	if b, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		s = bucketState{b.StreamInfo().Created, b.StreamInfo().State.LastSeq}
	}
	return s, nil
}

// rooms is what a node knows of rooms. Fleet.mu guards kv, known, unread, mine and claiming; the goroutine of keepRooms owns the last three.
type rooms struct {
	kv       jetstream.KeyValue // nil until there is a server, or Claim or Find needs it
	known    bucketState        // of kv at the last sweep that was not soon after NATS was away
	unread   bool               // no sweep has succeeded since NATS was away, or the last one has failed: a cluster needs some seconds to start again
	mine     map[string]*Room   // by token
	claiming map[string]int     // claims in progress, by token: the bucket may have a room that is not in mine yet
	wake     chan struct{}

	adopting map[string]bool // rooms, by token, that this node has taken from one that is gone, if NATS has not answered
	again    bool            // compareRooms is to compare the rooms at its next call
	swept    time.Time       // when compareRooms has done so
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

// openRooms opens the bucket of rooms, and makes it if there is none.
func (f *Fleet) openRooms(ctx context.Context) error {
	kv, err := f.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: f.bucketName("rooms"), History: 1, Replicas: f.config.Replicas,
		Storage: jetstream.MemoryStorage, // the nodes can write it again
	})
	if err != nil {
		return fmt.Errorf("fleet: the bucket of rooms: %w", err)
	}
	f.mu.Lock()
	f.rooms.kv = kv
	f.mu.Unlock()
	return nil
}

func (f *Fleet) roomsBucket() jetstream.KeyValue {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rooms.kv
}

// openRoomsBucket returns the bucket of rooms, and opens it if this is not done yet: a node without a server may claim and find
// rooms, too.
func (f *Fleet) openRoomsBucket(ctx context.Context) (jetstream.KeyValue, error) {
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
// room may be back later than this one. Claim waits
// for NATS, or until ctx is done; in a handler it returns session.ErrInHandler. A name has 1 to 256 bytes of UTF-8.
func (f *Fleet) Claim(ctx context.Context, name string) (*Room, error) {
	if handling.Now() {
		return nil, session.ErrInHandler
	}
	r, _, err := f.claim(ctx, name)
	return r, err
}

// claim is Claim. fresh says that the room did not belong to this node before.
func (f *Fleet) claim(ctx context.Context, name string) (r *Room, fresh bool, err error) {
	if name == "" || len(name) > 256 || !utf8.ValidString(name) {
		return nil, false, errors.New("fleet: the name of a room has 1 to 256 bytes of UTF-8")
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
	var v roomValue
	if json.Unmarshal(e.Value(), &v) == nil && v.Node != f.me.String() {
		if gone, sure := f.checkGone(ctx, v.Node, time.Now()); !gone || !sure {
			return 0, ErrTaken
		}
	}
	return kv.Update(ctx, key, value, e.Revision())
}

// keptRooms reports whether the bucket still has all that it had before NATS was away.
func (f *Fleet) keptRooms(ctx context.Context, kv jetstream.KeyValue) bool {
	f.mu.Lock()
	known := f.rooms.known
	f.mu.Unlock()
	if f.away.Load() || known.created.IsZero() {
		return false
	}
	now, err := stateOf(ctx, kv)
	return err == nil && now.created.Equal(known.created) && now.changes >= known.changes
}

// noteBucket notes the state of the bucket, if all nodes that are there have written their rooms.
func (f *Fleet) noteBucket(ctx context.Context) error {
	if f.backLately() {
		return nil
	}
	s, err := stateOf(ctx, f.roomsBucket())
	if err != nil || f.backLately() { // by now
		return err
	}
	f.mu.Lock()
	f.rooms.known = s
	f.mu.Unlock()
	return nil
}

// keepRoom notes that a room belongs to this node. fresh says that it did not before.
func (f *Fleet) keepRoom(key, name string, revision uint64) (r *Room, fresh bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.rooms.mine[key]; r != nil {
		r.revision = max(r.revision, revision)
		return r, false
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
// done; in a handler it returns session.ErrInHandler.
func (f *Fleet) Find(ctx context.Context, name string) (Node, error) {
	if handling.Now() {
		return Node{}, session.ErrInHandler
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
	var v roomValue
	if err := json.Unmarshal(e.Value(), &v); err != nil {
		return Node{}, ErrNoRoom
	}
	if n, ok := f.node(v.Node); ok {
		return n, nil
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
	var v roomValue
	if _ = json.Unmarshal(e.Value(), &v); v.Node != f.me.String() { // no node has a malformed value
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

// keepRooms compares the rooms of the bucket with those of this node: when a node is gone, when NATS is back, and now and
// then. It is a goroutine of the fleet.
func (f *Fleet) keepRooms() {
	tick := time.NewTicker(roomsEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-f.rooms.wake:
			f.rooms.again = true
		case <-tick.C:
			f.mu.Lock()
			f.listen(time.Now())
			f.mu.Unlock()
		}
		f.compareRooms(time.Now())
	}
}

// compareRooms calls sweepRooms if it is time, and then does what is less urgent.
func (f *Fleet) compareRooms(now time.Time) {
	r := &f.rooms
	if f.away.Load() || f.roomsBucket() == nil || !r.again && now.Sub(r.swept) < sweepEvery {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), bucketTime)
	defer cancel()
	orphans, err := f.sweepRooms(ctx)
	if err != nil {
		f.config.Logger.Debug("fleet: the rooms cannot be compared", "node", f.config.Name, "err", err)
	}
	f.mu.Lock()
	if err == nil && r.unread {
		f.nodes.back = time.Now() // other nodes may not have written their rooms again
	}
	r.unread = err != nil
	f.mu.Unlock()
	r.again, r.swept = orphans || err != nil, now
	f.checkClaims(ctx)
	f.tellSpent(time.Now())
}

// sweepRooms compares all rooms once. again says that it is to do so soon again, because there are rooms of nodes that are gone
// which nobody has claimed yet, or rooms have changed meanwhile.
func (f *Fleet) sweepRooms(ctx context.Context) (again bool, err error) {
	entries, err := f.allRooms(ctx)
	if isGone(err) {
		if err = f.openRooms(ctx); err == nil {
			entries, err = f.allRooms(ctx) // a bucket without a leader can be opened
		}
	}
	if err != nil {
		return false, err
	}
	read := time.Now()
	there := make(map[string]bool)
	for _, e := range entries {
		var v roomValue
		if json.Unmarshal(e.Value(), &v) != nil {
			continue
		}
		there[e.Key()] = true
		f.mu.Lock()
		mine := f.rooms.mine[e.Key()]
		f.mu.Unlock()
		var more bool
		switch {
		case v.Node == f.me.String():
			err = f.confirmRoom(ctx, e, v)
		case mine != nil:
			more, err = f.checkRoom(ctx, e.Key(), mine)
		default:
			more, err = f.takeOrphan(ctx, e, v, read)
		}
		if err != nil {
			return false, err
		}
		again = again || more
	}
	maps.DeleteFunc(f.rooms.adopting, func(key string, _ bool) bool { return !there[key] })
	f.mu.Lock()
	missing := make(map[string]*Room)
	for key, r := range f.rooms.mine {
		if !there[key] {
			missing[key] = r
		}
	}
	f.mu.Unlock()
	more, err := f.restoreRooms(ctx, missing)
	if err != nil {
		return false, err
	}
	return again || more, f.noteBucket(ctx)
}

// restoreRooms calls restoreRoom for rooms that the bucket does not have: it is new, or they were claimed meanwhile. Several at a time: other nodes
// may claim what is not written four seconds after NATS was away.
func (f *Fleet) restoreRooms(ctx context.Context, missing map[string]*Room) (again bool, err error) {
	type result struct {
		again bool
		err   error
	}
	var running sync.WaitGroup
	results, turns, i := make([]result, len(missing)), make(chan struct{}, restorers), 0
	for key, r := range missing {
		turns <- struct{}{}
		of := &results[i]
		i++
		running.Go(func() {
			of.again, of.err = f.restoreRoom(ctx, key, r)
			<-turns
		})
	}
	running.Wait()
	for _, r := range results {
		again, err = again || r.again, cmp.Or(err, r.err)
	}
	return again, err
}

// confirmRoom compares a room that belongs to this node, as the bucket says, with what the node knows.
func (f *Fleet) confirmRoom(ctx context.Context, e jetstream.KeyValueEntry, v roomValue) error {
	f.mu.Lock()
	r := f.rooms.mine[e.Key()]
	if r != nil {
		r.revision = max(r.revision, e.Revision())
	}
	claiming := f.rooms.claiming[e.Key()] > 0
	f.mu.Unlock()
	switch {
	case r != nil:
		delete(f.rooms.adopting, e.Key())
		return nil
	case claiming:
		return nil
	case f.rooms.adopting[e.Key()]:
		f.noteAdopted(e.Key(), v.Name, e.Revision())
		return nil
	}
	// NATS has noted a claim, but its answer got lost, or it has not noted a Release.
	err := f.roomsBucket().Delete(ctx, e.Key(), jetstream.LastRevision(e.Revision()))
	if isConflict(err) {
		return nil
	}
	return err
}

// checkRoom makes a room of this node lost if another node has it. What allRooms has returned may be older than the claim of this
// node, and the revisions do not say so: those of a new bucket begin again. again says that the next sweep has more to do.
func (f *Fleet) checkRoom(ctx context.Context, key string, r *Room) (again bool, err error) {
	e, err := f.roomsBucket().Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var v roomValue
	if json.Unmarshal(e.Value(), &v) == nil && v.Node != f.me.String() {
		f.loseRoom(key, r)
		return true, nil // the other node may be gone
	}
	return false, nil
}

// restoreRoom writes a room of this node that the bucket does not have, or makes it lost if another node has it. again says that
// it has changed meanwhile.
func (f *Fleet) restoreRoom(ctx context.Context, key string, r *Room) (again bool, err error) {
	revision, err := f.claimRoom(ctx, key, f.roomValue(r.name), true)
	switch {
	case errors.Is(err, ErrTaken):
		f.loseRoom(key, r)
		return false, nil
	case isConflict(err):
		return true, nil
	case err != nil:
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r.revision = revision
	return f.rooms.mine[key] != r, nil // else it was released
}

// takeOrphan claims a room whose node is gone, if it is this node that is to have it. orphan says that the room is still one of
// a node that is gone. read is when the bucket was read: the node of the room had come before.
func (f *Fleet) takeOrphan(ctx context.Context, e jetstream.KeyValueEntry, v roomValue, read time.Time) (orphan bool, err error) {
	delete(f.rooms.adopting, e.Key())
	if gone, sure := f.checkGone(ctx, v.Node, read); !gone {
		return false, nil
	} else if !sure {
		return true, nil
	}
	if heir := f.heir(v.Name); heir != f.me.String() {
		return heir != "", nil // if no node adopts rooms now, the next sweep is not soon
	}
	revision, err := f.roomsBucket().Update(ctx, e.Key(), f.roomValue(v.Name), e.Revision())
	if isConflict(err) {
		return true, nil
	}
	if err != nil {
		f.rooms.adopting[e.Key()] = true
		return false, err
	}
	f.noteAdopted(e.Key(), v.Name, revision)
	return false, nil
}

// noteAdopted notes that a room of a node that is gone belongs to this node, and tells the program.
func (f *Fleet) noteAdopted(key, name string, revision uint64) {
	delete(f.rooms.adopting, key)
	r, fresh := f.keepRoom(key, name, revision)
	if !fresh { // Claim was faster
		return
	}
	f.count(&f.counts.Adopted)
	f.config.Logger.Info("fleet: a room of a node that is gone is here now", "node", f.config.Name, "room", name)
	f.adopted(r)
}

// adopted tells the program of a room. Package handling knows it: Close returns session.ErrInHandler in Config.Adopt, because it
// waits for the goroutine that runs it.
func (f *Fleet) adopted(r *Room) { f.config.Adopt(r) }

// heir returns the node that is to have a room whose node is gone: of those with Config.Adopt that are not draining, the one whose
// ID has the largest hash together with the room's name. Empty if there is none.
func (f *Fleet) heir(room string) (id string) {
	var most [sha256.Size]byte
	for _, n := range f.Nodes() {
		if !n.Adopts || n.Draining || n.MaxSessions == 0 {
			continue
		}
		// All bits of a hash that is weaker may not depend on the end of a name, and then room-1 to room-9 go to one node.
		if sum := sha256.Sum256([]byte(n.ID + room)); bytes.Compare(sum[:], most[:]) >= 0 {
			most, id = sum, n.ID
		}
	}
	return id
}

// allRooms returns the values of all rooms.
func (f *Fleet) allRooms(ctx context.Context) (all []jetstream.KeyValueEntry, err error) {
	w, err := f.roomsBucket().WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer w.Stop()
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return nil, nats.ErrConnectionClosed
			}
			if e == nil {
				return all, nil // that were all
			}
			all = append(all, e)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// releaseRooms gives up all rooms of this node.
func (f *Fleet) releaseRooms(ctx context.Context) {
	for _, r := range f.Rooms() {
		r.Release(ctx)
	}
}
