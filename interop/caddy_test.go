package interop

import (
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// TestCaddy is TestNginx with Caddy, and the Caddyfile of deploy/compose. It has the certificate of the tests in place of one of a
// CA.
func TestCaddy(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("caddy"); err != nil {
		t.Skip("caddy is not installed")
	}
	playBehind(t, startCaddy)
}

// startCaddy runs Caddy before an HTTP server until the test ends, and returns the URL of the page.
func startCaddy(t testing.TB, listen netip.AddrPort, upstream string) string {
	t.Helper()
	site := "https://" + listen.String()
	recipe, err := os.ReadFile("../deploy/compose/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	const inside, begin = "game:8080", "{$DOMAIN:localhost} {\n"
	if text := string(recipe); strings.Count(text, inside) != 1 || strings.Count(text, begin) != 1 {
		t.Fatalf("the Caddyfile has changed:\n%s", text)
	}
	dir := t.TempDir()
	browser.WriteCertificate(t, dir, listen.Addr())
	text := "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" +
		strings.NewReplacer(inside, to.Host, begin, begin+"\ttls "+dir+"/cert.pem "+dir+"/key.pem\n").Replace(string(recipe))
	if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
	cmd.Env = append(os.Environ(), "DOMAIN="+site, "HOME="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		waitProgram(cmd)
	})
	waitListening(t, strings.TrimPrefix(site, "https://"))
	return site + "/"
}
