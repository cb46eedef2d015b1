package dtls

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"slices"
	"testing"
	"testing/synctest"
)

// A forger signs as the owner of a P-256 certificate of which it knows nothing but
// the public key: if the digest is empty, e is 0, and for any b the pair r = x(bQ),
// s = r/b is a signature that ECDSA accepts. It says that its key is of Ed25519, so
// that the signature goes out under the scheme 0x0807, which has no digest.
type forger struct{ seen *ecdsa.PublicKey }

func (f forger) Public() crypto.PublicKey { return make(ed25519.PublicKey, ed25519.PublicKeySize) }

func (f forger) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	b := must(ecdh.P256().GenerateKey(rand.Reader))
	n := elliptic.P256().Params().N
	r := new(big.Int).SetBytes(must(b.ECDH(must(f.seen.ECDH())))) // the x of bQ
	s := new(big.Int).ModInverse(new(big.Int).SetBytes(b.Bytes()), n)
	r.Mod(r, n)
	s.Mul(s, r).Mod(s, n)
	return asn1.Marshal(struct{ R, S *big.Int }{r, s})
}

// impostor is the certificate of somebody who has seen one and has no key of it.
func impostor(seen []byte) tls.Certificate {
	leaf := must(x509.ParseCertificate(seen))
	return tls.Certificate{Certificate: [][]byte{seen}, PrivateKey: forger{leaf.PublicKey.(*ecdsa.PublicKey)}}
}

// offerEd25519 puts Ed25519 behind the ECDSA schemes of our ClientHello or
// CertificateRequest, unless it is there, so that the impostor's pion signs with it.
func offerEd25519(datagram []byte) []byte {
	return bytes.ReplaceAll(datagram, []byte{0x06, 0x03, 0x08, 0x04}, []byte{0x06, 0x03, 0x08, 0x07})
}

// Whoever has only seen a certificate cannot shake hands as its owner, in either role.
func TestImpostorIsRefused(t *testing.T) {
	seen := peerCertificate()
	for name, client := range map[string]bool{"plays the server": true, "plays the client": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t, 1), newSide(t, client)
				ready := make(chan struct{})
				p := startPion(t, !client, impostor(seen.Certificate[0]), func(b []byte) { w.carry(nil, b, s.receive) })
				s.start(configFor(seen), func(b []byte) { <-ready; w.carry(s, offerEd25519(b), p.receive) })
				close(ready)
				defer p.close()
				defer s.close()
				err := <-s.finished
				if !errors.Is(err, ErrScheme) || slices.Contains(s.kinds, KeysReady) {
					t.Errorf("an impostor shook hands: %v, events %v", err, s.kinds)
				}
				if err == nil && <-p.finished == nil {
					must(p.conn.Write([]byte("forged")))
					t.Errorf("and was heard: %q", <-s.received)
				}
			})
		})
	}
}
