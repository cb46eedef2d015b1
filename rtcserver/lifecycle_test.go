package rtcserver

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"os"
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

// A handler reads a message slowly while its connection and others are closed,
// sent on and made. Run it with -race.
func TestMessageIsValidUntilItsHandlerReturns(t *testing.T) {
	var messages atomic.Int64
	inWorld(t, Config{Handler: Handler{
		Message: func(c *Conn, m Message) {
			messages.Add(1)
			want := bytes.Repeat(m.Data[:1], len(m.Data))
			if !bytes.Equal(m.Data, want) {
				t.Error("two messages are mixed")
			}
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // others run
			if !bytes.Equal(m.Data, want) {
				t.Error("the message has changed while its handler ran")
			}
			if rand.IntN(4) == 0 {
				c.Send(m.Stream, m.Kind, m.Data)
			}
		},
	}}, func(w *world) {
		w.network.SetDefault(netsim.Link{Delay: time.Millisecond, Jitter: time.Millisecond})
		end := time.Now().Add(5 * time.Second)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				fill := byte(1)
				for time.Now().Before(end) {
					p := w.newPage(client.Config{})
					if p.connect(nil) != nil {
						continue // it was closed at once
					}
					for range 1 + rand.IntN(30) {
						fill++
						n := 1 + rand.IntN(client.MaxMessage)
						p.conn.Send(uint16(i), client.Binary, bytes.Repeat([]byte{fill}, n))
						if rand.IntN(5) == 0 {
							time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
						}
					}
					p.Close()
				}
			})
		}
		all.Go(func() {
			for time.Now().Before(end) {
				for c := range w.server.Conns() {
					if rand.IntN(8) == 0 {
						c.Close("at random")
					}
					c.Send(0, Text, []byte("x"))
					c.Stats()
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		all.Wait()
		if n := messages.Load(); n < 1000 {
			t.Errorf("only %d messages have arrived, want 1000 at least", n)
		}
	})
}

// Long form: 10,000 cycles.
func TestCyclesLeaveNothingBehind(t *testing.T) {
	cycles := count(200, 10_000)
	server, err := Listen("127.0.0.1:0", Config{
		Settings: unhurried(Settings{Certificate: serverCertificate, MaxPerIP: -1, MaxOffers: -1}),
		Handler:  Handler{Message: func(c *Conn, m Message) { c.Send(m.Stream, m.Kind, m.Data) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	cycle := func() { cycleOnce(t, server) }
	for range 20 {
		cycle()
	}
	before := measure(server)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range cycles / 4 {
				cycle()
			}
		})
	}
	all.Wait()
	after := measure(server)
	t.Logf("%d cycles: %+v, then %+v", cycles, before, after)
	if after.goroutines > before.goroutines || after.files > before.files {
		t.Errorf("%+v before, %+v after %d cycles, want no more goroutines and files", before, after, cycles)
	}
	if grown := after.heap - before.heap; grown > 1<<20 {
		t.Errorf("the heap has grown by %d bytes, want at most 1 MiB", grown)
	}
	wantNothing(t, server)
}

// cycleOnce connects, has one echo, and ends in one of four ways.
func cycleOnce(t *testing.T, server *Server) {
	echo := make(chan struct{}, 1)
	e, err := client.Listen("127.0.0.1:0", unhurriedPage(client.Handler{
		Message: func(*client.Conn, client.Message) { echo <- struct{}{} },
	}))
	if err != nil {
		t.Error(err)
		return
	}
	defer e.Close()
	w := &world{server: server}
	c, err := e.Connect(t.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
		return w.signal(netip.MustParseAddr("127.0.0.1"), string(offer))
	}, nil)
	if err != nil {
		t.Error(err)
		return
	}
	switch rand.IntN(4) {
	case 0: // gone before anything was said
	case 1:
		c.Send(0, client.Text, []byte("x"))
		c.Close()
	default:
		for done := false; !done; {
			c.Send(0, client.Text, []byte("x"))
			select {
			case <-echo:
				done = true
			case <-time.After(time.Second): // the datagram was lost
			}
		}
	}
}

type figures struct {
	goroutines, files int // of goroutines, ours: the runtime's come and go
	heap              int
}

// measure waits until all connections are gone and their handshakes are over.
func measure(s *Server) (f figures) {
	for s.Stats().Conns > 0 || len(testkit.Stacks(append([]string{"/client."}, inHandshake...)...)) > 0 {
		runtime.Gosched()
	}
	f.goroutines = len(testkit.Stacks(ours...))
	runtime.GC() // what a finalizer held takes one collection more
	f.heap = testkit.HeapNow()
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.files = len(files)
	}
	return f
}

// Pages on four shards, between which the kernel spreads their datagrams. Run it
// with -race.
func TestSeveralShards(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("needs Linux: one shard elsewhere")
		return
	}
	var messages atomic.Int64
	server, err := Listen("127.0.0.1:0", Config{
		Settings: unhurried(Settings{Shards: 4, Certificate: serverCertificate, MaxPerIP: -1, MaxOffers: -1}),
		Handler: Handler{Message: func(c *Conn, m Message) {
			messages.Add(1)
			c.Send(m.Stream, m.Kind, m.Data)
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			c, echo := dial(t, web.URL)
			defer c.Close()
			for range 50 {
				echoOnce(c, echo)
			}
		})
	}
	all.Wait()
	if n := messages.Load(); n < 16*50 {
		t.Errorf("%d messages have arrived, want %d at least", n, 16*50)
	}
	used := 0
	for _, sh := range server.shards {
		if sh.stats.opened > 0 {
			used++
		}
	}
	if used < 2 {
		t.Errorf("%d shards are used, want 2 at least", used)
	}
}

func dial(t *testing.T, url string) (*client.Conn, chan string) {
	t.Helper()
	echo := make(chan string, 100)
	c, err := client.Dial(t.Context(), url, unhurriedPage(client.Handler{
		Message: func(_ *client.Conn, m client.Message) { echo <- string(m.Data) },
	}))
	if err != nil {
		t.Fatal(err)
	}
	return c, echo
}

// echoOnce sends until an echo comes: on loopback, once.
func echoOnce(c *client.Conn, echo chan string) {
	for {
		c.Send(0, client.Text, []byte("x"))
		select {
		case <-echo:
			return
		case <-time.After(time.Second):
		}
	}
}

// An open connection keeps no fingerprints of its offer: only its handshake needs them.
func TestAnOpenConnectionKeepsNoFingerprints(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.open()
		w.server.registry.mu.Lock()
		defer w.server.registry.mu.Unlock()
		n := 0
		for _, c := range w.server.registry.byUfrag {
			c.shard.loop.Lock()
			if n++; c.expected != nil {
				t.Errorf("it keeps %d", len(c.expected))
			}
			c.shard.loop.Unlock()
		}
		if n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

func TestHandlersMayCallAnything(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		called := make(chan struct{}, 1)
		w.server.config.Handler.Message = func(c *Conn, m Message) {
			c.Send(m.Stream, m.Kind, m.Data)
			c.RemoteAddr()
			c.Stats()
			w.server.Stats()
			w.server.Addr()
			for o := range w.server.Conns() {
				o.Send(0, Text, []byte("to all"))
			}
			c.Close("done")
			called <- struct{}{}
		}
		p := w.open()
		p.send("x")
		<-called
		p.want("the reply left before the farewell", "3 0 x")
		p.want("and this", "0 0 to all")
		p.want("then", "close: closed by the server")
		synctest.Wait()
	})
}
