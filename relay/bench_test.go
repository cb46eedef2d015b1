package relay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// The relay and the echo servers that it is compared with run in processes of their own: this test again, with
// this variable, until the end of their standard input. It has the kind of server, its address, and for a relay the inner one and that
// of the node.
const childKind = "GODWIT_RELAY_BENCH"

const (
	benchClients = 256
	benchSize    = 100 // bytes of a datagram
)

// benchChild is the process that a benchmark measures, if this is one.
func benchChild() bool {
	args := strings.Fields(os.Getenv(childKind))
	if len(args) == 0 {
		return false
	}
	switch kind, addr := args[0], args[1]; kind {
	case "plain":
		c := testkit.Must(net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))))
		c.SetReadBuffer(4 << 20)
		fmt.Println(c.LocalAddr())
		go func() {
			b := make([]byte, inLen)
			for {
				n, from, err := c.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				c.WriteToUDPAddrPort(b[:n], from)
			}
		}()
	case "batched":
		c := testkit.Must(udpio.Listen(addr, udpio.Config{}))[0]
		fmt.Println(c.LocalAddr())
		go echo(c, func(*udpio.Datagram) {})
	case "relay":
		r := testkit.Must(Listen(addr, args[2], Config{
			Nodes: []Node{{1, netip.MustParseAddrPort(args[3])}}, Logger: slog.New(slog.DiscardHandler),
		}))
		fmt.Println(r.Addr())
	}
	io.Copy(io.Discard, os.Stdin)
	return true
}

// echo returns all datagrams of a socket, each after change.
func echo(c *udpio.Conn, change func(d *udpio.Datagram)) {
	in := newBatch(batchLen, inLen)
	for {
		n, err := c.ReadBatch(in)
		if err != nil {
			return
		}
		for i := range in[:n] {
			change(&in[i])
		}
		c.WriteBatch(in[:n])
	}
}

// A child is a process that is measured.
type child struct {
	cmd  *exec.Cmd
	in   io.Closer
	addr netip.AddrPort
}

func startChild(b *testing.B, args ...string) *child {
	b.Helper()
	c := &child{cmd: exec.Command(testkit.Must(os.Executable()))}
	c.cmd.Env = append(os.Environ(), childKind+"="+strings.Join(args, " "))
	c.cmd.Stderr = os.Stderr
	c.in = testkit.Must(c.cmd.StdinPipe())
	out := testkit.Must(c.cmd.StdoutPipe())
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	c.addr = netip.MustParseAddrPort(strings.TrimSpace(line))
	return c
}

// end ends the process and returns the time of processors that it has used.
func (c *child) end(b *testing.B) time.Duration {
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// BenchmarkRelay is the time of processors that a relay takes for a datagram, in either direction, beside that of
// servers that return each datagram, one by one and in batches. A datagram is received once and sent once in all of
// them. Everything that clients and the node do is in another process, and not counted. The number is that of the
// datagrams on their way: with few of them a system call moves few.
func BenchmarkRelay(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("it sends from many addresses of the loopback network, which only Linux has")
	}
	eachServer(b, func(b *testing.B, kind string, flying int) {
		const anyPort = "127.0.0.1:0"
		node := testkit.Must(udpio.Listen(anyPort, udpio.Config{Segments: true}))[0] // as a server behind a relay
		defer node.Close()
		go echo(node, func(d *udpio.Datagram) { answerAsNode(d.B) })
		measureServer(b, flying, func(to netip.AddrPort) world {
			l := newBenchLoad(b, to)
			return world{l.enter, l.run, l.conn.Close}
		}, kind, anyPort, anyPort, node.LocalAddr().String())
	})
}

// eachServer runs a benchmark for each kind of server and number of datagrams on their way.
func eachServer(b *testing.B, run func(b *testing.B, kind string, flying int)) {
	for _, flying := range []int{16, 256} {
		for _, kind := range []string{"plain", "batched", "relay"} {
			b.Run(fmt.Sprintf("%s/%d", kind, flying), func(b *testing.B) { run(b, kind, flying) })
		}
	}
}

// A world has the clients of a server.
type world struct {
	enter func()                         // makes a relay know all clients
	run   func(n, window int) (lost int) // makes n datagrams come back, of which at most window are on their way at a time
	close func() error
}

// measureServer measures a child with args while flying datagrams are on their way. open begins the world that sends to it.
func measureServer(b *testing.B, flying int, open func(to netip.AddrPort) world, args ...string) {
	idle := startChild(b, args...).end(b)
	c := startChild(b, args...)
	w := open(c.addr)
	defer w.close()
	passed := b.N
	if args[0] == "relay" {
		w.enter()
		passed = 2 * b.N
	}
	b.ResetTimer()
	lost := w.run(b.N, flying)
	b.StopTimer()
	used := c.end(b) - idle
	b.ReportMetric(float64(used.Nanoseconds())/float64(passed), "cpu-ns/datagram")
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(0, "ns/op")
}

// answerAsNode makes a datagram of a relay the one that the node sends back: proved, and a check the answer to it.
func answerAsNode(b []byte) {
	b[3] |= 0x80
	answerCheck(b[envelope.MinLen:])
}

// answerCheck makes a check, if it is one, the answer to it.
func answerCheck(b []byte) {
	if b[0] == 0 {
		b[0], b[1] = 1, 1
	}
}

// benchPayload returns a record of benchSize bytes.
func benchPayload() []byte {
	b := make([]byte, benchSize)
	b[0] = record[0]
	return b
}

// A benchLoad is many clients with one socket.
type benchLoad struct {
	b    *testing.B
	conn *udpio.Conn
	to   netip.AddrPort
	in   []udpio.Datagram
	out  []udpio.Datagram
}

func newBenchLoad(b *testing.B, to netip.AddrPort) *benchLoad {
	return &benchLoad{
		b: b, to: to, in: newBatch(batchLen, inLen), out: newBatch(batchLen, inLen),
		conn: testkit.Must(udpio.Listen("0.0.0.0:0", udpio.Config{}))[0],
	}
}

// send sends a datagram of each client from first on, to last.
func (l *benchLoad) send(first, last int, payload func() []byte) {
	for first < last {
		n := min(batchLen, last-first)
		for i := range n {
			d := &l.out[i]
			d.Remote, d.Local = l.to, netip.AddrFrom4([4]byte{127, 1, byte((first + i) >> 8), byte(first + i)})
			d.B = append(d.B[:0], payload()...)
		}
		l.conn.WriteBatch(l.out[:n])
		first += n
	}
}

// enter makes the relay know all clients.
func (l *benchLoad) enter() {
	answered := make(map[netip.Addr]bool)
	for tries := 0; len(answered) < benchClients; {
		l.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := l.conn.ReadBatch(l.in)
		if err != nil { // the first time nothing was sent
			if tries++; tries > 100 {
				l.b.Fatalf("%d of %d clients have an answer: %v", len(answered), benchClients, err)
			}
			l.send(0, benchClients, func() []byte { return check(1) })
		}
		for _, d := range l.in[:n] {
			answered[d.Local] = true
		}
	}
}

// run makes n datagrams come back, of which at most window are on their way at a time, and returns how many were lost.
func (l *benchLoad) run(n, window int) (lost int) {
	payload := benchPayload()
	next := func() []byte {
		binary.BigEndian.PutUint32(payload[3:], uint32(n))
		return payload
	}
	l.send(0, min(n, window), next)
	for flying := min(n, window); n > 0; {
		l.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		got, err := l.conn.ReadBatch(l.in)
		if err != nil {
			lost += flying
			flying = min(n, window)
			l.send(0, flying, next)
			continue
		}
		n -= got
		flying -= got
		for i := range l.in[:got] {
			d := &l.out[i]
			d.Remote, d.Local, d.B = l.to, l.in[i].Local, append(d.B[:0], l.in[i].B...)
		}
		if again := min(got, max(0, n-flying)); again > 0 {
			l.conn.WriteBatch(l.out[:again])
			flying += again
		}
	}
	return lost
}

// BenchmarkRoute is what a relay does with a datagram, without system calls.
func BenchmarkRoute(b *testing.B) {
	s := newScript(b, Config{})
	var ups, downs []udpio.Datagram
	payload := append(record, make([]byte, benchSize)...)
	for n := range 10_000 {
		c := check(1)
		s.client(clientAt(n), c)
		s.node(node1.Addr, clientAt(n), true, answer(c))
		ups = append(ups, udpio.Datagram{Remote: clientAt(n), Local: asked, B: payload})
		downs = append(downs, udpio.Datagram{Remote: node1.Addr, B: append(envelope.Append(nil, clientAt(n), true), payload...)})
	}
	for name, all := range map[string][]udpio.Datagram{"up": ups, "down": downs} {
		route := s.r.fromClient
		if name == "down" {
			route = s.r.fromNode
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				route(s.now, &all[i], s.out[:0])
				i = (i + 1) % len(all)
			}
		})
	}
}
