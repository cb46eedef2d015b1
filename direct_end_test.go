package godwit_test

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// Shutdown ends the decision about a client with an invite, and waits for its func of the program.
func TestShutdownEndsADecision(t *testing.T) {
	in, ended, out := make(chan bool), make(chan bool), make(chan bool)
	var returned atomic.Bool
	srv := testkit.Must(godwit.Listen("127.0.0.1:0", godwit.Config{
		Invites: testkit.Must(auth.NewInviteKey(rand.Reader)),
		Spend: func(ctx context.Context, _ string, _ time.Time) error {
			close(in)
			<-ctx.Done()
			if ctx.Err() != context.Canceled {
				t.Errorf("the context of Spend ends with %v, want Canceled", ctx.Err())
			}
			close(ended)
			<-out
			returned.Store(true)
			return ctx.Err()
		},
	}))
	invite := testkit.Must(srv.Invite(auth.InviteClaims{Subject: "ada", For: time.Minute}))
	joined := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := client.Connect(ctx, "", client.Config{}, client.SessionConfig{
			Invite: func(context.Context) (auth.Invite, error) { return invite, nil },
		})
		joined <- err
	}()
	<-in
	down := make(chan error)
	go func() { down <- srv.Shutdown(context.Background(), "") }()
	<-ended
	select {
	case <-down:
		t.Fatal("Shutdown has returned before Spend")
	default:
	}
	close(out)
	if err := <-down; err != nil || !returned.Load() {
		t.Errorf("Shutdown: %v; Spend has returned: %v", err, returned.Load())
	}
	cancel()
	if err := <-joined; err == nil {
		t.Error("the client has joined a server that is over")
	}
}
