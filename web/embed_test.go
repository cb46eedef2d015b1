package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

func get(t *testing.T, path, etag string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := testkit.Serve(Handler(), r)
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
			t.Errorf("%s: status %s, %d bytes; want 200 and a module", name, r.Status, len(body))
		}
		if got := r.Header.Get("Content-Type"); got != "text/javascript; charset=utf-8" {
			t.Errorf("%s: the content type is %q, which a browser does not run", name, got)
		}
		if again, _ := get(t, "/"+name, r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s with its ETag: status %s, want 304", name, again.Status)
		}
	}
}

func TestCompressesForWhoTakesIt(t *testing.T) {
	_, plain := get(t, "/godwit.js", "")
	for accept, want := range map[string]string{
		"":                        "",
		"br":                      "",
		"gzip;q=0":                "",
		"gzip; q=0.0, br":         "",
		"deflate, gzip;q=0.5, br": "gzip",
		"GZIP":                    "gzip",
	} {
		r := httptest.NewRequest(http.MethodGet, "/godwit.js", nil)
		r.Header.Set("Accept-Encoding", accept)
		w := testkit.Serve(Handler(), r)
		if got := w.Header().Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q gets the encoding %q, want %q", accept, got, want)
			continue
		}
		var body io.Reader = w.Body
		if want == "gzip" {
			if w.Body.Len() > len(plain)/3 {
				t.Errorf("the compressed script has %d bytes of %d, want at most a third", w.Body.Len(), len(plain))
			}
			var err error
			if body, err = gzip.NewReader(w.Body); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := io.ReadAll(body); err != nil || string(b) != plain {
			t.Errorf("Accept-Encoding %q gets another script, %v", accept, err)
		}
	}
}

func TestServesNothingElse(t *testing.T) {
	for _, path := range []string{"/", "/embed.go", "/..", "/dist", "/nothing.js"} {
		if r, _ := get(t, path, ""); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: status %s, want 404", path, r.Status)
		}
	}
}

func TestMethods(t *testing.T) {
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "OPTIONS": 405} {
		w := testkit.Serve(Handler(), httptest.NewRequest(method, "/godwit.js", nil))
		if w.Code != want || (w.Header().Get("Allow") == "GET, HEAD") != (want == 405) {
			t.Errorf("%s: status %d, want %d; header %v", method, w.Code, want, w.Header())
		}
	}
}
