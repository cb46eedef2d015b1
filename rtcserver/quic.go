package rtcserver

import (
	"errors"
	"hash/maphash"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

const (
	quicQueue = 256  // datagrams of QUIC that wait for the program
	quicLen   = 1500 // bytes of the largest one
	quicPeers = 1024 // addresses of which a QUICConn knows the way back
)

// A QUICConn is the share of QUIC in the port of a Server: it reads the datagrams that begin
// as those of QUIC do, which a server without a QUICConn drops, and sends from the same port.
// It is a [net.PacketConn] for a library such as quic-go. See [Server.QUIC].
//
// The server keeps at most 256 datagrams until ReadFrom is called, and drops and counts more
// (DropQUIC). It makes nothing else for them: it is for the reader to distrust whoever has sent
// them, and to send an address that is not proved at most three times what came from there.
type QUICConn struct {
	server   *Server
	seed     maphash.Seed
	queue    chan *quicDatagram // those that wait for ReadFrom
	free     chan *quicDatagram // those that can be used again
	down     chan struct{}      // closed by Close
	closing  sync.Once
	changed  chan struct{} // wakes ReadFrom when deadline has changed
	deadline atomic.Pointer[time.Time]
	peers    [quicPeers]atomic.Pointer[quicPeer] // by the hash of the remote address; a newer address replaces another one
}

type quicDatagram struct {
	b      [quicLen]byte
	n      int
	remote netip.AddrPort
	local  netip.Addr
	shard  *shard
}

// A quicPeer is the way back to an address: the socket and the local address at which its last
// datagram has arrived. It does not change.
type quicPeer struct {
	remote netip.AddrPort
	local  netip.Addr
	shard  *shard
	addr   *net.UDPAddr
}

// QUIC returns the share of QUIC in the server's port, so that a program can serve QUIC beside
// WebRTC: the first byte tells them apart (RFC 9443). The error says that there is one already
// that is not closed, or is ErrClosed. Closing the server closes the QUICConn.
func (s *Server) QUIC() (*QUICConn, error) {
	q := &QUICConn{
		server: s, seed: maphash.MakeSeed(), down: make(chan struct{}), changed: make(chan struct{}, 1),
		queue: make(chan *quicDatagram, quicQueue), free: make(chan *quicDatagram, quicQueue),
	}
	if !s.quic.CompareAndSwap(nil, q) {
		return nil, errors.New("rtcserver: another QUICConn is open")
	}
	select {
	case <-s.down:
		q.Close()
		return nil, ErrClosed
	default:
		return q, nil
	}
}

// receiveQUIC gives a datagram to the QUICConn, if there is one with room.
func (s *shard) receiveQUIC(d *udpio.Datagram) {
	switch q := s.server.quic.Load(); {
	case q == nil:
		s.stats.drops[DropNotOurs]++
	case !q.add(s, d):
		s.stats.drops[DropQUIC]++
	}
}

// add keeps a datagram for ReadFrom. It returns false if there is no room.
func (q *QUICConn) add(s *shard, d *udpio.Datagram) bool {
	if len(d.B) > quicLen {
		return false
	}
	var to *quicDatagram
	select {
	case to = <-q.free:
	default:
		to = new(quicDatagram)
	}
	to.n, to.remote, to.local, to.shard = copy(to.b[:], d.B), d.Remote, d.Local, s
	select {
	case q.queue <- to:
		return true
	default:
		q.reuse(to)
		return false
	}
}

func (q *QUICConn) reuse(d *quicDatagram) {
	select {
	case q.free <- d:
	default:
	}
}

// ReadFrom waits for a datagram. One goroutine at a time may call it. The address is a
// *net.UDPAddr, which must not be changed. The error is net.ErrClosed after Close, or
// os.ErrDeadlineExceeded.
func (q *QUICConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		var due <-chan time.Time
		if deadline := q.deadline.Load(); deadline != nil {
			wait := time.Until(*deadline)
			if wait <= 0 {
				return 0, nil, q.ended(os.ErrDeadlineExceeded)
			}
			due = time.After(wait)
		}
		select {
		case <-q.down:
			return 0, nil, net.ErrClosed
		case d := <-q.queue:
			n, from := copy(b, d.b[:d.n]), q.arrived(d)
			q.reuse(d)
			return n, from, q.ended(nil)
		case <-q.changed:
		case <-due:
		}
	}
}

// ended returns net.ErrClosed after Close, and else err.
func (q *QUICConn) ended(err error) error {
	select {
	case <-q.down:
		return net.ErrClosed
	default:
		return err
	}
}

// arrived notes the way back to the sender of a datagram, and returns the sender's address.
func (q *QUICConn) arrived(d *quicDatagram) *net.UDPAddr {
	place := q.peer(d.remote)
	p := place.Load()
	if p == nil || p.remote != d.remote {
		p = &quicPeer{d.remote, d.local, d.shard, net.UDPAddrFromAddrPort(d.remote)}
		place.Store(p)
	} else if p.local != d.local || p.shard != d.shard {
		p = &quicPeer{d.remote, d.local, d.shard, p.addr}
		place.Store(p)
	}
	return p.addr
}

func (q *QUICConn) peer(a netip.AddrPort) *atomic.Pointer[quicPeer] {
	return &q.peers[maphash.Comparable(q.seed, a)%quicPeers]
}

// WriteTo sends a datagram, and does not wait. What the system does not take is lost and
// counted in SocketStats. addr is a *net.UDPAddr. The error is net.ErrClosed after Close.
func (q *QUICConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok || len(b) > outLen {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: addr, Err: errors.New("not an address of UDP, or too many bytes")}
	}
	to := u.AddrPort()
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	s, local := q.server.shards[0], netip.Addr{}
	if p := q.peer(to).Load(); p != nil && p.remote == to {
		s, local = p.shard, p.local
	}
	if q.ended(nil) != nil || !s.sendQUIC(b, to, local) {
		return 0, net.ErrClosed
	}
	return len(b), nil
}

// sendQUIC sends a datagram: at once, or at the end of the turn that runs.
func (s *shard) sendQUIC(b []byte, to netip.AddrPort, local netip.Addr) bool {
	s.loop.Lock()
	defer s.loop.Unlock()
	if s.loop.Closed() {
		return false
	}
	s.loop.Push(append(s.loop.Slot(), b...), to, local)
	s.loop.SendBatch()
	return true
}

// LocalAddr returns the address of the server's socket.
func (q *QUICConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(q.server.Addr()) }

// SetDeadline is SetReadDeadline: WriteTo does not wait.
func (q *QUICConn) SetDeadline(t time.Time) error { return q.SetReadDeadline(t) }

// SetReadDeadline sets the time after which ReadFrom does not wait any more, also if it waits
// now. The zero Time means never.
func (q *QUICConn) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		q.deadline.Store(nil)
	} else {
		q.deadline.Store(&t)
	}
	select {
	case q.changed <- struct{}{}:
	default:
	}
	return nil
}

// SetWriteDeadline does nothing.
func (q *QUICConn) SetWriteDeadline(time.Time) error { return nil }

// Close ends the share of QUIC. The server drops datagrams of QUIC from now on.
func (q *QUICConn) Close() error {
	q.server.quic.CompareAndSwap(q, nil)
	q.closing.Do(func() { close(q.down) })
	return nil
}
