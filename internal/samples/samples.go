// Package samples reads the samples of code in the documents, for the tests that compile and run them. A
// sample is a fence whose first line says so:
//
//	```go sample                       statements or declarations of Go
//	```js sample                       a module of a page; also ts
//	```go sample=start/main.go         the file main.go of the program "start"
//	```js sample=b/public/a.js from=a   the same; "b" begins with the files of "a"
//	```js sample=b/public/a.js from=start.md:a
//
// A program begins with the files that the program after from has by then, or at the end of another document. A
// file that is there already is replaced. Of a Go file that is there only the declarations of the same
// names are replaced, and the others added, so a page can show a change by its functions alone. A fence
// that begins with a package clause replaces the whole file.
//
// What a sample needs and the page does not show, such as declarations, is in a comment directly before the fence:
//
//	<!-- sample
//	declare const invite: string;
//	-->
//
// Only tests import it.
package samples

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A Fragment is a sample without a file.
type Fragment struct {
	Line     int // of the fence, or of the comment before it
	Language string
	Before   string // what the comment before the fence declares
	Text     string
}

// A Page is what a document has.
type Page struct {
	Fragments []Fragment
	Programs  map[string]Program
}

// A Program is its files by their names.
type Program map[string]string

var fence = regexp.MustCompile("(?ms)(?:^<!-- sample\n([^>]*(?:[^->]>[^>]*)*)^-->\n\n?)?^```(\\w+) sample(=\\S+)?(?: from=(\\S+))?\n(.*?)^```$")

// Read returns the samples of a document.
func Read(name string) (*Page, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p, err := parse(string(b), filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

// parse reads the text of a document in a directory.
func parse(text, dir string) (*Page, error) {
	p := &Page{Programs: make(map[string]Program)}
	for _, at := range fence.FindAllStringSubmatchIndex(text, -1) {
		group := func(n int) string {
			if at[2*n] < 0 {
				return ""
			}
			return text[at[2*n]:at[2*n+1]]
		}
		line := 1 + strings.Count(text[:at[0]], "\n")
		body := group(5)
		if group(3) == "" {
			p.Fragments = append(p.Fragments, Fragment{line, group(2), group(1), body})
			continue
		}
		if err := p.add(group(3)[1:], group(4), body, dir); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	return p, nil
}

// program returns the program that a document in a directory calls by this name.
func (p *Page) program(name, dir string) (Program, error) {
	from := p
	if document, inside, ok := strings.Cut(name, ":"); ok {
		var err error
		if from, err = Read(filepath.Join(dir, document)); err != nil {
			return nil, err
		}
		name = inside
	}
	if from.Programs[name] == nil {
		return nil, fmt.Errorf("there is no program %q", name)
	}
	return from.Programs[name], nil
}

// add adds a file to its program, which begins with the files of from.
func (p *Page) add(file, from, body, dir string) error {
	program, name, ok := strings.Cut(file, "/")
	if !ok {
		return fmt.Errorf("%q is no program and file", file)
	}
	files := p.Programs[program]
	if files == nil {
		files = make(Program)
		if from != "" {
			first, err := p.program(from, dir)
			if err != nil {
				return err
			}
			maps.Copy(files, first)
		}
		p.Programs[program] = files
	}
	if old := files[name]; old != "" && path.Ext(name) == ".go" && !strings.HasPrefix(body, "package ") {
		var err error
		if body, err = merge(old, body); err != nil {
			return err
		}
	}
	files[name] = body
	return nil
}

// merge returns a Go file with the declarations of a change.
func merge(file, change string) (string, error) {
	const head = "package p\n"
	changes, err := declarations(head + change)
	if err != nil {
		return "", err
	}
	olds, err := declarations(file)
	if err != nil {
		return "", err
	}
	for i := len(olds) - 1; i >= 0; i-- { // from the end, so that offsets stay right
		for k, c := range changes {
			if c.text != "" && c.name == olds[i].name {
				file = file[:olds[i].from] + c.text + file[olds[i].to:]
				changes[k].text = ""
			}
		}
	}
	for _, c := range changes {
		if c.text != "" {
			file += "\n" + c.text + "\n"
		}
	}
	return file, nil
}

// A declaration is one of the top level, with its comment.
type declaration struct {
	name, text string
	from, to   int
}

func declarations(text string) ([]declaration, error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "", text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var ds []declaration
	for _, d := range f.Decls {
		from, name := d.Pos(), ""
		switch d := d.(type) {
		case *ast.FuncDecl:
			if name = d.Name.Name; d.Recv != nil {
				name = fmt.Sprint(d.Recv.List[0].Type, name)
			}
			if d.Doc != nil {
				from = d.Doc.Pos()
			}
		case *ast.GenDecl:
			if d.Doc != nil {
				from = d.Doc.Pos()
			}
			name = d.Tok.String() + " " + first(d)
		}
		a, b := files.Position(from).Offset, files.Position(d.End()).Offset
		ds = append(ds, declaration{name, text[a:b], a, b})
	}
	return ds, nil
}

// first returns the first name of a declaration; imports are one declaration.
func first(d *ast.GenDecl) string {
	if len(d.Specs) == 0 {
		return ""
	}
	switch s := d.Specs[0].(type) {
	case *ast.TypeSpec:
		return s.Name.Name
	case *ast.ValueSpec:
		return s.Names[0].Name
	}
	return ""
}

// Module makes a Go module that has the module in the directory root, and returns its directory.
func Module(t testing.TB, root string) string {
	t.Helper()
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	const godwit = "github.com/godwit-rtc/godwit"
	dir := t.TempDir()
	Program{
		"go.sum": string(sums),
		"go.mod": fmt.Sprintf("module samples\n\ngo 1.26\n\nrequire %s v0.0.0\n\nreplace %s => %q\n", godwit, godwit, filepath.ToSlash(here)),
	}.Write(t, dir)
	return dir
}

// Write writes the program into a directory, and generates the code of its messages.
func (p Program) Write(t testing.TB, dir string) {
	t.Helper()
	for name, text := range p {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(p["messages.go"], "//go:generate") {
		Run(t, dir, "go", "generate")
	}
}

// Run runs a command in a directory of a module, and fails the test with its output if the command fails.
func Run(t testing.TB, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
}
