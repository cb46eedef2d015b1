//go:build !unix

package udpio

import "net"

// onlyIPv6 is not known here: a socket at [::] is taken for one that receives IPv4, too, as
// Listen opens it.
func onlyIPv6(*net.UDPConn) bool { return false }
