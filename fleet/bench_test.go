//go:build unix

package fleet

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
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

// startNATSProcess starts a NATS server in a process of its own, and returns its address.
func startNATSProcess(b *testing.B) string {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), natsProcess+"="+b.TempDir())
	in, out := testkit.Must(c.StdinPipe()), testkit.Must(c.StdoutPipe())
	must(b, c.Start())
	b.Cleanup(func() {
		in.Close()
		c.Wait()
	})
	address := testkit.Must(bufio.NewReader(out).ReadString('\n'))
	return strings.TrimSpace(address)
}

// BenchmarkGroup measures the processor time of one message of 100 bytes to a group, from the call to the handlers
// of all members: of the sender and all nodes that have members, in one process, without NATS, which has a process of its own. "local" has
// sender and members on one node; "across" has them on different ones, so that the difference, divided by the nodes, is what another node
// costs. A tick, 10 ms after the one before, sends some messages: a benchmark that is never idle would have no cost of waking up. Use
// -benchtime 300x.
func BenchmarkGroup(b *testing.B) {
	address := startNATSProcess(b)
	for _, bb := range []struct {
		how            string
		nodes, members int // of each node
		tick           int // messages
	}{
		{"local", 1, 1, 1}, {"across", 1, 1, 1},
		{"local", 1, 1, 10}, {"across", 1, 1, 10},
		{"local", 1, 50, 1}, {"across", 1, 50, 1},
		{"local", 1, 50, 10}, {"across", 1, 50, 10}, {"across", 3, 50, 10},
	} {
		b.Run(fmt.Sprintf("%s/%dnodes/%dmembers/%datonce", bb.how, bb.nodes, bb.members, bb.tick), func(b *testing.B) {
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
					if !n.Group("lobby").Join(server) {
						b.Fatal("Join returns false")
					}
				}
				n.sync()
			}
			g := nodes[0].Group("lobby")
			if bb.how == "local" {
				g = nodes[1].Group("lobby")
			}
			message := make([]byte, 100)
			send := func() {
				missing.Store(int64(bb.nodes * bb.members * bb.tick))
				for range bb.tick {
					if err := g.Send(chat, message); err != nil {
						b.Fatal(err)
					}
				}
				<-all
			}
			send()
			b.ReportAllocs()
			before := cpu(b)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for b.Loop() {
				<-tick.C
				send()
			}
			used := cpu(b) - before
			each := float64(used.Nanoseconds()) / 1e3 / float64(b.N) / float64(bb.tick)
			b.ReportMetric(each, "cpu-µs/message")
			b.ReportMetric(each/float64(bb.nodes*bb.members), "cpu-µs/member")
		})
	}
}
