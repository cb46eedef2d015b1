package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

var (
	errBroken = errors.New("broken")
	errLost   = errors.New("the answer is lost")
)

// A keeper is a node without goroutines, for which a test takes the steps of keepRooms, and the bucket of rooms between it and
// NATS.
type keeper struct {
	*Fleet
	t       *testing.T
	bucket  *bucket
	adopted []string // rooms that Config.Adopt got
}

// newKeepers starts nodes that have known each other, and the bucket, for so long that they are sure which nodes are gone.
func newKeepers(t *testing.T, n int) []*keeper {
	t.Helper()
	nc := testkit.Must(nats.Connect(newNATS(t).address()))
	t.Cleanup(nc.Close)
	all := make([]*keeper, n)
	for i := range all {
		k := &keeper{t: t}
		k.Fleet = &Fleet{me: instance{byte(i + 1)}, nc: nc, js: testkit.Must(jetstream.New(nc)), stop: make(chan struct{}), over: make(chan struct{}), config: Config{
			Prefix: "rooms", Name: fmt.Sprint("node ", i), Replicas: 1, deadAfter: time.Hour, Logger: slog.New(slog.DiscardHandler),
			Adopt: func(r *Room) { k.adopted = append(k.adopted, r.Name()) },
		}}
		k.initNodes(time.Now().Add(-2 * time.Hour))
		k.nodes.proven = time.Now().Add(time.Hour) // nothing that others have said is on its way
		k.initRooms()
		k.nodes.self.MaxSessions = 1
		k.open()
		k.nodes.back = time.Time{}
		for _, o := range all[:i] {
			k.meet(o)
			o.meet(k)
		}
		all[i] = k
	}
	return all
}

// open opens the bucket of rooms and puts a bucket before it.
func (k *keeper) open() {
	k.t.Helper()
	must(k.t, k.openRooms(k.t.Context()))
	k.bucket = &bucket{KeyValue: k.roomsBucket()}
	k.rooms.kv = k.bucket
}

func (k *keeper) meet(o *keeper) {
	n := o.nodes.self
	n.Here = false
	k.nodes.peers[n.ID] = &peer{Node: n, heard: time.Now()}
}

// unplug makes NATS unreachable for what the node opens.
func (k *keeper) unplug() {
	nc := testkit.Must(nats.Connect(k.nc.ConnectedUrl()))
	k.js = testkit.Must(jetstream.New(nc))
	nc.Close()
}

// write writes the value of a room: a node, or text that is no value. It returns the revision of the value.
func (k *keeper) write(room string, value any) (revision uint64) {
	k.t.Helper()
	text := fmt.Sprint(value)
	if node, ok := value.(instance); ok {
		text = string((&Fleet{me: node}).roomValue(room))
	}
	return testkit.Must(k.bucket.KeyValue.Put(context.Background(), token(room), []byte(text)))
}

// wants checks that the bucket says that a room belongs to a node, or to none, and that k knows whether it has the room and in which
// revision.
func (k *keeper) wants(what, room string, node instance) {
	k.t.Helper()
	var want string
	if node != (instance{}) {
		want = string((&Fleet{me: node}).roomValue(room))
	}
	e, err := k.bucket.KeyValue.Get(context.Background(), token(room))
	switch {
	case err == nil && string(e.Value()) != want:
		k.t.Errorf("%s: the bucket has %s, want %q", what, e.Value(), want)
	case err != nil && (want != "" || !errors.Is(err, jetstream.ErrKeyNotFound)):
		k.t.Fatalf("%s: the bucket has nothing, want %q: %v", what, want, err)
	}
	r := k.rooms.mine[token(room)]
	if (r != nil) != (node == k.me) || r != nil && (r.Name() != room || r.revision != e.Revision() || isLost(r)) {
		k.t.Errorf("%s: the node knows %+v, want the room if it has it: %v", what, r, node == k.me)
	}
	if len(k.rooms.claiming) != 0 {
		k.t.Errorf("%s: claims are in progress: %v", what, k.rooms.claiming)
	}
}

func isLost(r *Room) bool {
	select {
	case <-r.Lost():
		return true
	default:
		return false
	}
}

// claims claims a room.
func (k *keeper) claims(room string) *Room {
	k.t.Helper()
	r, err := k.Claim(k.t.Context(), room)
	if err != nil || r.Name() != room {
		k.t.Fatalf("the room %q: %+v, %v", room, r, err)
	}
	return r
}

// sweeps sweeps the rooms, and checks whether a sweep is to follow soon.
func (k *keeper) sweeps(what string, again bool) {
	k.t.Helper()
	if got, err := k.sweepRooms(k.t.Context()); err != nil || got != again {
		k.t.Errorf("%s: a sweep is to follow: %v, %v; want %v", what, got, err, again)
	}
}

// failsToSweep checks the error of a sweep.
func (k *keeper) failsToSweep(what string, want error) {
	k.t.Helper()
	if _, err := k.sweepRooms(k.t.Context()); !errors.Is(err, want) {
		k.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantWake checks whether keepRooms is to compare the rooms.
func (k *keeper) wantWake(what string, want bool) {
	k.t.Helper()
	select {
	case <-k.rooms.wake:
		if !want {
			k.t.Errorf("%s: the rooms are to be compared", what)
		}
	default:
		if want {
			k.t.Errorf("%s: the rooms are not to be compared", what)
		}
	}
}

// once returns a hook that calls f, if it is not nil, and returns err, the first n times.
func once(n int, f func(), err error) func() error {
	return func() error {
		if n--; n < 0 {
			return nil
		}
		if f != nil {
			f()
		}
		return err
	}
}

// The name of a room is text of 1 to 256 bytes. Rooms lists them in the order of their names.
func TestNamesOfRooms(t *testing.T) {
	k := newKeepers(t, 1)[0]
	long := strings.Repeat("x", 256)
	for name, ok := range map[string]bool{"": false, "a": true, "Zoë's": true, long: true, long + "x": false, "caf\xe9": false} {
		r, err := k.Claim(t.Context(), name)
		if (err == nil) != ok || (r != nil) != ok || !ok && !strings.Contains(err.Error(), "1 to 256 bytes of UTF-8") {
			t.Errorf("%q: %v, %v; want a room: %v", name, r, err, ok)
		}
	}
	var names []string
	for _, r := range k.Rooms() {
		names = append(names, r.Name())
	}
	if want := []string{"Zoë's", "a", long}; !slices.Equal(names, want) {
		t.Errorf("the rooms are %q, want %q", names, want)
	}
}

// What the bucket has decides who gets a room that a node claims, and who has a room that a node looks for.
func TestWhatTheBucketHasOfARoom(t *testing.T) {
	nodes := newKeepers(t, 2)
	k, other, gone := nodes[0], nodes[1], instance{9}
	for _, c := range []struct {
		room   string
		value  any // nil: none
		unsure bool
		err    error  // of Claim
		found  string // name of the node that Find returns; empty: ErrNoRoom
	}{
		{"nothing", nil, false, nil, ""},
		{"this node", k.me, false, nil, "node 0"},
		{"no value", "?", true, nil, ""},
		{"a node that is there", other.me, false, ErrTaken, "node 1"},
		{"a node that is gone", gone, false, nil, ""},
		{"a node that may be gone", gone, true, ErrTaken, ""},
	} {
		if c.value != nil {
			k.write(c.room, c.value)
		}
		since := k.nodes.since
		if c.unsure {
			k.nodes.since = time.Now()
		}
		if n, err := k.Find(t.Context(), c.room); n.Name != c.found || (err == nil) != (c.found != "") || err != nil && !errors.Is(err, ErrNoRoom) {
			t.Errorf("Find, %s: %+v, %v; want %q", c.room, n, err, c.found)
		}
		r, fresh, err := k.claim(t.Context(), c.room)
		if !errors.Is(err, c.err) || fresh != (err == nil) || (r != nil) != fresh {
			t.Errorf("Claim, %s: %v, %v, %v; want %v", c.room, r, fresh, err, c.err)
		}
		if k.nodes.since = since; err != nil {
			k.wants(c.room, c.room, c.value.(instance))
			continue
		}
		k.wants(c.room, c.room, k.me)
		if again, fresh, err := k.claim(t.Context(), c.room); again != r || fresh || err != nil {
			t.Errorf("Claim again, %s: %v, %v, %v; want the same room", c.room, again, fresh, err)
		}
	}
	k.wantWake("after claims that have succeeded, or found another node", false)
	r := k.rooms.mine["nothing"]
	for _, c := range [][2]uint64{{1000, 1000}, {999, 1000}} { // two more claims at once, whose answers come in this order
		if same, fresh := k.keepRoom("nothing", "nothing", c[0]); same != r || fresh || r.revision != c[1] {
			t.Errorf("two claims at once: %p, %v in revision %d; want %p, false and %d", same, fresh, r.revision, r, c[1])
		}
	}
	k.releaseRooms(t.Context())
	k.wants("the end", "this node", instance{})
	k.sweeps("after a release of a revision that the bucket does not have", false)
	k.wants("the end", "nothing", instance{})
}

// A value that no node has written belongs to no node: a sweep leaves it where it is, and a claim replaces it. It takes no room from its node.
func TestValuesThatNoNodeHasWritten(t *testing.T) {
	nodes := newKeepers(t, 2)
	k := nodes[0]
	values := []string{"", "{", "null", "{}", "7", `{"name":"arena","node":7}`}
	for _, node := range []instance{{9}, nodes[1].me, k.me} {
		for _, name := range []string{"", "cave", strings.Repeat("n", 100_000)} {
			values = append(values, fmt.Sprintf(`{"node":%q,"name":%q}`, node, name))
		}
	}
	for _, value := range values {
		what := fmt.Sprintf("%.50q", value)
		k.write("arena", value)
		k.sweeps(what, false)
		if e, err := k.bucket.Get(t.Context(), "arena"); err != nil || string(e.Value()) != value || len(k.adopted) != 0 || len(k.Rooms()) != 0 {
			t.Errorf("%s: after a sweep: %v; %v are adopted, %d rooms; want the value as it was, and no room", what, err, k.adopted, len(k.Rooms()))
		}
		if n, err := k.Find(t.Context(), "arena"); n != (Node{}) || !errors.Is(err, ErrNoRoom) {
			t.Errorf("%s: Find: %+v, %v; want ErrNoRoom", what, n, err)
		}
		r := k.claims("arena")
		k.wants(what, "arena", k.me)
		k.write("arena", value)
		k.sweeps(what, false)
		k.wants(what, "arena", k.me)
		r.revision = k.write("arena", value) // as in a bucket that NATS has made again
		must(t, r.Release(t.Context()))
		if e, err := k.bucket.Get(t.Context(), "arena"); err != nil || string(e.Value()) != value {
			t.Errorf("%s: after the release: %v; want the value as it was", what, err)
		}
	}
}

// Others write between the read and the write of a claim, NATS returns errors, or its bucket is gone.
func TestClaimsOfRoomsThatFail(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.bucket.update = once(claimTries-1, func() { k.write("arena", "?") }, nil)
	k.claims("arena")
	k.wants("after all tries but one", "arena", k.me)
	k.bucket.update = once(claimTries, func() { k.write("cave", "?") }, nil)
	if r, err := k.Claim(t.Context(), "cave"); r != nil || !errors.Is(err, ErrTaken) {
		t.Errorf("others write all the time: %v, %v; want ErrTaken", r, err)
	}
	k.wantWake("no claim is in doubt", false)
	k.bucket.update = once(1, nil, errBroken)
	if r, err := k.Claim(t.Context(), "den"); r != nil || !errors.Is(err, errBroken) {
		t.Errorf("nothing can be written: %v, %v; want the error", r, err)
	}
	k.wants("nothing can be written", "den", instance{})
	k.wantWake("a claim is in doubt", true)
	for name, f := range map[string]func() error{
		"Claim": func() error { _, err := k.Claim(t.Context(), "den"); return err },
		"Find":  func() error { _, err := k.Find(t.Context(), "arena"); return err },
	} {
		k.bucket.get = once(1, nil, errBroken)
		if err := f(); !errors.Is(err, errBroken) {
			t.Errorf("%s: nothing can be read: %v, want the error", name, err)
		}
	}
	k.bucket.get = once(1, nil, jetstream.ErrBucketNotFound)
	if _, err := k.Find(t.Context(), "arena"); !errors.Is(err, ErrNoRoom) {
		t.Errorf("Find without a bucket: %v, want ErrNoRoom", err)
	}
	for _, silent := range []error{nats.ErrNoResponders, jetstream.ErrNoStreamResponse} {
		k.bucket.get = once(1, nil, silent)
		if n, err := k.Find(t.Context(), "arena"); !errors.Is(err, silent) || errors.Is(err, ErrNoRoom) || n != (Node{}) {
			t.Errorf("Find when the server with the bucket is down: %+v, %v; want %v, and not ErrNoRoom", n, err, silent)
		}
	}
	k.bucket.get = once(1, nil, jetstream.ErrBucketNotFound)
	k.claims("den")
	k.wants("the bucket is made again", "den", k.me)

	k.open()
	k.unplug()
	k.bucket.get = func() error { return jetstream.ErrBucketNotFound }
	if _, err := k.Claim(t.Context(), "hall"); err == nil || !strings.Contains(err.Error(), "the bucket of rooms") {
		t.Errorf("Claim without a bucket and without NATS: %v", err)
	}
	k.bucket.watch = func() (jetstream.KeyWatcher, error) { return nil, jetstream.ErrBucketNotFound }
	if _, err := k.sweepRooms(t.Context()); err == nil || !strings.Contains(err.Error(), "the bucket of rooms") {
		t.Errorf("a sweep without a bucket and without NATS: %v", err)
	}
	k.rooms.kv = nil
	if n, err := k.Find(t.Context(), "hall"); err == nil || n != (Node{}) || !strings.Contains(err.Error(), "the bucket of rooms") {
		t.Errorf("Find when the bucket cannot be opened: %v, %v", n, err)
	}
}

// NATS was away and has lost nothing: a room that the bucket does not have is free.
func TestClaimsAfterABreak(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.claims("mine")
	now := time.Now()
	k.listenAgain(now)
	k.sweeps("NATS was away before the first sweep", false)
	tries := func(what string, taken bool) {
		t.Helper()
		r, err := k.Claim(t.Context(), "arena")
		if taken != errors.Is(err, ErrTaken) || taken != (r == nil) {
			t.Errorf("%s: %v, %v; want ErrTaken: %v", what, r, err, taken)
		}
		if r != nil {
			must(t, r.Release(t.Context()))
		}
	}
	tries("nothing is known of the bucket", true)
	k.nodes.back = time.Time{}
	k.sweeps("later", false)
	k.listenAgain(now)
	tries("the bucket is the same", false)
	known := k.rooms.known
	k.sweeps("NATS was away until now", false)
	if k.rooms.known != known {
		t.Error("the state of the bucket is noted before other nodes can be back")
	}
	goes := func() { k.away.Store(true) }
	k.bucket.get = once(1, goes, nil)
	tries("NATS goes away amid the claim", true)
	k.away.Store(false)
	k.bucket.get = once(1, goes, errors.New("no"))
	if _, err := k.Claim(t.Context(), "arena"); err == nil || errors.Is(err, ErrTaken) {
		t.Errorf("the bucket cannot be read: %v, want its error", err)
	}
	k.bucket.get = nil
	k.away.Store(false)
	k.rooms.known.changes += 100
	tries("the bucket has fewer changes", true)
	k.rooms.known.mark, k.rooms.known.changes = "another", known.changes
	tries("the bucket is another one", true)
	k.rooms.known = known
	tries("the bucket is the same again", false)
	k.bucket.status = func() error { return errors.New("no") }
	tries("nobody says", true)
	k.nodes.back = time.Time{}
	if _, err := k.sweepRooms(t.Context()); err == nil {
		t.Error("a sweep without the state of the bucket has no error")
	}
}

// After NATS was away the bucket may be new, and the nodes that are back later have not written their rooms again. So for a moment a node claims
// no room that the bucket does not have, except its own ones.
func TestClaimsAfterNATSWasAway(t *testing.T) {
	nodes := newKeepers(t, 2)
	k, other := nodes[0], nodes[1]
	mine := k.claims("mine")
	theirs := other.claims("theirs")
	now := time.Now()
	for _, c := range []struct {
		name   string
		change func()
		taken  bool
	}{
		{"NATS was never away", func() {}, false},
		{"messages were dropped", func() { k.waitAgain(now) }, false},
		{"NATS goes away amid the claim", func() { k.bucket.get = once(1, func() { k.away.Store(true) }, nil) }, true},
		{"NATS was away until now", func() { k.listenAgain(now) }, true},
		{"NATS was away until some time ago", func() { k.nodes.back = now.Add(-k.nodes.dead - beatEvery) }, false},
	} {
		must(t, k.js.DeleteKeyValue(t.Context(), k.bucketName("rooms")))
		k.open()
		other.open()
		k.nodes.back = time.Time{}
		c.change()
		r, err := k.Claim(t.Context(), "theirs")
		if c.taken != errors.Is(err, ErrTaken) || c.taken != (r == nil) {
			t.Errorf("%s: the claim of a room that the bucket does not have: %v, %v; want ErrTaken: %v", c.name, r, err, c.taken)
		}
		k.away.Store(false)
		k.sweeps(c.name, false)
		k.wants(c.name, "mine", k.me)
		if !c.taken {
			k.wants(c.name, "theirs", k.me)
			must(t, r.Release(t.Context()))
		}
		other.sweeps(c.name, false)
		other.wants(c.name, "theirs", other.me)
		if _, err := k.Claim(t.Context(), "theirs"); !errors.Is(err, ErrTaken) {
			t.Errorf("%s: the claim of a room that the bucket has: %v, want ErrTaken", c.name, err)
		}
	}
	if isLost(mine) || isLost(theirs) {
		t.Errorf("rooms are lost: %v, %v; want none", isLost(mine), isLost(theirs))
	}
	k.wantWake("no claim is in doubt", false)
}

// A node that does not know whether NATS has noted a claim or a release looks into the bucket. What is not in its Rooms is removed.
func TestAnswersAboutRoomsThatGetLost(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.bucket.done = once(1, nil, errLost)
	if r, err := k.Claim(t.Context(), "arena"); r != nil || !errors.Is(err, errLost) {
		t.Errorf("the answer to a claim gets lost: %v, %v", r, err)
	}
	k.wantWake("the claim is in doubt", true)
	k.sweeps("the claim is in doubt", false)
	k.wants("the claim is in doubt", "arena", instance{})

	k.bucket.done = once(1, func() { k.sweeps("a claim waits for its answer", false) }, nil)
	r := k.claims("arena")
	k.wants("a sweep while a claim waits for its answer", "arena", k.me)
	k.bucket.delete = func() error { return errLost }
	if err := r.Release(t.Context()); !errors.Is(err, errLost) || !isLost(r) || len(k.Rooms()) != 0 {
		t.Errorf("NATS does not note a release: %v, lost %v, %d rooms", err, isLost(r), len(k.Rooms()))
	}
	k.wantWake("the release is in doubt", true)
	k.failsToSweep("NATS does not note it again", errLost)
	k.bucket.delete = func() error { return jetstream.ErrKeyRevisionMismatch }
	k.sweeps("the room was written meanwhile", false)
	k.bucket.delete = nil
	k.sweeps("NATS notes it", false)
	k.wants("NATS notes it", "arena", instance{})
	if err := r.Release(t.Context()); err != nil {
		t.Errorf("the second release: %v", err)
	}
	k.wantWake("the second release", false)

	for _, err := range []error{jetstream.ErrKeyRevisionMismatch, jetstream.ErrBucketNotFound} {
		r = k.claims("arena")
		k.bucket.delete = func() error { return err }
		if got := r.Release(t.Context()); got != nil || !isLost(r) {
			t.Errorf("a release returns %v after %v, lost %v; want nil and true", got, err, isLost(r))
		}
		k.wantWake("the bucket may have the room", true)
		k.bucket.delete = nil
		k.sweeps("after the release", false)
		k.wants("after the release", "arena", instance{})
	}
	r = k.claims("arena")
	k.write("arena", instance{9}) // in a new bucket
	r.revision++
	must(t, r.Release(t.Context()))
	k.wants("another node has the room in this revision", "arena", instance{9})
	for _, get := range []error{errBroken, nil} {
		k.write("arena", "?")
		r = k.claims("arena")
		k.bucket.get = once(1, nil, get)
		if err := r.Release(t.Context()); !errors.Is(err, get) {
			t.Errorf("a release returns %v, want %v", err, get)
		}
		k.wantWake("a release that NATS has noted, or not", get != nil)
	}
	r = k.claims("arena")
	must(t, k.bucket.Delete(t.Context(), "arena"))
	must(t, r.Release(t.Context()))
	k.wantWake("a room that the bucket does not have", false)
	r = k.claims("arena")
	must(t, r.Release(t.Context()))
	k.wantWake("a release that NATS has noted", false)
	k.wants("a release that NATS has noted", "arena", instance{})
}

// A node with Config.Adopt takes a room for which a front asks, and tells the program once.
func TestRoomsForWhichAFrontAsks(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.claims("mine")
	for range 2 {
		must(t, k.adopt("arena"))
		must(t, k.adopt("mine"))
	}
	k.wants("a front asks", "arena", k.me)
	if !slices.Equal(k.adopted, []string{"arena"}) {
		t.Errorf("the program gets %v, want arena once", k.adopted)
	}
	k.bucket.get = once(1, nil, errBroken)
	if err := k.adopt("cave"); !errors.Is(err, errBroken) || len(k.adopted) != 1 {
		t.Errorf("nothing can be read: %v, the program gets %v", err, k.adopted)
	}
	k.config.Adopt = nil
	if err := k.adopt("cave"); err == nil || !strings.Contains(err.Error(), "Config.Adopt") {
		t.Errorf("a node without Adopt: %v", err)
	}
	k.wants("a node without Adopt", "cave", instance{})
}
