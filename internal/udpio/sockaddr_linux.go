package udpio

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Socket addresses as the kernel writes them, by offset.
// https://man7.org/linux/man-pages/man7/ipv6.7.html
const (
	saFamily = 0 // uint16, native order
	saPort   = 2 // uint16, network order

	sa4Addr = 4 // 4 bytes
	sa4Len  = unix.SizeofSockaddrInet4

	sa6Addr  = 8  // 16 bytes, after the flow label
	sa6Scope = 24 // uint32, native order: the interface of a link-local address
	sa6Len   = unix.SizeofSockaddrInet6
)

// putSockaddr writes a for a socket of the given family into b and returns the
// length, or 0 if the socket cannot reach such an address.
func putSockaddr(b *[sa6Len]byte, a netip.AddrPort, inet6 bool) uint32 {
	ip := a.Addr()
	if !ip.IsValid() {
		return 0
	}
	binary.BigEndian.PutUint16(b[saPort:], a.Port())
	if !inet6 {
		if ip = ip.Unmap(); !ip.Is4() {
			return 0
		}
		binary.NativeEndian.PutUint16(b[saFamily:], unix.AF_INET)
		ip4 := ip.As4()
		copy(b[sa4Addr:], ip4[:])
		clear(b[sa4Addr+4 : sa4Len])
		return sa4Len
	}
	scope, ok := zoneNumber(ip)
	if !ok {
		return 0
	}
	binary.NativeEndian.PutUint16(b[saFamily:], unix.AF_INET6)
	clear(b[saPort+2 : sa6Addr])
	ip6 := ip.As16()
	copy(b[sa6Addr:], ip6[:])
	binary.NativeEndian.PutUint32(b[sa6Scope:], scope)
	return sa6Len
}

// parseSockaddr returns the address in b, unmapped, or the zero AddrPort.
func parseSockaddr(b []byte) netip.AddrPort {
	if len(b) < sa4Len {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(b[saPort:])
	switch binary.NativeEndian.Uint16(b[saFamily:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[sa4Addr:])), port)
	case unix.AF_INET6:
		if len(b) < sa6Len {
			return netip.AddrPort{}
		}
		ip := netip.AddrFrom16([16]byte(b[sa6Addr:])).Unmap()
		return netip.AddrPortFrom(withZone(ip, binary.NativeEndian.Uint32(b[sa6Scope:])), port)
	}
	return netip.AddrPort{}
}

// withZone adds the zone that a link-local address needs to be answered. IPv4 has none.
func withZone(ip netip.Addr, scope uint32) netip.Addr {
	if scope == 0 || !ip.IsLinkLocalUnicast() {
		return ip
	}
	return ip.WithZone(strconv.FormatUint(uint64(scope), 10)) // no allocation below 100
}

// zoneNumber is the zone of ip as a number, 0 without one.
func zoneNumber(ip netip.Addr) (n uint32, ok bool) {
	z := ip.Zone()
	if z == "" {
		return 0, true
	}
	u, err := strconv.ParseUint(z, 10, 32)
	return uint32(u), err == nil
}

// A control message is a header and data, both padded to a machine word.
// https://man7.org/linux/man-pages/man3/cmsg.3.html
const (
	wordLen = bits.UintSize / 8

	cmsgLen   = 0           // a machine word: header and data without the padding
	cmsgLevel = wordLen     // int32
	cmsgType  = wordLen + 4 // int32
	cmsgData  = wordLen + 8 // already a multiple of the word

	// IP_PKTINFO
	info4Index = cmsgData     // int32: the interface
	info4Local = cmsgData + 4 // 4 bytes: the local address; on sending the source
	info4Len   = 12

	// IPV6_PKTINFO
	info6Local = cmsgData      // 16 bytes
	info6Index = cmsgData + 16 // uint32
	info6Len   = 20

	overflowLen = 4 // SO_RXQ_OVFL: uint32
	groupedLen  = 4 // UDP_GRO: int32

	control4Len = cmsgData + (info4Len+wordLen-1)/wordLen*wordLen
	control6Len = cmsgData + (info6Len+wordLen-1)/wordLen*wordLen

	// controlLen has room for all four, and so for those of a message that is sent.
	controlLen = control4Len + control6Len + 2*(cmsgData+wordLen)
)

// control is what the control messages of one received message say.
type control struct {
	local    netip.Addr // the address it came to
	drops    uint32     // all that the kernel has dropped on this socket, modulo 2^32
	hasDrops bool
	size     int // the length of each of its datagrams; 0 if it is one
}

// parseControl reads the control messages in b as far as they are whole.
func parseControl(b []byte) (c control) {
	for len(b) >= cmsgData {
		n := cmsgSize(b)
		if n < cmsgData || n > uint64(len(b)) {
			return c
		}
		m := b[:n]
		level, typ := int32At(m, cmsgLevel), int32At(m, cmsgType)
		switch {
		case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && n >= cmsgData+info4Len:
			c.local = netip.AddrFrom4([4]byte(m[info4Local:]))
		case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && n >= cmsgData+info6Len:
			ip := netip.AddrFrom16([16]byte(m[info6Local:])).Unmap()
			c.local = withZone(ip, uint32(int32At(m, info6Index)))
		case level == unix.SOL_SOCKET && typ == unix.SO_RXQ_OVFL && n >= cmsgData+overflowLen:
			c.drops, c.hasDrops = uint32(int32At(m, cmsgData)), true
		case level == unix.SOL_UDP && typ == unix.UDP_GRO && n >= cmsgData+groupedLen:
			c.size = max(0, int(int32At(m, cmsgData)))
		}
		padded := (n + wordLen - 1) / wordLen * wordLen
		b = b[min(padded, uint64(len(b))):]
	}
	return c
}

// putControl writes the message that makes a datagram to remote leave from
// local, and returns its length: 0 if the kernel shall choose.
func putControl(b *[controlLen]byte, local, remote netip.Addr) int {
	local = local.Unmap()
	if !local.IsValid() || local.Is4() != remote.Unmap().Is4() {
		return 0
	}
	if local.Is4() {
		putCmsg(b[:], cmsgData+info4Len, unix.IPPROTO_IP, unix.IP_PKTINFO)
		clear(b[cmsgData:control4Len])
		ip := local.As4()
		copy(b[info4Local:], ip[:])
		return control4Len
	}
	index, _ := zoneNumber(local)
	putCmsg(b[:], cmsgData+info6Len, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO)
	clear(b[cmsgData:control6Len])
	ip := local.As16()
	copy(b[info6Local:], ip[:])
	binary.NativeEndian.PutUint32(b[info6Index:], index)
	return control6Len
}

func putCmsg(b []byte, n int, level, typ uint32) {
	if wordLen == 8 {
		binary.NativeEndian.PutUint64(b[cmsgLen:], uint64(n))
	} else {
		binary.NativeEndian.PutUint32(b[cmsgLen:], uint32(n))
	}
	binary.NativeEndian.PutUint32(b[cmsgLevel:], level)
	binary.NativeEndian.PutUint32(b[cmsgType:], typ)
}

func cmsgSize(b []byte) uint64 {
	if wordLen == 8 {
		return binary.NativeEndian.Uint64(b[cmsgLen:])
	}
	return uint64(binary.NativeEndian.Uint32(b[cmsgLen:]))
}

func int32At(b []byte, i int) int32 { return int32(binary.NativeEndian.Uint32(b[i:])) }
