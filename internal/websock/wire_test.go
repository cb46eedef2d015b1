package websock

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// pair returns the two ends of a connection of TCP.
func pair(t testing.TB) (ours *net.TCPConn, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if theirs, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); theirs.Close() })
	return conn.(*net.TCPConn), theirs
}

// An accepted is the server's end of a WebSocket over TCP, and ws its client's.
type accepted struct {
	*Conn
	ws       *websocket.Conn
	room     chan bool
	ended    chan error
	received chan []byte
	running  sync.WaitGroup
}

// accept opens a WebSocket over TCP, with TLS if wanted.
func accept(t *testing.T, tls bool) *accepted {
	t.Helper()
	a := &accepted{room: make(chan bool, 100), ended: make(chan error, 1), received: make(chan []byte, 100)}
	started := make(chan bool)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, netip.AddrPort{}, NewBuffers(4))
		if err != nil {
			t.Error(err)
			return
		}
		a.Conn = c
		c.Start(&a.running, Handler{
			Receive: func(b []byte) bool { a.received <- bytes.Clone(b); return true },
			Room:    func() { a.room <- true },
			Ended:   func(err error) { a.ended <- err },
		})
		started <- true
	}))
	if tls {
		web.StartTLS()
	} else {
		web.Start()
	}
	t.Cleanup(web.Close)
	ws, _, err := websocket.Dial(t.Context(), web.URL, &websocket.DialOptions{HTTPClient: web.Client(), Subprotocols: []string{Protocol}})
	if err != nil {
		t.Fatal(err)
	}
	<-started
	a.ws = ws
	t.Cleanup(func() { a.Close(""); ws.CloseNow(); a.running.Wait() })
	return a
}

// numbered returns a datagram of a size that begins with a number.
func numbered(n, size int) []byte {
	b := bytes.Repeat([]byte{byte(n)}, size)
	binary.BigEndian.PutUint16(b, uint16(n))
	return b
}

// want reads a message and compares it.
func (a *accepted) want(t *testing.T, want []byte) {
	t.Helper()
	kind, b, err := a.ws.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if kind != websocket.MessageBinary || !bytes.Equal(b, want) {
		t.Fatalf("got %d bytes %.8x, want %d bytes %.8x", len(b), b, len(want), want)
	}
}

// Who calls Send writes the datagram itself, whatever its size; over TLS the writing goroutine
// does it.
func TestDatagramsOfAllSizes(t *testing.T) {
	for _, tls := range []bool{false, true} {
		a := accept(t, tls)
		if tries := a.wire != nil; tries == tls || tries != (canTry && !tls) {
			t.Errorf("TLS %v: Send writes itself: %v", tls, tries)
		}
		for i, size := range []int{2, 125, 126, 127, 256, MaxDatagram} {
			b := numbered(i, size)
			if !a.Send(b) {
				t.Fatalf("Send of %d bytes has no room", size)
			}
			if a.mu.Lock(); !tls && a.writing {
				t.Errorf("a datagram of %d bytes waits for the writing goroutine", size)
			}
			a.mu.Unlock()
			a.want(t, b)
		}
	}
}

// What the socket has no room for waits in the outbox. Send returns false when that is full,
// Room is called when there is room again, and everything has arrived once and in order.
func TestAClientThatReadsLate(t *testing.T) {
	for _, tls := range []bool{false, true} {
		a := accept(t, tls)
		n := 0
		for a.Send(numbered(n, 1000)) {
			n++
		}
		if len(a.room) > 0 {
			t.Error("Room is called before anything was read")
		}
		for i := range n {
			a.want(t, numbered(i, 1000))
		}
		<-a.room
		for !a.Send(numbered(n, 1000)) { // a call of Room may have come before the outbox was full
			<-a.room
		}
		a.want(t, numbered(n, 1000))
		for writing := true; writing; { // the writing goroutine ends
			runtime.Gosched()
			a.mu.Lock()
			writing = a.writing
			a.mu.Unlock()
		}
	}
}

// Pongs of the library and datagrams of Send leave in whole frames, whoever writes them.
func TestPongsAmidDatagrams(t *testing.T) {
	a := accept(t, false)
	const datagrams = 2000
	go func() {
		for i := 0; i < datagrams; {
			if a.Send(numbered(i, 3+i%MaxDatagram)) {
				i++
			} else {
				<-a.room
			}
		}
	}()
	pinged := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < maxPings && err == nil; i++ {
			err = a.ws.Ping(t.Context())
		}
		pinged <- err
	}()
	for i := range datagrams {
		a.want(t, numbered(i, 3+i%MaxDatagram))
	}
	go a.ws.Read(t.Context()) // gets the last pongs
	if err := <-pinged; err != nil {
		t.Errorf("ping: %v", err)
	}
}

// Close sends what was sent before, and then the status.
func TestTheEndComesAfterTheDatagrams(t *testing.T) {
	for _, tls := range []bool{false, true} {
		a := accept(t, tls)
		n := 0
		for a.Send(numbered(n, 1000)) {
			n++
		}
		a.Close("enough")
		if a.Send([]byte("more")) {
			t.Error("Send after Close")
		}
		for i := range n {
			a.want(t, numbered(i, 1000))
		}
		if _, _, err := a.ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("closed with %v", err)
		}
		<-a.ended
	}
}

// A caller that goes on to send after the end of the connection does no harm.
func TestSendToAnEndedConn(t *testing.T) {
	a := accept(t, false)
	a.ws.CloseNow()
	<-a.ended
	for range 100 {
		a.Send([]byte("more"))
	}
}

// When a socket has taken a part of a frame, the rest leaves before another frame begins.
func TestARestLeavesFirst(t *testing.T) {
	ours, theirs := pair(t)
	w := newWire(ours)
	take := 5
	w.once = func(fd uintptr) bool {
		w.n = writeOnce(fd, w.frame[:min(take, len(w.frame))])
		return true
	}
	first, pong := appendFrame(nil, numbered(1, 300)), []byte{0x8a, 1, 'x'}
	if taken, whole := w.try(first); !taken || whole {
		t.Fatalf("taken %v, whole %v", taken, whole)
	}
	if taken, _ := w.try(first); taken {
		t.Error("a frame is taken inside another one")
	}
	if n, err := w.Write(pong); n != len(pong) || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	take = 1000
	second := appendFrame(nil, numbered(2, 20))
	if taken, whole := w.try(second); !taken || !whole {
		t.Fatalf("taken %v, whole %v", taken, whole)
	}
	want := append(append(first, pong...), second...)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(theirs, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v: got %x, want %x", err, got, want)
	}
}

// The rest of a frame leaves also if nothing else is sent.
func TestARestLeavesAlone(t *testing.T) {
	a := accept(t, false)
	calls := 0
	a.wire.once = func(fd uintptr) bool {
		a.wire.n = writeOnce(fd, a.wire.frame[:5])
		calls++
		return true
	}
	a.Send(numbered(7, 500))
	a.want(t, numbered(7, 500))
	if calls != 1 {
		t.Errorf("%d writes of a part", calls)
	}
}

// While another frame is being written, and after a close frame, a wire takes none.
func TestWhenAWireTakesNothing(t *testing.T) {
	ours, _ := pair(t)
	w := newWire(ours)
	frame := appendFrame(nil, []byte("datagram"))
	w.writing.Lock()
	if taken, _ := w.try(frame); taken {
		t.Error("taken while another frame is written")
	}
	w.writing.Unlock()
	if taken, whole := w.try(frame); !taken || !whole {
		t.Errorf("taken %v, whole %v", taken, whole)
	}
	if _, err := w.Write([]byte{0x88, 2, 3, 232}); err != nil {
		t.Error(err)
	}
	if taken, _ := w.try(frame); taken {
		t.Error("taken after a close frame")
	}
	ours.Close()
	w.over = false
	if taken, _ := w.try(frame); taken {
		t.Error("taken by a socket that is closed")
	}
	if _, err := w.Write(frame); err == nil {
		t.Error("Write to a socket that is closed has no error")
	}
}

// Send makes no allocations.
func BenchmarkSend(b *testing.B) {
	ours, theirs := pair(b)
	go io.Copy(io.Discard, theirs)
	var running sync.WaitGroup
	room := make(chan bool, 1)
	c := &Conn{nc: ours, wire: newWire(ours), buffers: NewBuffers(4), group: &running, handler: Handler{Room: func() { room <- true }}}
	datagram := make([]byte, 250)
	b.ReportAllocs()
	for b.Loop() {
		for !c.Send(datagram) {
			<-room
		}
	}
	running.Wait()
}
