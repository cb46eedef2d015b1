package rtcserver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// read reads one datagram that is there, and returns it with its address.
func (w *world) read(q *QUICConn) (string, net.Addr) {
	w.t.Helper()
	q.SetReadDeadline(time.Now().Add(time.Second))
	defer q.SetReadDeadline(time.Time{})
	b := make([]byte, quicLen)
	n, addr, err := q.ReadFrom(b)
	if err != nil {
		return err.Error(), nil
	}
	return string(b[:n]), addr
}

// The first byte of a datagram decides whether it is QUIC's: 64 to 127 and 192 to 255. All others
// stay with WebRTC, and a page on the same port notices nothing.
func TestQUICSharesThePort(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p := w.open()
		q := testkit.Must(w.server.QUIC())
		if q.LocalAddr().String() != serverAddr.String() {
			t.Errorf("the local address is %v", q.LocalAddr())
		}
		for first := range 256 {
			w.network.Inject(attackerAddr, serverAddr, []byte{byte(first), 'x'})
			synctest.Wait()
			got, from := "", net.Addr(nil)
			if first&0x40 != 0 {
				got, from = w.read(q)
			}
			if first&0x40 != 0 && (got != string([]byte{byte(first), 'x'}) || from.String() != attackerAddr.String()) || len(q.queue) != 0 {
				t.Fatalf("first byte %d: %q from %v, %d wait", first, got, from, len(q.queue))
			}
		}
		other := testkit.Listen(t, w.network, attackerAddr)
		testkit.Must(q.WriteTo([]byte("Quack"), net.UDPAddrFromAddrPort(attackerAddr)))
		b := make([]byte, 100)
		n, from, err := other.ReadFrom(b)
		if err != nil || string(b[:n]) != "Quack" || from.String() != serverAddr.String() {
			t.Errorf("%q from %v, %v", b[:n], from, err)
		}
		p.echoes("undisturbed")
	})
}

// Datagrams that nobody reads are dropped and counted, from the 257th on, and a reader gets the
// oldest ones first. Without a QUICConn all are dropped.
func TestQUICThatNobodyReadsIsDropped(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		send := func(n int, size int) {
			for i := range n {
				w.network.Inject(attackerAddr, serverAddr, fmt.Appendf(nil, "Q%0*d", size-1, i))
				if i%32 == 31 {
					synctest.Wait()
				}
			}
			synctest.Wait()
		}
		wantDrops := func(notOurs, quic uint64) {
			t.Helper()
			if d := w.server.Stats().Drops; d[DropNotOurs] != notOurs || d[DropQUIC] != quic {
				t.Errorf("%d not ours and %d of QUIC, want %d and %d", d[DropNotOurs], d[DropQUIC], notOurs, quic)
			}
		}
		send(5, 10)
		wantDrops(5, 0)
		q := testkit.Must(w.server.QUIC())
		send(1, quicLen+1)
		wantDrops(5, 1)
		send(1, quicLen)
		if got, _ := w.read(q); len(got) != quicLen {
			t.Errorf("the largest datagram has %d bytes, want %d", len(got), quicLen)
		}
		send(quicQueue+44, 1200)
		wantDrops(5, 45)
		for i := range quicQueue {
			if got, _ := w.read(q); got != fmt.Sprintf("Q%01199d", i) {
				t.Fatalf("datagram %d begins with %.10q", i, got)
			}
		}
		if got, _ := w.read(q); got != os.ErrDeadlineExceeded.Error() {
			t.Errorf("after the last: %.10q", got)
		}
		q.Close()
		send(1, 10)
		wantDrops(6, 45)
	})
}

// A port has one QUICConn at a time, and none when the server is closed. Calls on a closed one
// return at once.
func TestTheEndOfAQUICConn(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		first := testkit.Must(w.server.QUIC())
		if _, err := w.server.QUIC(); err == nil {
			t.Error("a second QUICConn")
		}
		for range 20 {
			first.add(w.server.shards[0], &udpio.Datagram{B: []byte("Q"), Remote: attackerAddr})
		}
		first.Close()
		q := testkit.Must(w.server.QUIC())
		first.Close()
		b, to := make([]byte, 100), net.UDPAddrFromAddrPort(attackerAddr)
		for range 20 { // also while datagrams wait
			if _, _, err := first.ReadFrom(b); err != net.ErrClosed {
				t.Errorf("ReadFrom after Close: %v", err)
			}
		}
		first.SetReadDeadline(time.Now())
		if _, _, err := first.ReadFrom(b); err != net.ErrClosed {
			t.Errorf("ReadFrom after Close and its deadline: %v", err)
		}
		if _, err := first.WriteTo(b, to); err != net.ErrClosed {
			t.Errorf("WriteTo after Close: %v", err)
		}
		reads := make(chan error)
		go func() {
			_, _, err := q.ReadFrom(b)
			reads <- err
		}()
		synctest.Wait()
		w.server.Close()
		_, w1 := q.WriteTo(b, to)
		_, w2 := first.WriteTo(b, to)
		_, _, r2 := first.ReadFrom(b)
		for i, err := range []error{<-reads, r2, w1, w2} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		for range 2 {
			if _, err := w.server.QUIC(); err != ErrClosed {
				t.Errorf("after the server's end: %v", err)
			}
		}
	})
}

// A deadline ends a ReadFrom that waits, also one that is set meanwhile and has passed, and until it is
// changed, those that follow.
func TestDeadlinesOfAQUICConn(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		q := testkit.Must(w.server.QUIC())
		start := time.Now()
		wait := func() chan time.Duration {
			ends := make(chan time.Duration, 1)
			go func() {
				if _, _, err := q.ReadFrom(make([]byte, 100)); err != os.ErrDeadlineExceeded {
					t.Error(err)
				}
				ends <- time.Since(start)
			}()
			synctest.Wait()
			return ends
		}
		ends := wait()
		q.SetDeadline(start.Add(time.Second))
		if took := <-ends; took != time.Second {
			t.Errorf("it ends after %v, want 1 s", took)
		}
		if took := <-wait(); took != time.Second {
			t.Errorf("the next one ends after %v, want 1 s", took)
		}
		q.SetReadDeadline(time.Time{})
		ends = wait()
		time.Sleep(time.Minute)
		if len(ends) > 0 {
			t.Error("without a deadline it ends")
		}
		q.SetReadDeadline(start)
		if took := <-ends; took != time.Minute+time.Second {
			t.Errorf("a deadline that has passed ends it after %v", took)
		}
		// At its moment a deadline has passed, also if a datagram waits.
		q.add(w.server.shards[0], &udpio.Datagram{B: []byte("Q"), Remote: attackerAddr})
		q.SetReadDeadline(time.Now())
		if n, _, err := q.ReadFrom(make([]byte, 100)); n != 0 || err != os.ErrDeadlineExceeded {
			t.Errorf("%d bytes, %v at the deadline; want %v", n, err, os.ErrDeadlineExceeded)
		}
	})
}

// WriteTo refuses what is not a datagram for an address of UDP.
func TestQUICConnChecksWhatItSends(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		q := testkit.Must(w.server.QUIC())
		const want = "write udp 192.0.2.1:7: not an address of UDP, or too many bytes"
		if _, err := q.WriteTo([]byte("Q"), &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7}); fmt.Sprint(err) != want {
			t.Errorf("an address of TCP: %v, want %s", err, want)
		}
		if _, err := q.WriteTo(make([]byte, outLen+1), net.UDPAddrFromAddrPort(attackerAddr)); err == nil {
			t.Error("a datagram that is too large")
		}
		if n, err := q.WriteTo(make([]byte, outLen), net.UDPAddrFromAddrPort(attackerAddr)); n != outLen || err != nil {
			t.Errorf("the largest datagram: %d bytes, %v", n, err)
		}
	})
}

// way sends a datagram to an address, in the long form of IPv4, and returns the address of the server
// from which it comes.
func (w *world) way(q *QUICConn, to netip.AddrPort) string {
	w.t.Helper()
	page := testkit.Listen(w.t, w.network, to)
	defer page.Close()
	long := to.Addr().As16()
	testkit.Must(q.WriteTo([]byte("Quack"), &net.UDPAddr{IP: long[:], Port: int(to.Port())}))
	_, from, err := page.ReadFrom(make([]byte, 100))
	if err != nil {
		w.t.Fatal(err)
	}
	return from.String()
}

// The datagrams of QUIC leave through the socket at which the last one of the client has arrived, as
// long as its address is among those that the QUICConn knows.
func TestQUICGoesBackTheWayItCame(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		q := testkit.Must(w.server.QUIC())
		other := newShard(w.server, udpio.New(testkit.Listen(t, w.network, netip.MustParseAddrPort("192.0.2.9:7777"))))
		arrives := func(s *shard, remote netip.AddrPort) {
			t.Helper()
			if !q.add(s, &udpio.Datagram{B: []byte("Q"), Remote: remote}) {
				t.Fatal("not taken")
			}
			if _, from := w.read(q); from.String() != remote.String() {
				t.Fatalf("a datagram of %v is one of %v", remote, from)
			}
		}
		for _, s := range []*shard{other, w.server.shards[0], other} {
			arrives(s, attackerAddr)
			want := "192.0.2.9:7777"
			if s != other {
				want = serverAddr.String()
			}
			if got := w.way(q, attackerAddr); got != want {
				t.Errorf("it leaves from %v, want %v", got, want)
			}
		}
		for port := range 20 * quicPeers { // many times as many as it knows
			arrives(other, netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), uint16(1+port)))
		}
		if got := w.way(q, attackerAddr); got != serverAddr.String() {
			t.Errorf("to an address that it has forgotten, it leaves from %v", got)
		}
	})
}

// The local address of a client's last datagram is the one from which the server answers: on a machine
// with several addresses a client sees the one to which it has sent.
func TestQUICAnswersFromTheAddressOfTheClient(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		q := testkit.Must(w.server.QUIC())
		for _, local := range []string{"192.0.2.7", "192.0.2.8"} {
			d := udpio.Datagram{B: []byte("Q"), Remote: attackerAddr, Local: netip.MustParseAddr(local)}
			if !q.add(w.server.shards[0], &d) {
				t.Fatal("not taken")
			}
			w.read(q)
			if p := q.peer(attackerAddr).Load(); p.local != d.Local {
				t.Errorf("the answer leaves from %v, want %v", p.local, local)
			}
		}
	})
}

// A shard whose socket has failed sends nothing more.
func TestQUICOverAShardThatHasFailed(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		q := testkit.Must(w.server.QUIC())
		other := newShard(w.server, udpio.New(testkit.Listen(t, w.network, netip.MustParseAddrPort("192.0.2.9:7777"))))
		q.add(other, &udpio.Datagram{B: []byte("Q"), Remote: attackerAddr})
		_, addr := w.read(q)
		other.loop.Lock()
		other.loop.Close()
		other.loop.Unlock()
		if n, err := q.WriteTo([]byte("Quack"), addr); n != 0 || err != net.ErrClosed {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// A datagram of QUIC costs no allocation, except the first one of an address. One that is dropped costs
// none either.
func TestQUICDoesNotAllocate(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		q := testkit.Must(w.server.QUIC())
		d := udpio.Datagram{B: make([]byte, 1200), Remote: attackerAddr}
		b := make([]byte, quicLen)
		q.add(w.server.shards[0], &d)
		q.ReadFrom(b)
		if n := testing.AllocsPerRun(100, func() {
			q.add(w.server.shards[0], &d)
			q.ReadFrom(b)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
		for q.add(w.server.shards[0], &d) {
		}
		if n := testing.AllocsPerRun(100, func() { q.add(w.server.shards[0], &d) }); n != 0 {
			t.Errorf("%v allocations for one that is dropped", n)
		}
	})
}
