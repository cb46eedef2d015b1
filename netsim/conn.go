package netsim

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// defaultReadBuffer is about the default read buffer of a UDP socket on Linux.
const defaultReadBuffer = 208 << 10

// datagramOverhead is added to the size of each datagram in the read buffer, so that the
// number of empty datagrams is limited, too.
const datagramOverhead = 64

// A Conn is a packet conn on a [Network]. Use it like a [net.UDPConn]: it is a
// [net.PacketConn] and has the methods of UDPConn that take a [netip.AddrPort]. Its methods
// may be called from any goroutine.
//
// Errors of reads are [net.ErrClosed] and [os.ErrDeadlineExceeded], unwrapped.
type Conn struct {
	network *Network
	host    netip.AddrPort // the address of Listen; never changes

	// Guarded by network.mu.
	cond     sync.Cond // signalled when a reader has something to do
	public   netip.AddrPort
	queue    []received
	size     int // bytes of queue, as they count against limit
	limit    int
	dropped  uint64
	closed   bool
	deadline struct{ read, write time.Time }
	expired  bool        // the read deadline has passed
	timer    *time.Timer // of the read deadline
}

type received struct {
	from    netip.AddrPort
	payload []byte
}

// ReadFromUDPAddrPort waits for a datagram and copies it to b. It cuts off what does not
// fit, as a UDPConn does.
func (c *Conn) ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, netip.AddrPort{}, net.ErrClosed
		case len(c.queue) > 0:
			r := c.queue[0]
			c.queue[0] = received{}
			c.queue = c.queue[1:]
			c.size -= len(r.payload) + datagramOverhead
			return copy(b, r.payload), r.from, nil
		case c.expired:
			return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
		}
		c.cond.Wait()
	}
}

// ReadFrom is ReadFromUDPAddrPort for [net.PacketConn].
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToUDPAddrPort sends a copy of b. It never waits, and returns no error if the
// datagram is lost.
func (c *Conn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if len(b) > maxPayload {
		return 0, errMessageTooLong
	}
	if err := c.network.send(c, to, slices.Clone(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// WriteTo is WriteToUDPAddrPort for [net.PacketConn]. The address is a
// [*net.UDPAddr].
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("netsim: address %v is not a *net.UDPAddr", to)
	}
	return c.WriteToUDPAddrPort(b, u.AddrPort())
}

// LocalAddr returns the address of Listen, a [*net.UDPAddr]. Rebind does not change it: a
// host does not know what the NAT in front of it does.
func (c *Conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.host) }

// PublicAddr returns the address that other conns see and send to: that of Listen, or of
// the last Rebind.
func (c *Conn) PublicAddr() netip.AddrPort {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	return c.public
}

// Rebind gives the conn another public address, as a NAT does when it has forgotten the old
// one. From now on datagrams leave from the new address, and datagrams that arrive at the
// old one are lost, also those that are in flight now. Port 0 chooses a free port. The
// links and LocalAddr do not change.
func (c *Conn) Rebind(public netip.AddrPort) error {
	n := c.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	public, err := n.free(public)
	if err != nil {
		return err
	}
	delete(n.conns, c.public)
	c.public = public
	n.conns[public] = c
	return nil
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the time after which a read does not wait any more, also for reads
// that wait now: a time in the past wakes them. Datagrams that have arrived can still be
// read. The zero Time means never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.deadline.read = t
	c.expired = false
	if c.timer != nil {
		c.timer.Stop()
	}
	c.checkDeadline()
	return nil
}

// SetWriteDeadline sets the time after which writes fail.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.deadline.write = t
	return nil
}

// checkDeadline wakes the readers if the read deadline has passed; otherwise it sets the
// timer, also if a timer for an earlier deadline has just fired.
func (c *Conn) checkDeadline() {
	if c.closed || c.deadline.read.IsZero() {
		return
	}
	d := time.Until(c.deadline.read)
	switch {
	case d <= 0:
		c.expired = true
		c.cond.Broadcast()
	case c.timer == nil:
		c.timer = time.AfterFunc(d, c.fire)
	default:
		c.timer.Reset(d)
	}
}

func (c *Conn) fire() {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.checkDeadline()
}

// SetReadBuffer sets the number of bytes that may wait to be read, with 64 more for each
// datagram. Datagrams that do not fit are dropped: see [Conn.Dropped].
func (c *Conn) SetReadBuffer(bytes int) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.limit = bytes
	return nil
}

// Queued returns the number of datagrams that wait to be read.
func (c *Conn) Queued() int {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	return len(c.queue)
}

// Dropped returns the number of datagrams that arrived when the read buffer was full.
func (c *Conn) Dropped() uint64 {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	return c.dropped
}

// Close ends all reads and frees the address.
func (c *Conn) Close() error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.close()
	return nil
}

// close is Close under network.mu.
func (c *Conn) close() {
	c.closed = true
	c.queue = nil
	if c.timer != nil {
		c.timer.Stop()
	}
	delete(c.network.conns, c.public)
	c.cond.Broadcast()
}

// writable returns why a write fails, under network.mu.
func (c *Conn) writable() error {
	if c.closed {
		return net.ErrClosed
	}
	if t := c.deadline.write; !t.IsZero() && time.Until(t) <= 0 {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// receive queues a datagram, under network.mu.
func (c *Conn) receive(from netip.AddrPort, payload []byte) {
	size := len(payload) + datagramOverhead
	if c.size+size > c.limit {
		c.dropped++
		return
	}
	c.size += size
	c.queue = append(c.queue, received{from, payload})
	c.cond.Signal()
}
