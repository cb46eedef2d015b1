package auth

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// bare signs claims as another program might, which asks for no limits.
func bare(t *testing.T, s Signer, claims map[string]any) string {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.GetSigningMethod(string(s.public.algorithm)), jwt.MapClaims(claims))
	tok.Header["kid"] = s.Key().ID()
	text, err := tok.SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Each limit of a claim is taken at its value, and refused one byte beyond, by the
// signer and by the verifier.
func TestLimitsOfClaimsAreExact(t *testing.T) {
	s := newSigner(t, HS256)
	text := func(n int) string { return strings.Repeat("x", n) }
	data := func(n int) json.RawMessage { return json.RawMessage(`"` + text(n-2) + `"`) }
	for _, c := range []struct {
		name string
		edit func(*Claims)
		sign error
		read error
	}{
		{"a subject of 256 bytes", func(c *Claims) { c.Subject = text(256) }, nil, nil},
		{"a subject of 257 bytes", func(c *Claims) { c.Subject = text(257) }, errSubject, errSubject},
		{"no subject", func(c *Claims) { c.Subject = "" }, errSubject, errSubject},
		{"an id of 256 bytes", func(c *Claims) { c.ID = text(256) }, nil, nil},
		{"an id of 257 bytes", func(c *Claims) { c.ID = text(257) }, errID, errID},
		{"data of 1,024 bytes", func(c *Claims) { c.Data = data(1024) }, nil, nil},
		{"data of 1,025 bytes", func(c *Claims) { c.Data = data(1025) }, errData, errData},
		{"no data", func(c *Claims) { c.Data = nil }, nil, nil},
	} {
		claims := good()
		c.edit(&claims)
		if _, err := s.Sign(now, claims); err != c.sign {
			t.Errorf("Sign with %s: %v, want %v", c.name, err, c.sign)
		}
		v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
		token := bare(t, s, map[string]any{
			"sub": claims.Subject, "jti": claims.ID, "aud": claims.Audience, "exp": claims.Expires.Unix(), "data": claims.Data,
		})
		got, err := v.Verify(now, token)
		if err != c.read || err == nil && (got.Subject != claims.Subject || got.ID != claims.ID || got.Audience != "eu-1") {
			t.Errorf("Verify with %s: %v, want %v", c.name, err, c.read)
		}
	}
	broken := good()
	broken.Data = json.RawMessage("{")
	if _, err := s.Sign(now, broken); err != errData {
		t.Errorf("Sign with data that is not JSON: %v, want errData", err)
	}
	for name, edit := range map[string]func(*Claims){
		"no end":             func(c *Claims) { c.Expires = time.Time{} },
		"4,000 bytes in aud": func(c *Claims) { c.Audience = text(4000) },
	} {
		claims := good()
		edit(&claims)
		if _, err := s.Sign(now, claims); err == nil {
			t.Errorf("Sign accepts %s", name)
		}
	}
}

func TestLengthOfATokenIsExact(t *testing.T) {
	s := newSigner(t, HS256)
	exact := false
	for n := 2000; n < 3100; n++ {
		c := good()
		c.Audience = strings.Repeat("a", n)
		token := bare(t, s, map[string]any{"sub": c.Subject, "jti": c.ID, "aud": c.Audience, "exp": c.Expires.Unix()})
		v := Verifier{Keys: []Key{s.Key()}, Audience: c.Audience}
		want := errMalformed
		if len(token) <= MaxToken {
			want = nil
		}
		if _, err := v.Verify(now, token); (err == nil) != (want == nil) || want != nil && err != want {
			t.Fatalf("a token of %d bytes: %v, want %v", len(token), err, want)
		}
		exact = exact || len(token) == MaxToken
		if text, err := s.Sign(now, c); (err == nil) != (len(text) <= MaxToken) {
			t.Fatalf("Sign returns a token of %d bytes, %v; want an error above %d", len(text), err, MaxToken)
		}
	}
	if !exact {
		t.Error("no token had the greatest length")
	}
}

// A token that may be shown often needs no id; the other limits hold nevertheless.
func TestReusableTokens(t *testing.T) {
	s := newSigner(t, EdDSA)
	v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1", Reusable: true}
	if c, err := v.Verify(now, sign(t, s, func(c *Claims) { c.ID = "" })); err != nil || c.Subject != "ada" {
		t.Errorf("a token without an id: %v, want nil", err)
	}
	long := bare(t, s, map[string]any{"sub": "ada", "aud": "eu-1", "exp": now.Unix() + 60, "jti": strings.Repeat("x", 257)})
	if _, err := v.Verify(now, long); err != errID {
		t.Errorf("a token with an id of 257 bytes: %v, want errID", err)
	}
	if _, err := v.Verify(now, sign(t, s, func(c *Claims) { c.ID, c.Expires = "", now.Add(-time.Minute) })); err != ErrExpired {
		t.Errorf("an expired token: %v, want ErrExpired", err)
	}
}

// A lifetime is taken up to MaxLifetime and the skew.
func TestLifetimeIsExact(t *testing.T) {
	s := newSigner(t, HS256)
	for _, c := range []struct {
		v    Verifier
		most time.Duration
	}{
		{Verifier{}, 24*time.Hour + 30*time.Second},
		{Verifier{MaxLifetime: time.Hour, Skew: 10 * time.Second}, time.Hour + 10*time.Second},
	} {
		c.v.Keys, c.v.Audience = []Key{s.Key()}, "eu-1"
		for d, want := range map[time.Duration]error{c.most: nil, c.most + time.Second: errLifetime} {
			if _, err := c.v.Verify(now, sign(t, s, func(x *Claims) { x.Expires = now.Add(d) })); (err == nil) != (want == nil) || err != nil && err != want {
				t.Errorf("for %v: %v, want %v", d, err, want)
			}
		}
	}
}

// A program that wants no limit sets the longest duration.
func TestTheLongestLifetimeIsNoLimit(t *testing.T) {
	s := newSigner(t, HS256)
	v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1", MaxLifetime: math.MaxInt64}
	now := time.Unix(1_700_000_000, 0)
	text, err := s.Sign(now, Claims{Subject: "ada", Audience: "eu-1", ID: "1", Expires: now.AddDate(100, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(now, text); err != nil {
		t.Error(err)
	}
}

func TestVerifierNeedsAKeyThatIsOne(t *testing.T) {
	s := newSigner(t, EdDSA)
	for name, v := range map[string]Verifier{
		"no key":          {Audience: "eu-1"},
		"no audience":     {Keys: []Key{s.Key()}},
		"an empty key":    {Keys: []Key{{}}, Audience: "eu-1"},
		"an empty second": {Keys: []Key{s.Key(), {}}, Audience: "eu-1"},
	} {
		if v.Validate() == nil {
			t.Errorf("%s: Validate returns no error", name)
		}
	}
}

// A key's id is made of the public key or, for a secret, of its hash, so that it is
// the same wherever the key is read, and tells nothing of a secret.
func TestIDsComeFromTheKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range []Algorithm{EdDSA, ES256, HS256} {
		for range 3 {
			id := newSigner(t, a).Key().ID()
			if len(id) != 8 || seen[id] {
				t.Errorf("%s: the id of a new key is %q, want a new one of 8 bytes", a, id)
			}
			seen[id] = true
		}
	}
	for bit := range 2 {
		n := new(big.Int).SetBit(big.NewInt(int64(1+2*bit)), 2047, 1)
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParseKey(pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}))
		if sum := sha256.Sum256(der); err != nil || k.ID() != base64.RawURLEncoding.EncodeToString(sum[:6]) {
			t.Errorf("the id of an RSA key is %q, %v", k.ID(), err)
		}
	}
	secret := bytes.Repeat([]byte{7}, 32)
	s, err := Secret(secret)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append([]byte("godwit key id "), secret...))
	if want := base64.RawURLEncoding.EncodeToString(sum[:6]); s.Key().ID() != want || s.Key().Algorithm() != HS256 {
		t.Errorf("the id is %q, want %q", s.Key().ID(), want)
	}
	clear(secret) // the signer has its own copy
	v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
	if _, err := v.Verify(now, sign(t, s, nil)); err != nil {
		t.Errorf("a token of a signer made from a secret: %v, want nil", err)
	}
	header, _, _ := strings.Cut(sign(t, s, nil), ".")
	if text, _ := base64.RawURLEncoding.DecodeString(header); !strings.Contains(string(text), fmt.Sprintf(`"kid":"%s"`, s.Key().ID())) {
		t.Errorf("the header %s does not have the id of the key", text)
	}
}

func TestKeysThatAreNotTaken(t *testing.T) {
	big, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	private := func(key any) []byte { der, err := x509.MarshalPKCS8PrivateKey(key); return block(pemPrivate, der, err) }
	public := func(key any) []byte { der, err := x509.MarshalPKIXPublicKey(key); return block(pemPublic, der, err) }
	good, _ := newSigner(t, EdDSA).Key().PEM()
	for name, text := range map[string][]byte{
		"P-384":          private(big),
		"a short secret": block(pemSecret, make([]byte, 31), nil),
		"a damaged key":  block(pemPrivate, []byte("nothing"), nil),
		"a certificate":  block("CERTIFICATE", make([]byte, 100), nil),
		"a public key":   good,
		"X25519":         private(other),
		"P-384, public":  public(&big.PublicKey),
		"nothing":        nil,
		"text":           []byte("hello"),
	} {
		if s, err := ParseSigner(text); err == nil || s.key != nil && s.public.key != nil {
			t.Errorf("%s: ParseSigner returns no error", name)
		}
	}
	for name, text := range map[string][]byte{
		"P-384":          public(&big.PublicKey),
		"X25519":         public(other.PublicKey()),
		"a damaged key":  block(pemPublic, []byte("nothing"), nil),
		"a short secret": block(pemSecret, make([]byte, 31), nil),
	} {
		if k, err := ParseKey(text); err == nil || k.key != nil {
			t.Errorf("%s: ParseKey returns no error", name)
		}
	}
	if s, err := Secret(make([]byte, 31)); err == nil || s.key != nil {
		t.Error("a secret of 31 bytes is accepted")
	}
	if s, err := Secret(make([]byte, 32)); err != nil || s.key == nil {
		t.Errorf("a secret of 32 bytes is refused: %v", err)
	}
}

func TestGenerateTellsItsErrors(t *testing.T) {
	if _, err := Generate("HS512", rand.Reader); err == nil || !strings.Contains(err.Error(), "HS512") {
		t.Errorf("Generate of HS512: %v, want an error that names it", err)
	}
	if s, err := Generate(HS256, iotest.ErrReader(iotest.ErrTimeout)); err != iotest.ErrTimeout || s.key != nil {
		t.Errorf("Generate without random bytes: %v, want the error of the reader", err)
	}
}

// Used forgets what has expired, whatever order it came in, and nothing else.
func TestUsedForgetsInTheOrderOfExpiry(t *testing.T) {
	u := Used{Max: 8}
	spend := func(at, seconds int) error {
		return u.Spend(now.Add(time.Duration(at)*time.Second), Claims{ID: fmt.Sprint(seconds), Expires: now.Add(time.Duration(seconds) * time.Second)})
	}
	for _, seconds := range []int{50, 30, 80, 10, 70, 20, 60, 40} {
		if err := spend(0, seconds); err != nil {
			t.Fatal(err)
		}
	}
	for gone := range 8 {
		at := 10*gone + 5
		if spend(at, 1000+gone); u.Len() != 8 {
			t.Errorf("at %d s %d ids are stored, want 8", at, u.Len())
		}
		for _, seconds := range []int{10, 20, 30, 40, 50, 60, 70, 80} {
			want := ErrReplayed
			if seconds < at {
				want = ErrExpired
			}
			if err := spend(at, seconds); err != want {
				t.Errorf("at %d s the token of %d s: %v, want %v", at, seconds, err, want)
			}
		}
	}
}
