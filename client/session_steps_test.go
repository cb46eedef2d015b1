package client

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/sdp"
	"github.com/godwit-rtc/godwit/session"
)

// A bare is a session whose steps the test takes itself, and the server's end of it.
type bare struct {
	t      *testing.T
	e      *Endpoint
	s      *Session
	server *sessioncore.Session
	got    []string // messages that the server has got
}

// inBare runs a test with the lock of the endpoint held.
func inBare(t *testing.T, sc SessionConfig, test func(b *bare)) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		e := testkit.Must(Serve(testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0")), Config{Manual: true}))
		defer e.Close()
		sc.Channels = channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}}
		sc.setDefaults()
		s := &Session{endpoint: e, config: sc, woken: make(chan struct{}, 1), opened: make(chan struct{}), finished: make(chan struct{})}
		s.ctx, s.cancel = context.WithCancel(t.Context())
		s.reconnecting = true // so that it starts no goroutine
		s.session = testkit.Must(sessioncore.New(time.Now(), sc.session()))
		server := testkit.Must(sessioncore.New(time.Now(), sessioncore.Config{ID: 7, Channel: channel.Config{Server: true, Channels: sc.Channels}}))
		server.Link(time.Now(), sessioncore.LinkInfo{})
		e.loop.Lock()
		defer e.loop.Unlock()
		test(&bare{t: t, e: e, s: s, server: server})
		s.link = nil
	})
}

// open opens the session on its first link.
func (b *bare) open(l link) {
	b.t.Helper()
	if !b.s.linkUp(l) {
		b.t.Fatal("the first link is not taken")
	}
	now := time.Now()
	for range 5 {
		for d := b.s.session.Append(now, nil, MaxMessage); len(d) > 0; d = b.s.session.Append(now, nil, MaxMessage) {
			b.take(d)
		}
		for d := b.server.Append(now, nil, MaxMessage); len(d) > 0; d = b.server.Append(now, nil, MaxMessage) {
			b.s.session.Receive(now, d)
		}
	}
	if b.s.ready(); b.s.state != sessionOpen {
		b.t.Fatalf("the session is %v", b.s.state)
	}
}

// take gives the server a datagram.
func (b *bare) take(d []byte) {
	b.server.Receive(time.Now(), d)
	for _, ev := range b.server.Events(nil) {
		if ev.Type == sessioncore.EventMessage {
			b.got = append(b.got, string(ev.Data))
		}
	}
}

// roomStub is a Carrier that takes as many datagrams as it has room for.
type roomStub struct {
	room  int
	calls int
	took  [][]byte
}

func (r *roomStub) Send(b []byte) bool {
	r.calls++
	if r.room == 0 {
		return false
	}
	r.room--
	r.took = append(r.took, slices.Clone(b))
	return true
}

func (r *roomStub) Close(string) {}

// A reliable link without room keeps the one datagram that it was given. The session gives it
// no other one, looks again after fullPause, and loses nothing.
func TestLinkWithoutRoomIsWaitedFor(t *testing.T) {
	inBare(t, SessionConfig{Rate: 10 << 20, Floor: 10 << 20, Ceiling: -1}, func(b *bare) {
		s, r := b.s, &roomStub{room: 100}
		b.open(&carried{session: s, of: s.session, kind: session.LinkWebSocket, reliable: true, carrier: r, fewer: make(chan struct{}, 1)})
		r.room, r.took = 1, nil
		var want []string
		for i := range 5 {
			m := string(slices.Repeat([]byte{byte('a' + i)}, 600))
			want = append(want, m)
			testkit.Must(s.session.Send(time.Now(), 1, []byte(m), channel.Options{}))
		}
		r.calls = 0
		settle := func(calls int) {
			t.Helper()
			time.Sleep(time.Millisecond) // for the rate
			now := time.Now()
			s.advance(now)
			if s.settle(now); calls >= 0 && r.calls != calls {
				t.Errorf("the link was given %d datagrams, want %d", r.calls, calls)
			}
		}
		settle(2) // it takes the first one
		settle(3) // the second one again
		settle(4)
		if len(r.took) != 1 || !s.retry.Equal(time.Now().Add(fullPause)) {
			t.Errorf("it is looked at again after %v, want %v; it took %d datagrams, want 1", time.Until(s.retry), fullPause, len(r.took))
		}
		r.room = 100
		for range 10 {
			settle(-1)
		}
		for _, d := range r.took {
			b.take(d)
		}
		if !slices.Equal(b.got, want) {
			t.Errorf("the server has got %d messages, want %d", len(b.got), len(want))
		}
	})
}

// When a session is looked at: at its own deadline, or at retry if that is later and the link
// has no room. A session that is over is not looked at.
func TestDeadlineOfASession(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		s := b.s
		w := &carried{session: s, of: s.session, kind: session.LinkWebSocket, reliable: true, carrier: &roomStub{}, fewer: make(chan struct{}, 1)}
		b.open(w)
		own := s.session.Deadline()
		for _, c := range []struct {
			held  []byte
			retry time.Time
			want  time.Time
		}{
			{nil, own.Add(time.Second), own},
			{[]byte{1}, own.Add(time.Second), own.Add(time.Second)},
			{[]byte{1}, own.Add(-time.Second), own},
			{[]byte{1}, time.Time{}, own},
		} {
			w.held, s.retry = c.held, c.retry
			if at := s.deadline(); !at.Equal(c.want) {
				t.Errorf("%d bytes wait: the deadline is %v after the session's, want %v", len(c.held), at.Sub(own), c.want.Sub(own))
			}
		}
		s.retry = own.Add(time.Second)
		s.session.Close(time.Now(), 0, "", true)
		s.session.Unlink(time.Now())
		if at := s.deadline(); !s.session.Over() || !at.IsZero() {
			t.Errorf("a session that is over has the deadline %v", at)
		}
	})
}

// A datagram that a connection cannot send does not count as sent.
func TestConnectionThatIsNotOpenCarriesNothing(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		server := &sdp.Server{Setup: sdp.SetupPassive}
		c := newConn(b.e, nil, netip.Addr{}, server)
		c.peer = peer.New(time.Now(), b.e.peerConfig(testkit.Must(b.e.newOffer()), server))
		if c.carry(time.Now(), []byte{1}) || b.e.stats.MessagesOut != 0 || b.e.loop.State().Out != 0 {
			t.Errorf("it has sent: %d messages, %d datagrams", b.e.stats.MessagesOut, b.e.loop.State().Out)
		}
	})
}

// A link that ends when it is left, as a connection does, does not interrupt the session that
// leaves it for a better one.
func TestMoveToABetterLinkIsNoInterruption(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		s := b.s
		old := &linkStub{kind: session.LinkWebSocket, of: s.session}
		old.leaves = func() { s.linkDown(old, &CloseError{Code: CloseByClient}) }
		b.open(old)
		s.told.take(s.session)
		better := &linkStub{kind: session.LinkWebRTC, of: s.session}
		if !s.linkUp(better) || s.link != link(better) || old.left != "moved" {
			t.Fatalf("the better link is not taken; the old one is %q", old.left)
		}
		if s.session.Interrupted() || s.lost != nil || s.session.Stats(time.Now()).Interruptions != 0 {
			t.Errorf("the session was interrupted; the link was lost because of %v", s.lost)
		}
	})
}

// A worse link is taken while the session is interrupted, and no link while it is being closed.
func TestLinkThatOpensOutOfTurn(t *testing.T) {
	const rtc, ws = session.LinkWebRTC, session.LinkWebSocket
	for name, c := range map[string]struct {
		old, new string
		before   func(s *Session)
		taken    bool
	}{
		"a worse one while the session is interrupted": {rtc, ws, func(s *Session) { s.session.Advance(time.Now().Add(4 * time.Second)) }, true},
		"a worse one": {rtc, ws, func(*Session) {}, false},
		"a better one while the session is being closed": {ws, rtc, func(s *Session) {
			testkit.Must(s.session.Send(time.Now(), 1, []byte("x"), channel.Options{}))
			s.session.Close(time.Now(), 0, "", false)
		}, false},
	} {
		inBare(t, SessionConfig{}, func(b *bare) {
			old, l := &linkStub{kind: c.old, of: b.s.session}, &linkStub{kind: c.new, of: b.s.session}
			b.open(old)
			c.before(b.s)
			if taken := b.s.linkUp(l); taken != c.taken || (b.s.link == link(l)) != c.taken || (l.left == "") != c.taken {
				t.Errorf("%s: taken %v, left %q; the old one is %q", name, taken, l.left, old.left)
			}
		})
	}
}

// The link of a session that is over, or that a new one follows, is not the session's any more,
// and the session's timer is gone.
func TestEndOfASessionLeavesNothing(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		s, l := b.s, &linkStub{kind: session.LinkWebRTC, of: b.s.session}
		b.open(l)
		b.e.loop.Time(s)
		if b.e.loop.State().Timer.IsZero() {
			t.Fatal("an open session has no timer")
		}
		s.setState(sessionClosing)
		s.session.Close(time.Now(), 0, "", true)
		s.end()
		if s.link != nil || l.left != "ended" {
			t.Errorf("it has the link %v, which is %q", s.link, l.left)
		}
		if at := b.e.loop.State().Timer; !at.IsZero() {
			t.Errorf("it has a timer for %v", at)
		}
	})
}

// When a session has sent a datagram over a connection, the connection is looked at when its own
// timer says so: it repeats what is not acknowledged.
func TestConnectionIsTimedAfterASessionHasSent(t *testing.T) {
	chat := channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}}
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		server := testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), godwit.Config{Channels: chat}))
		defer server.Close()
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
		e := testkit.Must(Serve(socket, Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: server}}}))
		defer e.Close()
		s := testkit.Must(e.Join(t.Context(), "http://game.example/", SessionConfig{Channels: chat, Links: []string{session.LinkWebRTC}}))
		time.Sleep(time.Second)
		e.loop.Lock()
		defer e.loop.Unlock()
		c := s.link.(*Conn)
		e.loop.Remove(c)
		testkit.Must(s.session.Send(time.Now(), 1, []byte("x"), channel.Options{}))
		s.settle(time.Now())
		e.loop.Remove(s)
		if at := e.loop.State().Timer; at.IsZero() || !at.Equal(c.deadline()) {
			t.Errorf("the connection's timer is at %v, want %v", at, c.deadline())
		}
		e.loop.Time(s)
	})
}

// The endpoint of a session that has made it ends with the session, also if the session had no
// connection of the endpoint: it was on a WebSocket.
func TestEndpointEndsWithItsSession(t *testing.T) {
	chat := channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}}
	for _, name := range []string{session.LinkWebRTC, session.LinkWebSocket} {
		testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
			server := testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), godwit.Config{Channels: chat}))
			defer server.Close()
			socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
			e := testkit.Must(Serve(socket, Config{HTTP: testkit.ServeHTTP(t, server).Client()}))
			s := testkit.Must(e.join(t.Context(), "http://game.example/", SessionConfig{Channels: chat, Links: []string{name}}, true))
			time.Sleep(time.Second)
			s.Close(300, "")
			<-s.Done()
			e.running.Wait()
			time.Sleep(5 * time.Second)
			if st := server.Stats(); st.Links.Open != 0 || st.RTC.Conns != 0 {
				t.Errorf("%s: the server has %d WebSockets and %d connections", name, st.Links.Open, st.RTC.Conns)
			}
		})
	}
}
