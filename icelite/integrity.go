package icelite

import (
	"crypto/sha1"
	"crypto/subtle"
	"hash"
)

// hmacSHA1 computes HMAC-SHA1 (RFC 2104) for one key after another without
// allocating. The standard library's HMAC keeps about 700 bytes for each key
// and cannot change it; a check comes every few seconds, so all agents of a
// shard share this one.
//
// STUN needs SHA-1. HMAC does not depend on its collision resistance.
type hmacSHA1 struct {
	hash hash.Hash
	pad  [sha1.BlockSize]byte
	head [headerLen]byte
	sum  [sha1.Size]byte
}

// begin starts a MAC under key.
func (h *hmacSHA1) begin(key string) {
	if h.hash == nil {
		h.hash = sha1.New()
	}
	h.setKey(key, 0x36)
	h.hash.Reset()
	h.hash.Write(h.pad[:])
}

func (h *hmacSHA1) write(b []byte) { h.hash.Write(b) }

// end returns the MAC, a view that the next begin overwrites. key must be the same as for
// begin.
func (h *hmacSHA1) end(key string) []byte {
	inner := h.hash.Sum(h.sum[:0])
	h.setKey(key, 0x5c)
	h.hash.Reset()
	h.hash.Write(h.pad[:])
	h.hash.Write(inner)
	return h.hash.Sum(h.sum[:0])
}

// setKey fills pad with the key XORed with one of HMAC's two constants.
func (h *hmacSHA1) setKey(key string, with byte) {
	clear(h.pad[:])
	if len(key) > len(h.pad) {
		long := sha1.Sum([]byte(key))
		copy(h.pad[:], long[:])
	} else {
		copy(h.pad[:], key)
	}
	for i := range h.pad {
		h.pad[i] ^= with
	}
}

// message returns the value of MESSAGE-INTEGRITY for the message whose bytes before this
// attribute are b. The length in the header counts as if the message ended
// with MESSAGE-INTEGRITY. The result is a view.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-14.5
func (h *hmacSHA1) message(key string, b []byte) []byte {
	copy(h.head[:], b)
	n := len(b) - headerLen + attrHeaderLen + integrityLen
	h.head[2], h.head[3] = byte(n>>8), byte(n)
	h.begin(key)
	h.write(h.head[:])
	h.write(b[headerLen:])
	return h.end(key)
}

// Verify reports, in constant time, whether the sender of the request knows pwd. It allocates
// nothing.
func (r *Request) Verify(pwd string) bool {
	want := r.mac.message(pwd, r.msg.Raw[:r.covered])
	return subtle.ConstantTimeCompare(want, r.integrity) == 1
}
