package dtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// impostor returns the certificate of an attacker that has seen a certificate and does not have
// its key.
func impostor(seen []byte) tls.Certificate {
	leaf := testkit.Must(x509.ParseCertificate(seen))
	return tls.Certificate{Certificate: [][]byte{seen}, PrivateKey: testkit.Forger{Seen: leaf.PublicKey.(*ecdsa.PublicKey)}}
}

// offerEd25519 adds Ed25519 after the ECDSA schemes of our ClientHello or CertificateRequest,
// unless it is there, so that the impostor's pion signs with it.
func offerEd25519(datagram []byte) []byte {
	return bytes.ReplaceAll(datagram, []byte{0x06, 0x03, 0x08, 0x04}, []byte{0x06, 0x03, 0x08, 0x07})
}

// An attacker that has seen a certificate, and does not have its key, cannot complete a
// handshake, in either role.
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
				if !errors.Is(err, errScheme) || slices.Contains(s.kinds, KeysReady) {
					t.Errorf("the handshake of an impostor: %v, events %v; want ErrScheme and no keys", err, s.kinds)
				}
				if err == nil && <-p.finished == nil {
					testkit.Must(p.conn.Write([]byte("forged")))
					t.Errorf("a message of the impostor is received: %q", <-s.received)
				}
			})
		})
	}
}
