// Godwit-new writes a complete game to begin with: a server, typed messages, a page, tests and a Dockerfile.
//
//	go run github.com/godwit-rtc/godwit/cmd/godwit-new mygame
//	cd mygame
//	go run .
//
// See godwit-new -help, and docs/new.md.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

const usage = `usage: godwit-new [-template boxes|chat|blank] [-module PATH] [-replace PATH] DIR

Writes a complete game into DIR, which must be empty or not exist yet: a server in
Go, typed messages, a page, tests, a Dockerfile and a README.md.

  -template NAME  boxes  players move boxes over one board (the default)
                  chat   people with names, who read what the others say
                  blank  one message that the server sends back
  -module PATH    the module path of the game (the last part of DIR, in small letters)
  -replace PATH   take godwit from the checkout in PATH, by a line "replace" of go.mod;
                  by default so if godwit-new itself was built in a checkout
`

func main() {
	b, _ := debug.ReadBuildInfo() // nil without modules: origin explains
	err := run(os.Args[1:], os.Stdout, b)
	if err != nil {
		fmt.Fprintln(os.Stderr, "godwit-new:", err)
		os.Exit(1)
	}
}

// options are the arguments.
type options struct {
	dir, template, module, replace string
}

// parse reads the arguments. Flags may follow the directory.
func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("godwit-new", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.template, "template", "boxes", "")
	f.StringVar(&o.module, "module", "", "")
	f.StringVar(&o.replace, "replace", "", "")
	for rest := args; ; rest = f.Args()[1:] {
		if err := f.Parse(rest); err != nil {
			return o, err
		}
		if f.NArg() == 0 {
			break
		}
		if o.dir != "" {
			return o, fmt.Errorf("%q is too much after the directory %q", f.Arg(0), o.dir)
		}
		o.dir = f.Arg(0)
	}
	if o.dir == "" {
		return o, errors.New("name a directory, such as mygame")
	}
	return o, nil
}

// run does what the arguments say. b describes this program.
func run(args []string, out io.Writer, b *debug.BuildInfo) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(out, usage)
		return err
	}
	if err != nil {
		return fmt.Errorf("%w; godwit-new -help explains", err)
	}
	if !slices.Contains(templates(), o.template) {
		return fmt.Errorf("there is no template %q, but %s", o.template, strings.Join(templates(), ", "))
	}
	abs, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if o.module == "" {
		o.module = moduleName(filepath.Base(abs))
	}
	if err := checkModule(o.module); err != nil {
		return err
	}
	from, err := findOrigin(o.replace, b)
	if err != nil {
		return err
	}
	if err := mustBeEmpty(o.dir); err != nil {
		return err
	}
	files, err := from.game(o.template, o.module)
	if err != nil {
		return err
	}
	for _, f := range files {
		name := filepath.Join(o.dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(f.text), 0o666); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%s has a game now, of the template %s: %d files. Next:\n\n", o.dir, o.template, len(files))
	if abs != currentDir() {
		fmt.Fprintf(out, "  cd %s\n", shellWord(o.dir))
	}
	if work := workspace(abs); work != "" {
		fmt.Fprintf(out, "  go work use .   # because of %s\n", work)
	}
	fmt.Fprint(out, "  go run .        # prints the URL of the game: open it in two windows\n",
		"  go test ./...   # plays it without a browser\n\nREADME.md says what the files are.\n")
	if from.replace != "" {
		fmt.Fprintf(out, "go.mod takes godwit from the checkout %s.\n", from.replace)
	}
	return nil
}

// mustBeEmpty returns an error if dir has files in it, or is one.
func mustBeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		if i, err := os.Stat(dir); err == nil && !i.IsDir() {
			return fmt.Errorf("%s is a file: choose another directory", dir)
		}
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty, it has %s: choose another directory", dir, entries[0].Name())
	}
	return nil
}

// currentDir returns the current directory, or "" if the system does not know it.
func currentDir() string {
	dir, _ := os.Getwd()
	return dir
}

// workspace returns the go.work that is in force in dir, or "".
func workspace(dir string) string {
	if env := os.Getenv("GOWORK"); env != "" {
		return strings.TrimPrefix(env, "off")
	}
	for ; ; dir = filepath.Dir(dir) {
		if i, err := os.Stat(filepath.Join(dir, "go.work")); err == nil && !i.IsDir() {
			return filepath.Join(dir, "go.work")
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// shellWord returns s as one word of a shell.
func shellWord(s string) string {
	if strings.ContainsAny(s, " '\"$&;()*?<>|\\`") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
