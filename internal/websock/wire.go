package websock

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync"
	"syscall"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// The first byte of the frame of a datagram.
const final, binaryMessage = 0x80, 0x02

// appendFrame appends the frame of a datagram at the server's end, which masks nothing.
// https://www.rfc-editor.org/rfc/rfc6455#section-5.2
func appendFrame(to, b []byte) []byte {
	if len(b) < 126 {
		to = append(to, final|binaryMessage, byte(len(b)))
	} else {
		to = append(to, final|binaryMessage, 126)
		to = binary.BigEndian.AppendUint16(to, uint16(len(b)))
	}
	return append(to, b...)
}

// A wire is a connection of TCP whose frames are written, and read, in two ways. The library writes
// one frame in each call of Write, which may wait, and try writes one without waiting. A frame
// never begins inside another one. One goroutine reads: whole messages with the method message,
// and lets the library read what is left.
type wire struct {
	net.Conn
	raw syscall.RawConn

	// writing is held while somebody writes. It guards the fields below.
	writing sync.Mutex
	rest    []byte // what try has left of the last frame
	over    bool   // the library has written a close frame: no frame may follow
	frame   []byte // what once writes
	n       int    // how much once has written
	once    func(fd uintptr) bool

	// Only the reading goroutine uses the fields below.
	buffers  Buffers
	buffer   []byte // of buffers, empty; nil while nothing has arrived
	in       []byte // what has arrived, and nobody has taken; it lies in buffer, or came with the request
	fault    error  // of the last tryRead
	readOnce func(fd uintptr) bool
}

// newWire returns the wire of a connection, or nil if a write to it may wait, as one of TLS
// may.
func newWire(conn net.Conn) *wire {
	tcp, ok := conn.(*net.TCPConn)
	if !ok || !udpio.CanTry {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	w := &wire{Conn: conn, raw: raw}
	w.once = func(fd uintptr) bool {
		w.n = udpio.TryWrite(fd, w.frame)
		return true // do not wait
	}
	w.readOnce = w.tryRead
	return w
}

// try writes as much of a frame as the socket takes at once. It reports whether the wire has
// taken the frame, and whether the socket has taken the whole of it. If not, the caller must
// see to it that Write is called: it writes the rest first. After an error of the socket the
// wire takes nothing, and Write returns the error.
func (w *wire) try(frame []byte) (taken, whole bool) {
	if !w.writing.TryLock() {
		return false, false
	}
	defer w.writing.Unlock()
	if w.over || len(w.rest) > 0 {
		return false, false
	}
	w.frame, w.n = frame, 0
	w.raw.Write(w.once)
	w.frame = nil
	if w.n > 0 {
		w.rest = bytes.Clone(frame[w.n:])
	}
	return w.n > 0, w.n == len(frame)
}

// Write writes what is left of the last frame, and then p, which is a frame or nothing.
func (w *wire) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if len(w.rest) > 0 {
		n, err := w.Conn.Write(w.rest)
		if w.rest = w.rest[n:]; err != nil {
			return 0, err
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	const opcode, closing = 0x0f, 0x08
	w.over = w.over || p[0]&opcode == closing
	return w.Conn.Write(p)
}
