package fleet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// With godwit.DuplicatesRefuse and DuplicatesReplace a name belongs to one session in the fleet: that whose number
// is the value of the name in a bucket of JetStream, which nodes change by compare-and-set. A node claims the name
// when the session opens and releases it when the session is over. It compares what it wants with what it has and
// with what the bucket has, again after each failure, each time that NATS is back and when the bucket has lost a claim: see settleName
// and checkClaims.

// claim is what a node knows of the bucket's value for a player. Fleet.mu guards it.
type claim struct {
	held     bool
	session  session.ID // the value, if it is held
	revision uint64
	written  time.Time
	again    bool // NATS was away: the bucket may have another value

	queued, busy, dirty bool // waits for a worker; a worker is at it; something has changed since
}

// claims has the names that wait for a worker. Fleet.mu guards it, except kv.
type claims struct {
	kv      jetstream.KeyValue // nil if names are not claimed; set before there is a server
	queue   []*player
	failed  []*player // to be tried again at the next tick
	busy    int
	wake    chan struct{}
	drained chan struct{} // set by closeClaims, closed when nothing waits
	renewed time.Time     // when renewClaims looked for the last time
}

const (
	claimers   = 4 // workers
	claimTTL   = time.Hour
	renewAfter = 20 * time.Minute // age at which a claim is written again
	claimTries = 8
)

func (c *claims) init() { c.wake = make(chan struct{}, claimers) }

func (f *Fleet) bucketName(what string) string { return f.config.Prefix + "-" + what }

// openClaims opens the bucket of names, and makes it if there is none.
func (f *Fleet) openClaims() (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.config.RequestTimeout)
	defer cancel()
	kv, err := f.openBucket(ctx, jetstream.KeyValueConfig{
		Bucket: f.bucketName("players"), TTL: claimTTL, Replicas: f.config.Replicas,
		Storage: jetstream.MemoryStorage, // the nodes can write it again
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = errNoAnswer
	}
	if err != nil {
		return nil, fmt.Errorf("fleet: the bucket of names: %w", err)
	}
	return kv, nil
}

// admit decides whether a client may connect whose name may belong to a session of another node.
func (f *Fleet) admit(ctx context.Context, name string) error {
	if name == "" || f.duplicates == godwit.DuplicatesAllow {
		return nil
	}
	err := ErrAway
	var b []byte
	switch {
	case f.away.Load():
	case f.duplicates == godwit.DuplicatesReplace:
		return nil
	default:
		ctx, cancel := context.WithTimeout(ctx, f.config.RequestTimeout/5)
		defer cancel()
		b, err = f.whereElse(ctx, name)
	}
	switch {
	case err == nil:
		if p, err := readPlace(b); err == nil && !p.Interrupted {
			f.count(&f.counts.Refused)
			return &rtcserver.StatusError{Status: http.StatusConflict, Code: "identity", Text: name + " is connected already"}
		}
		return nil
	case errors.Is(err, ErrNotHere), f.config.WhenAway == AwayAdmit:
		return nil
	}
	f.count(&f.counts.Refused)
	return &rtcserver.StatusError{
		Status: http.StatusServiceUnavailable, Code: "full", Text: "the servers cannot agree on names now: try again",
		Detail: map[string]string{"reason": "away"},
	}
}

// inquire asks a question and waits for the answer.
func (f *Fleet) inquire(ctx context.Context, subject string, k kind, body []byte) ([]byte, error) {
	return f.await(ctx, func(done func([]byte, error)) (uint64, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.question(subject, k, body, done)
	})
}

// settle notes that the sessions of a player have changed. f.mu is held.
func (f *Fleet) settle(p *player) {
	switch c := &p.claim; {
	case f.claims.kv == nil || f.closed:
		if p.sessions == 0 {
			delete(f.players, p.name)
		}
	case c.busy:
		c.dirty = true
	case !c.queued:
		c.queued = true
		f.claims.queue = append(f.claims.queue, p)
		f.wakeClaimer()
	}
}

func (f *Fleet) wakeClaimer() {
	select {
	case f.claims.wake <- struct{}{}:
	default:
	}
}

// settleAll has all claims compared with the bucket. f.mu is held.
func (f *Fleet) settleAll() {
	for _, p := range f.players {
		p.claim.again = true
		f.settle(p)
	}
}

// renewClaims has old claims written again, before the bucket drops them, and repeats what has failed. f.mu is held.
func (f *Fleet) renewClaims(now time.Time) {
	failed := f.claims.failed
	f.claims.failed = nil
	for _, p := range failed {
		if f.players[p.name] == p { // else it was forgotten since
			f.settle(p)
		}
	}
	if now.Sub(f.claims.renewed) < time.Minute {
		return
	}
	f.claims.renewed = now
	for _, p := range f.players {
		if p.claim.held && now.Sub(p.claim.written) > renewAfter {
			f.settle(p)
		}
	}
}

// checkClaims has all claims compared with the bucket if the bucket does not have the oldest one. The NATS server that had the bucket in
// memory may have started again while this node was connected to another server of the cluster. It runs on the goroutine of keepRooms.
func (f *Fleet) checkClaims(ctx context.Context) {
	f.mu.Lock()
	kv := f.claims.kv
	var p *player
	for _, o := range f.players {
		if c := &o.claim; c.held && !c.queued && !c.busy && (p == nil || c.written.Before(p.claim.written)) {
			p = o
		}
	}
	if p == nil {
		f.mu.Unlock()
		return
	}
	had := p.claim
	f.mu.Unlock()
	e, err := kv.Get(ctx, p.token)
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return // the next sweep
	}
	if node, _ := readClaim(e); node == f.me && e.Revision() == had.revision {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.claim == had { // else it has changed since
		f.settleAll()
	}
}

// settleClaims is a worker.
func (f *Fleet) settleClaims() {
	for {
		select {
		case <-f.stop:
			return
		case <-f.claims.wake:
		}
		for f.settleNext() {
		}
	}
}

// settleNext settles the next player of the queue. It returns false if there is none.
func (f *Fleet) settleNext() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := &f.claims
	if len(q.queue) == 0 || f.closed {
		return false
	}
	p := q.queue[0]
	q.queue[0] = nil
	q.queue = q.queue[1:]
	if len(q.queue) > 0 {
		f.wakeClaimer()
	}
	c := p.claim
	p.claim.queued, p.claim.busy, p.claim.dirty, p.claim.again = false, true, false, false
	q.busy++
	f.mu.Unlock()
	after, err := f.settleName(p.name, p.token, c)
	f.mu.Lock()
	q.busy--
	p.claim.held, p.claim.session, p.claim.revision, p.claim.written = after.held, after.session, after.revision, after.written
	p.claim.busy = false
	switch {
	case p.claim.dirty:
		f.settle(p)
	case err != nil:
		f.counts.ClaimFails++
		p.claim.again = c.again // settleAll would have made the claim dirty
		q.failed = append(q.failed, p)
	case p.sessions == 0 && !p.claim.held:
		delete(f.players, p.name)
	}
	if q.drained != nil && q.busy == 0 && len(q.queue) == 0 {
		close(q.drained)
		q.drained = nil
	}
	return true
}

// closeClaims waits until the names of the sessions that are over are released, a few seconds at most.
func (f *Fleet) closeClaims() {
	f.mu.Lock()
	if f.away.Load() || f.claims.busy == 0 && len(f.claims.queue) == 0 {
		f.mu.Unlock()
		return
	}
	drained := make(chan struct{})
	f.claims.drained = drained
	f.mu.Unlock()
	timer := time.NewTimer(f.config.RequestTimeout / 2)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
	}
}

// settleName makes the bucket's value for a name what the sessions of this node need, or closes the session if the
// name belongs to another node. It returns what the node has then. c is what it has had.
func (f *Fleet) settleName(name, key string, c claim) (claim, error) {
	wanted := f.holder(name)
	if wanted == nil && !c.held {
		return claim{}, nil // also while NATS is away: nothing is left of a player who has come and gone
	}
	if f.away.Load() {
		return c, ErrAway
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.config.RequestTimeout/5)
	defer cancel()
	if wanted == nil {
		return f.release(ctx, key, c)
	}
	if c.held && c.session == wanted.ID() && !c.again && time.Since(c.written) < renewAfter {
		return c, nil
	}
	for range claimTries {
		after, err := f.take(ctx, name, key, c, wanted)
		if !isConflict(err) {
			return after, err
		}
	}
	return c, errors.New("fleet: other nodes change the claim all the time")
}

// holder returns the session of this node that the name belongs to, or nil.
func (f *Fleet) holder(name string) *godwit.Conn {
	here := f.named(name)
	for i := len(here) - 1; i >= 0; i-- {
		if s := here[i].State(); s == session.StateOpen || s == session.StateInterrupted {
			return here[i]
		}
	}
	return nil
}

// release removes the claim of this node from the bucket.
func (f *Fleet) release(ctx context.Context, key string, c claim) (claim, error) {
	revision := c.revision
	if c.again { // the bucket may be a new one, in which a claim of another node has this revision
		e, err := f.claims.kv.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) || isGone(err) {
			return claim{}, nil
		}
		if err != nil {
			return c, err
		}
		if node, _ := readClaim(e); node != f.me {
			return claim{}, nil
		}
		revision = e.Revision()
	}
	err := f.claims.kv.Delete(ctx, key, jetstream.LastRevision(revision))
	if err != nil && !isConflict(err) && !isGone(err) {
		return c, err
	}
	return claim{}, nil // with a conflict, another node has claimed the name meanwhile
}

// take claims a name once, for a session of this node.
func (f *Fleet) take(ctx context.Context, name, key string, c claim, wanted *godwit.Conn) (claim, error) {
	kv := f.claims.kv
	value := appendClaim(f.me, wanted.ID())
	e, err := kv.Get(ctx, key)
	if isGone(err) { // a NATS server that had the bucket in memory has started again
		if _, err = f.openClaims(); err != nil {
			return c, err
		}
		err = jetstream.ErrKeyNotFound
	}
	var revision uint64
	switch node, id := readClaim(e); {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		revision, err = kv.Create(ctx, key, value)
	case err != nil:
		return c, err
	case node == f.me && id == wanted.ID() && time.Since(c.written) < renewAfter:
		return claim{held: true, session: id, revision: e.Revision(), written: c.written}, nil
	case node == f.me:
		revision, err = kv.Update(ctx, key, value, e.Revision())
	case c.held && c.session == wanted.ID(): // another node has claimed the name while NATS was away from this one
		f.evict(wanted, session.CloseReplaced, "connected from elsewhere: this session was replaced")
		return claim{}, nil
	default:
		var alive bool
		if f.duplicates == godwit.DuplicatesRefuse {
			if alive, err = f.isAlive(ctx, node, name, id); err != nil {
				return c, err
			}
		}
		if f.holder(name) != wanted { // it has ended since, and the claim may be that of its player at the next node
			return c, nil
		}
		if alive {
			f.count(&f.counts.Refused)
			f.evict(wanted, session.CloseDuplicate, name+" is connected already")
			return claim{}, nil
		}
		if revision, err = kv.Update(ctx, key, value, e.Revision()); err == nil {
			f.tellReplaced(node, name, id)
		}
	}
	if err != nil {
		return c, err
	}
	f.count(&f.counts.Claims)
	return claim{held: true, session: wanted.ID(), revision: revision, written: time.Now()}, nil
}

// evict closes a session of this node whose name belongs to another one.
func (f *Fleet) evict(c *godwit.Conn, code session.CloseCode, text string) {
	if code == session.CloseReplaced {
		f.count(&f.counts.Replaced)
	}
	c.Close(code, text)
	c.Kick("") // at once; the code is that of Close
}

// isAlive reports whether another node has a session that is not interrupted.
func (f *Fleet) isAlive(ctx context.Context, node instance, name string, id session.ID) (bool, error) {
	b, err := f.inquire(ctx, f.config.Prefix+".n."+node.String()+".c", kindCheck, appendSession(name, id))
	if errors.Is(err, ErrNotHere) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p, err := readPlace(b)
	return err == nil && !p.Interrupted, err
}

func (f *Fleet) tellReplaced(node instance, name string, id session.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data := append(appendHeader(f.buffer(), kindReplaced, f.me), appendSession(name, id)...)
	f.publish(f.config.Prefix+".n."+node.String()+".c", "", data)
}

func appendSession(name string, id session.ID) []byte {
	return binary.BigEndian.AppendUint64(appendString(nil, name), uint64(id))
}

// readSession finds the session of this node that a message names; nil if there is none.
func (f *Fleet) readSession(m message) (c *godwit.Conn, ok bool) {
	r := reader{b: m.body}
	name, id := r.string(), session.ID(r.uint64())
	if srv := f.server.Load(); srv != nil && !r.bad {
		if c, _ = srv.Conn(id); c != nil && c.Identity().Name != name {
			c = nil
		}
	}
	return c, !r.bad
}

// receiveCheck handles kindCheck.
func (f *Fleet) receiveCheck(m message) bool {
	c, ok := f.readSession(m)
	switch {
	case !ok:
	case c == nil:
		f.answer(m.reply, answerNotHere, nil)
	default:
		p := placeOf(f.config.Name, c)
		f.answer(m.reply, answerReplied, p.append(nil))
	}
	return ok
}

// receiveReplaced handles kindReplaced.
func (f *Fleet) receiveReplaced(m message) bool {
	c, ok := f.readSession(m)
	if c != nil {
		f.evict(c, session.CloseReplaced, "connected from elsewhere: this session was replaced")
	}
	return ok
}

// appendClaim returns the value of a claim.
func appendClaim(node instance, id session.ID) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{version}, node[:]...), uint64(id))
}

// readClaim reads the value of a claim. A value of another version is one of no node.
func readClaim(e jetstream.KeyValueEntry) (node instance, id session.ID) {
	if e == nil || len(e.Value()) != 1+2*8 || e.Value()[0] != version {
		return instance{}, 0
	}
	b := e.Value()[1:]
	return instance(b[:8]), session.ID(binary.BigEndian.Uint64(b[8:]))
}

// isConflict reports whether somebody else has changed the value of a key meanwhile. Create returns the first error, Update and
// Delete the second one.
func isConflict(err error) bool {
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

// isGone reports whether there is no bucket any more.
func isGone(err error) bool {
	return errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, nats.ErrStreamNotFound) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}
