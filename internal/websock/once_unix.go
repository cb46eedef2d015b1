//go:build unix

package websock

import "syscall"

// canTry says that a socket can be written without waiting.
const canTry = true

// writeOnce writes what a socket takes at once. It returns 0 after an error.
func writeOnce(fd uintptr, b []byte) int {
	n, _ := syscall.Write(int(fd), b)
	return max(n, 0)
}
