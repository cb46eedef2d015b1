package browser

import (
	_ "embed"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

//go:embed page.js
var script []byte

const page = `<!doctype html>
<meta charset="utf-8">
<title>godwit interop</title>
<link rel="icon" href="data:,">
<script src="/page.js"></script>
`

// Serve serves a page with the functions of page.js, and signaling for the offers that the
// page posts to /new_rtc_session, until the test ends. It returns the page's URL.
func Serve(t testing.TB, signaling http.Handler) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(page))
	})
	mux.HandleFunc("GET /page.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		w.Write(script)
	})
	mux.Handle("/new_rtc_session", signaling)

	l, err := net.Listen("tcp", netip.AddrPortFrom(Host(t), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return "http://" + l.Addr().String() + "/"
}
