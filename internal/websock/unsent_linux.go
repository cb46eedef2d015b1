package websock

import "syscall"

// maxUnsent is the number of bytes that the kernel holds and has not sent yet, from which on
// the socket takes no more. So newer data need not wait behind much older data.
const maxUnsent = 16 << 10

// LimitUnsent sets maxUnsent for a socket of TCP.
func LimitUnsent(c syscall.RawConn) {
	const notSentLowat = 25 // TCP_NOTSENT_LOWAT of linux/tcp.h
	c.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowat, maxUnsent)
	})
}
