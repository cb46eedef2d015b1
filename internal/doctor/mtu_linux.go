package doctor

import (
	"net"

	"golang.org/x/sys/unix"
)

// forbidFragments makes the system send each datagram of a socket in one piece, or not at all. It reports
// whether the system can do so. What routers have said about the path is not used: a datagram that is
// too large for the path is lost, as in a game.
func forbidFragments(c *net.UDPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	done := false
	raw.Control(func(fd uintptr) {
		v4 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		v6 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		done = v4 == nil || v6 == nil
	})
	return done
}
