package testkit

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"io"
	"math/big"
)

// Must returns v. It panics if there is an error.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A Forger signs as the owner of a P-256 certificate of which it has only the public key.
// If the digest is empty, e is 0, and for any b the pair r = x(bQ), s = r/b is a signature
// that ECDSA accepts. Its own public key is one of Ed25519, so that the signature has the
// scheme 0x0807, which has no digest.
type Forger struct{ Seen *ecdsa.PublicKey }

// Public returns a key of Ed25519.
func (f Forger) Public() crypto.PublicKey { return make(ed25519.PublicKey, ed25519.PublicKeySize) }

// Sign returns a signature of an empty digest that fits f.Seen.
func (f Forger) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	b := Must(ecdh.P256().GenerateKey(rand.Reader))
	n := elliptic.P256().Params().N
	r := new(big.Int).SetBytes(Must(b.ECDH(Must(f.Seen.ECDH())))) // the x of bQ
	s := new(big.Int).ModInverse(new(big.Int).SetBytes(b.Bytes()), n)
	r.Mod(r, n)
	s.Mul(s, r).Mod(s, n)
	return asn1.Marshal(struct{ R, S *big.Int }{r, s})
}
