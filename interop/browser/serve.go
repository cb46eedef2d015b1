package browser

import (
	_ "embed"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
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
	l := listen(t, Host(t))
	srv := &http.Server{Handler: pages(signaling)}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return "http://" + l.Addr().String() + "/"
}

// ServeTLS is Serve over HTTPS, at an address.
func ServeTLS(t testing.TB, host netip.Addr, signaling http.Handler) string {
	t.Helper()
	dir := t.TempDir()
	WriteCertificate(t, dir, host)
	l := listen(t, host)
	srv := &http.Server{Handler: pages(signaling)}
	go srv.ServeTLS(l, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	t.Cleanup(func() { srv.Close() })
	return "https://" + l.Addr().String() + "/"
}

func listen(t testing.TB, host netip.Addr) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func pages(signaling http.Handler) http.Handler {
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
	return mux
}
