package dtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

const (
	certificateLifetime = 365 * 24 * time.Hour
	certificateBackdate = 24 * time.Hour // for peers whose clock is late
	serialBits          = 128
)

// A Certificate is the certificate of this end: a self-signed ECDSA P-256 certificate
// and its key. It never changes, and several servers may share one, so that a page may
// move between them.
type Certificate struct {
	der      []byte
	key      *ecdsa.PrivateKey
	notAfter time.Time
}

// errCertificate is wrapped by the errors of [ParseCertificatePEM].
var errCertificate = errors.New("dtls: not one ECDSA P-256 certificate with its key")

// GenerateCertificate makes a new key and a certificate that is valid for a year.
func GenerateCertificate(now time.Time) (*Certificate, error) {
	return generateCertificate(now, now.Add(certificateLifetime))
}

// generateCertificate makes a new key and a certificate that is valid until notAfter.
func generateCertificate(now, notAfter time.Time) (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("dtls: generate key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("dtls: draw serial: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)), // never zero
		Subject:               pkix.Name{CommonName: "godwit"},
		NotBefore:             now.Add(-certificateBackdate),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("dtls: create certificate: %w", err)
	}
	return newCertificate(der, key)
}

// newCertificate returns an error if key is not the key of the certificate.
func newCertificate(der []byte, key *ecdsa.PrivateKey) (*Certificate, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCertificate, err)
	}
	if key.Curve != elliptic.P256() || !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("%w: key and certificate differ", errCertificate)
	}
	return &Certificate{der: der, key: key, notAfter: leaf.NotAfter}, nil
}

// ParseCertificatePEM reads the PEM blocks of a certificate and its private key, in either
// order, as PEM writes them. It ignores other blocks.
func ParseCertificatePEM(b []byte) (*Certificate, error) {
	var der []byte
	var key *ecdsa.PrivateKey
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			if der != nil {
				return nil, fmt.Errorf("%w: more than one certificate", errCertificate)
			}
			der = block.Bytes
		case "PRIVATE KEY", "EC PRIVATE KEY":
			k, err := parseKey(block)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errCertificate, err)
			}
			key = k
		}
	}
	if der == nil || key == nil {
		return nil, errCertificate
	}
	return newCertificate(der, key)
}

func parseKey(block *pem.Block) (*ecdsa.PrivateKey, error) {
	if block.Type == "EC PRIVATE KEY" {
		return x509.ParseECPrivateKey(block.Bytes)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key is a %T", k)
	}
	return key, nil
}

// PEM returns the certificate and the private key as PEM blocks. Keep them secret.
func (c *Certificate) PEM() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, fmt.Errorf("dtls: marshal key: %w", err)
	}
	var b bytes.Buffer
	for _, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: c.der}, {Type: "PRIVATE KEY", Bytes: key}} {
		if err := pem.Encode(&b, block); err != nil {
			return nil, fmt.Errorf("dtls: encode PEM: %w", err)
		}
	}
	return b.Bytes(), nil
}

// Fingerprint returns the SHA-256 fingerprint, for an offer or an answer.
func (c *Certificate) Fingerprint() Fingerprint { return fingerprintOf(c.der) }

// NotAfter returns the end of the certificate's validity.
func (c *Certificate) NotAfter() time.Time { return c.notAfter }
