package icelite

import (
	"encoding/base64"
	"io"
)

// Lengths of what RFC 8839 calls ice-ufrag and ice-pwd, in ice-chars. An
// ice-char holds 6 bits.
// https://www.rfc-editor.org/rfc/rfc8839.html#section-5.4
const (
	minUfragLen = 4
	maxUfragLen = 256

	// The fragment is in each check and not in its answer, so with a long fragment more
	// bytes may be sent back. A page may send one check and no other for 5 s (Firefox):
	// three times its 172 bytes are enough for the answer and three ClientHellos, of
	// which two may be lost. 12 characters would be enough against guessing.
	ufragLen = 80
	pwdLen   = 24 // 144 bits; "at least 128 bits" are required
)

// Credentials are the username fragment and the password of one end. They are for one
// session.
type Credentials struct {
	Ufrag, Pwd string
}

// NewCredentials makes new credentials from random, which must be a secure source of random
// bytes.
func NewCredentials(random io.Reader) (Credentials, error) {
	// The standard base64 alphabet is exactly the set of ice-chars.
	var raw [(ufragLen + pwdLen) * 6 / 8]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Credentials{}, err
	}
	s := base64.StdEncoding.EncodeToString(raw[:])
	return Credentials{Ufrag: s[:ufragLen], Pwd: s[ufragLen:]}, nil
}
