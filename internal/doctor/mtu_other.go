//go:build !linux

package doctor

import "net"

// forbidFragments reports that the system may cut datagrams into fragments.
func forbidFragments(*net.UDPConn) bool { return false }
