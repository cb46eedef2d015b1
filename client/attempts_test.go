package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A gate is in front of a game: it notes the requests of sessions, and may answer them itself.
// A WebSocket, which has no POST request, is none of these.
type gate struct {
	g      *game
	answer func(r *http.Request) (status int, body string) // status 0, and a nil func, mean that the game answers

	mu    sync.Mutex
	asked []*http.Request
}

func (f *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		f.mu.Lock()
		f.asked = append(f.asked, r)
		f.mu.Unlock()
	}
	if f.answer != nil {
		if status, body := f.answer(r); status != 0 {
			w := httptest.NewRecorder()
			w.WriteHeader(status)
			w.WriteString(body)
			return w.Result(), nil
		}
	}
	return f.g.RoundTrip(r)
}

// requests returns the requests since the last call.
func (f *gate) requests() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

func resumes(r *http.Request) bool { return strings.Contains(r.Header.Get("Authorization"), "Resume") }

// endpoint makes an endpoint whose requests go through the gate.
func (f *gate) endpoint(c client.Config) *client.Endpoint {
	f.g.t.Helper()
	c.HTTP = &http.Client{Transport: f}
	e := testkit.Must(client.Serve(testkit.Listen(f.g.t, f.g.network, pageAddr), c))
	f.g.t.Cleanup(func() { e.Close() })
	return e
}

// wantNow is want for events that come without any time passing.
func (g *game) wantNow(events ...string) {
	g.t.Helper()
	begin := time.Now()
	g.want(events...)
	if d := time.Since(begin); d != 0 {
		g.t.Errorf("%q: after %v, want at once", events, d)
	}
}

// What a session asks the server for: in the URL, and with whose credentials. The program's own
// Authorization is for a gate in front of the server, so the session's are in another header.
func TestRequestOfASession(t *testing.T) {
	inGame(t, godwit.Config{Version: "7"}, func(g *game) {
		f := &gate{g: g}
		own := http.Header{"X-Own": {"1"}}
		gated := http.Header{"Authorization": {"Basic x"}}
		for name, c := range map[string]struct {
			header      http.Header
			token       func(context.Context) (string, error)
			auth, other string
		}{
			"no credentials":        {nil, nil, "", ""},
			"a token":               {own, func(context.Context) (string, error) { return "t", nil }, "Bearer t", ""},
			"a token behind a gate": {gated, func(context.Context) (string, error) { return "t", nil }, "Basic x", "Bearer t"},
			"a gate":                {gated, nil, "Basic x", ""},
		} {
			e := f.endpoint(client.Config{Header: c.header})
			s, err := e.Join(g.t.Context(), "http://game.example/godwit/?room=5", client.SessionConfig{Channels: table, Version: "7", Token: c.token, Handler: g.handler()})
			g.must(err)
			asked := f.requests()
			if len(asked) != 1 {
				t.Fatalf("%s: %d requests", name, len(asked))
			}
			q, h := asked[0].URL.Query(), asked[0].Header
			if q.Get("v") != "1" || q.Get("kind") != "native" || q.Get("app") != "7" || len(q.Get("channels")) != 16 || q.Get("room") != "5" {
				t.Errorf("%s: %v", name, asked[0].URL)
			}
			if _, has := h["Godwit-Authorization"]; has != (c.other != "") {
				t.Errorf("%s: %v", name, h)
			}
			if h.Get("Authorization") != c.auth || h.Get("Godwit-Authorization") != c.other || h.Get("X-Own") != c.header.Get("X-Own") {
				t.Errorf("%s: %v", name, h)
			}
			if c.header.Get("Godwit-Authorization") != "" || c.header.Get("Authorization") == "Bearer t" {
				t.Errorf("%s: the program's header is changed: %v", name, c.header)
			}
			g.want("open")
			for c := range g.server.Conns() {
				if c.Kind() != godwit.KindNative {
					t.Errorf("%s: the client is %v", name, c.Kind())
				}
			}
			s.Close(0, "")
			g.want("closed here: normal")
		}
		e := f.endpoint(client.Config{})
		failed := errors.New("no network")
		if _, err := e.Join(g.t.Context(), "http://game.example/godwit/", client.SessionConfig{Channels: table, Token: func(context.Context) (string, error) { return "", failed }}); !errors.Is(err, failed) || !strings.HasPrefix(err.Error(), "client: no token: ") {
			t.Errorf("a Token that fails: %v", err)
		}
		if _, err := e.Join(g.t.Context(), ":", client.SessionConfig{Channels: table}); err == nil || !strings.HasPrefix(err.Error(), "client: ") {
			t.Errorf("a bad URL: %v", err)
		}
		if n := len(f.requests()); n != 0 {
			t.Errorf("%d requests were made for them", n)
		}
	})
}

// A session whose link is cut notices it at once, and asks for another link at once.
func TestCutLinkIsReplacedAtOnce(t *testing.T) {
	inGame(t, godwit.Config{NoDirect: true}, func(g *game) {
		f := &gate{g: g}
		s, err := g.join(f.endpoint(client.Config{}), client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		f.requests()
		begin := time.Now()
		for c := range g.server.RTC().Conns() {
			c.Close("cut")
		}
		g.want("interrupted")
		if d := time.Since(begin); d != 20*time.Millisecond {
			t.Errorf("interrupted after %v, want one way", d)
		}
		synctest.Wait()
		if asked := f.requests(); len(asked) != 1 || !resumes(asked[0]) {
			t.Errorf("%d requests", len(asked))
		}
		g.want("resumed")
		if d := time.Since(begin); d > 500*time.Millisecond {
			t.Errorf("resumed after %v", d)
		}
		time.Sleep(time.Minute)
		if n := len(f.requests()); n != 0 || s.State() != session.StateOpen {
			t.Errorf("%d more requests; the session is %v", n, s.State())
		}
		s.Close(0, "")
		g.want("closed here: normal")
	})
}

// With NoReconnect an interrupted session asks for no other link, and resumes on its own.
func TestNoReconnectAsksForNothing(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		f := &gate{g: g}
		s, err := g.join(f.endpoint(client.Config{}), client.SessionConfig{NoReconnect: true, Handler: g.handler()})
		g.must(err)
		f.requests()
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("open", "interrupted")
		time.Sleep(5 * time.Second)
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("resumed")
		if n := len(f.requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
		s.Close(0, "")
		g.want("closed here: normal")
	})
}

// A refusal that is final ends the session at the moment at which it arrives. A session that
// the server says is over may be followed by a new one; one that is refused may not.
func TestFinalRefusalEndsTheSessionAtOnce(t *testing.T) {
	const gone = `{"code":"resume","error":"it is over","reason":"ended"}`
	for name, c := range map[string]struct {
		renew  bool
		status int
		body   string
		want   []string
	}{
		"over":                {false, http.StatusGone, gone, []string{"closed here: timeout: it is over"}},
		"over, with Renew":    {true, http.StatusGone, gone, []string{"renewing, closed here: timeout: it is over"}},
		"refused":             {false, http.StatusForbidden, `{"code":"mine","error":"banned"}`, []string{"closed here: timeout: banned"}},
		"refused, with Renew": {true, http.StatusForbidden, `{"code":"mine","error":"banned"}`, []string{"closed here: timeout: banned"}},
		"gone in other words": {true, http.StatusGone, `{"code":"mine","error":"closed down"}`, []string{"renewing, closed here: timeout: closed down"}},
	} {
		t.Run(name, func(t *testing.T) {
			inGame(t, godwit.Config{NoDirect: true}, func(g *game) {
				f := &gate{g: g, answer: func(r *http.Request) (int, string) {
					if resumes(r) {
						return c.status, c.body
					}
					return 0, ""
				}}
				sc := g.renewing()
				sc.Renew = c.renew
				_, err := g.join(f.endpoint(client.Config{}), sc)
				g.must(err)
				g.want("open")
				g.network.SetDefault(netsim.Link{Loss: 1})
				g.want("interrupted")
				g.wantNow(c.want...)
				if n := len(f.requests()); n != 2 {
					t.Errorf("%d requests, want two", n)
				}
			})
		})
	}
}

// An interrupted session finds that the server has another table now: it ends, and says why.
func TestAnotherTableEndsAnInterruptedSession(t *testing.T) {
	inGame(t, godwit.Config{NoDirect: true}, func(g *game) {
		other := testkit.Must(godwit.Serve(testkit.Listen(g.t, g.network, netip.MustParseAddrPort("192.0.2.1:7778")), godwit.Config{Channels: table[:2]}))
		defer other.Close()
		_, err := g.connect(g.renewing())
		g.must(err)
		g.want("open")
		g.next.Store(other)
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted")
		_, err = g.connect(client.SessionConfig{})
		g.wantNow("closed here: timeout: " + err.Error())
	})
}

// While a new session is to begin, a server that answers that it is gone ends that for good.
func TestRefusalOfANewSessionIsFinal(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		var over atomic.Bool
		f := &gate{g: g, answer: func(*http.Request) (int, string) {
			if over.Load() {
				return http.StatusGone, `{"code":"gone","error":"closed down"}`
			}
			return 0, ""
		}}
		s, err := g.join(f.endpoint(client.Config{}), g.renewing())
		g.must(err)
		over.Store(true)
		g.server.Shutdown(g.t.Context(), "")
		g.want("open", "renewing, closed by the other end: shutdown")
		begin := time.Now()
		g.want("closed here: timeout: closed down")
		if d := time.Since(begin); d > 500*time.Millisecond {
			t.Errorf("closed after %v, want the wait before the first attempt", d)
		}
		<-s.Done()
	})
}

// If Close is called between two sessions, the Close handler runs at once.
func TestCloseBetweenTwoSessionsIsToldAtOnce(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		s, err := g.connect(g.renewing())
		g.must(err)
		g.server.Shutdown(g.t.Context(), "")
		g.want("open", "renewing, closed by the other end: shutdown")
		time.Sleep(20 * time.Second)
		s.Close(300, "enough")
		g.wantNow("closed here: code 300: enough")
	})
}

// A message and a close leave at once, from any goroutine: they do not wait for a timer.
func TestWhatAProgramDoesLeavesAtOnce(t *testing.T) {
	var came []string
	c := godwit.Config{Handler: godwit.Handler{
		Message: func(_ *godwit.Conn, _ godwit.ChannelID, b []byte) { came = append(came, string(b)) },
		Close:   func(_ *godwit.Conn, why godwit.CloseReason) { came = append(came, why.String()) },
	}}
	inGame(t, c, func(g *game) {
		came = nil
		e := g.endpoint()
		s, err := g.join(e, client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		time.Sleep(10 * time.Second) // nothing is under way
		g.must(s.Send(move, []byte("left")))
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		time.Sleep(10 * time.Second)
		e.Close()
		g.wantNow("closed here: normal: the endpoint was closed")
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if want := []string{"left", "closed by the other end: normal: the endpoint was closed"}; !slices.Equal(came, want) {
			t.Errorf("the server has %q one way later, want %q", came, want)
		}
	})
	inGame(t, c, func(g *game) {
		s, err := g.connect(client.SessionConfig{NoReconnect: true, Handler: g.handler()})
		g.must(err)
		g.want("open")
		for c := range g.server.RTC().Conns() {
			c.Close("cut")
		}
		g.want("interrupted")
		s.Close(300, "enough")
		g.wantNow("closed here: code 300: enough") // it has no link for the messages that wait
	})
}

// If a connection ends before its session is open, Join fails with both reasons, and no state
// is left.
func TestConnectionThatEndsBeforeItsSessionOpens(t *testing.T) {
	inWorldOf(t, func(w *world) {
		e := testkit.Must(client.Serve(testkit.Listen(w.t, w.network, pageAddr), client.Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: w.server}}}))
		defer e.Close()
		_, err := e.Join(w.t.Context(), "http://game.example/", client.SessionConfig{Channels: table, Links: []string{session.LinkWebRTC}})
		unopened, ok := errors.AsType[*client.SessionError](err)
		if !ok || unopened.Why.Remote {
			t.Fatalf("%v", err)
		}
		if ended, ok := errors.AsType[*client.CloseError](err); !ok || ended.Code != client.CloseByServer {
			t.Errorf("the connection's error is %v", unopened.Err)
		}
		time.Sleep(5 * time.Second)
		if st := e.Stats(); st.Conns != 0 || st.Opened != 1 || st.Closed != 1 {
			t.Errorf("%d connections are there, %d opened, %d ended", st.Conns, st.Opened, st.Closed)
		}
	}, func(*world) rtcserver.Config {
		return rtcserver.Config{Handler: rtcserver.Handler{Open: func(c *rtcserver.Conn) { c.Close("no session here") }}}
	})
}

// The counters of an endpoint count the datagrams of its sessions as messages.
func TestDatagramsOfSessionsAreCounted(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		e := g.endpoint()
		s, err := g.join(e, client.SessionConfig{Handler: g.handler()})
		g.must(err)
		for range 10 {
			g.must(s.Send(chat, []byte("hello")))
			time.Sleep(time.Second)
		}
		ours, theirs := e.Stats(), g.server.RTC().Stats()
		if ours.MessagesOut == 0 || ours.MessagesOut != theirs.MessagesIn || ours.MessagesIn != theirs.MessagesOut {
			t.Errorf("the client has sent %d and got %d, the server has sent %d and got %d", ours.MessagesOut, ours.MessagesIn, theirs.MessagesOut, theirs.MessagesIn)
		}
	})
}

// A refused Join names the first difference of the tables, also with Retry.
func TestRetryEndsAtARefusal(t *testing.T) {
	inGame(t, godwit.Config{Secret: "s"}, func(g *game) {
		f := &gate{g: g}
		for name, sc := range map[string]client.SessionConfig{
			"another table":      {Channels: channel.Channels{{Name: "other"}}},
			"no secret":          {Channels: table},
			"a Token that fails": {Channels: table, Token: func(context.Context) (string, error) { return "", errors.New("no") }},
		} {
			sc.Retry = true
			begin := time.Now()
			if _, err := f.endpoint(client.Config{}).Join(g.t.Context(), "http://game.example/godwit/", sc); err == nil || time.Since(begin) != 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(begin))
			}
			if n := len(f.requests()); n > 1 {
				t.Errorf("%s: %d requests", name, n)
			}
		}
	})
}

// While a new session is to begin, the server fails once, refuses the credentials once, and
// takes those that Token returns next. Refused credentials twice in a row are final.
func TestTokenIsAskedForOnceMore(t *testing.T) {
	const denied = `{"code":"token","error":"expired"}`
	for name, c := range map[string]struct {
		answers []int // of the requests after the first session, 0 for the game's
		want    string
	}{
		"another token is taken":            {[]int{502, 401, 0}, "open"},
		"at once":                           {[]int{401, 0}, "open"},
		"no token is taken":                 {[]int{401, 401}, "closed here: timeout: expired"},
		"not the first, and not the second": {[]int{502, 401, 502, 401}, "closed here: timeout: expired"},
	} {
		t.Run(name, func(t *testing.T) {
			inGame(t, godwit.Config{}, func(g *game) {
				var over atomic.Bool
				answers := c.answers
				f := &gate{g: g, answer: func(r *http.Request) (int, string) {
					if !over.Load() || len(answers) == 0 || r.Method != http.MethodPost {
						return 0, ""
					}
					status := answers[0]
					answers = answers[1:]
					return status, map[int]string{401: denied, 502: "<html>"}[status]
				}}
				sc := g.renewing()
				tokens := 0
				sc.Token = func(context.Context) (string, error) { tokens++; return "t", nil }
				s, err := g.join(f.endpoint(client.Config{}), sc)
				g.must(err)
				over.Store(true)
				for c := range g.server.Conns() {
					c.Close(session.CloseShutdown, "")
				}
				g.want("open", "renewing, closed by the other end: shutdown", c.want)
				if len(answers) != 0 || tokens != 1+len(c.answers) {
					t.Errorf("%d answers are left; Token was called %d times", len(answers), tokens)
				}
				s.Close(0, "")
			})
		})
	}
	for name, token := range map[string]func(context.Context) (string, error){
		"without a token": nil, "with one": func(context.Context) (string, error) { return "t", nil },
	} {
		inGame(t, godwit.Config{}, func(g *game) {
			f := &gate{g: g, answer: func(r *http.Request) (int, string) {
				if resumes(r) {
					return http.StatusUnauthorized, denied
				}
				return 0, ""
			}}
			_, err := g.join(f.endpoint(client.Config{}), client.SessionConfig{Token: token, Handler: g.handler()})
			g.must(err)
			f.requests()
			g.network.SetDefault(netsim.Link{Loss: 1})
			g.want("open", "interrupted", "closed here: timeout: expired")
			if n := len(f.requests()); (n == 1) != (token == nil) || n > 2 {
				t.Errorf("%s: %d requests to resume", name, n)
			}
		})
	}
}

// A session that has resumed on its old link, and is interrupted again, asks for a link at once:
// it does not wait for the end of an earlier wait.
func TestSecondInterruptionAsksAtOnce(t *testing.T) {
	for name, interrupt := range map[string]func(g *game){
		"cut": func(g *game) {
			for c := range g.server.RTC().Conns() {
				c.Close("cut")
			}
		},
		"silent": func(g *game) { g.network.SetDefault(netsim.Link{Loss: 1}) },
	} {
		inGame(t, godwit.Config{}, func(g *game) {
			f := &gate{g: g}
			s, err := g.join(f.endpoint(client.Config{}), client.SessionConfig{Handler: g.handler()})
			g.must(err)
			g.want("open")
			g.broken.Store(true)
			g.network.SetDefault(netsim.Link{Loss: 1})
			g.want("interrupted")
			time.Sleep(15 * time.Second) // the waits are long now
			g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
			g.want("resumed")
			f.requests()
			interrupt(g)
			g.want("interrupted")
			synctest.Wait()
			if n := len(f.requests()); n != 1 {
				t.Errorf("%s: %d requests, want one", name, n)
			}
			g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
			g.broken.Store(false)
			g.want("resumed")
			s.Close(0, "")
			g.want("closed here: normal")
		})
	}
}

// A Join that fails gives its source address back, whatever the reason.
func TestFailedJoinKeepsNoSource(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		answers := []struct {
			status int
			body   string
		}{{403, `{"code":"mine","error":"banned"}`}, {200, "no SDP"}, {200, `{"answer":{"sdp":"v=0"}}`}, {502, "<html>"}}
		next := 0
		f := &gate{g: g, answer: func(*http.Request) (int, string) { return answers[next].status, answers[next].body }}
		e := f.endpoint(client.Config{Sources: netip.MustParsePrefix("198.51.100.7/32")})
		for ; next < len(answers); next++ {
			_, err := e.Join(g.t.Context(), "http://game.example/godwit/", client.SessionConfig{Channels: table})
			if err == nil || errors.Is(err, client.ErrNoSource) || len(f.requests()) != 1 {
				t.Errorf("%v: %v", answers[next], err)
			}
		}
	})
}

// A second session of one endpoint needs another server, or another source address: without them
// Join fails, and the first session goes on.
func TestSecondSessionOfAnEndpoint(t *testing.T) {
	for want, sources := range map[error]netip.Prefix{
		client.ErrAddressInUse: {},
		client.ErrNoSource:     netip.MustParsePrefix("198.51.100.7/32"),
	} {
		inGame(t, godwit.Config{Handler: godwit.Handler{Request: func(_ *godwit.Conn, r *godwit.Request) { r.Ack() }}}, func(g *game) {
			f := &gate{g: g}
			e := f.endpoint(client.Config{Sources: sources})
			s, err := g.join(e, client.SessionConfig{})
			g.must(err)
			for range 2 {
				if _, err := g.join(e, client.SessionConfig{}); err != want {
					t.Errorf("a second session: %v, want %v", err, want)
				}
			}
			_, err = s.Request(g.t.Context(), "x", nil)
			g.must(err)
		})
	}
}

// A Connect that fails closes its socket and ends its goroutine, which TestMain would find.
func TestFailedConnectLeavesNothing(t *testing.T) {
	for range 2 {
		if s, err := client.Connect(t.Context(), ":", client.Config{}, client.SessionConfig{Channels: table}); err == nil || s != nil {
			t.Errorf("%v, %v", s, err)
		}
	}
}

// The answer to a request for a link comes when packets arrive again over the old link: the session
// keeps the old link, and makes no new one.
func TestAnswerThatIsNotNeededAnyMore(t *testing.T) {
	inGame(t, godwit.Config{NoDirect: true}, func(g *game) {
		f := &gate{g: g, answer: func(r *http.Request) (int, string) {
			if resumes(r) {
				time.Sleep(5 * time.Second)
			}
			return 0, ""
		}}
		e := f.endpoint(client.Config{})
		s, err := g.join(e, client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted")
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("resumed")
		time.Sleep(time.Minute)
		if st, n := e.Stats(), len(f.requests()); st.Opened != 1 || st.Closed != 0 || n != 2 || s.State() != session.StateOpen {
			t.Errorf("%d connections were opened and %d closed after %d requests", st.Opened, st.Closed, n)
		}
		s.Close(0, "")
		g.want("closed here: normal")
	})
}

// An attempt fails after the session has resumed on its old link and is interrupted again: the wait of the first interruption is over.
func TestAnAttemptThatOutlivesItsInterruption(t *testing.T) {
	inGame(t, godwit.Config{NoDirect: true}, func(g *game) {
		var asked []time.Time
		f := &gate{g: g, answer: func(r *http.Request) (int, string) {
			if !resumes(r) {
				return 0, ""
			}
			if asked = append(asked, time.Now()); len(asked) > 1 {
				return 0, ""
			}
			time.Sleep(5 * time.Second)
			return http.StatusServiceUnavailable, `{"code":"full"}`
		}}
		_, err := g.join(f.endpoint(client.Config{}), client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted")
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("resumed")
		for c := range g.server.RTC().Conns() {
			c.Close("cut")
		}
		g.want("interrupted", "resumed")
		if d := asked[1].Sub(asked[0]); d != 5*time.Second {
			t.Errorf("the next attempt begins %v after the first one, want 5s: at once", d)
		}
	})
}

// On a slow network a session that has a new link waits for a packet on it before it asks again.
func TestSlowLinkIsWaitedFor(t *testing.T) {
	inGame(t, godwit.Config{NoDirect: true}, func(g *game) {
		f := &gate{g: g}
		s, err := g.join(f.endpoint(client.Config{}), client.SessionConfig{Links: []string{session.LinkWebRTC}, Handler: g.handler()})
		g.must(err)
		g.want("open")
		f.requests()
		g.network.SetDefault(netsim.Link{Delay: 300 * time.Millisecond})
		for c := range g.server.RTC().Conns() {
			c.Close("cut")
		}
		g.want("interrupted", "resumed")
		time.Sleep(time.Minute)
		if n := len(f.requests()); n != 1 {
			t.Errorf("%d requests, want one", n)
		}
		s.Close(0, "")
		g.want("closed here: normal")
	})
}
