package fleet

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// dated is a bucket whose mark was made at another time.
type dated struct {
	jetstream.KeyValue
	by time.Duration
}

func (d dated) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	e, err := d.KeyValue.Get(ctx, key)
	if key == markKey && err == nil {
		e = datedEntry{e, d.by}
	}
	return e, err
}

type datedEntry struct {
	jetstream.KeyValueEntry
	by time.Duration
}

func (e datedEntry) Created() time.Time { return e.KeyValueEntry.Created().Add(e.by) }

// The clock of NATS was ahead when the mark was made, and is right now: the node waits as if the mark were made now, not longer.
func TestAMarkOfALaterTime(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.sweeps("the mark is made", false)
	k.js, k.rooms.kv, k.nodes.back = opener{k.js, dated{k.bucket, time.Hour}}, nil, time.Time{}
	must(t, k.openRooms(t.Context()))
	if k.nodes.back.IsZero() || k.nodes.back.After(time.Now()) {
		t.Errorf("the node waits from %v on, want now, %v", k.nodes.back, time.Now())
	}
}

// Of two first claims at the same time one opens the bucket, and the other does not take this for a break.
func TestTwoFirstClaims(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.sweeps("the mark is made", false)
	b, js := k.bucket, k.js
	k.js, k.rooms.kv, k.nodes.back = opener{js, b}, nil, time.Time{}
	b.mark = func() error {
		b.mark = nil
		return k.openRooms(t.Context()) // of the other claim
	}
	must(t, k.openRooms(t.Context()))
	if k.rooms.unread {
		t.Error("the rooms count as not read")
	}
}

// The time of a first claim is over before the mark is read: the node does not take this for a break of NATS, and opens the bucket at the next claim.
func TestAFirstClaimWithLittleTime(t *testing.T) {
	k := newKeepers(t, 1)[0]
	k.sweeps("the mark is made", false)
	b := k.bucket
	k.js, k.rooms.kv = opener{k.js, b}, nil
	ctx, cancel := context.WithCancel(t.Context())
	b.mark = func() error {
		cancel()
		return ctx.Err()
	}
	if err := k.openRooms(ctx); !errors.Is(err, context.Canceled) || k.rooms.kv != nil || k.rooms.unread {
		t.Errorf("the bucket: %v; it is open: %v, its rooms count as not read: %v; want an error and neither", err, k.rooms.kv != nil, k.rooms.unread)
	}
	b.mark = nil
	must(t, k.openRooms(t.Context()))
	if k.rooms.kv == nil || k.rooms.unread {
		t.Errorf("at the next claim the bucket is open: %v, its rooms count as not read: %v; want an open bucket", k.rooms.kv != nil, k.rooms.unread)
	}
}

// While NATS is away Claim and Find return ErrAway, and do not ask nats.go, which would not return in time. Claim returns the room that the node has.
func TestRoomsWhileNATSIsAway(t *testing.T) {
	k := newKeepers(t, 1)[0]
	mine := k.claims("mine")
	asked := 0
	k.bucket.get = func() error { asked++; return errLost }
	k.js = ended{get: k.bucket.get}
	for _, opened := range []bool{true, false} {
		if !opened {
			k.rooms.kv = nil
		}
		k.away.Store(true)
		_, claim := k.Claim(t.Context(), "arena")
		_, find := k.Find(t.Context(), "arena")
		if claim != ErrAway || find != ErrAway || asked != 0 {
			t.Errorf("the bucket is open: %v; Claim: %v, Find: %v, want ErrAway; NATS was asked %d times", opened, claim, find, asked)
		}
		if r, err := k.Claim(t.Context(), "mine"); r != mine || err != nil {
			t.Errorf("the room that the node has: %v, %v", r, err)
		}
	}
}

// silent does not answer the first calls.
type silent struct {
	jetstream.JetStream
	calls, answers int // answers is the number of the call that gets an answer
	err            error
	asked          []jetstream.KeyValueConfig
}

func (s *silent) CreateOrUpdateKeyValue(ctx context.Context, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	s.asked = append(s.asked, c)
	if s.calls++; s.calls < s.answers {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, s.err
}

// NATS that does not answer is asked again after two seconds, and two more, and then each four seconds, as long as there is time, but not for more than
// 14. An answer that is an error ends this.
func TestBucketsAreOpenedAgain(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		limit          time.Duration
		answers, calls int
		err, want      error
		took           time.Duration
	}{
		{limit: time.Hour, answers: 1, calls: 1},
		{limit: time.Hour, answers: 1, calls: 1, err: broken, want: broken},
		{limit: time.Hour, answers: 3, calls: 3, took: 2 * bucketTime},
		{limit: time.Hour, answers: 3, calls: 3, err: broken, want: broken, took: 2 * bucketTime},
		{limit: time.Hour, answers: 4, calls: 4, took: 4 * bucketTime},
		{limit: 7 * time.Second, answers: 10, calls: 3, want: context.DeadlineExceeded, took: 7 * time.Second},
		{limit: time.Hour, answers: 10, calls: 5, want: context.DeadlineExceeded, took: 7 * bucketTime},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &silent{answers: tt.answers, err: tt.err}
			f := &Fleet{js: s}
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			defer cancel()
			began := time.Now()
			_, err := f.openBucket(ctx, jetstream.KeyValueConfig{})
			if took := time.Since(began); !errors.Is(err, tt.want) || s.calls != tt.calls || took != tt.took {
				t.Errorf("%+v: %v after %d calls in %v", tt, err, s.calls, took)
			}
			if own := tt.took == 7*bucketTime; err != nil && own != strings.Contains(err.Error(), "has its cluster a leader") {
				t.Errorf("%+v: %v; it says what to look at: %v, want %v", tt, err, !own, own)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		f := &Fleet{js: &silent{answers: 10}, config: Config{RequestTimeout: 10 * time.Second}}
		_, err := f.openClaims()
		wantError(t, "the bucket of names", err, "fleet: the bucket of names: NATS does not answer: has its cluster a leader")
	})
}

// A cluster whose JetStream cannot answer now is asked again four times a second, and other errors of NATS end this. While NATS is away, or has just gone
// away, the error is ErrAway.
func TestBucketsOfAClusterWithoutALeader(t *testing.T) {
	busy := &jetstream.APIError{Code: 503, ErrorCode: 10008, Description: "JetStream system temporarily unavailable"}
	full := &jetstream.APIError{Code: 503, ErrorCode: 10023, Description: "insufficient resources"}
	for _, c := range []struct {
		away        bool
		err         error // of the first calls
		fails       int
		want        error
		calls, took int // took is in quarters of a second; the last of many calls may be at the end of the time
	}{
		{false, busy, 2, nil, 3, 2}, {false, busy, 1000, busy, 56, 56}, {false, full, 1000, full, 1, 0},
		{false, nats.ErrReconnectBufExceeded, 1000, ErrAway, 1, 0}, {true, busy, 1000, ErrAway, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			f := &Fleet{js: ended{get: func() error {
				if calls++; calls <= c.fails {
					return fmt.Errorf("nats: %w", c.err)
				}
				return nil
			}}}
			f.away.Store(c.away)
			began := time.Now()
			_, err := f.openBucket(t.Context(), jetstream.KeyValueConfig{})
			if took := time.Since(began); !errors.Is(err, c.want) || calls != c.calls && (calls < 56 || calls > 57) || took != time.Duration(c.took)*reconnectWait {
				t.Errorf("%+v: %v after %d calls in %v", c, err, calls, took)
			}
		})
	}
}

// Each bucket has as many replicas as Config says. Only used tokens are in files, because no node can write them again, and only names and used
// tokens expire.
func TestPropertiesOfTheBuckets(t *testing.T) {
	broken := errors.New("broken")
	s := &silent{err: broken}
	f := &Fleet{js: s, config: Config{Prefix: "game", Replicas: 3, RequestTimeout: time.Minute}}
	_, claims := f.openClaims()
	for _, err := range []error{claims, f.openRooms(t.Context()), f.openSpent(t.Context())} {
		if !errors.Is(err, broken) {
			t.Errorf("a bucket cannot be opened: %v, want the error of NATS", err)
		}
	}
	if want := []jetstream.KeyValueConfig{
		{Bucket: "game-players", Replicas: 3, Storage: jetstream.MemoryStorage, TTL: time.Hour},
		{Bucket: "game-rooms", Replicas: 3, Storage: jetstream.MemoryStorage},
		{Bucket: "game-spent", Replicas: 3, Storage: jetstream.FileStorage, LimitMarkerTTL: time.Minute},
	}; !reflect.DeepEqual(s.asked, want) {
		t.Errorf("the buckets are %+v, want %+v", s.asked, want)
	}
}
