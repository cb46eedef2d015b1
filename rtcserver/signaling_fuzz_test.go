package rtcserver

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// FuzzSignaling sends any request. The answer has one of the documented statuses and a short
// text, and a refused request leaves no state behind.
func FuzzSignaling(f *testing.F) {
	offer := browserOffer(f)
	f.Add("POST", "application/sdp", "", "", "", offer)
	f.Add("POST", "application/json; charset=utf-8", "https://friend.example", "192.0.2.66, 198.51.100.1", "application/sdp", `{"type":"offer","sdp":"v=0\r\n"}`)
	f.Add("OPTIONS", "", "http://game.example", "::1%eth0,", "", "")
	f.Add("GET", "text/html", "null", ",,,", "*/*", "{")
	f.Add("POST", "text/plain;;", "://", "[::ffff:1.2.3.4]", "", offer+"m=audio 9 X 0\r\na=mid:"+strings.Repeat("x", 100))
	long := strings.Repeat("&", 64) // a byte of it has six bytes in JSON
	for _, n := range []int{31, 60} {
		f.Add("POST", "application/sdp", "", "", "", offer+strings.Repeat("m="+long+" 9 "+long+" "+long+"\r\na=mid:"+long+"\r\n", n))
	}
	s := listen(f, Config{
		Settings: Settings{
			Certificate:    serverCertificate,
			MaxOffers:      -1,
			MaxPerIP:       -1,
			MaxPending:     1 << 30,
			PendingTimeout: 20 * time.Millisecond,
			Origins:        []string{"https://friend.example"},
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		},
	})
	f.Fuzz(func(t *testing.T, method, contentType, origin, forwarded, accept, body string) {
		r := httptest.NewRequest(http.MethodPost, "http://game.example/connect", strings.NewReader(body))
		r.Method, r.RemoteAddr = method, "203.0.113.9:5555"
		for name, v := range map[string]string{"Content-Type": contentType, "Origin": origin, "X-Forwarded-For": forwarded, "Accept": accept} {
			r.Header.Set(name, v)
		}
		before, w := s.Stats(), httptest.NewRecorder()
		s.ServeHTTP(w, r)
		after := s.Stats()
		switch w.Code {
		case http.StatusOK:
			if after.Offers != before.Offers+1 || method != http.MethodPost {
				t.Fatalf("%d offers are answered, want 1; the method is %s", after.Offers-before.Offers, method)
			}
		case http.StatusNoContent:
			if method != http.MethodOptions {
				t.Fatalf("the method %q is answered like a preflight", method)
			}
		case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
			if after.Offers != before.Offers || after.Refused[w.Code] != before.Refused[w.Code]+1 {
				t.Fatalf("the status %d is counted %d times, want once", w.Code, after.Refused[w.Code]-before.Refused[w.Code])
			}
		default:
			t.Fatalf("unexpected status %d", w.Code)
		}
		if n := w.Body.Len(); n > 64<<10 /* 32 m= lines that are refused */ {
			t.Fatalf("%d bytes answer a body of %d", n, len(body))
		}
		if allowed := w.Header().Get("Access-Control-Allow-Origin"); allowed != "" && allowed != origin {
			t.Fatalf("the origin %q is allowed for %q", allowed, origin)
		}
	})
}
