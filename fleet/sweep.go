package fleet

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A sweep compares the rooms of this node with those that the bucket has. The goroutine of keepRooms makes one every 10 s, after each failure,
// when a node is gone, when NATS is back, and some four seconds later.

// Times of sweeps.
const (
	roomsEvery = 250 * time.Millisecond // how often keepRooms looks whether a node is gone
	sweepEvery = 10 * time.Second       // how often it compares all rooms
	restorers  = 64                     // how many rooms it writes or reads again at a time
)

// markKey is the key of the mark of a bucket of rooms: a random text that is lost with the rooms. No room has this key: see token.
const markKey = "/mark"

// A bucketState says whether a bucket has lost values: then it has no mark or another one, or fewer changes.
type bucketState struct {
	mark    string // empty if it is not known
	changes uint64
}

// stateOf returns the state of a bucket, and the age of its mark. It makes the mark if there is none.
func stateOf(ctx context.Context, kv jetstream.KeyValue) (s bucketState, age time.Duration, err error) {
	mark := rand.Text()
	e, err := kv.Get(ctx, markKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		if _, err = kv.Create(ctx, markKey, []byte(mark)); isConflict(err) { // another node was faster
			e, err = kv.Get(ctx, markKey)
		}
	}
	if err != nil {
		return s, 0, err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return s, 0, err
	}
	if b, ok := status.(*jetstream.KeyValueBucketStatus); ok {
		info := b.StreamInfo()
		if e != nil {
			mark, age = string(e.Value()), info.TimeStamp.Sub(e.Created()) // both are times of NATS
		}
		s = bucketState{mark, info.State.LastSeq}
	}
	return s, age, nil
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
	if f.stopped() || f.away.Load() || f.roomsBucket() == nil || !r.again && now.Sub(r.swept) < sweepEvery {
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
	next := f.nodes.back.Add(f.nodes.dead + beatEvery + roomsEvery) // a sweep notes the state of the bucket then
	f.mu.Unlock()
	r.again, r.swept = orphans || err != nil, now
	if next.After(now) && next.Before(now.Add(sweepEvery)) {
		r.swept = next.Add(-sweepEvery)
	}
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
	there, taken := make(map[string]bool), make(map[string]*Room)
	var others []jetstream.KeyValueEntry
	for _, e := range entries {
		v, ok := readRoom(e)
		if !ok {
			continue
		}
		there[e.Key()] = true
		f.mu.Lock()
		mine := f.rooms.mine[e.Key()]
		f.mu.Unlock()
		switch {
		case v.Node == f.me.String():
			if err := f.confirmRoom(ctx, e, v); err != nil {
				return false, err
			}
		case mine != nil:
			taken[e.Key()] = mine
		default:
			others = append(others, e)
		}
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
	restored, err := f.eachRoom(ctx, missing, f.restoreRoom)
	if err != nil {
		return false, err
	}
	lost, err := f.eachRoom(ctx, taken, f.checkRoom) // two nodes have these until then
	if err != nil {
		return false, err
	}
	again = restored || lost
	for _, e := range others {
		more, err := f.takeOrphan(ctx, e, read)
		if err != nil {
			return false, err
		}
		again = again || more
	}
	return again, f.noteBucket(ctx)
}

// eachRoom calls restoreRoom or checkRoom for rooms of this node, several at a time: four seconds after NATS was away other nodes may claim what is not
// written.
func (f *Fleet) eachRoom(ctx context.Context, rooms map[string]*Room, call func(context.Context, string, *Room) (bool, error)) (again bool, err error) {
	type result struct {
		again bool
		err   error
	}
	var running sync.WaitGroup
	results, turns, i := make([]result, len(rooms)), make(chan struct{}, restorers), 0
	for key, r := range rooms {
		turns <- struct{}{}
		of := &results[i]
		i++
		running.Go(func() {
			of.again, of.err = call(ctx, key, r)
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
	if v, ok := readRoom(e); ok && v.Node != f.me.String() {
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
func (f *Fleet) takeOrphan(ctx context.Context, e jetstream.KeyValueEntry, read time.Time) (orphan bool, err error) {
	delete(f.rooms.adopting, e.Key())
	v, _ := readRoom(e)
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
	if !fresh { // Claim was faster, or Close
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
	defer f.endWatch(w)
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

// endWatch ends a subscription without waiting: nats.go waits five seconds for NATS to note the end, and others claim what is not written after four.
// It takes what is left: a goroutine of nats.go waits until somebody does.
func (f *Fleet) endWatch(w jetstream.KeyWatcher) {
	f.ending.Go(func() {
		w.Stop()
		for len(w.Updates()) > 0 {
			<-w.Updates()
		}
	})
}

// keptRooms reports whether the bucket still has all that it had before NATS was away.
func (f *Fleet) keptRooms(ctx context.Context, kv jetstream.KeyValue) bool {
	f.mu.Lock()
	known := f.rooms.known
	f.mu.Unlock()
	if f.away.Load() || known.mark == "" {
		return false
	}
	now, _, err := stateOf(ctx, kv)
	return err == nil && now.mark == known.mark && now.changes >= known.changes
}

// noteBucket notes the state of the bucket, if all nodes that are there have written their rooms.
func (f *Fleet) noteBucket(ctx context.Context) error {
	if f.backLately() {
		return nil
	}
	s, _, err := stateOf(ctx, f.roomsBucket())
	if err != nil || f.backLately() { // by now
		return err
	}
	f.mu.Lock()
	f.rooms.known = s
	f.mu.Unlock()
	return nil
}
