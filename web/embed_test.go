package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, path, etag string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(b)
}

func TestServesTheScript(t *testing.T) {
	for _, name := range []string{"godwit.js", "godwit.min.js"} {
		r, body := get(t, "/any/where/"+name, "")
		if r.StatusCode != http.StatusOK || !strings.Contains(body, "export{") && !strings.Contains(body, "export {") {
			t.Errorf("%s: %s, %d bytes", name, r.Status, len(body))
		}
		if got := r.Header.Get("Content-Type"); got != "text/javascript; charset=utf-8" {
			t.Errorf("%s: a browser would not run %q", name, got)
		}
		if again, _ := get(t, "/"+name, r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %s", name, again.Status)
		}
	}
}

func TestServesNothingElse(t *testing.T) {
	for _, path := range []string{"/", "/embed.go", "/..", "/dist", "/nothing.js"} {
		if r, _ := get(t, path, ""); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
}
