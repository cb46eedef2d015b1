package udpio

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-rtc/godwit/netsim"
)

// Without batches, too, a socket has the requested buffers, or those of the system.
func TestBuffersOneByOne(t *testing.T) {
	sizes := func(c Config) (read, write int) {
		t.Helper()
		u, err := listenUDP("udp4", "127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		if s := oneByOne(u, c); s.Stats().Batched {
			t.Error("Batched = true, want one datagram for each call")
		}
		defer u.Close()
		raw, err := u.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			read, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
			write, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		})
		return read, write
	}
	r, w := sizes(Config{ReadBuffer: -1, WriteBuffer: -1})
	if read, write := sizes(Config{ReadBuffer: 10_000, WriteBuffer: 20_000}); read != 20_000 || write != 40_000 || r == read || w == write {
		t.Errorf("buffers of %d and %d, want twice 10,000 and 20,000; the system's are %d and %d", read, write, r, w)
	}
}

// textAddr is an address of a network that is not UDP.
type textAddr string

func (a textAddr) Network() string { return "test" }
func (a textAddr) String() string  { return string(a) }

// brokenConn fails each read, and returns the length of the buffer. It has no deadlines.
type brokenConn struct{ PacketConn }

var errBroken = errors.New("broken")

func (brokenConn) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

func (brokenConn) LocalAddr() net.Addr { return textAddr("[::ffff:10.0.0.1]:5") }
func (brokenConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	return len(b), simClient, errBroken
}

// A conn that is not a socket of the system is read one by one. Its address is parsed from text,
// and it has failed when many reads in a row have failed.
func TestTakenConnThatIsNoSocket(t *testing.T) {
	c, err := Take(brokenConn{}, Config{})
	if err != nil || c == nil || c.Stats().Batched {
		t.Fatalf("%+v, %v; want a Conn without batches", c, err)
	}
	if got := c.LocalAddr(); got != netip.MustParseAddrPort("10.0.0.1:5") {
		t.Errorf("LocalAddr() = %v, want 10.0.0.1:5", got)
	}
	n, err := c.ReadBatch(buffers(4, 20))
	if s := c.Stats(); n != 0 || err != errBroken || s.ReadErrors != maxReadErrors || s.Truncated != 0 || s.Received != 0 {
		t.Errorf("%d datagrams, %v; %+v; want the error after %d reads", n, err, s, maxReadErrors)
	}
	for a, want := range map[net.Addr]netip.AddrPort{
		textAddr("10.0.0.1:5"):                           netip.MustParseAddrPort("10.0.0.1:5"),
		textAddr("nowhere"):                              {},
		&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 5}: netip.MustParseAddrPort("10.0.0.1:5"),
	} {
		if got := addrPort(a); got != want {
			t.Errorf("%v is %v, want %v", a, got, want)
		}
	}
}

// A batch has no more datagrams than one system call accepts, also when they are read one by
// one.
func TestLargestBatch(t *testing.T) {
	onNetsim(t, netsim.Link{}, func(client, server *Conn) {
		write(t, client, to(simServer, maxBatch+1)...)
		for _, want := range []int{maxBatch, 1} {
			if n, err := server.ReadBatch(buffers(2*maxBatch, 100)); n != want || err != nil {
				t.Errorf("%d datagrams, %v, want %d", n, err, want)
			}
		}
	})
}

// A fullConn accepts a number of datagrams. Then its buffer is full.
type fullConn struct {
	PacketConn
	room int
	then error
	to   netip.AddrPort // destination of the last datagram
}

func (c *fullConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c.to = to
	if c.room == 0 {
		return 0, c.then
	}
	c.room--
	return len(b), nil
}

// Without batches, too, the rest of a batch is dropped if the buffer is full, and a datagram
// that cannot be sent is skipped.
func TestFullSendBufferOneByOne(t *testing.T) {
	for _, c := range []struct {
		then error
		want Stats
	}{
		{unix.ENOBUFS, Stats{Sent: 3, SendFull: 7}},
		{unix.EPERM, Stats{Sent: 3, SendDenied: 7}},
		{errBroken, Stats{Sent: 3, SendFailed: 7}},
	} {
		var conn Conn
		s := &single{pc: &fullConn{room: 3, then: c.then}, n: &conn.counters}
		n, err := s.write(to(simServer, 10))
		if got := conn.Stats(); n != 3 || err != nil || got != c.want {
			t.Errorf("%v: %d sent, want 3, %v; %+v, want %+v", c.then, n, err, got, c.want)
		}
	}
	var conn Conn
	pc := &fullConn{room: 3, then: net.ErrClosed}
	s := &single{pc: pc, n: &conn.counters}
	mapped := Datagram{Remote: netip.AddrPortFrom(netip.AddrFrom16(simServer.Addr().As16()), simServer.Port())}
	if n, err := s.write([]Datagram{mapped}); n != 1 || err != nil || pc.to != simServer {
		t.Errorf("%d sent to %v, %v, want %v", n, pc.to, err, simServer)
	}
	pc.room = 3
	if n, err := s.write(to(simServer, 10)); n != 3 || err != net.ErrClosed {
		t.Errorf("closed: %d sent, %v; want 3, net.ErrClosed", n, err)
	}
}
