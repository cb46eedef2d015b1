package rtcserver

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// from sets the headers of a page's request: "Host" is the request's own.
func from(headers ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			if headers[i] == "Host" {
				r.Host = headers[i+1]
			} else {
				r.Header.Set(headers[i], headers[i+1])
			}
		}
	}
}

// Proxies write the Host in several forms, and some write their own.
func TestPagesOfThisServerAreKnownBehindProxies(t *testing.T) {
	s := listen(t, Config{})
	for _, c := range []struct {
		origin, host, site string
		status             int
	}{
		{"https://game.example", "game.example", "", 200},
		{"https://game.example", "game.example:443", "", 200},
		{"https://game.example:443", "game.example", "", 200},
		{"http://game.example", "game.example:80", "", 200},
		{"https://game.example:8443", "game.example:8443", "", 200},
		{"https://game.example:8443", "game.example", "", 200}, // as nginx's $host
		{"https://[2001:db8::1]", "[2001:db8:0::1]:443", "", 200},
		{"https://game.example", "127.0.0.1:8080", "same-origin", 200}, // as nginx without proxy_set_header
		{"https://game.example", "127.0.0.1:8080", "", 403},
		{"https://game.example:8443", "game.example:9443", "", 403},
		{"https://game.example", "game.example:8443", "", 403},
		{"http://game.example", "game.example:443", "", 403},
		{"https://game.example:8443", "game.example", "same-site", 403}, // the browser knows better
		{"https://evil.example", "game.example", "cross-site", 403},
		{"null", "null", "", 403},
		{"https://", "", "", 403},
		{"game.example", "game.example", "", 403},
		{"://game.example", "game.example", "", 403},
		{strings.Repeat("x", 40) + "://game.example", "game.example", "", 200},
		{strings.Repeat("x", 41) + "://game.example", "game.example", "", 403},
	} {
		edit := []string{"Origin", c.origin, "Host", c.host}
		if c.site != "" {
			edit = append(edit, "Sec-Fetch-Site", c.site)
		}
		if w := signal(t, s, browserOffer(t), from(edit...)); w.Code != c.status {
			t.Errorf("%s at %s, %q: %d, want %d", c.origin, c.host, c.site, w.Code, c.status)
		}
	}
}

func TestOriginsHaveANormalForm(t *testing.T) {
	s := listen(t, Config{Settings: Settings{Origins: []string{
		"https://site.example:443", "HTTP://Lobby.Example:080", "https://*.play.example", "http://*.localhost:3000", "https://[2001:DB8:0::1]", "capacitor://localhost",
	}}})
	for o, want := range map[string]int{
		"https://site.example":               200,
		"http://lobby.example":               200,
		"https://eu.play.example":            200,
		"https://a.b.play.example:443":       200,
		"http://a.localhost:3000":            200,
		"https://[2001:db8::1]":              200,
		"capacitor://localhost":              200,
		"http://site.example":                403,
		"https://site.example:8443":          403,
		"https://play.example":               403,
		"https://.play.example":              403,
		"https://evilplay.example":           403,
		"https://eu.play.example:8443":       403,
		"http://eu.play.example":             403,
		"https://play.example.evil.example":  403,
		"https://x.play.example.evil":        403,
		"http://a.localhost":                 403,
		"ftp://x://*.play.example":           403,
		"https://site.example.":              403,
		"https://u@site.example":             403,
		strings.Repeat("https://x", 100_000): 403,
	} {
		w := signal(t, s, browserOffer(t), from("Origin", o))
		if w.Code != want {
			t.Errorf("%.50s: %d, want %d", o, w.Code, want)
		}
	}
}

func TestHosts(t *testing.T) {
	s := listen(t, Config{Settings: Settings{Hosts: []string{"Game.example", "*.play.example"}, Origins: []string{"https://friend.example"}}})
	for _, c := range []struct {
		origin, host string
		status       int
	}{
		{"https://game.example", "game.example", 200},
		{"https://eu.play.example:8443", "eu.play.example:8443", 200},
		{"http://localhost:8080", "localhost:8080", 200},
		{"http://192.168.1.5:8080", "192.168.1.5:8080", 200},
		{"http://[::1]:8080", "[::1]:8080", 200},
		{"https://friend.example", "game.example", 200},
		{"http://rebound.example:8080", "rebound.example:8080", 403},
		{"http://rebound.example", "127.0.0.1:8080", 403}, // a proxy's Host
		{"http://play.example", "play.example", 403},
	} {
		for _, site := range []string{"", "same-origin"} {
			if site == "same-origin" && c.origin == "https://friend.example" {
				continue
			}
			w := signal(t, s, browserOffer(t), from("Origin", c.origin, "Host", c.host, "Sec-Fetch-Site", site))
			if w.Code != c.status {
				t.Errorf("%s at %s, %q: %d, want %d", c.origin, c.host, site, w.Code, c.status)
			}
		}
	}
	wantRefusal(t, signal(t, s, browserOffer(t), from("Origin", "http://rebound.example", "Host", "rebound.example")), 403, "Config.Hosts")
	wantRefusal(t, signal(t, s, browserOffer(t), from("Origin", "https://other.example")), 403, "Config.Origins")
	// Where the name is one of them, it is not Hosts that refuses the page.
	for _, c := range []struct {
		hosts              []string
		origin, host, want string
	}{
		{[]string{"game.example"}, "https://game.example:8443", "game.example:9443", "Config.Origins"},
		{[]string{"game.example"}, "https://other.example:8443", "other.example:9443", "Config.Hosts"},
		{[]string{"game.example"}, "://", "[", "Config.Origins"},
		{nil, "https://game.example:8443", "game.example:9443", "Config.Origins"},
	} {
		wantRefusal(t, signal(t, listen(t, Config{Settings: Settings{Hosts: c.hosts}}), browserOffer(t), from("Origin", c.origin, "Host", c.host)), 403, c.want)
	}
	for _, bad := range []string{"https://game.example", "game.example:443", "", "a.*.example", "müller.example"} {
		c := Config{Settings: Settings{Hosts: []string{bad}}}
		if err := c.setDefaults(); err == nil || !strings.Contains(err.Error(), "Config.Hosts has") {
			t.Errorf("Config.Hosts with %q: %v, want an error", bad, err)
		}
	}
}

// The log names a refused origin and the setting that would allow it. Unauthenticated requests
// do not fill the log.
func TestRefusedOriginsAreLogged(t *testing.T) {
	var text testkit.Log
	s := listen(t, Config{Logger: text.Logger(slog.LevelDebug)})
	for range 100 {
		wantRefusal(t, signal(t, s, browserOffer(t), from("Origin", "https://pages.example")), 403, "Config.RTC.Origins")
	}
	if n := strings.Count(text.String(), "level=WARN"); n != 1 || !strings.Contains(text.String(), "origin=https://pages.example") ||
		!strings.Contains(text.String(), "Config.RTC.Origins") {
		t.Errorf("%d warnings, want 1 with the origin: %.500s", n, &text)
	}
	if n := strings.Count(text.String(), `level=DEBUG msg="rtcserver: refused"`); n != 100 {
		t.Errorf("%d debug lines about refusals, want 100", n)
	}
	var w warning
	now := time.Unix(1000, 0)
	for i, want := range []bool{true, false, false, true, false} {
		if got := w.due(now.Add(time.Duration(i) * 20 * time.Second)); got != want {
			t.Errorf("after %d s a warning is due: %v, want %v", 20*i, got, want)
		}
	}
	// Of two at the same moment one is written.
	now, last := now.Add(time.Hour), w.last.Load()
	if first, second := w.follows(last, now), w.follows(last, now); !first || second {
		t.Errorf("two calls at the same time return %v and %v, want true and false", first, second)
	}
}

func TestCredentialsAreForOriginsThatAreNamed(t *testing.T) {
	for _, c := range []struct {
		origins []string
		origin  string
		want    string
	}{
		{[]string{"https://friend.example"}, "https://friend.example", "true"},
		{[]string{"*", "https://friend.example"}, "https://friend.example", "true"},
		{[]string{"https://*.friend.example"}, "https://a.friend.example", "true"},
		{[]string{"*"}, "https://friend.example", ""},
		{[]string{"null", "*"}, "null", ""},
		{nil, "http://game.example", ""}, // its own, which needs none
	} {
		s := listen(t, Config{Settings: Settings{Origins: c.origins}})
		for _, method := range []string{http.MethodOptions, http.MethodPost, http.MethodGet} {
			w := signal(t, s, browserOffer(t), func(r *http.Request) { r.Method = method; r.Header.Set("Origin", c.origin) })
			h := w.Header()
			if got := h.Get("Access-Control-Allow-Credentials"); got != c.want || h.Get("Access-Control-Allow-Origin") != c.origin {
				t.Errorf("%v, %s of %s: credentials %q, want %q; origin %q, want %q", c.origins, method, c.origin, got, c.want, h.Get("Access-Control-Allow-Origin"), c.origin)
			}
			if got := h.Get("Access-Control-Expose-Headers"); got != "Retry-After" {
				t.Errorf("%s: the exposed headers are %q, want Retry-After", method, got)
			}
		}
	}
}

func TestPreflightsOfOwnHeadersAndPrivateNetworks(t *testing.T) {
	s := listen(t, Config{Settings: Settings{Origins: []string{"https://friend.example"}}})
	ask := func(edit ...string) http.Header {
		return signal(t, s, "", func(r *http.Request) {
			r.Method = http.MethodOptions
			from(append([]string{"Origin", "https://friend.example"}, edit...)...)(r)
		}).Header()
	}
	const always = "Content-Type, Authorization, Godwit-Authorization"
	for asked, want := range map[string]string{
		"":                        always,
		"x-build, x-client_name":  always + ", x-build, x-client_name",
		"x\r\nset-cookie: a":      always,
		strings.Repeat("x,", 600): always,
	} {
		if got := ask("Access-Control-Request-Headers", asked).Get("Access-Control-Allow-Headers"); got != want {
			t.Errorf("request for the headers %.40q: %q are allowed, want %q", asked, got, want)
		}
	}
	for _, c := range "azAZ09-_., " {
		if got := ask("Access-Control-Request-Headers", "x"+string(c)+"x").Get("Access-Control-Allow-Headers"); got != always+", x"+string(c)+"x" {
			t.Errorf("request for a header with %q: %q are allowed", c, got)
		}
	}
	for _, c := range "`{@[/:\"\t;é" {
		if got := ask("Access-Control-Request-Headers", "x"+string(c)+"x").Get("Access-Control-Allow-Headers"); got != always {
			t.Errorf("request for a header with %q: %q are allowed, want only those that always are", c, got)
		}
	}
	for n, want := range map[int]bool{1024: true, 1025: false} {
		asked := strings.Repeat("x", n)
		if got := ask("Access-Control-Request-Headers", asked).Get("Access-Control-Allow-Headers"); strings.Contains(got, asked) != want {
			t.Errorf("request for %d bytes of headers: allowed %v, want %v", n, !want, want)
		}
	}
	if got := ask()["Vary"]; !slices.Equal(got, []string{"Origin", "Access-Control-Request-Headers"}) {
		t.Errorf("the answer to a preflight varies by %q, want Origin and Access-Control-Request-Headers", got)
	}
	if got := ask().Get("Access-Control-Allow-Private-Network"); got != "" {
		t.Errorf("private network without a request: %q, want nothing", got)
	}
	for _, n := range []string{"Private-Network", "Local-Network"} {
		if got := ask("Access-Control-Request-"+n, "true").Get("Access-Control-Allow-" + n); got != "true" {
			t.Errorf("%s: %q, want true", n, got)
		}
		if h := ask("Access-Control-Request-"+n, "true", "Origin", "https://evil.example"); h.Get("Access-Control-Allow-"+n) != "" {
			t.Errorf("%s is allowed for a foreign page", n)
		}
		// A page that says it is ours, from another network than we are in, may be rebound.
		if h := ask("Access-Control-Request-"+n, "true", "Origin", "http://game.example"); h.Get("Access-Control-Allow-"+n) != "" {
			t.Errorf("%s is allowed for a page of this host without TLS", n)
		}
	}
}

// curl and others use this Content-Type for any body. FormValue in Authorize does not consume
// the offer.
func TestTakesAnOfferThatIsCalledAForm(t *testing.T) {
	s := listen(t, Config{Authorize: func(r *http.Request) error {
		if r.FormValue("name") != "ada" {
			return errors.New("who are you?")
		}
		return nil
	}})
	form := func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.URL.RawQuery = "name=ada"
	}
	if w := signal(t, s, browserOffer(t), form); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// As curl --data @offer.sdp sends it.
	one := strings.NewReplacer("\r", "", "\n", "").Replace(browserOffer(t))
	wantRefusal(t, signal(t, s, one, form), http.StatusBadRequest, "--data-binary")
}

// The o= line of an answer does not show how many connections there were.
func TestSessionsOfAnswersAreNotCounted(t *testing.T) {
	s := listen(t, Config{})
	seen := make(map[string]bool)
	for range 4 {
		w := signal(t, s, browserOffer(t), from("Accept", "application/sdp"))
		_, rest, _ := strings.Cut(w.Body.String(), "o=- ")
		id, _, _ := strings.Cut(rest, " ")
		if seen[id] || len(id) < 10 {
			t.Errorf("the session id of o= is %q, want a new one of 10 digits at least", id)
		}
		seen[id] = true
	}
}

// A long origin is not sent back in full. If a browser says that a page is foreign, the server
// believes it.
func TestOriginsThatAreLongOrForeignByTheBrowsersWord(t *testing.T) {
	s := listen(t, Config{Settings: Settings{Origins: []string{"*"}}})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(browserOffer(t)))
	r.Header.Set("Origin", "https://"+strings.Repeat("x", 900_000))
	w := testkit.Serve(s, r)
	if w.Code != http.StatusForbidden || len(w.Header().Get("Access-Control-Allow-Origin")) > 300 || w.Body.Len() > 1024 {
		t.Errorf("status %d, want 403; %d bytes of origin and %d of body, want at most 300 and 1024", w.Code, len(w.Header().Get("Access-Control-Allow-Origin")), w.Body.Len())
	}
	for n, want := range map[int]int{300: 200, 301: 403} {
		if w := signal(t, s, browserOffer(t), from("Origin", "https://"+strings.Repeat("x", n-len("https://")))); w.Code != want {
			t.Errorf("an origin of %d bytes: %d, want %d", n, w.Code, want)
		}
	}
	s = listen(t, Config{Settings: Settings{Origins: []string{"null"}}})
	for o, want := range map[string]int{"null": 200, "https://friend.example": 403} {
		if w := signal(t, s, browserOffer(t), from("Origin", o)); w.Code != want {
			t.Errorf("%s where only files may: %d, want %d", o, w.Code, want)
		}
	}
	s = listen(t, Config{})
	for site, want := range map[string]int{"same-origin": 200, "same-site": 403, "cross-site": 403, "": 200} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(browserOffer(t)))
		r.Host = "game.example"
		r.Header.Set("Origin", "http://game.example")
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		w := testkit.Serve(s, r)
		if w.Code != want {
			t.Errorf("a page that is %q by its browser's word: %d, want %d", site, w.Code, want)
		}
	}
}
