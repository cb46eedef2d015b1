package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/session"
	"github.com/nats-io/nats.go/jetstream"
)

// A room is a name that belongs to one node. The node is the value of the name in a bucket of JetStream, which nodes
// change by compare-and-set. When a node is gone, each other node looks for its rooms, and one of those with Config.Adopt,
// which all of them compute alike, takes each of them.

// Errors of rooms. Find them with errors.Is.
var (
	// ErrNoRoom: no node has the room.
	ErrNoRoom = errors.New("fleet: no node has the room")
	// ErrTaken: another node has the room.
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
)

// rooms is what a node knows of rooms. Fleet.mu guards it.
type rooms struct {
	kv    jetstream.KeyValue // nil until there is a server, or Claim or Find needs it
	mine  map[string]*Room   // by token
	given map[string]uint64  // revisions of rooms whose Release NATS has not noted yet
	wake  chan struct{}
}

// A roomValue is the value of a room in the bucket.
type roomValue struct {
	Node string `json:"node"` // ID
	Name string `json:"name"` // of the room
}

func (f *Fleet) initRooms() {
	f.rooms = rooms{mine: make(map[string]*Room), given: make(map[string]uint64), wake: make(chan struct{}, 1)}
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
// node that is there, and the same Room if it belongs to this one. Claim waits for NATS, or until ctx is done; in a handler it
// returns session.ErrInHandler.
func (f *Fleet) Claim(ctx context.Context, name string) (*Room, error) {
	if handling.Now() {
		return nil, session.ErrInHandler
	}
	r, _, err := f.claim(ctx, name)
	return r, err
}

// claim is Claim. fresh says that the room did not belong to this node before.
func (f *Fleet) claim(ctx context.Context, name string) (r *Room, fresh bool, err error) {
	key := token(name)
	value, err := json.Marshal(roomValue{f.me.String(), name})
	if err != nil || name == "" || len(name) > 256 {
		return nil, false, errors.New("fleet: the name of a room has 1 to 256 bytes")
	}
	for range claimTries {
		f.mu.Lock()
		mine := f.rooms.mine[key]
		f.mu.Unlock()
		if mine != nil {
			return mine, false, nil
		}
		revision, err := f.claimRoom(ctx, key, value)
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

// claimRoom tries once to write the value of a room. An error of isConflict means that somebody else has written it
// meanwhile.
func (f *Fleet) claimRoom(ctx context.Context, key string, value []byte) (revision uint64, err error) {
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
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return kv.Create(ctx, key, value)
	case err != nil:
		return 0, err
	}
	var v roomValue
	if json.Unmarshal(e.Value(), &v) == nil && v.Node != f.me.String() {
		if gone, sure := f.isGone(v.Node); !gone || !sure {
			return 0, ErrTaken
		}
	}
	return kv.Update(ctx, key, value, e.Revision())
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
	delete(f.rooms.given, key)
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
		f.config.Adopt(r)
	}
	return err
}

// Find returns the node that has a room. The error is ErrNoRoom if no node that is there has it. Find waits for NATS, or until
// ctx is done; in a handler it returns session.ErrInHandler.
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
// noted it; the room does not belong to this node nevertheless, and this node repeats it.
func (r *Room) Release(ctx context.Context) error {
	f, key := r.fleet, token(r.name)
	revision, ok := f.loseRoom(key, r)
	if !ok {
		return nil
	}
	err := f.roomsBucket().Delete(ctx, key, jetstream.LastRevision(revision))
	if isConflict(err) || isGone(err) {
		return nil
	}
	if err != nil {
		f.mu.Lock()
		f.rooms.given[key] = revision
		f.mu.Unlock()
		f.wakeRooms()
	}
	return err
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
	var swept time.Time
	again := false
	for {
		select {
		case <-f.stop:
			return
		case <-f.rooms.wake:
			again = true
		case <-tick.C:
			f.mu.Lock()
			f.buryDead(time.Now())
			f.mu.Unlock()
		}
		if f.away.Load() || f.roomsBucket() == nil || !again && time.Since(swept) < sweepEvery {
			continue
		}
		f.tellSpent()
		ctx, cancel := context.WithTimeout(context.Background(), bucketTime)
		orphans, err := f.sweepRooms(ctx)
		cancel()
		if err != nil {
			f.config.Logger.Debug("fleet: the rooms cannot be compared", "node", f.config.Name, "err", err)
		}
		again, swept = orphans || err != nil, time.Now()
	}
}

// sweepRooms compares all rooms once. orphans says that there are rooms of nodes that are gone which nobody has claimed yet.
func (f *Fleet) sweepRooms(ctx context.Context) (orphans bool, err error) {
	entries, err := f.allRooms(ctx)
	if isGone(err) {
		entries, err = nil, f.openRooms(ctx)
	}
	if err != nil {
		return false, err
	}
	there := make(map[string]bool)
	for _, e := range entries {
		var v roomValue
		if json.Unmarshal(e.Value(), &v) != nil {
			continue
		}
		there[e.Key()] = true
		if v.Node == f.me.String() {
			err = f.confirmRoom(ctx, e)
		} else {
			f.mu.Lock()
			mine := f.rooms.mine[e.Key()]
			f.mu.Unlock()
			if mine != nil && mine.revision < e.Revision() {
				f.loseRoom(e.Key(), mine) // another node has it
			}
			var orphan bool
			orphan, err = f.takeOrphan(ctx, e, v)
			orphans = orphans || orphan
		}
		if err != nil {
			return true, err
		}
	}
	f.mu.Lock()
	missing := make(map[string]*Room)
	for key, r := range f.rooms.mine {
		if !there[key] {
			missing[key] = r
		}
	}
	f.mu.Unlock()
	for key, r := range missing { // the bucket is new, or the room was claimed since allRooms
		value, _ := json.Marshal(roomValue{f.me.String(), r.name})
		switch revision, err := f.claimRoom(ctx, key, value); {
		case errors.Is(err, ErrTaken):
			f.loseRoom(key, r)
		case isConflict(err):
			orphans = true // again soon
		case err != nil:
			return true, err
		default:
			f.mu.Lock()
			r.revision = revision
			f.mu.Unlock()
		}
	}
	return orphans, nil
}

// confirmRoom notes the revision of a room of this node or, if this node has given it up, deletes it.
func (f *Fleet) confirmRoom(ctx context.Context, e jetstream.KeyValueEntry) error {
	f.mu.Lock()
	r := f.rooms.mine[e.Key()]
	if r != nil {
		r.revision = max(r.revision, e.Revision())
	}
	given := f.rooms.given[e.Key()]
	f.mu.Unlock()
	if r != nil || given != e.Revision() {
		return nil
	}
	err := f.roomsBucket().Delete(ctx, e.Key(), jetstream.LastRevision(given))
	if err == nil || isConflict(err) {
		f.mu.Lock()
		delete(f.rooms.given, e.Key())
		f.mu.Unlock()
		return nil
	}
	return err
}

// takeOrphan claims a room whose node is gone, if it is this node that is to have it.
func (f *Fleet) takeOrphan(ctx context.Context, e jetstream.KeyValueEntry, v roomValue) (orphan bool, err error) {
	if gone, sure := f.isGone(v.Node); !gone {
		return false, nil
	} else if !sure {
		return true, nil
	}
	if f.heir(v.Name) != f.me.String() {
		return true, nil
	}
	value, err := json.Marshal(roomValue{f.me.String(), v.Name})
	if err != nil {
		return false, err
	}
	revision, err := f.roomsBucket().Update(ctx, e.Key(), value, e.Revision())
	if isConflict(err) {
		return true, nil
	}
	if err != nil {
		return true, err
	}
	f.count(&f.counts.Adopted)
	f.config.Logger.Info("fleet: a room of a node that is gone is here now", "node", f.config.Name, "room", v.Name)
	if r, fresh := f.keepRoom(e.Key(), v.Name, revision); fresh {
		f.config.Adopt(r)
	}
	return false, nil
}

// heir returns the node that is to have a room whose node is gone: of those with Config.Adopt that are not draining, the one whose
// ID has the largest hash together with the room's name. Empty if there is none.
func (f *Fleet) heir(room string) (id string) {
	var most uint64
	for _, n := range f.Nodes() {
		if !n.Adopts || n.Draining || n.MaxSessions == 0 {
			continue
		}
		h := fnv.New64a()
		h.Write([]byte(n.ID))
		h.Write([]byte(room))
		if sum := h.Sum64(); id == "" || sum > most {
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
			if e == nil || !ok {
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
