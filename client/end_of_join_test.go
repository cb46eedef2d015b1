package client_test

import (
	"errors"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A program that goes on to call Join of a closed endpoint gets ErrClosed, and the endpoint
// keeps nothing of the attempts.
func TestJoinOfAClosedEndpointKeepsNothing(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		e := g.endpoint()
		e.Close()
		const n = 500
		before := testkit.HeapNow()
		for range n {
			if _, err := g.join(e, client.SessionConfig{}); !errors.Is(err, session.ErrClosed) {
				t.Fatalf("Join of a closed endpoint returns %v, want ErrClosed", err)
			}
		}
		if each := (testkit.HeapNow() - before) / n; each > 500 {
			t.Errorf("each attempt keeps %d bytes, want at most 500", each)
		}
		e.Close()
	})
}
