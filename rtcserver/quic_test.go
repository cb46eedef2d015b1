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
		first.Close()
		q := testkit.Must(w.server.QUIC())
		first.Close()
		b := make([]byte, 100)
		reads := make(chan error)
		go func() {
			_, _, err := q.ReadFrom(b)
			reads <- err
		}()
		synctest.Wait()
		w.server.Close()
		to := net.UDPAddrFromAddrPort(attackerAddr)
		_, w1 := q.WriteTo(b, to)
		_, w2 := first.WriteTo(b, to)
		_, _, r2 := first.ReadFrom(b)
		for i, err := range []error{<-reads, r2, w1, w2} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("call %d: %v", i, err)
			}
		}
		if _, err := w.server.QUIC(); err != ErrClosed {
			t.Errorf("after the server's end: %v", err)
		}
	})
}

// WriteTo refuses what is not a datagram for an address of UDP.
func TestQUICConnChecksWhatItSends(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		q := testkit.Must(w.server.QUIC())
		if _, err := q.WriteTo([]byte("Q"), new(net.TCPAddr)); err == nil {
			t.Error("an address of TCP")
		}
		if _, err := q.WriteTo(make([]byte, outLen+1), net.UDPAddrFromAddrPort(attackerAddr)); err == nil {
			t.Error("a datagram that is too large")
		}
	})
}

// The datagrams of QUIC leave through the socket and from the address at which the last one of the
// client has arrived.
func TestQUICGoesBackTheWayItCame(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		q := testkit.Must(w.server.QUIC())
		other := newShard(w.server, udpio.New(testkit.Listen(t, w.network, netip.MustParseAddrPort("192.0.2.9:7777"))))
		d := udpio.Datagram{B: []byte("Q"), Remote: attackerAddr, Local: netip.MustParseAddr("192.0.2.9")}
		if !q.add(other, &d) {
			t.Fatal("not taken")
		}
		_, addr := w.read(q)
		page := testkit.Listen(t, w.network, attackerAddr)
		testkit.Must(q.WriteTo([]byte("Quack"), addr))
		b := make([]byte, 100)
		if _, from, err := page.ReadFrom(b); err != nil || from.String() != "192.0.2.9:7777" {
			t.Errorf("from %v, %v", from, err)
		}
	})
}

// A datagram of QUIC costs no allocation, except the first one of an address.
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
	})
}
