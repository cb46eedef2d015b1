package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// bucket is a bucket of which a test replaces calls. Those that are nil go to the bucket itself, and so do calls for markKey, except mark.
type bucket struct {
	jetstream.KeyValue
	mark   func() error // before Get of markKey
	get    func() error
	update func() error // before Update and Create
	done   func() error // after one of them that has succeeded
	delete func() error
	status func() error
	watch  func() (jetstream.KeyWatcher, error)
}

func (b *bucket) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	get := b.get
	if key == markKey {
		get = b.mark
	}
	if get != nil {
		if err := get(); err != nil {
			return nil, err
		}
	}
	return b.KeyValue.Get(ctx, key)
}

func (b *bucket) Update(ctx context.Context, key string, value []byte, last uint64) (uint64, error) {
	return b.write(func() (uint64, error) { return b.KeyValue.Update(ctx, key, value, last) })
}

func (b *bucket) Create(ctx context.Context, key string, value []byte, o ...jetstream.KVCreateOpt) (uint64, error) {
	create := func() (uint64, error) { return b.KeyValue.Create(ctx, key, value, o...) }
	if key == markKey {
		return create()
	}
	return b.write(create)
}

func (b *bucket) write(write func() (uint64, error)) (uint64, error) {
	if b.update != nil {
		if err := b.update(); err != nil {
			return 0, err
		}
	}
	revision, err := write()
	if err == nil && b.done != nil {
		err = b.done()
	}
	return revision, err
}

func (b *bucket) WatchAll(ctx context.Context, o ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	if b.watch != nil {
		return b.watch()
	}
	return b.KeyValue.WatchAll(ctx, o...)
}

func (b *bucket) Delete(ctx context.Context, key string, o ...jetstream.KVDeleteOpt) error {
	if b.delete != nil {
		return b.delete()
	}
	return b.KeyValue.Delete(ctx, key, o...)
}

func (b *bucket) Status(ctx context.Context) (jetstream.KeyValueStatus, error) {
	if b.status != nil {
		if err := b.status(); err != nil {
			return nil, err
		}
	}
	return b.KeyValue.Status(ctx)
}

// A claimed is a node with a session that has its name, and the bucket between the node and NATS.
type claimed struct {
	*node
	other  *node // without sessions
	player *client
	key    string
	bucket *bucket
	claim  claim // of ada
}

func newClaimed(t *testing.T, d godwit.Duplicates) *claimed {
	nodes := newFleet(t, 2, duplicates(d))
	x := &claimed{node: nodes[0], other: nodes[1], key: token("ada")}
	x.player = x.join("ada")
	x.claimed(x.player, "ada")
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bucket = &bucket{KeyValue: x.claims.kv}
	x.claims.kv = x.bucket
	x.claim = x.players["ada"].claim
	return x
}

// write makes the bucket say that a session of a node has the name.
func (x *claimed) write(node instance, id session.ID) {
	x.t.Helper()
	if _, err := x.bucket.KeyValue.Put(context.Background(), x.key, appendClaim(node, id)); err != nil {
		x.t.Fatal(err)
	}
}

// settles calls settleName with a claim, and checks that the session has the name afterwards, in the bucket, too. It returns
// what settleName returns.
func (x *claimed) settles(what string, c claim) claim {
	x.t.Helper()
	after, err := x.settleName("ada", x.key, c)
	if err != nil || !after.held || after.session != x.player.ID() || x.player.server.State() != session.StateOpen {
		x.t.Errorf("%s: the claim is %+v, %v; the session is %v", what, after, err, x.player.server.State())
	}
	e, err := x.bucket.KeyValue.Get(context.Background(), x.key)
	if err != nil {
		x.t.Fatalf("%s: %v", what, err)
	}
	if node, id := readClaim(e); node != x.me || id != x.player.ID() || e.Revision() != after.revision {
		x.t.Errorf("%s: the bucket has session %d of %v in revision %d, and the node knows %d", what, id, node, e.Revision(), after.revision)
	}
	return after
}

// What a node knows of its claim, and what the bucket has, decide what the node writes.
func TestWhatIsWrittenIntoTheBucket(t *testing.T) {
	x := newClaimed(t, godwit.DuplicatesReplace)
	c := x.claim
	if after := x.settles("nothing has changed", c); after != c {
		t.Errorf("nothing has changed: %+v, want %+v", after, c)
	}
	other := c
	other.session++
	if after := x.settles("another session of the node had the name", other); after.revision != c.revision || after.written != c.written {
		t.Errorf("the bucket has the right value: %+v, want %+v", after, c)
	}
	old := c
	old.written = time.Now().Add(-renewAfter)
	after := x.settles("the claim is old", old)
	if after.revision <= c.revision || time.Since(after.written) >= renewAfter {
		t.Errorf("the claim is old: %+v, want one that is written again", after)
	}
	x.write(x.me, x.player.ID()+1)
	x.settles("the bucket has another session of the node", other)
	lost := c
	lost.held = false
	x.settles("this node lost the name, and the bucket has it", lost)
	elsewhere := newInstance()
	x.write(elsewhere, x.player.ID())
	x.settles("another node has a session of this number, and this one lost the name", lost)
	x.write(elsewhere, x.player.ID())
	x.settles("another node has a session of this number", claim{})
	x.write(elsewhere, 7)
	x.settles("another node has the name, and this one had it for an earlier session", other)
	x.write(elsewhere, 7)
	x.settles("another node has the name, and this one lost it before", claim{session: x.player.ID()})
	if err := x.bucket.KeyValue.Purge(t.Context(), x.key); err != nil {
		t.Fatal(err)
	}
	again := c
	again.again = true
	claims := x.Stats().Claims
	x.settles("the bucket may have lost the name", again)
	if n := x.Stats().Claims; n != claims+1 {
		t.Errorf("%d claims are counted, want 1", n-claims)
	}

	// The bucket is gone, because a NATS server has started again: the node makes it.
	if err := x.bucket.KeyValue.Purge(t.Context(), x.key); err != nil {
		t.Fatal(err)
	}
	x.bucket.get = func() error { x.bucket.get = nil; return jetstream.ErrBucketNotFound }
	x.settles("the bucket is gone", again)

	// Others write between the read and the write.
	meddle := func(times int) {
		x.bucket.update = func() error {
			if times--; times >= 0 {
				x.write(elsewhere, 7)
			}
			return nil
		}
	}
	x.write(elsewhere, 7)
	meddle(claimTries - 1)
	x.settles("others have written meanwhile", claim{})
	x.write(elsewhere, 7)
	meddle(claimTries)
	if after, err := x.settleName("ada", x.key, other); err == nil || after != other || !strings.Contains(err.Error(), "all the time") {
		t.Errorf("others write all the time: %+v, %v", after, err)
	}
	broken := errors.New("broken")
	x.bucket.update = func() error { return broken }
	if after, err := x.settleName("ada", x.key, other); !errors.Is(err, broken) || after != other {
		t.Errorf("nothing can be written: %+v, %v; want the claim as it was, and the error", after, err)
	}
	x.bucket.get = func() error { return broken }
	if after, err := x.settleName("ada", x.key, other); !errors.Is(err, broken) || after != other {
		t.Errorf("nothing can be read: %+v, %v; want the claim as it was, and the error", after, err)
	}
	x.bucket.get, x.bucket.update = nil, nil

	// Another node has the name that this session had: the session ends.
	x.write(elsewhere, 7)
	replaced := x.Stats().Replaced
	if after, err := x.settleName("ada", x.key, again); err != nil || after != (claim{}) {
		t.Errorf("another node has the name: %+v, %v; want no claim", after, err)
	}
	if s := x.player.server.State(); s != session.StateClosed {
		t.Errorf("another node has the name: the session is %v, want closed at once", s)
	}
	x.player.want(t, "another node has the name", "replaced")
	if n := x.Stats().Replaced; n != replaced+1 {
		t.Errorf("%d sessions were replaced, want 1", n-replaced)
	}

	x.nc.Close()
	x.bucket.get = func() error { return jetstream.ErrBucketNotFound }
	if after, err := x.take(t.Context(), "ada", x.key, other, x.player.server); err == nil || after != other {
		t.Errorf("the bucket is gone, and NATS, too: %+v, %v; want the claim as it was, and an error", after, err)
	}
}

// answering makes another node answer every question to a subject with the bytes that the func got last.
func (n *node) answering(subject string) func(answer []byte) {
	n.t.Helper()
	n.sync()
	var answer atomic.Pointer[[]byte]
	if _, err := n.raw.Subscribe(subject, func(m *nats.Msg) {
		m.Respond(append(append(appendHeader(nil, kindAnswer, newInstance()), answerReplied), *answer.Load()...))
	}); err != nil {
		n.t.Fatal(err)
	}
	if err := n.raw.Flush(); err != nil {
		n.t.Fatal(err)
	}
	return func(b []byte) { answer.Store(&b) }
}

// A session that ends while its node claims its name does not take the name from the next node to which the player has gone.
func TestASessionThatEndsAmidAClaim(t *testing.T) {
	for _, d := range []godwit.Duplicates{godwit.DuplicatesReplace, godwit.DuplicatesRefuse} {
		x := newClaimed(t, d)
		claims := x.Stats().Claims
		var once sync.Once
		x.bucket.get = func() error {
			once.Do(func() {
				x.player.server.Kick("")
				wait(t, "the session ends", func() bool { return x.holder("ada") == nil })
				x.write(x.other.me, 7)
			})
			return nil
		}
		after, err := x.settleName("ada", x.key, claim{})
		e, gone := x.bucket.KeyValue.Get(t.Context(), x.key)
		if node, id := readClaim(e); err != nil || gone != nil || after != (claim{}) || node != x.other.me || id != 7 || x.Stats().Claims != claims {
			t.Errorf("%v: the node has %+v, %v; the name belongs to %v of %v, %v; %d claims", d, after, err, id, node, gone, x.Stats().Claims-claims)
		}
	}
}

// With DuplicatesRefuse the node asks the other node before it takes a name from it.
func TestANameIsNotTakenWithoutAnAnswer(t *testing.T) {
	x := newClaimed(t, godwit.DuplicatesRefuse)
	elsewhere := newInstance()
	answer := x.answering(x.config.Prefix + ".n." + elsewhere.String() + ".c")
	there, away := Place{Session: 7, Node: "x"}, Place{Session: 7, Node: "x", Interrupted: true}
	for _, c := range []struct {
		name  string
		body  []byte
		alive bool
		ok    bool
	}{
		{"the session is there", there.append(nil), true, true},
		{"the session is interrupted", away.append(nil), false, true},
		{"the answer is malformed", []byte{1}, false, false},
	} {
		answer(c.body)
		if alive, err := x.isAlive(t.Context(), elsewhere, "ada", 7); alive != c.alive || (err == nil) != c.ok {
			t.Errorf("%s: alive %v, %v", c.name, alive, err)
		}
	}
	x.write(elsewhere, 7)
	if after, err := x.settleName("ada", x.key, claim{session: 1}); err == nil || after.session != 1 {
		t.Errorf("the answer is malformed: %+v, %v; want the claim as it was, and an error", after, err)
	}
	answer(away.append(nil))
	x.settles("the session is interrupted", claim{})
	answer(there.append(nil))
	x.write(elsewhere, 7)
	refused := x.Stats().Refused
	if after, err := x.settleName("ada", x.key, claim{}); err != nil || after != (claim{}) {
		t.Errorf("the session is there: %+v, %v; want no claim", after, err)
	}
	x.player.want(t, "the name is taken", "duplicate")
	if s := x.Stats(); s.Refused != refused+1 || s.Replaced != 0 {
		t.Errorf("%d sessions are refused, want 1; %d are replaced, want 0", s.Refused-refused, s.Replaced)
	}
	x.mu.Lock()
	x.config.MaxRequests = 0
	x.mu.Unlock()
	if alive, err := x.isAlive(t.Context(), elsewhere, "ada", 7); alive || !errors.Is(err, ErrFull) {
		t.Errorf("no question can be asked: alive %v, %v; want ErrFull", alive, err)
	}
}

// The answer of another node decides whether a client may connect.
func TestAnswersThatAdmit(t *testing.T) {
	x := newFleet(t, 1, duplicates(godwit.DuplicatesRefuse))[0]
	there, away := Place{Session: 7, Node: "x"}, Place{Session: 7, Node: "x", Interrupted: true}
	answer := x.answering(x.playerSubject(token("eve")))
	for _, c := range []struct {
		name   string
		body   []byte
		status int // 0: admitted
	}{
		{"the session is there", there.append(nil), 409}, {"the session is interrupted", away.append(nil), 0}, {"the answer is malformed", []byte{1}, 0},
	} {
		answer(c.body)
		refused := x.Stats().Refused
		err := x.admit(t.Context(), "eve")
		status := 0
		if e, ok := errors.AsType[*rtcserver.StatusError](err); ok {
			status = e.Status
		}
		if n := x.Stats().Refused - refused; status != c.status || (err == nil) != (c.status == 0) || (n == 1) != (c.status != 0) {
			t.Errorf("%s: %v, and %d are counted as refused; want the status %d", c.name, err, n, c.status)
		}
	}
	x.mu.Lock()
	x.config.WhenAway = AwayRefuse
	x.config.MaxRequests = 0 // no question can be asked
	x.mu.Unlock()
	if err := x.admit(t.Context(), "eve"); err == nil || x.Stats().Refused != 2 {
		t.Errorf("no question can be asked: %v, %d are counted as refused; want an error and 2", err, x.Stats().Refused)
	}
}

// What a node is asked about a session: whether it is there, under this name.
func TestQuestionsAboutASession(t *testing.T) {
	x := newClaimed(t, godwit.DuplicatesRefuse)
	id, y := x.player.ID(), x.other
	for _, c := range []struct {
		name, of string
		id       session.ID
		cut      int // bytes of the question that are missing
		found    bool
	}{{"the session", "ada", id, 0, true}, {"another name", "bob", id, 0, false}, {"another number", "ada", id + 1, 0, false}, {"a number that is cut off", "ada", id, 1, false}} {
		body := appendSession(c.of, c.id)
		m := message{body: body[:len(body)-c.cut]}
		found, ok := x.readSession(m)
		if (found != nil) != c.found || ok != (c.cut == 0) {
			t.Errorf("%s: found %v, well formed %v", c.name, found != nil, ok)
		}
		if x.receiveCheck(m) != ok || !c.found && x.receiveReplaced(m) != ok {
			t.Errorf("%s: the question is taken, or not: want %v", c.name, ok)
		}
		if alive, err := y.isAlive(t.Context(), x.me, c.of, c.id); c.cut == 0 && (alive != c.found || err != nil) {
			t.Errorf("%s: alive %v, %v", c.name, alive, err)
		}
	}
	if !x.receiveReplaced(message{body: appendSession("ada", id)}) {
		t.Error("the message is not taken")
	}
	x.player.want(t, "another node has the name", "replaced")
	if c, ok := joinNode(t, Config{}).readSession(message{body: appendSession("ada", id)}); c != nil || !ok {
		t.Errorf("a node without a server has found %v, %v", c, ok)
	}
	y.nc.Close()
	if kv, err := y.openClaims(); kv != nil || err == nil || !strings.Contains(err.Error(), "the bucket of names") {
		t.Errorf("without NATS the bucket is %v, %v", kv, err)
	}
}

// newQueue returns a fleet without NATS and without sessions, whose bucket is b.
func newQueue(b *bucket) *Fleet {
	f := &Fleet{players: make(map[string]*player), config: Config{RequestTimeout: 5 * time.Millisecond}}
	f.claims.init()
	f.claims.kv = b
	return f
}

func (f *Fleet) addPlayer(name string, c claim) *player {
	p := &player{name: name, token: name, claim: c}
	f.players[name] = p
	return p
}

func queued(f *Fleet) (names []string) {
	for _, p := range f.claims.queue {
		names = append(names, p.name)
	}
	return names
}

// A name waits once, and is looked at again if something changes meanwhile.
func TestQueueOfNames(t *testing.T) {
	b := &bucket{}
	f := newQueue(b)
	p, q := f.addPlayer("p", claim{held: true, revision: 3}), f.addPlayer("q", claim{})
	for range 2 {
		f.settle(p)
	}
	f.settle(q)
	if got := queued(f); !slices.Equal(got, []string{"p", "q"}) || len(f.claims.wake) != 2 {
		t.Errorf("the queue is %v with %d tokens, want p and q, and 2", got, len(f.claims.wake))
	}
	for len(f.claims.wake) > 0 {
		<-f.claims.wake
	}
	b.delete = func() error { f.mu.Lock(); defer f.mu.Unlock(); f.settle(p); return nil }
	if !f.settleNext() || !slices.Equal(queued(f), []string{"q", "p"}) || p.claim.held || p.claim.busy || len(f.claims.wake) != 2 {
		t.Errorf("the queue is %v with %d tokens, and the claim is %+v; want q and p: p has changed meanwhile", queued(f), len(f.claims.wake), p.claim)
	}
	b.delete = nil
	if q.sessions = 1; !f.settleNext() || f.players["q"] != q {
		t.Error("a player with a session is forgotten")
	}
	if !f.settleNext() || f.players["p"] != nil || f.settleNext() {
		t.Error("a player without a session and without a claim is not forgotten, or the queue is not empty")
	}

	// What fails is repeated, and counted.
	p = f.addPlayer("p", claim{held: true, again: true, revision: 3})
	f.settle(p)
	f.away.Store(true)
	if !f.settleNext() || f.counts.ClaimFails != 1 || !slices.Equal(f.claims.failed, []*player{p}) || !p.claim.again || !p.claim.held || f.players["p"] != p {
		t.Errorf("%d failures, %d names to be repeated, the claim is %+v", f.counts.ClaimFails, len(f.claims.failed), p.claim)
	}
	f.away.Store(false)
	broken := errors.New("broken")
	for _, c := range []struct {
		err  error
		held bool
		want error
	}{{nil, false, nil}, {jetstream.ErrKeyExists, false, nil}, {jetstream.ErrBucketNotFound, false, nil}, {broken, true, broken}} {
		b.delete = func() error { return c.err }
		if after, err := f.settleName("p", "p", claim{held: true, revision: 3}); !errors.Is(err, c.want) || after.held != c.held {
			t.Errorf("the bucket returns %v: %+v, %v; want held %v, %v", c.err, after, err, c.held, c.want)
		}
	}

	// A node without claims remembers players while they have sessions.
	f.claims.kv = nil
	p.sessions = 1
	if f.settle(p); f.players["p"] != p {
		t.Error("a player with a session is forgotten")
	}
	p.sessions = 0
	if f.settle(p); f.players["p"] != nil {
		t.Error("a player without a session is not forgotten")
	}
}

// A name whose claim is old is written again, and one whose claim has failed is tried again.
func TestOldClaimsAreRenewed(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name    string
		renewed time.Duration // since the last look
		claim   claim
		want    bool
	}{
		{"old", time.Minute, claim{held: true, written: now.Add(-renewAfter - 1)}, true},
		{"not old", time.Minute, claim{held: true, written: now.Add(-renewAfter)}, false},
		{"not held", time.Minute, claim{written: now.Add(-2 * renewAfter)}, false},
		{"looked before", time.Minute - 1, claim{held: true, written: now.Add(-2 * renewAfter)}, false},
	} {
		f := newQueue(&bucket{})
		f.claims.renewed = now.Add(-c.renewed)
		p := f.addPlayer("p", c.claim)
		f.renewClaims(now)
		if p.claim.queued != c.want || (f.claims.renewed == now) != (c.renewed == time.Minute) {
			t.Errorf("%s: waits to be written: %v, want %v; looked at %v", c.name, p.claim.queued, c.want, now.Sub(f.claims.renewed))
		}
		f.claims.failed = []*player{p}
		if f.renewClaims(now); !p.claim.queued || len(f.claims.failed) != 0 {
			t.Errorf("%s: after a failure it waits: %v, and %d are to be repeated; want true and 0", c.name, p.claim.queued, len(f.claims.failed))
		}
	}
	f := newQueue(&bucket{})
	p := f.addPlayer("p", claim{held: true})
	if f.settleAll(); !p.claim.again || !p.claim.queued {
		t.Errorf("all claims are looked at: %+v", p.claim)
	}
}

// The end of a fleet waits for the names that are not released yet, but not if that is impossible.
func TestTheEndWaitsForNames(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *Fleet)
		waits  bool
	}{
		{"nothing to do", func(*Fleet) {}, false},
		{"a name waits", func(f *Fleet) { f.claims.queue = []*player{{}} }, true},
		{"a name is looked at", func(f *Fleet) { f.claims.busy = 1 }, true},
		{"NATS is away", func(f *Fleet) { f.claims.busy = 1; f.away.Store(true) }, false},
	} {
		f := newQueue(&bucket{})
		c.change(f)
		if f.closeClaims(); (f.claims.drained != nil) != c.waits {
			t.Errorf("%s: it waits: %v, want %v", c.name, f.claims.drained != nil, c.waits)
		}
	}
	for _, c := range []struct {
		name string
		busy int      // other workers
		more []string // names that wait, too
		ends bool
	}{{"the last name", 0, nil, true}, {"another worker has a name", 1, nil, false}, {"another name waits", 0, []string{"q"}, false}} {
		f := newQueue(&bucket{})
		f.settle(f.addPlayer("p", claim{}))
		for _, name := range c.more {
			f.settle(f.addPlayer(name, claim{}))
		}
		drained := make(chan struct{})
		f.claims.busy, f.claims.drained = c.busy, drained
		f.settleNext()
		select {
		case <-drained:
			if !c.ends || f.claims.drained != nil {
				t.Errorf("%s: the wait has ended", c.name)
			}
		default:
			if c.ends {
				t.Errorf("%s: the wait has not ended", c.name)
			}
		}
	}
	f := newQueue(&bucket{})
	f.settle(f.addPlayer("p", claim{}))
	if f.closed = true; f.settleNext() || len(f.claims.queue) != 1 {
		t.Error("a fleet that is closed takes a name from its queue")
	}
}

// entry is an entry of a bucket.
type entry struct {
	jetstream.KeyValueEntry
	key      string
	value    []byte
	revision uint64
}

func (e entry) Key() string      { return e.key }
func (e entry) Value() []byte    { return e.value }
func (e entry) Revision() uint64 { return e.revision }

// A value of another version or length belongs to no node, and errors of NATS are told apart.
func TestValuesAndErrorsOfTheBucket(t *testing.T) {
	me := newInstance()
	value := appendClaim(me, 7)
	if node, id := readClaim(entry{value: value}); node != me || id != 7 {
		t.Errorf("the value is read as session %d of %v", id, node)
	}
	strange := append([]byte{version + 1}, value[1:]...)
	for _, b := range [][]byte{nil, value[:len(value)-1], append(slices.Clone(value), 0), strange} {
		if node, id := readClaim(entry{value: b}); node != (instance{}) || id != 0 {
			t.Errorf("%x is read as session %d of %v, want that of no node", b, id, node)
		}
	}
	for _, c := range []struct {
		err            error
		conflict, gone bool
	}{
		{nil, false, false}, {errors.New("broken"), false, false}, {jetstream.ErrKeyExists, true, false},
		{&jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamWrongLastSequence}, true, false}, {&jetstream.APIError{ErrorCode: 1}, false, false},
		// A stream of several servers, while it writes another value of the key.
		{fmt.Errorf("%w: %w", &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamWrongLastSequenceConstant}, jetstream.ErrKeyExists), true, false},
		{fmt.Errorf("%w: %w", &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamWrongLastSequenceConstant}, jetstream.ErrKeyRevisionMismatch), true, false},
		{jetstream.ErrBucketNotFound, false, true}, {jetstream.ErrStreamNotFound, false, true}, {nats.ErrStreamNotFound, false, true},
		{jetstream.ErrNoStreamResponse, false, true}, {nats.ErrNoResponders, false, true},
	} {
		if isConflict(c.err) != c.conflict || isGone(c.err) != c.gone {
			t.Errorf("%v: a conflict: %v, want %v; gone: %v, want %v", c.err, isConflict(c.err), c.conflict, isGone(c.err), c.gone)
		}
	}
}
