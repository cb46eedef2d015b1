package testkit

import (
	"net/http"
	"net/http/httptest"
)

// Serve has a handler answer a request, and returns the response.
func Serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A Transport is an http.RoundTripper that has a handler answer each request in place of a
// network.
type Transport struct{ Handler http.Handler }

// RoundTrip has the handler answer r.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return Serve(t.Handler, r).Result(), nil
}
