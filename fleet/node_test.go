package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// knows waits until each node knows all others.
func knows(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		n.mu.Lock()
		n.beat(time.Now(), false) // else the others hear of the server in the next second
		n.mu.Unlock()
	}
	for _, n := range nodes {
		wait(t, "the nodes know each other", func() bool {
			ready := 0
			for _, o := range n.Nodes() {
				if o.MaxSessions > 0 {
					ready++
				}
			}
			return ready == len(nodes)
		})
	}
}

// Pick returns the least busy node that fits, and knows of the players that it has sent there.
func TestPick(t *testing.T) {
	nats := newNATS(t)
	a := newNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Name: "a", Region: "eu", Version: "1"}, godwit.Config{MaxConns: 10})
	b := newNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Name: "b", Region: "us", Version: "2"}, godwit.Config{MaxConns: 4})
	knows(t, a, b)
	byRegion := func(region string) func(Node) bool { return func(n Node) bool { return n.Region == region } }
	if n, err := a.Pick(byRegion("us")); err != nil || n.Name != "b" || n.Version != "2" || n.Here {
		t.Errorf("Pick in us: %+v, %v", n, err)
	}
	if n, err := b.Pick(byRegion("us")); err != nil || n.Name != "b" || !n.Here {
		t.Errorf("Pick in us, there: %+v, %v", n, err)
	}
	if _, err := a.Pick(byRegion("asia")); !errors.Is(err, ErrNoNode) {
		t.Errorf("Pick in asia: %v, want ErrNoNode", err)
	}
	for i := range 4 {
		b.join(fmt.Sprint(i))
	}
	wait(t, "a knows that b is full", func() bool { _, err := a.Pick(byRegion("us")); return errors.Is(err, ErrNoNode) })
	b.setDraining()
	wait(t, "a knows that b drains", func() bool {
		for _, n := range a.Nodes() {
			if n.Name == "b" {
				return n.Draining
			}
		}
		return false
	})
	b.Late(80 * time.Millisecond)
	wait(t, "a knows that the ticks of b are late", func() bool {
		for _, n := range a.Nodes() {
			if n.Lateness == 80*time.Millisecond {
				return true
			}
		}
		return false
	})
}

// The load of a node is what it has least of.
func TestLoad(t *testing.T) {
	for _, c := range []struct {
		n        Node
		promised int
		want     float64
	}{
		{Node{Sessions: 5, MaxSessions: 10}, 0, 0.5}, {Node{Sessions: 5, MaxSessions: 10}, 2, 0.7},
		{Node{Sessions: 5, MaxSessions: 10, CPU: 0.75}, 0, 0.75}, {Node{MaxSessions: 10, Lateness: fullLateness}, 0, 1}, {Node{}, 1, 1},
	} {
		if l := c.n.load(c.promised); l != c.want {
			t.Errorf("the load of %+v is %v, want %v", c.n, l, c.want)
		}
	}
}

// A node that leaves is forgotten at once, and one that says nothing any more after some seconds. A front that has just
// come does not know.
func TestNodesThatAreGone(t *testing.T) {
	nats := newNATS(t)
	a := newNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Name: "a"}, godwit.Config{})
	front := testkit.Must(a.Front(nil, rtcserver.Settings{MaxOffers: -1}))
	buries := func(after time.Duration, since time.Time) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.nodes.dead, a.nodes.since = after, since
	}
	buries(time.Hour, time.Now())
	ask := func(id string) int {
		w := httptest.NewRecorder()
		front.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/join?node="+id, nil))
		return w.Code
	}
	if status := ask(newInstance().String()); status != http.StatusServiceUnavailable {
		t.Errorf("a front that has just come says %d, want 503", status)
	}
	b := newNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Name: "b"}, godwit.Config{})
	stalled := newProxy(t, nats.address())
	c := newNode(t, Config{NATS: stalled.address(), Name: "c"}, godwit.Config{})
	knows(t, a, b, c)
	for _, n := range []*node{a, b, c} {
		if status := ask(n.me.String()); status != http.StatusNoContent {
			t.Errorf("of a node that is there the front says %d, want 204", status)
		}
	}
	if status := ask("x"); status != http.StatusBadRequest {
		t.Errorf("of what is no node the front says %d, want 400", status)
	}
	buries(deadAfter, time.Now().Add(-time.Hour))
	stalled.stall()
	b.srv.Close()
	b.Close()
	wait(t, "a has forgotten b, which has left", func() bool { _, there := a.node(b.me.String()); return !there })
	wait(t, "a has forgotten c, which says nothing", func() bool { return len(a.Nodes()) == 1 })
	wait(t, "the front knows", func() bool { return ask(c.me.String()) == http.StatusGone })
	stalled.resume()
	wait(t, "c is back", func() bool { return ask(c.me.String()) == http.StatusNoContent })
}

// One token at two nodes at the same time is good once: 10,000 tries.
func TestATokenIsGoodOnce(t *testing.T) {
	nats := newNATS(t)
	a := newNode(t, Config{NATS: nats.address()}, godwit.Config{})
	b := newNode(t, Config{NATS: nats.address()}, godwit.Config{})
	const tries = 10_000
	var admitted, replayed atomic.Int64
	var next atomic.Int64
	until := time.Now().Add(time.Hour)
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			for i := next.Add(1); i <= tries; i = next.Add(1) {
				var both sync.WaitGroup
				for _, n := range []*node{a, b} {
					both.Go(func() {
						switch err := n.spend(t.Context(), fmt.Sprint("token ", i), until); {
						case err == nil:
							admitted.Add(1)
						case errors.Is(err, auth.ErrReplayed):
							replayed.Add(1)
						default:
							t.Error(err)
						}
					})
				}
				both.Wait()
			}
		})
	}
	running.Wait()
	if n, m := admitted.Load(), replayed.Load(); n != tries || m != tries {
		t.Errorf("of %d tokens %d were admitted, and %d refused", tries, n, m)
	}
}

// While NATS is away a node refuses tokens, or takes them and knows them itself; when NATS is back the others know
// them, too.
func TestTokensWhileNATSIsAway(t *testing.T) {
	nats := newNATS(t)
	way := newProxy(t, nats.address()) // NATS is at another address when it has started again
	lax := newNode(t, Config{NATS: way.address()}, godwit.Config{})
	strict := newNode(t, Config{NATS: way.address(), WhenAway: AwayRefuse}, godwit.Config{})
	until := time.Now().Add(time.Hour)
	spend := func(n *node, id string) error { return n.spend(context.Background(), id, until) }
	if err := spend(strict, "before"); err != nil {
		t.Fatal(err)
	}
	nats.stop()
	wait(t, "the nodes know that NATS is away", func() bool { return !lax.Connected() && !strict.Connected() })
	if err := spend(strict, "away"); !errors.Is(err, auth.ErrBusy) {
		t.Errorf("AwayRefuse: %v, want ErrBusy", err)
	}
	if err := spend(lax, "away"); err != nil {
		t.Errorf("AwayAdmit: %v", err)
	}
	if err := spend(lax, "away"); !errors.Is(err, auth.ErrReplayed) {
		t.Errorf("AwayAdmit, the second time: %v, want ErrReplayed", err)
	}
	if err := spend(lax, "another"); err != nil {
		t.Errorf("AwayAdmit, another token: %v", err)
	}
	nats.start()
	way.lead(nats.address())
	wait(t, "the nodes know that NATS is back", func() bool { return lax.Connected() && strict.Connected() })
	wait(t, "the node has told what it has admitted", func() bool {
		lax.mu.Lock()
		defer lax.mu.Unlock()
		return len(lax.spent.late) == 0
	})
	for _, id := range []string{"before", "away"} {
		if err := spend(strict, id); !errors.Is(err, auth.ErrReplayed) {
			t.Errorf("the token %q after NATS has started again: %v, want ErrReplayed", id, err)
		}
	}
	if err := lax.spend(t.Context(), "old", time.Now().Add(-time.Second)); !errors.Is(err, auth.ErrExpired) {
		t.Errorf("an old token: %v, want ErrExpired", err)
	}
}

// A room belongs to one node, until that gives it up or is gone.
func TestRooms(t *testing.T) {
	nats := newNATS(t)
	adopted := make(chan string, 16)
	adopting := func(name string) Config {
		return Config{NATS: nats.address(), deadAfter: time.Hour, Name: name, Adopt: func(r *Room) { adopted <- name + " " + r.Name() }}
	}
	a := newNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Name: "a"}, godwit.Config{})
	b := newNode(t, adopting("b"), godwit.Config{})
	knows(t, a, b)
	if _, err := a.Find(t.Context(), "arena"); !errors.Is(err, ErrNoRoom) {
		t.Errorf("Find before: %v, want ErrNoRoom", err)
	}
	arena, err := a.Claim(t.Context(), "arena")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.Claim(t.Context(), "arena"); again != arena || err != nil {
		t.Errorf("the second claim: %v, %v; want the same room", again, err)
	}
	if _, err := b.Claim(t.Context(), "arena"); !errors.Is(err, ErrTaken) {
		t.Errorf("the claim of another node: %v, want ErrTaken", err)
	}
	if n, err := b.Find(t.Context(), "arena"); err != nil || n.Name != "a" {
		t.Errorf("Find: %v, %v; want a", n, err)
	}
	if err := arena.Release(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-arena.Lost():
	default:
		t.Error("the room is released, and not lost")
	}
	if _, err := b.Claim(t.Context(), "arena"); err != nil {
		t.Errorf("the claim after the release: %v", err)
	}
	names := []string{"a room", "with / signs", strings.Repeat("x", 256)}
	for _, name := range names {
		if _, err := a.Claim(t.Context(), name); err != nil {
			t.Errorf("the room %q: %v", name, err)
		}
	}
	if _, err := a.Claim(t.Context(), strings.Repeat("x", 257)); err == nil {
		t.Error("a name of 257 bytes is none")
	}
	if got := a.Rooms(); len(got) != len(names) {
		t.Errorf("the rooms of a are %v", got)
	}
	b.mu.Lock()
	b.nodes.dead, b.nodes.since = deadAfter, time.Now().Add(-time.Hour)
	b.mu.Unlock()
	// a ends without giving its rooms up, as a process that is killed.
	a.nc.Close()
	for range names {
		what := <-adopted
		if !strings.HasPrefix(what, "b ") {
			t.Errorf("%q has adopted", what)
		}
	}
	if n, err := b.Find(t.Context(), "with / signs"); err != nil || !n.Here {
		t.Errorf("Find after a node is gone: %v, %v; want b", n, err)
	}
}

// A node that has not processed yet what a new one has said does not take the room of the new one.
func TestTheRoomOfANodeThatWasNotHeardYet(t *testing.T) {
	nats := newNATS(t)
	a := newNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Name: "a"}, godwit.Config{})
	b := newNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Name: "b"}, godwit.Config{})
	b.join("ada")
	b.sync()
	a.mu.Lock()
	a.nodes.dead, a.nodes.since = time.Minute, time.Now().Add(-time.Hour)
	a.mu.Unlock()
	held, release := make(chan struct{}), make(chan struct{})
	must(t, a.Ask("ada", "echo", nil, func([]byte, error) { close(held); <-release }))
	testkit.Next(t, "the goroutine that processes messages is held up", held)
	c := newNode(t, Config{NATS: nats.address(), deadAfter: time.Hour, Name: "c"}, godwit.Config{})
	room := testkit.Must(c.Claim(t.Context(), "arena"))
	claimed := make(chan error, 1)
	go func() {
		_, err := a.Claim(context.Background(), "arena")
		claimed <- err
	}()
	wait(t, "a waits for what others have said, or has claimed the room", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.nodes.waiting == 1 || len(claimed) == 1
	})
	close(release)
	if err := testkit.Next(t, "Claim returns", claimed); !errors.Is(err, ErrTaken) {
		t.Errorf("Claim: %v, want ErrTaken", err)
	}
	select {
	case <-room.Lost():
		t.Error("the new node has lost its room")
	default:
	}
}

// A node without a server, such as one that is only a front, finds and claims rooms.
func TestRoomsOfANodeWithoutAServer(t *testing.T) {
	for _, first := range []string{"Find", "Claim"} {
		n := joinNode(t, Config{})
		if first == "Find" {
			if _, err := n.Find(t.Context(), "arena"); !errors.Is(err, ErrNoRoom) {
				t.Errorf("Find before: %v, want ErrNoRoom", err)
			}
		}
		if room, err := n.Claim(t.Context(), "arena"); err != nil || room.Name() != "arena" {
			t.Errorf("Claim: %v, %v", room, err)
		}
		if found, err := n.Find(t.Context(), "arena"); err != nil || !found.Here {
			t.Errorf("Find: %+v, %v; want this node", found, err)
		}
	}
	n := joinNode(t, Config{})
	n.nc.Close()
	if _, err := n.Find(t.Context(), "arena"); err == nil || errors.Is(err, ErrNoRoom) {
		t.Errorf("Find without NATS: %v, want another error than ErrNoRoom", err)
	}
	if _, err := n.Claim(t.Context(), "arena"); err == nil {
		t.Error("Claim without NATS returns no error")
	}
}

// NATS starts again, and has the rooms in memory: each node writes its rooms again.
func TestRoomsAfterNATSHasStartedAgain(t *testing.T) {
	nats := newNATS(t)
	way := newProxy(t, nats.address()) // NATS is at another address when it has started again
	a := newNode(t, Config{NATS: way.address(), deadAfter: time.Hour, Name: "a"}, godwit.Config{})
	b := newNode(t, Config{NATS: way.address(), deadAfter: time.Hour, Name: "b"}, godwit.Config{})
	knows(t, a, b)
	room, err := a.Claim(t.Context(), "arena")
	if err != nil {
		t.Fatal(err)
	}
	nats.stop()
	wait(t, "the nodes know that NATS is away", func() bool { return !a.Connected() && !b.Connected() })
	nats.start()
	way.lead(nats.address())
	wait(t, "b finds the room again", func() bool { n, err := b.Find(t.Context(), "arena"); return err == nil && n.Name == "a" })
	select {
	case <-room.Lost():
		t.Error("the room is lost")
	default:
	}
}

// NATS starts again, and one of two nodes is back earlier. A player wants to go to a room of the other one, and the front says that there is no
// seat now: the room stays where it is. A room that nobody has is there again some seconds after NATS is back.
func TestRoomsWhenOneNodeIsBackEarlier(t *testing.T) {
	nats := newNATS(t)
	late, early := newProxy(t, nats.address()), newProxy(t, nats.address())
	adopts := func(c Config) Config {
		c.deadAfter, c.URL, c.Adopt = time.Hour, "http://"+c.Name+".example/godwit/", func(*Room) {}
		return c
	}
	a := newNode(t, adopts(Config{NATS: late.address(), Name: "a"}), godwit.Config{})
	b := newNode(t, adopts(Config{NATS: early.address(), Name: "b"}), godwit.Config{})
	knows(t, a, b)
	room := testkit.Must(a.Claim(t.Context(), "arena"))
	front := testkit.Must(b.Front(func(r *http.Request) (Joining, error) { return Joining{Room: r.Header.Get("Room")}, nil }, rtcserver.Settings{MaxOffers: -1}))
	join := func(room string) int {
		r := httptest.NewRequest(http.MethodPost, "/join", nil)
		r.Header.Set("Room", room)
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		return w.Code
	}
	nats.stop()
	wait(t, "the nodes know that NATS is away", func() bool { return !a.Connected() && !b.Connected() })
	nats.start()
	early.lead(nats.address())
	wait(t, "b is back, and has made the bucket again", func() bool {
		_, err := b.Find(t.Context(), "arena")
		return b.Stats().Reconnects > 0 && errors.Is(err, ErrNoRoom)
	})
	for _, name := range []string{"arena", "new"} {
		if r, err := b.Claim(t.Context(), name); !errors.Is(err, ErrTaken) {
			t.Errorf("the claim of %q: %v, %v; want ErrTaken", name, r, err)
		}
		if status := join(name); status != http.StatusServiceUnavailable {
			t.Errorf("the front says %d of %q, want 503", status, name)
		}
	}
	late.lead(nats.address())
	wait(t, "a is back, and b finds the room again", func() bool {
		n, err := b.Find(t.Context(), "arena")
		return a.Stats().Reconnects > 0 && err == nil && n.Name == "a"
	})
	if isLost(room) || len(b.Rooms()) != 0 {
		t.Errorf("the room is lost: %v, and b has %d rooms; want neither", isLost(room), len(b.Rooms()))
	}
	for _, n := range []*node{a, b} {
		n.passTime()
	}
	if status := join("new"); status != http.StatusOK {
		t.Errorf("the front says %d of a new room some seconds later, want 200", status)
	}
}

// The front gives players seats: each session comes with the name that the front has found out, and nobody comes in without a seat.
func TestSeats(t *testing.T) {
	nats := newNATS(t)
	n := newNode(t, Config{NATS: nats.address(), URL: "http://node.example/godwit/", Seats: true}, godwit.Config{})
	ends := time.Now().Add(time.Hour).Truncate(time.Second)
	front := testkit.Must(n.Front(func(r *http.Request) (Joining, error) {
		name := r.Header.Get("Player")
		if name == "" {
			return Joining{}, errors.New("who are you?")
		}
		return Joining{Identity: godwit.Identity{Name: name, Data: []byte{0, 255}, Expires: ends}}, nil
	}, rtcserver.Settings{}))
	join := func(player string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/join", nil)
		r.Header.Set("Player", player)
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		return w
	}
	if w := join(""); w.Code != http.StatusForbidden {
		t.Errorf("nobody: %d, want 403", w.Code)
	}
	w := join("ada")
	seat, err := auth.ParseSeat(w.Body.Bytes())
	if w.Code != http.StatusOK || err != nil || seat.URL != "http://node.example/godwit/" || seat.Node != n.me.String() {
		t.Fatalf("ada gets %d %s (%v)", w.Code, w.Body, err)
	}
	enter := func(token string) (id godwit.Identity, err error) {
		r := httptest.NewRequest(http.MethodPost, "/godwit/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return n.authorize(r)
	}
	if id, err := enter(seat.Token); err != nil || id.Name != "ada" || string(id.Data) != "\x00\xff" || !id.Expires.Equal(ends) {
		t.Errorf("the seat is that of %+v, %v", id, err)
	}
	if _, err := enter(seat.Token); !errors.Is(err, auth.ErrReplayed) {
		t.Errorf("the seat the second time: %v, want ErrReplayed", err)
	}
	if _, err := enter(""); err == nil {
		t.Error("somebody without a seat comes in")
	}
	if w := httptest.NewRecorder(); true {
		front.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, "/join", nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("DELETE: %d, want 405", w.Code)
		}
	}
	n.setDraining()
	if w := join("bob"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("when the only node drains: %d, want 503", w.Code)
	}
}

// A front lets in pages of its own origin and of those that it names, and each address has a number of requests. It finds the address
// behind a proxy.
func TestWhoReachesTheFront(t *testing.T) {
	var log testkit.Log
	f := testkit.Must(Join(t.Context(), Config{URL: "http://node.example/godwit/", Logger: log.Logger(slog.LevelWarn)}))
	t.Cleanup(func() { f.Close() })
	srv := testkit.Must(f.Listen("127.0.0.1:0", godwit.Config{Channels: table}))
	t.Cleanup(func() { srv.Close() })
	if _, err := f.Front(nil, rtcserver.Settings{Origins: []string{"game.example"}}); err == nil {
		t.Error("an origin without a scheme is accepted")
	}
	asked := 0
	who := func(*http.Request) (Joining, error) { asked++; return Joining{}, nil }
	front := testkit.Must(f.Front(who, rtcserver.Settings{
		MaxOffers: 1, Origins: []string{"https://game.example"}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}))
	ask := func(method, origin, page string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/join", nil) // of example.com, from 192.0.2.1
		r.Header.Set("X-Forwarded-For", page)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		return w
	}
	for i, c := range []struct {
		method, origin string
		want           int
		allowed        string
	}{
		{"POST", "", 200, ""},
		{"POST", "http://example.com", 200, "http://example.com"},
		{"POST", "https://game.example", 200, "https://game.example"},
		{"OPTIONS", "https://game.example", 204, "https://game.example"},
		{"POST", "https://evil.example", 403, ""},
		{"GET", "https://evil.example", 403, ""},
		{"OPTIONS", "https://evil.example", 403, ""},
	} {
		w := ask(c.method, c.origin, fmt.Sprint("203.0.113.", i))
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != c.want || got != c.allowed {
			t.Errorf("%s from %q: %d and the origin %q, want %d and %q", c.method, c.origin, w.Code, got, c.want, c.allowed)
		}
	}
	if asked != 3 {
		t.Errorf("who was called %d times, want 3", asked)
	}
	admitted, w := 0, ask("POST", "", "203.0.113.99")
	for ; w.Code == http.StatusOK; admitted++ {
		w = ask("POST", "", "203.0.113.99")
	}
	if admitted < 4 || w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"code":"rate"`) {
		t.Errorf("after %d at once: %d %v %s, want 4 at least, then 429, rate and Retry-After", admitted, w.Code, w.Header(), w.Body)
	}
	if w := ask("POST", "", "203.0.113.98"); w.Code != http.StatusOK {
		t.Errorf("another address: %d", w.Code)
	}
	if n := f.Stats().FrontRefused; n != 4 || asked != 4+admitted {
		t.Errorf("%d refused, and who was called %d times; want 4 and %d", n, asked, 4+admitted)
	}
	if s := log.String(); !strings.Contains(s, "a page of a foreign origin was refused") {
		t.Errorf("the Logger of the fleet gets nothing about the page of a foreign origin: %s", s)
	}
}

// A session that ends keeps its end when the player moves. An invite has no room for it.
func TestSeatsOfSessionsThatEnd(t *testing.T) {
	f := testkit.Must(Join(t.Context(), Config{URL: "http://node.example/godwit/", Seats: true}))
	t.Cleanup(func() { f.Close() })
	srv := testkit.Must(f.Listen("127.0.0.1:0", godwit.Config{Channels: table}))
	t.Cleanup(func() { srv.Close() })
	id := godwit.Identity{Name: "ada"}
	if seat, err := f.Seat(t.Context(), f.me.String(), id); err != nil || seat.Invite == nil || seat.Token == "" {
		t.Errorf("the seat of a session without an end: %+v, %v; want an invite and a token", seat, err)
	}
	id.Expires = time.Now().Add(time.Hour)
	if seat, err := f.Seat(t.Context(), f.me.String(), id); err != nil || seat.Invite != nil || seat.Token == "" {
		t.Errorf("the seat of a session that ends: %+v, %v; want a token only", seat, err)
	}
}
