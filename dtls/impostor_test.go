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

// offeredSchemes returns the signature schemes that a ClientHello or CertificateRequest offers,
// nil for other messages.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.4.1.4.1
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.4.4
func offeredSchemes(f fragment) (list []tls.SignatureScheme) {
	const signatureAlgorithms = 13
	r := reader{f.body, true}
	switch f.kind {
	case msgClientHello:
		// version(2) random(32) session_id(1+n) cookie(1+n) cipher_suites(2+n) compression_methods(1+n) extensions(2+n)
		r.bytes(2 + randomLen)
		r.vector(1)
		r.vector(1)
		r.vector(2)
		r.vector(1)
		extensions := reader{r.vector(2), r.ok}
		r = reader{}
		for len(extensions.b) > 0 {
			if kind, data := extensions.number(2), extensions.vector(2); kind == signatureAlgorithms {
				r = reader{data, extensions.ok}
			}
		}
	case msgCertificateRequest:
		r.vector(1) // certificate_types(1+n) signature_algorithms(2+n) certificate_authorities(2+n)
	default:
		return nil
	}
	for schemes := (reader{r.vector(2), r.ok}); len(schemes.b) > 0; {
		list = append(list, tls.SignatureScheme(schemes.number(2)))
	}
	return list
}

// Our ClientHello and CertificateRequest offer the schemes that belong to keys that we take, and
// no others.
func TestOfferedSchemes(t *testing.T) {
	want := []tls.SignatureScheme{
		tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512,
		tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
		tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
	}
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		offered := make(map[uint8][]tls.SignatureScheme)
		w.tap = func(_ *side, b []byte) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			for r := range Records(b) {
				for b := r.Body(); r.Epoch == 0 && r.Type == TypeHandshake && len(b) > 0; {
					f, rest, ok := parseFragment(b)
					if !ok || len(f.body) != f.length {
						t.Errorf("a message in pieces, or with bytes behind it: %x", b)
						return false
					}
					if list := offeredSchemes(f); list != nil {
						offered[f.kind] = list
					}
					b = rest
				}
			}
			return false
		}
		client, server := pair(t, w)
		wantNil(t, "client", <-client.finished)
		wantNil(t, "server", <-server.finished)
		client.close()
		server.close()
		for kind, name := range map[uint8]string{msgClientHello: "ClientHello", msgCertificateRequest: "CertificateRequest"} {
			if !slices.Equal(offered[kind], want) {
				t.Errorf("%s offers %v, want %v", name, offered[kind], want)
			}
		}
	})
}
