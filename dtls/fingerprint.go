package dtls

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"
)

// A Fingerprint is the hash of a certificate, as a=fingerprint names it. Two
// equal fingerprints compare equal with ==.
// https://www.rfc-editor.org/rfc/rfc8122.html#section-5
type Fingerprint struct {
	size uint8 // bytes of sum; each algorithm has another size
	sum  [sha512.Size]byte
}

// errFingerprint is returned for a hash that is too weak, unknown, or of the
// wrong length.
var errFingerprint = errors.New("dtls: fingerprint is not a SHA-256, SHA-384 or SHA-512 hash")

// ParseFingerprint returns the fingerprint with the name of a hash function as in SDP, in
// upper or lower case, and its sum. It refuses MD5 and SHA-1.
func ParseFingerprint(algorithm string, sum []byte) (Fingerprint, error) {
	var want int
	switch strings.ToLower(algorithm) {
	case "sha-256":
		want = sha256.Size
	case "sha-384":
		want = sha512.Size384
	case "sha-512":
		want = sha512.Size
	default:
		return Fingerprint{}, errFingerprint
	}
	if len(sum) != want {
		return Fingerprint{}, errFingerprint
	}
	f := Fingerprint{size: uint8(want)}
	copy(f.sum[:], sum)
	return f, nil
}

// fingerprintOf returns the SHA-256 fingerprint of a certificate.
func fingerprintOf(certDER []byte) Fingerprint {
	f := Fingerprint{size: sha256.Size}
	sum := sha256.Sum256(certDER)
	copy(f.sum[:], sum[:])
	return f
}

// matches reports whether f is the hash of a certificate. The zero Fingerprint matches none.
func (f Fingerprint) matches(certDER []byte) bool {
	var sum [sha512.Size]byte
	switch f.size {
	case sha256.Size:
		s := sha256.Sum256(certDER)
		copy(sum[:], s[:])
	case sha512.Size384:
		s := sha512.Sum384(certDER)
		copy(sum[:], s[:])
	case sha512.Size:
		sum = sha512.Sum512(certDER)
	default:
		return false
	}
	return subtle.ConstantTimeCompare(sum[:], f.sum[:]) == 1
}

// Algorithm returns the name of the hash function, such as "sha-256".
func (f Fingerprint) Algorithm() string {
	switch f.size {
	case sha256.Size:
		return "sha-256"
	case sha512.Size384:
		return "sha-384"
	case sha512.Size:
		return "sha-512"
	}
	return ""
}

// Sum returns a copy of the hash.
func (f Fingerprint) Sum() []byte { return append([]byte(nil), f.sum[:f.size]...) }

// String returns the fingerprint as SDP writes it: "sha-256 AB:CD:...".
func (f Fingerprint) String() string {
	if f.size == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(f.Algorithm())
	for i, v := range f.sum[:f.size] {
		b.WriteByte(" :"[min(i, 1)])
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{v})))
	}
	return b.String()
}
