package gen

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// loader has the Go package with the table, and what is known about the packages that it imports.
type loader struct {
	fset  *token.FileSet
	files []*ast.File
	pkg   *types.Package
	deps  map[string]listed              // by path
	docs  map[string]map[string][]string // the lines of //godwit:union, by path of package and name of type
	base  string                         // what positions are relative to
}

// listed is what go list says about a package.
type listed struct {
	ImportPath string
	Dir        string
	Export     string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Error      *struct{ Err string }
}

// load parses and checks the package in dir without the file named skip, which has the generated code.
// The program cannot be complete without that file, so errors of types are no errors here: what the
// table needs is found or not.
func load(dir, skip string) (*loader, error) {
	list, err := goList(dir, "-e", "-json=ImportPath,Dir,GoFiles,CgoFiles,Imports,Error", ".")
	if err != nil {
		return nil, err
	}
	if len(list) != 1 || len(list[0].GoFiles)+len(list[0].CgoFiles) == 0 {
		if len(list) == 1 && list[0].Error != nil {
			return nil, errors.New(list[0].Error.Err)
		}
		return nil, fmt.Errorf("no Go package in %s", dir)
	}
	l := &loader{fset: token.NewFileSet(), deps: map[string]listed{}, docs: map[string]map[string][]string{}}
	l.base, _ = os.Getwd()
	if err := l.parse(list[0], skip); err != nil {
		return nil, err
	}
	if imports := l.imports(); len(imports) > 0 {
		deps, err := goList(dir, append([]string{"-e", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "--"}, imports...)...)
		if err != nil {
			return nil, err
		}
		for _, d := range deps {
			l.deps[d.ImportPath] = d
		}
	}
	config := types.Config{
		Importer: importer.ForCompiler(l.fset, "gc", l.open),
		Error:    func(error) {},
	}
	l.pkg, _ = config.Check(list[0].ImportPath, l.fset, l.files, nil)
	return l, nil
}

// parse reads the files of the package with the table.
func (l *loader) parse(p listed, skip string) error {
	for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
		if name == skip {
			continue
		}
		f, err := parser.ParseFile(l.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		l.files = append(l.files, f)
	}
	l.docs[p.ImportPath] = unions(l.files)
	return nil
}

// imports returns the paths that the files import.
func (l *loader) imports() []string {
	var all []string
	for _, f := range l.files {
		for _, i := range f.Imports {
			if path := strings.Trim(i.Path.Value, `"`); path != "C" && path != "unsafe" {
				all = append(all, path)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// open returns the export data of a package.
func (l *loader) open(path string) (io.ReadCloser, error) {
	if l.deps[path].Export == "" {
		return nil, fmt.Errorf("package %s does not build", path)
	}
	return os.Open(l.deps[path].Export)
}

// union returns the names in the comment //godwit:union of a type.
func (l *loader) union(t *types.TypeName) []string {
	path := t.Pkg().Path()
	if _, ok := l.docs[path]; !ok {
		var files []*ast.File
		for _, name := range l.deps[path].GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(l.deps[path].Dir, name), nil, parser.ParseComments)
			if err == nil {
				files = append(files, f)
			}
		}
		l.docs[path] = unions(files)
	}
	return l.docs[path][t.Name()]
}

// unions returns the names in the comments //godwit:union of the types in files.
func unions(files []*ast.File) map[string][]string {
	found := map[string][]string{}
	for _, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, s := range g.Specs {
				t := s.(*ast.TypeSpec)
				doc := t.Doc
				if doc == nil {
					doc = g.Doc
				}
				if doc == nil {
					continue
				}
				for _, c := range doc.List {
					if names, ok := strings.CutPrefix(c.Text, "//godwit:union "); ok {
						found[t.Name.Name] = append(found[t.Name.Name], strings.Fields(names)...)
					}
				}
			}
		}
	}
	return found
}

// at returns a position for an error.
func (l *loader) at(pos token.Pos) string {
	p := l.fset.Position(pos)
	if rel, err := filepath.Rel(l.base, p.Filename); err == nil && !strings.HasPrefix(rel, "..") {
		p.Filename = rel
	}
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// goList runs go list.
func goList(dir string, args ...string) ([]listed, error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
}
