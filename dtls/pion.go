package dtls

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
	"github.com/pion/logging"
)

// newPionConn makes the pion connection for a handshake. pion calls verify when it has
// authenticated the peer, and writes the secrets to keyLog.
func newPionConn(p net.PacketConn, c *HandshakeConfig, verify func(*pion.State) error, keyLog io.Writer) (*pion.Conn, error) {
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
		pion.WithSignatureSchemes(schemes()...),
		pion.WithEllipticCurves(elliptic.X25519, elliptic.P256), // see curve
		pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret),
		// There is no certificate authority: verify compares fingerprints.
		pion.WithInsecureSkipVerify(true),
		pion.WithVerifyConnection(verify),
		pion.WithFlightInterval(flightInterval),
		pion.WithMTU(c.MTU),
		pion.WithLoggerFactory(discard{}),
		pion.WithKeyLogWriter(keyLog),
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
		// No HelloVerifyRequest: an authenticated ICE check has arrived from the peer's
		// address.
		pion.WithInsecureSkipVerifyHello(true),
	}
	for _, v := range options {
		o = append(o, v)
	}
	return pion.ServerWithOptions(p, pipeAddr, o...)
}

const masterSecretLen = 48

// secrets are the secrets of a handshake.
type secrets struct {
	keys   *Keys
	opener *Conn // opens the peer's Finished, with any record number
	master [masterSecretLen]byte
}

// parseKeyLog reads a line of pion's key log: "CLIENT_RANDOM", the random and the
// master secret. Only the key log gives access to the master secret before pion's
// handshake is over.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-8.1
func parseKeyLog(line []byte) (clientRandom, master []byte, ok bool) {
	f := bytes.Fields(line)
	if len(f) != 3 || string(f[0]) != "CLIENT_RANDOM" {
		return nil, nil, false
	}
	clientRandom, err := hex.DecodeString(string(f[1]))
	if err != nil || len(clientRandom) != randomLen {
		return nil, nil, false
	}
	master, err = hex.DecodeString(string(f[2]))
	return clientRandom, master, err == nil && len(master) == masterSecretLen
}

// discard is the logger for pion. It writes nothing, so that a stranger cannot fill a log.
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
