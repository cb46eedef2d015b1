package dtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
)

// Limits of the RSA key of a peer: the cost of its signature grows with the square of
// the length and with the bits of the exponent. Browsers generate keys of 2,048 bits
// with this exponent.
const (
	maxRSABits     = 4096
	maxRSAExponent = 65537
)

// schemes returns the signature schemes that are offered and accepted, the preferred
// one first. Each has a digest: a scheme without one, such as Ed25519 (0x0807), allows
// forgeries if it is used with a key of another type.
// https://www.rfc-editor.org/rfc/rfc8446.html#section-4.2.3
func schemes() []tls.SignatureScheme {
	return []tls.SignatureScheme{
		tls.ECDSAWithP256AndSHA256, // in TLS 1.2 the scheme does not fix the curve
		tls.ECDSAWithP384AndSHA384,
		tls.ECDSAWithP521AndSHA512,
		tls.PSSWithSHA256,
		tls.PSSWithSHA384,
		tls.PSSWithSHA512,
		tls.PKCS1WithSHA256,
		tls.PKCS1WithSHA384,
		tls.PKCS1WithSHA512,
	}
}

// takesKey reports whether the public key of a peer is accepted: ECDSA with P-256,
// P-384 or P-521, or RSA within the limits.
func takesKey(public any) bool {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		return key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521()
	case *rsa.PublicKey:
		return key.N.BitLen() <= maxRSABits && key.E <= maxRSAExponent
	}
	return false
}

// costly reports whether it takes several times as long as with other keys to verify a
// signature of this public key.
func costly(public any) bool {
	key, ok := public.(*ecdsa.PublicKey)
	return ok && key.Curve != elliptic.P256()
}

// fitsKey reports whether s is one of schemes, belongs to the public key, and the key
// is accepted.
func fitsKey(s tls.SignatureScheme, public any) bool {
	switch s {
	case tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512:
		_, ok := public.(*ecdsa.PublicKey)
		return ok
	case tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
		tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512:
		_, ok := public.(*rsa.PublicKey)
		return ok
	}
	return false
}

// certifiedBy reports whether a DTLS server with this public key may choose s.
func (s Suite) certifiedBy(public any) bool {
	switch public.(type) {
	case *ecdsa.PublicKey:
		return s == ECDSAWithAES128GCM || s == ECDSAWithChaCha20
	case *rsa.PublicKey:
		return s == RSAWithAES128GCM || s == RSAWithChaCha20
	}
	return false
}
