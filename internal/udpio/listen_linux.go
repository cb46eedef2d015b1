package udpio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const canSharePort = true

// sharePort is a net.ListenConfig.Control.
func sharePort(_, _ string, raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}

// newSocket takes over the socket of u, also if it fails.
func newSocket(u *net.UDPConn, c Config) (*Conn, error) {
	resetOptions(u)
	if !batches(u) {
		return oneByOne(u, c), nil
	}
	local, only6 := addrPort(u.LocalAddr()), onlyIPv6(u)
	// The same socket as an os.File: it knows deadlines too, and its RawConn
	// reports them without allocating, which that of a UDPConn does not.
	file, err := u.File()
	u.Close()
	if err != nil {
		return nil, err
	}
	conn, err := newFile(file, local.Addr(), c)
	if err != nil {
		file.Close()
		return nil, err
	}
	conn.local, conn.only6 = func() netip.AddrPort { return local }, only6
	return conn, nil
}

// resetOptions turns off what a program may have turned on at a socket that it gives away, and what would change the meaning of
// reads and writes: with UDP_GRO several datagrams would be read as one, with UDP_SEGMENT one would leave as several, and with
// IP_RECVERR the socket would be ready after an error until somebody reads the queue of errors, which nobody does.
func resetOptions(u *net.UDPConn) {
	raw, err := u.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		for _, o := range [][2]int{
			{unix.SOL_UDP, unix.UDP_GRO}, {unix.SOL_UDP, unix.UDP_SEGMENT},
			{unix.IPPROTO_IP, unix.IP_RECVERR}, {unix.IPPROTO_IPV6, unix.IPV6_RECVERR},
		} {
			unix.SetsockoptInt(int(fd), o[0], o[1], 0) // fails where the option does not exist
		}
	})
}

// batches reports whether this process may call recvmmsg and sendmmsg: some sandboxes
// refuse both, with one of several errors. A call for no messages moves nothing.
func batches(u *net.UDPConn) bool {
	raw, err := u.SyscallConn()
	if err != nil {
		return false
	}
	allowed := true
	err = raw.Control(func(fd uintptr) {
		for _, call := range []uintptr{unix.SYS_RECVMMSG, unix.SYS_SENDMMSG} {
			_, _, errno := unix.Syscall6(call, fd, 0, 0, unix.MSG_DONTWAIT, 0, 0)
			switch errno {
			case unix.ENOSYS, unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.EINVAL:
				allowed = false
			}
		}
	})
	return err == nil && allowed
}

func newFile(file *os.File, bound netip.Addr, c Config) (*Conn, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	conn := &Conn{deadline: file.SetReadDeadline, close: func() error { return closeFile(file) }}
	var inet6, segments bool
	var groups *groups
	if e := raw.Control(func(fd uintptr) {
		inet6, err = conn.setOptions(int(fd), bound, c)
		if c.Segments {
			segments, groups = canSegment(int(fd)), newGroups(int(fd))
		}
	}); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	m := newMmsg(raw, inet6, bound, &conn.counters)
	m.segments, m.groups = segments, groups
	if groups != nil {
		conn.pending = groups.pending
	}
	conn.read, conn.write, conn.batched, conn.raw = m.read, m.write, true, raw
	return conn, nil
}

// closeFile turns the os.ErrClosed of a second Close into net.ErrClosed.
func closeFile(file *os.File) error {
	err := file.Close()
	if errors.Is(err, os.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

// setOptions asks for the control messages and the buffers.
func (c *Conn) setOptions(fd int, bound netip.Addr, cfg Config) (inet6 bool, err error) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return false, os.NewSyscallError("getsockopt SO_DOMAIN", err)
	}
	inet6 = family == unix.AF_INET6
	// On a dual-stack socket IPv4 datagrams carry IP_PKTINFO, which an IPv6
	// socket may ask for as well. One that is bound to an address knows it.
	wild := bound.IsUnspecified()
	if wild {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
			return inet6, os.NewSyscallError("setsockopt IP_PKTINFO", err)
		}
	}
	if wild && inet6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err != nil {
			return inet6, os.NewSyscallError("setsockopt IPV6_RECVPKTINFO", err)
		}
	}
	// Only a counter depends on this one; some sandboxes do not know it.
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)

	// What we send fits any path that QUIC fits, so it need not be fragmented, nor
	// numbered in case it is, which takes a twentieth of a system call's time. What
	// routers say about a path is not believed: nobody can shrink ours.
	// https://www.rfc-editor.org/rfc/rfc8899.html#section-3
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	if inet6 {
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	}

	c.readBuffer = setBuffer(fd, cfg.ReadBuffer, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	c.writeBuffer = setBuffer(fd, cfg.WriteBuffer, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	return inet6, nil
}

// setBuffer asks for a buffer of want bytes, with the force that needs
// CAP_NET_ADMIN and passes the system's limit if it is granted, and returns
// the size there is now.
func setBuffer(fd, want, force, option int) int {
	if n, ok := bufferSize(want); ok {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, n) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, n)
		}
	}
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
	if err != nil {
		return 0
	}
	return n
}
