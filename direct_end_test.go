package godwit_test

import (
	"context"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// Shutdown ends the decision about a client with an invite, and waits for its func of the program, however long
// that takes.
func TestShutdownEndsADecision(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		in, ended, out := make(chan bool), make(chan bool), make(chan bool)
		returned := false
		srv := testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), godwit.Config{
			Invites: testkit.Must(auth.NewInviteKey(rand.Reader)),
			Spend: func(ctx context.Context, _ string, _ time.Time) error {
				close(in)
				<-ctx.Done()
				if ctx.Err() != context.Canceled {
					t.Errorf("the context of Spend ends with %v, want Canceled", ctx.Err())
				}
				close(ended)
				<-out
				returned = true
				return ctx.Err()
			},
		}))
		invite := testkit.Must(srv.Invite(auth.InviteClaims{Subject: "ada", For: time.Minute}))
		e := testkit.Must(client.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.1:4000")), client.Config{}))
		defer e.Close()
		joined := make(chan error)
		go func() {
			_, err := e.Join(t.Context(), "", client.SessionConfig{
				Invite: func(context.Context) (auth.Invite, error) { return invite, nil },
			})
			joined <- err
		}()
		<-in
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(context.Background(), "") }()
		<-ended
		if err := <-joined; err == nil {
			t.Error("the client has joined a server that is over")
		}
		time.Sleep(time.Minute) // in the bubble: Shutdown waits for nothing else
		select {
		case err := <-down:
			t.Error("Shutdown has returned before Spend")
			down <- err
		default:
		}
		close(out)
		if err := <-down; err != nil || !returned {
			t.Errorf("Shutdown: %v; Spend has returned: %v", err, returned)
		}
	})
}
