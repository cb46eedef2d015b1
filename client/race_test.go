package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A race is a game with funcs between the client and the server's HTTP.
type race struct {
	server  godwit.Config
	client  client.Config
	answer  func([]byte) []byte                                                    // changes an answer; nil changes nothing
	upgrade func(r *http.Request, reach http.RoundTripper) (*http.Response, error) // answers a request for a WebSocket; reach is the server
}

func (c race) run(t *testing.T, test func(g *game, e *client.Endpoint)) {
	t.Helper()
	inGame(t, c.server, func(g *game) {
		reach := testkit.ServeHTTP(g.t, g.server).Client().Transport
		c.client.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Upgrade") != "" {
				return c.upgrade(r, reach)
			}
			r.Header.Set("Accept", "application/json") // so that every answer offers links
			resp, err := reach.RoundTrip(r)
			if err == nil && c.answer != nil {
				body := testkit.Must(io.ReadAll(resp.Body))
				resp.Body = io.NopCloser(bytes.NewReader(c.answer(body)))
			}
			return resp, err
		})}
		e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), c.client))
		defer e.Close()
		test(g, e)
	})
}

// hang is a server that does not answer the request for a WebSocket.
func hang(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// refuse is a server that opens no WebSocket.
func refuse(*http.Request, http.RoundTripper) (*http.Response, error) {
	return nil, errors.New("no WebSocket here")
}

// pass lets the request for a WebSocket through.
func pass(r *http.Request, reach http.RoundTripper) (*http.Response, error) {
	return reach.RoundTrip(r)
}

// When WebRTC has opened, the request for the WebSocket is cancelled.
func TestTheEndOfARaceCancelsTheWebSocket(t *testing.T) {
	var cancelled atomic.Bool
	race{upgrade: func(r *http.Request, reach http.RoundTripper) (*http.Response, error) {
		defer cancelled.Store(true)
		return hang(r, reach)
	}}.run(t, func(g *game, e *client.Endpoint) {
		g.dark(3 * time.Second)
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.wantLink(s, session.LinkWebRTC)
		if !cancelled.Load() {
			t.Error("the request for the WebSocket goes on")
		}
	})
}

// A session uses none of the offered links that it does not want, and none that is not offered.
func TestLinksThatAreNotWanted(t *testing.T) {
	for _, c := range []struct{ server, client []string }{
		{nil, []string{session.LinkWebRTC}},
		{[]string{session.LinkWebRTC}, nil},
	} {
		var asked atomic.Bool
		race{server: godwit.Config{Links: c.server}, upgrade: func(r *http.Request, reach http.RoundTripper) (*http.Response, error) {
			asked.Store(true)
			return reach.RoundTrip(r)
		}}.run(t, func(g *game, e *client.Endpoint) {
			g.dark(time.Hour)
			_, err := g.join(e, client.SessionConfig{Links: c.client})
			if failed, ok := errors.AsType[*client.CloseError](err); !ok || failed.Code != client.CloseNoAnswer || asked.Load() {
				t.Errorf("the server has %v and the client %v: %v; a WebSocket was asked for: %v", c.server, c.client, err, asked.Load())
			}
		})
	}
}

// If neither link opens, the error names the reasons of both.
func TestWhereNoLinkOpens(t *testing.T) {
	race{upgrade: refuse}.run(t, func(g *game, e *client.Endpoint) {
		g.dark(time.Hour)
		_, err := g.join(e, client.SessionConfig{})
		if failed, ok := errors.AsType[*client.CloseError](err); !ok || failed.Code != client.CloseNoAnswer || !strings.Contains(err.Error(), "no WebSocket here") {
			t.Errorf("the error is %v", err)
		}
	})
}

// An answer without a link that the session wants is an error.
func TestAnAnswerWithoutLinks(t *testing.T) {
	race{answer: func([]byte) []byte { return []byte(`{"links":[]}`) }}.run(t, func(g *game, e *client.Endpoint) {
		if _, err := g.join(e, client.SessionConfig{Links: []string{session.LinkWebSocket}}); err == nil || !strings.Contains(err.Error(), "none of SessionConfig.Links") {
			t.Errorf("the error is %v", err)
		}
	})
}

// The end of the context of Join ends the race, and nothing stays open. A WebSocket is not asked for after
// it.
func TestTheContextEndsTheRace(t *testing.T) {
	for _, c := range []struct {
		links []string
		after time.Duration
		asks  int32
	}{
		{nil, 2 * time.Second, 1},
		{nil, 400 * time.Millisecond, 0},
		{[]string{session.LinkWebSocket}, 400 * time.Millisecond, 1},
	} {
		var asks atomic.Int32
		race{upgrade: func(r *http.Request, reach http.RoundTripper) (*http.Response, error) {
			asks.Add(1)
			return hang(r, reach)
		}}.run(t, func(g *game, e *client.Endpoint) {
			g.dark(time.Hour)
			ctx, cancel := context.WithTimeout(g.t.Context(), c.after)
			defer cancel()
			start := time.Now()
			_, err := e.Join(ctx, "http://game.example/", client.SessionConfig{Channels: table, Links: c.links})
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != c.after {
				t.Errorf("%+v: %v after %v", c, err, time.Since(start))
			}
			time.Sleep(time.Second)
			if st := e.Stats(); st.Conns != 0 || asks.Load() != c.asks {
				t.Errorf("%+v: %d connections stay, %d requests for a WebSocket", c, st.Conns, asks.Load())
			}
		})
	}
}

// When WebRTC has failed before its head start is over, the WebSocket begins at once.
func TestAHandshakeThatFailsEndsTheHeadStart(t *testing.T) {
	race{answer: withOtherFingerprint, upgrade: pass}.run(t, func(g *game, e *client.Endpoint) {
		start := time.Now()
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		if took := time.Since(start); took >= 500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		g.wantLink(s, session.LinkWebSocket)
	})
}

// late lets a request for a WebSocket through after d, whatever has become of its context.
func late(d time.Duration) func(*http.Request, http.RoundTripper) (*http.Response, error) {
	return func(r *http.Request, reach http.RoundTripper) (*http.Response, error) {
		time.Sleep(d)
		return reach.RoundTrip(r.WithContext(context.Background()))
	}
}

// joinInTheDark begins a session without UDP, and wants its WebSocket after a time.
func (g *game) joinInTheDark(e *client.Endpoint, after time.Duration) {
	g.t.Helper()
	g.dark(time.Hour)
	start := time.Now()
	s := testkit.Must(g.join(e, client.SessionConfig{}))
	if took := time.Since(start); took != after {
		g.t.Errorf("the WebSocket opens after %v, want %v", took, after)
	}
	g.wantLink(s, session.LinkWebSocket)
}

// leave ends a session, and waits until its links have ended, too.
func leave(s *client.Session) {
	s.Close(0, "")
	<-s.Done()
	time.Sleep(time.Second)
}

// An endpoint remembers for an hour the server for which WebRTC has failed, or was slower than the
// WebSocket: the next WebSocket to the same URL does not wait. Other servers have a head start.
func TestHowLongAFallIsRemembered(t *testing.T) {
	var fails atomic.Bool
	fails.Store(true)
	race{upgrade: pass, answer: func(b []byte) []byte {
		if fails.Load() {
			return withOtherFingerprint(b)
		}
		return b
	}}.run(t, func(g *game, e *client.Endpoint) {
		leave(testkit.Must(g.join(e, client.SessionConfig{})))
		fails.Store(false)
		time.Sleep(time.Hour - time.Minute)
		g.joinInTheDark(e, 0)
	})
	for _, c := range []struct {
		url  string
		idle time.Duration
		wait time.Duration
	}{
		{"http://game.example/", time.Hour - 2*time.Second, 0},
		{"http://game.example/", time.Hour, 500 * time.Millisecond},
		{"http://game.example/other", 0, 500 * time.Millisecond},
	} {
		race{upgrade: pass}.run(t, func(g *game, e *client.Endpoint) {
			g.dark(4 * time.Hour)
			sc := client.SessionConfig{Channels: table}
			leave(testkit.Must(e.Join(g.t.Context(), "http://game.example/", sc)))
			time.Sleep(c.idle)
			start := time.Now()
			testkit.Must(e.Join(g.t.Context(), c.url, sc))
			if took := time.Since(start); took != c.wait {
				t.Errorf("%+v: it took %v", c, took)
			}
		})
	}
}

// A WebSocket that opens after WebRTC is closed, and is no reason to begin the next race with one.
func TestAWebSocketThatOpensTooLate(t *testing.T) {
	race{upgrade: late(5 * time.Second)}.run(t, func(g *game, e *client.Endpoint) {
		g.dark(3 * time.Second)
		s := testkit.Must(g.join(e, client.SessionConfig{}))
		time.Sleep(10 * time.Second)
		g.wantLink(s, session.LinkWebRTC)
		if st := g.server.Stats().Links; st.Opened != 1 || st.Open != 0 {
			t.Errorf("%+v", st)
		}
		leave(s)
		g.joinInTheDark(e, 5500*time.Millisecond)
	})
}

// A session that prefers a WebSocket moves to it when it opens. Its connection is over at once, also if
// nothing comes from the server.
func TestASessionThatPrefersAWebSocket(t *testing.T) {
	race{upgrade: late(5 * time.Second)}.run(t, func(g *game, e *client.Endpoint) {
		start := time.Now()
		g.dark(time.Second)
		s := testkit.Must(g.join(e, client.SessionConfig{Links: []string{session.LinkWebSocket, session.LinkWebRTC}, Handler: g.handler()}))
		g.want("open")
		g.wantLink(s, session.LinkWebRTC)
		time.Sleep(5*time.Second - time.Since(start))
		g.dark(time.Hour)
		time.Sleep(600 * time.Millisecond)
		g.wantLink(s, session.LinkWebSocket)
		if n := e.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// An endpoint that is closed while a WebSocket opens closes the WebSocket.
func TestAWebSocketThatOpensAfterTheEnd(t *testing.T) {
	race{upgrade: late(5 * time.Second)}.run(t, func(g *game, e *client.Endpoint) {
		time.AfterFunc(time.Second, func() { e.Close() })
		ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
		defer cancel()
		if _, err := e.Join(ctx, "http://game.example/", client.SessionConfig{Channels: table, Links: []string{session.LinkWebSocket}}); err != session.ErrClosed {
			t.Errorf("the error is %v", err)
		}
		time.Sleep(time.Second)
		if st := g.server.Stats().Links; st.Opened != 1 || st.Open != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A session that has lost WebRTC does not wait for it before it opens a WebSocket.
func TestAnInterruptedSessionHasNoHeadStart(t *testing.T) {
	race{server: godwit.Config{NoDirect: true}, upgrade: pass}.run(t, func(g *game, e *client.Endpoint) {
		testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		g.dark(time.Hour)
		g.want("interrupted")
		start := time.Now()
		g.want("resumed")
		if took := time.Since(start); took != 0 {
			t.Errorf("the WebSocket opens after %v", took)
		}
	})
}

// A session on a WebSocket looks for WebRTC for at most 20 s at a time.
func TestAnAttemptAtABetterLinkEnds(t *testing.T) {
	race{upgrade: pass, client: client.Config{AnswerTimeout: time.Hour}}.run(t, func(g *game, e *client.Endpoint) {
		g.joinInTheDark(e, 500*time.Millisecond)
		until := func(n int) time.Time {
			for e.Stats().Conns != n {
				time.Sleep(100 * time.Millisecond)
			}
			return time.Now()
		}
		until(0)
		start := until(1)
		if took := until(0).Sub(start); took < 19*time.Second || took > 20*time.Second {
			t.Errorf("an attempt takes %v", took)
		}
	})
}

// With Manual, too, Join returns as soon as a WebSocket has opened or failed.
func TestAManualJoinOverAWebSocketDoesNotWait(t *testing.T) {
	for _, opens := range []bool{true, false} {
		c := race{client: client.Config{Manual: true}, upgrade: refuse}
		if opens {
			c.upgrade = pass
		}
		c.run(t, func(g *game, e *client.Endpoint) {
			start := time.Now()
			if _, err := g.join(e, client.SessionConfig{Links: []string{session.LinkWebSocket}}); (err == nil) != opens || time.Since(start) != 0 {
				t.Errorf("a WebSocket opens: %v; %v after %v", opens, err, time.Since(start))
			}
		})
	}
}

// An attempt whose WebSocket fails after the attempt has ended does not end the next attempt.
func TestALateWebSocketEndsNoOtherAttempt(t *testing.T) {
	var asks atomic.Int32
	race{server: godwit.Config{Links: []string{session.LinkWebSocket}}, upgrade: func(r *http.Request, reach http.RoundTripper) (*http.Response, error) {
		switch asks.Add(1) {
		case 2: // does not look at its context
			time.Sleep(12 * time.Second)
			return refuse(r, reach)
		case 3:
			time.Sleep(5 * time.Second)
		}
		return reach.RoundTrip(r)
	}}.run(t, func(g *game, e *client.Endpoint) {
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		synctest.Wait() // the session is open at the server, too
		client.CutWebSocket(s)
		g.want("interrupted", "resumed")
		if n := asks.Load(); n != 3 {
			t.Errorf("%d WebSockets were asked for, want 3", n)
		}
	})
}
