package auth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"flag"
	mrand "math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var now = time.Unix(1_800_000_000, 0)

func newSigner(t testing.TB, a Algorithm) Signer {
	t.Helper()
	s, err := Generate(a, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func good() Claims {
	return Claims{Subject: "ada", Audience: "eu-1", ID: "n1", Expires: now.Add(time.Minute), Data: json.RawMessage(`{"skin":3}`)}
}

func sign(t testing.TB, s Signer, edit func(*Claims)) string {
	t.Helper()
	c := good()
	if edit != nil {
		edit(&c)
	}
	text, err := s.Sign(now, c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTokensOfEveryAlgorithm(t *testing.T) {
	for _, a := range []Algorithm{EdDSA, ES256, HS256} {
		s := newSigner(t, a)
		v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
		if err := v.Validate(); err != nil {
			t.Fatal(err)
		}
		c, err := v.Verify(now, sign(t, s, nil))
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		if c.Subject != "ada" || c.ID != "n1" || string(c.Data) != `{"skin":3}` || !c.Expires.Equal(now.Add(time.Minute)) {
			t.Errorf("%s: the claims are %+v", a, c)
		}
	}
}

func TestKeysSurviveAsPEM(t *testing.T) {
	for _, a := range []Algorithm{EdDSA, ES256, HS256} {
		s := newSigner(t, a)
		private, _ := s.PEM()
		public, _ := s.Key().PEM()
		again, err := ParseSigner(private)
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		key, err := ParseKey(public)
		if err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		v := Verifier{Keys: []Key{key}, Audience: "eu-1"}
		if _, err := v.Verify(now, sign(t, again, nil)); err != nil || key.ID() != s.Key().ID() || key.Algorithm() != a {
			t.Errorf("%s: %v; the key has the id %v, want %v", a, err, key.ID(), s.Key().ID())
		}
	}
	for _, bad := range []string{"", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if _, err := ParseKey([]byte(bad)); err == nil {
			t.Errorf("ParseKey accepts %q", bad)
		}
	}
	if _, err := Secret(make([]byte, 31)); err == nil {
		t.Error("a secret of 31 bytes is accepted")
	}
}

func TestRefusals(t *testing.T) {
	s, other := newSigner(t, EdDSA), newSigner(t, EdDSA)
	token := sign(t, s, nil)
	parts := strings.Split(token, ".")
	part := func(i int, v any) string {
		b, _ := json.Marshal(v)
		p := append([]string{}, parts...)
		p[i] = base64.RawURLEncoding.EncodeToString(b)
		return strings.Join(p, ".")
	}
	public, _ := s.Key().PEM()
	confused := func() string { // signed with the public key as if it were a secret
		tok := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
			Subject: "ada", Audience: jwt.ClaimStrings{"eu-1"}, ID: "x", ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute))})
		tok.Header["kid"] = s.Key().ID()
		text, _ := tok.SignedString(public)
		return text
	}
	for _, c := range []struct {
		name  string
		token string
		want  *Error
	}{
		{"none", "", ErrMissing},
		{"garbage", "garbage", errMalformed},
		{"truncated", token[:len(token)-30], errForged},
		{"truncated to two parts", parts[0] + "." + parts[1], errMalformed},
		{"a line break at its end", token + "\n", errMalformed},
		{"a line break within", token[:len(token)-9] + "\r" + token[len(token)-9:], errMalformed},
		{"huge", strings.Repeat("a", MaxToken+1), errMalformed},
		{"other claims", part(1, map[string]any{"sub": "eve", "aud": "eu-1", "exp": now.Unix() + 9, "jti": "1"}), errForged},
		{"algorithm none", part(0, map[string]string{"alg": "none", "kid": s.Key().ID()}), errForged},
		{"another algorithm", confused(), errAlgorithm},
		{"another key", sign(t, other, nil), errUnknownKey},
		{"expired", sign(t, s, func(c *Claims) { c.Expires = now.Add(-31 * time.Second) }), ErrExpired},
		{"valid for a year", sign(t, s, func(c *Claims) { c.Expires = now.Add(365 * 24 * time.Hour) }), errLifetime},
		{"another server's", sign(t, s, func(c *Claims) { c.Audience = "us-1" }), errAudience},
		{"no id", sign(t, s, func(c *Claims) { c.ID = "" }), errID},
	} {
		v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
		if _, err := v.Verify(now, c.token); err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Claims and headers of other signers than ours, which hold whatever JSON can.
func TestStrangeTokens(t *testing.T) {
	s := newSigner(t, HS256)
	const plain = `"sub":"ada","jti":"n1","aud":"eu-1","exp":1800000060`
	with := func(member string) string { // in place of the plain one
		name, _, _ := strings.Cut(member, ":")
		var b strings.Builder
		for m := range strings.SplitSeq(plain, ",") {
			if strings.HasPrefix(m, name+":") {
				m = member
			}
			b.WriteString("," + m)
		}
		return b.String()[1:]
	}
	head := func(more string) string { return `{"alg":"HS256","kid":"` + s.Key().ID() + `"` + more + `}` }
	for _, c := range []struct {
		header, claims string
		want           error
	}{
		{head(""), plain, nil},
		{`{"alg":"HS256"}`, plain, nil},
		{`{"alg":"HS256","kid":7}`, plain, nil},
		{`{"alg":"HS256","kid":"other"}`, plain, nil}, // there is one key only
		{`{"alg":"hs256"}`, plain, errAlgorithm},
		{`{"alg":["HS256"]}`, plain, errAlgorithm},
		{`{"alg":"none"}`, plain, errForged},
		{`null`, plain, errAlgorithm},
		{head(`,"alg":"none"`), plain, errForged},
		{head(`,"crit":["exp"]`), plain, errMalformed},
		{head(`,"crit":["b64"],"b64":false`), plain, errMalformed},
		{head(""), `"sub":"ada","jti":"n1","aud":"eu-1"`, errMalformed},
		{head(""), with(`"exp":null`), errMalformed},
		{head(""), with(`"exp":true`), errMalformed},
		{head(""), with(`"exp":[1800000060]`), errMalformed},
		{head(""), with(`"exp":1800000060.9`), nil},
		{head(""), with(`"exp":-1`), ErrExpired},
		{head(""), with(`"exp":1800000060000`), errLifetime},
		{head(""), with(`"exp":1e300`), ErrExpired},
		{head(""), with(`"exp":1e400`), errMalformed},
		{head(""), plain + `,"nbf":1800000031`, errNotYet},
		{head(""), plain + `,"nbf":1e18`, errNotYet},
		{head(""), plain + `,"nbf":1e300`, errMalformed},
		{head(""), plain + `,"iat":1e300`, errMalformed},
		{head(""), plain + `,"nbf":1,"iat":1`, nil},
		{head(""), plain + `,"nbf":-1`, errMalformed},
		{head(""), plain + `,"nbf":0,"iat":0`, map[int]error{32: errMalformed, 64: nil}[strconv.IntSize]}, // as issuers write it that set no date
		{head(""), plain + `,"iat":"today"`, errMalformed},
		{head(""), with(`"aud":["us-1","eu-1"]`), nil},
		{head(""), with(`"aud":["us-1","EU-1",""]`), errAudience},
		{head(""), with(`"aud":["eu-1",7]`), errMalformed},
		{head(""), with(`"aud":{"eu-1":1}`), errMalformed},
		{head(""), with(`"sub":""`), errSubject},
		{head(""), with(`"sub":7`), errMalformed},
		{head(""), with(`"jti":"` + strings.Repeat("x", 257) + `"`), errID},
		{head(""), with(`"jti":7`), errMalformed},
		{head(""), plain + `,"data":"` + strings.Repeat("x", 1023) + `"`, errData},
		// Two readers of these would not find the same.
		{head(""), plain + `,"sub":"eve"`, errClaims},
		{head(""), plain + `,"Sub":"eve"`, errClaims},
		{head(""), plain + `,"SUB":"eve"`, errClaims},
		{head(""), plain + `,"s\u0075b":"eve"`, errClaims},
		{head(""), plain + `,"\u017fub":"eve"`, errClaims}, // long s, which JSON folds to s
		{head(""), `"SUB":"eve","jti":"n1","aud":"eu-1","exp":1800000060`, errClaims},
		{head(""), plain + `,"exp":1800000061`, errClaims},
		{head(""), plain + `,"Exp":1800000061`, errClaims},
		{head(""), plain + `,"aud":"eu-1"`, errClaims},
		{head(""), plain + `,"AUD":"eu-1"`, errClaims},
		{head(""), plain + `,"jti":"n2"`, errClaims},
		{head(""), plain + `,"Jti":"n2"`, errClaims},
		{head(""), plain + `,"Nbf":1`, errClaims},
		{head(""), plain + `,"Data":{"skin":4}`, errClaims},
		{head(""), plain + `,"data":1,"data":2`, errClaims},
		{head(""), plain + `,"role":"a","role":"b"`, errClaims},
		{head(`,"kid":"` + s.Key().ID() + `"`), plain, errClaims},
		{head(`,"Alg":"none"`), plain, errClaims},
		{head(`,"Crit":["exp"]`), plain, errClaims},
		{head(""), plain + `,"role":"a","Role":"b","data":{"a":1,"a":2,"sub":"x"}`, nil}, // nobody here reads these
	} {
		text := base64.RawURLEncoding.EncodeToString([]byte(c.header)) + "." + base64.RawURLEncoding.EncodeToString([]byte("{"+c.claims+"}"))
		sum, err := jwt.SigningMethodHS256.Sign(text, s.key)
		if err != nil {
			t.Fatal(err)
		}
		v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
		if _, err := v.Verify(now, text+"."+base64.RawURLEncoding.EncodeToString(sum)); err != c.want {
			t.Errorf("%s {%.100s}: %v, want %v", c.header, c.claims, err, c.want)
		}
	}
}

// Members of one name are found in each part, whatever is around them.
func TestMembersAreFoundOnce(t *testing.T) {
	for object, want := range map[string]bool{
		`{}`:                    true,
		`{"sub":"ada","x":{}}`:  true,
		`{"sub":"ada","sub":1}`: false,
		`{"sub":"ada","Sub":1}`: false,
		`{"x":1,"X":2}`:         true,
		`{"x":1,"x":2}`:         false,
		`{"x":1,2:3}`:           false,
		`{"x":}`:                false,
		`{"x":1,"y":[}`:         false,
		`["sub"]`:               false,
		`"sub"`:                 false,
		``:                      false,
	} {
		if once([]byte(object), names[1]) != want {
			t.Errorf("%s: want %v", object, want)
		}
	}
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for token, want := range map[string]bool{
		part(`{"alg":"HS256"}`) + "." + part(`{"sub":"ada"}`) + ".x":       true,
		part(`{"alg":"HS256"}`) + "." + part(`{"sub":"ada"}`) + "!.x":      false,
		part(`{"alg":1,"alg":2}`) + "." + part(`{"sub":"ada"}`) + ".x":     false,
		part(`{"alg":1}`) + "." + part(`{"sub":"ada","sub":"eve"}`) + ".x": false,
		part(`{"alg":1}`): false,
	} {
		if unambiguous(token) != want {
			t.Errorf("%s: want %v", token, want)
		}
	}
}

func TestClocksMayDiffer(t *testing.T) {
	s := newSigner(t, HS256)
	v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
	token := sign(t, s, nil) // good from now, for a minute
	for _, c := range []struct {
		at   time.Duration
		want error
	}{
		{-31 * time.Second, errNotYet}, {-29 * time.Second, nil}, {89 * time.Second, nil}, {91 * time.Second, ErrExpired},
	} {
		if _, err := v.Verify(now.Add(c.at), token); err != c.want {
			t.Errorf("at %v: %v, want %v", c.at, err, c.want)
		}
	}
}

func TestTwoKeysWhileOneIsReplaced(t *testing.T) {
	old, next := newSigner(t, EdDSA), newSigner(t, ES256)
	v := Verifier{Keys: []Key{old.Key(), next.Key()}, Audience: "eu-1"}
	for _, s := range []Signer{old, next} {
		if _, err := v.Verify(now, sign(t, s, nil)); err != nil {
			t.Error(err)
		}
	}
	v.Keys = v.Keys[1:]
	if _, err := v.Verify(now, sign(t, old, nil)); err != errUnknownKey {
		t.Errorf("a token of the old key after the rotation: %v, want errUnknownKey", err)
	}
}

func TestUsed(t *testing.T) {
	u := Used{Max: 2}
	s := newSigner(t, HS256)
	v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
	spend := func(at time.Time, id string) error {
		c, err := v.Verify(now, sign(t, s, func(c *Claims) { c.ID = id }))
		if err != nil {
			t.Fatal(err)
		}
		return u.Spend(at, c)
	}
	for _, c := range []struct {
		at   time.Duration
		id   string
		want error
	}{
		{0, "a", nil}, {0, "a", ErrReplayed}, {0, "b", nil}, {0, "c", ErrBusy},
		{89 * time.Second, "a", ErrReplayed},                                     // a clock that lags would take it still
		{91 * time.Second, "c", ErrExpired}, {91 * time.Second, "a", ErrExpired}, // since it was verified
	} {
		if err := spend(now.Add(c.at), c.id); err != c.want {
			t.Errorf("%s at %v: %v, want %v", c.id, c.at, err, c.want)
		}
	}
	if u.Len() != 0 {
		t.Errorf("%d ids are stored, want 0", u.Len())
	}
	v.Skew = time.Minute // so the same is good for longer
	if err := spend(now.Add(91*time.Second), "a"); err != nil || u.Len() != 1 {
		t.Errorf("a token when there is room again: %v, want nil; %d ids are stored, want 1", err, u.Len())
	}
}

func TestSame(t *testing.T) {
	if !Same("open sesame", "open sesame") || Same("open sesam", "open sesame") || Same("", "open sesame") {
		t.Error("Same is wrong for equal or different secrets")
	}
}

// How many forgeries are tried: a million in the long run, fewer each time.
var forgeries = flag.Int("forgeries", 50_000, "forged tokens to try")

// TestForgeries changes tokens in many ways. No change may be accepted.
func TestForgeries(t *testing.T) {
	for a, n := range map[Algorithm]int{HS256: *forgeries, EdDSA: *forgeries / 50, ES256: *forgeries / 50} {
		t.Run(string(a), func(t *testing.T) {
			t.Parallel()
			s := newSigner(t, a)
			v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
			token := []byte(sign(t, s, nil))
			r := mrand.New(mrand.NewPCG(1, 2))
			b := make([]byte, 0, 2*len(token))
			for range n {
				b = mutate(r, append(b[:0], token...))
				if string(b) == string(token) {
					continue
				}
				if _, err := v.Verify(now, string(b)); err == nil {
					t.Fatalf("a changed token is accepted:\n%s\n%s", token, b)
				}
			}
		})
	}
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.="

func mutate(r *mrand.Rand, b []byte) []byte {
	for range 1 + r.IntN(3) {
		if len(b) < 2 {
			return b
		}
		i := r.IntN(len(b))
		switch r.IntN(6) {
		case 0, 1:
			b[i] = letters[r.IntN(len(letters))]
		case 2:
			b[i] ^= 1 << r.IntN(8)
		case 3:
			b = append(b[:i], b[i+1:]...)
		case 4:
			b = append(b[:i+1], b[i:]...)
		case 5:
			b = b[:max(1, i)]
		}
	}
	return b
}

func FuzzVerify(f *testing.F) {
	s, err := Secret(make([]byte, minSecret)) // the same in every process of the fuzzer: what it changes is a good token
	if err != nil {
		f.Fatal(err)
	}
	v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
	token := sign(f, s, nil)
	f.Add(token)
	f.Add(token + "\n")
	f.Add("a.b.c")
	f.Add(strings.ReplaceAll(token, "e", "E"))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := v.Verify(now, text); err == nil && text != token {
			t.Fatalf("the token %q is accepted", text)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, a := range []Algorithm{EdDSA, ES256, HS256} {
		s := newSigner(b, a)
		v := Verifier{Keys: []Key{s.Key()}, Audience: "eu-1"}
		token := sign(b, s, nil)
		b.Run(string(a), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(now, token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a program leaves out or gets wrong is told by its name.
func TestMistakesOfSigners(t *testing.T) {
	if _, err := Secret(make([]byte, minSecret-1)); err == nil || !strings.Contains(err.Error(), "31 bytes, but must have at least 32") {
		t.Errorf("a short secret: %v, want an error that names the limit", err)
	}
	s, err := Secret(make([]byte, minSecret))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(now, Claims{Subject: "ada"}); err == nil || !strings.Contains(err.Error(), "Claims.Expires") {
		t.Errorf("Sign without an expiry: %v, want an error that names Claims.Expires", err)
	}
}
