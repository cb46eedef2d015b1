package netsim

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var _ net.PacketConn = (*Conn)(nil)

// reading reads from c in a goroutine and returns the error that ends it.
func reading(c *Conn) <-chan error {
	errs := make(chan error, 1)
	go func() {
		_, _, err := c.ReadFromUDPAddrPort(make([]byte, 10))
		errs <- err
	}()
	synctest.Wait()
	return errs
}

func TestPacketConn(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		if _, err := n.client.WriteTo([]byte("ping"), n.server.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		k, from, err := n.server.ReadFrom(b)
		if err != nil || string(b[:k]) != "ping" || from.String() != clientAddr.String() {
			t.Fatalf("read %q from %v, %v; want ping from %v", b[:k], from, err, clientAddr)
		}
		if _, err := n.client.WriteTo(nil, &net.TCPAddr{}); err == nil {
			t.Error("WriteTo accepts a TCP address")
		}
		if _, err := n.client.WriteTo(make([]byte, maxPayload+1), n.server.LocalAddr()); err != errMessageTooLong {
			t.Errorf("a datagram beyond the limit of UDP: %v, want errMessageTooLong", err)
		}
	})
}

func TestReadCutsToTheBuffer(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		n.send(n.client, serverAddr, "a long one", "next")
		b := make([]byte, 6)
		k, _, _ := n.server.ReadFromUDPAddrPort(b)
		if string(b[:k]) != "a long" {
			t.Errorf("read %q, want a long", b[:k])
		}
		n.wantRead("the rest is gone", n.server, clientAddr, "next")
	})
}

func TestReadDeadline(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		begin := time.Now()
		n.server.SetReadDeadline(begin.Add(time.Second))
		if err := <-reading(n.server); err != os.ErrDeadlineExceeded {
			t.Fatalf("read: %v, want the deadline", err)
		}
		n.wantElapsed("at its time", begin, time.Second)
		if err := <-reading(n.server); err != os.ErrDeadlineExceeded {
			t.Fatalf("and again: %v, want the deadline", err)
		}
		n.wantElapsed("without waiting", begin, time.Second)

		n.send(n.client, serverAddr, "waiting")
		n.wantRead("what is there is there", n.server, clientAddr, "waiting")

		n.server.SetReadDeadline(time.Time{})
		errs := reading(n.server)
		time.Sleep(time.Hour)
		n.send(n.client, serverAddr, "late")
		if err := <-errs; err != nil {
			t.Fatalf("a read without a deadline: %v, want nil", err)
		}
	})
}

func TestDeadlineInThePastWakes(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		errs := reading(n.server)
		begin := time.Now()
		n.server.SetReadDeadline(begin)
		if err := <-errs; err != os.ErrDeadlineExceeded {
			t.Fatalf("read: %v, want the deadline", err)
		}
		n.wantElapsed("at once", begin, 0)
	})
}

func TestDeadlineMoves(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		begin := time.Now()
		n.server.SetReadDeadline(begin.Add(time.Second))
		errs := reading(n.server)
		n.server.SetReadDeadline(begin.Add(3 * time.Second))
		<-errs
		n.wantElapsed("later", begin, 3*time.Second)

		begin = time.Now()
		n.server.SetReadDeadline(begin.Add(3 * time.Second))
		errs = reading(n.server)
		n.server.SetReadDeadline(begin.Add(time.Second))
		<-errs
		n.wantElapsed("earlier", begin, time.Second)
	})
}

func TestWriteDeadline(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		n.client.SetDeadline(time.Now().Add(time.Second))
		n.send(n.client, serverAddr, "in time")
		time.Sleep(time.Second)
		if _, err := n.client.WriteToUDPAddrPort(nil, serverAddr); err != os.ErrDeadlineExceeded {
			t.Errorf("write: %v, want the deadline", err)
		}
		n.client.SetDeadline(time.Time{})
		n.send(n.client, serverAddr, "again")
		n.wantRead("both arrive", n.server, clientAddr, "in time", "again")
	})
}

func TestReadBufferIsBounded(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		n.server.SetReadBuffer(2 * (100 + datagramOverhead))
		long := strings.Repeat("x", 100)
		n.send(n.client, serverAddr, long, long, "does not fit")
		if q, d := n.server.Queued(), n.server.Dropped(); q != 2 || d != 1 {
			t.Errorf("%d queued, %d dropped, want 2 and 1", q, d)
		}
		n.wantRead("the oldest stay", n.server, clientAddr, long)
		n.send(n.client, serverAddr, "fits")
		n.wantRead("there is room again", n.server, clientAddr, long, "fits")

		for range 10_000 {
			n.send(n.client, serverAddr, "")
		}
		if q := n.server.Queued(); q != 2*(100+datagramOverhead)/datagramOverhead {
			t.Errorf("%d empty datagrams are queued, want %d", q, 2*(100+datagramOverhead)/datagramOverhead)
		}
	})
}

func TestConnClose(t *testing.T) {
	onNetwork(t, 1, Link{}, func(n *testNetwork) {
		n.send(n.client, serverAddr, "unread")
		n.wantRead("it was open", n.server, clientAddr, "unread")
		n.server.SetReadDeadline(time.Now().Add(time.Hour))
		errs := reading(n.server)
		n.server.Close()
		if err := <-errs; err != net.ErrClosed {
			t.Errorf("read: %v, want net.ErrClosed", err)
		}
		for what, err := range map[string]error{
			"Close":       n.server.Close(),
			"SetDeadline": n.server.SetDeadline(time.Now()),
			"Rebind":      n.server.Rebind(otherAddr),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s on a closed conn: %v, want net.ErrClosed", what, err)
			}
		}
		n.send(n.client, serverAddr, "nobody is there")
		if s := n.Stats(clientAddr.Addr(), serverAddr.Addr()); s.Unreachable != 1 {
			t.Errorf("stats %+v, want 1 unreachable", s)
		}
	})
}
