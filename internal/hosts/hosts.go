// Package hosts compares the host names by which browsers reach a server.
//
// It is for DNS rebinding: the DNS of an attacker's name answers with the address of
// this machine, so that for the browser the attacker's page has the same origin as this
// server. The server can detect it by the name in the headers Host and Origin. With an
// IP address or localhost the attack is not possible: no DNS of an attacker answers for
// them.
//
// The functions are pure. It is not a parser of URLs.
package hosts

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is the longest host with a port that Split reads, in bytes. A DNS name has at
// most 253.
const maxHost = 300

// Split returns the name and the port of a host, as in a Host header or an origin. The
// name is in lower case; an IP address is in its normal form and without brackets. The
// port is empty if there is none. ok is false if the host is malformed.
func Split(host string) (name, port string, ok bool) {
	if len(host) > maxHost {
		return "", "", false
	}
	name, port, hasPort := strings.Cut(host, ":")
	if inner, ok := strings.CutPrefix(host, "["); ok {
		literal, rest, closed := strings.Cut(inner, "]")
		a, _ := netip.ParseAddr(literal) // the zero Addr if literal is not an address
		behind, p, has := strings.Cut(rest, ":")
		if !closed || !a.Is6() || behind != "" {
			return "", "", false
		}
		name, port, hasPort = a.String(), p, has
	} else if name = strings.ToLower(name); !isName(name) {
		return "", "", false
	}
	if !hasPort {
		return name, "", true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", "", false
	}
	return name, strconv.FormatUint(n, 10), true
}

// isName reports whether s has only characters of names. Browsers write other names as
// xn--….
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return s != "" && s[0] != '.'
}

// Fixed reports whether no DNS of an attacker can answer for a name: it is an IP
// address, localhost, or a name below localhost.
func Fixed(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	name = strings.TrimSuffix(name, ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// Valid reports whether a pattern is valid for Match: a name in lower case without a
// port; "*." and a name, for all names below it; or "*", for every name.
func Valid(pattern string) bool {
	if pattern == "*" {
		return true
	}
	name, _, ok := Split(strings.TrimPrefix(pattern, "*."))
	return ok && name == strings.Trim(strings.TrimPrefix(pattern, "*."), "[]")
}

// Match reports whether one of the patterns matches a name.
func Match(patterns []string, name string) bool {
	for _, p := range patterns {
		if p == "*" || p == name || strings.HasPrefix(p, "*.") && len(name) > len(p)-1 && strings.HasSuffix(name, p[1:]) {
			return true
		}
	}
	return false
}
