package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// watcher is what a test returns for WatchAll.
type watcher struct {
	updates chan jetstream.KeyValueEntry
	stop    func() // nil: nothing
}

func (w *watcher) Updates() <-chan jetstream.KeyValueEntry { return w.updates }

func (w *watcher) Stop() error {
	if w.stop != nil {
		w.stop()
	}
	return nil
}

// saw makes the next sweep see one entry of the bucket, as it was some time ago.
func (k *keeper) saw(room string, node instance) {
	w := &watcher{updates: make(chan jetstream.KeyValueEntry, 2)}
	w.updates <- entry{key: token(room), value: (&Fleet{me: node}).roomValue(room), revision: 1}
	w.updates <- nil
	k.watched(w, nil)
}

// watched makes the next sweep get w and err from WatchAll.
func (k *keeper) watched(w jetstream.KeyWatcher, err error) {
	k.bucket.watch = func() (jetstream.KeyWatcher, error) { k.bucket.watch = nil; return w, err }
}

// A sweep loses a room that another node has, even if the bucket is new, so that its revisions are lower. It keeps a room that this
// node has claimed since the bucket was read.
func TestRoomsThatAnotherNodeHas(t *testing.T) {
	nodes := newKeepers(t, 2)
	k, other := nodes[0], nodes[1].me
	r := k.claims("arena")
	k.write("arena", other)
	r.revision = 1000
	k.sweeps("another node has it", true)
	k.wants("another node has it", "arena", other)
	if !isLost(r) {
		t.Error("another node has the room, and this one has not lost it")
	}
	k.sweeps("the room is lost", false)

	must(t, k.bucket.Delete(t.Context(), "arena"))
	k.claims("arena")
	k.saw("arena", other)
	k.sweeps("this node has claimed it since", false)
	k.wants("this node has claimed it since", "arena", k.me)
	k.saw("arena", other)
	k.bucket.get = once(1, nil, errBroken)
	k.failsToSweep("nothing can be read", errBroken)
	k.write("arena", "?")
	k.saw("arena", other)
	k.sweeps("the bucket has no value", false)
	k.sweeps("the next sweep", false)
	k.wants("the bucket had no value", "arena", k.me)
	must(t, k.bucket.Delete(t.Context(), "arena"))
	k.saw("arena", other)
	k.sweeps("the bucket has nothing", true)
	k.sweeps("the next sweep", false)
	k.wants("the bucket had nothing", "arena", k.me)
}

// A sweep writes the rooms of this node that the bucket does not have, unless others or the program are faster.
func TestRoomsThatTheBucketDoesNotHave(t *testing.T) {
	nodes := newKeepers(t, 2)
	k, other := nodes[0], nodes[1].me
	r := k.claims("arena")
	drop := func() { must(t, k.bucket.KeyValue.Delete(context.Background(), "arena")) }
	drop()
	k.sweeps("the bucket has lost a room", false)
	k.wants("the bucket has lost a room", "arena", k.me)
	drop()
	k.bucket.update = once(1, func() { k.write("arena", k.me) }, nil)
	k.sweeps("somebody writes meanwhile", true)
	k.sweeps("the next sweep", false)
	drop()
	k.nodes.self.Adopts = false
	k.write("cave", instance{9})
	k.sweeps("a room has another heir, and another one is restored", true)
	drop()
	k.bucket.update = once(1, nil, errBroken)
	k.failsToSweep("nothing can be written", errBroken)
	k.write("arena", k.me)
	k.saw("arena", k.me)
	k.sweeps("an old entry", false)
	k.sweeps("this node has written it again", true)
	k.wants("this node has written it again", "arena", k.me)
	must(t, k.js.DeleteKeyValue(t.Context(), k.bucketName("rooms")))
	k.sweeps("the bucket is gone", false)
	k.open()
	k.wants("the bucket is gone", "arena", k.me)

	drop()
	k.bucket.get = once(1, func() { k.write("arena", other) }, nil)
	k.sweeps("another node has claimed it since", false)
	k.wants("another node has claimed it since", "arena", other)
	if !isLost(r) {
		t.Error("another node has the room, and this one has not lost it")
	}
	drop()
	r = k.claims("arena")
	drop()
	k.bucket.update = once(1, func() { must(t, r.Release(context.Background())) }, nil)
	k.sweeps("the program releases it meanwhile", true)
	k.sweeps("the next sweep", false)
	k.wants("the program has released it", "arena", instance{})
}

// A sweep does not take a part of the bucket for the whole, and ends its subscription.
func TestTheBucketCannotBeRead(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.claims("arena")
	k.bucket.update = func() error { t.Error("a sweep that has not seen the whole bucket writes"); return nil }
	k.watched(nil, errBroken)
	k.failsToSweep("no subscription", errBroken)
	stopped := make(chan string, 2)
	ended := &watcher{updates: make(chan jetstream.KeyValueEntry), stop: func() { stopped <- "one" }}
	close(ended.updates)
	k.watched(ended, nil)
	k.failsToSweep("the connection is closed", nats.ErrConnectionClosed)
	testkit.Want(t, "the subscription is ended", stopped, "one")
	silent := &watcher{stop: func() { stopped <- "the other" }}
	k.watched(silent, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if all, err := k.allRooms(ctx); all != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("nothing comes: %v, %v, want the error of the context", all, err)
	}
	testkit.Want(t, "the subscription is ended", stopped, "the other")
}

// NATS may not answer when a sweep ends its subscription. The sweep goes on: other nodes claim rooms that it does not write in time.
func TestASweepDoesNotWaitForTheEndOfItsSubscription(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.claims("arena")
	must(t, k.bucket.KeyValue.Delete(t.Context(), token("arena")))
	swept := make(chan struct{})
	w := &watcher{updates: make(chan jetstream.KeyValueEntry, 1), stop: func() {
		select {
		case <-swept:
		case <-time.After(testkit.Patience):
			t.Error("the sweep waits until NATS has noted the end of the subscription")
		}
	}}
	w.updates <- nil
	k.watched(w, nil)
	k.sweeps("NATS does not note the end of the subscription", false)
	close(swept)
	k.ending.Wait()
	k.wants("NATS does not note the end of the subscription", "arena", k.me)
}

// A sweep that runs out of time amid a large bucket takes the values that have come meanwhile: nats.go has a goroutine that waits until then.
func TestASweepThatRunsOutOfTime(t *testing.T) {
	k := newKeepers(t, 1)[0]
	for i := range 300 {
		k.write(fmt.Sprint("room ", i), k.me)
	}
	w := testkit.Must(k.bucket.KeyValue.WatchAll(t.Context(), jetstream.IgnoreDeletes()))
	wait(t, "nats.go has no place for more values", func() bool { return len(w.Updates()) == cap(w.Updates()) })
	k.watched(w, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.allRooms(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a sweep that has no time: %v", err)
	}
	k.ending.Wait()
	wait(t, "the values are taken", func() bool { return len(w.Updates()) <= 2 }) // one that nats.go had in its hand, and the end
	for range w.Updates() {                                                       // until nats.go ends
	}
}

// The rooms are compared every 10 s, and soon after a failure or while there are rooms of nodes that are gone, but not without NATS.
func TestWhenRoomsAreCompared(t *testing.T) {
	k := newKeepers(t, 1)[0]
	now := time.Now()
	broken := func() (jetstream.KeyWatcher, error) { return nil, errBroken }
	heir := Node{ID: (instance{2}).String(), Adopts: true, MaxSessions: 1}
	for _, c := range []struct {
		name   string
		before func(r *rooms)
		sweeps bool
		again  bool // afterwards
	}{
		{"10 s have passed", func(*rooms) {}, true, false},
		{"less than 10 s have passed", func(r *rooms) { r.swept = now.Add(1 - sweepEvery) }, false, false},
		{"for the first time", func(r *rooms) { r.swept = time.Time{} }, true, false},
		{"there is more to do", func(r *rooms) { r.swept, r.again = now, true }, true, false},
		{"NATS is away", func(r *rooms) { r.again = true; k.away.Store(true) }, false, true},
		{"there is no bucket", func(r *rooms) { r.again, r.kv = true, nil }, false, true},
		{"it fails", func(*rooms) { k.bucket.watch = broken }, true, true},
		{"a node is gone, and no node adopts rooms", func(*rooms) { k.write("arena", instance{9}); k.nodes.self.Adopts = false }, true, false},
		{"another node is to adopt its room", func(*rooms) { k.nodes.self.Adopts = false; k.nodes.peers[heir.ID] = &peer{Node: heir} }, true, true},
		{"this node adopts its room", func(*rooms) {}, true, false},
		{"Close waits", func(r *rooms) { r.again = true; close(k.stop) }, false, true},
	} {
		k.away.Store(false)
		k.open()
		r := &k.rooms
		r.swept, r.again = now.Add(-sweepEvery), false
		k.nodes.self.Adopts = true
		delete(k.nodes.peers, heir.ID)
		k.spent.late = map[string]time.Time{"an old token": now}
		c.before(r)
		k.compareRooms(now)
		if swept := r.swept.Equal(now) && len(k.spent.late) == 0; swept != c.sweeps || r.again != c.again {
			t.Errorf("%s: the rooms are compared: %v, want %v; again soon: %v, want %v", c.name, swept, c.sweeps, r.again, c.again)
		}
	}
	if !slices.Equal(k.adopted, []string{"arena"}) {
		t.Errorf("%v are adopted, want the room of the node that is gone", k.adopted)
	}
}

// While no node adopts rooms those of a node that is gone are not read again and again. The next sweep gives them to a node that does.
func TestRoomsThatNobodyAdopts(t *testing.T) {
	k := newKeepers(t, 1)[0]
	reads := 0
	k.bucket.watch = func() (jetstream.KeyWatcher, error) {
		reads++
		return k.bucket.KeyValue.WatchAll(t.Context(), jetstream.IgnoreDeletes())
	}
	for i := range 3 {
		k.write(fmt.Sprint("room ", i), instance{9})
	}
	now := time.Now()
	for name, change := range map[string]func(n *Node){
		"no node has Config.Adopt": func(n *Node) { n.Adopts = false }, "all nodes drain": func(n *Node) { n.Draining = true },
	} {
		self := k.nodes.self
		change(&k.nodes.self)
		reads, k.rooms.swept = 0, time.Time{}
		for i := range 40 {
			k.compareRooms(now.Add(time.Duration(i) * roomsEvery)) // less than sweepEvery in all
		}
		if reads != 1 {
			t.Errorf("%s: the bucket is read %d times, want once", name, reads)
		}
		k.nodes.self = self
	}
	k.compareRooms(now.Add(sweepEvery))
	if len(k.adopted) != 3 {
		t.Errorf("%v are adopted, want three rooms: a node adopts rooms again", k.adopted)
	}
}

// A node writes its rooms again before it tells NATS which tokens it has admitted, and again as soon as it has to do so amid the tokens.
func TestRoomsComeBeforeTokens(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.claims("arena")
	must(t, k.bucket.KeyValue.Delete(t.Context(), token("arena")))
	must(t, k.openSpent(t.Context()))
	told, wakes := 0, 2 // the rooms are to be compared amid this token
	k.spent.kv = &bucket{KeyValue: k.spent.kv, update: func() error {
		k.wants("before a token is told", "arena", k.me)
		if told++; told == wakes {
			k.wakeRooms()
		}
		return nil
	}}
	k.spent.late = make(map[string]time.Time)
	for i := range 4 {
		k.spent.late[token(fmt.Sprint("token ", i))] = time.Now().Add(time.Hour)
	}
	now := time.Now()
	k.compareRooms(now)
	if told != wakes || len(k.spent.late) != 4-wakes {
		t.Errorf("%d tokens are told, and %d wait; want 2 and 2: the rooms are to be compared", told, len(k.spent.late))
	}
	k.wantWake("amid the tokens", true)
	k.compareRooms(now.Add(sweepEvery))
	if told != 4 || len(k.spent.late) != 0 {
		t.Errorf("%d tokens are told, and %d wait; want all", told, len(k.spent.late))
	}
}

// As long as the bucket cannot be read, other nodes may not have written their rooms either: the four seconds begin when it is there.
func TestABucketThatComesBackLater(t *testing.T) {
	k := newKeepers(t, 1)[0]
	must(t, k.openSpent(t.Context()))
	now := time.Now()
	for _, c := range []struct{ fails, later bool }{{false, false}, {true, true}, {true, true}, {false, true}, {false, false}} {
		k.bucket.watch = nil
		if c.fails {
			k.bucket.watch = func() (jetstream.KeyWatcher, error) { return nil, errors.New("no leader") }
		}
		k.nodes.back = time.Time{}
		now = now.Add(sweepEvery)
		k.compareRooms(now)
		if later := k.backLately(); later != c.later {
			t.Errorf("the bucket cannot be read: %v: the four seconds begin: %v", c.fails, later)
		}
	}
}

// A node writes many rooms at a time when the bucket is new: it has four seconds.
func TestManyRoomsAreWrittenAtATime(t *testing.T) {
	k := newKeepers(t, 1)[0]
	const rooms = restorers + 10
	for i := range rooms {
		k.claims(fmt.Sprint("room ", i))
	}
	must(t, k.js.DeleteKeyValue(t.Context(), k.bucketName("rooms")))
	k.open()
	var flying, most atomic.Int64
	full := make(chan struct{})
	fill := sync.OnceFunc(func() { close(full) })
	k.bucket.update = func() error {
		n := flying.Add(1)
		for {
			before := most.Load()
			if n <= before || most.CompareAndSwap(before, n) {
				break
			}
		}
		if n == restorers {
			fill()
		}
		<-full
		return nil
	}
	k.bucket.done = func() error { flying.Add(-1); return nil }
	k.sweeps("the bucket is new", false)
	if n := most.Load(); n != restorers {
		t.Errorf("%d rooms are written at a time, want %d", n, restorers)
	}
	for i := range rooms {
		k.wants("the bucket is new", fmt.Sprint("room ", i), k.me)
	}
	k.bucket.update = func() error { return errors.New("no") }
	must(t, k.js.DeleteKeyValue(t.Context(), k.bucketName("rooms")))
	k.open()
	k.bucket.update = func() error { return errors.New("no") }
	if again, err := k.sweepRooms(t.Context()); again || err == nil {
		t.Errorf("no room can be written: %v, %v; want an error", again, err)
	}
}

// A node that was cut off gives up at a time many rooms that others have now. It writes those that are missing before that, and adopts others after it.
func TestManyRoomsAreGivenUpAtATime(t *testing.T) {
	nodes := newKeepers(t, 2)
	k, other := nodes[0], nodes[1].me
	k.claims("missing")
	must(t, k.bucket.KeyValue.Delete(t.Context(), "missing"))
	var rooms []*Room
	for i := range restorers {
		name := fmt.Sprint("room ", i)
		rooms = append(rooms, k.claims(name))
		k.write(name, other)
	}
	k.write("orphan", instance{9})
	k.nodes.self.Adopts, k.nodes.peers[nodes[1].nodes.self.ID].Adopts = true, false
	var begun, written atomic.Int64
	full := make(chan struct{})
	read := func() error {
		if written.Load() != 1 {
			t.Errorf("a room that another node has is read after %d writes, want 1: that of the missing one", written.Load())
		}
		if begun.Add(1) == restorers {
			close(full)
		}
		select {
		case <-full:
			return nil
		case <-time.After(testkit.Patience):
			return errors.New("the rooms are read one after the other")
		}
	}
	k.bucket.done = func() error {
		if written.Add(1) == 1 {
			k.bucket.get = read
		}
		return nil
	}
	k.sweeps("others have many rooms", true)
	for _, r := range rooms {
		if !isLost(r) {
			t.Errorf("%s is not lost, and another node has it", r.Name())
		}
	}
	k.wants("the bucket did not have it", "missing", k.me)
	k.wants("its node is gone", "orphan", k.me)
	if !slices.Equal(k.adopted, []string{"orphan"}) {
		t.Errorf("%v are adopted, want the room of the node that is gone", k.adopted)
	}
}

// What a sweep returns after it has written many rooms holds for all of them, and not only for the one that was written last.
func TestOneOfManyRoomsIsNotWritten(t *testing.T) {
	k := newKeepers(t, 1)[0]
	const rooms = restorers + 1 // the last one waits until another one is done
	for i := range rooms {
		k.claims(fmt.Sprint("room ", i))
	}
	writes := func(f func(n int64, last <-chan struct{}) error) {
		must(t, k.js.DeleteKeyValue(t.Context(), k.bucketName("rooms")))
		k.open()
		var begun atomic.Int64
		full, last := make(chan struct{}), make(chan struct{})
		k.bucket.update = func() error {
			n := begun.Add(1)
			switch n {
			case restorers:
				close(full)
			case rooms:
				close(last)
				return nil
			}
			<-full // no room is done before as many as possible are being written
			return f(n, last)
		}
	}
	writes(func(n int64, last <-chan struct{}) error {
		if n == 1 {
			return errBroken
		}
		<-last
		return nil
	})
	k.failsToSweep("the first room cannot be written", errBroken)
	writes(func(int64, <-chan struct{}) error { return jetstream.ErrKeyExists })
	k.sweeps("all rooms except the last one were written meanwhile", true)
}

// A bucket that a sweep has to open is read then, too: other nodes may have opened it before.
func TestABucketThatIsOpenedAmidASweep(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.write("arena", instance{9})
	k.watched(nil, jetstream.ErrBucketNotFound)
	k.sweeps("the bucket was not there", false)
	if !slices.Equal(k.adopted, []string{"arena"}) {
		t.Errorf("%v are adopted, want the room of the node that is gone", k.adopted)
	}
}

// NATS is away and back while a sweep asks for the state of the bucket: the state is that of a bucket into which other nodes have not written yet.
func TestNATSIsBackAmidASweep(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.claims("arena")
	k.bucket.status = func() error { k.listenAgain(time.Now()); return nil }
	if k.sweeps("NATS is back", false); k.rooms.known != (bucketState{}) {
		t.Errorf("%+v is noted, want nothing", k.rooms.known)
	}
}

// A node that is not heard any more is noticed within a moment, and its rooms are adopted, long before all rooms are compared again.
func TestTheRoomsOfANodeThatIsNotHeardAnyMore(t *testing.T) {
	k, other := newKeepers(t, 1)[0], instance{9}
	adopted := make(chan string, 1)
	k.config.Adopt = func(r *Room) { adopted <- r.Name() }
	k.write("arena", other)
	k.nodes.peers[other.String()] = &peer{heard: time.Now().Add(-2 * time.Hour)}
	k.rooms.swept = time.Now().Add(time.Hour)
	k.in.beats = make(chan *nats.Msg, 1)
	k.nodes.sub = testkit.Must(k.nc.ChanSubscribe(k.beatSubject(), k.in.beats))
	k.running.Go(k.keepRooms)
	testkit.Next(t, "the answer of NATS to a ping", k.in.beats)
	k.heardAll()
	testkit.Next(t, "the answer of NATS to a ping after the rooms were read", k.in.beats)
	k.heardAll()
	testkit.Want(t, "the room", adopted, "arena")
	close(k.stop)
	k.running.Wait()
}

// The nodes agree which of them takes a room whose node is gone, and each takes a part, also of rooms with similar names. They leave the rooms of others where they are.
func TestRoomsOfNodesThatAreGone(t *testing.T) {
	nodes := newKeepers(t, 3)
	gone, there := instance{9}, nodes[0].me
	for i := range 30 {
		nodes[0].write(fmt.Sprint("room ", i), gone)
	}
	nodes[0].write("not theirs", there)
	nodes[0].rooms.mine[token("not theirs")] = &Room{fleet: nodes[0].Fleet, name: "not theirs", lost: make(chan struct{})}
	nodes[0].write("no value", "?")
	for i, k := range nodes {
		since := k.nodes.since
		k.nodes.since = time.Now()
		k.sweeps("a node that cannot be sure", true)
		if k.nodes.since = since; len(k.adopted) != 0 {
			t.Errorf("%s: %d rooms, want 0: it cannot know whether their node is gone", k.Name(), len(k.adopted))
		}
		k.sweeps("the first sweep", i < len(nodes)-1)
	}
	all := 0
	for _, k := range nodes {
		k.sweeps("the second sweep", false)
		for i := range 30 {
			room := fmt.Sprint("room ", i)
			heir := nodes[slices.IndexFunc(nodes, func(n *keeper) bool { return n.me.String() == k.heir(room) })]
			k.wants("a room of a node that is gone", room, heir.me)
			if slices.Contains(k.adopted, room) != (heir == k) {
				t.Errorf("%s has adopted %v, but the heir of %q is %s", k.Name(), k.adopted, room, heir.Name())
			}
		}
		if n := len(k.adopted); n < 6 || k.counts.Adopted != uint64(n) {
			t.Errorf("%s has adopted %d rooms of 30 and counts %d, want a fair part", k.Name(), n, k.counts.Adopted)
		}
		all += len(k.adopted)
	}
	if all != 30 {
		t.Errorf("%d rooms are adopted, want 30", all)
	}
	nodes[1].wants("a room of a node that is there", "not theirs", there)
}

// A room whose node is gone is adopted once, whatever happens to the answer of NATS.
func TestAdoptionsThatFail(t *testing.T) {
	k, gone := newKeepers(t, 1)[0], instance{9}
	wants := func(what string, rooms ...string) {
		t.Helper()
		if !slices.Equal(k.adopted, rooms) || k.counts.Adopted != uint64(len(rooms)) || len(k.rooms.adopting) != 0 {
			t.Errorf("%s: %v are adopted, %d are counted, want %v; in doubt %v", what, k.adopted, k.counts.Adopted, rooms, k.rooms.adopting)
		}
	}
	k.write("arena", gone)
	k.bucket.update = once(1, func() { k.write("arena", gone) }, nil)
	k.sweeps("somebody else has written the room meanwhile", true)
	wants("somebody else has written the room meanwhile")
	k.bucket.done = once(1, nil, errLost)
	k.failsToSweep("the answer gets lost", errLost)
	k.sweeps("the bucket has the room", false)
	wants("the bucket has the room", "arena")
	k.wants("the bucket has the room", "arena", k.me)

	k.write("cave", gone)
	k.bucket.update = once(1, nil, errBroken)
	k.failsToSweep("nothing is written", errBroken)
	k.write("cave", instance{8})
	k.nodes.peers[(instance{8}).String()] = &peer{heard: time.Now()}
	k.sweeps("another node has the room now", false)
	wants("another node has the room now", "arena")

	k.write("den", gone)
	k.bucket.update = once(1, nil, errBroken)
	k.failsToSweep("nothing is written", errBroken)
	must(t, k.bucket.Delete(t.Context(), "den"))
	k.sweeps("nobody has the room now", false)
	wants("nobody has the room now", "arena")

	for _, answer := range []error{nil, errLost} {
		k.write("hall", gone)
		k.bucket.done = once(1, func() { k.claims("hall") }, answer)
		if answer == nil {
			k.sweeps("the program claims the room meanwhile", false)
		} else {
			k.failsToSweep("the program claims the room meanwhile", answer)
			k.sweeps("the program has the room", false)
		}
		wants("the program has the room", "arena")
		k.wants("the program has the room", "hall", k.me)
		must(t, k.rooms.mine["hall"].Release(t.Context()))
	}

	k.write("loft", gone)
	k.bucket.done = once(1, nil, errLost)
	k.failsToSweep("the answer gets lost", errLost)
	k.noteClaiming("loft", 1)
	k.sweeps("a claim is in progress", false)
	k.noteClaiming("loft", -1)
	k.sweeps("the claim has failed", false)
	wants("the claim has failed", "arena", "loft")
}

// Only a node that adopts rooms, has a server and does not drain is heir of a room.
func TestHeirsOfRooms(t *testing.T) {
	k := newKeepers(t, 1)[0]
	me := k.me.String()
	for _, c := range []struct {
		name   string
		change func(n *Node)
		want   string
	}{
		{"it may", func(*Node) {}, me}, {"it adopts nothing", func(n *Node) { n.Adopts = false }, ""},
		{"it drains", func(n *Node) { n.Draining = true }, ""}, {"it has no server", func(n *Node) { n.MaxSessions = 0 }, ""},
	} {
		before := k.nodes.self
		c.change(&k.nodes.self)
		if got := k.heir("arena"); got != c.want {
			t.Errorf("%s: the heir is %q, want %q", c.name, got, c.want)
		}
		k.nodes.self = before
	}
}
