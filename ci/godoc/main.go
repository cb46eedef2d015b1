// Command godoc writes the documentation of the public Go packages as Markdown, one file for each
// package and an index, for the site:
//
//	go run ./ci/godoc DIR [MODULE ...]
//
// A MODULE is a directory with a go.mod; without one it is the current directory. The files are not
// committed: site/build.mjs makes them for each build.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is the path of the main module, which the paths of all packages begin with.
const module = "github.com/godwit-rtc/godwit"

// hidden are the directories whose packages no other module imports.
var hidden = []string{"ci/", "cmd/", "deploy/", "examples/", "fleet/examples/", "internal/", "web/test/"}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./ci/godoc DIR [MODULE ...]")
		os.Exit(2)
	}
	modules := os.Args[2:]
	if len(modules) == 0 {
		modules = []string{"."}
	}
	if err := run(os.Args[1], modules); err != nil {
		fmt.Fprintln(os.Stderr, "godoc:", err)
		os.Exit(1)
	}
}

func run(dir string, modules []string) error {
	var packages []*page
	for _, m := range modules {
		found, err := list(m)
		if err != nil {
			return err
		}
		packages = append(packages, found...)
	}
	slices.SortFunc(packages, func(a, b *page) int { return strings.Compare(a.path, b.path) })
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var index bytes.Buffer
	fmt.Fprintf(&index, "# Go packages\n\nThese pages are made from the comments in the code, as `go doc` prints them.\n\n| package | |\n| --- | --- |\n")
	for _, p := range packages {
		fmt.Fprintf(&index, "| [%s](%s) | %s |\n", p.name(), p.file(), inline(p.pkg.Synopsis(p.pkg.Doc)))
		if err := os.WriteFile(filepath.Join(dir, p.file()), p.markdown(), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "index.md"), index.Bytes(), 0o644)
}

// list returns the public packages of the module in a directory.
func list(dir string) ([]*page, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w", dir, err)
	}
	var packages []*page
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, err
		}
		inside := strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, module), "/") + "/"
		if slices.ContainsFunc(hidden, func(h string) bool { return strings.HasPrefix(inside, h) }) {
			continue
		}
		p, err := read(l)
		if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
}

// A listed is what "go list" says about a package.
type listed struct {
	ImportPath, Dir                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
}

// read parses the files of a package, those of its tests for the examples in them.
func read(l listed) (*page, error) {
	p := &page{path: l.ImportPath, files: token.NewFileSet()}
	var files []*ast.File
	for _, name := range slices.Concat(l.GoFiles, l.TestGoFiles, l.XTestGoFiles) {
		f, err := parser.ParseFile(p.files, filepath.Join(l.Dir, name), nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	var err error
	p.pkg, err = doc.NewFromFiles(p.files, files, l.ImportPath)
	return p, err
}
