package gen

import (
	"errors"
	"fmt"
	"go/importer"
	"go/parser"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestErrorsNameTheField reads a package in which nearly every field is wrong. The comment behind a field is the
// beginning of its error.
func TestErrorsNameTheField(t *testing.T) {
	const file = "testdata/bad/bad.go"
	_, err := Load("testdata/bad", "", "godwit_gen.go")
	wantErrors(t, file, err)
}

// TestErrorsNameTheCollision reads a package whose names are in the way of the generated code.
func TestErrorsNameTheCollision(t *testing.T) {
	p, err := Load("testdata/collide", "", "godwit_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Go()
	wantErrors(t, "testdata/collide/collide.go", errors.Join(err, p.CollideScript()))
	if text := p.Script(false, "").Code; !strings.Contains(text, "const order_ = ") {
		t.Errorf("the variable of a field has the name of a func:\n%s", text)
	}
}

// wantErrors compares the lines of an error with the comments in a file.
func wantErrors(t *testing.T, file string, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	got := map[string]bool{}
	for line := range strings.Lines(err.Error()) {
		got[strings.TrimSpace(line)] = true
	}
	text, _ := os.ReadFile(file)
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		_, want, ok := strings.Cut(line, "// ")
		if !ok || strings.HasPrefix(line, "// ") {
			continue
		}
		want = fmt.Sprintf("%s:%d: %s", file, n, strings.TrimSpace(want))
		found := false
		for e := range got {
			if strings.HasPrefix(e, want) {
				found = true
				delete(got, e)
			}
		}
		if !found {
			t.Errorf("no error %s", want)
		}
	}
	for e := range got {
		t.Errorf("not expected: %s", e)
	}
}

func TestOneTable(t *testing.T) {
	for _, c := range []struct{ dir, table, want string }{
		{"testdata/bad", "Good", "has no struct Good with fields such as typed.ToClient[World]"},
		{".", "", "has no table: a struct with fields such as typed.ToClient[World]"},
		{"testdata", "", "no Go files"},
		{"sample", "Table", ""},
	} {
		_, err := Load(c.dir, c.table, "godwit_gen.go")
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %s: %v, want %s", c.dir, c.table, err, c.want)
		}
	}
}

// The error for a package that cannot be read says why. An import is never a flag of the go command, which has some
// that run programs.
func TestPackagesThatCannotBeRead(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "nowhere"), "", ""); err == nil || !strings.HasPrefix(err.Error(), "go list: ") {
		t.Errorf("no directory: %v", err)
	}
	for _, c := range []struct{ file, text, want string }{
		{"game_test.go", "package game\n", "no Go package in "},
		{"game.go", "package game\n\nfunc {\n", "game.go:3:"},
		{"game.go", "package game\n\nimport _ \"-toolexec\"\n", "package game has no table"},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"go.mod": "module game\n", c.file: c.text} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Load(dir, "", ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: %v, want %s", c.file, c.text, err, c.want)
		}
	}
}

// The variables of unions in one struct have different names, also if a union has only one member.
func TestUnionsOfOneMember(t *testing.T) {
	const dir = "testdata/unions"
	l, err := load(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(dir, "", "godwit_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	code, err := p.Go()
	if err != nil {
		t.Fatal(err)
	}
	made, err := parser.ParseFile(l.fset, "godwit_gen.go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: importer.ForCompiler(l.fset, "gc", l.open)}
	if _, err := config.Check(dir, l.fset, append(l.files, made), nil); err != nil {
		t.Errorf("the generated code does not build: %v\n%s", err, code)
	}
}
