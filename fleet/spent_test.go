package fleet

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A creator is a bucket of which a test replaces Create.
type creator struct {
	jetstream.KeyValue
	create func() error
}

func (c creator) Create(context.Context, string, []byte, ...jetstream.KVCreateOpt) (uint64, error) {
	return 1, c.create()
}

// A token that was used while NATS was away counts as used twice if the bucket has it when this node tells the bucket. If the bucket cannot be told
// the token waits.
func TestTokensThatTheBucketHas(t *testing.T) {
	for _, c := range []struct {
		name  string
		ends  time.Duration // from now
		err   error         // of the bucket
		twice uint64
		waits int
	}{
		{"the bucket does not have it", time.Hour, nil, 0, 0},
		{"the bucket has it", time.Hour, jetstream.ErrKeyExists, 1, 0},
		{"it has expired", -1, jetstream.ErrKeyExists, 0, 0},
		{"the bucket does not answer", time.Hour, errBroken, 0, 1},
	} {
		f := &Fleet{}
		f.spent.kv = creator{create: func() error { return c.err }}
		f.spent.late = map[string]time.Time{"token": time.Now().Add(c.ends)}
		f.tellSpent(time.Now())
		if twice, waits := f.Stats().Twice, len(f.spent.late); twice != c.twice || waits != c.waits {
			t.Errorf("%s: %d are used twice, want %d; %d wait, want %d", c.name, twice, c.twice, waits, c.waits)
		}
	}
}

// Close does not wait until all tokens are told: 60,000 tokens take two minutes if each takes 2 ms.
func TestTokensAmidClose(t *testing.T) {
	f := &Fleet{stop: make(chan struct{})}
	f.spent.late = make(map[string]time.Time)
	for i := range 4 {
		f.spent.late[fmt.Sprint("token ", i)] = time.Now().Add(time.Hour)
	}
	told := 0
	f.spent.kv = creator{create: func() error {
		if told++; told == 2 {
			close(f.stop)
		}
		return nil
	}}
	f.tellSpent(time.Now())
	if told != 2 || len(f.spent.late) != 2 {
		t.Errorf("%d tokens are told, and %d wait; want 2 and 2: Close waits since the second one", told, len(f.spent.late))
	}
}

// Tokens wait while rooms of nodes that are gone have nobody, and as soon as it is time for the next comparison.
func TestTokensWaitForRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Fleet{}
		f.spent.kv = creator{create: func() error { return nil }}
		for _, c := range []struct {
			again bool
			took  time.Duration
			told  int
		}{{false, 0, 4}, {false, sweepEvery, 4}, {false, sweepEvery + 1, 1}, {true, roomsEvery, 4}, {true, roomsEvery + 1, 1}} {
			f.spent.late = make(map[string]time.Time)
			for i := range 4 {
				f.spent.late[fmt.Sprint("token ", i)] = time.Now().Add(time.Hour)
			}
			f.rooms.again = c.again
			f.tellSpent(time.Now().Add(-c.took))
			if told := 4 - len(f.spent.late); told != c.told {
				t.Errorf("%+v: %d tokens are told, want %d", c, told, c.told)
			}
		}
	})
}
