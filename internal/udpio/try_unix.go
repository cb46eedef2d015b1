//go:build unix && !linux

package udpio

import "syscall"

// CanTry says that a socket can be read and written without waiting.
const CanTry = true

// TryRead reads what a socket of TCP has, and does not wait: the error is syscall.EAGAIN if it
// has nothing. At the end of the stream it returns 0 and no error.
func TryRead(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), b)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// TryWrite writes what a socket of TCP takes at once. It returns 0 after an error.
func TryWrite(fd uintptr, b []byte) int {
	n, _ := syscall.Write(int(fd), b)
	return max(n, 0)
}
