package fleet

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// losses are the ways in which NATS loses the rooms: one server loses the bucket, too; a cluster whose servers all start again keeps it.
var losses = map[string]func(k *keeper){
	"one server has started again": func(k *keeper) {
		must(k.t, k.js.DeleteKeyValue(k.t.Context(), k.bucketName("rooms")))
	},
	"a whole cluster has started again": func(k *keeper) {
		must(k.t, testkit.Must(k.js.Stream(k.t.Context(), "KV_"+k.bucketName("rooms"))).Purge(k.t.Context()))
	},
}

// wantTaken checks that a claim returns ErrTaken.
func (k *keeper) wantTaken(what, room string) {
	k.t.Helper()
	if r, err := k.Claim(k.t.Context(), room); r != nil || !errors.Is(err, ErrTaken) {
		k.t.Errorf("%s: the claim of %q: %v, %v; want ErrTaken", what, room, r, err)
	}
}

// NATS has lost the rooms, and a node that asks for rooms for the first time since then does not claim those of a node that has not written them
// again. A moment later it claims rooms, and so does a node that finds an older mark.
func TestTheFirstClaimAfterALoss(t *testing.T) {
	for what, lose := range losses {
		nodes := newKeepers(t, 3)
		k, other, third := nodes[0], nodes[1], nodes[2]
		theirs := other.claims("theirs")
		lose(k)
		k.rooms.kv, third.rooms.kv = nil, nil // as if they had not opened the bucket yet
		k.wantTaken(what, "theirs")
		k.wantTaken(what, "theirs")
		third.wantTaken(what+", and another node has made the mark", "theirs")
		other.open()
		other.sweeps(what, false)
		other.wants(what, "theirs", other.me)
		k.nodes.back = time.Time{}
		k.claims("new")
		third.rooms.kv, third.nodes.back, third.nodes.dead = nil, time.Time{}, -time.Hour // the mark is older
		third.claims("newer")
		if k.wantTaken(what, "theirs"); isLost(theirs) {
			t.Errorf("%s: the room is lost", what)
		}
	}
}

// A bucket that has lost its rooms may have as many changes as at the last comparison, when the nodes have written many rooms again.
func TestALossThatManyChangesHide(t *testing.T) {
	for what, lose := range losses {
		nodes := newKeepers(t, 2)
		k, other := nodes[0], nodes[1]
		k.sweeps("before", false)
		theirs := other.claims("theirs")
		lose(k)
		k.open()
		other.open()
		for range 10 {
			k.write("mine", k.me)
		}
		k.listenAgain(time.Now())
		k.wantTaken(what, "theirs")
		other.sweeps(what, false)
		if other.wants(what, "theirs", other.me); isLost(theirs) {
			t.Errorf("%s: the room is lost", what)
		}
		k.nodes.back = time.Time{}
		must(t, k.bucket.Delete(t.Context(), "mine"))
		k.sweeps("later", false)
		k.listenAgain(time.Now())
		k.claims("new")
	}
}

// The state of the bucket is noted as soon as the others have had time to write their rooms, and not some seconds later: until then a node
// whose connection breaks again gets no new rooms.
func TestTheStateIsNotedInTime(t *testing.T) {
	k := newKeepers(t, 1)[0]
	must(t, k.openSpent(t.Context()))
	reads := 0
	k.bucket.watch = func() (jetstream.KeyWatcher, error) {
		reads++
		return k.bucket.KeyValue.WatchAll(t.Context(), jetstream.IgnoreDeletes())
	}
	now := time.Now()
	k.nodes.dead = deadAfter
	k.listenAgain(now)
	compares := func(at time.Duration, want int) {
		t.Helper()
		if k.compareRooms(now.Add(at)); reads != want {
			t.Errorf("the bucket is read %d times %v after NATS was away, want %d", reads, at, want)
		}
	}
	const next = deadAfter + beatEvery + roomsEvery
	compares(0, 1)
	compares(next-1, 1)
	k.nodes.back = now.Add(-time.Hour) // the time has passed
	k.rooms.known = bucketState{}
	compares(next, 2)
	if k.rooms.known.mark == "" {
		t.Error("the state of the bucket is not noted")
	}
	compares(next+sweepEvery-1, 2)
	compares(next+sweepEvery, 3)
}

// opener opens one bucket.
type opener struct {
	jetstream.JetStream
	kv jetstream.KeyValue
}

func (o opener) CreateOrUpdateKeyValue(context.Context, jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	return o.kv, nil
}

// limited is a bucket that notes how long it may take to read the mark.
type limited struct {
	jetstream.KeyValue
	limit time.Time
}

func (l *limited) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	if key == markKey {
		l.limit, _ = ctx.Deadline()
	}
	return l.KeyValue.Get(ctx, key)
}

// A bucket that does not answer holds the start of a server up for a moment, and not for all of its time.
func TestAMarkHasLittleTime(t *testing.T) {
	k := newKeepers(t, 1)[0]
	l := &limited{KeyValue: k.bucket}
	k.js, k.rooms.kv = opener{k.js, l}, nil
	must(t, k.openRooms(t.Context()))
	if l.limit.IsZero() || time.Until(l.limit) > bucketTime {
		t.Errorf("the mark must be read until %v, want %v from now on at most", l.limit, bucketTime)
	}
}

// A node that does not know whether the bucket of rooms is a new one waits until a sweep has read the bucket, and some seconds more.
func TestAMarkThatCannotBeRead(t *testing.T) {
	k := newKeepers(t, 1)[0]
	must(t, k.openSpent(t.Context()))
	k.sweeps("the mark is made", false)
	for what, mark := range map[string]func() error{
		"the mark cannot be read":         func() error { return errBroken },
		"NATS is away and back meanwhile": func() error { k.listenAgain(time.Now()); return nil },
	} {
		k.rooms.kv, k.rooms.known, k.rooms.unread, k.nodes.back = nil, bucketState{}, false, time.Time{}
		k.nodes.dead = -time.Hour // all that has happened is old enough
		b := &bucket{KeyValue: k.bucket.KeyValue, mark: mark}
		k.js = opener{k.js, b}
		k.wantTaken(what, "arena")
		b.mark = nil
		k.nodes.dead = time.Hour
		k.compareRooms(time.Now().Add(sweepEvery))
		k.wantTaken(what+", and the rooms were read a moment ago", "arena")
		k.nodes.back = time.Time{}
		must(t, k.claims("arena").Release(t.Context()))
		k.rooms.swept = time.Time{}
	}
}

// Of several nodes one makes the mark, and all read the same.
func TestTheMarkOfABucket(t *testing.T) {
	nodes := newKeepers(t, 2)
	first, _, err := stateOf(t.Context(), nodes[0].bucket)
	if err != nil || first.mark == "" {
		t.Fatalf("the state is %+v, %v; want a mark", first, err)
	}
	nodes[1].bucket.mark = once(1, nil, jetstream.ErrKeyNotFound) // the other node makes it a moment later
	if s, _, err := stateOf(t.Context(), nodes[1].bucket); s != first || err != nil {
		t.Errorf("the state is %+v, %v; want %+v", s, err, first)
	}
	losses["one server has started again"](nodes[0])
	nodes[0].open()
	if s, _, err := stateOf(t.Context(), nodes[0].bucket); s.mark == "" || s.mark == first.mark || err != nil {
		t.Errorf("the state of a new bucket is %+v, %v; want another mark than %q", s, err, first.mark)
	}
	if s, age, err := stateOf(t.Context(), &bucket{KeyValue: nodes[0].bucket, status: once(1, nil, errBroken)}); s != (bucketState{}) || age != 0 || !errors.Is(err, errBroken) {
		t.Errorf("the state without an answer of NATS: %+v, %v, %v", s, age, err)
	}
}

// The first node of a fleet does not know that it is the first, unless nobody else can reach its NATS server: see TestRoomsOfANodeWithoutAServer.
func TestTheFirstClaimOfAFleet(t *testing.T) {
	n := joinNode(t, Config{Listen: "127.0.0.1:0", deadAfter: time.Hour})
	if r, err := n.Claim(t.Context(), "arena"); r != nil || !errors.Is(err, ErrTaken) {
		t.Errorf("the claim of a node that has just begun: %v, %v; want ErrTaken", r, err)
	}
	n.passTime()
	if r, err := n.Claim(t.Context(), "arena"); err != nil || r.Name() != "arena" {
		t.Errorf("the claim some seconds later: %v, %v", r, err)
	}
}
