package fleet

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/godwit-rtc/godwit"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// callsOf returns the calls that wait for JetStream.
func callsOf(t *testing.T, f *Fleet) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Claim": func(ctx context.Context) error { _, err := f.Claim(ctx, "arena"); return err },
		"Find":  func(ctx context.Context) error { _, err := f.Find(ctx, "arena"); return err },
		"NewServer": func(context.Context) error {
			_, err := f.NewServer(godwit.Config{Channels: table}, func(godwit.Config) (*godwit.Server, error) {
				t.Error("a server opens without its buckets")
				return nil, errLost
			})
			return err
		},
	}
}

// Claim, Find and NewServer return ErrAway and the cause when nobody answers a call, whether the bucket of rooms is open or not. Another error
// of NATS stays as it is.
func TestCallsThatNATSDoesNotAnswer(t *testing.T) {
	k := newKeepers(t, 1)[0]
	var answer error
	k.bucket.get = func() error { return answer }
	k.js = ended{get: k.bucket.get}
	open := k.roomsBucket()
	for _, c := range []struct {
		nats error
		away bool
	}{
		{nats.ErrNoResponders, true}, {nats.ErrTimeout, true}, {nats.ErrDisconnected, true}, {nats.ErrReconnectBufExceeded, true},
		{nats.ErrNoStreamResponse, true}, {jetstream.ErrNoStreamResponse, true}, {jetstream.ErrJetStreamNotEnabled, true},
		{jetstream.ErrJetStreamNotEnabledForAccount, false}, {nats.ErrAuthorization, false}, {context.Canceled, false},
	} {
		answer = c.nats
		for _, kv := range []jetstream.KeyValue{open, nil} {
			k.rooms.kv = kv
			for what, call := range callsOf(t, k.Fleet) {
				err := call(t.Context())
				if errors.Is(err, ErrAway) != c.away || !c.away && !errors.Is(err, c.nats) {
					t.Errorf("%s; the bucket is open: %v; NATS says %v: %v; want ErrAway: %v", what, kv != nil, c.nats, err, c.away)
				}
			}
		}
	}
}

// The error of a call has the cause, too. The end of the time that nats.go has is one, and the end of the caller's time is not.
func TestTheCauseOfErrAway(t *testing.T) {
	busy := &jetstream.APIError{Code: 503, ErrorCode: unavailable}
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for _, c := range []struct {
		ctx   context.Context
		cause error
		away  bool
	}{
		{t.Context(), nats.ErrNoResponders, true}, {t.Context(), busy, true}, {t.Context(), errNoAnswer, true},
		{t.Context(), context.DeadlineExceeded, true}, {over, context.DeadlineExceeded, false}, {over, nats.ErrNoResponders, true},
		{t.Context(), ErrTaken, false}, {t.Context(), ErrNoRoom, false},
	} {
		err := new(Fleet).plain(c.ctx, c.cause)
		if errors.Is(err, ErrAway) != c.away || !errors.Is(err, c.cause) {
			t.Errorf("%v; the caller's time is over: %v: %v, want ErrAway: %v", c.cause, c.ctx == over, err, c.away)
		}
	}
	if err := new(Fleet).plain(t.Context(), nil); err != nil {
		t.Errorf("a call that succeeds returns %v", err)
	}
	if err := new(Fleet).plain(t.Context(), ErrAway); err != ErrAway {
		t.Errorf("%v, want ErrAway once", err)
	}
}

// The time that the buckets have to open is over: NewServer returns ErrAway, and Claim and Find as well, unless the caller's time is over.
func TestCallsThatWaitTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Fleet{js: &silent{answers: 1000}}
		f.initRooms()
		for what, call := range callsOf(t, f) {
			if err := call(t.Context()); !errors.Is(err, ErrAway) || !errors.Is(err, errNoAnswer) {
				t.Errorf("%s: %v, want ErrAway and the cause", what, err)
			}
			if what == "NewServer" {
				continue // it has no context
			}
			ctx, cancel := context.WithTimeout(t.Context(), bucketTime/2)
			if err := call(ctx); errors.Is(err, ErrAway) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: the caller's time is over: %v, want the error of the context", what, err)
			}
			cancel()
		}
	})
}

// A NATS server may accept connections before its JetStream answers: the error is ErrAway. As soon as it has JetStream, calls succeed.
func TestNATSIsBackBeforeItsJetStream(t *testing.T) {
	n := newNATS(t)
	n.stop()
	n.o.JetStream = false
	n.start()
	a := joinNode(t, Config{NATS: n.address()})
	for what, call := range callsOf(t, a.Fleet) {
		if err := call(t.Context()); !errors.Is(err, ErrAway) {
			t.Errorf("%s without JetStream: %v, want ErrAway", what, err)
		}
	}
	must(t, n.server.EnableJetStream(&server.JetStreamConfig{StoreDir: n.o.StoreDir, MaxMemory: 64 << 20, MaxStore: 64 << 20}))
	if _, err := a.Find(t.Context(), "arena"); !errors.Is(err, ErrNoRoom) {
		t.Errorf("with JetStream Find: %v, want ErrNoRoom", err)
	}
}
