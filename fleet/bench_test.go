//go:build unix

package fleet

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// cpu returns the processor time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// startNATSProcess starts a NATS server in a process of its own, and returns the process and the server's address.
func startNATSProcess(b testing.TB) (c *exec.Cmd, address string) {
	c = exec.Command(os.Args[0])
	c.Env = append(os.Environ(), natsProcess+"="+b.TempDir())
	in, out := testkit.Must(c.StdinPipe()), testkit.Must(c.StdoutPipe())
	must(b, c.Start())
	b.Cleanup(func() {
		in.Close()
		c.Wait()
	})
	address = testkit.Must(bufio.NewReader(out).ReadString('\n'))
	return c, strings.TrimSpace(address)
}

// A bare is a connection to NATS without nats.go. NATS sends it what it has sent.
type bare struct {
	conn net.Conn
	got  chan func() // what the reading goroutine does when the message is back
}

// newBare connects. The goroutine that it starts ends with the benchmark.
func newBare(b *testing.B, address string) *bare {
	r := &bare{unseen(testkit.Must(net.Dial("tcp", strings.TrimPrefix(address, "nats://")))), make(chan func(), 1)}
	var reading sync.WaitGroup
	b.Cleanup(func() {
		r.conn.Close()
		reading.Wait()
	})
	testkit.Must(fmt.Fprint(r.conn, "CONNECT {\"verbose\":false}\r\nSUB bare 1\r\nPING\r\n"))
	lines := bufio.NewReader(r.conn)
	for line := ""; line != "PONG\r\n"; line = testkit.Must(lines.ReadString('\n')) {
	}
	reading.Go(func() {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "MSG bare ") {
				lines.ReadString('\n')
				(<-r.got)()
			}
		}
	})
	return r
}

// send sends a message. got runs when it is back.
func (r *bare) send(message []byte, got func()) {
	r.got <- got
	testkit.Must(fmt.Fprintf(r.conn, "PUB bare %d\r\n%s\r\n", len(message), message))
}

// BenchmarkGroup measures the processor time of one message of 100 bytes to a group, from the call to the handlers of all members: of the sender and
// all nodes that have members, in one process, without NATS, which has a process of its own. A tick, 10 ms after the one before, sends some messages: a
// benchmark that is never idle would have no cost of waking up. An iteration is a tick. Four kinds of ticks take turns of half a second, so that what
// else the machine does falls on all of them:
//
//   - idle: nothing is sent. The other kinds contain this cost.
//   - local: sender and members are on one node.
//   - across: they are on different nodes. The figure is divided by the number of nodes that have members.
//   - bare: the process sends one message to NATS without nats.go and package fleet, and the goroutine that reads it when it is back sends to the
//     members of a node. So much costs a message that leaves the process and comes back while the process sleeps, however little is done with it.
//
// Use -benchtime 2000x, which is 20 s for each row.
func BenchmarkGroup(b *testing.B) {
	_, address := startNATSProcess(b)
	for _, bb := range []struct{ nodes, members, tick int }{ // nodes with members, members of each, messages
		{1, 1, 1}, {1, 1, 10}, {1, 50, 1}, {1, 50, 10}, {3, 50, 10},
	} {
		b.Run(fmt.Sprintf("%dnodes/%dmembers/%datonce", bb.nodes, bb.members, bb.tick), func(b *testing.B) {
			var nodes []*node
			for range bb.nodes + 1 {
				nodes = append(nodes, newNode(b, Config{NATS: address}, godwit.Config{Rate: 64 << 20, Ceiling: -1}))
			}
			var missing atomic.Int64
			all := make(chan struct{})
			got := func(*godwit.Conn, godwit.ChannelID, []byte) {
				if missing.Add(-1) == 0 {
					all <- struct{}{}
				}
			}
			for _, n := range nodes[1:] {
				for i := range bb.members {
					opened := make(chan struct{})
					c, err := n.srv.Local(godwit.LocalConfig{Identity: godwit.Identity{Name: fmt.Sprint("p", i)},
						Handler: godwit.Handler{Message: got, Open: func(*godwit.Conn) { close(opened) }}})
					if err != nil {
						b.Fatal(err)
					}
					<-opened
					var server *godwit.Conn
					wait(b, "the server's end is there", func() bool { server, _ = n.srv.Conn(c.ID()); return server != nil })
					if !n.Group("everywhere").Join(server) || n == nodes[1] && !n.Group("here").Join(server) {
						b.Fatal("Join returns false")
					}
				}
				n.sync()
			}
			message := make([]byte, 100)
			send := func(g *Group) {
				for range bb.tick {
					if err := g.Send(chat, message); err != nil {
						b.Error(err)
					}
				}
			}
			here, everywhere := nodes[1].Group("here"), nodes[0].Group("everywhere")
			raw := newBare(b, address)
			kinds := []struct {
				name  string
				unit  int // the figure is for one of so many
				nodes int
				send  func()
			}{
				{"idle", 1, 0, func() {}},
				{"local", bb.tick, 1, func() { send(here) }},
				{"across", bb.tick * bb.nodes, bb.nodes, func() { send(everywhere) }},
				{"bare", bb.tick, 1, func() { raw.send(message, func() { send(here) }) }},
			}
			tell := func(k int) {
				if n := kinds[k].nodes * bb.members * bb.tick; n > 0 {
					missing.Store(int64(n))
					defer func() { <-all }()
				}
				kinds[k].send()
			}
			for k := range kinds {
				tell(k)
			}
			const turn, first = 50, 10 // ticks of a turn, and those that are not measured, because they finish what the turn before has begun
			used, ticks := make([]time.Duration, len(kinds)), make([]int, len(kinds))
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			<-tick.C
			for i, before := 0, cpu(b); b.Loop(); i++ {
				k := i / turn % len(kinds)
				tell(k)
				<-tick.C
				now := cpu(b)
				if i%turn >= first {
					used[k] += now - before
					ticks[k]++
				}
				before = now
			}
			figure := make(map[string]float64)
			for k, kind := range kinds {
				if ticks[k] > 0 {
					figure[kind.name] = float64(used[k].Nanoseconds()) / 1e3 / float64(ticks[k]) / float64(kind.unit)
					b.ReportMetric(figure[kind.name], kind.name+"-cpu-µs")
				}
			}
			if local, ok := figure["local"]; ok {
				b.ReportMetric(1.5*local+25, "limit-cpu-µs")
			}
		})
	}
}
