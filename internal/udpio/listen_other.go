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

func newSocket(u *net.UDPConn, c Config) (*Conn, error) {
	// A system may refuse a large buffer outright. The socket works all the
	// same, with the default.
	if n, ok := bufferSize(c.ReadBuffer); ok {
		u.SetReadBuffer(n)
	}
	if n, ok := bufferSize(c.WriteBuffer); ok {
		u.SetWriteBuffer(n)
	}
	return New(u), nil
}
