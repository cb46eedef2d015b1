//go:build unix

package udpio

import (
	"net"

	"golang.org/x/sys/unix"
)

// onlyIPv6 reports whether a socket for IPv6 receives no IPv4.
func onlyIPv6(u *net.UDPConn) bool {
	raw, err := u.SyscallConn()
	if err != nil {
		return false
	}
	only := 0
	raw.Control(func(fd uintptr) { only, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY) })
	return only != 0
}
