package webtransport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// A browser accepts a certificate by its hash if it has a key of ECDSA with P-256 and is valid
// for at most 14 days. https://www.w3.org/TR/webtransport/#verify-a-certificate-hash
const (
	certificateEarly = 24 * time.Hour      // valid before it is made, for clients whose clocks are behind
	certificateLife  = 13 * 24 * time.Hour // in all
	certificateTerm  = 84 * time.Hour      // for which a certificate is served
	certificateRest  = 24 * time.Hour      // valid after its term, for clients whose clocks are ahead
)

// certificates are the self-signed certificates of a server: the one that it serves, and the one
// that it will serve next. Clients get the hashes of both, so that a change of certificates
// between the answer and the handshake does no harm. A certificate is made one term before it is
// served. If nobody has asked for so long that it would end too early, another one is made.
type certificates struct {
	mu   sync.Mutex // guards the fields below
	pair [2]*certificate
	next time.Time // when pair[1] is served
}

type certificate struct {
	tls   *tls.Certificate
	hash  string
	until time.Time // when it ends
}

// at returns the two certificates of a time, of which the first is served.
func (c *certificates) at(now time.Time) ([2]*certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.next) {
		return c.pair, nil
	}
	pair := c.pair
	pair[0], pair[1] = pair[1], nil
	for i, x := range pair {
		if x != nil && now.Before(x.until.Add(-certificateTerm-certificateRest)) {
			continue
		}
		made, err := newCertificate(now)
		if err != nil {
			return pair, err
		}
		pair[i] = made
	}
	c.pair, c.next = pair, now.Add(certificateTerm)
	return pair, nil
}

// newCertificate makes a certificate that is valid from a day before now.
func newCertificate(now time.Time) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("webtransport: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("webtransport: %w", err)
	}
	from := now.Add(-certificateEarly)
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "godwit"},
		NotBefore:    from,
		NotAfter:     from.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("webtransport: %w", err)
	}
	sum := sha256.Sum256(der)
	return &certificate{
		tls:   &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		hash:  base64.StdEncoding.EncodeToString(sum[:]),
		until: template.NotAfter,
	}, nil
}
