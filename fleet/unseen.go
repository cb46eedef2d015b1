package fleet

import (
	"io"
	"net"
	"os"
	"syscall"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// unseen returns a natsConn for a connection of TCP, or the connection itself where there is none.
func unseen(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok || !udpio.CanTry {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	return &natsConn{tcp, raw}
}

// A natsConn is a connection whose reads and writes are system calls of which the runtime does not learn. After others the
// runtime's monitor thread wakes up and looks for long calls every 20 µs, and a message for which this process wakes up
// costs a third more.
type natsConn struct {
	*net.TCPConn
	raw syscall.RawConn
}

// Read is that of net.Conn.
func (c *natsConn) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	var failed error
	err = c.raw.Read(func(fd uintptr) bool {
		n, failed = udpio.TryRead(fd, b)
		return failed != syscall.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError("read", failed)}
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write is that of net.Conn. The TCPConn writes what the socket does not take at once, and finds out why it does not.
func (c *natsConn) Write(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	err = c.raw.Write(func(fd uintptr) bool {
		n = udpio.TryWrite(fd, b)
		return true
	})
	if err != nil || n == len(b) {
		return n, err
	}
	rest, err := c.TCPConn.Write(b[n:])
	return n + rest, err
}
