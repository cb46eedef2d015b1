package udpio

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An answer is sent from the address that was asked. All addresses of 127.0.0.0/8 are this
// machine's.
func TestAnswerLeavesFromTheAddressAsked(t *testing.T) {
	for _, test := range []struct{ name, server, client, asked string }{
		{"IPv4", "0.0.0.0:0", "127.0.0.1:0", "127.0.0.2"},
		{"IPv4 on a dual-stack socket", ":0", "127.0.0.1:0", "127.0.0.3"},
		{"IPv6", ":0", "[::1]:0", "::1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			needIPv6(t, test.server, test.client)
			server, client := listen(t, test.server), listen(t, test.client)
			write(t, client, to(at(test.asked, server), 1)...)
			asked := readAll(t, server, 1)
			if want := netip.MustParseAddr(test.asked); asked[0].Local != want {
				t.Fatalf("Local = %v, want %v", asked[0].Local, want)
			}
			write(t, server, asked...)
			if got, want := readAll(t, client, 1)[0].Remote, at(test.asked, server); got != want {
				t.Fatalf("the answer came from %v, want %v", got, want)
			}

			asked[0].Local = netip.Addr{}
			write(t, server, asked...)
			if got := readAll(t, client, 1)[0].Remote.Port(); got != server.LocalAddr().Port() {
				t.Fatalf("without Local the answer came from port %d, want %d", got, server.LocalAddr().Port())
			}
		})
	}
}

// A socket that is bound to one address has no control messages, in either direction.
func TestABoundSocketHasOneAddress(t *testing.T) {
	server, client := listen(t, "127.0.0.4:0"), listen(t, "127.0.0.1:0")
	write(t, client, to(server.LocalAddr(), 1)...)
	asked := readAll(t, server, 1)
	if got, want := asked[0].Local, netip.MustParseAddr("127.0.0.4"); got != want {
		t.Fatalf("Local = %v, want %v", got, want)
	}
	asked[0].Local = netip.MustParseAddr("127.0.0.5")
	write(t, server, asked...)
	if got := readAll(t, client, 1)[0].Remote; got != server.LocalAddr() {
		t.Errorf("the answer came from %v, want %v", got, server.LocalAddr())
	}
}

func TestLocalOfAnotherFamilyIsTheKernelsChoice(t *testing.T) {
	server, client := listen(t, ":0"), listen(t, "127.0.0.1:0")
	write(t, server, Datagram{Remote: client.LocalAddr(), Local: netip.IPv6Loopback(), B: []byte("x")})
	readAll(t, client, 1)
}

// A loop whose deadline is always in the past still reads the datagrams that have arrived.
func TestDeadlineTakesWhatIsThere(t *testing.T) {
	server, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	out := to(server.LocalAddr(), 5)
	write(t, client, out...)
	server.SetReadDeadline(time.Unix(1, 0))
	ds := buffers(10, 100)
	n, err := server.ReadBatch(ds)
	if err != nil {
		t.Fatal(err)
	}
	wantPayloads(t, ds[:n], out)
	if _, err := server.ReadBatch(ds); err != os.ErrDeadlineExceeded {
		t.Fatalf("then: %v, want the deadline", err)
	}
}

func TestOneBadDatagramDoesNotStopTheRest(t *testing.T) {
	server, client := listen(t, "127.0.0.1:0"), listen(t, "0.0.0.0:0")
	good := to(server.LocalAddr(), 3)
	n, err := client.WriteBatch([]Datagram{
		good[0],
		{B: []byte("to no address")},
		good[1],
		{Remote: netip.MustParseAddrPort("[::1]:9"), B: []byte("to another family")},
		{Remote: server.LocalAddr(), B: make([]byte, 70_000)}, // EMSGSIZE
		{Remote: server.LocalAddr(), Local: netip.MustParseAddr("203.0.113.1"), B: []byte("from an address that is not ours")},
		{Remote: netip.MustParseAddrPort("127.0.0.1:0"), B: []byte("to no port")},
		good[2],
	})
	if n != 3 || err != nil {
		t.Fatalf("WriteBatch = %d, %v, want 3", n, err)
	}
	wantPayloads(t, readAll(t, server, 3), good)
	s := client.Stats()
	if s.Sent != 3 || s.SendTooLarge != 1 || s.SendFailed+s.SendUnreachable != 4 || s.SendFull != 0 {
		t.Errorf("%+v, want 3 sent, 1 too large, 4 failed, 0 full", s)
	}
}

func TestNobodyAtThePort(t *testing.T) {
	server, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	nobody := listen(t, "127.0.0.1:0")
	nobody.Close()
	good := to(server.LocalAddr(), 2)
	write(t, client, good[0], Datagram{Remote: nobody.LocalAddr(), B: []byte("refused")}, good[1])
	wantPayloads(t, readAll(t, server, 2), good)
}

// shortQueue returns one of a pair of Unix sockets, whose other end reads nothing. Its queue is
// short. With UDP on loopback the queue of the sender never gets full.
func shortQueue(t *testing.T) syscall.RawConn {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	out, in := os.NewFile(uintptr(fds[0]), "out"), os.NewFile(uintptr(fds[1]), "in")
	t.Cleanup(func() { out.Close(); in.Close() })
	raw, err := out.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestFullSendBuffer(t *testing.T) {
	raw := shortQueue(t)
	var c Conn
	m := newMmsg(raw, false, netip.Addr{}, &c.counters)
	for i := range m.w.hdrs {
		m.w.hdrs[i].Hdr.Name = nil
		m.w.setPayload(i, []byte("x"))
	}
	for range 1000 { // the system's limit is about 10
		m.w.n = maxBatch
		if err := raw.Write(m.sendFunc); err != nil { // and not a wait that never ends
			t.Fatal(err)
		}
		if m.w.full {
			break
		}
	}
	if n := c.Stats().SendFull; !m.w.full || n != uint64(maxBatch-m.w.done) {
		t.Errorf("%d of %d sent, SendFull = %d, want the rest", m.w.done, maxBatch, n)
	}
}

func TestCausesOfSendDrops(t *testing.T) {
	for _, test := range []struct {
		errno unix.Errno
		full  bool
		want  Stats
	}{
		{unix.EAGAIN, true, Stats{SendFull: 1}},
		{unix.ENOBUFS, true, Stats{SendFull: 1}},
		{unix.EMSGSIZE, false, Stats{SendTooLarge: 1}},
		{unix.ECONNREFUSED, false, Stats{SendUnreachable: 1}},
		{unix.ENETUNREACH, false, Stats{SendUnreachable: 1}},
		{unix.EHOSTUNREACH, false, Stats{SendUnreachable: 1}},
		{unix.EPERM, false, Stats{SendDenied: 1}},
		{unix.EACCES, false, Stats{SendDenied: 1}},
		{unix.EINVAL, false, Stats{SendFailed: 1}},
	} {
		var c Conn
		if full := c.counters.drop(test.errno); full != test.full || c.Stats() != test.want {
			t.Errorf("%v: full is %v, want %v; %+v, want %+v", test.errno, full, test.full, c.Stats(), test.want)
		}
	}
}

// A datagram that does not fit the receive buffer is dropped by the kernel, and counted when
// the next one arrives.
func TestKernelDrops(t *testing.T) {
	server := listenN(t, "127.0.0.1:0", Config{ReadBuffer: 8 << 10})[0]
	client := listen(t, "127.0.0.1:0")
	const sent = 1000
	big := Datagram{Remote: server.LocalAddr(), B: make([]byte, 1000)}
	for range sent {
		write(t, client, big)
	}
	server.SetReadDeadline(time.Unix(1, 0))
	ds, received := buffers(64, 2000), 0
	for {
		n, err := server.ReadBatch(ds)
		if err == os.ErrDeadlineExceeded {
			break
		}
		received += n
	}
	write(t, client, big)
	received += len(readAll(t, server, 1))
	if s := server.Stats(); s.KernelDrops == 0 || s.KernelDrops != sent+1-uint64(received) {
		t.Errorf("%d of %d received, KernelDrops = %d, want the rest", received, sent+1, s.KernelDrops)
	}
}

func TestBufferSizesAreReadBack(t *testing.T) {
	c := listenN(t, "127.0.0.1:0", Config{ReadBuffer: 64 << 10, WriteBuffer: 32 << 10})[0]
	if s := c.Stats(); s.ReadBuffer != 128<<10 || s.WriteBuffer != 64<<10 {
		t.Errorf("buffers of %d and %d, want twice 64 and 32 KiB", s.ReadBuffer, s.WriteBuffer)
	}
	if s := listenN(t, "127.0.0.1:0", Config{ReadBuffer: -1, WriteBuffer: -1})[0].Stats(); s.ReadBuffer <= 0 || s.WriteBuffer <= 0 {
		t.Errorf("the system's buffers have %d and %d bytes, want more than 0", s.ReadBuffer, s.WriteBuffer)
	}
}

// A datagram that the interface cannot take whole is dropped, not fragmented.
func TestDatagramsAreNotFragmented(t *testing.T) {
	const more = 65_500 // with its headers more than the loopback's 65,536
	needIPv6(t, "[::1]:0")
	server, client := listen(t, "[::1]:0"), listen(t, "[::1]:0")
	client.WriteBatch([]Datagram{{Remote: server.LocalAddr(), B: make([]byte, more)}})
	if s := client.Stats(); s.Sent != 0 || s.SendTooLarge != 1 {
		t.Errorf("%d sent, want 0; %d too large, want 1", s.Sent, s.SendTooLarge)
	}
}

func TestSeveralSocketsShareAPort(t *testing.T) {
	conns := listenN(t, "127.0.0.1:0", Config{Sockets: 4})
	port := conns[0].LocalAddr()
	for _, c := range conns {
		if c.LocalAddr() != port || port.Port() == 0 {
			t.Fatalf("sockets at %v and %v, want the same port", port, c.LocalAddr())
		}
		c.SetReadDeadline(time.Unix(1, 0))
	}
	const clients = 64
	for range clients {
		write(t, listen(t, "127.0.0.1:0"), to(port, 1)...)
	}
	total, busy := 0, 0
	for _, c := range conns {
		n, _ := c.ReadBatch(buffers(clients, 100))
		total += n
		if n > 0 {
			busy++
		}
	}
	if total != clients || busy < 2 {
		t.Errorf("%d sockets got %d datagrams, want %d on several", busy, total, clients)
	}
}

// A second server on the same port gets an error, though SO_REUSEPORT would allow it.
func TestSecondServerIsAnError(t *testing.T) {
	for _, first := range []int{1, 2} {
		for _, second := range []int{1, 2} {
			addr := listenN(t, "127.0.0.1:0", Config{Sockets: first})[0].LocalAddr().String()
			if _, err := Listen(addr, Config{Sockets: second}); err == nil {
				t.Errorf("a server of %d sockets took the port of one of %d", second, first)
			}
		}
	}
}

func TestBatchesDoNotAllocate(t *testing.T) {
	for _, test := range []struct{ name, server, client, host string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
		{"IPv4 on dual-stack sockets", ":0", ":0", "127.0.0.1"},
		{"IPv6", ":0", ":0", "::1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			needIPv6(t, test.host)
			server, client := listen(t, test.server), listen(t, test.client)
			out := to(at(test.host, server), 8)
			for i := range out {
				out[i].Local = netip.MustParseAddr(test.host)
			}
			ds := buffers(8, 100)
			if n := testing.AllocsPerRun(100, func() {
				write(t, client, out...)
				for left := len(out); left > 0; {
					n, err := server.ReadBatch(ds[:left])
					if err != nil {
						t.Fatal(err)
					}
					left -= n
				}
			}); n != 0 {
				t.Errorf("%v allocations for a batch, want 0", n)
			}

			server.SetReadDeadline(time.Unix(1, 0))
			if n := testing.AllocsPerRun(100, func() { server.ReadBatch(ds) }); n != 0 {
				t.Errorf("%v allocations for a read that ends at its deadline, want 0", n)
			}
		})
	}
}

func benchmark(b *testing.B, batch int) {
	server, client := listen(b, "127.0.0.1:0"), listen(b, "127.0.0.1:0")
	server.SetReadDeadline(time.Time{})
	payload := make([]byte, 200)
	out := to(server.LocalAddr(), batch)
	for i := range out {
		out[i].B = payload
	}
	ds := buffers(batch, 2048)
	b.ReportAllocs()
	for b.Loop() {
		client.WriteBatch(out)
		for left := batch; left > 0; {
			n, err := server.ReadBatch(ds[:left])
			if err != nil {
				b.Fatal(err)
			}
			left -= n
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/datagram")
}

// The three send and receive 200 bytes over loopback.
func BenchmarkBatch(b *testing.B) {
	b.Run("1datagram", func(b *testing.B) { benchmark(b, 1) })
	b.Run("32datagrams", func(b *testing.B) { benchmark(b, 32) })
}

// BenchmarkNetUDPConn measures package net with one datagram for each call.
func BenchmarkNetUDPConn(b *testing.B) {
	b.Run("1datagram", func(b *testing.B) { benchmarkNet(b, 1) })
	b.Run("32datagrams", func(b *testing.B) { benchmarkNet(b, 32) })
}

func benchmarkNet(b *testing.B, batch int) {
	open := func() *net.UDPConn {
		u, err := listenUDP("udp4", "127.0.0.1:0", nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { u.Close() })
		u.SetReadBuffer(defaultBuffer)
		return u
	}
	server, client := open(), open()
	addr := server.LocalAddr().(*net.UDPAddr).AddrPort()
	payload, buf := make([]byte, 200), make([]byte, 2048)
	b.ReportAllocs()
	for b.Loop() {
		for range batch {
			client.WriteToUDPAddrPort(payload, addr)
		}
		for range batch {
			if _, _, _, _, err := server.ReadMsgUDPAddrPort(buf, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/datagram")
}
