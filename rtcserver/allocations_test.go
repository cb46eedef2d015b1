package rtcserver

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// A recordingSocket is a socket that can be cut off from its network: then reads return the
// recorded datagrams, and writes are dropped.
type recordingSocket struct {
	*netsim.Conn
	mu       sync.Mutex
	cut      bool
	recorded [][]byte
	from     netip.AddrPort
	sent     int
}

func (t *recordingSocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.cut {
		t.mu.Unlock()
		defer t.mu.Lock()
		return t.Conn.ReadFromUDPAddrPort(b)
	}
	if len(t.recorded) == 0 {
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	}
	n := copy(b, t.recorded[0])
	t.recorded = t.recorded[1:]
	return n, t.from, nil
}

func (t *recordingSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		t.sent++
		return len(b), nil
	}
	return t.Conn.WriteToUDPAddrPort(b, to)
}

func (t *recordingSocket) SetReadDeadline(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		return nil
	}
	return t.Conn.SetReadDeadline(at)
}

func (t *recordingSocket) Queued() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		return len(t.recorded) % 2 // a batch has two
	}
	return t.Conn.Queued()
}

var _ net.PacketConn = (*recordingSocket)(nil)

// onRecording runs a test with a polled echo server and n datagrams that a page has
// sent and that have not been read.
func onRecording(t *testing.T, n int, test func(w *world, rec *recordingSocket)) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		w := &world{t: t, network: network, events: make(chan string, 100)}
		pc := testkit.Listen(t, network, serverAddr)
		rec := &recordingSocket{Conn: pc}
		w.serve(rec, Config{Manual: true, Handler: Handler{Message: func(c *Conn, m Message) { c.Send(m.Stream, m.Kind, m.Data) }}})
		defer w.server.Close()
		var p *page
		done := make(chan struct{})
		go func() { defer close(done); p = w.open(); p.echoes("before the recording") }()
		for over := false; !over; {
			w.server.Poll(time.Millisecond)
			select {
			case <-done:
				over = true
			default:
			}
		}
		w.network.SetTap(func(packet *netsim.Packet) bool {
			if packet.To == serverAddr {
				rec.recorded = append(rec.recorded, append([]byte(nil), packet.Payload...))
			}
			return false
		})
		for len(rec.recorded) < n {
			if err := p.conn.Send(0, client.Binary, make([]byte, 200)); err != nil {
				t.Fatal(err)
			}
		}
		rec.mu.Lock()
		rec.cut, rec.from = true, p.addr()
		rec.mu.Unlock()
		test(w, rec)
	})
}

// Two messages in and two out, through the whole of a shard's turn.
func TestATurnDoesNotAllocate(t *testing.T) {
	onRecording(t, 3000, func(w *world, rec *recordingSocket) {
		turn := func() { w.server.Poll(0) }
		for range 500 { // until what grows has grown
			turn()
		}
		before := w.server.Stats()
		rec.sent = 0
		if n := testing.AllocsPerRun(400, turn); n != 0 {
			t.Errorf("%v allocations in a turn, want 0", n)
		}
		after := w.server.Stats()
		if in, out := after.MessagesIn-before.MessagesIn, after.MessagesOut-before.MessagesOut; in < 800 || out != in || rec.sent < int(out) {
			t.Errorf("%d messages in and %d out in 401 turns, %d datagrams written", in, out, rec.sent)
		}
	})
}

// Dropped datagrams cost no allocation: spoofed handshakes and checks, forged records, noise.
func TestDroppingDoesNotAllocate(t *testing.T) {
	onRecording(t, 1, func(w *world, rec *recordingSocket) {
		page := rec.from
		junk := map[string][]byte{
			"noise":                  {99, 1, 2, 3},
			"nothing":                {},
			"short STUN":             {0, 1, 0, 0},
			"a check for nobody":     checkFor("nobodyknows1:abcd", "0123456789012345678901", true),
			"a check, wrong key":     checkFor(w.liveUfrag()+":"+"abcd", "0123456789012345678901", true),
			"a spoofed ClientHello":  record(22, 0, 0, make([]byte, 300)),
			"forged data":            record(23, 1, 1<<40, make([]byte, 300)),
			"a forged alert":         record(21, 0, 0, []byte{2, 0}),
			"records of many epochs": append(record(23, 2, 1, make([]byte, 30)), record(22, 1, 1, make([]byte, 30))...),
		}
		for name, b := range junk {
			for _, from := range []netip.AddrPort{attackerAddr, page} {
				rec.recorded, rec.from = nil, from
				for range 500 {
					rec.recorded = append(rec.recorded, b)
				}
				rec.sent = 0
				w.server.Poll(0)
				if n := testing.AllocsPerRun(100, func() { w.server.Poll(0) }); n != 0 {
					t.Errorf("%s from %v: %v allocations in a turn, want 0", name, from, n)
				}
				if rec.sent != 0 {
					t.Errorf("%s from %v: %d datagrams are sent, want 0", name, from, rec.sent)
				}
			}
		}
	})
}

// liveUfrag is the username fragment of some connection.
func (w *world) liveUfrag() string {
	w.server.registry.mu.RLock()
	defer w.server.registry.mu.RUnlock()
	for u := range w.server.registry.byUfrag {
		return u
	}
	return ""
}

// After the handshakes only the shard's goroutine is left, and no goroutine of a connection.
func TestNoGoroutinePerConnection(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		synctest.Wait()
		before := testkit.BubbleGoroutines()
		const n = 200
		for range n {
			w.open()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := testkit.BubbleGoroutines() - before; got != n { // each page has an endpoint with one of its own
			t.Errorf("%d more goroutines than before %d connections", got, n)
		}
	})
}
