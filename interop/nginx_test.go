package interop

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// nginxConfig is around the location that the README shows.
const nginxConfig = `
daemon off;
pid nginx.pid;
user root;
worker_processes 1;
error_log stderr error;
events {}
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	server {
		listen LISTEN ssl http2;
		ssl_protocols TLSv1.2 TLSv1.3; # as in Debian's nginx.conf
		ssl_certificate cert.pem;
		ssl_certificate_key key.pem;
		LOCATION
	}
}
`

// TestNginx puts nginx before a server, with the README's configuration: TLS, HTTP/2, a path prefix, X-Forwarded-For and
// WebSockets. Where UDP arrives, pages use WebRTC; where it does not, the WebSocket goes through nginx, and the server
// sees the address of the page.
func TestNginx(t *testing.T) {
	t.Parallel()
	needNginx(t)
	playBehind(t, startNginx)
}

// playBehind plays with and without UDP behind a proxy with TLS and HTTP/2 on the server's machine, which start starts.
func playBehind(t *testing.T, start func(t testing.TB, listen netip.AddrPort, upstream string) (url string)) {
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{Delay: oneWay}, allLinks, behindNginx(t))
		w.url = start(t, freePort(t), w.url)
		p := w.tab()
		var protocol string
		p.do(`return performance.getEntriesByType("navigation")[0].nextHopProtocol;`, nil, &protocol)
		if protocol != "h2" {
			t.Errorf("the page came over %q, want h2", protocol)
		}
		p.do(`await join();`, nil, nil)
		receive(t, w.conns, "the first connection")
		p.do(`await until(Infinity, () => conn.link === "webrtc");`, nil, nil) // on a busy machine a WebSocket may be faster
		p.do(`await conn.close();`, nil, nil)

		w.dropUDP()
		p.do(`await join();`, nil, nil)
		c := receive(t, w.conns, "the second connection")
		if l := p.link(); l != "websocket" {
			t.Errorf("without UDP the session is on %q, want a WebSocket", l)
		}
		if got, want := c.RemoteAddr().Addr(), browser.Host(t).Next(); got != want {
			t.Errorf("the address of the page is %v, want %v", got, want)
		}
		p.wantSessionEcho(1)
		p.wantSessionEcho(50_000) // more than nginx buffers
	})
}

// needNginx skips the test where nginx is missing.
func needNginx(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("nginx is not installed")
	}
}

// behindNginx makes the server of a webWorld believe nginx.
func behindNginx(t testing.TB) func(c *godwit.Config) {
	host := browser.Host(t)
	return func(c *godwit.Config) {
		c.RTC.TrustedProxies = []netip.Prefix{netip.PrefixFrom(host, host.BitLen())}
	}
}

// startNginx runs nginx before an HTTP server until the test ends, and returns the URL of the page.
func startNginx(t testing.TB, listen netip.AddrPort, upstream string) string {
	t.Helper()
	address := listen.String()
	dir := t.TempDir()
	config := strings.NewReplacer("LISTEN", address, "LOCATION", readmeLocation(t, upstream)).Replace(nginxConfig)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	browser.WriteCertificate(t, dir, listen.Addr())
	cmd := exec.Command("nginx", "-p", dir+"/", "-c", "nginx.conf", "-e", "stderr")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) // it ends its workers
		waitProgram(cmd)
	})
	waitListening(t, address)
	return "https://" + address + "/play/"
}

// readmeLocation returns the location of the README, with another server behind it.
func readmeLocation(t testing.TB, upstream string) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s) *```nginx\n(.*?)```").FindSubmatch(readme)
	if m == nil {
		t.Fatal("the README has no configuration of nginx")
	}
	const shown = "http://127.0.0.1:8080/"
	if !strings.Contains(string(m[1]), shown) {
		t.Fatalf("the README's nginx passes nothing on to %s", shown)
	}
	return strings.ReplaceAll(string(m[1]), shown, upstream)
}
