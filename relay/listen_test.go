package relay

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

const anyPort = "127.0.0.1:0"

var quiet = slog.New(slog.DiscardHandler)

func openUDP(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	u := testkit.Must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))))
	t.Cleanup(func() { u.Close() })
	return u
}

func addrOf(u *net.UDPConn) netip.AddrPort { return u.LocalAddr().(*net.UDPAddr).AddrPort() }

// receives checks what arrives next at a socket, and returns it.
func receives(t *testing.T, what string, u *net.UDPConn, want func(from netip.AddrPort, b []byte) bool) {
	t.Helper()
	u.SetReadDeadline(time.Now().Add(testkit.Patience))
	b := make([]byte, inLen)
	n, from, err := u.ReadFromUDPAddrPort(b)
	if err != nil || !want(from, b[:n]) {
		t.Fatalf("%s: %x from %v, %v", what, b[:n], from, err)
	}
}

// A datagram goes through both ports in both directions, over sockets that the relay opens or gets.
func TestPortsOfARelay(t *testing.T) {
	for _, open := range []func(c Config) (*Relay, error){
		func(c Config) (*Relay, error) { return Listen(anyPort, anyPort, c) },
		func(c Config) (*Relay, error) { return Serve(openUDP(t, anyPort), openUDP(t, anyPort), c) },
	} {
		node, player := openUDP(t, anyPort), openUDP(t, anyPort)
		r := testkit.Must(open(Config{Logger: quiet, Nodes: []Node{{1, addrOf(node)}}}))
		t.Cleanup(func() { r.Close() })
		question := check(1)
		if _, err := player.WriteToUDPAddrPort(question, r.Addr()); err != nil {
			t.Fatal(err)
		}
		receives(t, "the node", node, func(from netip.AddrPort, b []byte) bool {
			of, _, inner, ok := envelope.Parse(b)
			return ok && from == r.InnerAddr() && of == addrOf(player) && string(inner) == string(question)
		})
		if _, err := node.WriteToUDPAddrPort(append(envelope.Append(nil, addrOf(player), false), answer(question)...), r.InnerAddr()); err != nil {
			t.Fatal(err)
		}
		receives(t, "the client", player, func(from netip.AddrPort, b []byte) bool {
			return from == r.Addr() && string(b) == string(answer(question))
		})
		page := testkit.Serve(r, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if text := page.Body.String(); page.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" ||
			!strings.Contains(text, "\ngodwit_relay_datagrams_total{direction=\"down\"} 1\n") {
			t.Errorf("the metrics are %v, %s", page.Header(), text)
		}
		if s := r.Stats(); s.Public.Batched != r.public.Stats().Batched || s.Inner.Batched != r.inner.Stats().Batched {
			t.Errorf("the sockets are %+v and %+v", s.Public, s.Inner)
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := r.Wait(); err != nil {
			t.Errorf("Wait after Close: %v", err)
		}
		if _, err := r.public.ReadBatch(newBatch(1, inLen)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the public port after Close: %v, want ErrClosed", err)
		}
		if _, err := r.inner.ReadBatch(newBatch(1, inLen)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the inner port after Close: %v, want ErrClosed", err)
		}
	}
}

// A relay whose Config or ports are at fault does not begin, and leaves no port open.
func TestRelaysThatDoNotBegin(t *testing.T) {
	taken := openUDP(t, anyPort)
	bad := Config{Logger: quiet, MaxClients: -1}
	used := addrOf(taken).String()
	for _, c := range []struct {
		name, want string
		begin      func() (*Relay, error)
	}{
		{"Listen with a fault in Config", "MaxClients", func() (*Relay, error) { return Listen(anyPort, anyPort, bad) }},
		{"Serve with a fault in Config", "MaxClients", func() (*Relay, error) { return Serve(taken, taken, bad) }},
		{"no public port", "relay: ", func() (*Relay, error) { return Listen(used, anyPort, Config{Logger: quiet}) }},
		{"no inner port", "relay: ", func() (*Relay, error) { return Listen(anyPort, used, Config{Logger: quiet}) }},
	} {
		r, err := c.begin()
		if r != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want an error with %q", c.name, r, err, c.want)
		}
	}
	// Another process may take the port that is free for a moment, but not each time.
	for try := range 20 {
		u := openUDP(t, anyPort)
		public := addrOf(u)
		u.Close()
		if _, err := Listen(public.String(), used, Config{Logger: quiet}); err == nil {
			t.Fatal("two sockets have one port")
		}
		u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(public))
		if err == nil {
			u.Close()
			break
		}
		if try == 19 {
			t.Errorf("the public port is still open: %v", err)
		}
	}
}

// broken is a socket that fails.
type broken struct{ net.PacketConn }

var errBroken = errors.New("broken")

func (broken) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, errBroken }

// When a socket fails the relay ends, and says why.
func TestASocketFails(t *testing.T) {
	for name, with := range map[string]func(a, b net.PacketConn) (*Relay, error){
		"public": func(a, b net.PacketConn) (*Relay, error) { return Serve(a, b, Config{Logger: quiet}) },
		"inner":  func(a, b net.PacketConn) (*Relay, error) { return Serve(b, a, Config{Logger: quiet}) },
	} {
		bad, good := openUDP(t, anyPort), openUDP(t, anyPort)
		r := testkit.Must(with(broken{bad}, good))
		if err := r.Wait(); !errors.Is(err, errBroken) {
			t.Errorf("%s: Wait returns %v, want the error of the socket", name, err)
		}
		for _, u := range []*net.UDPConn{bad, good} {
			if err := u.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: a socket is still open", name)
			}
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
		if err := r.Wait(); !errors.Is(err, errBroken) {
			t.Errorf("%s: after Close Wait returns %v, want the error of the socket", name, err)
		}
	}
}

// The relay gives the kernel many datagrams for a node at once, unless NoSegments is set, and those for clients one by one.
func TestPropertiesOfTheSockets(t *testing.T) {
	for _, off := range []bool{false, true} {
		var segments []bool
		r, err := begin(Config{Logger: quiet, ReadBuffer: 1 << 16, WriteBuffer: 1 << 17, NoSegments: off}, func(i int, u udpio.Config) (*udpio.Conn, error) {
			if u.ReadBuffer != 1<<16 || u.WriteBuffer != 1<<17 {
				t.Errorf("the buffers have %d and %d bytes, want those of Config", u.ReadBuffer, u.WriteBuffer)
			}
			if segments = append(segments, u.Segments); i == 1 {
				return nil, errBroken
			}
			return udpio.Take(openUDP(t, anyPort), u)
		})
		if r != nil || !errors.Is(err, errBroken) {
			t.Errorf("a socket cannot be opened: %v, %v", r, err)
		}
		if want := []bool{false, !off}; !slices.Equal(segments, want) {
			t.Errorf("NoSegments %v: Segments is %v for the two sockets, want %v", off, segments, want)
		}
	}
}
