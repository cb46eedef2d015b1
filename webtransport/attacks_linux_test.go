package webtransport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// BenchmarkAttacks is what floods of QUIC cost a server with WebTransport and the limits of the
// default Config, over loopback, as rtcserver.BenchmarkAttacks measures those of WebRTC: the echoes
// of 20 live pages over WebRTC at 60 Hz (p50-ms, p99-ms), the share of a processor of the whole
// process, strangers and pages included, beyond what it is without an attack (process-%), and how
// many bytes the strangers get for each byte that they send (times). Quiet is the server without an
// attack. For figures, in a minute, in the directory webtransport, on a machine that has nothing else
// to do:
//
//	go test -run '^$' -bench Attacks -benchtime 600x .
func BenchmarkAttacks(b *testing.B) {
	var quiet float64 // the process's share
	for _, a := range []struct {
		name   string
		packet func(b *testing.B) func() []byte
		each   int // packets every 10 ms
	}{
		{"quiet", nil, 0},
		{"unknown-versions", always(longHeader(0xc0, 0x1a2a3a4a, 1200)), 100},
		{"version-negotiation", always(longHeader(0xc0, 0, 1200)), 100},
		{"connections-that-do-not-exist", always(append([]byte{0x40}, make([]byte, 1100)...)), 100},
		{"initials", initials, 20},
	} {
		b.Run(a.name, func(b *testing.B) {
			s := startAttackBench(b)
			strike := func() {}
			if a.packet != nil {
				strike = s.flood(a.packet(b), a.each)
			}
			share := s.run(b, strike)
			if a.name == "quiet" {
				quiet = share
			}
			b.ReportMetric(share-quiet, "process-%")
		})
	}
}

func always(packet []byte) func(*testing.B) func() []byte {
	return func(*testing.B) func() []byte { return func() []byte { return packet } }
}

// initials returns the first packets of clients of QUIC, of which each begins another connection.
func initials(b *testing.B) func() []byte {
	var all [][]byte
	tc := tls13.Clone()
	tc.CurvePreferences = []tls.CurveID{tls.X25519} // so that the ClientHello fits one packet
	for range 2000 {
		sink := testkit.Must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			quic.DialAddr(ctx, sink.LocalAddr().String(), tc, &quic.Config{EnableDatagrams: true})
		}()
		packet := make([]byte, 1500)
		n := testkit.Must(sink.Read(packet))
		cancel()
		<-ended
		sink.Close()
		all = append(all, packet[:n])
	}
	next := 0
	return func() []byte {
		next++
		return all[next%len(all)]
	}
}

// An attackBench is a server with WebTransport, 20 pages over WebRTC, and the sockets of strangers.
type attackBench struct {
	b       *testing.B
	game    *godwit.Server
	wt      *Server
	pages   []*client.Session
	base    time.Time
	in, out atomic.Int64 // bytes from strangers, and to them

	mu    sync.Mutex // guards times
	times []time.Duration
}

// RoundTrip is HTTP without a network, from an address for each page.
func (s *attackBench) RoundTrip(r *http.Request) (*http.Response, error) {
	r.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 8, 1, byte(len(s.pages))}), 1).String()
	return testkit.Serve(s.game, r).Result(), nil
}

func startAttackBench(b *testing.B) *attackBench {
	s := &attackBench{b: b, base: time.Now()}
	echo := channel.Channels{{Name: "echo"}}
	s.game = testkit.Must(godwit.Listen("127.0.0.1:0", godwit.Config{
		Channels: echo, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Handler: godwit.Handler{Message: func(c *godwit.Conn, ch godwit.ChannelID, m []byte) { c.Send(ch, m) }},
	}))
	s.wt = testkit.Must(Serve(s.game, Config{}))
	e := testkit.Must(client.Listen("0.0.0.0:0", client.Config{
		Sources: netip.MustParsePrefix("127.8.0.0/16"), HTTP: &http.Client{Transport: s},
		AnswerTimeout: testkit.Patience, HandshakeTimeout: testkit.Patience,
	}))
	b.Cleanup(func() {
		e.Close()
		s.game.Close()
	})
	for range 20 {
		s.pages = append(s.pages, testkit.Must(e.Join(b.Context(), "http://game.example/godwit/", client.SessionConfig{
			Channels: echo, Links: []string{session.LinkWebRTC},
			Handler: client.SessionHandler{Message: func(_ *client.Session, _ channel.ID, m []byte) {
				took := time.Since(s.base) - time.Duration(binary.BigEndian.Uint64(m))
				s.mu.Lock()
				defer s.mu.Unlock()
				s.times = append(s.times, took)
			}},
		})))
	}
	return s
}

// flood returns a func that sends packets of strangers: of 64 hosts, from eight ports of each, in
// turn.
func (s *attackBench) flood(packet func() []byte, each int) func() {
	var sockets []*net.UDPConn
	for i := range 512 {
		c := testkit.Must(net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 9, 0, byte(i%64))}, net.UDPAddrFromAddrPort(s.game.RTC().Addr())))
		s.b.Cleanup(func() { c.Close() })
		sockets = append(sockets, c)
		go func() {
			for b := make([]byte, 2000); ; {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				s.out.Add(int64(n))
			}
		}()
	}
	next := 0
	return func() {
		for range each {
			next++
			n, _ := sockets[next%len(sockets)].Write(packet())
			s.in.Add(int64(n))
		}
	}
}

// run lets the pages send while the attack runs, and returns the process's share of a processor
// in percent.
func (s *attackBench) run(b *testing.B, strike func()) float64 {
	var attack sync.WaitGroup
	stop := make(chan struct{})
	attack.Go(func() {
		for tick := time.NewTicker(10 * time.Millisecond); ; strike() {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	cpu := func() float64 {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	}
	before, began := cpu(), time.Now()
	tick := time.NewTicker(time.Second / 60)
	for b.Loop() {
		<-tick.C
		for _, p := range s.pages {
			p.Send(1, binary.BigEndian.AppendUint64(nil, uint64(time.Since(s.base))))
		}
	}
	share := 100 * (cpu() - before) / time.Since(began).Seconds()
	close(stop)
	attack.Wait()
	time.Sleep(100 * time.Millisecond) // what is on its way arrives
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.times)
	for name, q := range map[string]float64{"p50-ms": 0.5, "p99-ms": 0.99} {
		b.ReportMetric(s.times[int(q*float64(len(s.times)-1))].Seconds()*1000, name)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(b.N*len(s.pages)-len(s.times)), "lost")
	if in := s.in.Load(); in > 0 {
		b.ReportMetric(float64(s.out.Load())/float64(in), "times")
	}
	return share
}
