package rtcserver

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
)

// maxHops limits how many proxies in a row are asked whom they had before them.
const maxHops = 32

// A forwarding says once each what is wrong with the addresses of pages.
type forwarding struct {
	unnamed, missing, malformed atomic.Bool
}

// clientAddr returns the address of the page. X-Forwarded-For is believed from
// trusted proxies only, right to left, up to the first address that is not one.
//
// The Forwarded header (RFC 7239) is not read: proxies that write X-Forwarded-For pass
// a stranger's Forwarded on, and which of the two is the proxy's own nobody can tell.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	from, _ := hopAddr(r.RemoteAddr)
	if !s.trusts(from) {
		if !from.IsValid() && !s.forwarding.unnamed.Swap(true) {
			s.config.Logger.Warn("rtcserver: a request came from no IP address, as through a Unix socket: all such count as one in MaxPerIP and MaxOffers; set Config.TrustUnixSocket if a proxy sends them",
				"remote", brief(r.RemoteAddr))
		}
		return from
	}
	lines := r.Header.Values("X-Forwarded-For")
	if len(lines) == 0 {
		if !s.forwarding.missing.Swap(true) {
			s.config.Logger.Warn("rtcserver: a trusted proxy sends no X-Forwarded-For: all its pages count as one address", "proxy", brief(r.RemoteAddr))
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
				continue // RFC 9110, section 5.6.1.2: an empty element of a list is none
			}
			a, ok := hopAddr(hop)
			if !ok {
				if !s.forwarding.malformed.Swap(true) {
					s.config.Logger.Warn("rtcserver: X-Forwarded-For has what is no address: such pages count as the proxy before it",
						"hop", brief(hop), "proxy", brief(r.RemoteAddr))
				}
				return from
			}
			from = a
		}
	}
	return from
}

// hopAddr reads an address in every form that proxies write: with a port or without, an
// IPv6 address in brackets or not, with a zone, in quotes. "unknown" is none.
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

// trusts reports whether a is a proxy whose X-Forwarded-For is believed. A peer that has no
// address is one of a Unix socket.
func (s *Server) trusts(a netip.Addr) bool {
	if !a.IsValid() {
		return s.config.TrustUnixSocket
	}
	return slices.ContainsFunc(s.config.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// normalProxies returns prefixes as trusts compares them, or the first that is none.
func normalProxies(list []netip.Prefix) (out []netip.Prefix, bad netip.Prefix, ok bool) {
	for _, p := range list {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		if !p.IsValid() {
			return nil, p, false
		}
		out = append(out, p)
	}
	return out, netip.Prefix{}, true
}
