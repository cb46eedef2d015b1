package netsim

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestRelayGivesUpABrokenSocket: it reads on after errors, more slowly, and
// ends after a hundred in a row.
func TestRelayGivesUpABrokenSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Relay{done: make(chan struct{})}
		calls, got := 0, 0
		begin := time.Now()
		err := r.read(func(b []byte) (int, netip.AddrPort, error) {
			calls++
			if calls == 50 {
				return 1, clientAddr, nil
			}
			return 0, netip.AddrPort{}, errBroken
		}, func(netip.AddrPort, []byte) { got++ })
		if err != errBroken || calls != 150 || got != 1 {
			t.Errorf("%d calls, %d datagrams, %v; want 150, 1 and the error", calls, got, err)
		}
		if n := r.gone.ReadErrors; n != 149 {
			t.Errorf("%d errors counted, want 149", n)
		}
		// 1, 2, 4 ... 32 ms, then 64 each: 43 times before and 93 after.
		if d, want := time.Since(begin), 2*63*ms+(43+93)*64*ms; d != want {
			t.Errorf("took %v, want %v", d, want)
		}
		close(r.done)
		if err := r.read(func([]byte) (int, netip.AddrPort, error) { return 0, netip.AddrPort{}, errBroken }, nil); err != nil {
			t.Errorf("read on a closed relay: %v, want nil", err)
		}
	})
}

// TestRelayWithABrokenFront: Err tells of it.
func TestRelayWithABrokenFront(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Relay{done: make(chan struct{})}
		if err := r.Err(); err != nil {
			t.Errorf("Err() before the failure: %v, want nil", err)
		}
		r.serveFront(func([]byte) (int, netip.AddrPort, error) { return 0, netip.AddrPort{}, errBroken })
		if err := r.Err(); !errors.Is(err, errBroken) {
			t.Errorf("Err() after the failure: %v, want errBroken", err)
		}
	})
}

// TestRelayReplacesABrokenClientSocket: the next datagram gets another one.
func TestRelayReplacesABrokenClientSocket(t *testing.T) {
	server, client := newSocket(t), newSocket(t)
	r := newRelay(t, RelayConfig{Target: server.addr()})
	client.send(r.Addr(), "before")
	old := server.wantRead("before", "before")
	r.mu.Lock()
	c := r.clients[client.addr()]
	r.mu.Unlock()
	r.broken(c, c.back)
	client.send(r.Addr(), "after")
	if at := server.wantRead("after", "after"); at == old {
		t.Errorf("the relay sends from the old socket %v", at)
	}
	r.broken(c, c.back) // of a client that is gone
	if s := r.Stats(); s.Clients != 1 || s.Up.Passed != 2 {
		t.Errorf("stats %+v, want one client and nothing forgotten", s)
	}
}
