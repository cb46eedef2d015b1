package rtcserver

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

func TestForwardedAddressesOfEveryForm(t *testing.T) {
	var text testkit.Log
	s := listen(t, Config{Settings: Settings{TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:172.16.0.0/108"), netip.MustParsePrefix("fe80::/10"),
	}}, Logger: text.Logger(slog.LevelDebug)})
	for _, c := range []struct{ remote, header, want string }{
		{"10.1.1.1:1", "203.0.113.7:51234", "203.0.113.7"},
		{"10.1.1.1:1", "2001:db8::1", "2001:db8::1"},
		{"10.1.1.1:1", "[2001:db8::1]", "2001:db8::1"},
		{"10.1.1.1:1", "[2001:db8::1]:443", "2001:db8::1"},
		{"10.1.1.1:1", `"[2001:db8::1]:443"`, "2001:db8::1"},
		{"10.1.1.1:1", `"203.0.113.7"`, "203.0.113.7"},
		{"10.1.1.1:1", "::ffff:203.0.113.7", "203.0.113.7"},
		{"10.1.1.1:1", "[::ffff:203.0.113.7]:80", "203.0.113.7"},
		{"10.1.1.1:1", "2001:db8::1%eth0", "2001:db8::1"},
		{"10.1.1.1:1", "198.51.100.1, [fe80::1%25eth0]:443, 10.2.2.2:80,", "198.51.100.1"},
		{"172.16.0.9:1", "203.0.113.7", "203.0.113.7"}, // of a prefix that is written as IPv6
		{"[fe80::1%eth0]:1", "203.0.113.7", "203.0.113.7"},
		{"10.1.1.1", "203.0.113.7", "203.0.113.7"}, // a program in front has changed RemoteAddr
		{"203.0.113.9", "", "203.0.113.9"},
		{"10.1.1.1:1", " , ,203.0.113.7, ,", "203.0.113.7"},
		{"10.1.1.1:1", "2001:db8::1%" + strings.Repeat("z", 100-len("2001:db8::1%")), "2001:db8::1"},
		{"10.1.1.1:1", "203.0.113.7" + strings.Repeat(",10.1.1.1", 31), "203.0.113.7"},
		{"10.1.1.1:1", "203.0.113.7" + strings.Repeat(",10.1.1.1", 32), "10.1.1.1"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = c.remote
		if c.header != "" {
			r.Header.Set("X-Forwarded-For", c.header)
		}
		if got := s.clientAddr(r); got != netip.MustParseAddr(c.want) {
			t.Errorf("%s with %s: %v, want %s", c.remote, c.header, got, c.want)
		}
	}
	if strings.Contains(text.String(), "WARN") {
		t.Errorf("an unexpected warning: %s", &text)
	}
	// What is none ends the search, and is logged once.
	for _, bad := range []string{"unknown", "_hidden", "203.0.113.7:51234, unknown", "2001:db8::1:x", "[203.0.113.7", "for=203.0.113.7", `"`, `1203.0.113.7"`, `"203.0.113.7x`, "[2001:db8::1]443",
		"2001:db8::1%" + strings.Repeat("z", 101-len("2001:db8::1%")), strings.Repeat("1", 1000)} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = "10.1.1.1:1"
		r.Header.Set("X-Forwarded-For", bad)
		if got := s.clientAddr(r); got != netip.MustParseAddr("10.1.1.1") {
			t.Errorf("X-Forwarded-For %.50s: the client's address is %v, want 10.1.1.1", bad, got)
		}
	}
	if got := text.String(); strings.Count(got, "WARN") != 1 || !strings.Contains(got, "hop=unknown") {
		t.Errorf("the log is %s, want one warning with hop=unknown", got)
	}
	// A proxy that says nothing makes all its pages one.
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr = "10.1.1.1:1"
	r.Header.Set("Forwarded", "for=203.0.113.7")
	for range 3 {
		s.clientAddr(r)
	}
	if got := text.String(); strings.Count(got, "sends no X-Forwarded-For") != 1 {
		t.Errorf("the log is %s, want one warning", got)
	}
	// Lines count in their order, and many hops are not asked.
	r.Header["X-Forwarded-For"] = []string{"198.51.100.1", "203.0.113.7", "10.3.3.3"}
	if got := s.clientAddr(r); got != netip.MustParseAddr("203.0.113.7") {
		t.Errorf("several header lines: the client's address is %v, want 203.0.113.7", got)
	}
	r.Header["X-Forwarded-For"] = []string{"203.0.113.7" + strings.Repeat(",10.1.1.1", 100_000)}
	if got := s.clientAddr(r); got != netip.MustParseAddr("10.1.1.1") {
		t.Errorf("many hops: the client's address is %v, want 10.1.1.1", got)
	}
	for prefix, c := range map[string]struct {
		remote string
		want   bool
	}{
		"::ffff:0.0.0.0/96": {"203.0.113.9:1", true},
		"::ffff:0.0.0.0/95": {"203.0.113.9:1", false}, // of IPv6 addresses, which a mapped one is none of
		"2001:db8::/112":    {"[2001:dead::1]:1", false},
		"2001:db8:1::/48":   {"[2001:db8:1:2::1]:1", true},
	} {
		s := listen(t, Config{Settings: Settings{TrustedProxies: []netip.Prefix{netip.MustParsePrefix(prefix)}}})
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		if got := s.clientAddr(r); (got == netip.MustParseAddr("198.51.100.1")) != c.want {
			t.Errorf("%s of %s: the client's address is %v, want that the header is used: %v", c.remote, prefix, got, c.want)
		}
	}
	for _, bad := range []netip.Prefix{{}, netip.PrefixFrom(netip.MustParseAddr("192.0.2.7"), 33)} {
		c := Config{Settings: Settings{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), bad}}}
		if err := c.setDefaults(); err == nil || !strings.Contains(err.Error(), "Config.TrustedProxies") || !strings.Contains(err.Error(), bad.Addr().String()) {
			t.Errorf("TrustedProxies with %v: %v, want an error that names both", bad.Addr(), err)
		}
	}
}

// A reverse proxy connects to a Unix socket, where it has no address.
func TestPagesBehindAUnixSocketAreToldApart(t *testing.T) {
	var text testkit.Log
	post := func(s *Server, forwarded string) int {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		web := &http.Server{Handler: s}
		go web.Serve(l)
		defer web.Close()
		c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
		defer c.CloseIdleConnections()
		r, _ := http.NewRequest(http.MethodPost, "http://game.example/", strings.NewReader(browserOffer(t)))
		r.Header.Set("X-Forwarded-For", forwarded)
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	s := listen(t, Config{Settings: Settings{MaxPerIP: 1, TrustUnixSocket: true}, Logger: text.Logger(slog.LevelDebug)})
	for _, c := range []struct {
		from   string
		status int
	}{{"203.0.113.7", 200}, {"203.0.113.8", 200}, {"203.0.113.7", 429}} {
		if got := post(s, c.from); got != c.status {
			t.Errorf("%s: %d, want %d", c.from, got, c.status)
		}
	}
	if strings.Contains(text.String(), "WARN") {
		t.Errorf("an unexpected warning: %s", &text)
	}
	// A peer that is not named a proxy is not believed, and the log says what it needs.
	s = listen(t, Config{Settings: Settings{MaxPerIP: 1}, Logger: text.Logger(slog.LevelDebug)})
	if first, second := post(s, "203.0.113.7"), post(s, "203.0.113.8"); first != 200 || second != 429 {
		t.Errorf("the statuses are %d and %d, want 200 and 429", first, second)
	}
	if got := text.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "set Config.TrustUnixSocket") {
		t.Errorf("the log is %s, want one warning that names Config.TrustUnixSocket", got)
	}
}

// A request that asks for it is told under which address it counts. Addresses of a private network, such as
// that of a proxy, are not named.
func TestARequestIsToldItsAddress(t *testing.T) {
	s := listen(t, Config{Settings: Settings{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, Logger: slog.New(slog.DiscardHandler)})
	for _, c := range []struct{ remote, header, want string }{
		{"203.0.113.9:1", "", "203.0.113.9; forwarded=none"},
		{"[2001:db8::9]:1", "", "2001:db8::9; forwarded=none"},
		{"192.168.1.9:1", "", "private; forwarded=none"},
		{"127.0.0.1:1", "", "loopback; forwarded=none"},
		{"@", "", "unknown; forwarded=none"},
		{"10.1.1.1:1", "", "private; forwarded=missing"},
		{"10.1.1.1:1", "203.0.113.7", "203.0.113.7; forwarded=used"},
		{"10.1.1.1:1", "192.168.1.9", "private; forwarded=used"},
		{"10.1.1.1:1", "unknown", "private; forwarded=unusable"},
		{"203.0.113.9:1", "203.0.113.7", "203.0.113.9; forwarded=ignored"},
		{"@", "203.0.113.7", "unknown; forwarded=ignored"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			r := httptest.NewRequest(method, "/", nil)
			r.RemoteAddr = c.remote
			if c.header != "" {
				r.Header.Set("X-Forwarded-For", c.header)
			}
			if got := testkit.Serve(s, r).Header().Get(tellSeen); got != "" {
				t.Errorf("%s that does not ask: %q", method, got)
			}
			r.Header.Set(askSeen, "1")
			if got := testkit.Serve(s, r).Header().Get(tellSeen); got != c.want {
				t.Errorf("%s from %s with %q: %q, want %q", method, c.remote, c.header, got, c.want)
			}
		}
	}
}
