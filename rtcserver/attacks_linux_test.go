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
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// BenchmarkAttacks is what attacks from one address, or from a few, cost a server with
// the limits of the default Config, over loopback, at the rates at which they once
// stopped it: the shard's share of a processor (shard-%), that of the whole process
// without the attacker's thread, beyond what it is without an attack (server-%), and the
// echoes of 20 live pages at 60 Hz (p99-ms). Quiet is the server without an attack. For
// figures, in three minutes, on a machine that has nothing else to do:
//
//	go test -run '^$' -bench Attacks -benchtime 600x ./rtcserver
func BenchmarkAttacks(b *testing.B) {
	var quiet float64 // the process's share without the attacker's thread
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
		{"resets-beside-pieces", (*attackBench).resetsBesidePieces},
		{"resets-of-all-streams", (*attackBench).resetsOfAll},
		{"gaps-beside-openings", (*attackBench).gaps},
		{"failing-handshakes", func(s *attackBench) func() { return s.failing(newCostlyPeer(s.b, elliptic.P521()), 5) }},
		{"failing-handshakes-rsa", func(s *attackBench) func() { return s.failing(newCostlyRSAPeer(s.b), 5) }},
		{"certificates-by-the-byte", func(s *attackBench) func() { return s.byTheByte(11) }},
		{"signatures-by-the-byte", func(s *attackBench) func() { return s.byTheByte(15) }},
		{"hostile-invites", (*attackBench).invites},
	} {
		b.Run(a.name, func(b *testing.B) {
			s := startAttackBench(b)
			strike := a.begin(s)
			share := s.run(b, strike)
			if a.name == "quiet" {
				quiet = share
			}
			b.ReportMetric(share-quiet, "server-%")
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

// run lets the pages send while the attack runs, and returns the share of a processor, in percent,
// of all threads except the attacker's.
func (s *attackBench) run(b *testing.B, strike func()) float64 {
	stop := make(chan struct{})
	var attack sync.WaitGroup
	var attacker time.Duration // of its thread, which ends with it
	attack.Go(func() {
		runtime.LockOSThread()
		began := used(unix.RUSAGE_THREAD)
		defer func() { attacker = used(unix.RUSAGE_THREAD) - began }()
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
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the garbage is the attacker's
	shard, process, began := s.thread(), used(unix.RUSAGE_SELF), time.Now()
	for b.Loop() {
		<-tick.C
		for _, c := range s.pages {
			c.Send(0, client.Binary, binary.BigEndian.AppendUint64(nil, uint64(time.Since(s.load.base))))
		}
	}
	shard, took := s.thread()-shard, time.Since(began)
	close(stop)
	attack.Wait()
	process = used(unix.RUSAGE_SELF) - process - attacker
	for range 50 { // the last echoes
		if s.load.count() == b.N*len(s.pages) {
			break
		}
		<-tick.C
	}
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

// A tapped is a page's socket of which the attacker sees everything, and at last alone.
type tapped struct {
	*net.UDPConn
	tap  *wiretap
	deaf atomic.Bool
}

func (t *tapped) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := t.UDPConn.ReadFromUDPAddrPort(b)
	for err == nil && t.deaf.Load() {
		n, from, err = t.UDPConn.ReadFromUDPAddrPort(b)
	}
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
	page := &tapped{UDPConn: socket, tap: s.tap}
	e, err := client.Serve(page, unhurriedPage(client.Handler{Message: func(*client.Conn, client.Message) {
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
	page.deaf.Store(true)
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

// resetRequest is a request to reset streams (RFC 6525, section 4.1), of which no number means all.
func (h *controlledPage) resetRequest(streams ...uint16) []byte {
	v := binary.BigEndian.AppendUint16([]byte{0, 13}, uint16(16+2*len(streams)))
	v = binary.BigEndian.AppendUint32(v, h.reset)
	v = binary.BigEndian.AppendUint32(append(v, 0, 0, 0, 0), h.tsn-1)
	for _, n := range streams {
		v = binary.BigEndian.AppendUint16(v, n)
	}
	h.reset++
	return chunk(130, 0, v)
}

// resetsBesidePieces makes the server keep 507 first pieces of messages, and sends 2,000 requests a
// second to reset 30 streams.
func (s *attackBench) resetsBesidePieces() func() {
	h := s.control()
	for i := range uint32(507) {
		h.packet(data(6, h.tsn+2*i+1, uint16(101+2*(i%30)), 0, 53, []byte{1}))
	}
	streams := make([]uint16, 30)
	for i := range streams {
		streams[i] = uint16(1001 + 2*i)
	}
	return func() {
		for range 20 {
			h.packet(h.resetRequest(streams...))
		}
	}
}

// resetsOfAll has as many channels as the server stores, and sends 1,000 packets a second with 58
// requests each to reset all streams.
func (s *attackBench) resetsOfAll() func() {
	h := s.control()
	for i := range uint16(100) {
		h.packet(data(7, h.tsn, 1+2*i, 0, 53, []byte{1}))
		h.tsn++
	}
	return func() {
		for range 10 {
			var requests [][]byte
			for range 58 {
				requests = append(requests, h.resetRequest())
			}
			h.packet(requests...)
		}
	}
}

// gaps opens channels and acknowledges nothing of it, lets 700 messages come back, and sends 2,000
// acknowledgements a second with 290 gaps each in these.
func (s *attackBench) gaps() func() {
	h := s.control()
	for i := range uint16(64) {
		if i%16 == 0 {
			h.packet(h.resetRequest()) // or it is the same channel once more
		}
		h.packet(data(3, h.tsn, 1+2*(i%16), 0, 50, openUnordered("gaps")))
		h.tsn++
	}
	for range 14 {
		var chunks [][]byte
		for range 50 {
			chunks = append(chunks, data(7, h.tsn, 1, 0, 53, []byte{1}))
			h.tsn++
		}
		h.packet(chunks...)
	}
	sack := binary.BigEndian.AppendUint32(nil, h.acked)
	sack = append(binary.BigEndian.AppendUint32(sack, 1<<20), 1, 34, 0, 0) // 290 gaps
	for i := range uint16(290) {
		sack = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(sack, 120+2*i), 120+2*i)
	}
	ack := chunk(3, 0, sack)
	return func() {
		for range 20 {
			h.packet(ack)
		}
	}
}

// failing posts an offer from one address at every fifth strike, 20 a second, and makes each
// handshake fail with a signature that it does not compute. Handshakes run on other threads:
// server-% shows their cost.
func (s *attackBench) failing(p costlyPeer, every int) func() {
	c := s.from(attackers + "6")
	n := 0
	return func() {
		switch n++; n % every {
		case 0:
			s.shake(p, c)
		case 2: // the ClientHello has come meanwhile
			for _, m := range p.flight {
				c.WriteToUDPAddrPort(m, s.server.Addr())
			}
		}
	}
}

// shake posts an offer and sends a check.
func (s *attackBench) shake(p costlyPeer, c *net.UDPConn) {
	host := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	answer, err := s.server.Answer(s.b.Context(), []byte(p.offer), host)
	if err != nil {
		return
	}
	check := checkFor(testkit.Attribute(string(answer), "ice-ufrag")+":"+testkit.Attribute(p.offer, "ice-ufrag"), testkit.Attribute(string(answer), "ice-pwd"), true)
	c.WriteToUDPAddrPort(check, s.server.Addr())
}

// byTheByte keeps handshakes open, and sends 11,300 datagrams a second, 100 Mbit/s, of 45 fragments
// of one byte of a message: of Certificate as a DTLS server, or of CertificateVerify as a client.
func (s *attackBench) byTheByte(kind byte) func() {
	p := newCostlyPeer(s.b, elliptic.P256())
	seq := byte(1)
	if kind == 15 {
		seq = 4
		p.offer = strings.Replace(p.offer, "a=setup:actpass", "a=setup:active", 1)
	}
	c := s.from(attackers + "8")
	all := make([][]byte, 113)
	for i := range 45 * len(all) {
		at := 7 * i % 1000
		piece := []byte{kind, 0, 3, 232, 0, seq, 0, byte(at >> 8), byte(at), 0, 0, 1, 1}
		all[i/45] = append(all[i/45], record(22, 0, uint64(i), piece)...)
	}
	n := 0
	return func() {
		if n%100 == 0 {
			s.shake(p, c)
		}
		n++
		for _, b := range all {
			c.WriteToUDPAddrPort(b, s.server.Addr())
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
