// Package hosts compares the names under which a browser reached a server.
//
// DNS rebinding is the attack behind it: a page of a stranger's name, whose DNS then
// answers with this machine's address, is of the same origin as this server in the
// browser's eyes. What gives it away is the name, in the Host header and the Origin. An
// IP address and localhost are no such names: no stranger's DNS answers for them.
//
// The functions are pure. It is not a parser of URLs.
package hosts

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxHost is the longest host with a port that is taken apart, in bytes. A DNS name has
// 253 at most.
const maxHost = 300

// Split takes a host apart, as a Host header or an origin has it. The name is in lower
// case, an IP address in its normal form and without brackets; the port is empty if
// there is none. ok is false if the host is malformed.
func Split(host string) (name, port string, ok bool) {
	if len(host) > maxHost {
		return "", "", false
	}
	name, port, hasPort := strings.Cut(host, ":")
	if inner, ok := strings.CutPrefix(host, "["); ok {
		literal, rest, closed := strings.Cut(inner, "]")
		a, _ := netip.ParseAddr(literal) // zero if it is none
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

// isName reports whether s has characters of names only. Browsers write a name beyond
// ASCII as xn--….
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return s != "" && s[0] != '.'
}

// Fixed reports whether a name is one that no stranger's DNS answers for: an IP address,
// localhost, or a name below it.
func Fixed(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	name = strings.TrimSuffix(name, ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// Valid reports whether a pattern is one for Match: a name in lower case without a
// port, "*." and a name for all names below it, or "*" for any.
func Valid(pattern string) bool {
	if pattern == "*" {
		return true
	}
	name, _, ok := Split(strings.TrimPrefix(pattern, "*."))
	return ok && name == strings.Trim(strings.TrimPrefix(pattern, "*."), "[]")
}

// Match reports whether one of the patterns is for a name.
func Match(patterns []string, name string) bool {
	for _, p := range patterns {
		if p == "*" || p == name || strings.HasPrefix(p, "*.") && len(name) > len(p)-1 && strings.HasSuffix(name, p[1:]) {
			return true
		}
	}
	return false
}
