package main

import (
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/version"
)

// update writes what go generate and go mod tidy make of the templates into the templates:
//
//	go test ./cmd/godwit-new -run TestGames -update
var update = flag.Bool("update", false, "write the generated files of the templates")

// generated are the files of a template that go generate makes.
var generated = []string{"godwit_gen.go", "public/table.js", "public/table.d.ts"}

// local is this program as go run builds it in a checkout.
var local = &debug.BuildInfo{Main: debug.Module{Path: godwit, Version: "(devel)"}}

// write runs godwit-new for a new directory, whose last part is name, and returns the directory and the output.
func write(t *testing.T, name string, args ...string) (dir, out string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), name)
	var b strings.Builder
	if err := run(append(args, dir), &b, local); err != nil {
		t.Fatal(err)
	}
	return dir, b.String()
}

// command runs a program in dir. It fails the test if the program fails.
func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A game of each template is formatted and vetted, its tests pass, and its generated files are what go generate makes.
func TestGames(t *testing.T) {
	for i, template := range templates() {
		t.Run(template, func(t *testing.T) {
			dir, _ := write(t, "mygame", "-template", template)
			if *update {
				renew(t, dir, template, i == 0)
				return
			}
			if out := command(t, dir, "gofmt", "-l", "."); out != "" {
				t.Errorf("not formatted by gofmt: %s", out)
			}
			was := make(map[string]string)
			for _, name := range generated {
				was[name] = read(t, filepath.Join(dir, name))
			}
			command(t, dir, "go", "generate", "./...")
			for name, text := range was {
				if read(t, filepath.Join(dir, name)) != text {
					t.Errorf("%s is not what go generate makes: run go test ./cmd/godwit-new -run TestGames -update", name)
				}
			}
			command(t, dir, "go", "vet", "./...")
			if out := command(t, dir, "go", "test", "-vet=off", "-count=1", "./..."); !strings.HasPrefix(out, "ok") {
				t.Errorf("go test prints %s", out)
			}
		})
	}
}

// renew writes the generated files of a game into its template, and with common those of go mod tidy.
func renew(t *testing.T, dir, template string, common bool) {
	to := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join("templates", dir, name+suffix), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if common {
		// What is in the go.sum of godwit keeps go mod tidy from asking anybody.
		if err := os.WriteFile(filepath.Join(dir, "go.sum"), []byte(read(t, "../../go.sum")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOFLAGS", os.Getenv("GOFLAGS")+" -mod=mod")
	command(t, dir, "go", "generate", "./...")
	for _, name := range generated {
		to(template, name, read(t, filepath.Join(dir, name)))
	}
	if !common {
		return
	}
	command(t, dir, "go", "mod", "tidy")
	mod, _, _ := strings.Cut(read(t, filepath.Join(dir, "go.mod")), "\nreplace ")
	to("common", "go.mod", strings.NewReplacer("module mygame", "module @MODULE@", version.Version, "@VERSION@").Replace(mod))
	own := fmt.Sprintf("%s @VERSION@ @SUM@\n%[1]s @VERSION@/go.mod %s\n", godwit, sumOfMod(read(t, "../../go.mod")))
	to("common", "go.sum", sorted(own+read(t, filepath.Join(dir, "go.sum"))))
}

// sumOfMod returns the hash of a go.mod as go.sum has it.
// https://go.dev/ref/mod#go-sum-files
func sumOfMod(text string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%x  go.mod\n", sha256.Sum256([]byte(text))))
	return "h1:" + base64.StdEncoding.EncodeToString(sum[:])
}

// sorted returns the lines of a go.sum in order.
func sorted(text string) string {
	lines := slices.Sorted(strings.Lines(text))
	return strings.Join(lines, "")
}

// The game of a release requires the release, with its hashes, and every hash in its go.sum is one of this module's go.sum.
func TestModuleOfARelease(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mygame")
	release := &debug.BuildInfo{Main: debug.Module{Path: godwit, Version: "v1.2.3", Sum: "h1:released"}}
	var out strings.Builder
	if err := run([]string{dir}, &out, release); err != nil {
		t.Fatal(err)
	}
	mod, sums := read(t, filepath.Join(dir, "go.mod")), read(t, filepath.Join(dir, "go.sum"))
	if !strings.Contains(mod, "\nrequire "+godwit+" v1.2.3\n") || strings.Contains(mod, "replace") {
		t.Errorf("go.mod is\n%s\nwant one that requires v1.2.3, without replace", mod)
	}
	if strings.Contains(out.String(), "checkout") {
		t.Errorf("the output speaks of a checkout:\n%s", &out)
	}
	own := map[string]bool{
		godwit + " v1.2.3 h1:released\n":                                      true,
		godwit + " v1.2.3/go.mod " + sumOfMod(read(t, "../../go.mod")) + "\n": true,
	}
	ours := read(t, "../../go.sum")
	for line := range strings.Lines(sums) {
		if !own[line] && !strings.Contains(ours, line) {
			t.Errorf("go.sum has %q, which the go.sum of godwit has not: run go test ./cmd/godwit-new -run TestGames -update", line)
		}
		delete(own, line)
	}
	for line := range own {
		t.Errorf("go.sum has no %q: run go test ./cmd/godwit-new -run TestGames -update", line)
	}
}

// The game of a checkout has a line replace, and needs no hash of godwit.
func TestModuleOfACheckout(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, out := write(t, "My Game!")
	mod, sums := read(t, filepath.Join(dir, "go.mod")), read(t, filepath.Join(dir, "go.sum"))
	if !strings.HasPrefix(mod, "module my-game\n") || !strings.HasSuffix(mod, "\nreplace "+godwit+" => "+quote(root)+"\n") {
		t.Errorf("go.mod is\n%s\nwant the module my-game, with a line replace", mod)
	}
	if !strings.Contains(mod, "\nrequire "+godwit+" "+version.Version+"\n") {
		t.Errorf("go.mod is\n%s\nwant the version %s", mod, version.Version)
	}
	if strings.Contains(sums, godwit+" ") || !strings.Contains(sums, "\n") {
		t.Errorf("go.sum is\n%s\nwant the hashes of other modules", sums)
	}
	for _, want := range []string{"cd '" + dir + "'\n", "go run .", "go test ./...", root} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %s in\n%s", want, out)
		}
	}
	for _, name := range []string{"README.md", "public/index.html"} {
		if text := read(t, filepath.Join(dir, name)); !strings.Contains(text, "my-game") || strings.Contains(text, "@") {
			t.Errorf("%s does not have the name of the game:\n%s", name, text)
		}
	}
	dir, _ = write(t, "other", "-module", "example.com/games/Chess", "-replace", "../..")
	mod = read(t, filepath.Join(dir, "go.mod"))
	if !strings.HasPrefix(mod, "module example.com/games/Chess\n") {
		t.Error("-module is not the path of the module")
	}
	if !strings.Contains(mod, "\nrequire "+godwit+" "+version.Version+"\n") || !strings.HasSuffix(mod, "\nreplace "+godwit+" => "+quote(root)+"\n") {
		t.Errorf("with -replace go.mod is\n%s\nwant the version %s and a line replace", mod, version.Version)
	}
}

func TestDirectoryMustBeEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := run([]string{"-template", "blank", dir}, io.Discard, local); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
	err := run([]string{dir}, io.Discard, local)
	if err == nil || !strings.Contains(err.Error(), dir+" is not empty, it has .dockerignore: choose another directory") {
		t.Errorf("a directory with a game: %v", err)
	}
	name := filepath.Join(dir, "go.mod")
	if err := run([]string{name}, io.Discard, local); err == nil || !strings.Contains(err.Error(), name+" is a file: choose another directory") {
		t.Errorf("a file: %v", err)
	}
	if strings.Contains(read(t, filepath.Join(dir, "game.go")), "speed") {
		t.Error("the refused game is written")
	}
}

func TestArguments(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"--help"}, &out, local); err != nil || !strings.HasPrefix(out.String(), "usage: godwit-new") {
		t.Errorf("%v, %s", err, &out)
	}
	for _, template := range templates() {
		if !strings.Contains(out.String(), "  "+template+" ") {
			t.Errorf("the usage does not have the template %s", template)
		}
	}
	if o, err := parse([]string{"game", "-template", "chat"}); err != nil || o.dir != "game" || o.template != "chat" {
		t.Errorf("flags after the directory: %+v, %v", o, err)
	}
	dir := filepath.Join(t.TempDir(), "game")
	for want, args := range map[string][]string{
		"name a directory": {"-template", "chat"},
		"-what":            {"-what", dir},
		`"b" is too much after the directory "a"`:     {"a", "b"},
		`there is no template "chess", but boxes, ch`: {dir, "-template", "chess"},
		`"a b" is not good as the path of a module`:   {"-module", "a b", dir},
		"is no checkout of godwit":                    {"-replace", t.TempDir(), dir},
	} {
		if err := run(args, io.Discard, local); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("wrong arguments have written a game")
	}
}

func TestModuleNames(t *testing.T) {
	for dir, want := range map[string]string{"game": "game", "My Game!": "my-game", "..": "game", "std": "game", "time": "game", "Ä": "game", "v2.0": "v2.0"} {
		if got := moduleName(dir); got != want || checkModule(got) != nil {
			t.Errorf("the module in %q is %q, %v; want %q", dir, got, checkModule(got), want)
		}
	}
	for _, module := range []string{"", "/a", "a/", "a//b", "a b", "a.", "a./b", "std", "cmd", "time", "image/draw", godwit} {
		if checkModule(module) == nil {
			t.Errorf("the path %q is good", module)
		}
	}
}

// A module with the path of one of Go's own packages cannot be built.
func TestStandardPackagesAreKnown(t *testing.T) {
	for path := range strings.Lines(command(t, ".", "go", "list", "std")) {
		if path = strings.TrimSpace(path); !isStandard(path) {
			t.Errorf("the list of Go's own packages has no %s", path)
		}
	}
}

// Where a go.work is in force, go run needs the game in it, and the output says so.
func TestWorkspace(t *testing.T) {
	t.Setenv("GOWORK", "")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.work"), []byte("go 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run([]string{filepath.Join(dir, "game")}, &out, local); err != nil || !strings.Contains(out.String(), "go work use .") {
		t.Errorf("%v, %s; want the hint for go.work", err, &out)
	}
	t.Setenv("GOWORK", "off")
	if _, out := write(t, "game"); strings.Contains(out, "go work") {
		t.Errorf("a hint without go.work:\n%s", out)
	}
}
