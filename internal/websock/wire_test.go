package websock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
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

// A patient connection gives calls in real time more time than they shall have: a busy machine keeps
// these limits, too.
type patient struct{ net.Conn }

func (p patient) SetDeadline(t time.Time) error      { return p.Conn.SetDeadline(later(t)) }
func (p patient) SetReadDeadline(t time.Time) error  { return p.Conn.SetReadDeadline(later(t)) }
func (p patient) SetWriteDeadline(t time.Time) error { return p.Conn.SetWriteDeadline(later(t)) }

func later(t time.Time) time.Time {
	if time.Until(t) > 0 {
		t = t.Add(testkit.Patience)
	}
	return t
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
	started, buffers := make(chan bool), NewBuffers(100)
	for range cap(buffers) {
		buffers <- make([]byte, 0, bufferSize)
	}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, netip.AddrPort{}, buffers)
		if err != nil {
			t.Error(err)
			return
		}
		c.nc = patient{c.nc}
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
		if tries := a.wire != nil; tries == tls || tries != (udpio.CanTry && !tls) {
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
		for full := false; !full; {
			for a.Send(numbered(n, 1000)) {
				n++
			}
			select {
			case <-a.room: // the kernel has moved a little more to the client
				if !a.Send(numbered(n, 1000)) {
					t.Fatal("Room is called, and there is none")
				}
				n++
			default:
				full = true
			}
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
		if !a.Send([]byte("more")) {
			t.Fatal("there is no room, and Room will not be called")
		}
	}
	if a.mu.Lock(); !a.over || len(a.out) > 0 {
		t.Errorf("over: %v; %d datagrams wait", a.over, len(a.out))
	}
	a.mu.Unlock()
}

// A connection gives back every buffer that it takes, however it ends.
func TestBuffersComeBack(t *testing.T) {
	for _, c := range []struct{ tls, closes bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
		a := accept(t, c.tls)
		if err := a.ws.Write(t.Context(), websocket.MessageBinary, []byte("up")); err != nil {
			t.Fatal(err)
		}
		<-a.received
		n := 0
		for a.Send(numbered(n, 1000)) {
			n++
		}
		if c.closes {
			a.Close("")
			for i := range n {
				a.want(t, numbered(i, 1000))
			}
			go a.ws.Read(t.Context()) // for the closing handshake
		} else {
			a.ws.CloseNow()
		}
		<-a.ended
		a.Close("")
		a.running.Wait()
		if len(a.buffers) != cap(a.buffers) || a.wire != nil && a.wire.buffers != a.buffers {
			t.Errorf("%+v: %d of %d buffers are back", c, len(a.buffers), cap(a.buffers))
		}
	}
}

// While the writing goroutine has datagrams, Send puts others behind them, also if the socket has room.
func TestSendKeepsTheOrder(t *testing.T) {
	ours, _ := pair(t)
	c := &Conn{nc: ours, wire: newWire(ours), buffers: NewBuffers(1), writing: true}
	c.wire.once = func(uintptr) bool { t.Error("Send overtakes the writing goroutine"); return true }
	if !c.Send([]byte("second")) || len(c.out) != 1 {
		t.Errorf("%d datagrams wait", len(c.out))
	}
}

// When a socket has taken a part of a frame, the rest leaves before another frame begins.
func TestARestLeavesFirst(t *testing.T) {
	ours, theirs := pair(t)
	w := newWire(ours)
	take := 5
	w.once = func(fd uintptr) bool {
		w.n = udpio.TryWrite(fd, w.frame[:min(take, len(w.frame))])
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

// counted counts the writes of a connection.
type counted struct {
	net.Conn
	writes int
}

func (c *counted) Write(b []byte) (int, error) { c.writes++; return c.Conn.Write(b) }

// A frame of which the socket takes nothing, or all, leaves no rest: the next frame is one write. The wire
// keeps no frame.
func TestAFrameWithoutARest(t *testing.T) {
	for _, all := range []bool{false, true} {
		ours, _ := pair(t)
		w := newWire(ours)
		if !all {
			w.once = func(uintptr) bool { w.n = 0; return true }
		}
		if taken, whole := w.try(appendFrame(nil, []byte("datagram"))); taken != all || whole != all {
			t.Errorf("taken %v, whole %v, want %v", taken, whole, all)
		}
		c := &counted{Conn: ours}
		w.Conn = c
		if _, err := w.Write([]byte{0x8a, 0}); err != nil || c.writes != 1 || w.frame != nil {
			t.Errorf("%d writes, %v; %d bytes are kept", c.writes, err, len(w.frame))
		}
	}
}

// The rest of a frame leaves also if nothing else is sent.
func TestARestLeavesAlone(t *testing.T) {
	a := accept(t, false)
	calls := 0
	a.wire.once = func(fd uintptr) bool {
		a.wire.n = udpio.TryWrite(fd, a.wire.frame[:5])
		calls++
		return true
	}
	a.Send(numbered(7, 500))
	a.want(t, numbered(7, 500))
	if calls != 1 {
		t.Errorf("%d writes of a part", calls)
	}
}

// Frames that the library writes itself, such as pongs, leave behind the rest of a datagram, too.
func TestPongsLeaveBehindARest(t *testing.T) {
	a := accept(t, false)
	a.wire.once = func(fd uintptr) bool {
		a.wire.n = udpio.TryWrite(fd, a.wire.frame[:5])
		return true
	}
	if taken, whole := a.wire.try(appendFrame(nil, numbered(7, 500))); !taken || whole {
		t.Fatalf("taken %v, whole %v", taken, whole)
	}
	pinged := make(chan error)
	go func() { pinged <- a.ws.Ping(t.Context()) }()
	a.want(t, numbered(7, 500))
	go a.ws.Read(t.Context()) // for the pong
	if err := <-pinged; err != nil {
		t.Errorf("ping: %v", err)
	}
}

// While the library writes a frame, a datagram waits in the outbox.
func TestADatagramDuringAFrame(t *testing.T) {
	a := accept(t, false)
	a.wire.writing.Lock()
	if !a.Send(numbered(7, 500)) {
		t.Error("there is no room")
	}
	if a.mu.Lock(); a.rest || len(a.out) != 1 {
		t.Errorf("a rest: %v; %d datagrams wait", a.rest, len(a.out))
	}
	a.mu.Unlock()
	a.wire.writing.Unlock()
	a.want(t, numbered(7, 500))
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
	if _, err := w.Write([]byte{0x8a, 0}); err != nil { // a pong
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

// limited notes the limits of its writes and reads.
type limited struct {
	net.Conn
	until, reads time.Time
}

func (l *limited) SetWriteDeadline(t time.Time) error { l.until = t; return nil }
func (l *limited) SetReadDeadline(t time.Time) error  { l.reads = t; return nil }

// A datagram that is refused when the connection leaves does not put off the end of the call that reads.
func TestARefusalOfAConnectionThatLeaves(t *testing.T) {
	for _, leaving := range []bool{false, true} {
		l := new(limited)
		c := &Conn{nc: l, leaving: leaving, handler: Handler{Receive: func([]byte) bool { return false }}}
		if c.receive(nil); l.reads.IsZero() != leaving || !c.refused {
			t.Errorf("leaving %v: to be read until %v, refused %v", leaving, l.reads, c.refused)
		}
	}
}

// A write of the writing goroutine has a limit, also that of a rest, and reports its error.
func TestLimitsOfWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]*Conn{"rest": {rest: true}, "datagram": {out: [][]byte{{1}}}} {
			l := new(limited)
			c.nc = l
			if _, more := c.next(); !more || l.until != time.Now().Add(patience) {
				t.Errorf("%s: to be written until %v", name, l.until)
			}
		}
	})
	ours, _ := pair(t)
	c := &Conn{wire: newWire(ours), buffers: NewBuffers(1)}
	c.wire.rest = []byte{1}
	ours.Close()
	for _, b := range [][]byte{nil, {1}} {
		if c.writeOne(b) == nil {
			t.Errorf("%d bytes are written to a socket that is closed", len(b))
		}
	}
}

// When a write has ended, Room is called if Send has found no room, but not if the connection is over. A
// write that fails ends the connection.
func TestWhatFollowsAWrite(t *testing.T) {
	failed := errors.New("failed")
	for _, c := range []struct {
		full, over bool
		err        error
		room       bool
	}{{false, false, nil, false}, {true, false, nil, true}, {true, true, nil, false}, {true, false, failed, false}} {
		conn := &Conn{ws: accept(t, false).ws, buffers: NewBuffers(1), out: [][]byte{{1}, {2}}, full: c.full, over: c.over}
		if room := conn.written(conn.out[0], c.err); room != c.room || conn.full || conn.over != (c.over || c.err != nil) {
			t.Errorf("%+v: room %v, full %v, over %v", c, room, conn.full, conn.over)
		}
		if len(conn.out) != 1 || conn.out[0][0] != 2 || len(conn.buffers) != 1 {
			t.Errorf("%+v: %v waits, %d buffers are back", c, conn.out, len(conn.buffers))
		}
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
