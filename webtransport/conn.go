package webtransport

import (
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"
	wt "github.com/quic-go/webtransport-go"

	"github.com/godwit-rtc/godwit"
)

const (
	outboxLen   = 16   // datagrams that wait for the writing goroutine, besides 32 in quic-go
	maxDatagram = 1150 // bytes of the largest datagram that a session sends
	// farewell is how long a client may take to end the connection of QUIC after its session
	// of WebTransport has ended.
	farewell = time.Second
)

// A conn carries the datagrams of one client. It is a godwit.Carrier.
type conn struct {
	server  *Server
	quic    *quic.Conn
	session *wt.Session
	out     chan []byte
}

// Send copies a datagram to the outbox, and does not wait. It returns false if the outbox is
// full.
func (c *conn) Send(b []byte) bool {
	buf := append(c.server.buffer(), b...)
	select {
	case c.out <- buf:
		return true
	default:
		c.server.reuse(buf)
		return false
	}
}

// Close ends the session of WebTransport when the datagrams in the outbox have left.
func (c *conn) Close(string) { close(c.out) }

// remote returns the address of the client.
func (c *conn) remote() netip.AddrPort {
	a := c.quic.RemoteAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// write sends the datagrams of the outbox until Close. If the client is gone it drops them.
func (c *conn) write() {
	for b := range c.out {
		c.session.SendDatagram(b) // may wait for the congestion control of QUIC
		c.server.reuse(b)
	}
	c.end()
}

// refuseStreams ends the session of WebTransport if the client opens a stream. quic-go has no
// credit for one with two directions.
func (c *conn) refuseStreams() {
	if _, err := c.session.AcceptUniStream(c.session.Context()); err == nil {
		c.session.CloseWithError(0, "no streams")
	}
}

// end ends the session of WebTransport, and then the connection of QUIC, which the client should
// end before.
func (c *conn) end() {
	c.session.CloseWithError(0, "")
	time.AfterFunc(farewell, func() { c.quic.CloseWithError(0, "") })
}

// read gives what arrives to the link, until the session of WebTransport is over.
func (c *conn) read(link *godwit.Link) {
	defer link.Close()
	for {
		b, err := c.session.ReceiveDatagram(c.session.Context())
		if err != nil {
			return
		}
		link.Receive(b) // drops and counts what is too much
	}
}
