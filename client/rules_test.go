package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// unknownAt is the refusal of a server that does not have the session to be resumed.
func unknownAt(instance string) *SignalError {
	return &SignalError{Status: http.StatusGone, Code: "resume", Detail: map[string]string{"reason": "unknown", "instance": instance}}
}

// Which errors of an attempt are final, which mean that the credentials are refused, and which
// may pass before the session has opened for the first time.
func TestErrorsOfAttempts(t *testing.T) {
	refusal := func(status int, code string) error { return &SignalError{Status: status, Code: code} }
	ended := func(code session.CloseCode, remote bool) error {
		return &SessionError{Why: session.CloseReason{Code: code, Remote: remote}}
	}
	for _, c := range []struct {
		err                       error
		final, denied, passesFrom bool
	}{
		{nil, false, false, false},
		{errors.New("the program's"), false, false, false},
		{context.DeadlineExceeded, false, false, true},
		{fmt.Errorf("client: %w", context.DeadlineExceeded), false, false, true},
		{context.Canceled, false, false, false},
		{fmt.Errorf("client: %w", &url.Error{Op: "Post", URL: "x", Err: errors.New("no route")}), false, false, true},
		{&channel.TableError{}, true, false, false},
		{&CloseError{Code: CloseTimeout}, false, false, true},
		{ended(session.CloseKicked, true), true, false, true},
		{ended(session.CloseShutdown, true), false, false, true},
		{ended(session.CloseTimeout, true), false, false, true},
		{ended(session.CloseKicked, false), false, false, true},
		{refusal(401, "token"), true, true, true},
		{refusal(401, ""), false, false, true},
		{refusal(403, "origin"), true, false, true},
		{refusal(403, ""), false, false, true},
		{refusal(410, "resume"), true, false, true},
		{unknownAt("a"), false, false, true},
		{refusal(429, "busy"), false, false, true},
		{refusal(499, "mine"), true, false, true},
		{refusal(500, "mine"), false, false, true},
		{refusal(503, "full"), false, false, true},
	} {
		var sc SessionConfig
		if got := sc.isFinal(c.err); got != c.final {
			t.Errorf("%#v: final %v", c.err, got)
		}
		if got := isDenied(c.err); got != c.denied {
			t.Errorf("%#v: denied %v", c.err, got)
		}
		if got := mayPass(c.err); got != c.passesFrom {
			t.Errorf("%#v: may pass %v", c.err, got)
		}
	}
	kicks := SessionConfig{RenewAfter: []session.CloseCode{session.CloseKicked}}
	if kicks.isFinal(ended(session.CloseKicked, true)) || !kicks.isFinal(ended(session.CloseShutdown, true)) {
		t.Error("RenewAfter does not say after which code another attempt is made")
	}
}

// A server's "unknown session" is final when the same server has said it five times in a row.
func TestCountOfUnknownSessions(t *testing.T) {
	for _, c := range []struct{ answers, want string }{
		{"aaaaa", "....x"},
		{"aaaabaaaaa", ".........x"},
		{"ababababab", ".........."},
		{"aaaa-aaaa", ".....x..."},
		{"------", "......"},
		{"baaaaa", ".....x"},
	} {
		var b backoff
		got := ""
		for _, at := range c.answers {
			err := error(unknownAt(string(at)))
			if at == '-' {
				err = errors.New("no route")
			}
			if b.countUnknown(err) {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.answers, got, c.want)
		}
	}
}

// The waits double from half a second to ten seconds, and a wait is at least half of what it may be.
func TestWaitsOfBackoff(t *testing.T) {
	for range 100 {
		b := backoff{of: needSession, next: firstBackoff}
		for _, most := range []time.Duration{500, 1000, 2000, 4000, 8000, 10000, 10000} {
			most *= time.Millisecond
			if d := b.wait(nil); d < most/2 || d >= most {
				t.Fatalf("a wait of %v, want %v to %v", d, most/2, most)
			}
		}
		b = backoff{of: needLink, next: firstBackoff}
		for _, most := range []time.Duration{500, 1000, 1000, 1000} {
			most *= time.Millisecond
			if d := b.wait(unknownAt("a")); d < most/2 || d >= most {
				t.Fatalf("after a server that does not know the session a wait of %v, want %v to %v", d, most/2, most)
			}
		}
	}
}

// Fields of a SessionConfig that are wrong, and their defaults.
func TestLimitsOfASessionConfig(t *testing.T) {
	for _, c := range []struct {
		sc   SessionConfig
		want string
	}{
		{SessionConfig{}, ""},
		{SessionConfig{Ceiling: -1, DrainTimeout: -1, Links: []string{session.LinkWebSocket}}, ""},
		{SessionConfig{Rate: -1}, "Rate or Floor"},
		{SessionConfig{Floor: -1}, "Rate or Floor"},
		{SessionConfig{Links: []string{}}, "Links is empty"},
		{SessionConfig{Links: []string{session.LinkWebRTC, "pigeon"}}, `Links has "pigeon"`},
	} {
		err := c.sc.setDefaults()
		if (err == nil) != (c.want == "") || !strings.Contains(textOf(err), c.want) {
			t.Errorf("%+v: %v, want %q", c.sc, err, c.want)
		}
	}
	var sc SessionConfig
	sc.setDefaults()
	if want := []string{session.LinkWebRTC, session.LinkWebSocket}; !slices.Equal(sc.Links, want) {
		t.Errorf("Links are %q by default", sc.Links)
	}
	sc.Limits = session.Limits{Messages: 3, Requests: 5}
	if l := sc.session().Limits; l.Messages != 3 || l.Bytes != -1 || l.Requests != 5 {
		t.Errorf("the limits are %+v", l)
	}
	sc.Limits = session.Limits{Bytes: 4}
	if l := sc.session().Limits; l.Messages != -1 || l.Bytes != 4 || l.Requests != 0 {
		t.Errorf("the limits are %+v", l)
	}
}

func TestCauseOfASessionError(t *testing.T) {
	lost := &CloseError{Code: CloseTimeout}
	err := error(&SessionError{Err: lost})
	if e, ok := errors.AsType[*CloseError](err); !ok || e != lost {
		t.Errorf("it unwraps to %v", e)
	}
}

// A linkStub is a link that notes how it was left.
type linkStub struct {
	kind   string
	of     *sessioncore.Session
	left   string
	leaves func() // called when it is left; may be nil
}

func (l *linkStub) name() string                     { return l.kind }
func (l *linkStub) isReliable() bool                 { return l.kind == session.LinkWebSocket }
func (l *linkStub) madeFor() *sessioncore.Session    { return l.of }
func (l *linkStub) takes() bool                      { return true }
func (l *linkStub) carry(_ time.Time, _ []byte) bool { return true }

func (l *linkStub) leave(_ time.Time, moved bool) {
	if l.left = "ended"; moved {
		l.left = "moved"
	}
	if l.leaves != nil {
		l.leaves()
	}
}

// A link that opens becomes the session's link, or is left at once.
func TestLinkThatOpens(t *testing.T) {
	const rtc, ws = session.LinkWebRTC, session.LinkWebSocket
	for name, c := range map[string]struct {
		old, new string
		before   func(s *Session, l *linkStub)
		taken    bool
		leftOld  string
	}{
		"the first":                              {"", rtc, nil, true, ""},
		"the first, a worse one":                 {"", ws, nil, true, ""},
		"one that is better":                     {ws, rtc, nil, true, "moved"},
		"one that is worse":                      {rtc, ws, nil, false, ""},
		"one that is as good":                    {rtc, rtc, nil, false, ""},
		"one without a place in Links":           {rtc, "wire", nil, false, ""},
		"after one without a place in Links":     {"wire", rtc, nil, true, "moved"},
		"while a new session opens":              {"", rtc, func(s *Session, _ *linkStub) { s.state = sessionReopening }, true, ""},
		"for a session that is over":             {"", rtc, func(s *Session, _ *linkStub) { s.state = sessionEnded }, false, ""},
		"for the session before the present one": {"", rtc, func(s *Session, l *linkStub) { l.of = new(sessioncore.Session) }, false, ""},
		"after Close":                            {"", rtc, func(s *Session, _ *linkStub) { s.session.Close(time.Now(), 0, "", true) }, false, ""},
	} {
		testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
			socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
			e := testkit.Must(Serve(socket, Config{Manual: true}))
			defer e.Close()
			sc := SessionConfig{Channels: channel.Channels{{Name: "chat"}}}
			sc.setDefaults()
			s := &Session{endpoint: e, config: sc, opened: make(chan struct{}), up: make(chan struct{})}
			s.reconnecting = true // so that it starts no goroutine
			s.session = testkit.Must(sessioncore.New(time.Now(), sc.session()))
			e.loop.Lock()
			defer e.loop.Unlock()
			old, l, up := &linkStub{kind: c.old, of: s.session}, &linkStub{kind: c.new, of: s.session}, s.up
			if c.old != "" && !s.linkUp(old) {
				t.Fatalf("%s: the first link is not taken", name)
			}
			if c.before != nil {
				c.before(s, l)
			}
			if taken := s.linkUp(l); taken != c.taken || (s.link == link(l)) != c.taken || (l.left == "") != c.taken {
				t.Errorf("%s: taken %v, left %q", name, taken, l.left)
			}
			if !c.taken && l.left != "ended" || old.left != c.leftOld {
				t.Errorf("%s: the new link is %q, the old one %q", name, l.left, old.left)
			}
			if c.taken && s.linkName != c.new {
				t.Errorf("%s: the link is %q", name, s.linkName)
			}
			select {
			case <-up:
				if !c.taken && c.old == "" {
					t.Errorf("%s: dial goes on", name)
				}
			default:
				if c.taken {
					t.Errorf("%s: dial waits", name)
				}
			}
			s.link = nil
		})
	}
}

// A session that is over is in no table of its endpoint, whether it was open, was closed by
// either end, or has never opened.
func TestEndpointKeepsNothingOfASession(t *testing.T) {
	chat := channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}}
	for name, c := range map[string]struct {
		version string
		end     func(s *Session, server *godwit.Server)
	}{
		"closed by the client": {"1", func(s *Session, _ *godwit.Server) { s.Close(300, "") }},
		"closed by the server": {"1", func(_ *Session, server *godwit.Server) { server.Shutdown(context.Background(), "") }},
		"refused":              {"2", nil},
	} {
		testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
			server := testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), godwit.Config{Channels: chat, Version: "1", Handler: godwit.Handler{
				Request: func(_ *godwit.Conn, r *godwit.Request) { r.Ack() },
			}}))
			defer server.Close()
			socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
			e := testkit.Must(Serve(socket, Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: server}}}))
			defer e.Close()
			s, err := e.Join(t.Context(), "http://game.example/", SessionConfig{Channels: chat, Version: c.version, Links: []string{session.LinkWebRTC}})
			if (err == nil) != (c.end != nil) {
				t.Fatalf("%s: %v", name, err)
			}
			if c.end != nil {
				if _, err := s.Request(t.Context(), "x", nil); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				network.SetDefault(netsim.Link{Delay: time.Millisecond}) // the answer comes too late
				if _, err := s.Request(ctx, "forgotten", nil); !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", name, err)
				}
				e.loop.Lock()
				if len(s.asked) != 0 {
					t.Errorf("%s: %d requests that are answered or forgotten", name, len(s.asked))
				}
				e.loop.Unlock()
				c.end(s, server)
				<-s.Done()
			}
			time.Sleep(5 * time.Second) // the last packets are acknowledged
			if s != nil && s.ctx.Err() == nil {
				t.Errorf("%s: its context goes on", name)
			}
			e.loop.Lock()
			defer e.loop.Unlock()
			if len(e.sessions) != 0 || len(e.conns) != 0 || e.live != 0 || !e.loop.State().Timer.IsZero() {
				t.Errorf("%s: %d sessions, %d routes of %d connections, a timer for %v", name, len(e.sessions), len(e.conns), e.live, e.loop.State().Timer)
			}
			if s != nil && (s.link != nil || s.ctx.Err() == nil) {
				t.Errorf("%s: it has a link, or its context goes on", name)
			}
		})
	}
}

// Why the renewing of a session ends: for the reason of the server if it has one, for the text
// of its refusal, or for the error.
func TestReasonOfAFinalError(t *testing.T) {
	why := session.CloseReason{Code: session.CloseKicked, Text: "cheating", Remote: true}
	for _, c := range []struct {
		err  error
		want session.CloseReason
	}{
		{&SessionError{Why: why}, why},
		{&SignalError{Status: 403, Code: "mine", Text: "banned"}, session.CloseReason{Code: session.CloseTimeout, Text: "banned"}},
		{&SignalError{Status: 410, Code: "resume", Text: "over"}, session.CloseReason{Code: session.CloseTimeout, Text: "over"}},
		{errors.New("no"), session.CloseReason{Code: session.CloseTimeout, Text: "no"}},
	} {
		testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
			e := testkit.Must(Serve(testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0")), Config{Manual: true}))
			defer e.Close()
			sc := SessionConfig{Channels: channel.Channels{{Name: "chat"}}}
			s := &Session{endpoint: e, config: sc, state: sessionRenewing, finished: make(chan struct{})}
			s.ctx, s.cancel = context.WithCancel(t.Context())
			s.session = testkit.Must(sessioncore.New(time.Now(), sc.session()))
			s.fail(needLink, c.err) // it needs a session, so nothing happens
			if s.state != sessionRenewing {
				t.Errorf("%v for a link: %v", c.err, s.state)
			}
			s.fail(needSession, c.err)
			if s.state != sessionGivenUp || s.why != c.want {
				t.Errorf("%v: %v, %+v", c.err, s.state, s.why)
			}
		})
	}
}
