package udpio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

var (
	simClient = netip.MustParseAddrPort("10.0.0.1:1000")
	simServer = netip.MustParseAddrPort("10.0.0.2:2000")
)

// onNetsim runs test with two conns on an in-memory network.
func onNetsim(t *testing.T, l netsim.Link, test func(client, server *Conn)) {
	t.Helper()
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		network.SetDefault(l)
		test(New(testkit.Listen(t, network, simClient)), New(testkit.Listen(t, network, simServer)))
	})
}

func TestNetsimBatch(t *testing.T) {
	onNetsim(t, netsim.Link{Delay: time.Second}, func(client, server *Conn) {
		out := to(simServer, 10)
		write(t, client, out...)
		ds := buffers(8, 100)
		n, err := server.ReadBatch(ds)
		if n != 8 || err != nil {
			t.Fatalf("ReadBatch = %d, %v; want 8 at once", n, err)
		}
		wantPayloads(t, ds, out[:8])
		if ds[0].Remote != simClient || ds[0].Local != simServer.Addr() {
			t.Errorf("from %v to %v, want from %v to %v", ds[0].Remote, ds[0].Local, simClient, simServer.Addr())
		}
		n, err = server.ReadBatch(ds)
		if n != 2 || err != nil {
			t.Fatalf("ReadBatch = %d, %v; want the 2 that are left", n, err)
		}
		wantPayloads(t, ds[:2], out[8:])
	})
}

func TestNetsimDeadlineAndClose(t *testing.T) {
	onNetsim(t, netsim.Link{}, func(client, server *Conn) {
		errs := pending(server)
		synctest.Wait()
		server.SetReadDeadline(time.Now())
		if err := <-errs; err != os.ErrDeadlineExceeded {
			t.Fatalf("ReadBatch: %v, want the deadline", err)
		}
		write(t, client, to(simServer, 3)...)
		if n, err := server.ReadBatch(buffers(8, 100)); n != 3 || err != nil {
			t.Fatalf("ReadBatch = %d, %v; want what is there", n, err)
		}
		server.SetReadDeadline(time.Time{})
		errs = pending(server)
		synctest.Wait()
		server.Close()
		if err := <-errs; err != net.ErrClosed {
			t.Fatalf("ReadBatch: %v, want net.ErrClosed", err)
		}
		if n, err := server.WriteBatch(to(simClient, 1)); n != 0 || err != net.ErrClosed {
			t.Fatalf("WriteBatch = %d, %v; want net.ErrClosed", n, err)
		}
	})
}

func TestNetsimTooSmallBuffers(t *testing.T) {
	onNetsim(t, netsim.Link{}, func(client, server *Conn) {
		short := to(simServer, 2)
		write(t, client, Datagram{Remote: simServer, B: make([]byte, 50)}, short[0], Datagram{Remote: simServer, B: make([]byte, 20)}, short[1])
		ds := buffers(4, 20)
		n, err := server.ReadBatch(ds)
		if err != nil {
			t.Fatal(err)
		}
		wantPayloads(t, ds[:n], short)
		if s := server.Stats(); s.Truncated != 2 || s.Received != 2 {
			t.Errorf("stats %+v, want 2 truncated and 2 received", s)
		}
	})
}

// oneConn is a socket with one datagram.
type oneConn struct{ PacketConn }

func (oneConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) { return 1, simClient, nil }

// Datagrams that are too large, and arrive as fast as they are read, do not delay the datagrams
// before them for longer than as many reads as a batch has datagrams.
func TestTooLargeDatagramsHoldUpNothing(t *testing.T) {
	looks := 0
	s := &single{pc: oneConn{}, n: new(counters), look: func(b []byte) (int, netip.AddrPort, error) {
		if looks++; looks > 1000 {
			return 0, netip.AddrPort{}, net.ErrClosed
		}
		return len(b), simClient, nil
	}}
	if n, err := s.read(buffers(8, 100)); n != 1 || err != nil || looks != maxBatch {
		t.Errorf("%d datagrams, %v, after %d looks at what is too large, want 1 after %d", n, err, looks, maxBatch)
	}
}

// A windowsConn is a socket whose system makes an error of each datagram that is
// larger than its buffer.
type windowsConn struct {
	PacketConn
	large int   // number of large datagrams that come first
	err   error // nil if the system only cuts them off
}

var errLarge = &net.OpError{Op: "read", Err: os.NewSyscallError("wsarecvfrom", wsaEMSGSIZE)}

func (c *windowsConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if c.large == 0 {
		return c.PacketConn.ReadFromUDPAddrPort(b)
	}
	c.large--
	return len(b), simClient, c.err
}

// Datagrams that are too large do not end the reading, also if the system reports them as errors: an attacker may send any
// number of them.
func TestTooLargeDatagramsAreNoFailures(t *testing.T) {
	for _, err := range []error{nil, errLarge} {
		testTooLarge(t, err)
	}
}

func testTooLarge(t *testing.T, err error) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		server, client := testkit.Listen(t, network, simServer), testkit.Listen(t, network, simClient)
		const large = 10 * maxReadErrors
		c := New(&windowsConn{server, large, err})
		out := to(simServer, 1)
		write(t, New(client), out...)
		ds := buffers(4, 100)
		n, err := c.ReadBatch(ds)
		if err != nil {
			t.Fatal(err)
		}
		wantPayloads(t, ds[:n], out)
		if s := c.Stats(); s.Truncated != large || s.ReadErrors != 0 || s.Received != 1 {
			t.Errorf("stats %+v, want %d truncated", s, large)
		}
	})
}

// A batch that ends with a datagram that does not fit does not wait for another one.
func TestTruncatedLast(t *testing.T) {
	onNetsim(t, netsim.Link{}, func(client, server *Conn) {
		short := to(simServer, 1)
		write(t, client, short[0], Datagram{Remote: simServer, B: make([]byte, 50)})
		n, err := server.ReadBatch(buffers(4, 20))
		if n != 1 || err != nil {
			t.Fatalf("ReadBatch = %d, %v; want 1, nil", n, err)
		}
	})
}

// This is the path of every system except Linux.
func TestUDPConnOneByOne(t *testing.T) {
	open := func(network, addr string) *Conn {
		u, err := listenUDP(network, addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := New(u)
		t.Cleanup(func() { c.Close() })
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	server, client := open("udp", ":0"), open("udp4", "127.0.0.1:0")
	out := to(at("127.0.0.1", server), 3)
	write(t, client, out...)
	asked := readAll(t, server, 3)
	wantPayloads(t, asked, out)
	if asked[0].Remote != client.LocalAddr() || asked[0].Local.IsValid() {
		t.Errorf("from %v to %v, want %v to nothing known", asked[0].Remote, asked[0].Local, client.LocalAddr())
	}
	write(t, server, asked...)
	if got := readAll(t, client, 3)[2]; got.Local != client.LocalAddr().Addr() {
		t.Errorf("Local = %v, want the bound address", got.Local)
	}

	mapped := out[0]
	mapped.Remote = netip.MustParseAddrPort("[::ffff:127.0.0.1]:" + strconv.Itoa(int(mapped.Remote.Port())))
	n, err := client.WriteBatch([]Datagram{mapped, {Remote: out[0].Remote, B: make([]byte, 70_000)}, out[1]})
	if n != 2 || err != nil {
		t.Errorf("WriteBatch = %d, %v; want 2 of 3, because one is too large", n, err)
	}
	wantPayloads(t, readAll(t, server, 2), out[:2])

	ds := buffers(1, 100)
	if n := testing.AllocsPerRun(100, func() {
		client.WriteBatch(out[:1])
		server.ReadBatch(ds)
	}); n != 0 {
		t.Errorf("%v allocations for a batch, want 0", n)
	}
}

// A connection with only the methods of net.PacketConn carries datagrams, too, both ways.
func TestAnyPacketConnCarriesDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := netsim.New(1)
		defer network.Close()
		conn := func(at netip.AddrPort) *Conn {
			pc, err := network.Listen(at)
			if err != nil {
				t.Fatal(err)
			}
			return New(struct{ net.PacketConn }{pc})
		}
		one, two := conn(simClient), conn(simServer)
		defer one.Close()
		defer two.Close()
		for _, way := range []struct {
			from, to *Conn
			source   netip.AddrPort
			target   netip.AddrPort
		}{{one, two, simClient, simServer}, {two, one, simServer, simClient}} {
			write(t, way.from, Datagram{Remote: way.target, B: []byte("hello")})
			ds := buffers(2, 100)
			if n, err := way.to.ReadBatch(ds); n != 1 || err != nil || string(ds[0].B) != "hello" || ds[0].Remote != way.source {
				t.Errorf("ReadBatch = %d, %v: %q from %v, want %q from %v", n, err, ds[0].B, ds[0].Remote, "hello", way.source)
			}
		}
		one.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := one.ReadBatch(buffers(1, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadBatch without a datagram: %v, want the deadline", err)
		}
	})
}

// A connection of the program that breaks its contract, and names no sender, is not a fault of
// the server: the sender is unknown.
func TestSenderWithoutAnAddress(t *testing.T) {
	if got := addrPort(nil); got.IsValid() {
		t.Errorf("the address of no sender is %v, want none", got)
	}
}
