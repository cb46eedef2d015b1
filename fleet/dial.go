package fleet

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// A dialer dials NATS. Until joined is called, the end of ctx ends an attempt, and closes the connections; after that, the end of life ends an attempt.
type dialer struct {
	ctx     context.Context
	life    context.Context // of later attempts
	timeout time.Duration
	joined  atomic.Bool // Join is not interested in ctx any more
}

// Dial is called on the goroutine of Join, and after that on one of nats.go.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	system := net.Dialer{Timeout: d.timeout}
	if d.joined.Load() {
		system.Timeout = min(d.timeout, redialTimeout)
		c, err := system.DialContext(d.life, network, address)
		return forNATS(c), err
	}
	c, err := system.DialContext(d.ctx, network, address)
	if err == nil {
		context.AfterFunc(d.ctx, func() {
			if !d.joined.Load() {
				c.Close()
			}
		})
	}
	return forNATS(c), err
}

// forNATS returns the connection for nats.go. What its socket still has when nats.go closes it is dropped: on a network that is back the
// system would send it after what the next connection has sent. Close has waited until NATS has everything.
func forNATS(c net.Conn) net.Conn {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	return unseen(c)
}
