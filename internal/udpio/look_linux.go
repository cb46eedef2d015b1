package udpio

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A look reads what is there without waiting, whatever the deadline.
type look struct {
	raw  syscall.RawConn
	call func(fd uintptr) // made once

	b    []byte
	n    int
	from unix.Sockaddr
	err  error
}

// lookAt returns a look at a socket; nil if there is none.
func lookAt(u *net.UDPConn) func(b []byte) (int, netip.AddrPort, error) {
	raw, err := u.SyscallConn()
	if err != nil {
		return nil
	}
	return newLook(raw)
}

func newLook(raw syscall.RawConn) func(b []byte) (int, netip.AddrPort, error) {
	l := &look{raw: raw}
	l.call = func(fd uintptr) {
		for l.err = unix.EINTR; l.err == unix.EINTR; {
			l.n, l.from, l.err = unix.Recvfrom(int(fd), l.b, unix.MSG_DONTWAIT)
		}
	}
	return l.read
}

// read is ReadFromUDPAddrPort that does not wait.
func (l *look) read(b []byte) (int, netip.AddrPort, error) {
	l.b = b
	err := l.raw.Control(l.call)
	l.b = nil
	switch {
	case err != nil:
		return 0, netip.AddrPort{}, net.ErrClosed
	case l.err == unix.EAGAIN:
		return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
	case l.err != nil:
		return 0, netip.AddrPort{}, l.err
	}
	switch a := l.from.(type) {
	case *unix.SockaddrInet4:
		return l.n, netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		return l.n, netip.AddrPortFrom(netip.AddrFrom16(a.Addr).WithZone(zone(a.ZoneId)), uint16(a.Port)), nil
	}
	return l.n, netip.AddrPort{}, nil
}

// zone names an interface as package net does in addresses, so that one address has one
// form however it was read.
func zone(index uint32) string {
	if index == 0 {
		return ""
	}
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.Itoa(int(index))
}
