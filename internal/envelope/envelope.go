// Package envelope has the header in which a relay and a node of a fleet send each other the
// datagrams of clients: docs/relay.md. The functions are pure.
package envelope

import (
	"encoding/binary"
	"net/netip"
)

// The header. The first byte is one with which no datagram of STUN, DTLS or QUIC begins.
// https://www.rfc-editor.org/rfc/rfc9443.html#section-3
//
//	0x0F  0x67  version (1)  family (1)  address (4 or 16)  port (2)
//
// The address is that of the client, in both directions. The highest bit of the family is set in a
// datagram of a node if the node has a proof that the client is at the address.
const (
	First  = 0x0f
	second = 0x67

	version = 1

	family4    = 1
	family6    = 2
	familyBits = 0x7f
	provedBit  = 0x80

	fixedLen = 4
	portLen  = 2

	// MaxLen is the length of the longest header, which is that for a client with IPv6; MinLen is
	// that for IPv4.
	MinLen = fixedLen + 4 + portLen
	MaxLen = fixedLen + 16 + portLen
)

// Append appends the header for the datagram of a client. proved is for nodes. The zone of an address
// is lost.
func Append(b []byte, client netip.AddrPort, proved bool) []byte {
	a := client.Addr().Unmap()
	family := byte(family4)
	if !a.Is4() {
		family = family6
	}
	if proved {
		family |= provedBit
	}
	b = append(b, First, second, version, family)
	if a.Is4() {
		ip := a.As4()
		b = append(b, ip[:]...)
	} else {
		ip := a.As16()
		b = append(b, ip[:]...)
	}
	return binary.BigEndian.AppendUint16(b, client.Port())
}

// Wrap puts the header before the datagram b, in the memory behind it. The capacity of b must have room
// for MaxLen more bytes.
func Wrap(b []byte, client netip.AddrPort, proved bool) []byte {
	n := MaxLen
	if client.Addr().Unmap().Is4() {
		n = MinLen
	}
	all := b[:n+len(b)]
	copy(all[n:], b)
	Append(all[:0], client, proved)
	return all
}

// Parse reads a header, and returns the datagram behind it, a view. It returns false if there is no
// header, or its version or family is unknown, or its client is at no address to which an answer can
// be sent.
func Parse(b []byte) (client netip.AddrPort, proved bool, inner []byte, ok bool) {
	if len(b) < MinLen || b[0] != First || b[1] != second || b[2] != version {
		return netip.AddrPort{}, false, nil, false
	}
	var a netip.Addr
	n := MinLen
	switch b[3] & familyBits {
	case family4:
		a = netip.AddrFrom4([4]byte(b[fixedLen:]))
	case family6:
		if n = MaxLen; len(b) < n {
			return netip.AddrPort{}, false, nil, false
		}
		// An IPv4 address has one form, or a client could be at two addresses.
		if a = netip.AddrFrom16([16]byte(b[fixedLen:])); a.Is4In6() {
			return netip.AddrPort{}, false, nil, false
		}
	}
	port := binary.BigEndian.Uint16(b[n-portLen:])
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || port == 0 {
		return netip.AddrPort{}, false, nil, false
	}
	return netip.AddrPortFrom(a, port), b[3]&provedBit != 0, b[n:], true
}
