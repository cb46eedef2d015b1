package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func block(kind string, der []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// A foreignKey is a key of another program: how that signs, and every form it is kept in.
type foreignKey struct {
	method  jwt.SigningMethod
	key     any
	private map[string][]byte
	public  map[string][]byte
}

func foreigners(t testing.TB) map[Algorithm]foreignKey {
	t.Helper()
	all := make(map[Algorithm]foreignKey)
	jwkOf := func(more map[string]any, members map[string]any) []byte {
		m := maps.Clone(members)
		maps.Copy(m, more)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}

	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	n, e := b64(r.N.Bytes()), b64(big.NewInt(int64(r.E)).Bytes())
	pkcs8, err8 := x509.MarshalPKCS8PrivateKey(r)
	pkix1, errX := x509.MarshalPKIXPublicKey(&r.PublicKey)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, NotAfter: time.Now().Add(time.Hour)}
	cert, errC := x509.CreateCertificate(rand.Reader, template, template, &r.PublicKey, r)
	rsaJWK := map[string]any{"kty": "RSA", "n": n, "e": e, "kid": "theirs"}
	all[RS256] = foreignKey{jwt.SigningMethodRS256, r, map[string][]byte{
		"PKCS #8": block("PRIVATE KEY", pkcs8, err8),
		"PKCS #1": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), nil),
		"JWK":     jwkOf(map[string]any{"d": b64(r.D.Bytes()), "p": b64(r.Primes[0].Bytes()), "q": b64(r.Primes[1].Bytes())}, rsaJWK),
	}, map[string][]byte{
		"PKIX":        block("PUBLIC KEY", pkix1, errX),
		"PKCS #1":     block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&r.PublicKey), nil),
		"certificate": block("CERTIFICATE", cert, errC),
		"JWK":         jwkOf(map[string]any{"alg": "RS256", "use": "sig", "x5t": "ignored"}, rsaJWK),
	}}

	c, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err1 := x509.MarshalECPrivateKey(c)
	point, errP := c.PublicKey.Bytes()
	scalar, errD := c.Bytes()
	if errP != nil || errD != nil {
		t.Fatal(errP, errD)
	}
	ecJWK := map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:]), "kid": "theirs"}
	all[ES256] = foreignKey{jwt.SigningMethodES256, c, map[string][]byte{
		"SEC 1":                 block("EC PRIVATE KEY", sec1, err1),
		"SEC 1 with parameters": append(block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}, nil), block("EC PRIVATE KEY", sec1, err1)...),
		"JWK":                   jwkOf(map[string]any{"d": b64(scalar)}, ecJWK),
	}, map[string][]byte{"JWK": jwkOf(nil, ecJWK)}}

	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edJWK := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(pub), "kid": "theirs"}
	all[EdDSA] = foreignKey{jwt.SigningMethodEdDSA, priv,
		map[string][]byte{"JWK": jwkOf(map[string]any{"d": b64(priv.Seed())}, edJWK)},
		map[string][]byte{"JWK": jwkOf(nil, edJWK), "padded": jwkOf(map[string]any{"x": b64(pub) + "="}, edJWK)}}

	secret := make([]byte, 40)
	rand.Read(secret)
	octJWK := map[string]any{"kty": "oct", "k": b64(secret), "kid": "theirs", "alg": "HS256"}
	all[HS256] = foreignKey{jwt.SigningMethodHS256, secret, map[string][]byte{"JWK": jwkOf(nil, octJWK)}, map[string][]byte{"JWK": jwkOf(nil, octJWK)}}
	return all
}

// Tokens that another program signs, which may give its key any name.
func TestForeignKeys(t *testing.T) {
	for a, f := range foreigners(t) {
		tok := jwt.NewWithClaims(f.method, jwt.MapClaims{"sub": "ada", "aud": []string{"eu-1", "us-1"}, "exp": now.Unix() + 60, "jti": "n1", "iss": "https://login.example"})
		tok.Header["kid"] = "theirs"
		token, err := tok.SignedString(f.key)
		if err != nil {
			t.Fatal(err)
		}
		check := func(form string, key Key, err error) {
			t.Helper()
			if err != nil || key.Algorithm() != a {
				t.Errorf("%s, %s: %v, %s", a, form, err, key.Algorithm())
				return
			}
			other := newSigner(t, EdDSA) // a second key, so that the id counts
			for _, keys := range [][]Key{{key}, {other.Key(), key.WithID("theirs")}} {
				v := Verifier{Keys: keys, Audience: "eu-1"}
				if c, err := v.Verify(now, token); err != nil || c.Subject != "ada" {
					t.Errorf("%s, %s, %d keys: %v", a, form, len(keys), err)
				}
			}
			if key.ID() == "" || strings.Contains(form, "JWK") != (key.ID() == "theirs") && form != "padded" {
				t.Errorf("%s, %s: id %q", a, form, key.ID())
			}
			text, err := key.PEM()
			if again, err2 := ParseKey(text); err != nil || err2 != nil || again.Algorithm() != a {
				t.Errorf("%s, %s as PEM: %v, %v", a, form, err, err2)
			}
		}
		for form, text := range f.public {
			key, err := ParseKey(text)
			check(form, key, err)
			if _, err := ParseSigner(text); a != HS256 && err != errPublic {
				t.Errorf("%s, %s: ParseSigner of a public key: %v, want errPublic", a, form, err)
			}
		}
		for form, text := range f.private {
			key, err := ParseKey(text)
			check(form, key, err)
			s, err := ParseSigner(text)
			if err != nil {
				t.Errorf("%s, %s: %v", a, form, err)
				continue
			}
			v := Verifier{Keys: []Key{key}, Audience: "eu-1"}
			if _, err := v.Verify(now, sign(t, s, nil)); err != nil {
				t.Errorf("%s, %s: own token: %v", a, form, err)
			}
			if text, err := s.PEM(); err != nil {
				t.Error(err)
			} else if again, err := ParseSigner(text); err != nil || again.Key().Algorithm() != a {
				t.Errorf("%s, %s as PEM: %v", a, form, err)
			}
		}
	}
}

// Which key is meant, where there are several, or one of another name.
func TestWhichKeyIsMeant(t *testing.T) {
	a, b := newSigner(t, EdDSA).WithID("a"), newSigner(t, EdDSA)
	for _, c := range []struct {
		name  string
		token string
		keys  []Key
		want  error
	}{
		{"the id that was set", sign(t, a, nil), []Key{a.Key(), b.Key()}, nil},
		{"another id and one key", sign(t, a, nil), []Key{a.Key().WithID("c")}, nil},
		{"another id and several keys", sign(t, a, nil), []Key{a.Key().WithID("c"), b.Key()}, errUnknownKey},
		{"another id and another key", sign(t, a, nil), []Key{b.Key()}, errUnknownKey},
		{"another id and another algorithm", sign(t, a, nil), []Key{newSigner(t, ES256).Key()}, errUnknownKey},
		{"the right id of another key", sign(t, a, nil), []Key{b.Key().WithID("a")}, errForged},
		{"the right id of another algorithm", sign(t, a, nil), []Key{newSigner(t, ES256).Key().WithID("a")}, errAlgorithm},
		{"no id", sign(t, a.WithID(""), nil), []Key{b.Key(), a.Key()}, nil},
		{"the id of another of ours", sign(t, b.WithID("a"), nil), []Key{a.Key(), b.Key()}, errForged},
		{"two of one id", sign(t, a, nil), []Key{b.Key().WithID("a"), a.Key()}, nil},
		{"another id and one key, expired", sign(t, a, func(c *Claims) { c.Expires = now.Add(-time.Minute) }), []Key{a.Key().WithID("c")}, ErrExpired},
		{"another id and one key, for others", sign(t, a, func(c *Claims) { c.Audience = "us-1" }), []Key{a.Key().WithID("c")}, errAudience},
	} {
		v := Verifier{Keys: c.keys, Audience: "eu-1"}
		if _, err := v.Verify(now, c.token); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// A token is good once, whatever it calls the key.
	v, u := Verifier{Keys: []Key{a.Key()}, Audience: "eu-1"}, Used{}
	for i, s := range []Signer{a, a.WithID("c"), a.WithID("")} {
		c, err := v.Verify(now, sign(t, s, nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Spend(now, c); (err == nil) != (i == 0) {
			t.Errorf("key %q: Spend: %v, want nil only for the first", s.Key().ID(), err)
		}
	}
	// One of another key is another one, though the names of both are the same.
	u = Used{}
	for i, s := range []Signer{a, b, a, b} {
		v := Verifier{Keys: []Key{a.Key(), b.Key()}, Audience: "eu-1"}
		c, err := v.Verify(now, sign(t, s, nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Spend(now, c); (err == nil) != (i < 2) {
			t.Errorf("token %d of key %q: Spend: %v, want nil for the first two", i, s.Key().ID(), err)
		}
	}
	// If the token names no key, the order in which the keys are tried does not matter.
	u = Used{}
	for i, keys := range [][]Key{{a.Key(), b.Key()}, {b.Key(), a.Key()}} {
		v := Verifier{Keys: keys, Audience: "eu-1"}
		c, err := v.Verify(now, sign(t, a.WithID(""), nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Spend(now, c); (err == nil) != (i == 0) {
			t.Errorf("order %d of the keys: Spend: %v, want nil only for the first", i, err)
		}
	}
}

func TestKeySets(t *testing.T) {
	all := foreigners(t)
	usable := string(all[RS256].public["JWK"]) + "," + string(all[ES256].public["JWK"])
	set := `{"keys":[` + usable + `,{"kty":"RSA","use":"enc","n":"AQ","e":"AQAB"},{"kty":"EC","crv":"P-521"},{"kty":"new"}]}`
	keys, err := ParseKeys([]byte("\n" + set))
	if err != nil || len(keys) != 2 || keys[0].Algorithm() != RS256 || keys[1].Algorithm() != ES256 {
		t.Errorf("%d keys, %v; want RS256 and ES256", len(keys), err)
	}
	if _, err := ParseKey([]byte(set)); err == nil || !strings.Contains(err.Error(), "ParseKeys") {
		t.Errorf("ParseKey of two keys: %v, want an error that names ParseKeys", err)
	}
	pems := append(all[RS256].public["PKIX"], all[RS256].public["certificate"]...)
	if keys, err := ParseKeys(pems); err != nil || len(keys) != 2 {
		t.Errorf("%d keys of two blocks, %v; want 2", len(keys), err)
	}
}

func TestWhatIsNoKey(t *testing.T) {
	all := foreigners(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der384, err384 := x509.MarshalECPrivateKey(p384)
	odd := new(big.Int).SetBit(big.NewInt(1), 8192, 1)
	der8193, err8193 := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: odd, E: 65537})
	jwkOf := func(edit string) string {
		return strings.Replace(string(all[ES256].private["JWK"]), `"kty":"EC"`, edit, 1)
	}
	for name, text := range map[string]string{
		"nothing":            "",
		"empty JSON":         "{}",
		"an empty set":       `{"keys":[]}`,
		"a set of strangers": `{"keys":[{"kty":"new"}]}`,
		"broken JSON":        `{"kty":`,
		"RSA of 1024 bits":   string(block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small), nil)),
		"JWK of 1024 bits":   fmt.Sprintf(`{"kty":"RSA","n":"%s","e":"AQAB"}`, b64(small.N.Bytes())),
		"RSA of even e":      strings.Replace(string(all[RS256].public["JWK"]), `"e":"AQAB"`, `"e":"AQAA"`, 1),
		"P-384":              string(block("EC PRIVATE KEY", der384, err384)),
		"for encryption":     jwkOf(`"kty":"EC","use":"enc"`),
		"another algorithm":  jwkOf(`"kty":"EC","alg":"ES384"`),
		"a point of nowhere": strings.Replace(string(all[ES256].public["JWK"]), `"x":"`, `"x":"AAAA`, 1),
		"a short secret":     `{"kty":"oct","k":"AAAA"}`,
		"encrypted":          string(block("ENCRYPTED PRIVATE KEY", []byte{1}, nil)),
		"a broken one":       string(block("CERTIFICATE", []byte{1}, nil)),
		"another PEM block":  string(block("CERTIFICATE REQUEST", []byte{1}, nil)),
		"a broken JWK":       `{"kty":7}`,
		"a strange JWK":      `{"kty":"new"}`,
		"RSA of 8193 bits":   string(block("PUBLIC KEY", der8193, err8193)),
	} {
		if _, err := ParseKey([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "auth: ") {
			t.Errorf("%s: ParseKey: %v, want an error", name, err)
		}
		if s, err := ParseSigner([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "auth: ") || s.public.key != nil {
			t.Errorf("%s: ParseSigner: %v, want an error and no signer", name, err)
		}
	}
	keys := `{"keys":[` + string(all[ES256].public["JWK"]) + `]`
	for text, want := range map[string]bool{keys + "}": true, keys + `,"kty":7}`: false} {
		if got, err := ParseKeys([]byte(text)); (err == nil) != want || (len(got) == 1) != want {
			t.Errorf("%s: %d keys, %v; want one: %v", text, len(got), err, want)
		}
	}
	// The halves of two keys.
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := second.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var ec map[string]any
	json.Unmarshal(all[ES256].private["JWK"], &ec)
	ec["d"] = b64(scalar)
	text, _ := json.Marshal(ec)
	if _, err := ParseSigner(text); err == nil {
		t.Error("a signer of two halves of different P-256 keys is accepted")
	}
	x := strings.Replace(string(all[EdDSA].private["JWK"]), `"d":"`, `"d":"AAAA`, 1)
	if _, err := ParseSigner([]byte(x)); err == nil {
		t.Error("a private half of a wrong length is accepted")
	}
	_, other, _ := ed25519.GenerateKey(rand.Reader)
	var j map[string]any
	json.Unmarshal(all[EdDSA].private["JWK"], &j)
	j["d"] = b64(other.Seed())
	b, _ := json.Marshal(j)
	if _, err := ParseSigner(b); err == nil {
		t.Error("a signer of two halves of different keys is accepted")
	}
}

func FuzzParseKeys(f *testing.F) {
	for name, a := range foreigners(f) {
		for _, text := range a.private {
			if name != RS256 { // whose private keys take long to check
				f.Add(text)
			}
		}
		for _, text := range a.public {
			f.Add(text)
		}
	}
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
	f.Add([]byte(`{"kty":"oct","kid":"` + strings.Repeat("<", 3000) + `","k":"` + strings.Repeat("A", 44) + `"}`)) // it does not fit a token
	f.Add([]byte(`{"kty":"oct","kid":"` + strings.Repeat("<", 256) + `","k":"` + strings.Repeat("A", 44) + `"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if (len(keys) == 0) == (err == nil) {
			t.Fatalf("%d keys, %v; want keys or an error", len(keys), err)
		}
		s, err := ParseSigner(text)
		if err == nil {
			if _, err := s.Sign(now, good()); err != nil {
				t.Fatalf("Sign of a parsed signer: %v, want nil", err)
			}
		}
	})
}
