package client

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/ufrag"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/sdp"
	"github.com/godwit-rtc/godwit/session"
)

// A lost is an open session that has lost its link, and takes no step by itself.
type lost struct {
	*Session
	t       *testing.T
	network *netsim.Network
	was     *Conn // the link
}

// inLost runs a test with a session that began with an invite, and has a URL for requests or none.
func inLost(t *testing.T, url string, test func(x *lost)) {
	t.Helper()
	chat := channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}}
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		network.SetDefault(netsim.Link{Delay: 10 * time.Millisecond})
		server := testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), godwit.Config{Channels: chat, Invites: testkit.Must(auth.NewInviteKey(rand.Reader))}))
		defer server.Close()
		e := testkit.Must(Serve(testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0")), Config{}))
		defer e.Close()
		s := testkit.Must(e.Join(t.Context(), url, SessionConfig{
			Channels: chat, Links: []string{session.LinkWebRTC},
			Invite: func(context.Context) (auth.Invite, error) {
				return server.Invite(auth.InviteClaims{For: time.Minute})
			},
		}))
		time.Sleep(time.Second) // the credentials of the next link are here
		e.loop.Lock()
		s.reconnecting = true // so that it starts no goroutine
		c := s.link.(*Conn)
		e.loop.Unlock()
		c.Close()
		time.Sleep(time.Second)
		test(&lost{s, t, network, c})
	})
}

const lostURL = "http://game.example/"

// cut loses all datagrams from now on.
func (x *lost) cut() { x.network.SetDefault(netsim.Link{Loss: 1}) }

// locked calls f with the lock of the endpoint held.
func (x *lost) locked(f func()) {
	x.endpoint.loop.Lock()
	defer x.endpoint.loop.Unlock()
	f()
}

// attempt makes an attempt without a request, and expects a result, and whether the session has a link then.
func (x *lost) attempt(what string, over bool, want error, linked bool) *Conn {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), 5*time.Second)
	defer cancel()
	of := x.session
	got, err := x.dialNext(ctx, of)
	x.endpoint.loop.Lock()
	defer x.endpoint.loop.Unlock()
	if got != over || !errors.Is(err, want) || (x.link != nil) != linked {
		x.t.Errorf("%s: over is %v, %v, a link: %v; want %v, %v, %v", what, got, err, x.link != nil, over, want, linked)
	}
	return x.trying
}

// With and without a URL an attempt without a request opens a link, and the session needs nothing more.
func TestAnAttemptWithoutARequest(t *testing.T) {
	for _, url := range []string{"", lostURL} {
		inLost(t, url, func(x *lost) {
			x.attempt("an attempt", true, nil, true)
			time.Sleep(time.Second)
			x.attempt("the session needs no link", true, nil, true)
		})
	}
}

// A request follows a link that does not open, which may open meanwhile. The next attempt goes on with it,
// but not with the link of another session.
func TestAnAttemptThatGoesOn(t *testing.T) {
	inLost(t, lostURL, func(x *lost) {
		x.cut()
		began := time.Now()
		first := x.attempt("nothing arrives", false, nil, false)
		if took := time.Since(began); first == nil || first.state != connOpening || took < nextStart || took > nextStart*3/2 {
			t.Fatalf("the request may follow after %v; the link is %+v", took, first)
		}
		if c := x.attempt("again", false, nil, false); c != first {
			t.Error("another link is begun while one is being opened")
		}
		x.locked(func() { first.of = nil })
		if c := x.attempt("of another session", false, nil, false); c == first {
			t.Error("the link of another session is waited for")
		}
	})
	inLost(t, lostURL, func(x *lost) {
		x.cut()
		time.AfterFunc(nextStart/2, func() { x.locked(func() { x.config.NoReconnect = true }) })
		x.attempt("no link is needed when the wait is over", true, nil, false)
	})
	inLost(t, "", func(x *lost) {
		x.cut()
		x.attempt("nothing arrives, and there is no URL", true, context.DeadlineExceeded, false)
	})
}

// After a link has opened over which the server said nothing the next attempt makes a request at once, if there is a URL; the
// attempt after it makes a link without one again. A link that has failed is no such link.
func TestALinkOverWhichTheServerIsSilent(t *testing.T) {
	silent := func(state connState, failed *CloseError) *Conn {
		return &Conn{state: state, failed: failed, admit: []byte{ufrag.TypeAdmit}}
	}
	for _, tt := range []struct {
		url    string
		before *Conn
		over   bool
	}{
		{lostURL, silent(connOpen, nil), false},
		{lostURL, silent(connClosing, nil), false},
		{lostURL, silent(connClosing, &CloseError{Code: CloseNoAnswer}), true},
		{lostURL, &Conn{state: connClosing}, true},
		{"", silent(connOpen, nil), true},
	} {
		inLost(t, tt.url, func(x *lost) {
			x.locked(func() { tt.before.of, x.trying = x.session, tt.before })
			if c := x.attempt("after the link", tt.over, nil, tt.over); tt.over == (c == nil) || c == tt.before {
				t.Errorf("URL %q, after a link that is %v, %v: the link is %v", tt.url, tt.before.state, tt.before.failed, c)
			}
			if !tt.over {
				x.attempt("the attempt after it", true, nil, true)
			}
		})
	}
}

// A session makes no link without a request if it was not on WebRTC last, does not want it, or knows no
// address or credentials.
func TestNoAttemptWithoutARequest(t *testing.T) {
	for what, edit := range map[string]func(s *Session){
		"the last link was a WebSocket": func(s *Session) { s.linkName = session.LinkWebSocket },
		"no WebRTC is wanted":           func(s *Session) { s.config.Links = []string{session.LinkWebSocket} },
		"no credentials":                func(s *Session) { s.next.ufrag = "" },
		"no address":                    func(s *Session) { s.next.addresses = nil },
	} {
		inLost(t, lostURL, func(x *lost) {
			x.locked(func() { edit(x.Session) })
			if c := x.attempt(what, false, nil, false); c != nil {
				t.Errorf("%s: a link is begun", what)
			}
		})
	}
}

// Where an endpoint has no source for one more connection the attempt fails, and without a URL its error is that
// of all. A link to an address at which the endpoint has another connection fails, too, and keeps no source.
func TestSourcesOfLinksWithoutARequest(t *testing.T) {
	for url, over := range map[string]bool{"": true, lostURL: false} {
		inLost(t, url, func(x *lost) {
			x.locked(func() { x.endpoint.sources = newSources(netip.MustParsePrefix("127.0.0.1/32")) })
			testkit.Must(x.endpoint.reserveSource())
			if c := x.attempt("no source", over, ErrNoSource, false); c != nil {
				t.Error("a link is begun")
			}
		})
	}
	inLost(t, "", func(x *lost) {
		e, one := x.endpoint, netip.MustParsePrefix("127.0.0.1/32")
		x.locked(func() {
			e.sources, e.config.Sources = newSources(one), one
			e.conns[e.route(x.next.addresses[0], one.Addr())] = &Conn{state: connOpen}
		})
		x.attempt("an address in use", true, ErrAddressInUse, false)
		x.locked(func() {
			if len(e.sources.used) != 0 {
				t.Errorf("%d sources are in use, want none", len(e.sources.used))
			}
			delete(e.conns, e.route(x.next.addresses[0], one.Addr()))
		})
	})
}

// The wait for a link ends with its head start, not with a wake-up while the session still needs a link. A wake-up
// is kept for the wait that follows.
func TestWaitForALinkWithoutARequest(t *testing.T) {
	const head = time.Second
	for what, c := range map[string]struct {
		after func(x *lost, c *Conn, cancel func()) // 0.1 s after the beginning
		over  bool
		took  time.Duration
		woken bool
	}{
		"nothing arrives": {nil, true, head, false},
		"a wake-up":       {func(x *lost, _ *Conn, _ func()) { x.wakeReconnect() }, true, head, true},
		"no link is needed": {func(x *lost, _ *Conn, _ func()) {
			x.locked(func() { x.config.NoReconnect = true })
			x.wakeReconnect()
		}, false, head / 10, true},
		"the attempt is over": {func(_ *lost, _ *Conn, cancel func()) { cancel() }, false, head / 10, false},
		"it has opened":       {func(_ *lost, c *Conn, _ func()) { close(c.opened) }, false, head / 10, false},
		"it has failed": {func(x *lost, c *Conn, _ func()) {
			x.locked(func() { c.failed = &CloseError{Code: CloseNoHandshake} })
			close(c.opened)
		}, true, head / 10, false},
	} {
		inLost(t, lostURL, func(x *lost) {
			x.forgetWake()
			conn := newConn(x.endpoint, nil, netip.Addr{}, &sdp.Server{})
			conn.peer = peer.New(time.Now(), x.endpoint.peerConfig(testkit.Must(x.endpoint.newOffer()), &sdp.Server{}))
			ctx, cancel := context.WithCancel(x.t.Context())
			defer cancel()
			if c.after != nil {
				time.AfterFunc(head/10, func() { c.after(x, conn, cancel) })
			}
			began := time.Now()
			over := x.outlastNext(ctx, conn, head)
			if took := time.Since(began); over != c.over || took != c.took || (len(x.woken) > 0) != c.woken {
				t.Errorf("%s: %v after %v, a wake-up is kept: %v; want %v, %v, %v", what, over, took, len(x.woken) > 0, c.over, c.took, c.woken)
			}
		})
	}
}

// The next link begins at the address at which the server was reached, and then tries the others. A
// server that has shown no SHA-256 hash is not reached without a request.
func TestWhereTheNextLinkBegins(t *testing.T) {
	inLost(t, lostURL, func(x *lost) {
		x.endpoint.loop.Lock()
		defer x.endpoint.loop.Unlock()
		addr := func(n byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 7777) }
		x.next.fingerprint = [32]byte{}
		sum := x.was.reach.fingerprint
		x.was.reach.addresses = []netip.AddrPort{addr(9), addr(1), addr(8)}
		x.noteReach(x.was)
		if n := &x.next; !slices.Equal(n.addresses, []netip.AddrPort{addr(1), addr(9), addr(8)}) || n.fingerprint != sum || sum == [32]byte{} {
			t.Errorf("the next link begins at %v, %x; want the address of the server first", n.addresses, n.fingerprint)
		}
		x.was.reach.addresses = nil
		if x.noteReach(x.was); x.next.addresses != nil {
			t.Errorf("it begins at %v, want nowhere", x.next.addresses)
		}
	})
}

// A REFUSED with a refusal of the server ends the link, once, and the refusal is returned once. Anything
// else is ignored.
func TestRefused(t *testing.T) {
	const ours = `{"status":409,"code":"app","error":"another version","server":"2"}`
	inBare(t, SessionConfig{}, func(b *bare) {
		s, server := b.s, &sdp.Server{}
		c := newConn(b.e, nil, netip.Addr{}, server)
		c.peer = peer.New(time.Now(), b.e.peerConfig(testkit.Must(b.e.newOffer()), server))
		c.session, c.direct, c.state = s, true, connOpen
		c.receiveRefused(append([]byte{ufrag.TypeAdmit}, ours...))
		c.receiveRefused([]byte{ufrag.TypeRefused})
		if err := s.takeRefusal(); err != nil || c.state != connOpen {
			t.Errorf("what is no refusal: %v, and the link is %v", err, c.state)
		}
		c.receiveRefused(append([]byte{ufrag.TypeRefused}, ours...))
		e, _ := errors.AsType[*SignalError](s.takeRefusal())
		if e == nil || e.Status != 409 || e.Code != "app" || e.Text != "another version" || len(e.Detail) != 1 || e.Detail["server"] != "2" || c.state != connClosing {
			t.Errorf("%+v, and the link is %v; want the refusal, and that it closes", e, c.state)
		}
		if err := s.takeRefusal(); err != nil {
			t.Errorf("a second time: %v", err)
		}
		c.receiveRefused(append([]byte{ufrag.TypeRefused}, ours...))
		if err := s.takeRefusal(); err != nil {
			t.Errorf("over a link that closes: %v", err)
		}
	})
	for body, want := range map[string]bool{
		ours:                                                 true,
		`{"status":400,"code":"a","error":"b"}`:              true,
		`{"status":399,"code":"a","error":"b"}`:              false,
		`{"code":"a","error":"b"}`:                           false,
		`{"status":409,"error":"b"}`:                         false,
		`{"status":409,"code":"a"}`:                          false,
		`{"status":409,"code":"a","error":"b"`:               false,
		`{"status":"409","code":"a","error":"b"`:             false,
		`{"status":409,"status":"4","code":"a","error":"b"}`: false,
	} {
		if e := refusedDirect([]byte(body)); (e != nil) != want {
			t.Errorf("%s is the refusal %+v", body, e)
		}
	}
}

// An invite without what a client needs, or where the program does not want WebRTC, is an error before anything is
// sent.
func TestInvitesThatNobodyCanUse(t *testing.T) {
	good := auth.Invite{Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7777")}, Ufrag: "DAAAA", Pwd: "password"}
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
		sent := 0
		network.SetTap(func(*netsim.Packet) bool { sent++; return true })
		e := testkit.Must(Serve(socket, Config{HTTP: http.DefaultClient}))
		defer e.Close()
		for what, edit := range map[string]func(*auth.Invite, *SessionConfig){
			"no WebRTC":   func(_ *auth.Invite, c *SessionConfig) { c.Links = []string{session.LinkWebSocket} },
			"no address":  func(i *auth.Invite, _ *SessionConfig) { i.Addresses = nil },
			"no ufrag":    func(i *auth.Invite, _ *SessionConfig) { i.Ufrag = "" },
			"no password": func(i *auth.Invite, _ *SessionConfig) { i.Pwd = "" },
		} {
			i, c := good, SessionConfig{Channels: channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}}}
			edit(&i, &c)
			c.Invite = func(context.Context) (auth.Invite, error) { return i, nil }
			began := time.Now()
			s, err := e.Join(t.Context(), "", c)
			if _, refused := errors.AsType[*CloseError](err); s != nil || err == nil || refused || time.Since(began) > 0 || sent > 0 {
				t.Errorf("%s: %v after %v, and %d datagrams; want an error before the first one", what, err, time.Since(began), sent)
			}
		}
	})
}
