package rtcserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A linker notes the calls of its Config.Links.
type linker struct {
	calls []string // the site, and whether the request has an offer
	fails error
}

func (l *linker) links(_ *http.Request, site netip.Addr, offered bool) ([]Link, error) {
	l.calls = append(l.calls, map[bool]string{true: "offer ", false: "links "}[offered]+site.String())
	if l.fails != nil {
		return nil, l.fails
	}
	return []Link{{Type: "carrier", URL: "wss://game.example/", Ticket: "t1", Hashes: []string{"h"}}}, nil
}

// The JSON of an answer has the links of the program. A request without an offer, in JSON, gets the links
// alone, and so does every request if the server has no port.
func TestLinksOfTheProgram(t *testing.T) {
	const links = `"links":[{"type":"carrier","url":"wss://game.example/","ticket":"t1","hashes":["h"]}]`
	const asJSON, asSDP = "application/json", "application/sdp"
	offer := browserOffer(t)
	wrapped, _ := json.Marshal(map[string]string{"sdp": offer})
	for _, c := range []struct {
		why, body, kind, accept string
		fails                   error
		links, answer, alone    int      // statuses of a server with Links, of one without, and of one without a port
		calls                   []string // of the first one
	}{
		{"an offer in SDP", offer, asSDP, "", nil, 200, 200, 200, []string{"offer 203.0.113.9"}},
		{"an offer in JSON", string(wrapped), asJSON, "", nil, 200, 200, 200, []string{"offer 203.0.113.9"}},
		{"an offer, the links fail", offer, asSDP, "", errors.New("no"), 200, 200, 403, []string{"offer 203.0.113.9"}},
		{"an offer, for the SDP alone", offer, asSDP, asSDP, nil, 200, 200, 200, nil},
		{"no offer", "", asJSON, "", nil, 200, 400, 200, []string{"links 203.0.113.9"}},
		{"no offer, the links fail", "", asJSON, "", &StatusError{Status: 401, Text: "who?"}, 401, 400, 401, []string{"links 203.0.113.9"}},
		{"no offer, in plain text", "", "text/plain", "", nil, 400, 400, 200, nil},
	} {
		edit := func(r *http.Request) {
			r.Header.Set("Content-Type", c.kind)
			r.Header.Set("Accept", c.accept)
		}
		l := linker{fails: c.fails}
		check := func(who string, h http.Handler, status int, hasAnswer, hasLinks bool) {
			t.Helper()
			r := httptest.NewRequest(http.MethodPost, "http://game.example/", strings.NewReader(c.body))
			r.RemoteAddr = "203.0.113.9:5555"
			edit(r)
			w := testkit.Serve(h, r)
			body := w.Body.String()
			if w.Code != status || strings.Contains(body, "a=ice-ufrag") != hasAnswer || strings.Contains(body, links) != hasLinks {
				t.Errorf("%s, %s: %d %s; want %d, an answer: %v, links: %v", c.why, who, w.Code, body, status, hasAnswer, hasLinks)
			}
			if h := w.Header(); h.Get("Cache-Control") != "no-store" || hasLinks && h.Get("Content-Type") != asJSON {
				t.Errorf("%s, %s: the header is %v", c.why, who, h)
			}
			if want := slices.Clone(c.calls); who == "with Links" && !slices.Equal(l.calls, want) {
				t.Errorf("%s: Links is called for %q, want %q", c.why, l.calls, want)
			}
		}
		offered := c.body != "" && c.accept == ""
		check("with Links", listen(t, Config{Links: l.links}), c.links, c.body != "", c.fails == nil && len(c.calls) > 0)
		check("without Links", listen(t, Config{}), c.answer, c.body != "", false)
		l.calls = nil
		for who, h := range map[string]http.Handler{
			"LinksOnly": listen(t, Config{Links: l.links, LinksOnly: true}),
			"Signaling": testkit.Must(Signaling(Config{Links: l.links})),
		} {
			check(who, h, c.alone, false, c.alone == 200)
		}
		if slices.ContainsFunc(l.calls, func(s string) bool { return s != "links 203.0.113.9" }) || len(l.calls) != 2 {
			t.Errorf("%s (an offer: %v): without a port Links is called for %q", c.why, offered, l.calls)
		}
	}
	if h, err := Signaling(Config{Settings: Settings{Role: 9}}); h != nil || err == nil || !strings.Contains(err.Error(), "Config.Role") {
		t.Errorf("Signaling with a Role that is none: %v, want an error that names the field", err)
	}
}

// A server that shuts down asks for no links.
func TestAServerThatShutsDownGivesNoLinks(t *testing.T) {
	var l linker
	s := listen(t, Config{Links: l.links})
	s.Refuse()
	wantRefusal(t, signal(t, s, "", from("Content-Type", "application/json")), http.StatusServiceUnavailable, "shuts down")
	if len(l.calls) != 0 {
		t.Errorf("Links is called for %q, want no call", l.calls)
	}
}

// Config.Upgrade gets requests for a WebSocket. What it refuses counts as an offer, what it takes does not.
func TestRequestsForAWebSocket(t *testing.T) {
	inWorld(t, Config{}, func(w *world) { // for its clock
		var fails error
		var pages []string
		upgrade := func(w http.ResponseWriter, _ *http.Request, page netip.Addr) error {
			pages = append(pages, page.String())
			if fails == nil {
				w.WriteHeader(http.StatusTeapot)
			}
			return fails
		}
		ask := func(h http.Handler, method, protocol string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, "http://game.example/", nil)
			r.RemoteAddr = "203.0.113.9:5555"
			if protocol != "" {
				r.Header.Set("Upgrade", protocol)
			}
			return testkit.Serve(h, r)
		}
		s := testkit.Must(Signaling(Config{Upgrade: upgrade, Links: new(linker).links, Settings: Settings{MaxOffers: 1}}))
		for range 10 {
			if got := ask(s, http.MethodGet, "WebSocket").Code; got != http.StatusTeapot {
				t.Errorf("a request for a WebSocket: %d, want that of Upgrade", got)
			}
		}
		if !slices.Equal(slices.Compact(pages), []string{"203.0.113.9"}) {
			t.Errorf("the pages are at %q", pages)
		}
		pages = nil
		fails = errors.New("not you")
		for range 4 { // the burst
			wantRefusal(t, ask(s, http.MethodGet, "websocket"), http.StatusForbidden, "not you")
		}
		wantRefusal(t, ask(s, http.MethodGet, "websocket"), http.StatusTooManyRequests, "too many offers from this address")
		if len(pages) != 5 {
			t.Errorf("Upgrade is called %d times, want 5", len(pages))
		}
		s = testkit.Must(Signaling(Config{Upgrade: upgrade, Links: new(linker).links}))
		for _, c := range []struct{ method, protocol string }{{http.MethodGet, ""}, {http.MethodGet, "h2c"}, {http.MethodPut, "websocket"}} {
			wantRefusal(t, ask(s, c.method, c.protocol), http.StatusMethodNotAllowed, "POST")
		}
		if len(pages) != 5 {
			t.Errorf("Upgrade is called for what asks for no WebSocket")
		}
		wantRefusal(t, ask(w.server, http.MethodGet, "websocket"), http.StatusMethodNotAllowed, "POST")
	})
}
