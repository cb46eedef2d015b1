package netsim_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// openTun opens a Tun, or skips the test where there can be none.
func openTun(t *testing.T, c netsim.TunConfig) *netsim.Tun {
	t.Helper()
	tun, err := netsim.OpenTun(c)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("NOT RUN: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tun.Close() })
	return tun
}

// do runs f in a namespace and fails the test after an error.
func do[T any](t *testing.T, n *netsim.Namespace, f func() (T, error)) (v T) {
	t.Helper()
	if err := n.Do(func() (err error) { v, err = f(); return err }); err != nil {
		t.Fatal(err)
	}
	return v
}

// udpOver returns a socket of the near end, and one of the far end that is connected to it.
func udpOver(t *testing.T, tun *netsim.Tun, addr netip.Addr) (server *net.UDPConn, client *net.UDPConn) {
	t.Helper()
	server = do(t, tun.Near(), func() (*net.UDPConn, error) {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	})
	client = do(t, tun.Far(), func() (*net.UDPConn, error) {
		return net.DialUDP("udp", nil, server.LocalAddr().(*net.UDPAddr))
	})
	for _, c := range []*net.UDPConn{server, client} {
		c.SetDeadline(time.Now().Add(testkit.Patience))
		t.Cleanup(func() { c.Close() })
	}
	return server, client
}

// echo sends back n datagrams.
func echo(c *net.UDPConn, n int) error {
	b := make([]byte, 2000)
	for range n {
		size, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return err
		}
		if _, err := c.WriteToUDPAddrPort(b[:size], from); err != nil {
			return err
		}
	}
	return nil
}

// A new namespace has a loopback device that works.
func TestTunHasLoopback(t *testing.T) {
	tun := openTun(t, netsim.TunConfig{})
	c := do(t, tun.Far(), func() (*net.UDPConn, error) {
		return net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	})
	defer c.Close()
	c.SetDeadline(time.Now().Add(testkit.Patience))
	testkit.Must(c.WriteTo([]byte("to myself"), c.LocalAddr()))
	b := make([]byte, 100)
	if n, _, err := c.ReadFrom(b); err != nil || string(b[:n]) != "to myself" {
		t.Errorf("%q, %v", b[:n], err)
	}
}

// Every datagram of the kernel comes back, in order, and not before the delay of both ways, over
// IPv4 and IPv6.
func TestTunDelaysAndKeepsTheOrder(t *testing.T) {
	const n, delay = 20, 15 * time.Millisecond
	l := netsim.Link{Delay: delay, Jitter: 2 * time.Millisecond}
	tun := openTun(t, netsim.TunConfig{Up: l, Down: l})
	total := uint64(0)
	for _, addr := range tun.Near().Addrs() {
		server, client := udpOver(t, tun, addr)
		ended := make(chan error, 1)
		go func() { ended <- echo(server, n) }()
		begin := time.Now()
		for i := range n {
			fmt.Fprintf(client, "datagram %d", i)
		}
		b := make([]byte, 100)
		for i := range n {
			size, err := client.Read(b)
			if want := fmt.Sprintf("datagram %d", i); err != nil || string(b[:size]) != want {
				t.Fatalf("over %v: %q, %v; want %q", addr, b[:size], err, want)
			}
			if d := time.Since(begin); d < 2*delay {
				t.Fatalf("over %v: %q came back after %v, earlier than the delay of %v and back", addr, b[:size], d, delay)
			}
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		total += n
		if s := tun.Stats(); s.Up.Passed != total || s.Down.Passed != total || s.Up.Sent != total || s.Failed != 0 || s.UnderWay != 0 {
			t.Errorf("over %v: %+v, want %d packets each way and nothing else", addr, s, total)
		}
	}
	if err := tun.Err(); err != nil {
		t.Error(err)
	}
}

// TCP of the kernel delivers everything over a link that loses packets, and the link has lost some.
func TestTunCarriesTCPUnderLoss(t *testing.T) {
	l := netsim.Link{Delay: 2 * time.Millisecond, Loss: 0.02}
	tun := openTun(t, netsim.TunConfig{Up: l, Down: l, Seed: 1})
	listener := do(t, tun.Near(), func() (net.Listener, error) { return net.Listen("tcp", "10.98.0.1:0") })
	defer listener.Close()
	data := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(data)
	ended := make(chan error, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			ended <- err
			return
		}
		_, err = c.Write(data)
		ended <- errors.Join(err, c.Close())
	}()
	client := do(t, tun.Far(), func() (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) })
	defer client.Close()
	client.SetDeadline(time.Now().Add(testkit.Patience))
	hash := sha256.New()
	if n, err := io.Copy(hash, client); err != nil || n != int64(len(data)) {
		t.Errorf("%d of %d bytes arrived, %v", n, len(data), err)
	}
	if sum := sha256.Sum256(data); !bytes.Equal(hash.Sum(nil), sum[:]) {
		t.Error("other bytes arrived than were sent")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if s := tun.Stats(); s.Down.Lost == 0 || s.Down.TooLarge != 0 || s.Down.SentBytes < uint64(len(data)) {
		t.Errorf("%+v: want losses, and all bytes counted", s.Down)
	}
}

// The largest packet is that of the MTU: the devices merge none.
func TestTunPacketsHaveTheMTU(t *testing.T) {
	tun := openTun(t, netsim.TunConfig{MTU: 1400, Up: netsim.Link{MTU: 1400}, Down: netsim.Link{MTU: 1399}})
	server, client := udpOver(t, tun, tun.Near().Addrs()[0])
	ended := make(chan error, 1)
	go func() { ended <- echo(server, 2) }()
	client.Write(make([]byte, 1400-28)) // its echo is too large for the way down
	client.Write([]byte("small"))
	b := make([]byte, 2000)
	if n, err := client.Read(b); err != nil || string(b[:n]) != "small" {
		t.Errorf("%d bytes came back, %v; want the small datagram", n, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if s := tun.Stats(); s.Up.Passed != 2 || s.Down.Passed != 1 || s.Down.TooLarge != 1 {
		t.Errorf("%+v", s)
	}
}

// Both new namespaces are gone with the Tun, and programs can be started in one before.
func TestTunNamespaces(t *testing.T) {
	tun := openTun(t, netsim.TunConfig{Far: netsim.TunEnd{Device: "game", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}}})
	out, err := exec.Command("nsenter", "--net="+tun.Far().File(), "cat", "/proc/net/dev", "/proc/net/route").CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("NOT RUN: no nsenter here")
	}
	if err != nil || !strings.Contains(string(out), "game:") || !strings.Contains(string(out), "game\t00000000") {
		t.Errorf("%v: the device with its default route is not in\n%s", err, out)
	}
	if err := tun.Far().Do(func() error { return io.ErrNoProgress }); err != io.ErrNoProgress {
		t.Errorf("Do returned %v, want the error of the func", err)
	}
	if _, err := os.Stat("/sys/class/net/game"); err == nil {
		t.Error("the device is in the namespace of this process")
	}
	if err := tun.Close(); err != nil {
		t.Error(err)
	}
	if err := tun.Close(); err != net.ErrClosed {
		t.Errorf("a second Close: %v, want net.ErrClosed", err)
	}
	if err := tun.Err(); err != nil {
		t.Errorf("after Close: %v", err)
	}
	if err := tun.Far().Do(func() error { return nil }); err == nil {
		t.Error("a namespace can be entered after Close")
	}
}

func TestTunRefusesBadConfigs(t *testing.T) {
	openTun(t, netsim.TunConfig{}).Close()
	bad := netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.1"), 120)
	for _, test := range []struct {
		c    netsim.TunConfig
		want string
	}{
		{netsim.TunConfig{MTU: 1279}, "from 1280 to 65535"},
		{netsim.TunConfig{MTU: 65536}, "from 1280 to 65535"},
		{netsim.TunConfig{Near: netsim.TunEnd{Namespace: "/run/netns/missing"}}, "the near end: namespace: open /run/netns/missing"},
		{netsim.TunConfig{Far: netsim.TunEnd{Namespace: "/etc/passwd"}}, "the far end: namespace /etc/passwd"},
		{netsim.TunConfig{Far: netsim.TunEnd{Device: "a-name-of-16-long"}}, "at most 15 bytes"},
		{netsim.TunConfig{Far: netsim.TunEnd{Device: "lo"}}, "TUN device lo"},
		{netsim.TunConfig{Far: netsim.TunEnd{Addrs: []netip.Prefix{{}}}}, "is not an address"},
		{netsim.TunConfig{Far: netsim.TunEnd{Addrs: []netip.Prefix{bad}}}, "is not an address"},
		{netsim.TunConfig{Far: netsim.TunEnd{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.1/24")}}}, "address 10.0.0.1/24: file exists"},
	} {
		tun, err := netsim.OpenTun(test.c)
		if err == nil {
			tun.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%+v: %v, want %q in it", test.c, err, test.want)
		}
	}
	first := openTun(t, netsim.TunConfig{})
	same := netsim.TunConfig{Near: netsim.TunEnd{Namespace: first.Far().File(), Addrs: []netip.Prefix{}}, Far: netsim.TunEnd{Namespace: first.Far().File(), Addrs: []netip.Prefix{}}}
	if tun, err := netsim.OpenTun(same); err == nil || !strings.Contains(err.Error(), "in the namespace of the near end") {
		t.Errorf("both ends in one namespace: %v, %v", tun, err)
	}
	other := netsim.TunConfig{Far: netsim.TunEnd{Namespace: first.Far().File()}}
	if tun, err := netsim.OpenTun(other); err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("a namespace that has these addresses: %v, %v", tun, err)
	}
}
