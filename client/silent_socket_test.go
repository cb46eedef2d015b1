package client_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A hole is a TCP connection that stays open and swallows what is written at either end while
// silent is true.
type hole struct {
	net.Conn
	silent *atomic.Bool
}

func (h hole) Write(b []byte) (int, error) {
	if h.silent.Load() {
		return len(b), nil
	}
	return h.Conn.Write(b)
}

func (h hole) Read(b []byte) (int, error) {
	for {
		n, err := h.Conn.Read(b)
		if err != nil || !h.silent.Load() {
			return n, err
		}
	}
}

// inSilence runs a test with a session over a WebSocket, whose TCP falls silent when the test says so.
func inSilence(t *testing.T, sc client.SessionConfig, test func(g *game, e *client.Endpoint, s *client.Session, silent *atomic.Bool)) {
	inGame(t, godwit.Config{Links: []string{session.LinkWebSocket}}, func(g *game) {
		pipes := testkit.ServeHTTP(g.t, g.server)
		var silent atomic.Bool
		hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := pipes.Dial(ctx, "", "")
			return hole{conn, &silent}, err
		}}}
		e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), client.Config{HTTP: hc}))
		defer e.Close()
		sc.Links, sc.Handler = []string{session.LinkWebSocket}, g.handler()
		s := testkit.Must(g.join(e, sc))
		g.want("open")
		test(g, e, s, &silent)
	})
}

// A server that says nothing more, and leaves its WebSocket open, does not hold the end of the
// endpoint.
func TestASilentServerDoesNotHoldTheEndOfTheEndpoint(t *testing.T) {
	inSilence(t, client.SessionConfig{}, func(g *game, e *client.Endpoint, s *client.Session, silent *atomic.Bool) {
		silent.Store(true)
		start := time.Now()
		e.Close()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Close takes %v", took)
		}
		g.want("closed here: normal: the endpoint was closed")
	})
}
