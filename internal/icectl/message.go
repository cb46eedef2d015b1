package icectl

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

// STUN message header.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-5
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|0 0|     STUN Message Type     |         Message Length        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                         Magic Cookie                          |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                     Transaction ID (96 bits)                  |
const (
	headerLen   = 20
	magicCookie = 0x2112a442

	typeRequest = 0x0001 // Binding request; the only type that is sent
	typeSuccess = 0x0101
	typeError   = 0x0111
)

// Attributes, in the order in which a check has them.
// https://www.rfc-editor.org/rfc/rfc8445.html#section-16.1
const (
	attrUsername       = 0x0006
	attrPriority       = 0x0024
	attrUseCandidate   = 0x0025
	attrICEControlling = 0x802a
	attrIntegrity      = 0x0008
	attrFingerprint    = 0x8028

	attrErrorCode = 0x0009 // in responses

	attrHeaderLen  = 4 // type and length
	integrityLen   = 20
	fingerprintLen = 4
	fingerprintXOR = 0x5354554e

	// firstOptional is the first type of attributes that an agent may ignore if it does not
	// know them.
	firstOptional = 0x8000
)

// Error codes as in ERROR-CODE: the class (hundreds) and the number.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-14.8
const (
	codeUnknownAttribute = 4<<8 | 20
	codeRoleConflict     = 4<<8 | 87
)

// priority is the priority of a peer-reflexive candidate with the highest local
// preference, which the server would learn from a check.
// https://www.rfc-editor.org/rfc/rfc8445.html#section-7.1.1
const priority = 110<<24 | 65535<<8 | 255

// A transactionID says which check an answer belongs to.
type transactionID [12]byte

// newID returns the ID of the n-th check. The tie-breaker is made from number 0.
func (a *Agent) newID(n uint64) (id transactionID) {
	var in [len(a.secret) + 8]byte
	copy(in[:], a.secret[:])
	binary.BigEndian.PutUint64(in[len(a.secret):], n)
	out := sha256.Sum256(in[:])
	copy(id[:], out[:])
	return id
}

// appendRequest appends a check.
func (a *Agent) appendRequest(b []byte, id transactionID, nominate bool) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, typeRequest)
	b = append(b, 0, 0) // length, set by seal
	b = binary.BigEndian.AppendUint32(b, magicCookie)
	b = append(b, id[:]...)

	b = appendAttr(b, attrUsername, len(a.username))
	b = append(b, a.username...)
	for len(b)%4 != start%4 {
		b = append(b, 0)
	}
	b = appendAttr(b, attrPriority, 4)
	b = binary.BigEndian.AppendUint32(b, priority)
	if nominate {
		b = appendAttr(b, attrUseCandidate, 0)
	}
	tie := a.newID(0)
	b = appendAttr(b, attrICEControlling, 8)
	b = append(b, tie[:8]...)
	return a.seal(b, start)
}

// seal completes the message at b[start:] with MESSAGE-INTEGRITY and
// FINGERPRINT.
func (a *Agent) seal(b []byte, start int) []byte {
	setLength(b[start:], attrHeaderLen+integrityLen)
	sum := a.sign(b[start:start+headerLen], b[start+headerLen:])
	b = appendAttr(b, attrIntegrity, integrityLen)
	b = append(b, sum...)

	setLength(b[start:], attrHeaderLen+fingerprintLen)
	crc := fingerprint(b[start:])
	b = appendAttr(b, attrFingerprint, fingerprintLen)
	return binary.BigEndian.AppendUint32(b, crc)
}

// setLength sets the length of the message b as if more bytes followed it: the MAC of
// MESSAGE-INTEGRITY and the CRC of FINGERPRINT are computed over a length that includes the
// attribute itself.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-14.5
func setLength(b []byte, more int) {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerLen+more))
}

func appendAttr(b []byte, t uint16, n int) []byte {
	b = binary.BigEndian.AppendUint16(b, t)
	return binary.BigEndian.AppendUint16(b, uint16(n))
}

// sign returns the MAC of header and body, computed with the server's password. The result is
// a view that the next call overwrites.
func (a *Agent) sign(header, body []byte) []byte {
	a.mac.Reset()
	a.mac.Write(header)
	a.mac.Write(body)
	return a.mac.Sum(a.sum[:0])
}

func fingerprint(b []byte) uint32 { return crc32.ChecksumIEEE(b) ^ fingerprintXOR }

// A response is a well-formed response whose MESSAGE-INTEGRITY is not verified yet.
type response struct {
	id      transactionID
	failed  bool
	code    uint16 // of ERROR-CODE, if failed
	covered int    // bytes before MESSAGE-INTEGRITY
}

// parseResponse reads the response b and checks all that needs no key: the frame, FINGERPRINT,
// and that there is a MESSAGE-INTEGRITY.
func parseResponse(b []byte) (r response, ok bool) {
	if len(b) < headerLen || len(b)%4 != 0 || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerLen {
		return r, false
	}
	switch binary.BigEndian.Uint16(b) {
	case typeSuccess:
	case typeError:
		r.failed = true
	default:
		return r, false
	}
	if binary.BigEndian.Uint32(b[4:]) != magicCookie {
		return r, false
	}
	copy(r.id[:], b[8:headerLen])
	last := len(b) - attrHeaderLen - fingerprintLen
	for at := headerLen; at < len(b); {
		if len(b)-at < attrHeaderLen {
			return r, false
		}
		t, n := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		value := b[at+attrHeaderLen:]
		if n > len(value) || (n+3)&^3 > len(value) {
			return r, false
		}
		if at == last {
			return r, r.covered > 0 && t == attrFingerprint && n == fingerprintLen &&
				binary.BigEndian.Uint32(value) == fingerprint(b[:last])
		}
		if r.covered == 0 && !r.attribute(t, value[:n], at) {
			return r, false
		}
		at += attrHeaderLen + (n+3)&^3
	}
	return r, false
}

// attribute reads one attribute and reports whether it is well formed and known. The last one
// is MESSAGE-INTEGRITY: attributes after it are not authenticated.
func (r *response) attribute(t uint16, value []byte, at int) bool {
	switch t {
	case attrIntegrity:
		r.covered = at
		return len(value) == integrityLen
	case attrErrorCode:
		if len(value) < 4 {
			return false
		}
		r.code = uint16(value[2]&7)<<8 | uint16(value[3])
	default:
		// "If the success response contains unknown comprehension-required
		// attributes, the response is discarded".
		// https://www.rfc-editor.org/rfc/rfc8489.html#section-6.3.3
		return t >= firstOptional || defined(t)
	}
	return true
}

// defined reports whether t is a comprehension-required attribute that an answer may have
// besides those that attribute reads: MAPPED-ADDRESS, UNKNOWN-ATTRIBUTES,
// MESSAGE-INTEGRITY-SHA256 and XOR-MAPPED-ADDRESS. The agent does not need their values.
func defined(t uint16) bool { return t == 0x0001 || t == 0x000a || t == 0x001c || t == 0x0020 }

// verify reports, in constant time, whether the sender of the response b knows the server's
// password.
func (a *Agent) verify(b []byte, r *response) bool {
	copy(a.header[:], b)
	n := r.covered - headerLen + attrHeaderLen + integrityLen
	binary.BigEndian.PutUint16(a.header[2:], uint16(n))
	sum := a.sign(a.header[:], b[headerLen:r.covered])
	return hmac.Equal(sum, b[r.covered+attrHeaderLen:r.covered+attrHeaderLen+integrityLen])
}

// A Verdict is the result of Receive for a datagram.
type Verdict uint8

const (
	NotResponse        Verdict = iota // not a well-formed answer
	UnknownTransaction                // answers no check that waits for an answer
	WrongAddress                      // does not come from the address to which the check was sent
	WrongIntegrity                    // made without the server's password
	Refused                           // the server refuses the check; the agent expires
	Selected                          // the first answer: its candidate is selected
	Answered                          // a further answer
)

// Valid reports whether the datagram was an answer of the server.
func (v Verdict) Valid() bool { return v >= Refused }
