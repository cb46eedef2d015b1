package websock

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// Pair is pair, for the tests outside of the package.
var Pair = pair

// masked returns the frame of a client, with the masking key 1, 2, 3, 4.
func masked(payload []byte) []byte {
	b := appendFrame(nil, payload)
	head := len(b) - len(payload)
	b[1] |= 0x80
	b = slices.Insert(b, head, 1, 2, 3, 4)
	for i := range payload {
		b[head+4+i] ^= byte(i%4 + 1)
	}
	return b
}

// The payload of a frame is found when the whole frame is there, whatever its size and whatever
// follows it.
func TestAMessageIsCut(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 125, 126, 1000, MaxDatagram} {
		want := numbered(300, size+2)[:size]
		frame := masked(want)
		for n := range frame {
			if _, got := cutMessage(bytes.Clone(frame[:n])); got != 0 {
				t.Fatalf("%d of %d bytes: %d", n, len(frame), got)
			}
		}
		b, n := cutMessage(append(bytes.Clone(frame), frame...))
		if n != len(frame) || !bytes.Equal(b, want) {
			t.Errorf("%d bytes: %d, %x", size, n, b)
		}
	}
	for name, b := range map[string][]byte{
		"text":             {0x81},
		"a fragment":       {0x02},
		"a ping":           {0x89, 0x80},
		"an extension":     {0xc2},
		"without a mask":   {0x82, 0x01},
		"a long length":    {0x82, 0xff},
		"one byte too big": {0x82, 0xfe, (MaxDatagram + 1) >> 8, (MaxDatagram + 1) & 0xff},
	} {
		if _, n := cutMessage(b); n != -1 {
			t.Errorf("%s: %d", name, n)
		}
	}
}

// A wire that waits has no buffer, and reading allocates nothing.
func TestAWireThatWaitsHasNoBuffer(t *testing.T) {
	ours, theirs := pair(t)
	w := newWire(ours)
	if w == nil {
		t.Skip("this system has no calls that do not wait")
	}
	w.buffers = NewBuffers(1)
	want := numbered(1, 1000)
	frame := masked(want)
	read := func() {
		if b, ok, err := w.message(); !ok || err != nil || !bytes.Equal(b, want) {
			t.Fatalf("%d bytes, %v, %v", len(b), ok, err)
		}
	}
	theirs.Write(frame)
	read()
	allocations := testing.AllocsPerRun(100, func() { theirs.Write(frame); read() })
	if allocations != 0 {
		t.Errorf("%v allocations for each message", allocations)
	}
	var reading sync.WaitGroup
	reading.Go(read)
	<-w.buffers // it waits
	theirs.Write(frame[:500])
	theirs.Write(frame[500:])
	reading.Wait()
}

// A wire says why nothing more comes.
func TestWhyAWireEnds(t *testing.T) {
	for want, end := range map[error]func(*net.TCPConn){
		io.ErrUnexpectedEOF: func(c *net.TCPConn) { c.Close() },
		syscall.ECONNRESET:  func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
	} {
		ours, theirs := pair(t)
		w := newWire(ours)
		if w == nil {
			t.Skip("this system has no calls that do not wait")
		}
		end(theirs.(*net.TCPConn))
		if _, ok, err := w.message(); ok || !errors.Is(err, want) {
			t.Errorf("%v, %v, want %v", ok, err, want)
		}
	}
}

// A connection that ends while the library reads, as it does after a ping, is not broken.
func TestTheEndAfterAPing(t *testing.T) {
	a := accept(t, false)
	go a.ws.Read(t.Context())
	if err := a.ws.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.ws.CloseNow()
	if err := <-a.ended; err == nil || Broken(err) {
		t.Errorf("it is broken: %v", err)
	}
}

// open opens a WebSocket over TCP, and sends bytes with the request.
func open(t *testing.T, web *httptest.Server, early string) net.Conn {
	t.Helper()
	conn := testkit.Must(net.Dial("tcp", web.Listener.Addr().String()))
	t.Cleanup(func() { conn.Close() })
	testkit.Must(io.WriteString(conn, "GET / HTTP/1.1\r\nHost: game.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"+early))
	return conn
}

// Datagrams that come with the request over TCP, and a part of one, are not lost, also if the library has
// read the beginning of them together with a ping.
func TestDatagramsThatComeWithTheRequestOverTCP(t *testing.T) {
	for name, c := range map[string]struct {
		before  string
		n, size int
	}{
		"large":                             {"", 4, 1000},
		"small":                             {"", 20, 5},
		"small ones that the library reads": {"\x89\x80\x01\x02\x03\x04", 20, 5},
	} {
		t.Run(name, func(t *testing.T) {
			came := make(chan []byte, c.n)
			var running sync.WaitGroup
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c := testkit.Must(Accept(w, r, netip.AddrPort{}, NewBuffers(1)))
				c.Start(&running, Handler{
					Receive: func(b []byte) bool { came <- bytes.Clone(b); return true },
					Room:    func() {},
					Ended:   func(error) { c.Close("") },
				})
			}))
			defer web.Close()
			frames := c.before
			for i := range c.n {
				frames += string(masked(numbered(i, c.size)))
			}
			first := len(frames) - c.size*6/10
			conn := open(t, web, frames[:first])
			io.WriteString(conn, frames[first:])
			for i := range c.n {
				if b := <-came; !bytes.Equal(b, numbered(i, c.size)) {
					t.Errorf("datagram %d: %d bytes %.4x", i, len(b), b)
				}
			}
			conn.Close()
			running.Wait()
		})
	}
}

// An idle Conn has no buffers for datagrams, and a small stack also if Receive has needed a large one.
func TestMemoryOfAnIdleConn(t *testing.T) {
	if info, _ := debug.ReadBuildInfo(); slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("stacks are larger with the race detector")
	}
	const conns = 100
	var running sync.WaitGroup
	came := make(chan bool, conns)
	buffers := NewBuffers(4)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := testkit.Must(Accept(w, r, netip.AddrPort{}, buffers))
		c.Start(&running, Handler{
			Receive: func([]byte) bool { came <- deep(10) > 0; return true },
			Room:    func() {},
			Ended:   func(error) { c.Close("") },
		})
	}))
	defer web.Close()
	open(t, web, string(masked(nil)))
	<-came
	heap, stacks := testkit.MemoryNow()
	var clients []net.Conn
	for range conns {
		clients = append(clients, open(t, web, string(masked(nil))))
		<-came
	}
	nowHeap, nowStacks := testkit.MemoryNow()
	heap, stacks = (nowHeap-heap)/conns, (nowStacks-stacks)/conns
	if heap > 4500 || stacks > 5000 {
		t.Errorf("an idle Conn takes %d bytes of heap and %d of stack, want at most 4500 and 5000", heap, stacks)
	}
	for _, c := range clients {
		c.Close()
	}
}

// deep needs n KB of stack.
func deep(n int) int {
	var b [1024]byte
	if n > 0 {
		b[n] = byte(deep(n - 1))
	}
	return n + int(b[n/2])
}

// Close does the closing handshake also while the library reads, which it does after a ping until
// the next message.
func TestCloseAfterAPing(t *testing.T) {
	a := accept(t, false)
	pinged := make(chan error)
	closed := make(chan error)
	go func() {
		_, _, err := a.ws.Read(t.Context())
		closed <- err
	}()
	go func() { pinged <- a.ws.Ping(t.Context()) }()
	if err := <-pinged; err != nil {
		t.Fatal(err)
	}
	a.Close("enough")
	why, _ := errors.AsType[websocket.CloseError](<-closed)
	if why.Code != websocket.StatusNormalClosure || why.Reason != "enough" {
		t.Errorf("closed with %v", why)
	}
	if err := <-a.ended; Broken(err) {
		t.Errorf("it is broken: %v", err)
	}
}

// After a message that the library reads, the datagrams after it arrive, in order.
func TestDatagramsAfterAPing(t *testing.T) {
	a := accept(t, false)
	go a.ws.Read(t.Context())
	for i := range 10 {
		if err := a.ws.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		for j := range 3 {
			want := numbered(3*i+j, 2+j*500)
			if err := a.ws.Write(t.Context(), websocket.MessageBinary, want); err != nil {
				t.Fatal(err)
			}
			if b := <-a.received; !bytes.Equal(b, want) {
				t.Fatalf("got %d bytes %.4x, want %d bytes %.4x", len(b), b, len(want), want)
			}
		}
	}
}
