package rtcserver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A guarded handler gets the requests that the signaling would accept, with the headers of CORS. It gets four times MaxOffers of
// an address at once, of all methods but OPTIONS, and then MaxOffers a second.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		var refused []int
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Method)
			w.WriteHeader(http.StatusTeapot)
		})
		g, err := Guard(Config{Settings: Settings{MaxOffers: 2, Origins: []string{"https://game.example"}}}, h, func(no *StatusError) { refused = append(refused, no.Status) })
		if err != nil {
			t.Fatal(err)
		}
		ask := func(method, origin, from string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, "/", nil)
			r.RemoteAddr = from
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			return w
		}
		w := ask("OPTIONS", "https://game.example", "192.0.2.1:1")
		if h := w.Header(); w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "https://game.example" || h.Get("Access-Control-Max-Age") == "" {
			t.Errorf("a preflight: %d %v", w.Code, h)
		}
		for _, method := range []string{"POST", "OPTIONS"} {
			if w := ask(method, "https://evil.example", "192.0.2.1:1"); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `"code":"origin"`) {
				t.Errorf("%s of a foreign page: %d %s", method, w.Code, w.Body)
			}
		}
		for i, method := range []string{"POST", "GET", "DELETE", "POST", "GET", "HEAD", "PUT", "POST"} {
			if w := ask(method, "https://game.example", fmt.Sprint("192.0.2.1:", i)); w.Code != http.StatusTeapot || w.Header().Get("Access-Control-Allow-Credentials") != "true" {
				t.Errorf("request %d of the first 8: %d %v", i, w.Code, w.Header())
			}
		}
		for range 2 {
			w := ask("GET", "", "192.0.2.1:9")
			if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"code":"rate"`) {
				t.Errorf("one more: %d %v %s", w.Code, w.Header(), w.Body)
			}
		}
		if w := ask("GET", "", "192.0.2.2:9"); w.Code != http.StatusTeapot {
			t.Errorf("another address: %d", w.Code)
		}
		time.Sleep(time.Second)
		for i, want := range []int{http.StatusTeapot, http.StatusTeapot, http.StatusTooManyRequests} {
			if w := ask("GET", "", "192.0.2.1:9"); w.Code != want {
				t.Errorf("request %d after a second: %d, want %d", i, w.Code, want)
			}
		}
		if want := []int{403, 403, 429, 429, 429}; !slices.Equal(refused, want) || len(got) != 11 {
			t.Errorf("refused %v and passed on %v, want %v and 11", refused, got, want)
		}
	})
	if _, err := Guard(Config{Settings: Settings{Origins: []string{"game.example"}}}, nil, nil); err == nil {
		t.Error("an origin without a scheme is accepted")
	}
}
