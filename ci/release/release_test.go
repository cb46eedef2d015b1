package main

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/version"
)

// The Go modules and the client for npm have the version that the programs print.
func TestVersionsAgree(t *testing.T) {
	if v, err := agree("../.."); err != nil || v != version.Version {
		t.Errorf("the version is %s, %v; want %s", v, err, version.Version)
	}
	if !semver.MatchString(version.Version) {
		t.Errorf("%s is no version", version.Version)
	}
}

// -set changes all places and nothing else; after that a place with another version is found.
func TestSet(t *testing.T) {
	dir, was := t.TempDir(), make(map[string][]byte)
	for _, p := range places {
		text, err := os.ReadFile(filepath.Join("../..", p.file))
		if err != nil {
			t.Fatal(err)
		}
		was[p.file] = text
		name := filepath.Join(dir, p.file)
		os.MkdirAll(filepath.Dir(name), 0o777)
		if err := os.WriteFile(name, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := set(dir, "v0.9.0-rc.1"); err != nil {
		t.Fatal(err)
	}
	if v, err := agree(dir); err != nil || v != "v0.9.0-rc.1" {
		t.Errorf("after -set the version is %s, %v", v, err)
	}
	if err := set(dir, version.Version); err != nil {
		t.Fatal(err)
	}
	for name, want := range was {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(text, want) {
			t.Errorf("%s is not what it was after two changes of the version (%v)", name, err)
		}
	}
	for i, p := range places[1:] {
		if err := p.write(dir, "v0.9.9"); err != nil {
			t.Fatal(err)
		}
		if _, err := agree(dir); err == nil || !strings.Contains(err.Error(), p.file+" has the version v0.9.9") {
			t.Errorf("place %d of %s has another version: %v", i+1, p.file, err)
		}
		if err := p.write(dir, version.Version); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []string{"", "0.2.0", "v0.2", "v2.0.0", "v0.2.0-beta", "v0.02.0"} {
		if set(dir, v) == nil {
			t.Errorf("-set %q is accepted", v)
		}
	}
}

// What -unreplace leaves of a module is the same without its line replace.
func TestUnreplace(t *testing.T) {
	dir, was := t.TempDir(), make(map[string][]byte)
	for _, m := range modules[1:] {
		text, err := os.ReadFile(filepath.Join("../..", m, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		was[m] = text
		os.Mkdir(filepath.Join(dir, m), 0o777)
		if err := os.WriteFile(filepath.Join(dir, m, "go.mod"), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := unreplace(dir); err != nil {
		t.Fatal(err)
	}
	for m, text := range was {
		left, err := os.ReadFile(filepath.Join(dir, m, "go.mod"))
		want := bytes.Replace(text, []byte("replace "+root+" => ../\n\n"), nil, 1)
		if err != nil || !bytes.Equal(left, want) || bytes.Contains(left, []byte("replace")) {
			t.Errorf("%s/go.mod is\n%s(%v), want\n%s", m, left, err, want)
		}
	}
}

// The licence of the repository is also in the packages for npm.
func TestLicences(t *testing.T) {
	ours, err1 := os.ReadFile("../../LICENSE")
	for _, name := range []string{"web/LICENSE", "web/react/LICENSE"} {
		theirs, err2 := os.ReadFile(filepath.Join("../..", name))
		if err1 != nil || err2 != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("LICENSE and %s differ (%v, %v)", name, err1, err2)
		}
	}
}

// Dependabot looks at each directory with a go.mod or a package-lock.json. A workflow that may publish runs no code of dependencies
// in the job that has the right.
func TestGitHub(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "ls-files", "*go.mod", "*package-lock.json").Output()
	if err != nil {
		t.Skipf("git ls-files: %v", err)
	}
	settings := string(testkit.Must(os.ReadFile("../../.github/dependabot.yml")))
	for file := range strings.Lines(string(out)) {
		if dir := "/" + strings.Trim(path.Dir(file), "."); !regexp.MustCompile(`["\s]` + dir + `["\s]`).MatchString(settings) {
			t.Errorf(".github/dependabot.yml does not have %s", dir)
		}
	}
	for _, name := range []string{"publish.yml", "site.yml"} {
		text := string(testkit.Must(os.ReadFile("../../.github/workflows/" + name)))
		at := strings.Index(text, "\n  publish:\n")
		if at < 0 || strings.Contains(text[:at], "id-token") || !strings.Contains(text[at:], "id-token: write") ||
			strings.Contains(text[at:], "npm ci") || strings.Contains(text[at:], "checkout") || strings.Contains(text[at:], "./test") {
			t.Errorf("%s: the job publish alone has the right to publish, and runs nothing of the repository", name)
		}
	}
}
