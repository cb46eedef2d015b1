package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// nodes are servers on one network, each at the URL http://<its name>.example/.
type nodes struct {
	*game
	mu      sync.Mutex
	servers map[string]*godwit.Server
	asked   []string // requests, in order
	headers []http.Header
}

// inNodes runs a test with servers, whose configurations config returns, and which are named a, b, c...
func inNodes(t *testing.T, n int, config func(name string) godwit.Config, test func(w *nodes)) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		w := &nodes{game: &game{t: t, network: network, events: make(chan string, 10_000)}, servers: make(map[string]*godwit.Server)}
		network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		for i := range n {
			name := string(rune('a' + i))
			c := config(name)
			c.Channels = table
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}), 7777)
			w.servers[name] = testkit.Must(godwit.Serve(testkit.Listen(w.t, network, addr), c))
			defer w.servers[name].Close()
		}
		test(w)
	})
}

// RoundTrip is HTTP without a network, to the server that the host names.
func (w *nodes) RoundTrip(r *http.Request) (*http.Response, error) {
	name, _, _ := strings.Cut(r.URL.Host, ".")
	w.mu.Lock()
	w.asked = append(w.asked, name+" "+r.Header.Get("Authorization"))
	w.headers = append(w.headers, r.Header.Clone())
	s := w.servers[name]
	w.mu.Unlock()
	if s == nil {
		return nil, errors.New("no such host")
	}
	rec := httptest.NewRecorder()
	r.RemoteAddr = "198.51.100.7:1"
	s.ServeHTTP(rec, r)
	return rec.Result(), nil
}

// requests returns the first n requests, or all if n is 0.
func (w *nodes) requests(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n == 0 || n > len(w.asked) {
		n = len(w.asked)
	}
	return strings.Join(w.asked[:n], ", ")
}

// join begins a session at the server a that is renewed.
func (w *nodes) join(sc client.SessionConfig) *client.Session {
	w.t.Helper()
	return w.joinFrom(pageAddr, sc)
}

// joinFrom is join from an address.
func (w *nodes) joinFrom(addr netip.AddrPort, sc client.SessionConfig) *client.Session {
	w.t.Helper()
	e := testkit.Must(client.Serve(testkit.Listen(w.t, w.network, addr), client.Config{HTTP: &http.Client{Transport: w}}))
	w.t.Cleanup(func() { e.Close() })
	sc.Channels, sc.Renew = table, true
	if sc.Handler.Open == nil {
		sc.Handler = w.renewing().Handler
	}
	return testkit.Must(e.Join(w.t.Context(), "http://a.example/", sc))
}

// only returns the only session of a server.
func (w *nodes) only(name string) *godwit.Conn {
	w.t.Helper()
	for c := range w.servers[name].Conns() {
		return c
	}
	w.t.Fatalf("the server %s has no session", name)
	return nil
}

func urlOf(name string) auth.Seat {
	return auth.Seat{URL: "http://" + name + ".example/", Token: "to " + name, Node: name}
}

// greeting is the configuration of a server that says its name.
func greeting(name string) godwit.Config {
	c := inviting(godwit.Handler{
		Open: func(c *godwit.Conn) { c.Send(chat, []byte("this is "+name)) },
	})
	return c
}

const moved = "renewing, closed by the other end: moved"

// A server moves a session to a URL, and the next one to an invite. The client follows at once, with the
// credentials of its seat, and without those of its program.
func TestMove(t *testing.T) {
	inNodes(t, 3, greeting, func(w *nodes) {
		s := w.join(client.SessionConfig{Token: func(context.Context) (string, error) { return "mine", nil }})
		w.want("open", "chat: this is a")
		first := s.ID()
		began := time.Now()
		w.must(w.only("a").Move(urlOf("b")))
		w.want(moved, "open", "chat: this is b")
		if s.ID() == first {
			t.Error("the new session has the id of the old one")
		}
		if d := time.Since(began); d > 500*time.Millisecond {
			t.Errorf("the move takes %v, want less than 500 ms with round trips of 40 ms", d)
		}
		i := testkit.Must(w.servers["c"].Invite(auth.InviteClaims{Subject: "ada", For: time.Minute}))
		w.must(w.only("b").Move(auth.Seat{Invite: &i, URL: "http://c.example/"}))
		w.want(moved, "open", "chat: this is c")
		if id := w.only("c").Identity(); id.Name != "ada" {
			t.Errorf("the name of the player is %q, want ada", id.Name)
		}
		if got, want := w.requests(0), "a Bearer mine, b Bearer to b"; got != want {
			t.Errorf("the requests are %v, want %v", got, want)
		}
		for _, name := range []string{"a", "b"} {
			if n := w.servers[name].Len(); n != 0 {
				t.Errorf("the server %s has %d sessions, want 0", name, n)
			}
		}
		s.Close(0, "done")
		w.want("closed here: normal: done")
	})
}

// The headers of a program with credentials are for the host that the program has named.
func TestSeatsGetNoSecretsOfTheProgram(t *testing.T) {
	inNodes(t, 2, greeting, func(w *nodes) {
		h := http.Header{"Authorization": {"Basic gate"}, "Cookie": {"a=b"}, "X-Game": {"boxes"}}
		e := testkit.Must(client.Serve(testkit.Listen(w.t, w.network, pageAddr), client.Config{HTTP: &http.Client{Transport: w}, Header: h}))
		defer e.Close()
		testkit.Must(e.Join(w.t.Context(), "http://a.example/", client.SessionConfig{Channels: table, Renew: true, Handler: w.renewing().Handler}))
		w.want("open", "chat: this is a")
		w.must(w.only("a").Move(urlOf("b")))
		w.want(moved, "open", "chat: this is b")
		w.mu.Lock()
		defer w.mu.Unlock()
		at, to := w.headers[0], w.headers[1]
		if at.Get("Cookie") != "a=b" || to.Get("Cookie") != "" || to.Get("Authorization") != "Bearer to b" || to.Get("X-Game") != "boxes" {
			t.Errorf("the headers are %v and, of the seat, %v", at, to)
		}
	})
}

// A session that was moved resumes where it is, and begins where its program says when it is lost.
func TestResumeAndRenewAfterAMove(t *testing.T) {
	inNodes(t, 2, greeting, func(w *nodes) {
		s := w.join(client.SessionConfig{})
		w.want("open", "chat: this is a")
		w.must(w.only("a").Move(urlOf("b")))
		w.want(moved, "open", "chat: this is b")
		id := s.ID()
		w.network.SetDefault(netsim.Link{Loss: 1})
		w.want("interrupted")
		w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		w.want("resumed")
		if s.ID() != id || w.servers["b"].Len() != 1 {
			t.Errorf("the session %v is now %v; the server has %d", id, s.ID(), w.servers["b"].Len())
		}
		w.servers["b"].Shutdown(w.t.Context(), "update")
		w.want("renewing, closed by the other end: shutdown: update", "open", "chat: this is a")
	})
}

// The link is lost amid a move, and attempts to replace it fail: they are no attempts at the seat, which the client follows when the session is over.
func TestAttemptsAtALinkAmidAMove(t *testing.T) {
	kept := make(chan *godwit.Request, 1) // else the garbage collector rejects it
	keeping := func(name string) godwit.Config {
		c := greeting(name)
		c.Handler.Request = func(_ *godwit.Conn, r *godwit.Request) { r.Keep(); kept <- r }
		return c
	}
	inNodes(t, 2, keeping, func(w *nodes) {
		s := w.join(client.SessionConfig{})
		w.want("open", "chat: this is a")
		testkit.Must(s.Ask("wait", nil, func(session.Result) {}))
		time.Sleep(time.Second)
		w.must(w.only("a").Move(urlOf("b")))
		time.Sleep(100 * time.Millisecond) // the client has the seat, and waits for the answer
		a := w.servers["a"]
		w.mu.Lock()
		w.servers["a"] = nil
		w.mu.Unlock()
		for c := range a.RTC().Conns() {
			c.Close("cut")
		}
		w.want("interrupted")
		w.network.SetDefault(netsim.Link{Loss: 1}) // a client resumes without HTTP where it can
		time.Sleep(20 * time.Second)
		w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		w.mu.Lock()
		tries := len(w.asked)
		w.servers["a"] = a
		w.mu.Unlock()
		if tries < 3 { // with that of Join
			t.Errorf("there were %d requests, want attempts", tries)
		}
		w.want("resumed", moved, "open", "chat: this is b")
	})
}

// The other server is not there, or refuses: the client begins a session where its program does.
func TestMoveToNowhere(t *testing.T) {
	full := func(name string) godwit.Config {
		c := greeting(name)
		if name == "b" {
			c.Secret = "another"
		}
		return c
	}
	inNodes(t, 2, full, func(w *nodes) {
		w.join(client.SessionConfig{})
		w.want("open", "chat: this is a")
		expired := testkit.Must(w.servers["b"].Invite(auth.InviteClaims{For: time.Second}))
		time.Sleep(2 * time.Second)
		for i, to := range []auth.Seat{urlOf("nowhere"), urlOf("b"), {Invite: &expired}} {
			w.must(w.only("a").Move(to))
			w.want(moved, "open", "chat: this is a")
			time.Sleep(time.Minute)
			if n := w.servers["a"].Len(); n != 1 {
				t.Errorf("after move %d the server has %d sessions, want 1", i, n)
			}
		}
	})
}

// Servers that send a client in circles do not keep it busy: after some moves it begins where its program
// does, and waits longer each time.
func TestMovesInCircles(t *testing.T) {
	other := map[string]string{"a": "b", "b": "a"}
	circling := func(name string) godwit.Config {
		c := greeting(name)
		c.Handler.Open = func(c *godwit.Conn) { c.Move(urlOf(other[name])) }
		return c
	}
	inNodes(t, 2, circling, func(w *nodes) {
		s := w.join(client.SessionConfig{Handler: client.SessionHandler{Open: func(*client.Session) { w.note("open") }}})
		time.Sleep(time.Minute)
		opened := len(w.events)
		if opened < 6 || opened > 25 {
			t.Errorf("%d sessions in a minute, want 6 to 25", opened)
		}
		if got, want := w.requests(6), "a , b Bearer to b, a Bearer to a, b Bearer to b, a Bearer to a, a "; got != want {
			t.Errorf("the requests are %v, want %v", got, want)
		}
		s.Close(0, "")
		synctest.Wait()
	})
}

// Without Renew the program gets the end of its session, and where to go.
func TestMoveWithoutRenew(t *testing.T) {
	inNodes(t, 2, greeting, func(w *nodes) {
		e := testkit.Must(client.Serve(testkit.Listen(w.t, w.network, pageAddr), client.Config{HTTP: &http.Client{Transport: w}}))
		defer e.Close()
		s := testkit.Must(e.Join(w.t.Context(), "http://a.example/", client.SessionConfig{Channels: table, Handler: w.handler()}))
		w.want("open", "chat: this is a")
		if _, ok := s.Next(); ok {
			t.Error("the session is moved before it is")
		}
		w.must(w.only("a").Move(urlOf("b")))
		w.want("closed by the other end: moved")
		to, ok := s.Next()
		if !ok || to != urlOf("b") {
			t.Fatalf("the session goes on at %+v, %v", to, ok)
		}
		at := func(context.Context) (auth.Seat, error) { return to, nil }
		testkit.Must(e.Join(w.t.Context(), "", client.SessionConfig{Channels: table, Handler: w.handler(), Seat: at}))
		w.want("open", "chat: this is b")
	})
}

// Every message that either program has sent on a reliable channel arrives at the other one, once, while
// the session moves around on a network that loses packets. What Send has refused was not sent.
func TestMovesLoseNoMessage(t *testing.T) {
	type ledger struct{ sent, got map[string]int }
	up, down := ledger{map[string]int{}, map[string]int{}}, ledger{map[string]int{}, map[string]int{}}
	received := make(chan [2]string, 100_000)
	var stop atomic.Bool
	sent := make(chan [2]string, 100_000)
	config := func(name string) godwit.Config {
		c := greeting(name)
		c.Handler.Open = func(c *godwit.Conn) {
			go func() {
				for i := 0; !stop.Load(); i++ {
					text := fmt.Sprint("down ", c.ID(), " ", i)
					if c.Send(loot, []byte(text)) == nil {
						sent <- [2]string{"down", text}
					} else if c.State() >= session.StateClosing {
						return
					}
					time.Sleep(3 * time.Millisecond)
				}
			}()
		}
		c.Handler.Message = func(_ *godwit.Conn, _ godwit.ChannelID, b []byte) { received <- [2]string{"up", string(b)} }
		return c
	}
	inNodes(t, 3, config, func(w *nodes) {
		w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.05})
		s := w.join(client.SessionConfig{Handler: client.SessionHandler{
			Open:    func(*client.Session) { w.note("open") },
			Message: func(_ *client.Session, _ channel.ID, b []byte) { received <- [2]string{"down", string(b)} },
		}})
		w.want("open")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; !stop.Load(); i++ {
				text := fmt.Sprint("up ", i)
				if s.Send(loot, []byte(text)) == nil {
					sent <- [2]string{"up", text}
				}
				time.Sleep(3 * time.Millisecond)
			}
		}()
		for i := range 4 { // more in a row are circles
			time.Sleep(2 * time.Second)
			from, to := string(rune('a'+i%3)), string(rune('a'+(i+1)%3))
			w.must(w.only(from).Move(urlOf(to)))
			w.want("open")
		}
		time.Sleep(time.Second)
		stop.Store(true)
		<-done
		time.Sleep(10 * time.Second)
		s.Close(0, "")
		time.Sleep(10 * time.Second)
		for _, l := range []struct {
			from chan [2]string
			up   map[string]int
			down map[string]int
		}{{sent, up.sent, down.sent}, {received, up.got, down.got}} {
			for len(l.from) > 0 {
				m := <-l.from
				if m[0] == "up" {
					l.up[m[1]]++
				} else {
					l.down[m[1]]++
				}
			}
		}
		for name, l := range map[string]ledger{"to the servers": up, "to the client": down} {
			missing, twice := 0, 0
			for text := range l.sent {
				switch n := l.got[text]; {
				case n == 0:
					missing++
				case n > 1:
					twice++
				}
			}
			if len(l.sent) < 2000 || missing+twice > 0 || len(l.got) != len(l.sent) {
				t.Errorf("%s: %d messages, %d of them got lost and %d came twice", name, len(l.sent), missing, twice)
			}
		}
	})
}

// The server is gone, which the front of its fleet knows: the session does not wait for the grace time, and the next
// one begins at the seat that the front has for it.
func TestGone(t *testing.T) {
	inNodes(t, 2, greeting, func(w *nodes) {
		var asked atomic.Int32
		seats := []auth.Seat{urlOf("a"), urlOf("b")}
		h := w.renewing().Handler
		w.join(client.SessionConfig{
			Handler: h,
			Seat: func(context.Context) (auth.Seat, error) {
				seat := seats[0]
				seats = seats[1:]
				return seat, nil
			},
			Gone: func(_ context.Context, at auth.Seat) (bool, error) {
				if at != urlOf("a") {
					t.Errorf("it asks for %v", at)
				}
				if asked.Add(1) == 1 {
					return true, errors.New("the front does not answer")
				}
				return asked.Load() == 3, nil
			},
		})
		w.want("open", "chat: this is a")
		time.Sleep(10 * time.Second)
		w.network.SetLink(netip.MustParseAddr("192.0.2.1"), pageAddr.Addr(), netsim.Link{Loss: 1})
		w.network.SetLink(pageAddr.Addr(), netip.MustParseAddr("192.0.2.1"), netsim.Link{Loss: 1})
		w.mu.Lock()
		delete(w.servers, "a")
		w.mu.Unlock()
		w.want("interrupted")
		began := time.Now()
		w.want("renewing, closed here: timeout: the server is gone", "open", "chat: this is b")
		if d := time.Since(began); d < 2*time.Second || d > 3500*time.Millisecond {
			t.Errorf("the new session is open after %v, want 2 s to 3.5 s: the third question is answered with yes", d)
		}
		if n := asked.Load(); n != 3 {
			t.Errorf("it asks %d times, want 3", n)
		}
	})
}

// A server that drains refuses new clients, and moves the others: those that are open, one that opens its session late,
// and one that is interrupted, as soon as it is back. A session that gets no seat is closed.
func TestDrain(t *testing.T) {
	inNodes(t, 2, greeting, func(w *nodes) {
		closes := client.SessionHandler{Close: func(_ *client.Session, why session.CloseReason) { w.note("%v", why) }}
		quiet := client.SessionConfig{Handler: closes, RenewAfter: []session.CloseCode{session.CloseMoved}}
		quiet.Handler.Open = func(*client.Session) {}
		for range 10 {
			w.join(quiet)
		}
		homeless := w.join(quiet).ID()
		home := netip.MustParseAddr("192.0.2.1")
		far := netip.MustParseAddrPort("198.51.100.8:0")
		w.joinFrom(far, quiet)
		a, b := w.servers["a"], w.servers["b"]
		late := make(chan struct{})
		go func() {
			defer close(late)
			w.join(quiet)
		}()
		w.network.SetLink(far.Addr(), home, netsim.Link{Loss: 1})
		w.network.SetLink(home, far.Addr(), netsim.Link{Loss: 1})
		synctest.Wait() // the late one has the answer to its request
		if n := a.Len(); n != 12 {
			t.Fatalf("%d sessions are open, want 12 and one that is not", n)
		}
		drained := make(chan error, 1)
		go func() {
			drained <- a.Drain(w.t.Context(), "closing time", func(_ context.Context, c *godwit.Conn) (auth.Seat, error) {
				if c.ID() == homeless {
					return auth.Seat{}, errors.New("there is no place")
				}
				return urlOf("b"), nil
			})
		}()
		<-late
		w.want("closed by the other end: shutdown: closing time")
		time.Sleep(5 * time.Second)
		if n, m := a.Len(), b.Len(); n != 1 || m != 11 {
			t.Errorf("%d and %d sessions, want 1, the interrupted one, and 11", n, m)
		}
		e := testkit.Must(client.Serve(testkit.Listen(w.t, w.network, pageAddr), client.Config{HTTP: &http.Client{Transport: w}}))
		defer e.Close()
		_, err := e.Join(w.t.Context(), "http://a.example/", client.SessionConfig{Channels: table})
		if refused, ok := errors.AsType[*client.SignalError](err); !ok || refused.Code != "shutdown" {
			t.Errorf("a new client: %v, want the refusal of a server that shuts down", err)
		}
		i := testkit.Must(a.Invite(auth.InviteClaims{For: time.Minute}))
		_, err = e.Join(w.t.Context(), "", client.SessionConfig{Channels: table, Invite: always(i)})
		if refused, ok := errors.AsType[*client.SignalError](err); !ok || refused.Code != "shutdown" {
			t.Errorf("a new client with an invite: %v, want the refusal of a server that shuts down", err)
		}
		select {
		case err := <-drained:
			t.Fatalf("the server is drained (%v), and one session is interrupted", err)
		default:
		}
		w.network.SetLink(far.Addr(), home, netsim.Link{Delay: 20 * time.Millisecond})
		w.network.SetLink(home, far.Addr(), netsim.Link{Delay: 20 * time.Millisecond})
		w.must(<-drained)
		time.Sleep(5 * time.Second)
		if n, m := a.Len(), b.Len(); n != 0 || m != 12 {
			t.Errorf("%d and %d sessions, want 0 and 12", n, m)
		}
		w.must(a.Shutdown(w.t.Context(), "closing time"))
	})
}

// Drain has an end: that of its context. Then the sessions are left as they are.
func TestDrainThatTakesTooLong(t *testing.T) {
	inNodes(t, 1, greeting, func(w *nodes) {
		w.join(client.SessionConfig{})
		w.want("open", "chat: this is a")
		ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Second)
		defer cancel()
		err := w.servers["a"].Drain(ctx, "", func(ctx context.Context, _ *godwit.Conn) (auth.Seat, error) {
			<-ctx.Done()
			return auth.Seat{}, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain returns %v, want that its time is over", err)
		}
	})
}

// A session that the program moves itself, while Drain waits for a seat for it, goes where the program says.
func TestDrainOfASessionThatMoves(t *testing.T) {
	inNodes(t, 2, greeting, func(w *nodes) {
		w.join(client.SessionConfig{})
		w.want("open", "chat: this is a")
		w.must(w.servers["a"].Drain(w.t.Context(), "closing time", func(_ context.Context, c *godwit.Conn) (auth.Seat, error) {
			w.must(c.Move(urlOf("b")))
			return auth.Seat{}, errors.New("it moves already")
		}))
		w.want(moved, "open", "chat: this is b")
	})
}
