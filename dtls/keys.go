package dtls

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
)

// A Suite is a TLS cipher suite.
type Suite uint16

// The suites that a handshake negotiates. All have ephemeral keys and an AEAD, as False
// Start requires: https://www.rfc-editor.org/rfc/rfc7918.html#section-5.1
const (
	// https://www.rfc-editor.org/rfc/rfc5289.html#section-3.2
	ECDSAWithAES128GCM Suite = 0xc02b
	RSAWithAES128GCM   Suite = 0xc02f
	// https://www.rfc-editor.org/rfc/rfc7905.html#section-2
	RSAWithChaCha20   Suite = 0xcca8
	ECDSAWithChaCha20 Suite = 0xcca9
)

func (s Suite) String() string {
	switch s {
	case ECDSAWithAES128GCM:
		return "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
	case RSAWithAES128GCM:
		return "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
	case ECDSAWithChaCha20:
		return "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
	case RSAWithChaCha20:
		return "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
	}
	return "unknown suite"
}

func (s Suite) chacha() bool { return s == ECDSAWithChaCha20 || s == RSAWithChaCha20 }
func (s Suite) aes() bool    { return s == ECDSAWithAES128GCM || s == RSAWithAES128GCM }

// Sizes of keys and fixed nonce parts. AES-128-GCM in TLS 1.2 fixes the first 4
// bytes of the nonce and sends the other 8; ChaCha20-Poly1305 sends none.
// https://www.rfc-editor.org/rfc/rfc5288.html#section-3
const (
	aesKeyLen    = 16
	aesIVLen     = 4
	chachaKeyLen = 32
	chachaIVLen  = 12
)

// Keys are the result of a key exchange: a key and a fixed part of the nonce for each
// direction. The same value is for both ends.
type Keys struct {
	Suite    Suite
	client   [chachaKeyLen]byte // write key of the DTLS client
	server   [chachaKeyLen]byte
	clientIV [chachaIVLen]byte
	serverIV [chachaIVLen]byte
}

// errSuite is returned by DeriveKeys for any other suite.
var errSuite = errors.New("dtls: cipher suite is not supported")

// DeriveKeys computes the keys from a master secret and the randoms of both ends. The
// Keys do not contain these.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-6.3
func DeriveKeys(s Suite, master, clientRandom, serverRandom []byte) (*Keys, error) {
	if !s.aes() && !s.chacha() {
		return nil, errSuite
	}
	keyLen, ivLen := aesKeyLen, aesIVLen
	if s.chacha() {
		keyLen, ivLen = chachaKeyLen, chachaIVLen
	}
	seed := make([]byte, 0, len(clientRandom)+len(serverRandom))
	seed = append(append(seed, serverRandom...), clientRandom...)
	block := prf(master, "key expansion", seed, 2*keyLen+2*ivLen)

	k := &Keys{Suite: s}
	// client_write_key server_write_key client_write_IV server_write_IV
	for _, part := range [][]byte{k.client[:keyLen], k.server[:keyLen], k.clientIV[:ivLen], k.serverIV[:ivLen]} {
		block = block[copy(part, block):]
	}
	return k, nil
}

// prf returns n bytes of the TLS 1.2 pseudorandom function with SHA-256.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-5
func prf(secret []byte, label string, seed []byte, n int) []byte {
	labelSeed := append([]byte(label), seed...)
	mac := hmac.New(sha256.New, secret)
	sum := func(parts ...[]byte) []byte {
		mac.Reset()
		for _, p := range parts {
			mac.Write(p)
		}
		return mac.Sum(nil)
	}
	var out []byte
	a := labelSeed
	for range (n + sha256.Size - 1) / sha256.Size {
		a = sum(a)
		out = append(out, sum(a, labelSeed)...)
	}
	return out[:n]
}
