package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/BurntSushi/toml"
)

// program returns examples/hosted, compiled once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "godwit-check")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "hosted")
	build := exec.Command("go", "build", "-o", path, "./examples/hosted")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

func hosted(t *testing.T) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// variables are the environment variables of examples/hosted: one for each flag.
var variables = sync.OnceValue(func() map[string]bool {
	all := make(map[string]bool)
	path, _ := program()
	out, _ := exec.Command(path, "-help").CombinedOutput() // with the status 2
	for _, m := range regexp.MustCompile(`(?m)^  -(\w+)`).FindAllStringSubmatch(string(out), -1) {
		all["GODWIT_"+strings.ToUpper(m[1])] = true
	}
	return all
})

// wantVariable expects that a variable whose name begins with GODWIT_ is one of the program.
func wantVariable(t *testing.T, where, name string) {
	t.Helper()
	if strings.HasPrefix(name, "GODWIT_") && !variables()[name] {
		t.Errorf("%s: examples/hosted has no variable %s", where, name)
	}
}

// Every variable of the program that a recipe names exists.
func TestVariables(t *testing.T) {
	hosted(t)
	if !variables()["GODWIT_DATA"] {
		t.Fatalf("the variables of the program are %v", variables())
	}
	files, err := filepath.Glob("../*/*")
	if err != nil || len(files) < 8 {
		t.Fatalf("the recipes are %q, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || strings.HasSuffix(file, ".go") {
			continue
		}
		for _, name := range regexp.MustCompile(`GODWIT_[A-Z]+`).FindAllString(string(b), -1) {
			wantVariable(t, file, name)
		}
	}
}

// needProgram skips the test where a program is missing.
func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// read returns a file with replacements, each of which must be in it.
func read(t *testing.T, file string, replace ...string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(b), replace[i]) {
			t.Fatalf("%s has no %q", file, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(string(b))
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// systemd finds nothing wrong with the units, and counts little to which the service is exposed.
func TestSystemd(t *testing.T) {
	needProgram(t, "systemd-analyze")
	dir := t.TempDir()
	service := write(t, dir, "godwit.service", read(t, "../systemd/godwit.service", "/usr/local/bin/hosted", hosted(t)))
	socket := write(t, dir, "godwit.socket", read(t, "../systemd/godwit.socket"))
	if out := run(t, "systemd-analyze", "verify", "--man=no", service, socket); strings.Contains(out, dir) {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
	out := strings.TrimSpace(run(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", service))
	t.Log(out[strings.LastIndexByte(out, '\n')+1:])
}

func TestNginx(t *testing.T) {
	needProgram(t, "nginx")
	needProgram(t, "openssl")
	dir := t.TempDir()
	run(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=game.example",
		"-keyout", filepath.Join(dir, "privkey.pem"), "-out", filepath.Join(dir, "fullchain.pem"))
	site := write(t, dir, "godwit.conf", read(t, "../nginx/godwit.conf", "/etc/letsencrypt/live/game.example/", dir+"/"))
	conf := write(t, dir, "nginx.conf", "pid "+dir+"/pid;\nevents {}\nhttp {\n\taccess_log off;\n\tinclude "+site+";\n}\n")
	if out := run(t, "nginx", "-t", "-q", "-e", "stderr", "-p", dir, "-c", conf); strings.Contains(out, "[warn]") {
		t.Errorf("nginx -t says\n%s", out)
	}
}

func TestCaddy(t *testing.T) {
	needProgram(t, "caddy")
	cmd := exec.Command("caddy", "validate", "--adapter", "caddyfile", "--config", "../compose/Caddyfile")
	cmd.Env = append(os.Environ(), "DOMAIN=game.example", "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The UDP port is the same outside and inside, as fly.io demands, and the program listens where it arrives.
func TestFly(t *testing.T) {
	var c struct {
		App           string
		PrimaryRegion string `toml:"primary_region"`
		KillSignal    string `toml:"kill_signal"`
		KillTimeout   string `toml:"kill_timeout"`
		Build         struct{ Dockerfile string }
		Env           map[string]string
		Services      []struct {
			Protocol     string
			InternalPort int    `toml:"internal_port"`
			AutoStop     string `toml:"auto_stop_machines"`
			Concurrency  struct {
				Type string
				Soft int `toml:"soft_limit"`
				Hard int `toml:"hard_limit"`
			}
			Ports []struct {
				Port       int
				Handlers   []string
				ForceHTTPS bool `toml:"force_https"`
			}
		}
		Checks map[string]struct {
			Type, Path, Interval, Timeout string
			Port                          int
		}
	}
	meta, err := toml.Decode(read(t, "../fly/fly.toml"), &c)
	if err != nil || len(meta.Undecoded()) > 0 {
		t.Fatalf("%v; unknown keys %v", err, meta.Undecoded())
	}
	if _, err := os.Stat(filepath.Join("../fly", c.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	udp := c.Services[0]
	if udp.Protocol != "udp" || len(udp.Ports) != 1 || udp.Ports[0].Port != udp.InternalPort || !strings.HasPrefix(c.Env["GODWIT_DATA"], "fly-global-services:") {
		t.Errorf("UDP: %+v, %v", udp, c.Env)
	}
}
