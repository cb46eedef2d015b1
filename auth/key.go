package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
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

// An Algorithm is the signature algorithm of a key.
type Algorithm string

// The algorithms. HS256 uses one secret to sign and to verify. With the others a server
// has only the public key, and cannot sign.
const (
	EdDSA Algorithm = "EdDSA" // with Ed25519
	ES256 Algorithm = "ES256"
	HS256 Algorithm = "HS256"
	RS256 Algorithm = "RS256" // only for keys of other programs: Generate does not make them
)

// minSecret is the shortest HS256 secret in bytes: the size of the hash.
//
// https://www.rfc-editor.org/rfc/rfc7518.html#section-3.2
const minSecret = 32

// A Key verifies tokens. It has one algorithm, and accepts no token of another algorithm.
type Key struct {
	id        string
	algorithm Algorithm
	key       jwt.VerificationKey
}

// ID returns the id of the key, which tokens name as "kid". It is the "kid" of the JWK from
// which the key was read; otherwise it is computed from the key.
func (k Key) ID() string { return k.id }

// WithID returns the key with another id: the "kid" that the signer writes.
func (k Key) WithID(id string) Key {
	k.id = id
	return k
}

// Algorithm returns the key's algorithm.
func (k Key) Algorithm() Algorithm { return k.algorithm }

// A Signer signs tokens.
type Signer struct {
	public Key
	key    any // ed25519.PrivateKey, *ecdsa.PrivateKey, *rsa.PrivateKey or []byte, as the JWT package takes them
}

// Key returns the key that verifies the signer's tokens.
func (s Signer) Key() Key { return s.public }

// WithID returns the signer with another id of its key. Its tokens have this id as "kid",
// or no "kid" if the id is empty.
func (s Signer) WithID(id string) Signer {
	s.public.id = id
	return s
}

// Limits of an RSA key in bits. The lower one is from:
//
// https://www.rfc-editor.org/rfc/rfc7518.html#section-3.3
const (
	minRSA = 2048
	maxRSA = 8192
)

// Names of PEM blocks.
const (
	pemPrivate    = "PRIVATE KEY"     // PKCS #8
	pemSEC1       = "EC PRIVATE KEY"  // SEC 1, as openssl ecparam -genkey writes it
	pemPKCS1      = "RSA PRIVATE KEY" // PKCS #1
	pemPublic     = "PUBLIC KEY"      // PKIX
	pemPublicRSA  = "RSA PUBLIC KEY"  // PKCS #1
	pemCert       = "CERTIFICATE"     // X.509; only the key is used
	pemParameters = "EC PARAMETERS"   // before a SEC 1 block; ignored
	pemSecret     = "GODWIT SECRET"   // the bytes of an HS256 secret
)

var errKey = errors.New("auth: not a key: it is a PEM block or a JWK with an Ed25519, P-256 or RSA key (of 2048 to 8192 bits), or with an HS256 secret of at least 32 bytes")

var errPublic = errors.New("auth: this is a public key, which can only verify: use the private key to sign")

// Generate makes a new key for EdDSA, ES256 or HS256. random must be a secure source of
// random bytes.
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
	return Signer{}, fmt.Errorf("auth: new keys are made for EdDSA, ES256 and HS256, not for %q", a)
}

func signer(key any) (Signer, error) {
	var err error
	s := Signer{key: key}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		s.public, err = public(key.Public())
	case *ecdsa.PrivateKey:
		s.public, err = public(key.Public())
	case *rsa.PrivateKey:
		s.public, err = public(key.Public())
	case []byte:
		s.public, err = public(key)
	default:
		err = errKey
	}
	return s, err
}

// public returns the key that verifies, with an id computed from it.
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
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSA || n > maxRSA {
			return Key{}, errKey
		}
		algorithm = RS256
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

// Secret returns a signer of HS256 tokens. It copies the secret, which must have at least
// 32 bytes.
func Secret(secret []byte) (Signer, error) {
	if len(secret) < minSecret {
		return Signer{}, fmt.Errorf("auth: the secret has %d bytes, but must have at least %d", len(secret), minSecret)
	}
	return signer(slices.Clone(secret))
}

// PEM returns the signer as a PEM block. Keep it secret: anyone who has it can sign tokens.
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

// PEM returns the key as a PEM block. Keep the block of an HS256 key secret: it is the same
// as that of the signer.
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

// ParseSigner reads a private key or a secret: a PEM block of Signer.PEM or of another
// program (PKCS #8, PKCS #1, SEC 1), or a JWK.
func ParseSigner(text []byte) (Signer, error) {
	if isJSON(text) {
		return parseJWKSigner(text)
	}
	block, rest := pem.Decode(text)
	if block != nil && block.Type == pemParameters {
		block, _ = pem.Decode(rest)
	}
	if block == nil {
		return Signer{}, errKey
	}
	return blockSigner(block)
}

func blockSigner(block *pem.Block) (Signer, error) {
	var key any
	var err error
	switch block.Type {
	case pemSecret:
		key = block.Bytes
	case pemPrivate:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case pemSEC1:
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case pemPKCS1:
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case pemPublic, pemPublicRSA, pemCert:
		return Signer{}, errPublic
	case "ENCRYPTED PRIVATE KEY":
		return Signer{}, errors.New("auth: the key is encrypted: decrypt it with openssl pkcs8")
	default:
		return Signer{}, errKey
	}
	if err != nil {
		return Signer{}, errKey
	}
	return signer(key)
}

// ParseKey is ParseKeys for a text with one key. It returns an error if there are several.
func ParseKey(text []byte) (Key, error) {
	keys, err := ParseKeys(text)
	switch {
	case err != nil:
		return Key{}, err
	case len(keys) > 1:
		return Key{}, fmt.Errorf("auth: the text has %d keys: use ParseKeys", len(keys))
	}
	return keys[0], nil
}

// ParseKeys reads all keys in text: PEM blocks of Key.PEM, Signer.PEM or another program,
// including certificates, of which it uses only the key; a JWK; or a JWK Set, in which it
// skips keys for other algorithms or uses. It returns an error if there is no key.
//
// https://www.rfc-editor.org/rfc/rfc7517.html
func ParseKeys(text []byte) ([]Key, error) {
	if isJSON(text) {
		return parseJWKs(text)
	}
	var keys []Key
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type == pemParameters {
			continue
		}
		k, err := blockKey(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errKey
	}
	return keys, nil
}

func blockKey(block *pem.Block) (Key, error) {
	var key any
	var err error
	switch block.Type {
	case pemPublic:
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case pemPublicRSA:
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case pemCert:
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = c.PublicKey
		}
	default:
		s, err := blockSigner(block)
		return s.public, err
	}
	if err != nil {
		return Key{}, errKey
	}
	return public(key)
}
