package browser

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certificate is for HTTPS at the test's addresses. Nobody has signed it, and the browsers accept it: Chromium by its key,
// the others as any other. Chromium would also accept any, but it would connect twice for each WebSocket.
type certificate struct {
	key  *ecdsa.PrivateKey
	pin  string // the hash of the public key, as Chromium wants it
	cert *x509.Certificate
}

func newCertificate() (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	now := time.Now()
	sum := sha256.Sum256(public)
	return &certificate{key, base64.StdEncoding.EncodeToString(sum[:]), &x509.Certificate{
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}}, nil
}

// WriteCertificate writes cert.pem and key.pem into a directory, with which a server can serve HTTPS to the browsers at an
// address.
func WriteCertificate(t testing.TB, dir string, host netip.Addr) {
	t.Helper()
	c := needNetwork(t).certificate
	template := *c.cert
	template.SerialNumber = big.NewInt(time.Now().UnixNano()) // Firefox refuses another certificate with the same number
	template.IPAddresses = []net.IP{host.AsSlice()}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, c.key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
