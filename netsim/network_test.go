package netsim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	clientAddr = netip.MustParseAddrPort("10.0.0.1:1000")
	serverAddr = netip.MustParseAddrPort("10.0.0.2:2000")
	otherAddr  = netip.MustParseAddrPort("10.0.0.3:3000")
)

// testNetwork is a network with a client and a server, in a bubble.
type testNetwork struct {
	t *testing.T
	*Network
	client, server *Conn
}

// onNetwork runs test in a synctest bubble.
func onNetwork(t *testing.T, seed uint64, l Link, test func(n *testNetwork)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &testNetwork{t: t, Network: New(seed)}
		defer n.Close()
		n.SetDefault(l)
		n.client, n.server = n.listen(clientAddr), n.listen(serverAddr)
		test(n)
	})
}

func (n *testNetwork) listen(addr netip.AddrPort) *Conn {
	n.t.Helper()
	c, err := n.Listen(addr)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *testNetwork) send(c *Conn, to netip.AddrPort, payloads ...string) {
	n.t.Helper()
	for _, p := range payloads {
		if k, err := c.WriteToUDPAddrPort([]byte(p), to); k != len(p) || err != nil {
			n.t.Fatalf("write of %q = %d, %v", p, k, err)
		}
	}
}

// wantRead reads len(want) datagrams from c.
func (n *testNetwork) wantRead(what string, c *Conn, from netip.AddrPort, want ...string) {
	n.t.Helper()
	b := make([]byte, 2000)
	for _, w := range want {
		k, addr, err := c.ReadFromUDPAddrPort(b)
		if err != nil || string(b[:k]) != w || addr != from {
			n.t.Fatalf("%s: read %q from %v, %v; want %q from %v", what, b[:k], addr, err, w, from)
		}
	}
}

// wantIdle waits until everything is still: nothing has arrived at c.
func (n *testNetwork) wantIdle(what string, c *Conn) {
	n.t.Helper()
	time.Sleep(time.Hour) // of the bubble's time
	if q := c.Queued(); q != 0 {
		n.t.Fatalf("%s: %d datagrams have arrived, want 0", what, q)
	}
}

// wantNone checks that nothing has arrived at c.
func (n *testNetwork) wantNone(what string, c *Conn) {
	n.t.Helper()
	if q := c.Queued(); q != 0 {
		n.t.Fatalf("%s: %d datagrams have arrived, want 0", what, q)
	}
}

// wantElapsed checks the bubble's clock against begin.
func (n *testNetwork) wantElapsed(what string, begin time.Time, want time.Duration) {
	n.t.Helper()
	if got := time.Since(begin); got != want {
		n.t.Fatalf("%s: took %v, want %v", what, got, want)
	}
}

func TestNetworkEcho(t *testing.T) {
	onNetwork(t, 1, Link{Delay: 50 * ms}, func(n *testNetwork) {
		begin := time.Now()
		n.send(n.client, serverAddr, "ping", "")
		n.wantRead("the server hears both", n.server, clientAddr, "ping", "")
		n.send(n.server, clientAddr, "pong")
		n.wantRead("and answers", n.client, serverAddr, "pong")
		n.wantElapsed("one round trip", begin, 100*ms)
	})
}

func TestWriterMayReuseItsBuffer(t *testing.T) {
	onNetwork(t, 1, Link{Delay: ms}, func(n *testNetwork) {
		b := []byte("first")
		n.client.WriteToUDPAddrPort(b, serverAddr)
		copy(b, "junk!")
		n.wantRead("the copy is the network's", n.server, clientAddr, "first")
	})
}

func TestIPv4InIPv6IsIPv4(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		n.send(n.client, netip.MustParseAddrPort("[::ffff:10.0.0.2]:2000"), "mapped")
		n.wantRead("it is the same address", n.server, clientAddr, "mapped")
	})
}

// TestSameSeedSameRun: everything a bad link does, twice.
func TestSameSeedSameRun(t *testing.T) {
	bad := Link{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, ReorderDelay: 7 * ms, Corrupt: 0.1, Delay: 20 * ms, Jitter: 15 * ms, Rate: 50_000}
	run := func(seed uint64) (log string) {
		onNetwork(t, seed, bad, func(n *testNetwork) {
			begin := time.Now()
			go func() {
				for i := range 300 {
					n.send(n.client, serverAddr, fmt.Sprint("datagram ", i))
					time.Sleep(ms)
				}
				time.Sleep(time.Second)
				n.server.Close()
			}()
			var out strings.Builder
			b := make([]byte, 100)
			for {
				k, _, err := n.server.ReadFromUDPAddrPort(b)
				if err != nil {
					break
				}
				fmt.Fprintf(&out, "%v %x\n", time.Since(begin), b[:k])
			}
			fmt.Fprintf(&out, "%+v\n", n.Stats(clientAddr.Addr(), serverAddr.Addr()))
			log = out.String()
		})
		return log
	}
	first := run(1)
	if second := run(1); first != second {
		t.Errorf("the same seed gives two runs:\n%s\n%s", first, second)
	}
	if run(2) == first {
		t.Error("two seeds give the same run")
	}
	if lines := strings.Count(first, "\n"); lines < 250 || lines > 350 {
		t.Errorf("%d datagrams of 300 have arrived, want 250 to 350 with the doubled ones", lines)
	}
}

func TestLinksAreOneWayAndLive(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		client, server := clientAddr.Addr(), serverAddr.Addr()
		n.SetLink(client, server, Link{Loss: 1})
		n.send(n.client, serverAddr, "lost")
		n.send(n.server, clientAddr, "passed")
		n.wantRead("the way back is open", n.client, serverAddr, "passed")
		n.wantIdle("the way there is not", n.server)

		n.SetLink(client, server, Link{Delay: time.Second})
		begin := time.Now()
		n.send(n.client, serverAddr, "late")
		n.SetLink(client, server, Link{Delay: time.Minute}) // too late for it
		n.wantRead("a change is live", n.server, clientAddr, "late")
		n.wantElapsed("but not for what is under way", begin, time.Second)
	})
}

func TestRulesGoFromExactToAny(t *testing.T) {
	n := New(1)
	a, b, c := clientAddr.Addr(), serverAddr.Addr(), otherAddr.Addr()
	var anyHost netip.Addr
	link := func(ms int) Link { return Link{MTU: ms} }
	n.SetDefault(link(1))
	n.SetLink(anyHost, b, link(2))
	n.SetLink(a, anyHost, link(3))
	n.SetLink(a, b, link(4))
	for _, test := range []struct {
		from, to netip.Addr
		want     int
	}{{b, a, 1}, {c, b, 2}, {a, c, 3}, {a, b, 4}} {
		if got := n.Link(test.from, test.to).MTU; got != test.want {
			t.Errorf("from %v to %v rule %d holds, want %d", test.from, test.to, got, test.want)
		}
	}
}

func TestStats(t *testing.T) {
	onNetwork(t, 1, Link{MTU: 4}, func(n *testNetwork) {
		n.send(n.client, serverAddr, "one", "two", "three")
		n.send(n.client, otherAddr, "four")
		n.send(n.server, clientAddr, "five")
		client, server := clientAddr.Addr(), serverAddr.Addr()
		want := LinkStats{Sent: 3, SentBytes: 11, Passed: 2, PassedBytes: 6, TooLarge: 1}
		if got := n.Stats(client, server); got != want {
			t.Errorf("client to server: %+v, want %+v", got, want)
		}
		if got := n.Stats(client, otherAddr.Addr()); got.Unreachable != 1 {
			t.Errorf("%+v, want 1 unreachable", got)
		}
		if got := n.Stats(client, netip.Addr{}).Sent; got != 4 {
			t.Errorf("the client sent %d, want 4", got)
		}
		if got := n.Stats(netip.Addr{}, netip.Addr{}).Sent; got != 5 {
			t.Errorf("everybody sent %d, want 5", got)
		}
	})
}

func TestTap(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		var seen []string
		n.SetTap(func(p *Packet) bool {
			seen = append(seen, string(p.Payload))
			switch len(seen) {
			case 2:
				return false
			case 3:
				p.Payload = []byte("changed")
			case 4:
				p.To = otherAddr
			case 5:
				n.Inject(otherAddr, p.To, []byte("before the fifth"))
			}
			return true
		})
		other := n.listen(otherAddr)
		n.send(n.client, serverAddr, "1", "2", "3", "4")
		n.wantRead("the second is dropped, the third changed", n.server, clientAddr, "1", "changed")
		n.wantRead("the fourth goes elsewhere", other, clientAddr, "4")
		n.send(n.client, serverAddr, "5")
		n.wantRead("somebody else cuts in", n.server, otherAddr, "before the fifth")
		n.wantRead("and then comes the fifth", n.server, clientAddr, "5")
		if !slices.Equal(seen, []string{"1", "2", "3", "4", "5"}) {
			t.Errorf("the tap got %q, want 1 to 5", seen)
		}
		if s := n.Stats(clientAddr.Addr(), serverAddr.Addr()); s.Tapped != 1 {
			t.Errorf("stats %+v, want 1 tapped", s)
		}
		n.SetTap(nil)
		n.send(n.client, serverAddr, "6")
		n.wantRead("no tap, no change", n.server, clientAddr, "6")
	})
}

func TestRebind(t *testing.T) {
	onNetwork(t, 1, Link{Delay: 10 * ms}, func(n *testNetwork) {
		n.SetLink(clientAddr.Addr(), serverAddr.Addr(), Link{Delay: 30 * ms})
		n.send(n.server, clientAddr, "under way")
		moved := netip.MustParseAddrPort("203.0.113.9:999")
		if err := n.client.Rebind(moved); err != nil {
			t.Fatal(err)
		}
		n.wantIdle("the old mapping is forgotten", n.client)

		begin := time.Now()
		n.send(n.client, serverAddr, "here I am")
		n.wantRead("the server sees the new address", n.server, moved, "here I am")
		n.wantElapsed("over the same link", begin, 30*ms)
		n.send(n.server, moved, "welcome")
		n.wantRead("and reaches it", n.client, serverAddr, "welcome")

		if got := n.client.LocalAddr().String(); got != clientAddr.String() {
			t.Errorf("LocalAddr() = %v, want %v as before the rebinding", got, clientAddr)
		}
		if got := n.client.PublicAddr(); got != moved {
			t.Errorf("PublicAddr = %v, want %v", got, moved)
		}
		if err := n.client.Rebind(serverAddr); !errors.Is(err, ErrAddrInUse) {
			t.Errorf("Rebind to the server's address: %v, want ErrAddrInUse", err)
		}
	})
}

func TestListen(t *testing.T) {
	n := New(1)
	first, err := n.Listen(netip.MustParseAddrPort("10.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := n.Listen(netip.MustParseAddrPort("10.0.0.1:0"))
	if err != nil || first.PublicAddr() == second.PublicAddr() {
		t.Errorf("two free ports: %v and %v, %v; want two different ones", first.PublicAddr(), second.PublicAddr(), err)
	}
	if _, err := n.Listen(first.PublicAddr()); !errors.Is(err, ErrAddrInUse) {
		t.Errorf("Listen at a used address: %v, want ErrAddrInUse", err)
	}
	for _, addr := range []netip.AddrPort{{}, netip.MustParseAddrPort("0.0.0.0:1"), netip.MustParseAddrPort("[::]:1")} {
		if _, err := n.Listen(addr); err == nil {
			t.Errorf("Listen(%v) returns no error", addr)
		}
	}
	first.Close()
	if _, err := n.Listen(first.PublicAddr()); err != nil {
		t.Errorf("Listen at an address that is free again: %v, want nil", err)
	}
	n.Close()
	if _, err := n.Listen(otherAddr); err != net.ErrClosed {
		t.Errorf("Listen on a closed network: %v, want net.ErrClosed", err)
	}
}

func TestNetworkCloseWakesReaders(t *testing.T) {
	onNetwork(t, 1, Link{Delay: time.Hour}, func(n *testNetwork) {
		n.send(n.client, serverAddr, "never arrives")
		errs := make(chan error)
		go func() {
			_, _, err := n.server.ReadFromUDPAddrPort(nil)
			errs <- err
		}()
		synctest.Wait()
		n.Close()
		if err := <-errs; err != net.ErrClosed {
			t.Errorf("read: %v, want net.ErrClosed", err)
		}
		if _, err := n.client.WriteToUDPAddrPort(nil, serverAddr); err != net.ErrClosed {
			t.Errorf("write: %v, want net.ErrClosed", err)
		}
	})
}

func TestManySendersAtOnce(t *testing.T) {
	onNetwork(t, 1, Link{Delay: 5 * ms, Jitter: 5 * ms}, func(n *testNetwork) {
		const senders, each = 20, 50
		for i := range senders {
			c := n.listen(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 1))
			go func() {
				for range each {
					c.WriteToUDPAddrPort([]byte("hello"), serverAddr) // a failure is one datagram too few
					time.Sleep(ms)
				}
			}()
		}
		n.server.SetReadDeadline(time.Now().Add(time.Minute))
		b := make([]byte, 10)
		for i := range senders * each {
			if _, _, err := n.server.ReadFromUDPAddrPort(b); err != nil {
				t.Fatalf("datagram %d: %v", i, err)
			}
		}
		if _, _, err := n.server.ReadFromUDPAddrPort(b); err != os.ErrDeadlineExceeded {
			t.Errorf("after all: %v, want the deadline", err)
		}
	})
}
