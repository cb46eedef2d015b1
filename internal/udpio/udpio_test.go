package udpio

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// needIPv6 skips a test of an IPv6 address if the machine has none.
func needIPv6(t testing.TB, addrs ...string) {
	t.Helper()
	for _, a := range addrs {
		if !strings.Contains(a, "::1") {
			continue
		}
		u, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
		if err != nil {
			t.Skipf("this machine has no IPv6: %v", err)
		}
		u.Close()
	}
}

// listen opens one socket, which is closed when the test ends.
func listen(t testing.TB, addr string) *Conn {
	t.Helper()
	return listenN(t, addr, Config{})[0]
}

func listenN(t testing.TB, addr string, c Config) []*Conn {
	t.Helper()
	conns, err := Listen(addr, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		t.Cleanup(func() { c.Close() })
		c.SetReadDeadline(time.Now().Add(testkit.Patience)) // so a lost datagram fails the test
	}
	return conns
}

// buffers returns n datagrams with room for size bytes each.
func buffers(n, size int) []Datagram {
	ds := make([]Datagram, n)
	for i := range ds {
		ds[i].B = make([]byte, 0, size)
	}
	return ds
}

// to returns n datagrams for addr with different payloads.
func to(addr netip.AddrPort, n int) []Datagram {
	ds := make([]Datagram, n)
	for i := range ds {
		ds[i] = Datagram{Remote: addr, B: fmt.Appendf(nil, "datagram %d", i)}
	}
	return ds
}

// at returns the address of c's port on host.
func at(host string, c *Conn) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), c.LocalAddr().Port())
}

func write(t *testing.T, c *Conn, ds ...Datagram) {
	t.Helper()
	if n, err := c.WriteBatch(ds); n != len(ds) || err != nil {
		t.Fatalf("WriteBatch = %d, %v; want %d", n, err, len(ds))
	}
}

// readAll reads n datagrams, in any number of batches.
func readAll(t *testing.T, c *Conn, n int) []Datagram {
	t.Helper()
	var got []Datagram
	for len(got) < n {
		ds := buffers(n-len(got), 2048)
		k, err := c.ReadBatch(ds)
		if err != nil {
			t.Fatalf("ReadBatch after %d of %d datagrams: %v", len(got), n, err)
		}
		got = append(got, ds[:k]...)
	}
	return got
}

func wantPayloads(t *testing.T, got, want []Datagram) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d datagrams, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].B, want[i].B) {
			t.Fatalf("datagram %d is %q, want %q", i, got[i].B, want[i].B)
		}
	}
}

func TestEcho(t *testing.T) {
	for _, test := range []struct {
		name, server, client, serverHost, clientHost string
	}{
		{"IPv4", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"IPv6", "[::1]:0", "[::1]:0", "::1", "::1"},
		{"an IPv4 client of a dual-stack server is not mapped", ":0", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"an IPv6 client of a dual-stack server", ":0", "[::1]:0", "::1", "::1"},
		{"an unspecified IPv6 address is dual-stack", "[::]:0", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"an unspecified IPv4 address", "0.0.0.0:0", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"a dual-stack client of an IPv4 server", "127.0.0.1:0", ":0", "127.0.0.1", "127.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			needIPv6(t, test.server, test.client)
			server, client := listen(t, test.server), listen(t, test.client)
			out := to(at(test.serverHost, server), 3)
			write(t, client, out...)

			asked := readAll(t, server, 3)
			wantPayloads(t, asked, out)
			for _, d := range asked {
				if want := at(test.clientHost, client); d.Remote != want {
					t.Fatalf("the server saw %v, want %v", d.Remote, want)
				}
			}
			write(t, server, asked...)

			answers := readAll(t, client, 3)
			wantPayloads(t, answers, out)
			for _, d := range answers {
				if want := at(test.serverHost, server); d.Remote != want {
					t.Fatalf("the answer came from %v, want %v", d.Remote, want)
				}
			}
		})
	}
}

func TestEmptyDatagramIsADatagram(t *testing.T) {
	server, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	write(t, client, Datagram{Remote: server.LocalAddr()})
	if got := readAll(t, server, 1); len(got[0].B) != 0 || got[0].Remote != client.LocalAddr() {
		t.Fatalf("got %q from %v, want nothing from %v", got[0].B, got[0].Remote, client.LocalAddr())
	}
}

func TestBatchLargerThanOneCall(t *testing.T) {
	server, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	out := to(server.LocalAddr(), 3*maxBatch+7)
	write(t, client, out...)
	wantPayloads(t, readAll(t, server, len(out)), out)
	if n := client.Stats().Sent; n != uint64(len(out)) {
		t.Errorf("Stats.Sent = %d, want %d", n, len(out))
	}
	if n := server.Stats().Received; n != uint64(len(out)) {
		t.Errorf("Stats.Received = %d, want %d", n, len(out))
	}
}

func TestEmptyBatch(t *testing.T) {
	c := listen(t, "127.0.0.1:0")
	if n, err := c.ReadBatch(nil); n != 0 || err != nil {
		t.Errorf("ReadBatch(nil) = %d, %v; want 0, nil", n, err)
	}
	if n, err := c.WriteBatch(nil); n != 0 || err != nil {
		t.Errorf("WriteBatch(nil) = %d, %v; want 0, nil", n, err)
	}
}

func TestTooSmallBuffersDrop(t *testing.T) {
	server, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	long := Datagram{Remote: server.LocalAddr(), B: make([]byte, 101)}
	short := to(server.LocalAddr(), 2)
	write(t, client, long, short[0], long, long, short[1], long)

	// Four datagrams do not fit; the buffers of the others must still be six
	// different ones.
	ds := buffers(6, 100)
	var got []Datagram
	for len(got) < 2 {
		n, err := server.ReadBatch(ds[len(got):])
		if err != nil {
			t.Fatal(err)
		}
		got = ds[:len(got)+n]
	}
	wantPayloads(t, got, short)
	seen := map[*byte]bool{}
	for _, d := range ds {
		seen[&d.B[:1][0]] = true
	}
	if len(seen) != len(ds) {
		t.Errorf("%d different buffers are left, want %d", len(seen), len(ds))
	}

	server.SetReadDeadline(time.Unix(1, 0))
	if _, err := server.ReadBatch(ds); err != os.ErrDeadlineExceeded {
		t.Fatalf("ReadBatch: %v, want ErrDeadlineExceeded: the last datagram was dropped", err)
	}
	if n := server.Stats().Truncated; n != 4 {
		t.Errorf("Stats.Truncated = %d, want 4", n)
	}
}

// pending runs ReadBatch in a goroutine and returns its error in a channel.
func pending(c *Conn) <-chan error {
	errs := make(chan error, 1)
	go func() {
		_, err := c.ReadBatch(buffers(1, 100))
		errs <- err
	}()
	return errs
}

func TestDeadlineWakesReader(t *testing.T) {
	c := listen(t, "127.0.0.1:0")
	for range 50 { // before the reader waits, and while it waits
		c.SetReadDeadline(time.Time{})
		errs := pending(c)
		c.SetReadDeadline(time.Unix(1, 0))
		if err := <-errs; err != os.ErrDeadlineExceeded {
			t.Fatalf("ReadBatch: %v, want the deadline", err)
		}
	}
}

func TestDeadlineComes(t *testing.T) {
	c := listen(t, "127.0.0.1:0")
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	if err := <-pending(c); err != os.ErrDeadlineExceeded {
		t.Fatalf("ReadBatch: %v, want the deadline", err)
	}
}

func TestCloseWakesReader(t *testing.T) {
	for range 50 {
		c := listen(t, "127.0.0.1:0")
		errs := pending(c)
		c.Close()
		if err := <-errs; err != net.ErrClosed {
			t.Fatalf("ReadBatch: %v, want net.ErrClosed", err)
		}
		if n, err := c.WriteBatch(to(netip.MustParseAddrPort("127.0.0.1:9"), 1)); n != 0 || err != net.ErrClosed {
			t.Fatalf("WriteBatch = %d, %v, want net.ErrClosed", n, err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("second Close: %v, want net.ErrClosed", err)
		}
	}
}

func TestListenErrors(t *testing.T) {
	taken := listen(t, "127.0.0.1:0").LocalAddr().String()
	for _, test := range []struct {
		why, addr string
		sockets   int
	}{
		{"no port", "127.0.0.1", 1},
		{"a port that is no number", "127.0.0.1:http", 1},
		{"a port out of range", "127.0.0.1:65536", 1},
		{"a host that is no name", "local host:0", 1},
		{"an address of another machine", "203.0.113.1:0", 1},
		{"a port that is taken", taken, 1},
		{"more sockets than sense", "127.0.0.1:0", maxSockets + 1},
	} {
		if conns, err := Listen(test.addr, Config{Sockets: test.sockets}); err == nil {
			t.Errorf("%s: Listen(%q) = %v, want an error", test.why, test.addr, conns)
		} else if got := err.Error(); strings.Contains(got, "udpio") {
			t.Errorf("%s: the error %q has a name that users do not know", test.why, got)
		}
	}
}

func TestAddressesToListenOn(t *testing.T) {
	for addr, want := range map[string]string{
		":7777":                   "udp :7777",
		"[::]:7777":               "udp :7777",
		"0.0.0.0:7777":            "udp4 0.0.0.0:7777",
		"192.0.2.1:0":             "udp4 192.0.2.1:0",
		"[::ffff:192.0.2.1]:7777": "udp4 192.0.2.1:7777",
		"[2001:db8::1]:65535":     "udp6 [2001:db8::1]:65535",
		"7777":                    "is not like :7777",
		":65536":                  "the port must be a number",
		":http":                   "the port must be a number",
		"localhost:7777":          "udp4 127.0.0.1:7777",
		"local host:7777":         "the host must be empty, an IP address, or a name of this machine",
	} {
		network, address, err := parseListen(addr)
		got := network + " " + address
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || err == nil && got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

// Of the addresses of a name the first of IPv4 is taken, if there is one.
func TestAddressOfAName(t *testing.T) {
	for _, c := range [][]string{
		{"192.0.2.1", "192.0.2.1"}, {"192.0.2.1", "192.0.2.1", "192.0.2.2"}, {"192.0.2.1", "2001:db8::1", "192.0.2.1"},
		{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::1", "2001:db8::2"},
	} {
		var all []netip.Addr
		for _, a := range c[1:] {
			all = append(all, netip.MustParseAddr(a))
		}
		if got := preferred(all); got.String() != c[0] {
			t.Errorf("of %v it is %v, want %s", all, got, c[0])
		}
	}
}

// A socket that its program has closed is not taken.
func TestClosedSocketIsNotTaken(t *testing.T) {
	u := testkit.Must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	u.Close()
	if c, err := Take(u, Config{}); c != nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Take = %v, %v; want %v", c, err, net.ErrClosed)
	}
}

func TestSizesOfBuffers(t *testing.T) {
	for n, want := range map[int]int{0: defaultBuffer, 1: 1, 5000: 5000, -1: 0} {
		if size, ok := bufferSize(n); ok != (want > 0) || ok && size != want {
			t.Errorf("bufferSize(%d) = %d, %v; want %d, %v", n, size, ok, want, want > 0)
		}
	}
}

// What a socket receives, also one of a program that receives only IPv6 on all addresses.
func TestFamilies(t *testing.T) {
	needIPv6(t, "[::1]:0")
	for _, test := range []struct {
		network, addr string
		v4, v6        bool
	}{
		{"udp", ":0", true, true},
		{"udp4", ":0", true, false},
		{"udp6", "[::]:0", false, true},
		{"udp4", "127.0.0.1:0", true, false},
		{"udp6", "[::1]:0", false, true},
	} {
		pc, err := net.ListenPacket(test.network, test.addr)
		if err != nil {
			t.Fatal(err)
		}
		taken, err := Take(pc, Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		if v4, v6 := taken.Families(); v4 != test.v4 || v6 != test.v6 {
			t.Errorf("%s %s: IPv4 %v and IPv6 %v, want %v and %v", test.network, test.addr, v4, v6, test.v4, test.v6)
		}
	}
	both := &Conn{local: func() netip.AddrPort { return netip.MustParseAddrPort("[2001:db8::1]:7777") }} // without IPV6_V6ONLY
	if v4, v6 := both.Families(); v4 || !v6 {
		t.Errorf("one address of IPv6: IPv4 %v and IPv6 %v, want only IPv6", v4, v6)
	}
	pc, err := net.ListenPacket("udp6", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	one := New(pc)
	defer one.Close()
	if v4, v6 := one.Families(); v4 || !v6 {
		t.Errorf("one by one: IPv4 %v and IPv6 %v, want only IPv6", v4, v6)
	}
}
