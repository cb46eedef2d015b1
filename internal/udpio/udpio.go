package udpio

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// maxBatch is the largest number of datagrams of one system call. A larger one saves almost
// nothing, and each datagram costs 160 bytes of headers for each socket.
const maxBatch = 64

// maxReadErrors is the number of failed reads in a row after which ReadBatch returns
// the error. Fewer may be caused by ICMP messages.
const maxReadErrors = 16

// maxReads is the number of system calls for many datagrams after which ReadBatch gives a batch that is not full, although more may be
// waiting: anybody can send any number of datagrams that are too large, and fill no batch.
const maxReads = 16

// A Datagram is one UDP datagram, received or to be sent.
type Datagram struct {
	// Remote is the address of the other end. ReadBatch sets IPv4 addresses in their
	// IPv4 form; WriteBatch accepts the IPv6-mapped form, too. The zone of a link-local
	// address is the number of the interface, as in "fe80::1%2".
	Remote netip.AddrPort

	// Local is the address of this end: at which the datagram arrived, or from which it
	// leaves. When sent, the zero Addr, or an address of another family than Remote,
	// means that the kernel chooses. A datagram that is received one by one on a
	// wildcard address has no Local. Local is ignored if datagrams are sent one by one,
	// or the socket is bound to one address.
	Local netip.Addr

	// B is the payload. ReadBatch uses its whole capacity.
	B []byte
}

// Config has the properties of the sockets that [Listen] opens. The zero value
// works.
type Config struct {
	// Sockets is the number of sockets that share one port. The kernel distributes the
	// clients to them by their addresses. Zero means 1; more than 1 needs Linux.
	Sockets int

	// ReadBuffer and WriteBuffer are the sizes in bytes that are requested for the
	// buffers of each socket. Zero means 4 MiB; negative means the system's default.
	// The kernel may give less: see [Stats].
	ReadBuffer, WriteBuffer int

	// Segments makes WriteBatch give the kernel neighbours in a batch that have the same
	// addresses and length as one message (UDP_SEGMENT), and ReadBatch take such a message as one
	// from the kernel (UDP_GRO): it passes through the layers of the kernel once. The caller of
	// ReadBatch, and a receiver without Segments, get the same datagrams. It needs 1 MiB for each socket, and
	// Linux 4.18 for writing, 5.0 for reading. It has no effect elsewhere.
	Segments bool
}

// defaultBuffer has room for several thousand small datagrams, with the kernel's
// overhead: those of a tick of a busy server.
const defaultBuffer = 4 << 20

// Stats counts what happened on a Conn since it was made.
type Stats struct {
	Received, Sent uint64 // datagrams given to the caller; datagrams given to the kernel

	Truncated   uint64 // received datagrams larger than their buffers, dropped
	KernelDrops uint64 // received datagrams dropped by the kernel because its buffer was full (Linux); with Segments a message counts as one
	ReadErrors  uint64 // errors of reads, mostly about datagrams sent earlier

	SendFull        uint64 // dropped because the send buffer was full
	SendTooLarge    uint64 // dropped because larger than the path or UDP allows
	SendUnreachable uint64 // dropped because the host, the port, or a route from Local does not exist
	SendDenied      uint64 // dropped by a rule of this machine, such as a firewall's
	SendFailed      uint64 // dropped for any other reason, such as a Remote of a family that the socket does not support

	// ReadBuffer and WriteBuffer are the sizes in bytes that the kernel reports. Linux
	// includes its overhead, and gives twice the requested size. Zero means unknown.
	ReadBuffer, WriteBuffer int

	// Batched says that one system call moves many datagrams. It is false on systems other
	// than Linux, in a sandbox that refuses recvmmsg or sendmmsg, and for a PacketConn that
	// is not a socket.
	Batched bool
}

// A PacketConn is a connection that reads and writes without an allocation: a [net.UDPConn], or
// a connection of an in-memory network.
type PacketConn interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (n int, addr netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

// A Conn is a UDP socket that is read and written in batches.
type Conn struct {
	// The funcs of an mmsg or a single.
	read     func(ds []Datagram) (int, error)
	write    func(ds []Datagram) (int, error)
	deadline func(t time.Time) error
	close    func() error

	local                   func() netip.AddrPort
	readBuffer, writeBuffer int
	batched                 bool
	raw                     syscall.RawConn // nil if datagrams move one by one
	only6                   bool            // a socket for IPv6 that receives no IPv4
	pending                 func() bool     // reports whether ReadBatch has datagrams that the kernel has no more; nil if it never has

	counters counters
}

// counters are atomic because any goroutine may call Stats. Most batches change each of
// them at most once.
type counters struct {
	received, truncated, kernelDrops, readErrors atomic.Uint64
	sent                                         atomic.Uint64
	full, tooLarge, unreachable, denied, failed  atomic.Uint64
}

// ReadBatch waits for a datagram, and then reads all datagrams that have arrived, up to
// len(ds) and to 64, without waiting for more. It reads each into the capacity of
// ds[i].B, sets its length and addresses, and returns the number of datagrams: at least
// one if there is no error. If that is less than len(ds) and less than 64, no more are waiting, unless
// many are too large. It drops datagrams that are larger than their buffers, and
// perhaps one that fills its buffer completely: make the buffers a byte larger than
// needed. It may exchange buffers within ds.
//
// After the read deadline it still reads datagrams that have arrived, if the system
// allows it (Linux and in-memory networks do, also one by one). If there are none, it
// returns [os.ErrDeadlineExceeded]. On a closed Conn it returns [net.ErrClosed]. Any
// other error means that the socket has failed many times in a row.
func (c *Conn) ReadBatch(ds []Datagram) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	return c.read(ds)
}

// WriteBatch sends all of ds and returns the number of datagrams that the kernel has
// accepted. It does not wait: when the send buffer is full, it drops and counts the
// rest, because the next datagrams are more useful than late ones. It skips a datagram
// that cannot be sent, and counts it by its cause. The only error is [net.ErrClosed].
//
// If datagrams are sent one by one, WriteBatch may wait for room in the send buffer.
func (c *Conn) WriteBatch(ds []Datagram) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	return c.write(ds)
}

// SetReadDeadline sets the time after which ReadBatch does not wait any more, also if
// it waits now: a time in the past wakes it. The zero Time means never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.deadline(t) }

// LocalAddr returns the address that the socket is bound to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local() }

// Families reports whether the socket receives IPv4 and IPv6.
func (c *Conn) Families() (v4, v6 bool) {
	a := c.LocalAddr().Addr()
	return a.Is4() || a.IsUnspecified() && !c.only6, a.Is6()
}

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

// wsaEMSGSIZE is EMSGSIZE on Windows, also for reads. No other system has an error with
// this number.
const wsaEMSGSIZE = syscall.Errno(10040)

// drop counts one datagram that could not be sent. full says that the cause is a full
// buffer: then the next datagrams could not be sent, either.
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
