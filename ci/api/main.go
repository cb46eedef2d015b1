// Command api writes the public names of the module into the directory api: one file for each
// package and one line for each name. So a change of the API is a change of a file:
//
//	go run ./ci/api          # writes the files
//	go run ./ci/api -check   # compares them with the code
//	go run ./ci/api -count   # prints how many names and lines each package has
//	git diff v0.1.0 -- api   # what has changed since a release
//
// A line has everything that a program can depend on: the type of a variable, the value of a
// constant, the parameters of a func, a field of a struct. It has no names of parameters, and
// nothing of the documentation. The files are of linux/amd64, on every machine.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const dir = "api"

// hidden are the directories whose packages nobody outside imports.
var hidden = []string{"ci/", "cmd/", "examples/", "internal/", "web/test/"}

func main() {
	check := flag.Bool("check", false, "compare the files with the code, and write nothing")
	counts := flag.Bool("count", false, "print how many names and lines each package has, and write nothing")
	flag.Parse()
	if err := run(*check, *counts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(check, counts bool) error {
	packages, err := public()
	if err != nil {
		return err
	}
	if counts {
		printCounts(os.Stdout, packages)
		return nil
	}
	files := make(map[string]string)
	for name, p := range packages {
		if names := lines(p); len(names) > 0 {
			files[name] = strings.Join(names, "\n") + "\n"
		}
	}
	if check {
		return compare(os.Stdout, files)
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// printCounts prints what is in each file, and the sums.
func printCounts(w io.Writer, packages map[string]*types.Package) {
	var names, all int
	row := func(what string, n, l int) { fmt.Fprintf(w, "%-12s %5d names %5d lines\n", what, n, l) }
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		n, l := count(packages[name]), len(lines(packages[name]))
		if l > 0 {
			row(strings.TrimSuffix(filepath.Base(name), ".txt"), n, l)
		}
		names, all = names+n, all+l
	}
	row("all", names, all)
}

// public returns each public package by the name of its file.
func public() (map[string]*types.Package, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-f",
		"{{.ImportPath}}\t{{.Export}}\t{{with .Module}}{{if .Main}}{{.Path}}{{end}}{{end}}", "./...")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("api: go list: %w", err)
	}
	exports := make(map[string]string)
	paths := make(map[string]string) // name of a file to import path
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			return nil, fmt.Errorf("api: go list says %q", line)
		}
		exports[f[0]] = f[1]
		if f[2] == "" {
			continue
		}
		inside := strings.TrimPrefix(strings.TrimPrefix(f[0], f[2]), "/") + "/"
		if !slices.ContainsFunc(hidden, func(h string) bool { return strings.HasPrefix(inside, h) }) {
			name := strings.ReplaceAll(strings.TrimSuffix(inside, "/"), "/", "_")
			if name == "" {
				name = path.Base(f[2])
			}
			paths[filepath.Join(dir, name+".txt")] = f[0]
		}
	}
	imports := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	packages := make(map[string]*types.Package)
	for name, path := range paths {
		if packages[name], err = imports.Import(path); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	return packages, nil
}

// compare prints the lines that files have and the directory has not, and the other way
// round, and returns an error if there are any.
func compare(w io.Writer, files map[string]string) error {
	written, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return err
	}
	same := true
	names := slices.AppendSeq(written, maps.Keys(files))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		b, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
		if d := diff(string(b), files[name]); len(d) > 0 {
			same = false
			fmt.Fprintf(w, "%s\n%s\n", filepath.ToSlash(name), strings.Join(d, "\n"))
		}
	}
	if same {
		return nil
	}
	return fmt.Errorf("the public names differ from the files of %s/: run \"go run ./ci/api\", "+
		"commit the files, and write each line into CHANGELOG.md", dir)
}

// diff returns the lines that only one of two sorted texts has.
func diff(old, now string) (d []string) {
	has := func(text, line string) bool { return strings.Contains("\n"+text, "\n"+line) }
	for line := range strings.Lines(old) {
		if !has(now, line) {
			d = append(d, "- "+strings.TrimSuffix(line, "\n"))
		}
	}
	for line := range strings.Lines(now) {
		if !has(old, line) {
			d = append(d, "+ "+strings.TrimSuffix(line, "\n"))
		}
	}
	return d
}
