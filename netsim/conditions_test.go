package netsim

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestNetworkBlackout(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		client, server := clientAddr.Addr(), serverAddr.Addr()
		var anyHost netip.Addr
		for _, from := range []netip.Addr{client, anyHost} {
			for _, to := range []netip.Addr{server, anyHost} {
				n.BlackoutFor(from, to, 6*time.Second)
				n.send(n.client, serverAddr, "lost")
				n.wantNone("it is dark", n.server)
				time.Sleep(6 * time.Second)
				n.send(n.client, serverAddr, "passed")
				n.wantRead("and no longer", n.server, clientAddr, "passed")
			}
		}
		n.BlackoutFor(client, server, time.Hour)
		n.send(n.server, clientAddr, "passed")
		n.wantRead("the other direction is open", n.client, serverAddr, "passed")
		n.BlackoutFor(client, server, 0)
		n.send(n.client, serverAddr, "passed")
		n.wantRead("it was called off", n.server, clientAddr, "passed")
		if s := n.Stats(client, server); s.Lost != 4 || len(n.dark) != 1 {
			t.Errorf("%d lost, %d blackouts kept, want 4 and 1", s.Lost, len(n.dark))
		}
	})
}

// TestNetworkBottleneck: two hosts behind one line.
func TestNetworkBottleneck(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		other := n.listen(otherAddr)
		n.SetLink(netip.Addr{}, serverAddr.Addr(), Link{Through: NewBottleneck(1000, 0)})
		begin := time.Now()
		n.send(n.client, serverAddr, "0123456789")
		n.send(other, serverAddr, "0123456789")
		n.wantRead("the first", n.server, clientAddr, "0123456789")
		n.wantElapsed("ten bytes", begin, 10*ms)
		n.wantRead("the second", n.server, otherAddr, "0123456789")
		n.wantElapsed("waited for them", begin, 20*ms)
	})
}

// TestNetworkRecordAndReplay: a run, and one that has its fates from the
// first one's trace.
func TestNetworkRecordAndReplay(t *testing.T) {
	run := func(l Link, r *Recorder) (log string) {
		onNetwork(t, 1, l, func(n *testNetwork) {
			n.SetRecorder(r)
			begin := time.Now()
			n.server.SetReadDeadline(begin.Add(time.Minute))
			go func() {
				for i := range 200 {
					n.send(n.client, serverAddr, fmt.Sprint("datagram ", i))
					time.Sleep(10 * ms)
				}
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
			log = out.String()
		})
		return log
	}
	var text bytes.Buffer
	r := NewRecorder(&text)
	want := run(terrible, r)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	trace, err := ReadTrace(&text)
	if err != nil {
		t.Fatal(err)
	}
	replay, err := NewReplay(trace, "10.0.0.1>10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	if replay.Len() != 200 {
		t.Fatalf("%d datagrams recorded, want 200", replay.Len())
	}
	if got := run(Link{Replay: replay}, nil); got != want {
		t.Errorf("the replay differs: recorded\n%s\nreplayed\n%s", want, got)
	}
}
