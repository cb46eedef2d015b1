package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/nats-io/nats.go/jetstream"
)

// A token or invite is good once in the fleet. Its key in a bucket of JetStream is created by whoever admits its client, and
// JetStream creates a key once.

// spent is what a node knows of used tokens. Fleet.mu guards it, except kv, which is set before there is a server.
type spent struct {
	kv    jetstream.KeyValue
	alone auth.Used            // used while NATS was away
	late  map[string]time.Time // those of alone that the bucket does not have yet, with their ends
}

const (
	spendTimeout = 2 * time.Second
	maxLate      = 65_536
	markerTTL    = time.Minute // after which JetStream forgets that a key has expired
)

// openSpent opens the bucket of used tokens, and makes it if there is none.
func (f *Fleet) openSpent(ctx context.Context) error {
	kv, err := f.openBucket(ctx, jetstream.KeyValueConfig{
		Bucket: f.bucketName("spent"), Replicas: f.config.Replicas, LimitMarkerTTL: markerTTL,
		Storage: jetstream.FileStorage, // so that a token is not good again after NATS has started again
	})
	if err != nil {
		return fmt.Errorf("fleet: the bucket of used tokens: %w", err)
	}
	f.mu.Lock()
	f.spent.kv = kv
	f.mu.Unlock()
	return nil
}

// spend is godwit.Config.Spend.
func (f *Fleet) spend(ctx context.Context, id string, until time.Time) error {
	sum := sha256.Sum256([]byte(id))
	key := base64.RawURLEncoding.EncodeToString(sum[:])
	ctx, cancel := context.WithTimeout(ctx, spendTimeout)
	defer cancel()
	var err error = ErrAway
	if !f.away.Load() {
		err = f.create(ctx, key, until)
	}
	switch {
	case err == nil:
		// This node may have admitted it while NATS was away, and not have told the bucket yet.
		if f.isLate(key) {
			return auth.ErrReplayed
		}
		return nil
	case errors.Is(err, auth.ErrReplayed), errors.Is(err, auth.ErrExpired):
		return err
	case f.config.WhenAway == AwayRefuse:
		f.count(&f.counts.SpendFails)
		return auth.ErrBusy
	}
	f.count(&f.counts.SpendFails)
	return f.spendAlone(id, key, until)
}

// create creates the key of a token. The error is auth.ErrReplayed or auth.ErrExpired, or that of NATS.
func (f *Fleet) create(ctx context.Context, key string, until time.Time) error {
	ttl := time.Until(until)
	if ttl <= 0 {
		return auth.ErrExpired
	}
	f.mu.Lock()
	kv := f.spent.kv
	f.mu.Unlock()
	if kv == nil {
		return ErrAway
	}
	_, err := kv.Create(ctx, key, f.me[:], jetstream.KeyTTL(max(ttl.Truncate(time.Second)+time.Second, time.Second)))
	if isGone(err) && f.openSpent(ctx) == nil { // a NATS server without its directory
		f.mu.Lock()
		kv = f.spent.kv
		f.mu.Unlock()
		_, err = kv.Create(ctx, key, f.me[:], jetstream.KeyTTL(max(ttl.Truncate(time.Second)+time.Second, time.Second)))
	}
	if isConflict(err) {
		return auth.ErrReplayed
	}
	return err
}

// isLate reports whether this node has admitted a token while NATS was away, and the bucket did not have it yet.
func (f *Fleet) isLate(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.spent.late[key]
	return ok
}

// spendAlone notes a used token that NATS cannot note now. Two nodes may do so for one token.
func (f *Fleet) spendAlone(id, key string, until time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.spent.late) >= maxLate {
		return auth.ErrBusy
	}
	if err := f.spent.alone.Spend(time.Now(), auth.Claims{ID: id, Expires: until}); err != nil {
		return err
	}
	if f.spent.late == nil {
		f.spent.late = make(map[string]time.Time)
	}
	f.spent.late[key] = until
	return nil
}

// tellSpent tells the bucket of the tokens that this node has admitted while NATS was away. It runs on the goroutine of
// keepRooms, and stops when it is time for the rooms, which are more urgent, and when Close waits for it. began is when it began.
func (f *Fleet) tellSpent(began time.Time) {
	f.mu.Lock()
	late := make(map[string]time.Time, len(f.spent.late))
	maps.Copy(late, f.spent.late)
	f.mu.Unlock()
	for key, until := range late {
		if f.stopped() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), spendTimeout)
		err := f.create(ctx, key, until)
		cancel()
		switch {
		case errors.Is(err, auth.ErrReplayed):
			f.count(&f.counts.Twice) // by another node, or by an attempt of this one whose answer got lost
		case err != nil && !errors.Is(err, auth.ErrExpired):
			return // again later
		}
		f.mu.Lock()
		delete(f.spent.late, key)
		f.mu.Unlock()
		if d := time.Since(began); len(f.rooms.wake) > 0 || d > sweepEvery || f.rooms.again && d > roomsEvery {
			return
		}
	}
}
