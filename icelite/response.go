package icelite

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v3"
)

// Error codes, as the class (hundreds) and the number that ERROR-CODE carries.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-14.8
// https://www.rfc-editor.org/rfc/rfc8445.html#section-16.2
const (
	codeUnknownAttribute = 4<<8 | 20
	codeRoleConflict     = 4<<8 | 87
)

// Address families of XOR-MAPPED-ADDRESS.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-14.2
const (
	familyIPv4 = 0x01
	familyIPv6 = 0x02
)

// The functions below write responses without the STUN package: the form of a response is
// fixed, and no object is needed.

// appendSuccess appends the response to a check that is granted. It has 64 bytes for an IPv4
// address and 76 for an IPv6 address.
func (r *Request) appendSuccess(b []byte, pwd string, from netip.AddrPort) []byte {
	start := len(b)
	b = r.appendHeader(b, typeSuccess)
	b = r.appendXORMappedAddress(b, from)
	return r.finish(b, start, pwd)
}

// appendError appends an error response. The reason phrase is empty, because nobody
// would see it, and an error must not be longer than the request.
func (r *Request) appendError(b []byte, pwd string, code uint32) []byte {
	start := len(b)
	b = r.appendHeader(b, typeError)
	b = appendAttr(b, stun.AttrErrorCode, 4)
	b = binary.BigEndian.AppendUint32(b, code)
	if code == codeUnknownAttribute {
		b = appendAttr(b, stun.AttrUnknownAttributes, 2*len(r.unknown))
		for _, t := range r.unknown {
			b = binary.BigEndian.AppendUint16(b, t)
		}
		if len(r.unknown)%2 == 1 {
			b = append(b, 0, 0)
		}
	}
	return r.finish(b, start, pwd)
}

// appendHeader appends a header that answers r. finish sets the length.
func (r *Request) appendHeader(b []byte, typ uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, typ)
	b = append(b, 0, 0)
	return append(b, r.msg.Raw[4:headerLen]...) // magic cookie, transaction ID
}

// appendXORMappedAddress appends the address the request came from, XORed with
// the magic cookie and the transaction ID.
func (r *Request) appendXORMappedAddress(b []byte, from netip.AddrPort) []byte {
	addr := from.Addr().Unmap()
	if addr.Is4() {
		b = appendAttr(b, stun.AttrXORMappedAddress, 8)
		b = append(b, 0, familyIPv4)
	} else {
		b = appendAttr(b, stun.AttrXORMappedAddress, 20)
		b = append(b, 0, familyIPv6)
	}
	b = binary.BigEndian.AppendUint16(b, from.Port()^uint16(magicCookie>>16))
	at := len(b)
	if addr.Is4() {
		ip := addr.As4()
		b = append(b, ip[:]...)
	} else {
		ip := addr.As16()
		b = append(b, ip[:]...)
	}
	for i := range b[at:] {
		b[at+i] ^= r.msg.Raw[4+i]
	}
	return b
}

// finish completes the message at b[start:] with MESSAGE-INTEGRITY, computed with this end's
// password, and FINGERPRINT.
func (r *Request) finish(b []byte, start int, pwd string) []byte {
	sum := r.mac.message(pwd, b[start:])
	b = appendAttr(b, stun.AttrMessageIntegrity, integrityLen)
	b = append(b, sum...)

	n := len(b) - start - headerLen + attrHeaderLen + fingerprintLen
	binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	crc := stun.FingerprintValue(b[start:])
	b = appendAttr(b, stun.AttrFingerprint, fingerprintLen)
	return binary.BigEndian.AppendUint32(b, crc)
}

func appendAttr(b []byte, t stun.AttrType, n int) []byte {
	b = binary.BigEndian.AppendUint16(b, t.Value())
	return binary.BigEndian.AppendUint16(b, uint16(n))
}
