package rtcserver

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/internal/hosts"
)

// An origin is a web origin.
type origin struct {
	scheme, name, port string // in lower case; port is empty for the default of the scheme
}

// parseOrigin reads an origin. Letters may be in upper case, and the port may be the
// default of the scheme.
func parseOrigin(s string) (o origin, ok bool) {
	scheme, host, _ := strings.Cut(s, "://") // hosts.Split refuses an empty host
	if scheme == "" || len(scheme) > 40 {
		return origin{}, false
	}
	o.scheme = strings.ToLower(scheme)
	if o.name, o.port, ok = hosts.Split(host); !ok {
		return origin{}, false
	}
	if o.port == ownPort(o.scheme) {
		o.port = ""
	}
	return o, true
}

// ownPort returns the default port of a scheme; empty if the scheme is not known.
func ownPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// String returns the normal form, in which origins are compared. It is not the form of a
// URL: IPv6 addresses have no brackets.
func (o origin) String() string { return o.scheme + "://" + o.name + " " + o.port }

// normalOrigins returns entries of Config.Origins in their normal form.
func normalOrigins(list []string) ([]string, error) {
	out := make([]string, 0, len(list))
	for _, s := range list {
		if s == "*" || s == "null" {
			out = append(out, s)
			continue
		}
		// "*." means all names below. It is removed here and added again after the scheme.
		plain, wild := s, false
		if scheme, host, ok := strings.Cut(s, "://*."); ok {
			plain, wild = scheme+"://"+host, true
		}
		o, ok := parseOrigin(plain)
		switch {
		case strings.Contains(plain, "*"):
			return nil, fmt.Errorf("rtcserver: Config.Origins has %q, but * is allowed only alone, for every origin, or for all names below one: https://*.game.example", s)
		case !ok:
			return nil, fmt.Errorf("rtcserver: Config.Origins has %q, but an origin is like https://game.example or https://game.example:8443, without a path, and in punycode (xn--) beyond ASCII", s)
		case wild && hosts.Fixed(o.name) && o.name != "localhost":
			return nil, fmt.Errorf("rtcserver: Config.Origins has %q, but an IP address has no names below it", s)
		}
		if wild {
			o.name = "*." + o.name
		}
		out = append(out, o.String())
	}
	return out, nil
}

// normalHosts returns entries of Config.Hosts in lower case.
func normalHosts(list []string) ([]string, error) {
	out := make([]string, 0, len(list))
	for _, s := range list {
		p := strings.ToLower(s)
		if !hosts.Valid(p) {
			return nil, fmt.Errorf("rtcserver: Config.Hosts has %q, but a host is a name like game.example or *.game.example, without a scheme or a port", s)
		}
		out = append(out, p)
	}
	return out, nil
}

// A grant says what pages of an origin may do.
type grant uint8

const (
	refusedOrigin grant = iota
	anyOrigin           // connect, without credentials: only "*" or "null" of Config.Origins allows the origin
	ownOrigin           // connect: the page is of this server's own host
	namedOrigin         // connect, with credentials: Config.Origins names the origin
)

// grantOf returns what pages of an origin may do.
func (s *Server) grantOf(r *http.Request, text string) grant {
	o, ok := parseOrigin(text)
	if ok {
		normal := o.String()
		for _, p := range s.config.Origins {
			if p == normal {
				return namedOrigin
			}
			// Without "://*." in p, scheme is all of p, which is not a scheme.
			if scheme, below, _ := strings.Cut(p, "://*."); scheme == o.scheme && strings.HasSuffix(normal, "."+below) {
				return namedOrigin
			}
		}
		if s.isOwn(r, o) {
			return ownOrigin
		}
	}
	if slices.Contains(s.config.Origins, "*") || text == "null" && slices.Contains(s.config.Origins, "null") {
		return anyOrigin
	}
	return refusedOrigin
}

// isOwn reports whether a page of origin o sends the request to its own origin. If the
// request goes to HTTPS or localhost, the browser says so in a header that no page can
// set. Otherwise isOwn compares the origin with the header Host, from which a proxy may
// have removed the port.
// https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
func (s *Server) isOwn(r *http.Request, o origin) bool {
	if len(s.config.Hosts) > 0 && !hosts.Fixed(o.name) && !hosts.Match(s.config.Hosts, o.name) {
		return false
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	name, port, _ := hosts.Split(r.Host) // name is empty if Host is malformed
	if port == ownPort(o.scheme) {
		port = ""
	}
	return name == o.name && (port == o.port || port == "")
}

// maxOrigin is the longest origin in bytes that is accepted and sent back. Browsers send
// shorter ones.
const maxOrigin = 300

// admitOrigin checks the header Origin of a browser and sets the headers of CORS. It
// returns a refusal for a foreign origin. To leave out the headers would not be enough: a
// browser sends a POST with text/plain without a preflight, so a page that may not read
// the answer could still make connections.
func (s *Server) admitOrigin(w http.ResponseWriter, r *http.Request) *StatusError {
	h := w.Header()
	h.Add("Vary", "Origin")
	text := r.Header.Get("Origin")
	if text == "" {
		return nil // not a browser, or a same-origin GET
	}
	g := s.grantOf(r, text)
	if g == refusedOrigin || len(text) > maxOrigin {
		return s.refuseOrigin(r, text)
	}
	h.Set("Access-Control-Allow-Origin", text)
	h.Set("Access-Control-Expose-Headers", "Retry-After")
	if g == namedOrigin {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method != http.MethodOptions {
		return nil
	}
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", allowedHeaders(r))
	h.Set("Access-Control-Max-Age", "86400")
	// A public page needs permission for a server in a private network, by the headers of
	// the draft and of its later name. Since version 142 Chromium asks its user instead.
	// https://wicg.github.io/private-network-access/#headers
	for _, network := range []string{"Private-Network", "Local-Network"} {
		if r.Header.Get("Access-Control-Request-"+network) == "true" && g != ownOrigin {
			h.Set("Access-Control-Allow-"+network, "true")
		}
	}
	return nil
}

// maxHeaders limits the names of headers that a preflight may ask for, in bytes.
const maxHeaders = 1 << 10

// allowedHeaders returns the headers that the page may send: those of this module's client
// and those that the preflight requests. A page that may connect may send any headers.
func allowedHeaders(r *http.Request) string {
	const always = "Content-Type, Authorization, Godwit-Authorization"
	asked := strings.Join(r.Header.Values("Access-Control-Request-Headers"), ", ")
	if asked == "" || len(asked) > maxHeaders || strings.ContainsFunc(asked, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_., ", c))
	}) {
		return always
	}
	return always + ", " + asked
}

// refuseOrigin returns a refusal, and logs a line, with the setting that would allow the
// page. The page cannot read the refusal, but the browser's developer tools show it.
func (s *Server) refuseOrigin(r *http.Request, text string) *StatusError {
	setting := "Config.Origins (of a godwit.Server: Config.RTC.Origins)"
	if o, _ := parseOrigin(text); len(s.config.Hosts) > 0 && !hosts.Match(s.config.Hosts, o.name) {
		if name, _, ok := hosts.Split(r.Host); ok && name == o.name {
			setting = "Config.Hosts (of a godwit.Server: Config.RTC.Hosts)"
		}
	}
	if s.originWarning.due(time.Now()) {
		s.config.Logger.Warn("rtcserver: a page of a foreign origin was refused: if it is yours, add it to "+setting,
			"origin", shorten(text), "host", shorten(r.Host), "remote", r.RemoteAddr)
	}
	return refuse(http.StatusForbidden, "origin", "origin "+shorten(text)+" is not allowed: add it to "+setting)
}

// A warning is logged at most once a minute, because strangers can cause it and could fill
// the log.
type warning struct{ last atomic.Int64 }

func (w *warning) due(now time.Time) bool { return w.follows(w.last.Load(), now) }

// follows reports whether one is due after the last one, and no other has come meanwhile.
func (w *warning) follows(last int64, now time.Time) bool {
	t := now.UnixNano()
	return t-last >= int64(time.Minute) && w.last.CompareAndSwap(last, t)
}
