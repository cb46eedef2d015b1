package interop

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// TestReadme writes the README's first program and page into a directory, and checks that
// they work. It changes only the addresses.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, page := block(t, readme, "go"), block(t, readme, "html")
	if n := strings.Count(program, "\n") + strings.Count(page, "\n"); n > 40 {
		t.Errorf("program and page have %d lines together, want at most 40", n)
	}
	address := freePort(t).String()
	program = strings.NewReplacer(`"localhost:8080"`, `"`+address+`"`, `":7777"`, `":0"`).Replace(program)

	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"main.go":           program,
		"public/index.html": `<script>const said = []; console.log = (text) => said.push(text);</script>` + page,
		"go.mod":            "module pasted\n\ngo 1.26\n\nrequire github.com/godwit-rtc/godwit v0.0.0\n\nreplace github.com/godwit-rtc/godwit => " + root + "\n",
		"go.sum":            string(sums),
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-mod=mod", "-o", "pasted")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start(t, dir, address)
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var said string
		err := b.Page(t, "http://"+address+"/").Eval(ctx, `
			while (!said.length) await new Promise((resolve) => setTimeout(resolve, 20));
			return said.join();`, nil, &said)
		if err != nil || said != "hello" {
			t.Errorf("the page has received %q, %v; want hello", said, err)
		}
	})
}

// block returns the first block of code in a language.
func block(t *testing.T, text []byte, language string) string {
	t.Helper()
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatalf("the README has no code block of %s", language)
	}
	return string(m[1])
}

// start runs the program until the test ends, and returns when it listens.
func start(t *testing.T, dir, address string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, "pasted"))
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		waitProgram(cmd)
	})
	waitListening(t, address)
}

// waitListening returns when something listens on a TCP address.
func waitListening(t testing.TB, address string) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for give := time.Now().Add(patience); ; <-again.C {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(give) {
			t.Fatalf("nothing listens on %s: %v", address, err)
		}
	}
}
