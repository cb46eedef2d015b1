//go:build linux

package main

import (
	"encoding/binary"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// chunk is the number of datagrams that one system call sends: the most it accepts.
const chunk = 1024

// mmsghdr is an element of the array for sendmmsg.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// A fan sends one datagram to many addresses, with the system calls alone: their arguments
// are built once.
type fan struct {
	fd    int
	names []unix.RawSockaddrInet4
	hdrs  []mmsghdr
	iov   unix.Iovec
}

func (f *fan) add(a netip.AddrPort) {
	f.names = append(f.names, unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().Unmap().As4()})
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&f.names[len(f.names)-1].Port))[:], a.Port())
	f.hdrs = make([]mmsghdr, len(f.names))
	for i := range f.hdrs {
		h := &f.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&f.names[i]))
		h.Namelen = unix.SizeofSockaddrInet4
		h.Iov = &f.iov
		h.SetIovlen(1)
	}
}

func (f *fan) send(b []byte) {
	f.iov.Base = unsafe.SliceData(b)
	f.iov.SetLen(len(b))
	for i := 0; i < len(f.hdrs); {
		n := min(len(f.hdrs)-i, chunk)
		done, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(f.fd), uintptr(unsafe.Pointer(&f.hdrs[i])), uintptr(n), 0, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			done = 1 // skip the one that cannot be sent
		}
		i += int(done)
	}
}

// serveSendmmsg is the server to compare a fan-out with. Each sender of a datagram is a
// client, and a datagram that looks like a message goes to all clients.
func serveSendmmsg() (url string, err error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", err
	}
	c.SetReadBuffer(4 << 20)
	c.SetWriteBuffer(4 << 20)
	file, err := c.File() // a blocking descriptor of the same socket
	if err != nil {
		return "", err
	}
	f := &fan{fd: int(file.Fd())}
	go func() {
		defer file.Close()
		known := make(map[netip.AddrPort]bool)
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if !known[from] {
				known[from] = true
				f.add(from)
			}
			if n >= 16 {
				f.send(b[:n])
			}
		}
	}()
	return "udp://" + c.LocalAddr().String(), nil
}
