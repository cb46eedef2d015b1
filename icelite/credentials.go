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

	// The fragment stands in each check and not in its answer, so a long one makes a
	// check pay for more. A page may send one check and no other for 5 s (Firefox):
	// three times the 172 bytes of that are its answer and three ClientHellos, so two
	// may be lost. Against guessing 12 would do.
	ufragLen = 80
	pwdLen   = 24 // 144 bits; "at least 128 bits" are required
)

// Credentials are the username fragment and the password of one side. They
// serve one session.
type Credentials struct {
	Ufrag, Pwd string
}

// NewCredentials draws new credentials from random, which must be
// cryptographically strong.
func NewCredentials(random io.Reader) (Credentials, error) {
	// The standard base64 alphabet is exactly the set of ice-chars.
	var raw [(ufragLen + pwdLen) * 6 / 8]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Credentials{}, err
	}
	s := base64.StdEncoding.EncodeToString(raw[:])
	return Credentials{Ufrag: s[:ufragLen], Pwd: s[ufragLen:]}, nil
}
