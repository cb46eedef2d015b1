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
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
	if w := get("/godwit/other.js"); w.Code != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", w.Code)
	}
	if w := get("/godwit/"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a GET of the signaling: %d", w.Code)
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
