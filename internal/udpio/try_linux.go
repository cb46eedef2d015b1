package udpio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// CanTry says that a socket can be read and written without waiting.
const CanTry = true

// TryRead reads what a socket of TCP has, and does not wait: the error is syscall.EAGAIN if it
// has nothing. At the end of the stream it returns 0 and no error. b is not empty.
//
// The runtime does not learn of the call, which is short: else the call would wake the thread that
// looks for long calls, and an echo would cost a third more.
func TryRead(fd uintptr, b []byte) (int, error) { return try(unix.SYS_RECVFROM, fd, b) }

// TryWrite writes what a socket of TCP takes at once. It returns 0 after an error. b is not empty.
func TryWrite(fd uintptr, b []byte) int {
	n, _ := try(unix.SYS_SENDTO, fd, b)
	return n
}

func try(call, fd uintptr, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
