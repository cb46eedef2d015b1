package dtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

func TestCertificate(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	c := testkit.Must(GenerateCertificate(now))
	leaf := testkit.Must(x509.ParseCertificate(c.der))
	if err := leaf.CheckSignatureFrom(leaf); err != nil && !strings.Contains(err.Error(), "parent certificate") {
		t.Errorf("the certificate is not signed by itself: %v", err)
	}
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("the key is a %T, want one of P-256", leaf.PublicKey)
	}
	if from := now.Add(-certificateBackdate); !c.NotAfter().Equal(now.Add(365*24*time.Hour)) || !leaf.NotBefore.Equal(from) {
		t.Errorf("the certificate is valid from %v to %v, want from %v on, and a year from %v", leaf.NotBefore, c.NotAfter(), from, now)
	}
	uses := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(leaf.ExtKeyUsage, uses) || !leaf.BasicConstraintsValid || leaf.IsCA {
		t.Errorf("the key is for %v, %v, its constraints are valid: %v, for others: %v; want signatures of both ends, for no other certificate",
			leaf.KeyUsage, leaf.ExtKeyUsage, leaf.BasicConstraintsValid, leaf.IsCA)
	}
	if leaf.Subject.CommonName != "godwit" {
		t.Errorf("the name is %q, want godwit", leaf.Subject.CommonName)
	}
	if leaf.SerialNumber.BitLen() < 64 {
		t.Errorf("the serial number %v is not random: it has less than 64 bits", leaf.SerialNumber)
	}
	if !c.Fingerprint().matches(c.der) {
		t.Error("the fingerprint does not match its own certificate")
	}
	if d := testkit.Must(GenerateCertificate(now)); d.Fingerprint() == c.Fingerprint() {
		t.Error("two certificates have the same fingerprint")
	}
	if d := testkit.Must(generateCertificate(now, now.Add(time.Hour))); !d.NotAfter().Equal(now.Add(time.Hour)) {
		t.Errorf("a certificate for an hour is valid until %v, want %v", d.NotAfter(), now.Add(time.Hour))
	}
}

func TestCertificatePEM(t *testing.T) {
	c := testkit.Must(GenerateCertificate(time.Now()))
	text := testkit.Must(c.PEM())
	d := testkit.Must(ParseCertificatePEM(text))
	if d.Fingerprint() != c.Fingerprint() || !d.key.Equal(c.key) {
		t.Error("the loaded certificate or key differs from the one that was saved")
	}
	if !bytes.Equal(testkit.Must(d.PEM()), text) {
		t.Error("a loaded certificate is saved as other bytes")
	}
	cert, key := split(text)
	other := testkit.Must(GenerateCertificate(time.Now()))
	otherCert, otherKey := split(testkit.Must(other.PEM()))
	ec := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: testkit.Must(x509.MarshalECPrivateKey(c.key))})
	for name, text := range map[string]string{
		"key first": key + cert, "with other text": "# godwit\n" + cert + "\n" + key, "openssl's form": cert + string(ec),
	} {
		if d, err := ParseCertificatePEM([]byte(text)); err != nil || d.Fingerprint() != c.Fingerprint() {
			t.Errorf("%s: %v, want the same certificate", name, err)
		}
	}
	p384 := p384Certificate()
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	for name, text := range map[string]string{
		"nothing":          "",
		"no key":           cert,
		"no certificate":   key,
		"another's key":    cert + otherKey,
		"two certificates": cert + otherCert + key,
		"a broken key":     cert + block("PRIVATE KEY", []byte("x")),
		"a broken cert":    block("CERTIFICATE", []byte("x")) + key,
		"an Ed25519 key":   cert + block("PRIVATE KEY", testkit.Must(x509.MarshalPKCS8PrivateKey(edKey))),
		"a P-384 key":      block("CERTIFICATE", p384.Certificate[0]) + block("PRIVATE KEY", testkit.Must(x509.MarshalPKCS8PrivateKey(p384.PrivateKey))),
		"a broken EC key":  cert + block("EC PRIVATE KEY", []byte("x")),
		"not PEM":          "hello",
		"an unknown block": block("X", []byte("x")),
		"only half of it":  string(text[:len(text)/2]),
	} {
		if _, err := ParseCertificatePEM([]byte(text)); !errors.Is(err, errCertificate) {
			t.Errorf("%s: %v, want %v", name, err, errCertificate)
		}
	}
}

func split(text []byte) (cert, key string) {
	a, rest := pem.Decode(text)
	b, _ := pem.Decode(rest)
	return string(pem.EncodeToMemory(a)), string(pem.EncodeToMemory(b))
}

func TestFingerprint(t *testing.T) {
	der := []byte("certificate")
	s256, s384, s512 := sha256.Sum256(der), sha512.Sum384(der), sha512.Sum512(der)
	for name, sum := range map[string][]byte{"sha-256": s256[:], "SHA-384": s384[:], "Sha-512": s512[:]} {
		f := testkit.Must(ParseFingerprint(name, sum))
		if !f.matches(der) || f.matches([]byte("another")) {
			t.Errorf("%s does not distinguish two certificates", name)
		}
		if f.Algorithm() != strings.ToLower(name) || !bytes.Equal(f.Sum(), sum) {
			t.Errorf("%s is parsed as %s %x", name, f.Algorithm(), f.Sum())
		}
		if g := testkit.Must(ParseFingerprint(name, sum)); g != f {
			t.Errorf("%s: equal fingerprints differ", name)
		}
		sum[0] ^= 1
		if testkit.Must(ParseFingerprint(name, sum)).matches(der) {
			t.Errorf("%s matches though one bit is changed", name)
		}
		for _, n := range []int{0, 1, len(sum) - 1} {
			if _, err := ParseFingerprint(name, sum[:n]); !errors.Is(err, errFingerprint) {
				t.Errorf("%s of %d bytes: %v, want ErrFingerprint", name, n, err)
			}
		}
	}
	for _, name := range []string{"md5", "sha-1", "sha-224", "", "sha256"} {
		if _, err := ParseFingerprint(name, s256[:]); !errors.Is(err, errFingerprint) {
			t.Errorf("the algorithm %q: %v, want ErrFingerprint", name, err)
		}
	}
	if (Fingerprint{}).matches(der) || (Fingerprint{}).String() != "" {
		t.Errorf("the zero fingerprint matches a certificate, or has the text %q", Fingerprint{})
	}
	f := testkit.Must(ParseFingerprint("sha-256", append([]byte{0x0a, 0xff}, make([]byte, 30)...)))
	if !strings.HasPrefix(f.String(), "sha-256 0A:FF:00:") {
		t.Errorf("the text is %q, want the prefix sha-256 0A:FF:00:", f)
	}
}
