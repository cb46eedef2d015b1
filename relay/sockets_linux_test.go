package relay

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// listenAt opens a socket of a client or a node.
func listenAt(t *testing.T, host string) *udpio.Conn {
	t.Helper()
	c := testkit.Must(udpio.Listen(host+":0", udpio.Config{}))[0]
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(testkit.Patience)) // so a lost datagram fails the test
	return c
}

// readAll fills ds with datagrams.
func readAll(t *testing.T, c *udpio.Conn, ds []udpio.Datagram) {
	t.Helper()
	for len(ds) > 0 {
		n, err := c.ReadBatch(ds)
		if err != nil {
			t.Fatalf("%d datagrams are missing: %v", len(ds), err)
		}
		ds = ds[n:]
	}
}

// Over sockets of this system, one goroutine moves the datagrams of both directions, each datagram by itself also
// if many of one length are for one node, and allocates nothing.
func TestBothDirectionsOverSockets(t *testing.T) {
	for _, alone := range []bool{false, true} {
		node, clients := listenAt(t, "127.0.0.1"), []*udpio.Conn{listenAt(t, "127.0.0.1"), listenAt(t, "127.0.0.1")}
		r := testkit.Must(Listen("127.0.0.1:0", "127.0.0.1:0", Config{
			Nodes: []Node{{1, node.LocalAddr()}}, NoSegments: alone, Logger: slog.New(slog.DiscardHandler),
		}))
		defer r.Close()
		if s := r.Stats(); !s.Public.Batched {
			t.Skip("this system moves datagrams one by one")
		}
		if r.poll == nil {
			t.Fatal("each direction has a goroutine, want one for both")
		}
		const each = 8
		atNode, back := newBatch(each, inLen), newBatch(each, inLen)
		for _, c := range clients {
			for _, b := range [][]byte{check(1), []byte("\x17 a record")} {
				out := make([]udpio.Datagram, each)
				for i := range out {
					out[i] = udpio.Datagram{Remote: r.Addr(), B: append([]byte(nil), b...)}
					if b[0] != 0 {
						out[i].B = append(out[i].B, byte(i))
					}
				}
				if b[0] == 0 { // a visit is answered once
					out = out[:1]
				}
				trip := func() {
					c.WriteBatch(out)
					readAll(t, node, atNode[:len(out)])
					for i := range out {
						d := &atNode[i]
						from, _, inner, ok := envelope.Parse(d.B)
						if !ok || from != c.LocalAddr() || string(inner) != string(out[i].B) {
							t.Fatalf("the node gets %x of %v, want %x of %v", inner, from, out[i].B, c.LocalAddr())
						}
						answerCheck(d.B[envelope.MinLen:])
					}
					node.WriteBatch(atNode[:len(out)])
					readAll(t, c, back[:len(out)])
					for i := range out {
						if d := back[i]; d.Remote != r.Addr() || len(d.B) != len(out[i].B) || d.B[len(d.B)-1] != out[i].B[len(d.B)-1] {
							t.Fatalf("the client gets %x from %v, want the answer to %x from %v", d.B, d.Remote, out[i].B, r.Addr())
						}
					}
				}
				if b[0] == 0 {
					trip()
				} else if n := testing.AllocsPerRun(50, trip); n != 0 {
					t.Errorf("%v allocations for %d datagrams in each direction, want 0", n, each)
				}
			}
		}
		if s := r.Stats(); s.Up.Datagrams != s.Down.Datagrams || s.Clients != len(clients) || s.Drops != [dropReasons]uint64{} {
			t.Errorf("%+v, want as many datagrams up as down, %d clients and no drops", s, len(clients))
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := r.Wait(); err != nil {
			t.Errorf("Wait = %v after Close, want nil", err)
		}
	}
}

// Close ends a relay whose goroutine waits for datagrams.
func TestCloseEndsARelayThatWaits(t *testing.T) {
	var sockets [2]net.PacketConn
	for i := range sockets {
		sockets[i] = testkit.Must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))))
	}
	r := testkit.Must(Serve(sockets[0], sockets[1], Config{Logger: slog.New(slog.DiscardHandler)}))
	ended := make(chan error)
	go func() { ended <- r.Wait() }()
	r.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Wait = %v, want nil", err)
		}
	case <-time.After(testkit.Patience):
		t.Error("Wait does not return")
	}
}

// A socket that is ready and has no datagram does not end the relay, and one that is not ready is not read.
func TestSocketsThatAreReady(t *testing.T) {
	a, b := listenAt(t, "127.0.0.1"), listenAt(t, "127.0.0.1")
	r := newRelay(Config{Logger: quiet, MaxClients: 1})
	got := ""
	ways := make([]*way, 2)
	for i, c := range []*udpio.Conn{a, b} {
		ways[i] = &way{from: c, to: c, in: newBatch(batchLen, inLen), route: func(_ time.Duration, d *udpio.Datagram, out []udpio.Datagram) []udpio.Datagram {
			got += string(d.B)
			return out
		}}
	}
	poll, err := udpio.NewPoll(a, b)
	if err != nil {
		t.Skip("this system moves datagrams one by one")
	}
	defer poll.Close()
	for _, c := range []struct {
		write string // to which sockets
		ready uint
		want  string
	}{{"", 3, ""}, {"a", 1, "a"}, {"b", 1, ""}, {"", 2, "b"}, {"a", 2, ""}, {"b", 3, "ab"}} {
		for _, to := range c.write {
			from := map[rune]*udpio.Conn{'a': a, 'b': b}[to]
			from.WriteBatch([]udpio.Datagram{{Remote: from.LocalAddr(), B: []byte(string(to))}})
			for ready := uint(0); ready&(1<<(to-'a')) == 0; {
				if ready, err = poll.Wait(); err != nil {
					t.Fatal(err)
				}
			}
		}
		got = ""
		if err := r.moveReady(ways, c.ready); err != nil || got != c.want {
			t.Errorf("after a datagram to %q, of %b are read %q, %v; want %q", c.write, c.ready, got, err, c.want)
		}
	}
	b.Close()
	if err := r.moveReady(ways, 2); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a socket that is closed: %v, want ErrClosed", err)
	}
}

// If the wait for the sockets ends the relay ends, and closes them.
func TestTheWaitForSocketsEnds(t *testing.T) {
	r := testkit.Must(Listen("127.0.0.1:0", "127.0.0.1:0", Config{Logger: slog.New(slog.DiscardHandler)}))
	defer r.Close()
	if r.poll == nil {
		t.Skip("this system moves datagrams one by one")
	}
	r.poll.Close()
	if err := r.Wait(); err != nil {
		t.Errorf("Wait = %v, want nil", err)
	}
	for _, c := range []*udpio.Conn{r.public, r.inner} {
		if _, err := c.ReadBatch(newBatch(1, inLen)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a socket: %v, want ErrClosed", err)
		}
	}
}
