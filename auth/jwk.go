package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// A jwk is a JSON Web Key of one of the kinds that are read.
//
// https://www.rfc-editor.org/rfc/rfc7518.html#section-6
// https://www.rfc-editor.org/rfc/rfc8037.html#section-2
type jwk struct {
	Type      string          `json:"kty"` // OKP, EC, RSA, oct
	Use       string          `json:"use"` // sig, if it is there
	Algorithm string          `json:"alg"` // that of the key, if it is there
	ID        string          `json:"kid"`
	Curve     string          `json:"crv"` // Ed25519 of OKP, P-256 of EC
	X         string          `json:"x"`
	Y         string          `json:"y"`
	D         string          `json:"d"` // only a private key has it
	N         string          `json:"n"`
	E         string          `json:"e"`
	P         string          `json:"p"`
	Q         string          `json:"q"`
	Others    json.RawMessage `json:"oth"` // more primes
	K         string          `json:"k"`
}

func isJSON(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) }

// parseJWKs reads a JWK, or the keys of a JWK Set that are of a known kind.
func parseJWKs(text []byte) ([]Key, error) {
	var set struct{ Keys []jwk }
	var one jwk
	if json.Unmarshal(text, &set) != nil || json.Unmarshal(text, &one) != nil {
		return nil, errKey
	}
	if set.Keys == nil {
		k, err := one.public()
		if err != nil {
			return nil, err
		}
		return []Key{k}, nil
	}
	var keys []Key
	for _, j := range set.Keys {
		if k, err := j.public(); err == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("auth: none of the %d keys of this JWK Set can verify tokens: use Ed25519, P-256, RS256 or HS256", len(set.Keys))
	}
	return keys, nil
}

func parseJWKSigner(text []byte) (Signer, error) {
	var j jwk
	if json.Unmarshal(text, &j) != nil {
		return Signer{}, errKey
	}
	if j.Type != "oct" && j.D == "" {
		if _, err := j.public(); err != nil {
			return Signer{}, err
		}
		return Signer{}, errPublic
	}
	key, err := j.private()
	if err != nil {
		return Signer{}, err
	}
	s, err := signer(key)
	if err != nil {
		return Signer{}, err
	}
	s.public, err = j.named(s.public)
	return s, err
}

// public returns the key that verifies.
func (j *jwk) public() (Key, error) {
	k, err := public(j.publicKey())
	if err != nil {
		return Key{}, err
	}
	return j.named(k)
}

// named returns k with the id of the JWK. It returns an error if the JWK is for another use
// or algorithm, or if a token with its id could be too long.
func (j *jwk) named(k Key) (Key, error) {
	switch {
	case j.Use != "" && j.Use != "sig":
		return Key{}, fmt.Errorf("auth: the JWK is for the use %q, not \"sig\"", j.Use)
	case len(j.ID) > maxClaim:
		return Key{}, fmt.Errorf("auth: the \"kid\" of the JWK has %d bytes, but may have at most %d", len(j.ID), maxClaim)
	case j.Algorithm != "" && j.Algorithm != string(k.algorithm):
		return Key{}, fmt.Errorf("auth: the JWK is for the algorithm %q, but such a key is used only for %s", j.Algorithm, k.algorithm)
	}
	if j.ID != "" {
		k.id = j.ID
	}
	return k, nil
}

// publicKey returns the key that verifies, in the form of the func public; nil if the JWK
// has none.
func (j *jwk) publicKey() any {
	switch {
	case j.Type == "oct":
		return decode(j.K)
	case j.Type == "OKP" && j.Curve == "Ed25519":
		if x := decode(j.X); len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x)
		}
	case j.Type == "EC" && j.Curve == "P-256":
		x, y := decode(j.X), decode(j.Y)
		if len(y) != 32 { // the next call checks the sum of both lengths
			return nil
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err == nil {
			return key
		}
	case j.Type == "RSA":
		n, e := number(j.N), number(j.E)
		if n.Bit(0) == 0 || e.BitLen() > 31 || e.BitLen() < 2 || e.Bit(0) == 0 {
			return nil
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}
	}
	return nil
}

// private returns the key that signs, in the form of the func signer; nil if the JWK has
// none, or it does not match the public key.
func (j *jwk) private() (any, error) {
	switch public := j.publicKey().(type) {
	case []byte:
		return public, nil
	case ed25519.PublicKey:
		if d := decode(j.D); len(d) == ed25519.SeedSize {
			if k := ed25519.NewKeyFromSeed(d); public.Equal(k.Public()) {
				return k, nil
			}
		}
	case *ecdsa.PublicKey:
		if k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), decode(j.D)); err == nil && public.Equal(k.Public()) {
			return k, nil
		}
	case *rsa.PublicKey:
		if len(j.Others) > 0 || j.P == "" || j.Q == "" {
			return nil, errors.New("auth: the JWK of a private RSA key must have \"p\" and \"q\", and no other primes")
		}
		k := &rsa.PrivateKey{PublicKey: *public, D: number(j.D), Primes: []*big.Int{number(j.P), number(j.Q)}}
		if k.Validate() == nil {
			k.Precompute()
			return k, nil
		}
	}
	return nil, nil
}

// decode returns the bytes of a member; nil if the member is malformed.
func decode(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return nil
	}
	return b
}

func number(s string) *big.Int { return new(big.Int).SetBytes(decode(s)) }
