package rtcserver

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/netsim"
)

// A repeatingSocket is a socket in memory. When it is cut off from its network, it repeats the
// datagrams of pages as fast as they are read, and drops what is written.
type repeatingSocket struct {
	*netsim.Conn
	cut    bool
	frames []frame
	at     int
}

type frame struct {
	from netip.AddrPort
	b    []byte
}

func (r *repeatingSocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if !r.cut {
		return r.Conn.ReadFromUDPAddrPort(b)
	}
	if r.at == len(r.frames) {
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	}
	f := &r.frames[r.at]
	r.at++
	return copy(b, f.b), f.from, nil
}

func (r *repeatingSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if r.cut {
		return len(b), nil
	}
	return r.Conn.WriteToUDPAddrPort(b, to)
}

func (r *repeatingSocket) SetReadDeadline(at time.Time) error {
	if r.cut {
		return nil
	}
	return r.Conn.SetReadDeadline(at)
}

func (r *repeatingSocket) Queued() int {
	if !r.cut {
		return r.Conn.Queued()
	}
	return min(len(r.frames)-r.at, batchLen)
}

// A benchServer is an echo server of several shards, and pages that have sent n
// messages to each of them.
type benchServer struct {
	server  *Server
	sockets []*repeatingSocket
}

func newBenchServer(b *testing.B, shards, pages, n int) *benchServer {
	b.Helper()
	network := netsim.New(1)
	s := &benchServer{}
	var sockets []*udpio.Conn
	for i := range shards {
		pc := testkit.Listen(b, network, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 7777))
		r := &repeatingSocket{Conn: pc}
		s.sockets = append(s.sockets, r)
		sockets = append(sockets, udpio.New(r))
	}
	c := Config{Settings: unhurried(Settings{MaxPerIP: -1, MaxOffers: -1}), Handler: Handler{
		Message: func(c *Conn, m Message) { c.Send(m.Stream, m.Kind, m.Data) },
	}}
	if err := c.setDefaults(); err != nil {
		b.Fatal(err)
	}
	c.Manual, c.Shards = true, shards
	s.server = start(sockets, c)
	// The shards run until the pages are connected.
	var running sync.WaitGroup
	stop := make(chan struct{})
	for _, sh := range s.server.shards {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					sh.loop.Turn(time.Now().Add(time.Millisecond))
				}
			}
		})
	}
	var all [][]*client.Conn
	for i := range shards {
		var conns []*client.Conn
		for j := range pages {
			conns = append(conns, s.connect(b, network, i, j))
		}
		all = append(all, conns)
	}
	for s.server.Stats().Opened < uint64(shards*pages) { // with SNAP the pages are faster
		runtime.Gosched()
	}
	close(stop)
	running.Wait()
	for i := range s.sockets {
		s.record(b, network, i, all[i], n)
	}
	return s
}

// connect makes page j of shard i.
func (s *benchServer) connect(b *testing.B, network *netsim.Network, i, j int) *client.Conn {
	pc := testkit.Listen(b, network, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(j >> 8), byte(j)}), 40000))
	e, err := client.Serve(pc, unhurriedPage(client.Handler{}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	conn, err := e.Connect(b.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(offer)))
		r.Header.Set("Accept", "application/sdp")
		w := testkit.Serve(s.server, r)
		return []byte(strings.ReplaceAll(w.Body.String(), "192.0.2.1 ", fmt.Sprintf("192.0.2.%d ", i+1))), nil
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return conn
}

// record puts n messages of the pages of shard i on its socket.
func (s *benchServer) record(b *testing.B, network *netsim.Network, i int, conns []*client.Conn, n int) {
	r := s.sockets[i]
	to := r.Conn.PublicAddr()
	network.SetTap(func(p *netsim.Packet) bool {
		if p.To == to {
			r.frames = append(r.frames, frame{p.From, append([]byte(nil), p.Payload...)})
		}
		return false
	})
	payload := make([]byte, 200)
	for j := range n {
		if err := conns[j%len(conns)].Send(0, client.Binary, payload); err != nil {
			b.Fatal(err)
		}
	}
	network.SetTap(nil)
	r.cut = true
}

// One echo through the whole of a shard, except the system calls: datagram in,
// checks, decryption, association, handler, and all of it back.
func BenchmarkShardEcho(b *testing.B) {
	for _, pages := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("%dpages", pages), func(b *testing.B) {
			s := newBenchServer(b, 1, pages, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for r := s.sockets[0]; r.at < len(r.frames); {
				s.server.shards[0].loop.Turn(time.Time{})
			}
			b.StopTimer()
			if got := s.server.Stats().MessagesOut; got < uint64(b.N) {
				b.Fatalf("%d of %d echoes are sent", got, b.N)
			}
		})
	}
}

// One message to each of many pages, except the system calls.
func BenchmarkFanout(b *testing.B) {
	for _, pages := range []int{1, 64, 2000} {
		b.Run(fmt.Sprintf("%dpages", pages), func(b *testing.B) {
			s := newBenchServer(b, 1, pages, 0)
			payload := make([]byte, 200)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				for c := range s.server.Conns() {
					if err := c.Send(0, Binary, payload); err != nil {
						b.Fatal(err)
					}
					if n++; n == b.N {
						break
					}
				}
			}
		})
	}
}

// One message to 2,000 pages an iteration, except the system calls: by Broadcast, and
// by a loop over the connections.
func BenchmarkBroadcast(b *testing.B) {
	const pages = 2000
	payload := make([]byte, 200)
	for _, way := range []struct {
		name string
		send func(s *Server)
	}{
		{"broadcast", func(s *Server) { s.Broadcast(0, Binary, payload) }},
		{"loop", func(s *Server) {
			for c := range s.Conns() {
				c.Send(0, Binary, payload)
			}
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			s := newBenchServer(b, 1, pages, 0)
			before := s.server.Stats().MessagesOut
			for b.Loop() {
				way.send(s.server)
			}
			// On a busy machine a page may have been silent for too long: it gets nothing.
			if n := s.server.Stats().MessagesOut - before; n < uint64(b.N)*pages*9/10 {
				b.Fatalf("%d messages are sent in %d iterations, want %d", n, b.N, uint64(b.N)*pages)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/pages, "ns/message")
		})
	}
}

// BenchmarkShards measures the echoes per second of one shard and of two, each on its own
// thread.
func BenchmarkShards(b *testing.B) {
	for _, shards := range []int{1, 2} {
		b.Run(fmt.Sprint(shards), func(b *testing.B) {
			s := newBenchServer(b, shards, 64, b.N)
			b.ResetTimer()
			var running sync.WaitGroup
			for i, sh := range s.server.shards {
				running.Go(func() {
					for r := s.sockets[i]; r.at < len(r.frames); {
						sh.loop.Turn(time.Time{})
					}
				})
			}
			running.Wait()
			b.StopTimer()
			b.ReportMetric(float64(shards*b.N)/b.Elapsed().Seconds(), "echoes/s")
		})
	}
}
