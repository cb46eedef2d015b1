package netsim

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A netlink changes devices, addresses and routes of the namespace in which it was opened.
// After the first error it does nothing. https://man7.org/linux/man-pages/man7/rtnetlink.7.html
type netlink struct {
	fd  int
	err error
}

func openNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &netlink{fd: fd}, nil
}

func (k *netlink) close() { unix.Close(k.fd) }

var native = binary.NativeEndian

// up sets a device up, with attributes of the device.
func (k *netlink) up(what string, index int, attrs []byte) {
	b := make([]byte, 4, 64) // struct ifinfomsg: family, padding and type are zero
	b = native.AppendUint32(b, uint32(index))
	b = native.AppendUint32(b, unix.IFF_UP) // the flags
	b = native.AppendUint32(b, unix.IFF_UP) // and which of them change
	k.do(what, unix.RTM_NEWLINK, 0, append(b, attrs...))
}

// addAddr adds an address to a device. An IPv6 address is not looked for on the link first.
func (k *netlink) addAddr(index int, a netip.Prefix) {
	b := []byte{family(a.Addr()), byte(a.Bits()), unix.IFA_F_NODAD, 0} // struct ifaddrmsg
	b = native.AppendUint32(b, uint32(index))
	b = appendAttr(b, unix.IFA_LOCAL, a.Addr().AsSlice())
	b = appendAttr(b, unix.IFA_ADDRESS, a.Addr().AsSlice())
	k.do("address "+a.String(), unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
}

// addDefaultRoute sends all traffic of a family to a device.
func (k *netlink) addDefaultRoute(index int, family byte) {
	b := []byte{family, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0} // struct rtmsg
	b = appendAttr32(b, unix.RTA_OIF, uint32(index))
	k.do("default route", unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, b)
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// appendAttr appends a struct rtattr with its value, and its padding.
func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(4+len(value)))
	b = native.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

func appendAttr32(b []byte, kind uint16, value uint32) []byte {
	return appendAttr(b, kind, native.AppendUint32(nil, value))
}

// do sends one request and waits for the answer of the kernel.
func (k *netlink) do(what string, kind, flags uint16, body []byte) {
	if k.err != nil {
		return
	}
	if err := k.request(kind, flags, body); err != nil {
		k.err = needsRoot(what, err)
	}
}

func (k *netlink) request(kind, flags uint16, body []byte) error {
	const header = 16 // struct nlmsghdr
	b := native.AppendUint32(nil, uint32(header+len(body)))
	b = native.AppendUint16(b, kind)
	b = native.AppendUint16(b, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = append(b, make([]byte, 8)...) // sequence number and port
	if err := unix.Sendto(k.fd, append(b, body...), 0, &unix.SockaddrNetlink{}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(k.fd, answer, 0)
	switch {
	case err != nil:
		return err
	case n < header+4 || native.Uint16(answer[4:]) != unix.NLMSG_ERROR:
		return fmt.Errorf("an answer of %d bytes and type %d", n, native.Uint16(answer[4:]))
	}
	if code := -int32(native.Uint32(answer[header:])); code != 0 {
		return unix.Errno(code)
	}
	return nil
}
