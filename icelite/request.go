package icelite

import (
	"bytes"
	"encoding/binary"

	"github.com/pion/stun/v3"
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

	typeRequest = 0x0001 // Binding request; the only type that is answered
	typeSuccess = 0x0101 // Binding success response
	typeError   = 0x0111 // Binding error response

	attrHeaderLen  = 4 // type and length
	integrityLen   = 20
	fingerprintLen = 4

	// maxAttributes limits the attributes of one request. Chromium sends 7, Firefox 6.
	maxAttributes = 32
)

// IsSTUN reports whether the first byte of b is that of a STUN message. It
// distinguishes STUN from DTLS on the same port.
// https://www.rfc-editor.org/rfc/rfc7983.html#section-7
func IsSTUN(b []byte) bool { return len(b) > 0 && b[0] <= 3 }

// A Drop says why Parse refuses a datagram.
type Drop uint8

const (
	DropNone          Drop = iota // a well-formed Binding request
	dropMalformed                 // not STUN, or lengths that do not add up
	dropNotRequest                // an indication, a response, or another method
	dropNoFingerprint             // FINGERPRINT is missing, not last, or wrong
	dropNoIntegrity               // MESSAGE-INTEGRITY is missing or has a wrong length
	dropNoUsername                // USERNAME is missing or not two fragments
	drops                         // the number of reasons, for a table of counters
)

// A Request reads Binding requests, one after the other, in the same memory. One Request is
// enough for all agents of a shard. The zero value is ready to use. The first Parse
// allocates memory that later ones use again.
type Request struct {
	msg stun.Message // Raw is the caller's buffer
	mac hmacSHA1

	username      []byte // value of USERNAME
	local, remote []byte // its halves
	integrity     []byte // value of MESSAGE-INTEGRITY
	covered       int    // bytes of Raw that MESSAGE-INTEGRITY covers
	unknown       []uint16
	useCandidate  bool
	controlled    bool
}

// Parse reads b and makes all checks that need no key. If it does not return DropNone,
// do not use the request. The request is a view of b: it is valid until b changes or
// Parse is called again.
func (r *Request) Parse(b []byte) Drop {
	r.reset()
	if d := checkFrame(b); d != DropNone {
		return d
	}
	r.msg.Raw = b
	if err := r.msg.Decode(); err != nil {
		return dropMalformed // not reached: checkFrame is the stricter one
	}
	return r.readAttributes()
}

// LocalUfrag returns the first half of USERNAME, a view: the username fragment of this end's
// agent.
func (r *Request) LocalUfrag() []byte { return r.local }

// RemoteUfrag returns the second half of USERNAME, a view: the username fragment of the
// peer.
func (r *Request) RemoteUfrag() []byte { return r.remote }

// Username returns USERNAME, a view: both fragments with a colon between.
func (r *Request) Username() []byte { return r.username }

// UseCandidate reports whether the request nominates its address. Do not rely on it before
// Answer has verified the request.
func (r *Request) UseCandidate() bool { return r.useCandidate }

func (r *Request) reset() {
	if r.msg.Attributes == nil {
		r.msg.Attributes = make(stun.Attributes, 0, maxAttributes)
		r.unknown = make([]uint16, 0, maxAttributes)
	}
	r.msg.Raw = nil
	r.msg.Attributes = r.msg.Attributes[:0]
	r.unknown = r.unknown[:0]
	r.username, r.local, r.remote, r.integrity, r.covered = nil, nil, nil, nil, 0
	r.useCandidate, r.controlled = false, false
}

// checkFrame checks the header, that the attributes fill the message exactly, and
// FINGERPRINT. The STUN package that Parse uses would find most errors, too, but it
// allocates a string for each, and the bytes of a stranger must not allocate memory.
func checkFrame(b []byte) Drop {
	if len(b) < headerLen || len(b)%4 != 0 || b[0] > 3 {
		return dropMalformed
	}
	if int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerLen {
		return dropMalformed
	}
	if binary.BigEndian.Uint32(b[4:]) != magicCookie {
		return dropMalformed
	}
	if binary.BigEndian.Uint16(b) != typeRequest {
		return dropNotRequest
	}
	last, n := 0, 0
	for at := headerLen; at < len(b); n++ { // both are multiples of four: there is room for an attribute's header
		if n == maxAttributes {
			return dropMalformed
		}
		last = at
		at += attrHeaderLen + padded(int(binary.BigEndian.Uint16(b[at+2:])))
		if at > len(b) {
			return dropMalformed
		}
	}
	return checkFingerprint(b, last)
}

// checkFingerprint checks that the attribute at b[last:] is a correct
// FINGERPRINT. "The FINGERPRINT mechanism MUST be used for connectivity
// checks."
// https://www.rfc-editor.org/rfc/rfc8445.html#section-7.2.4
func checkFingerprint(b []byte, last int) Drop {
	if last != len(b)-attrHeaderLen-fingerprintLen {
		return dropNoFingerprint
	}
	v := b[last:]
	if stun.AttrType(binary.BigEndian.Uint16(v)) != stun.AttrFingerprint ||
		binary.BigEndian.Uint16(v[2:]) != fingerprintLen {
		return dropNoFingerprint
	}
	if binary.BigEndian.Uint32(v[4:]) != stun.FingerprintValue(b[:last]) {
		return dropNoFingerprint
	}
	return DropNone
}

// readAttributes reads the attributes that the agent needs. It stops at MESSAGE-INTEGRITY:
// attributes after it are not authenticated, and agents "MUST ignore all attributes that
// follow MESSAGE-INTEGRITY", except FINGERPRINT, which is checked already, and
// MESSAGE-INTEGRITY-SHA256, which a server that uses SHA-1 does not need.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-9
//
// If an attribute appears twice, the first one is used.
func (r *Request) readAttributes() Drop {
	var username []byte
	r.covered = headerLen
	for _, a := range r.msg.Attributes {
		switch a.Type {
		case stun.AttrMessageIntegrity:
			if len(a.Value) != integrityLen {
				return dropNoIntegrity
			}
			r.integrity = a.Value
			return r.splitUsername(username)
		case stun.AttrUsername:
			if username == nil {
				username = a.Value
			}
		case stun.AttrUseCandidate:
			r.useCandidate = true
		case stun.AttrICEControlled:
			r.controlled = true
		default:
			if a.Type.Required() && !defined(a.Type) {
				r.unknown = append(r.unknown, a.Type.Value())
			}
		}
		r.covered += attrHeaderLen + padded(len(a.Value))
	}
	return dropNoIntegrity
}

func (r *Request) splitUsername(username []byte) Drop {
	local, remote, ok := bytes.Cut(username, []byte{':'})
	if !ok || !ufragFits(local) || !ufragFits(remote) {
		return dropNoUsername
	}
	r.username, r.local, r.remote = username, local, remote
	return DropNone
}

func ufragFits(b []byte) bool { return len(b) >= minUfragLen && len(b) <= maxUfragLen }

// defined reports whether t is a comprehension-required attribute of STUN or ICE. The agent
// ignores those that have no meaning in a check. It refuses a check with any other
// comprehension-required attribute.
func defined(t stun.AttrType) bool {
	switch t {
	case stun.AttrMappedAddress, stun.AttrUsername, stun.AttrMessageIntegrity,
		stun.AttrErrorCode, stun.AttrUnknownAttributes, stun.AttrRealm, stun.AttrNonce,
		stun.AttrMessageIntegritySHA256, stun.AttrPasswordAlgorithm, stun.AttrUserhash,
		stun.AttrXORMappedAddress, stun.AttrPriority, stun.AttrUseCandidate:
		return true
	}
	return false
}

// padded returns n rounded up to a multiple of four: "Since STUN aligns
// attributes on 32-bit boundaries, attributes whose content is not a multiple
// of 4 bytes are padded".
func padded(n int) int { return (n + 3) &^ 3 }
