package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Limits of a token.
const (
	// MaxToken is the longest token in bytes.
	MaxToken = 4096
	// MaxData is the longest "data" in bytes.
	MaxData = 1024

	maxClaim = 256 // bytes of "sub" and "jti", and of a JWK's "kid"
)

// Claims are the claims of a token.
type Claims struct {
	Subject  string          // "sub": who the player is; 1 to 256 bytes
	Audience string          // "aud": which servers the token is for
	ID       string          // "jti": id of the token, for a single use; at most 256 bytes
	Expires  time.Time       // "exp": when the token expires
	Data     json.RawMessage // "data": data of the program, as JSON of at most MaxData bytes; may be nil

	key  string        // id of the key that signed the token
	skew time.Duration // Verifier.Skew
}

// Until returns Expires plus the verifier's Skew: after it no clock within the skew
// accepts the token.
func (c Claims) Until() time.Time { return c.Expires.Add(c.skew) }

// claims are Claims in the form of the JWT package.
type claims struct {
	jwt.RegisteredClaims
	Data json.RawMessage `json:"data,omitempty"`
}

// Sign makes a token that is valid from now until c.Expires. It returns an error if a claim
// exceeds its limit, or the token would be longer than MaxToken. A token without c.ID is
// accepted only by a Verifier with Reusable.
func (s Signer) Sign(now time.Time, c Claims) (string, error) {
	switch {
	case c.Subject == "" || len(c.Subject) > maxClaim:
		return "", errSubject
	case len(c.ID) > maxClaim:
		return "", errID
	case c.Expires.IsZero():
		return "", errors.New("auth: Claims.Expires is not set: every token must expire")
	case len(c.Data) > MaxData || len(c.Data) > 0 && !json.Valid(c.Data):
		return "", errData
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
		err = fmt.Errorf("auth: the token has %d bytes, but may have at most %d", len(text), MaxToken)
	}
	return text, err
}

// A Verifier says which tokens are accepted. Its methods do not change it: any number of
// goroutines may call them.
type Verifier struct {
	// Keys are the keys that may have signed a token: one key, or two while a new key
	// replaces an old one. If a token names a key ("kid"), Verify uses the key with this
	// ID. If there is only one key, Verify uses it even if the token names another. If a
	// token names no key, Verify tries all keys of the token's algorithm.
	Keys []Key

	// Audience is the name of this server or of its group of servers. The "aud" of a token
	// must contain it.
	Audience string

	// Skew is the largest difference between the clocks of the signer and the verifier.
	// Zero means 30 s.
	Skew time.Duration

	// MaxLifetime limits the time from now to the expiry of a token; Skew is added. Zero
	// means 24 h.
	MaxLifetime time.Duration

	// Reusable means that a token may be used any number of times, and needs no "jti".
	Reusable bool
}

// Validate returns an error if the Verifier has no Keys, an empty Key, or no Audience.
func (v *Verifier) Validate() error {
	switch {
	case len(v.Keys) == 0:
		return errors.New("auth: a Verifier needs a key")
	case v.Audience == "":
		return errors.New("auth: a Verifier needs an Audience: without it tokens for other servers would be accepted")
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

// Verify checks a token at the time now, and returns its claims. The error is an *Error.
// Verify does not know whether the token was used before: call [Used.Spend] after it.
func (v *Verifier) Verify(now time.Time, token string) (Claims, error) {
	switch {
	case token == "":
		return Claims{}, ErrMissing
	case len(token) > MaxToken || strings.ContainsAny(token, "\r\n"): // the decoder skips line breaks
		return Claims{}, errMalformed
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
		if err == errForged && may.unknown {
			err = errUnknownKey // more likely than a forgery
		}
		return Claims{}, err
	}
	if !unambiguous(token) {
		return Claims{}, errClaims
	}
	return v.claims(now, &c, may.id)
}

// candidates are the keys that may have signed a token.
type candidates struct {
	keys    jwt.VerificationKeySet
	id      string // id of the key; if there are several, the id that the token names
	unknown bool   // the token names another key than the only one
}

// candidates returns the keys that may have signed t.
func (v *Verifier) candidates(t *jwt.Token) (c candidates, err error) {
	if _, ok := t.Header["crit"]; ok {
		return c, errMalformed // it needs an extension that this package does not know: RFC 7515, section 4.1.11
	}
	id, _ := t.Header["kid"].(string)
	known := slices.ContainsFunc(v.Keys, func(k Key) bool { return id == "" || k.id == id })
	if !known && len(v.Keys) != 1 {
		return c, errUnknownKey
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
		return c, errUnknownKey
	case n > 1:
		c.id = id
	}
	return c, nil // if there are no keys, the JWT package returns ErrTokenUnverifiable: ErrAlgorithm
}

// reason converts an error of the JWT package to one of this package.
func reason(err, refused error) error {
	switch {
	case refused != nil:
		return refused
	case errors.Is(err, jwt.ErrTokenMalformed):
		return errMalformed
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return errForged
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return errAlgorithm
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return errNotYet
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return errAudience
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return errMalformed
	}
	return errForged
}

// overflown reports whether a date may have been too large for the JWT package, which turns
// it into the smallest time on 64-bit processors, and into the first second of 1970 on 32-bit
// processors. Some issuers write this second, 0, for "no date": only 64-bit processors can
// accept it.
func overflown(d *jwt.NumericDate) bool {
	first := time.Unix(0, 0)
	return d != nil && (d.Before(first) || strconv.IntSize == 32 && d.Equal(first))
}

// claims checks the claims that the JWT package does not check.
func (v *Verifier) claims(now time.Time, c *claims, key string) (Claims, error) {
	lifetime := v.MaxLifetime
	if lifetime == 0 {
		lifetime = 24 * time.Hour
	}
	switch {
	case overflown(c.NotBefore) || overflown(c.IssuedAt):
		return Claims{}, errMalformed
	case c.Subject == "" || len(c.Subject) > maxClaim:
		return Claims{}, errSubject
	case !v.Reusable && c.ID == "" || len(c.ID) > maxClaim:
		return Claims{}, errID
	case len(c.Data) > MaxData:
		return Claims{}, errData
	case c.ExpiresAt.Time.Add(-v.skew()).After(now.Add(lifetime)): // the sum of both may overflow
		return Claims{}, errLifetime
	}
	return Claims{c.Subject, v.Audience, c.ID, c.ExpiresAt.Time, c.Data, key, v.skew()}, nil
}
