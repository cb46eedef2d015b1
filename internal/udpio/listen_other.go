//go:build !linux

package udpio

import (
	"net"
	"syscall"
)

// canSharePort is false: elsewhere SO_REUSEPORT, where it exists, hands all
// datagrams to one of the sockets instead of spreading the clients.
const canSharePort = false

// sharePort is not reached, as Listen refuses several sockets.
func sharePort(string, string, syscall.RawConn) error { return ErrSockets }

func newSocket(u *net.UDPConn, c Config) (*Conn, error) { return oneByOne(u, c), nil }
