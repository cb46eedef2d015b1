package udpio

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// maxBatch is how many datagrams one system call moves. A batch beyond a few
// dozen saves nothing more, and each one costs 160 bytes of headers per socket.
const maxBatch = 64

// maxReadErrors is how many failed reads in a row ReadBatch takes for somebody
// else's ICMP messages before it reports the error.
const maxReadErrors = 16

// Datagram is one UDP datagram, received or to be sent.
type Datagram struct {
	// Remote is the other end. An IPv4 address is never in its IPv6-mapped
	// form when received and may be in either when sent. The zone of a
	// link-local address is the number of the interface, as in "fe80::1%2".
	Remote netip.AddrPort

	// Local is the address the datagram came to, and on sending the address
	// it leaves from. The zero Addr, or one of another family than Remote's,
	// leaves the choice to the kernel. It is always zero when received one
	// by one on a wildcard address, and ignored when sent one by one or by a
	// socket that is bound to one address.
	Local netip.Addr

	// B is the payload. For ReadBatch its capacity is the room there is.
	B []byte
}

// Config has the properties of the sockets that [Listen] opens. The zero value
// works.
type Config struct {
	// Sockets is the number of sockets on the one port, between which the
	// kernel spreads the clients by their addresses. Zero means 1; more than
	// 1 needs Linux.
	Sockets int

	// ReadBuffer and WriteBuffer are the sizes in bytes asked of the kernel
	// for the buffers of each socket. Zero means 4 MiB, negative the system's
	// default. The kernel may grant less: see [Stats].
	ReadBuffer, WriteBuffer int
}

// defaultBuffer holds about a thousand small datagrams with the kernel's
// bookkeeping several times over: a tick's worth of a busy server.
const defaultBuffer = 4 << 20

// Stats counts what happened on a Conn since it was made.
type Stats struct {
	Received, Sent uint64 // datagrams handed to the caller and to the kernel

	Truncated   uint64 // received datagrams larger than their buffers, dropped
	KernelDrops uint64 // received datagrams dropped by the kernel, its buffer being full (Linux)
	ReadErrors  uint64 // errors that reads reported about datagrams sent earlier

	SendFull        uint64 // dropped because the send buffer was full
	SendTooLarge    uint64 // dropped because larger than the path or UDP allows
	SendUnreachable uint64 // dropped because there is no way to the host or from Local, or nobody at the port
	SendDenied      uint64 // dropped by a local rule, such as a firewall's
	SendFailed      uint64 // dropped for any other reason, such as a Remote of a family the socket does not have

	// ReadBuffer and WriteBuffer are the sizes in bytes that the kernel
	// granted, in its own terms: Linux counts its bookkeeping and grants twice
	// what was asked. Zero means not known.
	ReadBuffer, WriteBuffer int

	// Batched: one system call moves many datagrams. It is false on systems other
	// than Linux, in a sandbox that refuses recvmmsg or sendmmsg, and over a
	// PacketConn that is no socket.
	Batched bool
}

// PacketConn is what [New] needs of a connection: a [net.UDPConn], or a
// connection of an in-memory network.
//
// If it also has a method Queued() int, the number of datagrams that can be
// read without waiting, then ReadBatch takes as many after the first.
type PacketConn interface {
	ReadFromUDPAddrPort(b []byte) (n int, addr netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
	SetReadDeadline(t time.Time) error
	LocalAddr() net.Addr
	Close() error
}

// Conn is a UDP socket that is read and written in batches.
type Conn struct {
	// The four ways to reach the socket: of an mmsg or of a single.
	read     func(ds []Datagram) (int, error)
	write    func(ds []Datagram) (int, error)
	deadline func(t time.Time) error
	close    func() error

	local                   func() netip.AddrPort
	readBuffer, writeBuffer int
	batched                 bool

	counters counters
}

// counters are atomic because Stats is called by neither the reader nor the
// writer. A batch touches each at most once.
type counters struct {
	received, truncated, kernelDrops, readErrors atomic.Uint64
	sent                                         atomic.Uint64
	full, tooLarge, unreachable, denied, failed  atomic.Uint64
}

// ReadBatch waits for a datagram and then takes what is there, up to len(ds)
// and to 64, without waiting for more. It reads ds[i] into the whole capacity
// of ds[i].B, sets its length and addresses, and returns how many it has set,
// at least one unless there is an error. Datagrams larger than their buffers
// are dropped; one that fills its buffer to the last byte may be taken for one
// of these, so leave a byte to spare. Buffers may change places within ds.
//
// When the read deadline has passed it still takes what is there, as far as
// the system allows (Linux and in-memory networks do, also one by one), and returns
// [os.ErrDeadlineExceeded] if that is nothing. On a closed Conn it returns
// [net.ErrClosed]. Another error means that the socket has failed many times in
// a row.
func (c *Conn) ReadBatch(ds []Datagram) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	return c.read(ds)
}

// WriteBatch sends all of ds and returns how many the kernel took. It does not
// wait: once the send buffer is full the rest is dropped and counted, and
// nothing is tried twice, because a late datagram is worth less than the next
// one. A datagram that cannot be sent is counted by its cause and skipped. The
// only error is [net.ErrClosed].
//
// One by one it may wait for room.
func (c *Conn) WriteBatch(ds []Datagram) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	return c.write(ds)
}

// SetReadDeadline sets the time after which ReadBatch no longer waits, also if
// it is waiting now: a time in the past wakes it. The zero Time means never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.deadline(t) }

// LocalAddr is the address the socket is bound to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local() }

// Close closes the socket. A waiting ReadBatch returns [net.ErrClosed].
func (c *Conn) Close() error { return c.close() }

// Stats returns the counters as they are now.
func (c *Conn) Stats() Stats {
	n := &c.counters
	return Stats{
		Received:        n.received.Load(),
		Sent:            n.sent.Load(),
		Truncated:       n.truncated.Load(),
		KernelDrops:     n.kernelDrops.Load(),
		ReadErrors:      n.readErrors.Load(),
		SendFull:        n.full.Load(),
		SendTooLarge:    n.tooLarge.Load(),
		SendUnreachable: n.unreachable.Load(),
		SendDenied:      n.denied.Load(),
		SendFailed:      n.failed.Load(),
		ReadBuffer:      c.readBuffer,
		WriteBuffer:     c.writeBuffer,
		Batched:         c.batched,
	}
}

// wsaEMSGSIZE is what Windows calls EMSGSIZE, also of a read. No other system has an
// error of that number.
const wsaEMSGSIZE = syscall.Errno(10040)

// drop counts one datagram that could not be sent. It reports whether the
// cause is a full buffer, so that the next one would fare no better.
func (n *counters) drop(e syscall.Errno) (full bool) {
	switch e {
	case syscall.EAGAIN, syscall.ENOBUFS:
		n.full.Add(1)
		return true
	case syscall.EMSGSIZE, wsaEMSGSIZE:
		n.tooLarge.Add(1)
	case syscall.ECONNREFUSED, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN:
		n.unreachable.Add(1)
	case syscall.EPERM, syscall.EACCES:
		n.denied.Add(1)
	default:
		n.failed.Add(1)
	}
	return false
}
