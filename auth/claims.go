package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// names are the members of a token's header and claims that readers use.
var names = [2][]string{
	{"alg", "kid", "crit", "typ", "cty"},
	{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "data"},
}

// unambiguous reports whether every reader of a token finds the same values in it. Package
// json uses the last of several members with one name, and does not distinguish names by
// case. If a signer lets a player add a member to a token, the player could otherwise
// choose the "sub".
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

// once reports whether the names of the members of a JSON object differ, and no name
// differs from a known one only in case.
func once(object []byte, known []string) bool {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, _ := d.Token(); t != json.Delim('{') {
		return false
	}
	seen := make(map[string]bool)
	for d.More() {
		t, _ := d.Token()
		name, _ := t.(string) // if there is no name, Decode fails below
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
