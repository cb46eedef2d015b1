package godwit

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// crowd starts a server with more sessions than may move at a time.
func crowd(t *testing.T) (srv *Server, sessions int) {
	srv, _ = newTestServer(t)
	for range maxMoving + 10 {
		testkit.Must(srv.Local(LocalConfig{}))
	}
	synctest.Wait()
	return srv, maxMoving + 10
}

// Drain asks once for each session where it is to go, for at most 64 at a time.
func TestDrainAsksOnceForEachSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, sessions := crowd(t)
		var mu sync.Mutex
		now, most, asked := 0, 0, map[*Conn]int{}
		must(t, srv.Drain(t.Context(), "", func(_ context.Context, c *Conn) (auth.Seat, error) {
			mu.Lock()
			asked[c]++
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(100 * time.Millisecond) // in which Drain looks for sessions many times
			mu.Lock()
			now--
			mu.Unlock()
			return auth.Seat{}, errors.New("there is no other server")
		}))
		for _, n := range asked {
			if n != 1 {
				t.Fatalf("Drain asks %d times for a session, want once", n)
			}
		}
		if len(asked) != sessions || most != maxMoving || srv.directory.count() != 0 {
			t.Errorf("Drain asks for %d sessions, %d at a time, and leaves %d; want %d, %d and 0", len(asked), most, srv.directory.count(), sessions, maxMoving)
		}
	})
}

// Drain whose context ends says how many sessions are left, and waits for the calls that it has made.
func TestDrainEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, sessions := crowd(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var mu sync.Mutex
		returned := 0
		err := srv.Drain(ctx, "", func(ctx context.Context, _ *Conn) (auth.Seat, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			returned++
			return auth.Seat{}, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), " 74 sessions are left") {
			t.Errorf("Drain returns %v, want an error of its context that tells of 74 sessions", err)
		}
		if returned != maxMoving || srv.directory.count() != sessions {
			t.Errorf("%d calls have returned, and %d sessions are left; want %d and %d", returned, srv.directory.count(), maxMoving, sessions)
		}
	})
}
