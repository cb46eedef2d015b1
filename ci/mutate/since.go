package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// functionsAt returns the functions of the package in dir at a commit: the code without comments, by name.
// Without a commit they are those of the files as they are.
func functionsAt(root, dir, commit string) (map[string]string, error) {
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	read := os.ReadFile
	if commit != "" {
		var out []byte
		if out, err = git(root, "ls-tree", "--name-only", commit, "./"+dir+"/"); err != nil {
			return nil, err
		}
		names = strings.Fields(string(out))
		read = func(name string) ([]byte, error) { return git(root, "show", commit+":./"+name) }
	}
	if err != nil {
		return nil, err
	}
	list := map[string]string{}
	for _, name := range names {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := read(name)
		if err != nil {
			return nil, err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path.Base(name), b, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				var text bytes.Buffer
				if err := printer.Fprint(&text, fset, fn); err != nil {
					return nil, err
				}
				list[functionName(fn)] = text.String()
			}
		}
	}
	return list, nil
}

// functionName is "Type.Method" or "Function".
func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}

// changedSince returns the functions of a package that a commit does not have, or has with other code.
func changedSince(root, dir, commit string) (map[string]bool, error) {
	before, err := functionsAt(root, dir, commit)
	if err != nil {
		return nil, err
	}
	now, err := functionsAt(root, dir, "")
	if err != nil {
		return nil, err
	}
	changed := map[string]bool{}
	for name, text := range now {
		if before[name] != text {
			changed[name] = true
		}
	}
	return changed, nil
}

func git(root string, args ...string) ([]byte, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}
