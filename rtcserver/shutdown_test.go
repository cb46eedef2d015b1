package rtcserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

func TestShutdownTellsEveryoneAndRunsEveryHandler(t *testing.T) {
	closes := make(map[uint64]CloseCode)
	inWorld(t, Config{Handler: Handler{
		Close: func(c *Conn, why *CloseError) {
			if _, twice := closes[c.ID()]; twice {
				t.Error("Close is called twice for a connection")
			}
			closes[c.ID()] = why.Code
		},
	}}, func(w *world) {
		var pages []*page
		for range 10 {
			pages = append(pages, w.open())
		}
		synctest.Wait()
		if err := w.server.Shutdown(w.t.Context()); err != nil {
			t.Error(err)
		}
		if len(closes) != len(pages) { // no Wait: the handlers have run
			t.Errorf("%d handlers had run when Shutdown returned, want %d", len(closes), len(pages))
		}
		for id, code := range closes {
			if code != CloseShutdown {
				t.Errorf("connection %d ended with %v, want CloseShutdown", id, code)
			}
		}
		for _, p := range pages {
			p.want("the page hears it", "close: closed by the server")
		}
		if err := w.newPage(client.Config{}).connect(nil); err == nil {
			t.Error("a page has connected to a server that is closed")
		}
		w.server.Shutdown(w.t.Context()) // twice does no harm
	})
}

// A connection whose page has not come, or that is in its handshake, ends with Fail like any
// other that was never open.
func TestShutdownEndsWhatIsNotOpenYet(t *testing.T) {
	fails := make(map[uint64]CloseCode)
	inWorld(t, Config{Handler: Handler{
		Fail: func(c *Conn, why *CloseError) { fails[c.ID()] = why.Code },
	}}, func(w *world) {
		w.offer(insistsOnActive)        // nobody comes
		checked := w.offer("")          // one check, and silence
		checked.check(attackerAddr, "") // the handshake runs
		synctest.Wait()
		w.server.Close()
		if len(fails) != 2 || fails[1] != CloseShutdown || fails[2] != CloseShutdown {
			t.Errorf("Fail was called for %v, want 1 and 2 with CloseShutdown", fails)
		}
	})
}

// wantRefused makes an offer, which must be refused because of the shutdown.
func (w *world) wantRefused(why string) {
	w.t.Helper()
	_, err := w.signal(netip.MustParseAddr("203.0.113.9"), browserOffer(w.t))
	if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Status != http.StatusServiceUnavailable {
		w.t.Errorf("%s: %v, want 503", why, err)
	}
	if n := w.server.Stats().Pending; n != 0 {
		w.t.Errorf("%s: %d connections wait, want 0", why, n)
	}
}

// An offer that was accepted before the shutdown, and is answered after it, is refused.
func TestShutdownBetweenAnOfferAndItsAnswer(t *testing.T) {
	var s *Server
	inWorld(t, Config{Engine: func(*Conn, *http.Request) (Engine, error) { return nil, s.Close() }}, func(w *world) {
		s = w.server
		w.wantRefused("the port is closed")
		if n := s.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left, want 0", n)
		}
	})
}

// An offer that is answered before the server's last turn does not silently end the connections of pages.
func TestALateOfferLeavesPagesTheirFarewell(t *testing.T) {
	var held chan struct{}
	var end func()
	inWorld(t, Config{
		Handler: Handler{Message: func(*Conn, Message) { <-held }},
		Engine: func(*Conn, *http.Request) (Engine, error) {
			end()
			return nil, nil
		},
	}, func(w *world) {
		held, end = make(chan struct{}), func() {}
		p := w.open()
		p.send("the handler waits")
		synctest.Wait()
		end = func() {
			go w.server.Close()
			synctest.Wait() // Close waits for the handler
		}
		w.wantRefused("the server ends")
		close(held)
		p.want("the page hears it", "close: closed by the server")
	})
}

// A server that is closed has no connection any more, so that a further Shutdown waits for nobody.
func TestNoConnectionIsLeftAfterClose(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.open()
		w.server.Close()
		if n := w.server.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left, want 0", n)
		}
		begin := time.Now()
		if err := w.server.Shutdown(w.t.Context()); err != nil || time.Since(begin) != 0 {
			t.Errorf("a further Shutdown: %v, after %v, want at once", err, time.Since(begin))
		}
	})
}

// Of two calls of Close, both wait for a handler that was not due before the loop ended.
func TestCloseTwiceAtOnceWaitsForALateHandler(t *testing.T) {
	inEngineWorld(t, Config{}, func(w *world, _ *page, p *testEngine) {
		w.server.Close()
		in, out, closed := make(chan bool), make(chan bool), make(chan bool, 2)
		returned := false
		p.told = func() {
			close(in)
			<-out
			returned = true
		}
		p.say(false, true, time.Time{})
		end := func() {
			w.server.Close()
			closed <- true
		}
		go end()
		<-in
		go end()
		for range 1000 { // the bubble does not notice who waits for a lock
			runtime.Gosched()
		}
		if len(closed) > 0 {
			t.Error("Close has returned before the handler")
		}
		close(out)
		<-closed
		<-closed
		if !returned {
			t.Error("the handler has not returned")
		}
	})
}

// Shutdown returns when the last handler has returned, also if that takes longer than the goodbye.
func TestShutdownWaitsForHandlers(t *testing.T) {
	returned := false
	inWorld(t, Config{Handler: Handler{Close: func(*Conn, *CloseError) {
		time.Sleep(2 * goodbye)
		returned = true
	}}}, func(w *world) {
		w.open()
		if err := w.server.Shutdown(w.t.Context()); err != nil || !returned {
			t.Errorf("Shutdown: %v; the handler has returned: %v", err, returned)
		}
	})
}

func TestShutdownStopsStayingWhenTheContextIsDone(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.open()
		ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if err := w.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v, want DeadlineExceeded", err)
		}
		if d := time.Since(begin); d != 10*time.Millisecond {
			t.Errorf("Shutdown took %v, want 10 ms", d)
		}
	})
}

func TestManualServerRunsInsidePoll(t *testing.T) {
	var polling atomic.Bool
	inWorld(t, Config{Manual: true, Handler: Handler{
		Message: func(c *Conn, m Message) {
			if !polling.Load() {
				t.Error("a handler ran outside Poll")
			}
			c.Send(m.Stream, m.Kind, m.Data)
		},
		Close: func(*Conn, *CloseError) {
			if !polling.Load() {
				t.Error("a handler ran outside Poll")
			}
		},
	}}, func(w *world) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			p := w.open()
			p.echoes("a polled server echoes")
			for range 100 {
				p.send("many")
			}
			for range 100 {
				p.want("as many", "3 0 many")
			}
		}()
		for over := false; !over; {
			select {
			case <-done:
				over = true
			default:
			}
			polling.Store(true)
			begin := time.Now()
			if err := w.server.Poll(16 * time.Millisecond); err != nil {
				w.t.Fatal(err)
			}
			if d := time.Since(begin); d > 16*time.Millisecond {
				t.Errorf("Poll took %v, want at most 16 ms", d)
			}
			polling.Store(false)
		}
		polling.Store(true)
		w.server.Close()
		if err := w.server.Poll(time.Second); !errors.Is(err, ErrClosed) {
			t.Errorf("Poll of a closed server: %v, want ErrClosed", err)
		}
	})
}

func TestPollIsForManualServers(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		if err := w.server.Poll(0); err == nil || errors.Is(err, ErrClosed) {
			t.Errorf("Poll: %v, want the error of the socket", err)
		}
	})
}

// A program may close the socket that it gave to Serve, or the system may.
func TestHandlersAreToldWhenTheSocketIsClosed(t *testing.T) {
	for name, manual := range map[string]bool{"looping": false, "polled": true} {
		t.Run(name, func(t *testing.T) {
			testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
				w := &world{t: t, network: network, events: make(chan string, 100)}
				pc := testkit.Listen(t, network, serverAddr)
				j := new(lineLog)
				w.serve(pc, Config{Manual: manual, Logger: slog.New(j)})
				var polling sync.WaitGroup
				if manual {
					polling.Go(func() {
						for w.server.Poll(10*time.Millisecond) == nil {
						}
					})
				}
				w.open()
				w.want("it opens", "open 1")
				pc.Close()
				w.want("then", "close 1: the server shuts down")
				polling.Wait()
				w.wantRefused("nobody could come")
				w.server.Close()
				w.wantQuiet("that was all")
				if lines, n := j.with("reading failed"), w.server.Stats().StoppedShards; len(lines) != 0 || n != 0 {
					t.Errorf("%d shards count as stopped, want 0; the log has %q", n, lines)
				}
			})
		})
	}
}

// While the server sends the end to pages, it answers no more offers, although pages may still
// send to it; it refuses offers first, not last.
func TestShutdownRefusesOffersAtOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p := w.open()
		begin, done := time.Now(), make(chan struct{})
		go func() { defer close(done); w.server.Shutdown(w.t.Context()) }()
		p.want("it hears of it", "close: closed by the server")
		if d := time.Since(begin); d != 0 {
			t.Errorf("the page gets the end after %v, want at once", d)
		}
		time.Sleep(goodbye / 2)
		w.wantRefused("it shuts down")
		<-done
		if d := time.Since(begin); d != goodbye {
			t.Errorf("Shutdown took %v, want %v", d, goodbye)
		}
	})
}

// Shutdown of a polled server waits as long, and Close runs the remaining handlers.
func TestShutdownOfAPolledServer(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(*Server, func())
		takes time.Duration
	}{
		"Shutdown":                      {func(s *Server, _ func()) { s.Shutdown(context.Background()) }, goodbye},
		"Close":                         {func(s *Server, _ func()) { s.Close() }, 0},
		"Shutdown of what is closed":    {func(s *Server, closePort func()) { closePort(); s.Shutdown(context.Background()) }, 0},
		"Shutdown when nobody is there": {func(s *Server, _ func()) { s.Close(); s.Shutdown(context.Background()) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
				closes := 0
				w := &world{t: t, network: network, events: make(chan string, 100)}
				pc := testkit.Listen(t, network, serverAddr)
				w.serve(pc, Config{Manual: true, Handler: Handler{Close: func(*Conn, *CloseError) { closes++ }}})
				opened := make(chan struct{})
				go func() { defer close(opened); w.open() }()
				for open := false; !open; {
					select {
					case <-opened:
						open = true
					default:
						w.server.Poll(time.Millisecond)
					}
				}
				begin := time.Now()
				c.end(w.server, func() { pc.Close() })
				if d := time.Since(begin); d < c.takes || d > c.takes+10*time.Millisecond || closes != 1 {
					t.Errorf("it took %v, want %v; %d were told", d, c.takes, closes)
				}
			})
		})
	}
}

// A shard keeps nothing of connections that are gone, in whatever state they were.
func TestNothingIsLeftOfThoseThatAreGone(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxHandshakes: 1, PendingTimeout: 4 * time.Second}}, func(w *world) {
		p := w.open()
		p.echoes("it is open")
		p.conn.Close()
		w.offer("") // nobody comes
		shakes, waits := w.offer(""), w.offer("")
		shakes.check(attackerAddr, "")
		waits.check(victimAddr, "")
		synctest.Wait()
		shakes.conn.Close("")
		waits.conn.Close("")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		s := w.server.shards[0]
		s.loop.Lock()
		defer s.loop.Unlock()
		if len(s.conns)+len(s.open)+len(s.byAddr)+len(s.claimants)+len(s.places.taken)+len(s.places.waiting)+len(s.places.orders[byOffer])+s.loop.State().Later+s.loop.State().Touched != 0 {
			t.Errorf("%d connections, %d open, %d addresses, %d with several claimants, places %+v", len(s.conns), len(s.open), len(s.byAddr), len(s.claimants), s.places)
		}
		if d := s.loop.State().Timer; !d.IsZero() {
			t.Errorf("the loop has the deadline %v, want none", d)
		}
		if shakes.conn.state != stateGone || shakes.conn.handshake != nil || shakes.conn.addrs != nil || waits.conn.handshake != nil {
			t.Errorf("a connection is not freed: %+v", shakes.conn)
		}
		wantNothing(t, w.server)
	})
}

// onceClosed is a socket that fails the test when it is closed or read again after Close.
type onceClosed struct {
	*netsim.Conn
	t      *testing.T
	closed atomic.Bool
}

func (c *onceClosed) Close() error {
	if c.closed.Swap(true) {
		c.t.Error("the socket is closed twice")
	}
	return c.Conn.Close()
}

func (c *onceClosed) ReadFrom(b []byte) (int, net.Addr, error) {
	if c.closed.Load() {
		c.t.Error("the socket is read after Close")
	}
	return c.Conn.ReadFrom(b)
}

func (c *onceClosed) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if c.closed.Load() {
		c.t.Error("the socket is read after Close")
	}
	return c.Conn.ReadFromUDPAddrPort(b)
}

// However often a server is closed, its socket is closed once, and not used after that.
func TestTheSocketIsClosedOnce(t *testing.T) {
	for _, manual := range []bool{false, true} {
		testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
			socket := &onceClosed{Conn: testkit.Listen(t, network, serverAddr), t: t}
			s := testkit.Must(Serve(socket, Config{Manual: manual}))
			for range 3 {
				s.Shutdown(t.Context())
			}
			if !socket.closed.Load() {
				t.Error("the socket is open")
			}
		})
	}
}
