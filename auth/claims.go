package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// names are those members of a token's header and claims that somebody reads.
var names = [2][]string{
	{"alg", "kid", "crit", "typ", "cty"},
	{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "data"},
}

// unambiguous reports whether every reader of a token finds the same in it. JSON takes
// the last of members of one name, and those whose names differ in case for one: who
// lets a player put a member of his own into a token, would let him choose his "sub".
//
// https://www.rfc-editor.org/rfc/rfc7519.html#section-4
func unambiguous(token string) bool {
	for _, known := range names {
		part, rest, _ := strings.Cut(token, ".")
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || !once(b, known) {
			return false
		}
		token = rest
	}
	return true
}

// once reports whether the members of a JSON object have names of their own, and no name
// differs from a known one in case only.
func once(object []byte, known []string) bool {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, _ := d.Token(); t != json.Delim('{') {
		return false
	}
	seen := make(map[string]bool)
	for d.More() {
		t, _ := d.Token()
		name, _ := t.(string) // without one there is no value either
		if seen[name] {
			return false
		}
		seen[name] = true
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return false
			}
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return false
		}
	}
	return true
}
