package udpio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// single moves datagrams one by one over a PacketConn.
type single struct {
	pc     PacketConn
	queued func() int // datagrams that can be read without waiting; nil if pc cannot tell

	// look is a read that does not wait and ignores the read deadline, for a socket whose
	// reads fail after the deadline: a busy owner may set a past deadline for every read. If
	// there is no datagram, look returns os.ErrDeadlineExceeded. It is nil on systems other
	// than Linux, and for other connections.
	look func(b []byte) (int, netip.AddrPort, error)

	local netip.Addr // the bound address; zero if that is a wildcard
	n     *counters
}

// New returns a Conn that uses pc. The Conn owns pc from now on. A datagram costs an allocation
// if pc is not a PacketConn.
//
// If pc also has a method Queued() int, which returns the number of datagrams that can be read
// without waiting, ReadBatch reads as many after the first.
func New(pc net.PacketConn) *Conn {
	c := &Conn{deadline: pc.SetReadDeadline, close: pc.Close}
	c.local = func() netip.AddrPort { return addrPort(pc.LocalAddr()) }
	fast, ok := pc.(PacketConn)
	if !ok {
		fast = plain{pc}
	}
	s := &single{pc: fast, n: &c.counters}
	if a := c.LocalAddr().Addr(); !a.IsUnspecified() {
		s.local = a
	}
	if q, ok := pc.(interface{ Queued() int }); ok {
		s.queued = q.Queued
	}
	if u, ok := pc.(*net.UDPConn); ok {
		s.look = lookAt(u)
		c.only6 = onlyIPv6(u)
	}
	c.read, c.write = s.read, s.write
	return c
}

// Take returns a Conn that uses pc, without a read deadline, and owns pc from now on. A [net.UDPConn]
// works like a socket of [Listen], any other connection as with [New]. If pc is closed the error is
// net.ErrClosed.
func Take(pc net.PacketConn, c Config) (*Conn, error) {
	if err := pc.SetReadDeadline(time.Time{}); errors.Is(err, net.ErrClosed) {
		return nil, err
	}
	if u, ok := pc.(*net.UDPConn); ok {
		return newSocket(u, c)
	}
	return New(pc), nil
}

// plain makes a PacketConn of a connection that has only the methods of net.PacketConn.
type plain struct{ net.PacketConn }

func (p plain) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := p.ReadFrom(b)
	if err != nil {
		return n, netip.AddrPort{}, err
	}
	return n, addrPort(from), nil
}

func (p plain) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return p.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

// oneByOne is New with the buffers of c.
func oneByOne(u *net.UDPConn, c Config) *Conn {
	// A system may refuse a large buffer. Then the socket works with the default.
	if n, ok := bufferSize(c.ReadBuffer); ok {
		u.SetReadBuffer(n)
	}
	if n, ok := bufferSize(c.WriteBuffer); ok {
		u.SetWriteBuffer(n)
	}
	return New(u)
}

// addrPort is a as a netip.AddrPort, unmapped.
func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		p := u.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	if a == nil { // against the contract of net.PacketConn
		return netip.AddrPort{}
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

func (s *single) read(ds []Datagram) (int, error) {
	ds = ds[:min(len(ds), maxBatch)]
	k, failures, large := 0, 0, 0
	for k == 0 || k < len(ds) && (s.look != nil || s.queued != nil && s.queued() > 0) {
		d := &ds[k]
		d.B = d.B[:cap(d.B)]
		n, from, looked, err := s.next(d.B, k > 0)
		switch {
		case err == nil && n == cap(d.B):
			// The system cuts off what does not fit, without an error. A full buffer is the
			// only sign of it.
			s.n.truncated.Add(1)
			large++
			switch { // there may be any number of datagrams that are too large
			case !looked || large < maxBatch:
			case k == 0:
				return 0, os.ErrDeadlineExceeded
			default:
				return s.took(k), nil
			}
		case err == nil:
			d.B = d.B[:n]
			d.Remote = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			d.Local = s.local
			k++
		default:
			if err = s.readError(err, &failures); err != nil && k == 0 {
				return 0, err
			} else if err != nil {
				return s.took(k), nil
			}
		}
	}
	return s.took(k), nil
}

// next reads one datagram. looked says that it has used look, because the deadline has
// passed. more says that the datagram is not the first of the batch, and next need not
// wait for it.
func (s *single) next(b []byte, more bool) (n int, from netip.AddrPort, looked bool, err error) {
	if !more || s.look == nil {
		n, from, err = s.pc.ReadFromUDPAddrPort(b)
		if s.look == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, from, false, err
		}
	}
	n, from, err = s.look(b)
	return n, from, true, err
}

func (s *single) took(k int) int {
	s.n.received.Add(uint64(k))
	return k
}

// readError returns nil if reading may continue. On Windows a read reports that nobody
// has received an earlier write, or that a buffer was too small; anyone can cause any
// number of such errors.
func (s *single) readError(err error, failures *int) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	case errors.Is(err, wsaEMSGSIZE):
		s.n.truncated.Add(1)
		return nil
	}
	s.n.readErrors.Add(1)
	if *failures++; *failures < maxReadErrors {
		return nil
	}
	return err
}

func (s *single) write(ds []Datagram) (int, error) {
	sent := 0
	for i := range ds {
		to := ds[i].Remote
		to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port()) // an IPv4 socket takes no mapped address
		_, err := s.pc.WriteToUDPAddrPort(ds[i].B, to)
		if err == nil {
			sent++
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return sent, net.ErrClosed
		}
		errno, _ := errors.AsType[syscall.Errno](err)
		if s.n.drop(errno) {
			s.n.full.Add(uint64(len(ds) - i - 1))
			break
		}
	}
	s.n.sent.Add(uint64(sent))
	return sent, nil
}
