package rtcserver

import (
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/netsim"
)

// A datagramFlood is a socket that always has another datagram, up to a number if one is set.
type datagramFlood struct {
	*netsim.Conn
	taken atomic.Int64
	most  int64 // zero means no end
}

func (t *datagramFlood) ended() bool { return t.most > 0 && t.taken.Load() >= t.most }

func (t *datagramFlood) Queued() int {
	if t.ended() {
		return 0
	}
	return 1000
}

func (t *datagramFlood) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if t.ended() {
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	}
	t.taken.Add(1)
	return copy(b, "not ours"), netip.MustParseAddrPort("192.0.2.9:9"), nil
}

func serveDatagramFlood(t *testing.T, c Config) (*Server, *datagramFlood) {
	t.Helper()
	socket, err := netsim.New(1).Listen(netip.MustParseAddrPort("192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	flood := &datagramFlood{Conn: socket}
	s, err := Serve(flood, c)
	if err != nil {
		t.Fatal(err)
	}
	return s, flood
}

// A game loop gets its turn although datagrams never end.
func TestPollEnds(t *testing.T) {
	s, flood := serveDatagramFlood(t, Config{Manual: true})
	defer s.Close()
	if err := s.Poll(0); err != nil {
		t.Fatal(err)
	}
	if n := flood.taken.Swap(0); n != loop.MaxPolled {
		t.Errorf("a poll that does not wait took %d datagrams, want %d", n, loop.MaxPolled)
	}
	if err := s.Poll(time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	if n := flood.taken.Load(); n > batchLen {
		t.Errorf("a poll whose time was over took %d datagrams, want one batch", n)
	}
	flood.taken.Store(0)
	flood.most = 3*batchLen + 1
	if err := s.Poll(time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := flood.taken.Load(); n != flood.most {
		t.Errorf("a poll with time has received %d datagrams, want %d", n, flood.most)
	}
}

// On one processor other goroutines run after each batch although there is always another
// datagram.
func TestLoopLeavesRoom(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s, flood := serveDatagramFlood(t, Config{})
	defer s.Close()
	const turns = 100
	for range turns {
		runtime.Gosched()
	}
	if n := flood.taken.Load(); n == 0 || n > 4*turns*batchLen {
		t.Errorf("in %d turns of another goroutine a poll has received %d datagrams, want 1 to %d", turns, n, 4*turns*batchLen)
	}
}
