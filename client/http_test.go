package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// transport answers HTTP requests without a network.
type transport func(w http.ResponseWriter, r *http.Request)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f(w, r)
	return w.Result(), nil
}

func TestDialSendsTheOfferOverHTTP(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{
			Header: http.Header{"Authorization": {"Bearer token"}},
			HTTP: &http.Client{Transport: transport(func(resp http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/new_rtc_session" || r.Header.Get("Authorization") != "Bearer token" {
					t.Errorf("the request is for %v with %v, want the token", r.URL, r.Header)
				}
				w.server.ServeHTTP(resp, r)
			})},
		})
		c, err := e.Dial(w.t.Context(), "http://192.0.2.1/new_rtc_session", nil)
		if err != nil {
			t.Fatal(err)
		}
		w.want("open")
		w.send(c, "hello")
		w.want("3 0 hello")
	})
}

// Other servers answer with JSON, and some with the candidate beside the SDP.
func TestAnswersInJSON(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{HTTP: &http.Client{Transport: transport(func(resp http.ResponseWriter, r *http.Request) {
			r.Header.Del("Accept")
			inner := testkit.Serve(w.server, r)
			body := inner.Body.String()
			if !strings.HasPrefix(body, "{") {
				t.Errorf("the server answers %s, want JSON", body)
			}
			resp.Write([]byte(strings.Replace(body, `a=candidate:`, `a=x:`, 1)))
		})}})
		if _, err := e.Dial(w.t.Context(), "http://192.0.2.1/", nil); err != nil {
			t.Fatal(err)
		}
		w.want("open")
	})
}

func TestSignalingThatIsOfNoUse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"refused in JSON", 429, `{"error":"too many offers"}`, "client: the server refuses with status 429: too many offers"},
		{"refused in text", 404, "404 page not found\nat all", "client: the server refuses with status 404: 404 page not found"},
		{"not an answer", 200, "<html>", "client: sdp: not SDP"},
		{"JSON of something else", 200, "{}", `client: the server's JSON has no "answer"`},
		{"endless", 200, strings.Repeat("a", 1<<20), "client: the server's answer is larger than 128 KiB"},
	} {
		inWorld(t, func(w *world) {
			e := w.endpoint(client.Config{HTTP: &http.Client{Transport: transport(func(resp http.ResponseWriter, r *http.Request) {
				resp.WriteHeader(tt.status)
				resp.Write([]byte(tt.body))
			})}})
			_, err := e.Dial(w.t.Context(), "http://192.0.2.1/", nil)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%s: %v, want an error that begins with %q", tt.name, err, tt.want)
			}
			if tt.status != 200 {
				if s, ok := errors.AsType[*client.SignalError](err); !ok || s.Status != tt.status {
					t.Errorf("%s: %#v, want status %d", tt.name, err, tt.status)
				}
			}
		})
	}
}
