package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	native "github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// wantError checks that an error has a text.
func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %q", what, err, text)
	}
}

// A seat has an invite if the player fits into one, and a token if the node makes tokens and has a URL.
func TestWhatASeatHas(t *testing.T) {
	nats := newNATS(t)
	const url = "http://node.example/godwit/"
	with := joinNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, URL: url, Seats: true})
	seat := func(n *node, name, data int, ends time.Time) (auth.Seat, error) {
		return n.Seat(t.Context(), n.me.String(), godwit.Identity{Name: strings.Repeat("x", name), Data: make([]byte, data), Expires: ends})
	}
	_, err := seat(with, 3, 0, time.Time{})
	wantError(t, "without a server", err, "the node has no server")
	without := joinNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Seats: true})
	for _, n := range []*node{with, without} {
		srv := testkit.Must(n.Listen("127.0.0.1:0", godwit.Config{Channels: table}))
		t.Cleanup(func() { srv.Close() })
	}
	for _, c := range []struct {
		name, data int
		ends       time.Time
		invite     bool
	}{
		{auth.MaxInviteSubject, auth.MaxInviteData, time.Time{}, true},
		{auth.MaxInviteSubject + 1, 0, time.Time{}, false},
		{3, auth.MaxInviteData + 1, time.Time{}, false},
		{3, 0, time.Now().Add(time.Hour), false},
	} {
		s, err := seat(with, c.name, c.data, c.ends)
		if err != nil || s.URL != url || s.Node != with.me.String() || s.Token == "" || (s.Invite != nil) != c.invite {
			t.Errorf("%+v: the seat is %+v, %v; want one with a token and with an invite: %v", c, s, err, c.invite)
		}
		s, err = seat(without, c.name, c.data, c.ends)
		if c.invite && (err != nil || s.URL != "" || s.Node != without.me.String() || s.Token != "" || s.Invite == nil) {
			t.Errorf("%+v: the seat of a node without a URL is %+v, %v; want one with an invite only", c, s, err)
		} else if !c.invite {
			wantError(t, fmt.Sprintf("%+v, at a node without a URL", c), err, "set Config.URL, or godwit.Config.Invites")
		}
	}

	if _, err := seat(with, 3, 10_000, time.Time{}); err == nil {
		t.Error("a token has room for 10,000 bytes of data")
	}
	_, err = with.makeSeat(seatRequest{Name: "ada", Room: "cave"})
	wantError(t, "a room at a node that adopts none", err, "no Config.Adopt")
	plain := joinNode(t, Config{URL: url})
	srv := testkit.Must(plain.Listen("127.0.0.1:0", godwit.Config{Channels: table}))
	t.Cleanup(func() { srv.Close() })
	if s, err := seat(plain, 3, 0, time.Time{}); err != nil || s.URL != url || s.Token != "" || s.Invite != nil {
		t.Errorf("the seat of a node without Seats and invites is %+v, %v; want its URL only", s, err)
	}

	// Only a player who moves is expected with a state.
	for _, move := range []bool{false, true} {
		if _, err := with.makeSeat(seatRequest{Name: "ada", Move: move}); err != nil {
			t.Fatal(err)
		}
		with.mu.Lock()
		a := with.travels.expected["ada"]
		with.mu.Unlock()
		if (a != nil) != move {
			t.Errorf("Move %v: a state is expected: %v", move, a != nil)
		}
	}
	if with.receiveSeat(message{body: []byte("{")}) || !with.receiveSeat(message{body: []byte("{}")}) {
		t.Error("a question for a seat is taken that is no JSON, or one is not that is JSON")
	}

	// Another node gets the same seats, and the same errors.
	knows(t, with, without)
	if s, err := without.Seat(t.Context(), with.me.String(), godwit.Identity{Name: "ada"}); err != nil || s.Node != with.me.String() || s.Invite == nil {
		t.Errorf("the seat at another node is %+v, %v", s, err)
	}
	_, err = with.Seat(t.Context(), without.me.String(), godwit.Identity{Name: "ada", Expires: time.Now().Add(time.Hour)})
	wantError(t, "no seat at another node", err, "makes no invites for this player")
	with.setDraining()
	_, err = seat(with, 3, 0, time.Time{})
	wantError(t, "while the node drains", err, "the node is draining")
}

// A node makes no seats, and no node picks it, from when its server shuts down, also without Drain, and from when its fleet is closed.
func TestNodesWithAClosedServer(t *testing.T) {
	nodes := newFleet(t, 2, testConfig)
	b := nodes[1]
	for i, stop := range []func() error{func() error { return nodes[0].srv.Close() }, func() error { return b.Close() }} {
		n := nodes[i]
		n.config.URL = "http://n.example"
		testkit.Must(n.makeSeat(seatRequest{}))
		must(t, stop())
		self, _ := n.node(n.me.String())
		if all := n.Nodes(); !self.Draining || !slices.ContainsFunc(all, func(n Node) bool { return n.Here && n.Draining }) {
			t.Errorf("node %d is %+v, and those of the fleet are %+v; want that it drains", i, self, all)
		}
		if p, err := n.Pick(func(n Node) bool { return n.Here }); err != ErrNoNode {
			t.Errorf("node %d picks %+v, %v; want ErrNoNode", i, p, err)
		}
		_, err := n.makeSeat(seatRequest{})
		wantError(t, "a seat", err, "the node is draining")
		if err := n.expect("ada"); err != errDraining {
			t.Errorf("node %d expects a player: %v", i, err)
		}
		if n != b {
			wait(t, "the other node knows", func() bool { p, ok := b.node(n.me.String()); return ok && p.Draining })
		}
	}
}

// The invite of a seat lets the player in, with the player's name and data.
func TestTheInviteOfASeat(t *testing.T) {
	n, opened := joinNode(t, Config{}), make(chan *godwit.Conn, 1)
	srv := testkit.Must(n.Listen("127.0.0.1:0", godwit.Config{
		Channels: table, Invites: testkit.Must(auth.NewInviteKey(rand.Reader)), Handler: godwit.Handler{Open: func(c *godwit.Conn) { opened <- c }},
	}))
	t.Cleanup(func() { srv.Close() })
	seat := testkit.Must(n.Seat(t.Context(), n.me.String(), godwit.Identity{Name: "ada", Data: []byte{0, 255}}))
	s := testkit.Must(native.Connect(t.Context(), "", native.Config{}, native.SessionConfig{
		Channels: table, Invite: func(context.Context) (auth.Invite, error) { return *seat.Invite, nil },
	}))
	t.Cleanup(func() { s.Close(0, "") })
	if got := testkit.Next(t, "the session", opened).Identity(); got.Name != "ada" || string(got.Data) != "\x00\xff" {
		t.Errorf("%q with the data %q comes, want ada with 00ff", got.Name, got.Data)
	}
}

// Whether a node makes invites, and who decides about its players, depends on the configuration of its server.
func TestServersOfSeats(t *testing.T) {
	key := testkit.Must(auth.NewInviteKey(strings.NewReader(strings.Repeat("k", 64))))
	for _, c := range []struct {
		name    string
		gc      godwit.Config
		seats   bool
		made    bool // a key of invites is made
		invites bool
	}{
		{"seats", godwit.Config{}, true, true, true},
		{"seats, and no links without a request", godwit.Config{NoDirect: true}, true, false, false},
		{"seats, and a file of keys", godwit.Config{KeyFile: "keys"}, true, false, true},
		{"seats, and invites", godwit.Config{Invites: key}, true, false, true},
		{"no seats", godwit.Config{Secret: "secret"}, false, false, false},
		{"invites", godwit.Config{Invites: key}, false, false, true},
		{"a file of keys", godwit.Config{KeyFile: "keys"}, false, false, true},
		{"invites, and no links without a request", godwit.Config{Invites: key, NoDirect: true}, false, false, false},
	} {
		f, before := &Fleet{config: Config{Seats: c.seats}}, c.gc.Invites
		if err := f.prepareSeats(&c.gc); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if (c.gc.Authorize != nil) != c.seats || (c.gc.Invites != before) != c.made || c.made && c.gc.Invites == nil || f.invites != c.invites {
			t.Errorf("%s: Authorize is set: %v; a key is made: %v; the node makes invites: %v", c.name, c.gc.Authorize != nil, c.gc.Invites != before, f.invites)
		}
	}
	for _, gc := range []godwit.Config{
		{Secret: "secret"}, {Tokens: &auth.Verifier{}},
		{Authorize: func(*http.Request) (godwit.Identity, error) { return godwit.Identity{}, nil }},
	} {
		f := &Fleet{config: Config{Seats: true}}
		wantError(t, "two who decide", f.prepareSeats(&gc), "do not set Authorize, Secret or Tokens")
	}
}

// A token of a seat whose data is damaged lets nobody in, and a session without an end has none.
func TestTokensOfSeats(t *testing.T) {
	n := newNode(t, Config{URL: "http://node.example/godwit/", Seats: true}, godwit.Config{})
	enter := func(token string) (godwit.Identity, error) {
		r := httptest.NewRequest(http.MethodPost, "/godwit/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return n.authorize(r)
	}
	id, err := enter(testkit.Must(n.seatToken(seatRequest{Name: "ada"})))
	if err != nil || id.Name != "ada" || !id.Expires.IsZero() {
		t.Errorf("the player is %+v, %v; want ada, and a session without an end", id, err)
	}
	now := time.Now()
	id, err = enter(testkit.Must(n.signer.Sign(now, auth.Claims{
		Subject: "seat", Audience: n.me.String(), ID: "1", Expires: now.Add(time.Minute), Data: json.RawMessage(`"damaged"`),
	})))
	if !errors.Is(err, auth.ErrWrong) || id.Name != "" {
		t.Errorf("with damaged data the player is %+v, %v; want ErrWrong", id, err)
	}
}

// The front says in its status and in JSON why there is no seat.
func TestAnswersOfAFront(t *testing.T) {
	n := joinNode(t, Config{deadAfter: time.Hour})
	var refused error
	front := testkit.Must(n.Front(func(*http.Request) (Joining, error) { return Joining{}, refused }, rtcserver.Settings{MaxOffers: -1}))
	ask := func(method, query string, status int, code, text string) *httptest.ResponseRecorder {
		t.Helper()
		w := httptest.NewRecorder()
		front.ServeHTTP(w, httptest.NewRequest(method, "/join"+query, nil))
		var got struct{ Code, Error string }
		json.Unmarshal(w.Body.Bytes(), &got)
		if w.Code != status || got.Code != code || got.Error != text {
			t.Errorf("%s %s: %d %s, want %d, %q, %q", method, query, w.Code, w.Body, status, code, text)
		}
		if h := w.Header(); h.Get("Cache-Control") != "no-store" || code != "" && h.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: the header is %v", method, query, h)
		}
		return w
	}
	for _, c := range []struct {
		err        error
		status     int
		code, text string
	}{
		{errors.New("who are you?"), 403, "forbidden", "who are you?"},
		{fmt.Errorf("front: %w", auth.ErrExpired), 401, "token", auth.ErrExpired.Text()},
		{fmt.Errorf("front: %w", &rtcserver.StatusError{Status: 409, Code: "identity", Text: "again"}), 409, "identity", "again"},
		{&rtcserver.StatusError{Status: 429, Text: "later"}, 429, "rate", "later"},
		{&rtcserver.StatusError{Text: "without a status"}, 403, "forbidden", "without a status"},
		{&rtcserver.StatusError{Status: 99, Text: "not a status"}, 403, "forbidden", "not a status"},
		{&rtcserver.StatusError{Status: 401}, 401, "token", "Unauthorized"},
	} {
		refused = c.err
		ask("POST", "", c.status, c.code, c.text)
	}
	refused = nil
	if w := ask("POST", "", 503, "full", "there is no seat now: try again"); w.Header().Get("Retry-After") != "1" {
		t.Errorf("the header is %v, want Retry-After", w.Header())
	}
	if w := ask("DELETE", "", 405, "request", "use POST to join, or GET with the parameter node"); w.Header().Get("Allow") != "GET, HEAD, OPTIONS, POST" {
		t.Errorf("the header is %v, want Allow", w.Header())
	}
	ask("GET", "", 400, "request", "the parameter node is not that of a seat")
	ask("GET", "?node=x", 400, "request", "the parameter node is not that of a seat")
	here, gone := "?node="+n.me.String(), "?node="+newInstance().String()
	ask("GET", here, 204, "", "")
	ask("HEAD", here, 204, "", "")
	ask("GET", gone, 503, "away", "this front does not know yet")
	n.mu.Lock()
	n.nodes.dead, n.nodes.since = deadAfter, time.Now().Add(-time.Hour)
	n.mu.Unlock()
	ask("GET", gone, 410, "gone", "the node is gone")

	srv := testkit.Must(n.Listen("127.0.0.1:0", godwit.Config{Channels: table, Invites: testkit.Must(auth.NewInviteKey(strings.NewReader(strings.Repeat("k", 64))))}))
	t.Cleanup(func() { srv.Close() })
	w := httptest.NewRecorder()
	testkit.Must(n.Front(nil, rtcserver.Settings{})).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/join", nil))
	if s, err := auth.ParseSeat(w.Body.Bytes()); w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || err != nil || s.Invite == nil {
		t.Errorf("everybody may join, and gets %d %s (%v)", w.Code, w.Body, err)
	}
}

// A front whose own connection to NATS stands still does not know whether a node is gone of which it has not heard: the node may have come
// meanwhile. It knows when its connection goes on.
func TestAFrontThatHearsNothing(t *testing.T) {
	nats := newNATS(t)
	way := newProxy(t, nats.address())
	f := joinNode(t, Config{NATS: way.address(), Name: "front"})
	front := testkit.Must(f.Front(nil, rtcserver.Settings{MaxOffers: -1}))
	f.mu.Lock()
	f.nodes.since = time.Now().Add(-time.Hour)
	f.mu.Unlock()
	ask := func(what, id string, want int) {
		t.Helper()
		w := httptest.NewRecorder()
		front.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/join?node="+id, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", what, w.Code, want)
		}
	}
	gone := newInstance().String()
	ask("a node that nobody knows", gone, http.StatusGone)
	way.stall()
	n := joinNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Name: "n"})
	n.sync()
	ask("a node has come while the front hears nothing", n.me.String(), http.StatusServiceUnavailable)
	if s := f.Stats(); s.FrontUnsure != 1 || !s.Connected {
		t.Errorf("%+v, want one answer that the front does not know, and that NATS does not count as away", s)
	}
	way.resume()
	ask("the node, when the connection goes on", n.me.String(), http.StatusNoContent)
	ask("a node that nobody knows, afterwards", gone, http.StatusGone)
}

// A timed is an answer over a connection that has a read deadline.
type timed struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (d *timed) SetReadDeadline(t time.Time) error { d.deadline = t; return nil }

// The func that says who makes a request may read a body, but not one of any length, nor for any time.
func TestBodiesOfAFront(t *testing.T) {
	n := joinNode(t, Config{deadAfter: time.Hour})
	var read int
	var w *timed
	front := testkit.Must(n.Front(func(r *http.Request) (Joining, error) {
		if d := time.Until(w.deadline); w.deadline.IsZero() || d > bodyTime {
			t.Errorf("the body has %v to arrive, want %v", d, bodyTime)
		}
		b, err := io.ReadAll(r.Body)
		read = len(b)
		return Joining{}, err
	}, rtcserver.Settings{}))
	for size, status := range map[int]int{maxBody: 503, maxBody + 1: 403} {
		w = &timed{ResponseRecorder: httptest.NewRecorder()}
		front.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/join", strings.NewReader(strings.Repeat("x", size))))
		if w.Code != status || read != maxBody {
			t.Errorf("a body of %d bytes: %d, and %d bytes are read; want %d and %d", size, w.Code, read, status, maxBody)
		}
	}
}

// A front asks the node of the room, or one that adopts it, or any other that fits, and never the same node twice.
func TestNodesThatAFrontAsks(t *testing.T) {
	nats := newNATS(t)
	c := func(name string) Config {
		return Config{NATS: nats.address(), deadAfter: time.Hour, Name: name, URL: "http://node.example/godwit/", Seats: true}
	}
	adopts := c("b")
	adopts.Adopt = func(*Room) {}
	a, b := newNode(t, c("a"), godwit.Config{}), newNode(t, adopts, godwit.Config{})
	knows(t, a, b)
	want := func(what string, n *node, j Joining) {
		t.Helper()
		if s, err := a.Fleet.join(t.Context(), j); err != nil || s.Node != n.me.String() {
			t.Errorf("%s: the seat is %+v, %v; want one at %s", what, s, err, n.Name())
		}
	}
	named := func(name string) func(Node) bool { return func(n Node) bool { return n.Name == name } }
	want("the filter says a", a, Joining{Filter: named("a")})
	want("the filter says b", b, Joining{Filter: named("b")})
	for _, n := range []*node{a, b} {
		if _, err := n.Claim(t.Context(), "room of "+n.Name()); err != nil {
			t.Fatal(err)
		}
		want("the room is there", n, Joining{Room: "room of " + n.Name()})
	}
	wait(t, "b adopts a room that nobody has", func() bool {
		s, err := a.Fleet.join(t.Context(), Joining{Room: "cave"})
		return err == nil && s.Node == b.me.String()
	})
	if n, err := a.Find(t.Context(), "cave"); err != nil || n.Name != "b" {
		t.Errorf("the room is at %+v, %v; want b", n, err)
	}
	if _, err := a.Fleet.join(t.Context(), Joining{Room: "den", Filter: named("a")}); !errors.Is(err, ErrNoNode) {
		t.Errorf("no node that fits adopts rooms: %v, want ErrNoNode", err)
	}
	if len(b.Rooms()) != 2 {
		t.Errorf("b has %d rooms, want 2", len(b.Rooms()))
	}

	// b refuses, and a does not know yet: then a takes the player.
	b.mu.Lock()
	b.nodes.self.Draining = true
	b.mu.Unlock()
	for range 4 {
		want("b drains", a, Joining{})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Fleet.join(ctx, Joining{Filter: named("b")}); err == nil {
		t.Error("there is a seat at a node that was not asked")
	}
}

// A front asks four nodes at most, each once, and none that cannot adopt the room.
func TestNodesThatDoNotAnswer(t *testing.T) {
	n := joinNode(t, Config{deadAfter: time.Hour})
	two := make(map[string]bool)
	n.mu.Lock()
	for range joinTries + 1 {
		id := newInstance().String()
		if len(two) < 2 {
			two[id] = true
		}
		n.nodes.peers[id] = &peer{Node: Node{ID: id, MaxSessions: 10}, heard: time.Now()}
	}
	n.mu.Unlock()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name  string
		ctx   context.Context
		j     Joining
		err   error
		asked uint64
	}{
		{"nobody answers", t.Context(), Joining{}, ErrNotHere, joinTries},
		{"two nodes do not answer", t.Context(), Joining{Filter: func(n Node) bool { return two[n.ID] }}, ErrNoNode, 2},
		{"no node adopts rooms", t.Context(), Joining{Room: "cave"}, ErrNoNode, 0},
		{"the player is gone", gone, Joining{}, context.Canceled, 1},
	} {
		before := n.Stats().Requests
		_, err := n.Fleet.join(c.ctx, c.j)
		ok := errors.Is(err, c.err) || c.ctx == gone && errors.Is(err, ErrNotHere) // the answer of NATS may come first
		if asked := n.Stats().Requests - before; !ok || asked > c.asked || asked == 0 && c.err == ErrNotHere {
			t.Errorf("%s: %v, and %d nodes were asked; want %v and %d", c.name, err, asked, c.err, c.asked)
		}
	}
}

// Names that are not UTF-8 have no seat: in JSON two of them would be one.
func TestNamesThatHaveNoSeat(t *testing.T) {
	n := newNode(t, Config{URL: "http://node.example/godwit/"}, testConfig)
	for _, r := range []seatRequest{{Name: "caf\xe9"}, {Name: "ada", Room: "caf\xe9"}} {
		_, err := n.seat(t.Context(), n.me.String(), r)
		wantError(t, fmt.Sprintf("%q", r.Name+r.Room), err, "UTF-8")
	}
	if _, err := n.seat(t.Context(), n.me.String(), seatRequest{Name: "café"}); err != nil {
		t.Error(err)
	}
}
