package dtls

import (
	"bytes"
	"crypto/tls"
	"encoding/gob"
	"errors"
	"fmt"
	"net"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
	"github.com/pion/logging"
)

// newPionConn makes the pion connection whose handshake we run. Its signature
// schemes are pion's own: ECDSA, Ed25519 and RSA, since a page may hold any.
func newPionConn(p net.PacketConn, c *HandshakeConfig, verify func(*pion.State) error) (*pion.Conn, error) {
	if c.Certificate == nil {
		return nil, errors.New("HandshakeConfig.Certificate is not set")
	}
	options := []pion.Option{
		pion.WithCertificates(tls.Certificate{Certificate: [][]byte{c.Certificate.der}, PrivateKey: c.Certificate.key}),
		pion.WithCipherSuites(
			pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			pion.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			pion.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			pion.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		),
		pion.WithEllipticCurves(elliptic.X25519, elliptic.P256, elliptic.P384),
		pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret),
		// No authority signs these certificates: verify compares fingerprints.
		pion.WithInsecureSkipVerify(true),
		pion.WithVerifyConnection(verify),
		pion.WithFlightInterval(flightInterval),
		pion.WithMTU(c.MTU),
		pion.WithLoggerFactory(discard{}),
		pion.WithKeyLogWriter(c.KeyLog),
	}
	if c.SRTP {
		options = append(options, pion.WithSRTPProtectionProfiles(
			pion.SRTP_AEAD_AES_256_GCM,
			pion.SRTP_AEAD_AES_128_GCM,
			pion.SRTP_AES128_CM_HMAC_SHA1_80,
		))
	}
	if c.Client {
		var o []pion.ClientOption
		for _, v := range options {
			o = append(o, v)
		}
		return pion.ClientWithOptions(p, pipeAddr, o...)
	}
	o := []pion.ServerOption{
		pion.WithClientAuth(pion.RequireAnyClientCert),
		// The address is known to be the peer's: an authenticated ICE check came from it.
		pion.WithInsecureSkipVerifyHello(true),
	}
	for _, v := range options {
		o = append(o, v)
	}
	return pion.ServerWithOptions(p, pipeAddr, o...)
}

// secrets mirrors the fields we need of what pion.State.MarshalBinary encodes,
// the one way it offers to the master secret. gob matches fields by name; a
// test fails if a new pion names them otherwise.
type secrets struct {
	LocalRandom      [32]byte
	RemoteRandom     [32]byte
	CipherSuiteID    uint16
	MasterSecret     []byte
	PeerCertificates [][]byte
	IsClient         bool
}

func exportSecrets(s *pion.State) (*secrets, error) {
	b, err := s.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("dtls: export state: %w", err)
	}
	var v secrets
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&v); err != nil {
		return nil, fmt.Errorf("dtls: export state: %w", err)
	}
	if len(v.MasterSecret) != masterSecretLen {
		return nil, errors.New("dtls: export state: no master secret")
	}
	return &v, nil
}

const masterSecretLen = 48

func (s *secrets) keys() (*Keys, error) {
	client, server := s.LocalRandom[:], s.RemoteRandom[:]
	if !s.IsClient {
		client, server = server, client
	}
	return DeriveKeys(Suite(s.CipherSuiteID), s.MasterSecret, client, server)
}

// discard is pion's logger: a stranger must not be able to fill a log.
type discard struct{}

func (discard) NewLogger(string) logging.LeveledLogger { return discard{} }
func (discard) Trace(string)                           {}
func (discard) Tracef(string, ...any)                  {}
func (discard) Debug(string)                           {}
func (discard) Debugf(string, ...any)                  {}
func (discard) Info(string)                            {}
func (discard) Infof(string, ...any)                   {}
func (discard) Warn(string)                            {}
func (discard) Warnf(string, ...any)                   {}
func (discard) Error(string)                           {}
func (discard) Errorf(string, ...any)                  {}
