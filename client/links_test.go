package client_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// A link that was to resume a session, and on which nothing has arrived, ends with the session.
// Otherwise one address could have any number of connections that no limit counts.
func TestLinksOfEndedSessionsEnd(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		var ends []*client.Endpoint
		endpoint := func(got func([]byte)) *client.Endpoint {
			pc := testkit.Listen(g.t, g.network, pageAddr)
			e, err := client.Serve(pc, client.Config{Handler: client.Handler{
				Message: func(_ *client.Conn, m client.Message) { got(bytes.Clone(m.Data)) },
			}})
			g.must(err)
			ends = append(ends, e)
			return e
		}
		signal := func(auth string) client.Signal {
			return func(_ context.Context, offer []byte) ([]byte, error) {
				r := httptest.NewRequest(http.MethodPost, fmt.Sprintf("/?v=1&kind=native&channels=%016x", channel.Table{Channels: table}.Hash()), bytes.NewReader(offer))
				r.RemoteAddr = "198.51.100.7:1"
				r.Header.Set("Accept", "application/sdp")
				if auth != "" {
					r.Header.Set("Authorization", auth)
				}
				w := testkit.Serve(g.server, r)
				if w.Code != 200 {
					return nil, fmt.Errorf("%d %s", w.Code, w.Body)
				}
				return w.Body.Bytes(), nil
			}
		}
		leaked := 0
		for i := range 70 {
			var mu sync.Mutex
			mux, err := channel.New(time.Now(), channel.Config{Channels: table})
			g.must(err)
			e := endpoint(func(b []byte) { mu.Lock(); mux.Receive(time.Now(), b); mu.Unlock() })
			c, err := e.Connect(g.t.Context(), signal(""), nil)
			if err != nil {
				t.Fatalf("session %d: %v", i, err)
			}
			mux.Send(time.Now(), 0, []byte("\x01\x00\x00"), channel.Options{})
			token := ""
			for range 60 {
				mu.Lock()
				mux.Advance(time.Now())
				for b := mux.Append(time.Now(), nil, channel.MaxPacket); len(b) > 0; b = mux.Append(time.Now(), nil, channel.MaxPacket) {
					c.Send(0, client.Binary, b)
				}
				for _, ev := range mux.Events(nil) {
					if ev.Type == channel.EventMessage && len(ev.Payload) >= 25 && token == "" {
						token = base64.RawURLEncoding.EncodeToString(ev.Payload[9:25])
					}
				}
				mu.Unlock()
				time.Sleep(5 * time.Millisecond)
			}
			if token == "" {
				t.Fatal("the answer has no token")
			}
			e2 := endpoint(func([]byte) {})
			if _, err := e2.Connect(g.t.Context(), signal("Godwit-Resume "+token), nil); err != nil {
				t.Fatal(err)
			}
			leaked++
			// close the session (CLOSE of the mux), then its link
			mu.Lock()
			mux.Close(time.Now(), 300, "")
			for b := mux.Append(time.Now(), nil, channel.MaxPacket); len(b) > 0; b = mux.Append(time.Now(), nil, channel.MaxPacket) {
				c.Send(0, client.Binary, b)
			}
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			c.Close()
		}
		time.Sleep(3 * time.Second)
		if n := g.server.RTC().Stats().Conns; n != 0 || leaked < 70 {
			t.Errorf("%d connections are left of %d sessions that have ended, want 0 and 70 at least", n, leaked)
		}
		for _, e := range ends {
			e.Close()
		}
	})
}

// slowly is a body that comes after something has happened.
type slowly struct {
	io.ReadCloser
	first func()
}

func (s *slowly) Read(b []byte) (int, error) {
	if f := s.first; f != nil {
		s.first = nil
		f()
	}
	return s.ReadCloser.Read(b)
}

// A session that ends while the offer to resume it is still coming has no link to wait
// for either: the offer is refused.
func TestOffersForSessionsThatEndMeanwhileAreRefused(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		answered := make(chan *http.Response, 10)
		signal := roundTrip(func(r *http.Request) (*http.Response, error) {
			resumes := strings.Contains(r.Header.Get("Authorization"), "Resume")
			if resumes {
				r.Body = &slowly{r.Body, func() {
					for c := range g.server.Conns() {
						c.Kick("")
					}
					time.Sleep(time.Second)
				}}
			}
			resp, err := g.RoundTrip(r)
			if resumes {
				answered <- resp
			}
			return resp, err
		})
		pc := testkit.Listen(g.t, g.network, pageAddr)
		e, err := client.Serve(pc, client.Config{HTTP: &http.Client{Transport: signal}})
		g.must(err)
		defer e.Close()
		_, err = e.Join(g.t.Context(), "http://game.example/godwit/", client.SessionConfig{Channels: table, Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted")
		resp := <-answered
		if resp.StatusCode != http.StatusGone {
			t.Errorf("the offer to resume a session that has ended gets the status %d, want 410", resp.StatusCode)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A refusal has no effect if it arrives after packets of the session have arrived again on its
// present link. The server may have made another link for the request, or may not know the
// request: the session stays on its link.
func TestRefusalsThatComeTooLateEndNothing(t *testing.T) {
	for _, heard := range []bool{false, true} {
		refusalThatComesTooLate(t, heard)
	}
}

func refusalThatComesTooLate(t *testing.T, heard bool) {
	inGame(t, godwit.Config{NoDirect: true}, func(g *game) {
		signal := roundTrip(func(r *http.Request) (*http.Response, error) {
			if !strings.Contains(r.Header.Get("Authorization"), "Resume") {
				return g.RoundTrip(r)
			}
			if heard {
				if resp, err := g.RoundTrip(r); err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("the request is refused: %v", err)
				}
			}
			g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
			time.Sleep(4 * time.Second)
			w := httptest.NewRecorder()
			w.WriteHeader(http.StatusGone)
			w.WriteString(`{"code":"resume","error":"the token is not the newest","reason":"ended"}`)
			return w.Result(), nil
		})
		pc := testkit.Listen(g.t, g.network, pageAddr)
		e, err := client.Serve(pc, client.Config{HTTP: &http.Client{Transport: signal}})
		g.must(err)
		defer e.Close()
		s, err := e.Join(g.t.Context(), "http://game.example/godwit/", client.SessionConfig{Channels: table, Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted", "resumed")
		time.Sleep(10 * time.Second)
		g.must(s.Send(chat, []byte("still here")))
		s.Close(0, "bye")
		g.want("closed here: normal: bye")
	})
}

// A session that is over repeats its close until its client has got it: its link does not end
// before that.
func TestGoodbyesThatAreLostAreSaidAgain(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		_, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		time.Sleep(time.Second)
		g.network.SetDefault(netsim.Link{Loss: 1})
		for c := range g.server.Conns() {
			c.Kick("bye")
		}
		time.Sleep(50 * time.Millisecond)
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("closed by the other end: kicked: bye")
	})
}

// A session that opens while the server is shut down gets its end, too.
func TestShutdownWhileASessionOpens(t *testing.T) {
	var reached, hold chan struct{}
	var opens, closes atomic.Int32
	c := godwit.Config{
		Logger: slog.New(lineFunc{slog.DiscardHandler, func(msg string) {
			if msg == "godwit: open" {
				close(reached)
				<-hold
			}
		}}),
		Handler: godwit.Handler{
			Open: func(*godwit.Conn) { opens.Add(1) },
			Close: func(_ *godwit.Conn, why godwit.CloseReason) {
				if closes.Add(1); why.Code != session.CloseShutdown {
					t.Errorf("the session has ended with %v, want CloseShutdown", why)
				}
			},
		},
	}
	inGame(t, c, func(g *game) {
		reached, hold = make(chan struct{}), make(chan struct{})
		go g.join(g.endpoint(), client.SessionConfig{Handler: g.handler()})
		<-reached
		down := make(chan error)
		go func() { down <- g.server.Shutdown(g.t.Context(), "over") }()
		time.Sleep(100 * time.Millisecond)
		close(hold)
		if err := <-down; err != nil {
			t.Error(err)
		}
		if o, c := opens.Load(), closes.Load(); o != 1 || c != 1 || g.server.Len() != 0 {
			t.Errorf("Open was called %d times and Close %d times, want once each; %d sessions are left, want 0", o, c, g.server.Len())
		}
	})
}

// A lineFunc is a Logger that calls a func for each line.
type lineFunc struct {
	slog.Handler
	called func(msg string)
}

func (lineFunc) Enabled(context.Context, slog.Level) bool { return true }

func (h lineFunc) Handle(_ context.Context, r slog.Record) error {
	h.called(r.Message)
	return nil
}
