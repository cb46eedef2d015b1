package client

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/sdp"
	"github.com/godwit-rtc/godwit/session"
)

var (
	dialServer = netip.MustParseAddrPort("192.0.2.1:7777")
	dialPage   = netip.MustParseAddrPort("198.51.100.7:0")
)

// onServer runs a test with an endpoint, and the signaling of a server without HTTP.
func onServer(t *testing.T, c Config, test func(t *testing.T, e *Endpoint, signal Signal)) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		s := testkit.Must(rtcserver.Serve(testkit.Listen(t, network, dialServer), rtcserver.Config{}))
		defer s.Close()
		e := testkit.Must(Serve(testkit.Listen(t, network, dialPage), c))
		defer e.Close()
		test(t, e, func(_ context.Context, offer []byte) ([]byte, error) {
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(offer))
			r.Header.Set("Accept", "application/sdp")
			return testkit.Serve(s, r).Body.Bytes(), nil
		})
	})
}

// What an answer says about the server's addresses, as SDP or as JSON.
func TestAddressesOfAnAnswer(t *testing.T) {
	onServer(t, Config{}, func(t *testing.T, e *Endpoint, signal Signal) {
		answer, err := signal(t.Context(), testkit.Must(e.newOffer()).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		whole := string(answer)
		if whole[0] == '{' {
			t.Fatalf("the server answers %s", whole)
		}
		without := regexp.MustCompile(`(?m)^a=(candidate|end-of-candidates).*\r\n`).ReplaceAllString(whole, "")
		if !strings.Contains(whole, dialServer.Addr().String()) || without == whole {
			t.Fatalf("no candidate in %s", whole)
		}
		quoted := func(sdp, rest string) string {
			return `{"answer":{"sdp":"` + strings.NewReplacer("\r\n", `\r\n`).Replace(sdp) + `"}` + rest + "}"
		}
		const other = `,"candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.9 9 typ host"}`
		for name, c := range map[string]struct {
			answer string
			want   []string
			fails  string
		}{
			"SDP":                         {whole, []string{dialServer.String()}, ""},
			"SDP without a candidate":     {without, nil, "no address to send to"},
			"JSON":                        {quoted(whole, ""), []string{dialServer.String()}, ""},
			"JSON with another candidate": {quoted(whole, other), []string{dialServer.String()}, ""},
			"JSON with a candidate":       {quoted(without, other), []string{"192.0.2.9:9"}, ""},
			"JSON without a candidate":    {quoted(without, ""), nil, "no address to send to"},
			"JSON with a bad candidate":   {quoted(without, `,"candidate":{"candidate":"candidate:1"}`), nil, "no address to send to"},
			"JSON without an answer":      {`{"candidate":{}}`, nil, `no "answer"`},
			"JSON of another form":        {quoted(whole, `,"candidate":7`), nil, `no "answer"`},
			"JSON that breaks off":        {quoted(whole, "")[:50], nil, `no "answer"`},
			"something else":              {"<html>", nil, "client: "},
			"nothing":                     {"", nil, "client: "},
		} {
			s, err := parseAnswer([]byte(c.answer))
			if (err == nil) != (c.fails == "") || !strings.Contains(textOf(err), c.fails) {
				t.Errorf("%s: %v, want %q", name, err, c.fails)
			}
			var got []string
			if s != nil {
				for _, a := range s.Candidates {
					got = append(got, a.String())
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
	})
}

// What strangers must not guess is random for each connection.
func TestConnectionsHaveTheirOwnSecrets(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		e := testkit.Must(Serve(testkit.Listen(t, network, dialPage), Config{}))
		defer e.Close()
		var seen [4][]any
		for range 3 {
			c := e.peerConfig(testkit.Must(e.newOffer()), &sdp.Server{Setup: sdp.SetupPassive})
			for i, v := range []any{c.Check.Secret, c.SCTP.CookieKey, c.SCTP.LocalTag, c.SCTP.InitialTSN} {
				if slices.Contains(seen[i], v) || v == [32]byte{} || v == uint32(0) {
					t.Errorf("secret %d is %v again", i, v)
				}
				seen[i] = append(seen[i], v)
			}
		}
	})
}

// All requests of a session, also for a WebSocket beside a connection, leave from the source address of
// the connection.
func TestRequestsOfASessionLeaveFromItsSource(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		chat := channel.Channels{{Name: "chat"}}
		server := testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), godwit.Config{Channels: chat}))
		defer server.Close()
		network.BlackoutFor(netip.Addr{}, netip.Addr{}, time.Hour) // so that a WebSocket is tried, too
		from := map[string]any{}
		noted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			from[r.Method] = r.Context().Value(sourceKey{})
			server.ServeHTTP(w, r)
		})
		page := netip.MustParseAddrPort("198.51.100.7:0")
		e := testkit.Must(Serve(testkit.Listen(t, network, page), Config{Sources: netip.PrefixFrom(page.Addr(), 32), HTTP: &http.Client{Transport: testkit.Transport{Handler: noted}}}))
		defer e.Close()
		e.Join(t.Context(), "http://game.example/", SessionConfig{Channels: chat})
		if from[http.MethodPost] != page.Addr() || from[http.MethodGet] != page.Addr() {
			t.Errorf("the requests are from %v, want %v", from, page.Addr())
		}
	})
}

// A source address is free again after a connection that has failed, and when its connection is
// over, not before.
func TestSourceIsFreeAfterItsConnection(t *testing.T) {
	failed := errors.New("no network")
	c := Config{Sources: netip.PrefixFrom(dialPage.Addr(), 32), AnswerTimeout: time.Second}
	onServer(t, c, func(t *testing.T, e *Endpoint, signal Signal) {
		for range 2 {
			if _, err := e.Connect(t.Context(), func(context.Context, []byte) ([]byte, error) { return nil, failed }, nil); !errors.Is(err, failed) {
				t.Errorf("a signal that fails: %v", err)
			}
			if _, err := e.Connect(t.Context(), func(context.Context, []byte) ([]byte, error) { return []byte("no SDP"), nil }, nil); err == nil || errors.Is(err, ErrNoSource) {
				t.Errorf("a bad answer: %v", err)
			}
			var inner error
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := e.Connect(ctx, func(ctx context.Context, offer []byte) ([]byte, error) {
				_, inner = e.Connect(ctx, signal, nil)
				return signal(ctx, offer)
			}, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a context that ends: %v", err)
			}
			cancel()
			if !errors.Is(inner, ErrNoSource) {
				t.Errorf("a second connection: %v", inner)
			}
			time.Sleep(5 * time.Second)
			if st := e.Stats(); st.Conns != 0 {
				t.Errorf("%d connections are left", st.Conns)
			}
		}
		if _, err := e.Connect(t.Context(), nil, nil); !errors.Is(err, ErrNoSignal) {
			t.Errorf("without a Signal: %v", err)
		}
		e.Close()
		if _, err := e.Connect(t.Context(), signal, nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// Dial opens a socket of its own, and closes it if it fails or when the connection is over.
// TestMain finds the goroutine of one that stays open.
func TestDialHasItsOwnSocket(t *testing.T) {
	server := testkit.Must(rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		Settings: rtcserver.Settings{HandshakeTimeout: testkit.Patience},
		Handler:  rtcserver.Handler{Message: func(c *rtcserver.Conn, _ rtcserver.Message) { c.Close("enough") }},
	}))
	defer server.Close()
	transport := testkit.Transport{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = "127.0.0.1:1"
		server.ServeHTTP(w, r)
	})}
	for range 3 {
		if c, err := Dial(t.Context(), ":", Config{}); err == nil || c != nil {
			t.Errorf("a bad URL: %v, %v", c, err)
		}
	}
	if _, err := Dial(t.Context(), "http://game.example/", Config{SilenceTimeout: 1}); err == nil {
		t.Error("a bad Config is no error")
	}
	closed := make(chan struct{})
	c, err := Dial(t.Context(), "http://game.example/", Config{
		AnswerTimeout: testkit.Patience, HandshakeTimeout: testkit.Patience,
		HTTP:    &http.Client{Transport: transport},
		Handler: Handler{Close: func(*Conn, *CloseError) { close(closed) }},
	})
	if err != nil || c == nil {
		t.Fatalf("%v, %v", c, err)
	}
	if err := c.Send(0, Binary, []byte("x")); err != nil {
		t.Error(err)
	}
	<-closed
	c.endpoint.running.Wait() // ends with its connection
}

// A connection that is closed gives its address free at once for the next one.
func TestNextConnectionTakesThePlaceOfAClosedOne(t *testing.T) {
	onServer(t, Config{}, func(t *testing.T, e *Endpoint, signal Signal) {
		for range 3 {
			c := testkit.Must(e.Connect(t.Context(), signal, nil))
			if n := e.Stats().Conns; n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
			e.loop.Lock() // so that no turn removes it
			c.close(time.Now())
			server := &sdp.Server{Setup: sdp.SetupPassive, Candidates: []netip.AddrPort{dialServer}}
			next := newConn(e, nil, netip.Addr{}, server)
			e.loop.Unlock()
			if err := e.open(time.Now(), next, e.peerConfig(testkit.Must(e.newOffer()), server)); err != nil {
				t.Fatal(err)
			}
			if n := e.Stats().Conns; n != 1 || c.state != connGone {
				t.Errorf("%d connections, want 1; the closed one is %v", n, c.state)
			}
			next.Close()
			time.Sleep(5 * time.Second)
		}
	})
}

// While one goroutine polls, another one cannot connect, and no request is made.
func TestConnectDuringAPollMakesNoRequest(t *testing.T) {
	onServer(t, Config{Manual: true}, func(t *testing.T, e *Endpoint, signal Signal) {
		if !e.polling.Start() {
			t.Fatal("somebody polls")
		}
		asked := false
		_, err := e.Connect(t.Context(), func(ctx context.Context, offer []byte) ([]byte, error) { asked = true; return signal(ctx, offer) }, nil)
		e.polling.End()
		if !errors.Is(err, session.ErrInHandler) || asked {
			t.Errorf("%v, want ErrInHandler; a request was made: %v", err, asked)
		}
	})
}

// A connection that is still being opened is in the way of a newer one only if its session needs
// it: the newer one is of another session, or of none.
func TestConnectionThatNobodyWaitsFor(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		s, other := b.s, &Session{}
		b.open(&linkStub{kind: session.LinkWebSocket, of: s.session})
		for _, c := range []struct {
			name  string
			state connState
			of    *Session // nil for a connection without a session
			core  *sessioncore.Session
			next  *Session
			want  bool
		}{
			{"no sessions", connOpening, nil, nil, nil, false},
			{"no session, before one", connOpening, nil, nil, other, false},
			{"the same session", connOpening, s, s.session, s, true},
			{"the same session, and it is open", connOpen, s, s.session, s, false},
			{"another session", connOpening, s, s.session, other, false},
			{"the session before a new one", connOpening, s, &sessioncore.Session{}, other, true},
		} {
			o := &Conn{endpoint: b.e, session: c.of, of: c.core, state: c.state}
			if got := o.isSuperfluous(c.next); got != c.want {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
		testkit.Must(s.session.Send(time.Now(), 1, []byte("x"), channel.Options{}))
		s.session.Close(time.Now(), 0, "", false)
		if o := (&Conn{session: s, of: s.session}); s.session.State() != sessioncore.Closing || !o.isSuperfluous(other) {
			t.Error("the connection of a session that is being closed is not superfluous")
		}
	})
}
