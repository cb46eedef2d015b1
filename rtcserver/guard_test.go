package rtcserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
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
			if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"code":"rate"`) || !strings.Contains(w.Body.String(), "too many requests from this address") {
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

// A body that never ends holds a connection for ten seconds after the answer, whether the request is refused or not, and the guarded
// handler may take over a connection of a request without a body for longer.
func TestBodiesThatNeverEndBehindAGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := testkit.Must(Guard(Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				return
			}
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 4)
				if _, err := io.ReadFull(c, b); err != nil {
					t.Errorf("the connection that was taken over: %v", err)
				}
				c.Write(b)
			}()
		}), nil))
		l, done := newPipeListener(), make(chan struct{})
		server := &http.Server{Handler: g}
		go func() { defer close(done); server.Serve(l) }()
		defer func() { server.Close(); <-done }()
		for _, head := range []string{
			"POST / HTTP/1.1\r\nHost: game.example\r\n",
			"POST / HTTP/1.0\r\n",
			"OPTIONS / HTTP/1.1\r\nHost: game.example\r\n",
			"POST / HTTP/1.1\r\nHost: game.example\r\nOrigin: https://evil.example\r\n",
		} {
			c, begin := l.dial(), time.Now()
			fmt.Fprintf(c, "%sContent-Length: 2000\r\n\r\n", head)
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Error(err)
			}
			if d := time.Since(begin); d > 11*time.Second {
				t.Errorf("%q: the connection was open for %v, want at most 11 s", head, d)
			}
			c.Close()
		}
		c := l.dial()
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: game.example\r\n\r\n")
		time.Sleep(time.Minute)
		c.Write([]byte("late"))
		if b, err := io.ReadAll(c); string(b) != "late" {
			t.Errorf("%q, %v, want an echo after a minute", b, err)
		}
	})
}

// Refuse answers as ServeHTTP refuses for Authorize.
func TestRefuse(t *testing.T) {
	for _, err := range []error{errors.New("no"), &StatusError{}, &StatusError{Status: 503, Detail: map[string]string{"at": "noon"}}} {
		want := signal(t, listen(t, Config{Authorize: func(*http.Request) error { return err }}), browserOffer(t), nil)
		got := httptest.NewRecorder()
		Refuse(got, err)
		if got.Code != want.Code || got.Body.String() != want.Body.String() || got.Header().Get("Retry-After") != want.Header().Get("Retry-After") {
			t.Errorf("%d %v %s, want %d %v %s", got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
		}
	}
}
