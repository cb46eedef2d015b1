package rtcserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/sdp"
)

// browserOffer returns an offer of Chromium, with a session that no other one has.
func browserOffer(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("../sdp/testdata/chromium.sdp")
	if err != nil {
		t.Fatal(err)
	}
	o := strings.Fields(string(b))[1:3] // of the o= line
	return strings.Replace(string(b), strings.Join(o, " "), fmt.Sprint(o[0], " ", 5_000_000_000+offers.Add(1)), 1)
}

var offers atomic.Int64

// signal posts an offer, changed by edit, and returns the response.
func signal(t testing.TB, s *Server, body string, edit func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://game.example/connect", strings.NewReader(body))
	r.RemoteAddr = "203.0.113.9:5555"
	if edit != nil {
		edit(r)
	}
	w := testkit.Serve(s, r)
	return w
}

func listen(t testing.TB, c Config) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// wantRefusal checks a response's status and that its error contains the reason.
func wantRefusal(t *testing.T, w *httptest.ResponseRecorder, status int, reason string) {
	t.Helper()
	var reply struct{ Error string }
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		t.Errorf("the body %q is not JSON: %v", w.Body, err)
	}
	if w.Code != status || !strings.Contains(reply.Error, reason) {
		t.Errorf("got %d %q, want %d with %q in it", w.Code, reply.Error, status, reason)
	}
	if strings.ContainsAny(strings.TrimSuffix(w.Body.String(), "\n"), "\r\n") {
		t.Errorf("the error has several lines: %q", w.Body)
	}
}

func wantNothing(t testing.TB, s *Server) {
	t.Helper()
	if all, waiting := s.registry.count(); all != 0 || waiting != 0 {
		t.Errorf("%d connections exist and %d wait, want none", all, waiting)
	}
}

func TestAnswersAnOfferInTheShapeThatPagesExpect(t *testing.T) {
	s := listen(t, Config{})
	w := signal(t, s, browserOffer(t), nil)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, %s, want 200 and JSON: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	var reply struct {
		Answer    struct{ SDP, Type string }
		Candidate struct {
			Candidate     string
			SDPMLineIndex int
			SDPMid        string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		t.Fatal(err)
	}
	if reply.Answer.Type != "answer" || !strings.HasPrefix(reply.Answer.SDP, "v=0\r\n") {
		t.Errorf("the answer is %+v", reply.Answer)
	}
	if !strings.Contains(reply.Answer.SDP, reply.Candidate.Candidate) || reply.Candidate.SDPMid != "0" {
		t.Errorf("the candidate is %+v", reply.Candidate)
	}
	if !strings.Contains(reply.Answer.SDP, s.Addr().Addr().String()) {
		t.Errorf("the answer does not name %v:\n%s", s.Addr(), reply.Answer.SDP)
	}
	if all, waiting := s.registry.count(); all != 1 || waiting != 1 {
		t.Errorf("%d connections exist and %d wait, want one", all, waiting)
	}
}

func TestAnswersBareSDPToWhoAcceptsIt(t *testing.T) {
	s := listen(t, Config{})
	w := signal(t, s, browserOffer(t), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/sdp")
		r.Header.Set("Accept", "application/sdp")
	})
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/sdp" || !strings.HasPrefix(w.Body.String(), "v=0") {
		t.Errorf("status %d, %s, want 200 and SDP: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
}

func TestTakesAnOfferInJSON(t *testing.T) {
	s := listen(t, Config{})
	b, _ := json.Marshal(map[string]string{"type": "offer", "sdp": browserOffer(t)})
	w := signal(t, s, string(b), func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") })
	if w.Code != http.StatusOK {
		t.Errorf("status %d, want 200: %s", w.Code, w.Body)
	}
}

func TestPublicAddressesAreTheCandidates(t *testing.T) {
	s := listen(t, Config{Settings: Settings{Public: []netip.AddrPort{
		netip.MustParseAddrPort("198.51.100.7:7000"), netip.MustParseAddrPort("[2001:db8::7]:7001"),
	}}})
	sdp := signal(t, s, browserOffer(t), nil).Body.String()
	for _, want := range []string{"198.51.100.7 7000", "2001:db8::7 7001"} {
		if !strings.Contains(sdp, want) {
			t.Errorf("%q is not in %s", want, sdp)
		}
	}
}

func TestBadOffersAreRefusedAndLeaveNothing(t *testing.T) {
	good := browserOffer(t)
	without := func(prefix string) string {
		var b strings.Builder
		for line := range strings.Lines(good) {
			if !strings.HasPrefix(line, prefix) {
				b.WriteString(line)
			}
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		body   string
		status int
		reason string
	}{
		"not SDP":               {"hello", 400, sdp.ErrNotSDP.Error()},
		"empty":                 {"", 400, sdp.ErrNotSDP.Error()},
		"JSON without SDP":      {`{"type":"offer"}`, 400, `no "sdp"`},
		"broken JSON":           {`{"type":`, 400, `no "sdp"`},
		"no data channel":       {good[:strings.Index(good, "m=")], 400, sdp.ErrNoDataChannel.Error()},
		"no fingerprint":        {without("a=fingerprint"), 400, "sdp: no a=fingerprint"},
		"malformed fingerprint": {strings.Replace(good, "a=fingerprint:sha-256 ", "a=fingerprint:sha-256 XY:", 1), 400, "sdp: malformed a=fingerprint"},
		"no ufrag":              {without("a=ice-ufrag"), 400, "sdp: no a=ice-ufrag"},
		"no password":           {without("a=ice-pwd"), 400, "sdp: no a=ice-pwd"},
		"a megabyte":            {good + strings.Repeat("a=x\r\n", 200_000), 413, "40 KiB"},
		"too many lines":        {good + strings.Repeat("a=x\r\n", 1025), 400, "sdp: more than 1024 lines"},
	} {
		t.Run(name, func(t *testing.T) {
			s := listen(t, Config{})
			wantRefusal(t, signal(t, s, c.body, nil), c.status, c.reason)
			wantNothing(t, s)
			if n := s.Stats().Refused[c.status]; n != 1 {
				t.Errorf("%d refusals with %d are counted, want 1", n, c.status)
			}
		})
	}
}

// Every status that the module uses has a counter; the statuses of programs share one.
func TestRefusalsAreCountedByStatus(t *testing.T) {
	var status int
	s := listen(t, Config{Authorize: func(*http.Request) error { return &StatusError{Status: status, Text: "no"} }})
	own := []int{400, 401, 403, 405, 408, 409, 410, 413, 415, 429, 500, 503}
	for _, status = range append(own, 402, 418, 599) {
		signal(t, s, browserOffer(t), nil)
	}
	got := s.Stats().Refused
	for _, status := range own {
		if got[status] != 1 {
			t.Errorf("%d refusals with %d are counted, want 1", got[status], status)
		}
	}
	if got[0] != 3 || len(got) != len(own)+1 {
		t.Errorf("%v are counted, want 3 others", got)
	}
}

func TestOtherMethodsAndTypesAreRefused(t *testing.T) {
	s := listen(t, Config{})
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD"} {
		w := signal(t, s, browserOffer(t), func(r *http.Request) { r.Method = method })
		wantRefusal(t, w, http.StatusMethodNotAllowed, "POST")
		if w.Header().Get("Allow") == "" {
			t.Errorf("%s: there is no Allow header", method)
		}
	}
	for _, typ := range []string{"text/html", "multipart/form-data; boundary=x", "///"} {
		w := signal(t, s, browserOffer(t), func(r *http.Request) { r.Header.Set("Content-Type", typ) })
		wantRefusal(t, w, http.StatusUnsupportedMediaType, "application/sdp")
	}
	wantNothing(t, s)
}

func TestForeignOriginsAreRefusedBeforeAnythingElse(t *testing.T) {
	asked := 0
	s := listen(t, Config{
		Settings:  Settings{Origins: []string{"https://friend.example"}},
		Authorize: func(*http.Request) error { asked++; return nil },
	})
	origin := func(o string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Origin", o) }
	}
	for _, o := range []string{"https://evil.example", "null", "https://friend.example.evil.example", "http://friend.example", "game.example"} {
		w := signal(t, s, browserOffer(t), origin(o))
		wantRefusal(t, w, http.StatusForbidden, "not allowed")
		if h := w.Header().Get("Access-Control-Allow-Origin"); h != "" {
			t.Errorf("%s: the origin %q is allowed, want none", o, h)
		}
	}
	if asked != 0 {
		t.Errorf("Authorize was called %d times, want 0", asked)
	}
	wantNothing(t, s)
	for _, o := range []string{"https://friend.example", "http://game.example", "https://GAME.example", ""} {
		w := signal(t, s, browserOffer(t), origin(o))
		if w.Code != http.StatusOK || w.Header().Get("Access-Control-Allow-Origin") != o || w.Header().Get("Vary") != "Origin" {
			t.Errorf("%s: status %d, allowed origin %q, want 200 and the same", o, w.Code, w.Header().Get("Access-Control-Allow-Origin"))
		}
	}
}

func TestPreflightIsAnswered(t *testing.T) {
	s := listen(t, Config{Settings: Settings{Origins: []string{"*"}}})
	w := signal(t, s, "", func(r *http.Request) {
		r.Method = http.MethodOptions
		r.Header.Set("Origin", "https://any.example")
	})
	if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Methods") == "" || w.Header().Get("Access-Control-Max-Age") == "" {
		t.Errorf("status %d, header %v; want 204 with methods and an age", w.Code, w.Header())
	}
}

func TestAuthorizeDecidesBeforeAnythingExists(t *testing.T) {
	var answer error
	s := listen(t, Config{Authorize: func(*http.Request) error { return answer }})
	answer = errors.New("no ticket")
	wantRefusal(t, signal(t, s, browserOffer(t), nil), http.StatusForbidden, "no ticket")
	answer = &StatusError{Status: http.StatusUnauthorized, Text: "log in first"}
	wantRefusal(t, signal(t, s, browserOffer(t), nil), http.StatusUnauthorized, "log in first")
	wantNothing(t, s)
}

func TestOffersOfOneAddressAreLimited(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxOffers: 1}}, func(world *world) {
		s := world.server
		for range 4 {
			if w := signal(t, s, browserOffer(t), nil); w.Code != http.StatusOK {
				t.Fatalf("status %d within the burst, want 200", w.Code)
			}
		}
		w := signal(t, s, browserOffer(t), nil)
		wantRefusal(t, w, http.StatusTooManyRequests, "too many offers")
		if w.Header().Get("Retry-After") == "" {
			t.Error("there is no Retry-After header")
		}
		other := signal(t, s, browserOffer(t), func(r *http.Request) { r.RemoteAddr = "203.0.113.10:1" })
		if other.Code != http.StatusOK {
			t.Errorf("another address gets the status %d, want 200", other.Code)
		}
		time.Sleep(time.Second)
		for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
			if w := signal(t, s, browserOffer(t), nil); w.Code != want {
				t.Errorf("got %d a second later, want %d", w.Code, want)
			}
		}
	})
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	s := listen(t, Config{Settings: Settings{MaxPerIP: 2}})
	from := func(addr string) int {
		return signal(t, s, browserOffer(t), func(r *http.Request) { r.RemoteAddr = addr }).Code
	}
	for _, c := range []struct {
		addr   string
		status int
	}{
		{"203.0.113.1:1", 200}, {"203.0.113.1:2", 200}, {"203.0.113.1:3", 429}, {"203.0.113.2:1", 200},
		{"[2001:db8:1:2::1]:1", 200}, {"[2001:db8:1:2::2]:1", 200}, {"[2001:db8:1:2:ffff::3]:1", 429}, {"[2001:db8:1:3::1]:1", 200},
	} {
		if got := from(c.addr); got != c.status {
			t.Errorf("%s: got %d, want %d", c.addr, got, c.status)
		}
	}
}

func TestUnusedAnswersAreLimitedAndExpire(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxPending: 3, PendingTimeout: 5 * time.Second}}, func(world *world) {
		s := world.server
		for range 3 {
			signal(t, s, browserOffer(t), nil)
		}
		w := signal(t, s, browserOffer(t), nil)
		wantRefusal(t, w, http.StatusServiceUnavailable, "try again")
		if w.Header().Get("Retry-After") == "" {
			t.Error("there is no Retry-After header")
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if w := signal(t, s, browserOffer(t), nil); w.Code != http.StatusOK {
			t.Errorf("status %d after they have expired, want 200", w.Code)
		}
	})
}

func TestForwardedAddressesAreBelievedFromProxiesOnly(t *testing.T) {
	s := listen(t, Config{Settings: Settings{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}})
	for _, c := range []struct{ remote, header, want string }{
		{"203.0.113.9:1", "198.51.100.1", "203.0.113.9"},
		{"10.1.1.1:1", "198.51.100.1", "198.51.100.1"},
		{"10.1.1.1:1", "192.0.2.66, 198.51.100.1, 10.2.2.2", "198.51.100.1"},
		{"10.1.1.1:1", "", "10.1.1.1"},
		{"10.1.1.1:1", "garbage", "10.1.1.1"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = c.remote
		if c.header != "" {
			r.Header.Set("X-Forwarded-For", c.header)
		}
		if got := s.clientAddr(r); got != netip.MustParseAddr(c.want) {
			t.Errorf("%s with %q: got %v, want %s", c.remote, c.header, got, c.want)
		}
	}
}

func TestAServerThatIsDownAnswersNoOffer(t *testing.T) {
	s := listen(t, Config{})
	s.Close()
	wantRefusal(t, signal(t, s, browserOffer(t), nil), http.StatusServiceUnavailable, "shuts down")
}
