package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Limits of a token.
const (
	// MaxToken is the longest token in bytes.
	MaxToken = 4096
	// MaxData is the longest "data" in bytes.
	MaxData = 1024

	maxClaim = 256 // bytes of "sub" and "jti"
)

// Claims are what a token says.
type Claims struct {
	Subject  string          // "sub": who the player is
	Audience string          // "aud": which servers it is for
	ID       string          // "jti": for one use
	Expires  time.Time       // "exp"
	Data     json.RawMessage // "data": the program's own, JSON; may be nil

	key  string // that signed it
	skew time.Duration
}

// Until returns Expires plus the verifier's Skew: after it no clock within the skew
// accepts the token.
func (c Claims) Until() time.Time { return c.Expires.Add(c.skew) }

// claims are Claims as the JWT package wants them.
type claims struct {
	jwt.RegisteredClaims
	Data json.RawMessage `json:"data,omitempty"`
}

// Sign makes a token that is good from now on until c.Expires.
func (s Signer) Sign(now time.Time, c Claims) (string, error) {
	switch {
	case c.Subject == "" || len(c.Subject) > maxClaim:
		return "", ErrSubject
	case len(c.ID) > maxClaim:
		return "", ErrID
	case c.Expires.IsZero():
		return "", errors.New("auth: Claims.Expires is not set: a token is good for a time")
	case len(c.Data) > MaxData || len(c.Data) > 0 && !json.Valid(c.Data):
		return "", ErrData
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(string(s.public.algorithm)), claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   c.Subject,
			Audience:  jwt.ClaimStrings{c.Audience},
			ID:        c.ID,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(c.Expires),
		},
		Data: c.Data,
	})
	if s.public.id != "" {
		t.Header["kid"] = s.public.id
	}
	text, err := t.SignedString(s.key)
	if err == nil && len(text) > MaxToken {
		err = fmt.Errorf("auth: the token has %d bytes, but %d are the most", len(text), MaxToken)
	}
	return text, err
}

// A Verifier says which tokens are taken.
type Verifier struct {
	// Keys are the keys that may have signed a token: one, or two while one takes
	// the place of the other. A token that names a key ("kid") is checked with the
	// key of that ID; with a single key here, whatever it names. One that names none is
	// checked with all.
	Keys []Key

	// Audience is this server or its fleet: what a token's "aud" must have.
	Audience string

	// Skew is how far clocks may be apart. Zero means 30 s.
	Skew time.Duration

	// MaxLifetime limits how long from now a token may be valid. Zero means 24 h.
	MaxLifetime time.Duration

	// Reusable takes a token as often as it is shown, and without "jti".
	Reusable bool
}

// Validate returns what is wrong with the verifier itself.
func (v *Verifier) Validate() error {
	switch {
	case len(v.Keys) == 0:
		return errors.New("auth: a Verifier needs a key")
	case v.Audience == "":
		return errors.New("auth: a Verifier needs an Audience, or tokens for other servers would be good here")
	}
	for _, k := range v.Keys {
		if k.key == nil {
			return errors.New("auth: a Verifier's key is empty: make it with ParseKey or Signer.Key")
		}
	}
	return nil
}

func (v *Verifier) skew() time.Duration {
	if v.Skew == 0 {
		return 30 * time.Second
	}
	return v.Skew
}

// Verify checks a token at a time. The error is an *Error. Whether the token was
// used before is for [Used] to say, after everything else.
func (v *Verifier) Verify(now time.Time, token string) (Claims, error) {
	switch {
	case token == "":
		return Claims{}, ErrMissing
	case len(token) > MaxToken:
		return Claims{}, ErrMalformed
	}
	var c claims
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{string(EdDSA), string(ES256), string(HS256), string(RS256)}),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return now }),
		jwt.WithLeeway(v.skew()),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithAudience(v.Audience),
	)
	var refused error
	var may candidates
	_, err := parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		may, refused = v.candidates(t)
		return may.keys, refused
	})
	if err != nil {
		err = reason(err, refused)
		if err == ErrForged && may.unknown {
			err = ErrUnknownKey // more likely than a forgery, and the next thing to look at
		}
		return Claims{}, err
	}
	if !unambiguous(token) {
		return Claims{}, ErrClaims
	}
	return v.claims(now, &c, may.id)
}

// Candidates are the keys that may have signed a token.
type candidates struct {
	keys    jwt.VerificationKeySet
	id      string // of the key, if there is but one
	unknown bool   // the token names another key, but there is one only
}

// candidates returns the keys that may have signed t.
func (v *Verifier) candidates(t *jwt.Token) (c candidates, err error) {
	if _, ok := t.Header["crit"]; ok {
		return c, ErrMalformed // it asks for what we do not know: RFC 7515, section 4.1.11
	}
	id, _ := t.Header["kid"].(string)
	known := slices.ContainsFunc(v.Keys, func(k Key) bool { return id == "" || k.id == id })
	if !known && len(v.Keys) != 1 {
		return c, ErrUnknownKey
	}
	c.unknown = !known
	for _, k := range v.Keys {
		if known && id != "" && k.id != id || string(k.algorithm) != t.Method.Alg() {
			continue
		}
		c.keys.Keys = append(c.keys.Keys, k.key)
		c.id = k.id
	}
	switch n := len(c.keys.Keys); {
	case n == 0 && c.unknown:
		return c, ErrUnknownKey
	case n > 1:
		c.id = id
	}
	return c, nil // of none the JWT package says that it is unverifiable: ErrAlgorithm
}

// reason tells why in our words.
func reason(err, refused error) error {
	switch {
	case refused != nil:
		return refused
	case errors.Is(err, jwt.ErrTokenMalformed):
		return ErrMalformed
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return ErrForged
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return ErrAlgorithm
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return ErrNotYet
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return ErrAudience
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return ErrMalformed
	}
	return ErrForged
}

// overflown reports whether a date is not after the first second of 1970. A date that is
// too large for a time becomes such a one: the least time there is on 64-bit processors,
// and 1970 on those of 32 bits.
func overflown(d *jwt.NumericDate) bool { return d != nil && !d.After(time.Unix(0, 0)) }

// claims checks what the JWT package does not.
func (v *Verifier) claims(now time.Time, c *claims, key string) (Claims, error) {
	lifetime := v.MaxLifetime
	if lifetime == 0 {
		lifetime = 24 * time.Hour
	}
	switch {
	case overflown(c.NotBefore) || overflown(c.IssuedAt):
		return Claims{}, ErrMalformed
	case c.Subject == "" || len(c.Subject) > maxClaim:
		return Claims{}, ErrSubject
	case !v.Reusable && c.ID == "" || len(c.ID) > maxClaim:
		return Claims{}, ErrID
	case len(c.Data) > MaxData:
		return Claims{}, ErrData
	case c.ExpiresAt.Time.After(now.Add(lifetime + v.skew())):
		return Claims{}, ErrLifetime
	}
	return Claims{c.Subject, v.Audience, c.ID, c.ExpiresAt.Time, c.Data, key, v.skew()}, nil
}
