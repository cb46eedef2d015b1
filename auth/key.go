package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// An Algorithm is how tokens of a key are signed.
type Algorithm string

// The algorithms. EdDSA and ES256 let a server verify without being able to sign.
const (
	EdDSA Algorithm = "EdDSA"
	ES256 Algorithm = "ES256"
	HS256 Algorithm = "HS256"
)

// minSecret is the shortest HS256 secret in bytes: the size of the hash.
//
// https://www.rfc-editor.org/rfc/rfc7518.html#section-3.2
const minSecret = 32

// A Key verifies tokens. Its algorithm is fixed: a token that names another is
// refused, whatever its signature.
type Key struct {
	id        string
	algorithm Algorithm
	key       jwt.VerificationKey
}

// ID returns the key's id, which tokens name as "kid".
func (k Key) ID() string { return k.id }

// Algorithm returns the key's algorithm.
func (k Key) Algorithm() Algorithm { return k.algorithm }

// A Signer signs tokens.
type Signer struct {
	public Key
	key    any // ed25519.PrivateKey, *ecdsa.PrivateKey or []byte, as the JWT package takes them
}

// Key returns the key that verifies what the signer signs.
func (s Signer) Key() Key { return s.public }

// Names of PEM blocks.
const (
	pemPrivate = "PRIVATE KEY"   // PKCS #8
	pemPublic  = "PUBLIC KEY"    // PKIX
	pemSecret  = "GODWIT SECRET" // the bytes of an HS256 secret
)

var errKey = errors.New("auth: not a PEM block with an Ed25519 or P-256 key, or with an HS256 secret of at least 32 bytes")

// Generate makes a new key.
func Generate(a Algorithm, random io.Reader) (Signer, error) {
	switch a {
	case EdDSA:
		_, key, err := ed25519.GenerateKey(random)
		if err != nil {
			return Signer{}, err
		}
		return signer(key)
	case ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), random)
		if err != nil {
			return Signer{}, err
		}
		return signer(key)
	case HS256:
		secret := make([]byte, minSecret)
		if _, err := io.ReadFull(random, secret); err != nil {
			return Signer{}, err
		}
		return signer(secret)
	}
	return Signer{}, fmt.Errorf("auth: %q is not EdDSA, ES256 or HS256", a)
}

func signer(key any) (Signer, error) {
	var err error
	s := Signer{key: key}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		s.public, err = public(key.Public())
	case *ecdsa.PrivateKey:
		s.public, err = public(key.Public())
	case []byte:
		s.public, err = public(key)
	default:
		err = errKey
	}
	return s, err
}

// public returns the key that verifies, named by what it is.
func public(key any) (Key, error) {
	var algorithm Algorithm
	var name []byte
	var err error
	switch key := key.(type) {
	case ed25519.PublicKey:
		algorithm = EdDSA
		name, err = x509.MarshalPKIXPublicKey(key)
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return Key{}, errKey
		}
		algorithm = ES256
		name, err = x509.MarshalPKIXPublicKey(key)
	case []byte:
		if len(key) < minSecret {
			return Key{}, errKey
		}
		algorithm = HS256
		name = append([]byte("godwit key id "), key...)
	default:
		return Key{}, errKey
	}
	if err != nil {
		return Key{}, err
	}
	sum := sha256.Sum256(name)
	return Key{base64.RawURLEncoding.EncodeToString(sum[:6]), algorithm, key}, nil
}

// Secret returns a signer of HS256 tokens.
func Secret(secret []byte) (Signer, error) {
	if len(secret) < minSecret {
		return Signer{}, fmt.Errorf("auth: the secret has %d bytes, but %d are the least", len(secret), minSecret)
	}
	return signer(slices.Clone(secret))
}

// PEM returns the signer as a PEM block. Whoever has it can make tokens.
func (s Signer) PEM() ([]byte, error) {
	if secret, ok := s.key.([]byte); ok {
		return pem.EncodeToMemory(&pem.Block{Type: pemSecret, Bytes: secret}), nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}), nil
}

// PEM returns the key as a PEM block. That of an HS256 key is as secret as the
// signer's.
func (k Key) PEM() ([]byte, error) {
	if secret, ok := k.key.([]byte); ok {
		return pem.EncodeToMemory(&pem.Block{Type: pemSecret, Bytes: secret}), nil
	}
	der, err := x509.MarshalPKIXPublicKey(k.key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}), nil
}

// ParseSigner reads what Signer.PEM wrote.
func ParseSigner(text []byte) (Signer, error) {
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return Signer{}, errKey
	case block.Type == pemSecret:
		return signer(block.Bytes)
	case block.Type == pemPublic:
		return Signer{}, errors.New("auth: this is a public key, which verifies; signing takes the private one")
	case block.Type != pemPrivate:
		return Signer{}, errKey
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Signer{}, errKey
	}
	return signer(key)
}

// ParseKey reads what Key.PEM or Signer.PEM wrote.
func ParseKey(text []byte) (Key, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemPublic {
		s, err := ParseSigner(text)
		return s.public, err
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Key{}, errKey
	}
	return public(key)
}
