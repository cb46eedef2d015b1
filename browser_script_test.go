package godwit

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

func TestServesTheBrowserClient(t *testing.T) {
	srv, err := Listen("127.0.0.1:0", Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	get := func(path string) *httptest.ResponseRecorder {
		w := testkit.Serve(srv, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	for _, path := range []string{"/godwit/godwit.js", "/godwit/godwit.min.js"} {
		w := get(path)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") || !strings.Contains(w.Body.String(), "connect") {
			t.Errorf("%s: status %d, %s, want 200 and the script", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
	if w := get("/godwit/other.js"); w.Code != http.StatusNotFound {
		t.Errorf("an unknown file: status %d, want 404", w.Code)
	}
	if w := get("/godwit/"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET of the signaling URL: status %d, want 405", w.Code)
	}
}

// A server may have a path with a dot, such as the version of an interface. A request that
// opens a WebSocket there asks for no file.
func TestAWebSocketIsNoFile(t *testing.T) {
	srv := testkit.Must(Listen("127.0.0.1:0", Config{}))
	defer srv.Close()
	r := httptest.NewRequest(http.MethodGet, "/v1.0/", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
	r.Header.Set("Sec-WebSocket-Protocol", "godwit.1, ticket.AAAAAAAAAAAAAAAAAAAAAA")
	if w := testkit.Serve(srv, r); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `"code":"ticket"`) {
		t.Errorf("an unknown ticket: %d %s", w.Code, w.Body)
	}
}
