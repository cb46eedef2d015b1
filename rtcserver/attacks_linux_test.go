package rtcserver

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// BenchmarkAttacks is what attacks from one address, or from a few, cost a server with
// the limits of the default Config, over loopback, at the rates at which they once
// stopped it: the shard's share of a processor (shard-%), that of the whole process,
// attackers and pages included, beyond what it is without them (process-%), and the
// echoes of 20 live pages at 60 Hz (p99-ms). Quiet is the server without an attack. For
// figures, in two minutes, on a machine that has nothing else to do:
//
//	go test -run '^$' -bench Attacks -benchtime 600x ./rtcserver
func BenchmarkAttacks(b *testing.B) {
	var quiet float64 // the process's share
	for _, a := range []struct {
		name  string
		begin func(*attackBench) func() // one strike, every 10 ms
	}{
		{"quiet", func(*attackBench) func() { return func() {} }},
		{"silent-offers", (*attackBench).silentOffers},
		{"fragments-of-one-byte", (*attackBench).fragments},
		{"stale-forward-tsn", (*attackBench).staleForwards},
		{"refused-openings", (*attackBench).refusedOpenings},
		{"forged-checks-and-records", (*attackBench).forged},
		{"failing-handshakes", (*attackBench).failing},
		{"hostile-invites", (*attackBench).invites},
	} {
		b.Run(a.name, func(b *testing.B) {
			s := startAttackBench(b)
			strike := a.begin(s)
			share := s.run(b, strike)
			if a.name == "quiet" {
				quiet = share
			}
			b.ReportMetric(share-quiet, "process-%")
		})
	}
}

// An attackBench is a server that runs on its own thread, 20 pages, and an attacker.
type attackBench struct {
	b      *testing.B
	server *Server
	w      *world
	tap    *wiretap
	load   *load
	pages  []*client.Conn
	cpu    chan time.Duration // asked of the server's thread
	ask    chan struct{}
	over   chan struct{}
	direct directState
}

const attackers = "127.9.0." // where attacks come from

func startAttackBench(b *testing.B) *attackBench {
	s := &attackBench{
		b: b, load: &load{base: time.Now()}, cpu: make(chan time.Duration), ask: make(chan struct{}), over: make(chan struct{}),
		tap: &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)},
	}
	var err error
	c := s.direct.config(Settings{Certificate: serverCertificate, KeyLog: s.tap})
	c.Manual, c.Logger = true, slog.New(slog.NewTextHandler(io.Discard, nil))
	c.Handler = Handler{Message: func(c *Conn, m Message) { c.Send(m.Stream, m.Kind, m.Data) }}
	s.server, err = Listen("127.0.0.1:0", c)
	if err != nil {
		b.Fatal(err)
	}
	s.w = &world{t: nil, server: s.server}
	var running sync.WaitGroup
	running.Go(s.serve)
	page := unhurriedPage(client.Handler{Message: s.load.echo})
	page.Sources = netip.MustParsePrefix("127.8.0.0/16")
	e, err := client.Listen("0.0.0.0:0", page)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		e.Close()
		close(s.over)
		running.Wait()
		s.server.Close()
	})
	for i := range 20 {
		c, err := e.Connect(b.Context(), func(ctx context.Context, offer []byte) ([]byte, error) {
			return s.server.Answer(ctx, offer, netip.AddrFrom4([4]byte{127, 8, 1, byte(i)}))
		}, nil)
		if err != nil {
			b.Fatal(err)
		}
		s.pages = append(s.pages, c)
	}
	return s
}

// serve runs the server's loop, on a thread whose CPU time it measures.
func (s *attackBench) serve() {
	runtime.LockOSThread()
	for {
		s.server.Poll(5 * time.Millisecond)
		select {
		case <-s.over:
			return
		case <-s.ask:
			s.cpu <- used(unix.RUSAGE_THREAD)
		default:
		}
	}
}

func used(who int) time.Duration {
	var u unix.Rusage
	unix.Getrusage(who, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (s *attackBench) thread() time.Duration {
	s.ask <- struct{}{}
	return <-s.cpu
}

// run lets the pages send while the attack runs, and returns the process's share of a processor
// in percent.
func (s *attackBench) run(b *testing.B, strike func()) float64 {
	stop := make(chan struct{})
	var attack sync.WaitGroup
	attack.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				strike()
			}
		}
	})
	tick := time.NewTicker(time.Second / 60)
	defer tick.Stop()
	shard, process, began := s.thread(), used(unix.RUSAGE_SELF), time.Now()
	for b.Loop() {
		<-tick.C
		for _, c := range s.pages {
			c.Send(0, client.Binary, binary.BigEndian.AppendUint64(nil, uint64(time.Since(s.load.base))))
		}
	}
	shard, process = s.thread()-shard, used(unix.RUSAGE_SELF)-process
	took := time.Since(began)
	close(stop)
	attack.Wait()
	s.load.mu.Lock()
	defer s.load.mu.Unlock()
	slices.Sort(s.load.times)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(100*shard.Seconds()/took.Seconds(), "shard-%")
	b.ReportMetric(s.load.quantile(0.5), "p50-ms")
	b.ReportMetric(s.load.quantile(0.99), "p99-ms")
	b.ReportMetric(float64(b.N*len(s.pages)-len(s.load.times)), "lost")
	return 100 * process.Seconds() / took.Seconds()
}

// from opens a socket at one of the attackers' addresses.
func (s *attackBench) from(host string) *net.UDPConn {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(host)})
	if err != nil {
		s.b.Fatal(err)
	}
	s.b.Cleanup(func() { c.Close() })
	return c
}

// silentOffers posts seven offers a second from each of three addresses, checks once
// for each, and falls silent.
func (s *attackBench) silentOffers() func() {
	sockets := []*net.UDPConn{s.from(attackers + "1"), s.from(attackers + "2"), s.from(attackers + "3")}
	text := browserOffer(s.b)
	n := 0
	return func() {
		n++
		for i, c := range sockets {
			if n%14 != 4*i {
				continue
			}
			host := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
			if answer, err := s.server.Answer(s.b.Context(), []byte(text), host); err == nil {
				check := checkFor(testkit.Attribute(string(answer), "ice-ufrag")+":"+testkit.Attribute(text, "ice-ufrag"), testkit.Attribute(string(answer), "ice-pwd"), true)
				c.WriteToUDPAddrPort(check, s.server.Addr())
			}
		}
	}
}

// A tapped is a page's socket of which the attacker sees everything.
type tapped struct {
	*net.UDPConn
	tap *wiretap
}

func (t *tapped) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := t.UDPConn.ReadFromUDPAddrPort(b)
	if err == nil {
		t.tap.look(from, false, bytes.Clone(b[:n]))
	}
	return n, from, err
}

func (t *tapped) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	t.tap.look(t.LocalAddr().(*net.UDPAddr).AddrPort(), true, bytes.Clone(b))
	return t.UDPConn.WriteToUDPAddrPort(b, to)
}

// control connects a page and takes it over.
func (s *attackBench) control() *controlledPage {
	socket := s.from(attackers + "4")
	echoed := make(chan struct{}, 1)
	e, err := client.Serve(&tapped{socket, s.tap}, unhurriedPage(client.Handler{Message: func(*client.Conn, client.Message) {
		select {
		case echoed <- struct{}{}:
		default: // of what the attacker sends
		}
	}}))
	if err != nil {
		s.b.Fatal(err)
	}
	s.b.Cleanup(func() { e.Close() })
	c, err := e.Connect(s.b.Context(), func(ctx context.Context, offer []byte) ([]byte, error) {
		return s.server.Answer(ctx, offer, netip.MustParseAddr(attackers+"4"))
	}, nil)
	if err != nil {
		s.b.Fatal(err)
	}
	h := &controlledPage{}
	h.inject = func(b []byte) { socket.WriteToUDPAddrPort(b, s.server.Addr()) }
	c.Send(3, client.Text, []byte("first")) // and nothing else is on its way when it is answered
	<-echoed
	c.Send(3, client.Text, []byte("where are we?"))
	h.takeOver(s.tap, socket.LocalAddr().(*net.UDPAddr).AddrPort())
	<-echoed
	return h
}

// fragments sends 12 Mbit/s of packets with 64 fragments of one byte each.
func (s *attackBench) fragments() func() {
	h := s.control()
	next := h.tsn + 1
	return func() {
		for range 11 {
			var chunks [][]byte
			for range 55 { // what fits
				chunks = append(chunks, data(0, next, 1, 1, 53, []byte{1}))
				next++
			}
			if h.packet(chunks...); next-h.tsn > 3000 {
				h.packet(data(7, h.tsn, 3, 0, 53, []byte{1})) // go on from here
				h.tsn, next = next, next+1
			}
		}
	}
}

// staleForwards sends 2,000 FORWARD-TSNs a second that change nothing.
func (s *attackBench) staleForwards() func() {
	h := s.control()
	for i := range uint32(205) { // gaps, which an acknowledgement has to tell of
		h.packet(data(7, h.tsn+2*i+1, 3, 0, 53, []byte{1}))
	}
	stale := chunk(192, 0, binary.BigEndian.AppendUint32(nil, h.tsn-1))
	return func() {
		for range 20 {
			h.packet(stale)
		}
	}
}

// refusedOpenings sends 200 packets a second of openings that are refused.
func (s *attackBench) refusedOpenings() func() {
	h := s.control()
	open := []byte{3, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 'n', 'a', 'm', 'e'} // ordered and reliable
	return func() {
		for range 2 {
			var chunks [][]byte
			for i := range uint32(30) {
				chunks = append(chunks, data(3, h.tsn+i, uint16(1+2*i), 0, 50, open))
			}
			h.packet(chunks...)
			h.tsn += 30
		}
	}
}

// forged sends 1,000 checks with a wrong password and 1,000 plaintext records a second.
func (s *attackBench) forged() func() {
	c := s.from(attackers + "5")
	ufrag := s.w.liveUfrag()
	check := checkFor(ufrag+":page", "wrong password of whoever", true)
	hello := record(22, 0, 0, make([]byte, 300))
	return func() {
		for range 10 {
			c.WriteToUDPAddrPort(check, s.server.Addr())
			c.WriteToUDPAddrPort(hello, s.server.Addr())
		}
	}
}

// failing posts 20 offers a second from one address, and makes each handshake fail with a P-521
// signature that it does not compute. Handshakes run on other threads: process-% shows their
// cost.
func (s *attackBench) failing() func() {
	p := newCostlyPeer(s.b, elliptic.P521())
	c := s.from(attackers + "6")
	n := 0
	return func() {
		n++
		switch n % 5 {
		case 0:
			answer, err := s.server.Answer(s.b.Context(), []byte(p.offer), netip.MustParseAddr(attackers+"6"))
			if err == nil {
				check := checkFor(testkit.Attribute(string(answer), "ice-ufrag")+":"+testkit.Attribute(p.offer, "ice-ufrag"), testkit.Attribute(string(answer), "ice-pwd"), true)
				c.WriteToUDPAddrPort(check, s.server.Addr())
			}
		case 2: // the ClientHello has come meanwhile
			for _, m := range p.flight {
				c.WriteToUDPAddrPort(m, s.server.Addr())
			}
		}
	}
}

// invites sends 50,000 hostile checks a second with fragments that need no offer.
func (s *attackBench) invites() func() {
	c := s.from(attackers + "7")
	all := fragments(&s.direct, 50)
	n := 0
	return func() {
		for range 500 {
			c.WriteToUDPAddrPort(all[n%len(all)], s.server.Addr())
			n++
		}
	}
}
