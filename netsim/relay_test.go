package netsim

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is the limit for what must happen in real time. It only bounds a hang.
const patience = 2 * time.Minute

// socket is a real UDP socket on the loopback interface.
type socket struct {
	t *testing.T
	*net.UDPConn
}

func newSocket(t *testing.T) socket {
	t.Helper()
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	u.SetReadDeadline(time.Now().Add(patience)) // what is lost fails the test instead of hanging it
	return socket{t, u}
}

func (s socket) addr() netip.AddrPort { return s.LocalAddr().(*net.UDPAddr).AddrPort() }

func (s socket) send(to netip.AddrPort, payloads ...string) {
	s.t.Helper()
	for _, p := range payloads {
		if _, err := s.WriteToUDPAddrPort([]byte(p), to); err != nil {
			s.t.Fatal(err)
		}
	}
}

// wantRead reads the payloads and returns the address of the last.
func (s socket) wantRead(what string, want ...string) (from netip.AddrPort) {
	s.t.Helper()
	b := make([]byte, 2000)
	for _, w := range want {
		n, addr, err := s.ReadFromUDPAddrPort(b)
		if err != nil || string(b[:n]) != w {
			s.t.Fatalf("%s: read %q, %v; want %q", what, b[:n], err, w)
		}
		from = addr
	}
	return from
}

// wantNothing checks that nothing is there to be read.
func (s socket) wantNothing(what string) {
	s.t.Helper()
	s.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer s.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 2000)
	if n, _, err := s.ReadFromUDPAddrPort(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Fatalf("%s: read %q, %v, want nothing", what, b[:n], err)
	}
}

// until waits for what the relay's goroutines are about to do.
func until(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}

func newRelay(t *testing.T, c RelayConfig) *Relay {
	t.Helper()
	r, err := ListenRelay(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRelayEcho(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr()})
	client.send(r.Addr(), "ping", "")
	at := server.wantRead("the server hears both", "ping", "")
	if at == client.addr() || at == r.Addr() {
		t.Errorf("they come from %v, want a port of the relay's own", at)
	}
	server.send(at, "pong")
	if from := client.wantRead("the answer", "pong"); from != r.Addr() {
		t.Errorf("it comes from %v, want the relay's %v", from, r.Addr())
	}
	s := r.Stats()
	if s.Clients != 1 || s.Up.Passed != 2 || s.Down.Passed != 1 || s.Up.PassedBytes != 4 {
		t.Errorf("%+v, want 1 client, 2 datagrams up and 1 down", s)
	}
}

func TestRelayKeepsClientsApart(t *testing.T) {
	server, one, two := newSocket(t), newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr()})
	one.send(r.Addr(), "one")
	atOne := server.wantRead("the first", "one")
	two.send(r.Addr(), "two")
	atTwo := server.wantRead("the second", "two")
	if atOne == atTwo {
		t.Fatalf("both clients have the port of %v", atOne)
	}
	server.send(atTwo, "to two")
	server.send(atOne, "to one")
	one.wantRead("its own answer", "to one")
	two.wantRead("its own answer", "to two")
}

func TestRelayLetsOnlyTheTargetIn(t *testing.T) {
	server, client, stranger := newSocket(t), newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr()})
	client.send(r.Addr(), "hello")
	at := server.wantRead("the mapping", "hello")
	stranger.send(at, "let me in")
	server.send(at, "from the server")
	client.wantRead("the stranger's comes first or not at all", "from the server")
}

// TestRelayDelays checks the lower bound only: how late it gets is the
// machine's affair.
func TestRelayDelays(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr(), Up: Link{Delay: 30 * ms}, Down: Link{Delay: 20 * ms}})
	begin := time.Now()
	client.send(r.Addr(), "1", "2", "3")
	at := server.wantRead("in order", "1", "2", "3")
	if d := time.Since(begin); d < 30*ms {
		t.Errorf("up takes %v, want 30 ms", d)
	}
	server.send(at, "4")
	client.wantRead("the answer", "4")
	if d := time.Since(begin); d < 50*ms {
		t.Errorf("there and back takes %v, want 50 ms", d)
	}
}

func TestRelayShorterDelayOvertakesNobody(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr(), Up: Link{Delay: time.Hour}})
	slow := newSocket(t)
	slow.send(r.Addr(), "in an hour")
	until(func() bool { return r.Stats().Up.Passed == 1 })
	r.SetUp(Link{Delay: 5 * ms})
	client.send(r.Addr(), "soon")
	server.wantRead("the scheduler turns to the earlier one", "soon")
}

func TestRelayLinksAreLive(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr()})
	client.send(r.Addr(), "open")
	at := server.wantRead("open", "open")

	r.SetUp(Link{Loss: 1})
	client.send(r.Addr(), "lost")
	until(func() bool { return r.Stats().Up.Lost == 1 })
	server.send(at, "still open")
	client.wantRead("the way down", "still open")
	r.SetUp(Link{Duplicate: 1})
	client.send(r.Addr(), "twice")
	server.wantRead("the way up again", "twice", "twice")

	r.SetDown(Link{MTU: 4})
	server.send(at, "too long", "ok")
	client.wantRead("what fits", "ok")
}

func TestRelayBlackout(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr()})
	client.send(r.Addr(), "before")
	at := server.wantRead("before", "before")
	r.BlackoutFor(time.Hour)
	client.send(r.Addr(), "lost")
	server.send(at, "lost")
	until(func() bool { s := r.Stats(); return s.Up.Lost == 1 && s.Down.Lost == 1 })
	r.BlackoutFor(0)
	client.send(r.Addr(), "after")
	server.wantRead("after", "after")
	server.send(at, "after")
	client.wantRead("after", "after")
}

func TestRelayRebind(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr()})
	client.send(r.Addr(), "before")
	old := server.wantRead("before", "before")
	if err := r.Rebind(); err != nil {
		t.Fatal(err)
	}
	server.send(old, "lost")
	client.send(r.Addr(), "after")
	at := server.wantRead("after", "after")
	if at == old {
		t.Fatalf("the relay still uses the port of %v", at)
	}
	server.send(at, "found")
	client.wantRead("only the new port leads back", "found")
	if n := r.Stats().Clients; n != 1 {
		t.Errorf("%d clients, want 1", n)
	}
}

func TestRelayEvictsTheIdle(t *testing.T) {
	server := newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr(), MaxClients: 2})
	var clients [3]socket
	var at [3]netip.AddrPort
	join := func(i int) {
		clients[i] = newSocket(t)
		clients[i].send(r.Addr(), fmt.Sprint("client ", i))
		at[i] = server.wantRead("a new client", fmt.Sprint("client ", i))
	}
	join(0)
	join(1)
	clients[0].send(r.Addr(), "busy")
	server.wantRead("the first is not idle", "busy")
	join(2)
	if s := r.Stats(); s.Clients != 2 || s.Evicted != 1 || s.Up.Passed != 4 {
		t.Errorf("stats %+v, want 2 clients, 1 evicted, nothing forgotten", s)
	}
	server.send(at[0], "still here")
	clients[0].wantRead("the busy one stays", "still here")
	clients[1].send(r.Addr(), "back")
	server.wantRead("the idle one starts over", "back") // now and then with its old port
	if s := r.Stats(); s.Clients != 2 || s.Evicted != 2 {
		t.Errorf("stats %+v, want 2 clients, 2 evicted", s)
	}
}

func TestRelayTap(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	names := map[netip.AddrPort]string{server.addr(): "server", client.addr(): "client"}
	var seen []string
	r := newRelay(t, RelayConfig{Target: server.addr(), Tap: func(p *Packet) bool {
		seen = append(seen, fmt.Sprintf("%v to %v: %s", names[p.From], names[p.To], p.Payload))
		p.Payload = append(p.Payload, '!')
		return len(seen) != 2
	}})
	client.send(r.Addr(), "1", "2", "3")
	at := server.wantRead("the second is dropped", "1!", "3!")
	server.send(at, "4")
	client.wantRead("the answer", "4!")
	r.SetTap(nil)
	client.send(r.Addr(), "5")
	server.wantRead("no tap, no change", "5")
	if got, want := fmt.Sprint(seen), "[client to server: 1 client to server: 2 client to server: 3 server to client: 4]"; got != want {
		t.Errorf("the tap saw %s, want %s", got, want)
	}
	if s := r.Stats(); s.Up.Tapped != 1 {
		t.Errorf("stats %+v, want 1 tapped", s)
	}
}

// TestRelaySameSeedSameLosses: the first client's nth datagram has the same
// fate in every run with the seed, and others with another one.
func TestRelaySameSeedSameLosses(t *testing.T) {
	run := func(seed uint64) (got []byte) {
		server, client := newSocket(t), newSocket(t)
		r := newRelay(t, RelayConfig{Target: server.addr(), Seed: seed, Up: Link{Loss: 0.5}})
		for i := range 100 {
			client.send(r.Addr(), string([]byte{byte(i)}))
		}
		until(func() bool { return r.Stats().Up.Sent == 100 })
		for range r.Stats().Up.Passed {
			b := make([]byte, 10)
			if _, _, err := server.ReadFromUDPAddrPort(b); err != nil {
				t.Fatal(err)
			}
			got = append(got, b[0])
		}
		return got
	}
	if a, b := run(7), run(7); string(a) != string(b) || len(a) < 30 || len(a) > 70 {
		t.Errorf("two runs differ, or lose another share than half:\n%v\n%v", a, b)
	} else if c := run(8); string(a) == string(c) {
		t.Errorf("another seed loses the same datagrams: %v", c)
	}
}

func TestRelayOnAnotherAddress(t *testing.T) {
	client6, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skip("needs IPv6")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer client6.Close()
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{
		Listen: netip.MustParseAddrPort("[::1]:0"),
		Target: server.addr(),
		Source: netip.MustParseAddr("127.0.0.1"),
	})
	if !r.Addr().Addr().Is6() {
		t.Fatalf("the relay listens at %v, want an IPv6 address", r.Addr())
	}
	socket{t, client6}.send(r.Addr(), "from IPv6 to IPv4")
	at := server.wantRead("an IPv6 client", "from IPv6 to IPv4")
	server.send(at, "and back")
	client6.SetReadDeadline(time.Now().Add(patience))
	socket{t, client6}.wantRead("the answer", "and back")
	client.wantNothing("somebody else")
}

// The target hears clients from the address of Source, which is not the one that the system would choose.
func TestRelayFromAnotherAddress(t *testing.T) {
	source := netip.MustParseAddr("127.0.0.2")
	if c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))); err != nil {
		t.Skipf("needs %v: %v", source, err)
	} else {
		c.Close()
	}
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr(), Source: source})
	client.send(r.Addr(), "hello")
	if at := server.wantRead("the target", "hello"); at.Addr() != source {
		t.Errorf("it comes from %v, want %v", at, source)
	}
}

func TestRelayErrors(t *testing.T) {
	if _, err := ListenRelay(RelayConfig{}); err == nil {
		t.Error("ListenRelay without a target returns no error")
	}
	taken := newSocket(t).addr()
	if _, err := ListenRelay(RelayConfig{Listen: taken, Target: taken}); err == nil {
		t.Error("ListenRelay at a used port returns no error")
	}
	r := newRelay(t, RelayConfig{Target: taken})
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != net.ErrClosed {
		t.Errorf("a second Close: %v, want net.ErrClosed", err)
	}
	if err := r.Rebind(); err != net.ErrClosed {
		t.Errorf("Rebind after Close: %v, want net.ErrClosed", err)
	}
}

// TestRelayTargetIsDown: what the target's absence does to a socket stays with
// the datagram that met it.
func TestRelayTargetIsDown(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	addr := server.addr()
	r := newRelay(t, RelayConfig{Target: addr})
	server.Close()
	client.send(r.Addr(), "nobody hears")
	until(func() bool { return r.Stats().Up.Passed == 1 })
	u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.SetReadDeadline(time.Now().Add(patience))
	server = socket{t, u}
	client.send(r.Addr(), "back again")
	b := make([]byte, 100)
	for string(b) != "back again" { // the first may have been late enough
		n, _, err := server.ReadFromUDPAddrPort(b[:cap(b)])
		if err != nil {
			t.Fatal(err)
		}
		b = b[:n]
	}
}

func TestRelayBlackoutEndsByItself(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr()})
	r.BlackoutFor(time.Hour)
	client.send(r.Addr(), "lost")
	until(func() bool { return r.Stats().Up.Lost == 1 })
	r.BlackoutFor(time.Nanosecond)
	client.send(r.Addr(), "after")
	server.wantRead("it is over", "after")
}

// TestRelayBottleneck: a client's datagram finds the queue full of another's.
func TestRelayBottleneck(t *testing.T) {
	server, one, two := newSocket(t), newSocket(t), newSocket(t)
	neck := NewBottleneck(1, 1000) // nothing leaves while the test runs
	r := newRelay(t, RelayConfig{Target: server.addr(), Up: Link{Through: neck}})
	thousand := strings.Repeat("x", 1000)
	one.send(r.Addr(), thousand)
	until(func() bool { return r.Stats().Up.Passed == 1 })
	two.send(r.Addr(), thousand)
	until(func() bool { return r.Stats().Up.QueueDropped == 1 })
	if s := r.Stats(); s.UpBacklog < 1 || s.UpBacklog > 1000 || s.DownBacklog != 0 || s.UnderWay != 1 {
		t.Errorf("stats %+v, want a datagram in the queue", s)
	}
}

func TestRelayBacklog(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr(), Up: Link{Rate: 1}})
	client.send(r.Addr(), strings.Repeat("x", 1000))
	until(func() bool { return r.Stats().Up.Passed == 1 })
	if s := r.Stats(); s.UpBacklog < 1 || s.UpBacklog > 1000 {
		t.Errorf("stats %+v, want a datagram in the queue", s)
	}
}

func TestRelayRecordAndReplay(t *testing.T) {
	server, client, other := newSocket(t), newSocket(t), newSocket(t)
	var text bytes.Buffer
	record := NewRecorder(&text)
	r := newRelay(t, RelayConfig{Target: server.addr(), Up: Link{Loss: 1}, Record: record})
	client.send(r.Addr(), "lost")
	until(func() bool { return r.Stats().Up.Lost == 1 })
	r.SetUp(Link{Delay: ms, Duplicate: 1})
	other.send(r.Addr(), "hello")
	at := server.wantRead("another client", "hello", "hello")
	server.send(at, "answer")
	other.wantRead("and its answer", "answer")
	r.Close()
	if err := record.Flush(); err != nil {
		t.Fatal(err)
	}
	trace, err := ReadTrace(&text)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(Paths(trace)), "[up-1 up-2 down-2]"; got != want {
		t.Errorf("the paths are %s, want %s", got, want)
	}
	if f := trace[1]; f.Size != 5 || len(f.After) != 2 || f.After[0] != ms || f.At <= 0 {
		t.Errorf("the second datagram of the trace is %+v", f)
	}

	replay, err := NewReplay(trace, "up-2")
	if err != nil {
		t.Fatal(err)
	}
	r = newRelay(t, RelayConfig{Target: server.addr(), Up: Link{Replay: replay}})
	client.send(r.Addr(), "doubled")
	server.wantRead("like the recorded one", "doubled", "doubled")
}
