package godwit_test

import (
	"debug/buildinfo"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"testing"
)

// floors are the oldest versions without a fault that is known and that could reach
// us or our tests. Whoever adds a module with an advisory adds it here.
var floors = map[string]struct {
	version string
	why     string
	in      string // the go.mod that must have it; empty if none must
}{
	"github.com/pion/dtls/v3":            {"v3.1.15", "an ECDSA certificate that was only seen is accepted, a client's Finished is not compared", "go.mod"},
	"github.com/pion/stun/v3":            {"v3.1.5", "CVE-2026-54909, panic on a short XOR-MAPPED-ADDRESS", "go.mod"},
	"github.com/pion/ice/v4":             {"v4.4.1", "a busy loop on STUN, checks sent in lite mode", "go.mod"},
	"github.com/pion/sctp":               {"v1.11.1", "an invalid SACK changes state, a gap of 65,535 never ends", "go.mod"},
	"github.com/golang-jwt/jwt/v5":       {"v5.2.2", "CVE-2025-30204, memory for a header of many dots", "go.mod"},
	"golang.org/x/crypto":                {"v0.45.0", "CVE-2025-58181 and CVE-2025-47914, in ssh, which we do not use", "go.mod"},
	"golang.org/x/net":                   {"v0.45.0", "CVE-2025-47911 and CVE-2025-58190, in html, which we do not use", "go.mod"},
	"github.com/pion/webrtc/v4":          {"v4.2.18", "CVE-2021-28681 was in an older major version", "interop/go.mod"},
	"github.com/gorilla/websocket":       {"v1.4.1", "CVE-2020-27813, a length that overflows", ""},
	"github.com/quic-go/quic-go":         {"v0.59.1", "CVE-2026-40898 and older", "webtransport/go.mod"},
	"github.com/quic-go/webtransport-go": {"v0.11.1", "CVE-2026-57497 and older", "webtransport/go.mod"},
	"google.golang.org/protobuf":         {"v1.33.0", "CVE-2024-24786, an endless loop on JSON", ""},
	"github.com/nats-io/nats-server/v2":  {"v2.11.1", "CVE-2025-30215, missing access control", "fleet/go.mod"},
	"github.com/pion/interceptor":        {"v0.1.39", "CVE-2025-49140, panic on padding", "interop/go.mod"},
}

// parseVersion reads a version such as v3.1.15.
func parseVersion(t *testing.T, text string) []int {
	t.Helper()
	v := make([]int, 3)
	if _, err := fmt.Sscanf(text, "v%d.%d.%d", &v[0], &v[1], &v[2]); err != nil {
		t.Fatalf("version %q: %v", text, err)
	}
	return v
}

func isOlder(t *testing.T, version, floor string) bool {
	return slices.Compare(parseVersion(t, version), parseVersion(t, floor)) < 0
}

// required returns the modules of a go.mod with their versions.
func required(t *testing.T, name string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) (v\d\S+)`).FindAllSubmatch(b, -1) {
		found[string(m[1])] = string(m[2])
	}
	return found
}

// built returns the modules in the build information of the echo server; test binaries have no
// build information.
func built(t *testing.T) *debug.BuildInfo {
	t.Helper()
	name := filepath.Join(t.TempDir(), "echo.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", name, "./examples/echo").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	info, err := buildinfo.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// goMods returns the go.mod files of the repository, with the path of each from its root.
func goMods(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || len(d.Name()) > 1 && d.Name()[0] == '.'):
			return fs.SkipDir
		case d.Name() == "go.mod":
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// No module is older than its floor, in a server as it is built and in every go.mod file of
// the repository; and every module that must be found is found, so that the test can fail.
func TestNoModuleIsBelowItsFloor(t *testing.T) {
	info := built(t)
	inServer := make(map[string]string)
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		inServer[m.Path] = m.Version
	}
	all := map[string]map[string]string{"the echo server": inServer}
	for _, name := range goMods(t) {
		all[name] = required(t, name)
	}
	for where, modules := range all {
		for path, version := range modules {
			if f, ok := floors[path]; ok && isOlder(t, version, f.version) {
				t.Errorf("%s has %s %s, which is older than %s: %s", where, path, version, f.version, f.why)
			}
		}
	}
	for _, where := range []string{"the echo server", "go.mod", "fleet/go.mod", "interop/go.mod", "webtransport/go.mod"} {
		if modules := all[where]; modules["github.com/pion/dtls/v3"] == "" || modules["golang.org/x/crypto"] == "" {
			t.Errorf("%s has no pion/dtls or no x/crypto: %v", where, modules)
		}
	}
	for path, f := range floors {
		if f.in != "" && all[f.in][path] == "" {
			t.Errorf("%s does not have %s any more: if this is intended, remove its floor", f.in, path)
		}
	}
	for _, old := range []string{"v3.1.14", "v3.0.99", "v2.9.99"} {
		if !isOlder(t, old, "v3.1.15") {
			t.Errorf("%s is not older than v3.1.15", old)
		}
	}
	t.Logf("%s, and %d modules in the echo server", info.GoVersion, len(inServer))
}
