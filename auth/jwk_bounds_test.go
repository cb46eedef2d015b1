package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"testing"
)

// What a JWK's members must be, at the value where it begins to matter.
func TestMembersOfJWKs(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	x, y := point[1:33], point[33:]
	modulus := func(bits int) string {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return b64(n.SetBit(n, 0, 1).Bytes())
	}
	even := new(big.Int).Lsh(big.NewInt(1), 2047)
	ec := map[string]string{"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)}
	rsa := map[string]string{"kty": "RSA", "n": modulus(2048), "e": "AQAB"}
	ed := map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(make([]byte, 32))}
	oct := map[string]string{"kty": "oct", "k": b64(make([]byte, minSecret))}
	with := func(m map[string]string, name, value string) map[string]string {
		m = maps.Clone(m)
		m[name] = value
		return m
	}
	for name, c := range map[string]struct {
		jwk  map[string]string
		want bool
	}{
		"P-256":                     {ec, true},
		"P-256 of another type":     {with(ec, "kty", "OKP"), false},
		"EC on another curve":       {with(ec, "crv", "P-384"), false},
		"a short x":                 {with(ec, "x", b64(x[1:])), false},
		"a long x":                  {with(with(ec, "x", b64(point[1:34])), "y", b64(y[1:])), false},
		"a short y":                 {with(ec, "y", b64(y[1:])), false},
		"no point of the curve":     {with(ec, "y", b64(x)), false},
		"RSA":                       {rsa, true},
		"RSA of 2,047 bits":         {with(rsa, "n", modulus(2047)), false},
		"RSA of 8,192 bits":         {with(rsa, "n", modulus(8192)), true},
		"RSA of 8,193 bits":         {with(rsa, "n", modulus(8193)), false},
		"RSA with an even modulus":  {with(rsa, "n", b64(even.Bytes())), false},
		"RSA with e 3":              {with(rsa, "e", b64([]byte{3})), true},
		"RSA with e 1":              {with(rsa, "e", b64([]byte{1})), false},
		"RSA with e 4":              {with(rsa, "e", b64([]byte{4})), false},
		"RSA with e of 31 bits":     {with(rsa, "e", b64([]byte{0x40, 0, 0, 1})), true},
		"RSA with e of 32 bits":     {with(rsa, "e", b64([]byte{0x80, 0, 0, 1})), false},
		"an id of 256 bytes":        {with(oct, "kid", strings.Repeat("x", 256)), true},
		"an id of 257 bytes":        {with(oct, "kid", strings.Repeat("x", 257)), false},
		"RSA without e":             {with(rsa, "e", ""), false},
		"a secret of 32 bytes":      {oct, true},
		"a secret of 31 bytes":      {with(oct, "k", b64(make([]byte, minSecret-1))), false},
		"for encryption":            {with(ec, "use", "enc"), false},
		"for another algorithm":     {with(ec, "alg", "RS256"), false},
		"an unknown type":           {with(ec, "kty", "XYZ"), false},
		"Ed25519":                   {ed, true},
		"Ed25519 of another length": {with(ed, "x", b64(make([]byte, 31))), false},
		"Ed25519 of another type":   {with(ed, "kty", "EC"), false},
		"X25519":                    {with(ed, "crv", "X25519"), false},
		"keys that are no list":     {with(ec, "keys", "none"), false},
	} {
		text, _ := json.Marshal(c.jwk)
		k, err := ParseKey(text)
		if (err == nil) != c.want || c.want != (k.key != nil) {
			t.Errorf("%s: %v, want it accepted: %v", name, err, c.want)
		}
	}
	for name, jwk := range map[string]map[string]string{
		"RSA without primes": with(rsa, "d", "AQAB"),
		"RSA without q":      with(with(rsa, "d", "AQAB"), "p", "AQAB"),
		"RSA without p":      with(with(rsa, "d", "AQAB"), "q", "AQAB"),
		"RSA of many primes": with(with(with(with(rsa, "d", "AQAB"), "p", "AQAB"), "q", "AQAB"), "oth", "x"),
	} {
		text, _ := json.Marshal(jwk)
		if _, err := ParseSigner(text); err == nil || !strings.Contains(err.Error(), `"p" and "q"`) {
			t.Errorf("%s: %v, want an error that names p and q", name, err)
		}
	}
	for name, jwk := range map[string]map[string]string{
		"RSA of wrong primes":       with(with(with(rsa, "d", "AQAB"), "p", "AQAB"), "q", "AQAB"),
		"P-256 without a key":       with(ec, "d", "AQAB"),
		"P-256 with another key's":  with(ec, "d", b64(make([]byte, 32))),
		"a signer of no known type": with(with(ec, "kty", "XYZ"), "d", "AQAB"),
		"a signer for encryption":   with(oct, "use", "enc"),
	} {
		text, _ := json.Marshal(jwk)
		if s, err := ParseSigner(text); err == nil || s.public.key != nil && s.key == nil {
			t.Errorf("%s: %v, want an error and no signer", name, err)
		}
	}
}
