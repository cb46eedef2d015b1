package udpio

import (
	"net"
	"syscall"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// TryRead and TryWrite move what they can, and do not wait.
func TestTry(t *testing.T) {
	if !CanTry {
		t.Skip("this system has only calls that may wait")
	}
	l := testkit.Must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	theirs := testkit.Must(net.Dial("tcp", l.Addr().String())).(*net.TCPConn)
	defer theirs.Close()
	ours := testkit.Must(l.Accept()).(*net.TCPConn)
	defer ours.Close()
	raw := testkit.Must(ours.SyscallConn())

	b := make([]byte, 100)
	n, err := 0, error(nil)
	raw.Read(func(fd uintptr) bool {
		n, err = TryRead(fd, b)
		return true
	})
	if n != 0 || err != syscall.EAGAIN {
		t.Errorf("nothing has arrived: %d, %v", n, err)
	}
	theirs.Write([]byte("hello"))
	raw.Read(func(fd uintptr) bool {
		n, err = TryRead(fd, b)
		return err != syscall.EAGAIN
	})
	if err != nil || string(b[:n]) != "hello" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	raw.Write(func(fd uintptr) bool {
		n = TryWrite(fd, []byte("hello"))
		return true
	})
	if n != 5 {
		t.Errorf("%d bytes are written, want 5", n)
	}
	full := false
	raw.Write(func(fd uintptr) bool {
		for range 1000 {
			if full = TryWrite(fd, make([]byte, 1<<16)) == 0; full {
				break
			}
		}
		return true
	})
	if !full {
		t.Error("a socket takes 64 MB that nobody reads")
	}
	theirs.CloseWrite()
	raw.Read(func(fd uintptr) bool {
		n, err = TryRead(fd, b)
		return err != syscall.EAGAIN
	})
	if n != 0 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
}
