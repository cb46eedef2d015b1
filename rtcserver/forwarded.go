package rtcserver

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// maxHops limits the entries of X-Forwarded-For that are read.
const maxHops = 32

// A forwarding records which problems of X-Forwarded-For were logged: each is logged once.
type forwarding struct {
	unnamed, missing, malformed atomic.Bool
}

// clientAddr returns the address of the page. It reads X-Forwarded-For only if the request
// came from a trusted proxy: from right to left, up to the first address that is not a
// trusted proxy.
//
// It does not read the header Forwarded (RFC 7239). Proxies that write X-Forwarded-For pass
// on a Forwarded of the client, and the server cannot know which of the two the proxy has
// written.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	from, _ := hopAddr(r.RemoteAddr)
	if !s.trusts(from) {
		if !from.IsValid() && !s.forwarding.unnamed.Swap(true) {
			s.config.Logger.Warn("rtcserver: a request has no IP address, for example because it came through a Unix socket: all such requests count as one address in MaxPerIP and MaxOffers; set Config.TrustUnixSocket if a proxy sends them",
				"remote", shorten(r.RemoteAddr))
		}
		return from
	}
	lines := r.Header.Values("X-Forwarded-For")
	if len(lines) == 0 {
		if !s.forwarding.missing.Swap(true) {
			s.config.Logger.Warn("rtcserver: a trusted proxy sends no X-Forwarded-For: all its pages count as one address", "proxy", shorten(r.RemoteAddr))
		}
		return from
	}
	hops := 0
	for _, line := range slices.Backward(lines) {
		for line != "" && s.trusts(from) {
			i := strings.LastIndexByte(line, ',')
			hop := strings.TrimSpace(line[i+1:])
			line = line[:max(i, 0)]
			if hops++; hops > maxHops {
				return from
			}
			if hop == "" {
				continue // RFC 9110, section 5.6.1.2: ignore empty elements of a list
			}
			a, ok := hopAddr(hop)
			if !ok {
				if !s.forwarding.malformed.Swap(true) {
					s.config.Logger.Warn("rtcserver: X-Forwarded-For has an entry that is not an address: such pages count under the address of the proxy before it",
						"hop", shorten(hop), "proxy", shorten(r.RemoteAddr))
				}
				return from
			}
			from = a
		}
	}
	return from
}

// The header with which a request asks for the address that the server counts it under, and the header
// of the answer. Command godwit-doctor uses both.
const (
	askSeen  = "Godwit-Doctor"
	tellSeen = "Godwit-Seen"
)

// seen returns the address of the page of a request as the server knows it, and how the server has found
// it: "203.0.113.7; forwarded=used". The address is that to which the answer goes or that of a proxy, so
// only a public one is named: otherwise there is the word loopback, private or unknown.
func (s *Server) seen(r *http.Request) string {
	from, _ := hopAddr(r.RemoteAddr)
	page := s.clientAddr(r)
	listed := len(r.Header.Values("X-Forwarded-For")) > 0
	how := "none" // no proxy, or one that is not known
	switch trusted := s.trusts(from); {
	case trusted && !listed:
		how = "missing"
	case trusted && page == from:
		how = "unusable" // no entry is the address of a page
	case trusted:
		how = "used"
	case listed:
		how = "ignored" // it comes from nobody in TrustedProxies
	}
	where := reachOf(page)
	if where == reachPublic {
		return page.String() + "; forwarded=" + how
	}
	return where.String() + "; forwarded=" + how
}

// hopAddr reads an address in every form that proxies write: with or without a port, IPv6
// with or without brackets, with a zone, in quotes. "unknown" is not an address.
func hopAddr(s string) (netip.Addr, bool) {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	if len(s) > 100 {
		return netip.Addr{}, false
	}
	host := s
	if inner, ok := strings.CutPrefix(s, "["); ok {
		literal, port, closed := strings.Cut(inner, "]")
		if !closed || port != "" && port[0] != ':' {
			return netip.Addr{}, false
		}
		host = literal
	} else if strings.Count(s, ":") == 1 {
		host, _, _ = strings.Cut(s, ":")
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap().WithZone(""), err == nil
}

// trusts reports whether a is a proxy whose X-Forwarded-For is used. An invalid a means a
// peer without an address, for example of a Unix socket.
func (s *Server) trusts(a netip.Addr) bool {
	if !a.IsValid() {
		return s.config.TrustUnixSocket
	}
	return slices.ContainsFunc(s.config.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// normalPrefixes returns the prefixes of a field of Config in the form in which addresses are
// compared with them.
func normalPrefixes(field string, list []netip.Prefix) (out []netip.Prefix, err error) {
	for _, p := range list {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		if !p.IsValid() {
			return nil, fmt.Errorf("rtcserver: Config.%s has an invalid prefix of the address %v", field, p.Addr())
		}
		out = append(out, p)
	}
	return out, nil
}
