// Godwit-gen writes the code of typed messages: encoders and decoders in Go, and a module for pages.
//
//	//go:generate go run github.com/godwit-rtc/godwit/cmd/godwit-gen -js web/game.js
//
// is a line of the package with the table, a struct of handles of package typed. docs/messages.md has the
// types and tags of fields, and the format of the bytes.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/godwit-rtc/godwit/internal/gen"
)

const usage = `usage: godwit-gen [-js FILE] [-table NAME] [-go FILE] [-client MODULE] [-check] [DIR]

Reads the Go package in DIR, or in the current directory, and writes the methods
of the messages in its table into godwit_gen.go there. A table is a struct with
fields such as typed.ToClient[World].

  -js FILE        also write the module for pages: FILE.js, with FILE.d.ts beside it, or FILE.ts;
                  relative to DIR
  -table NAME     the type of the table, if the package has several
  -go FILE        the name of the file in Go (godwit_gen.go)
  -client MODULE  where the module's types come from (@godwit/client/types)
  -check          write nothing; fail if a file is not what would be written

Messages are structs. Their fields are of these types, and the tag godwit:"..."
says more:
  bool, integers, float32, float64   range=A..B, step=S, fixed, bigint, number
  string, []byte, slices, maps       max=N, which they need (bytes or elements)
  arrays, structs, pointers, time.Time, time.Duration (unit=1ms)
  integer types with constants 0, 1, 2 ..., which are enumerations
  interfaces with the comment //godwit:union Joined Left
Elements have their own part of the tag (each.max=16), and so do the keys of a
map (key.max=16). name=x is the name in TypeScript, and - leaves a field out.
`

func main() {
	err := run(os.Args[1:], os.Stdout)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprint(os.Stderr, "godwit-gen: ", line)
		}
		fmt.Fprintln(os.Stderr)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("godwit-gen", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	js := flags.String("js", "", "")
	table := flags.String("table", "", "")
	goFile := flags.String("go", "godwit_gen.go", "")
	client := flags.String("client", "@godwit/client/types", "")
	check := flags.Bool("check", false, "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(out, usage)
		return err
	} else if err != nil {
		return fmt.Errorf("%w; godwit-gen -help explains", err)
	}
	dir := "."
	if flags.NArg() > 0 {
		dir = flags.Arg(0)
	}
	if flags.NArg() > 1 {
		return fmt.Errorf("%q is too much; godwit-gen -help explains", flags.Arg(1))
	}
	files, err := generate(dir, *table, *goFile, *js, *client)
	if err != nil {
		return err
	}
	for _, f := range files {
		was, err := os.ReadFile(f.name)
		if err == nil && bytes.Equal(was, f.text) {
			continue
		}
		if *check {
			return fmt.Errorf("%s is not what godwit-gen writes: run go generate", f.name)
		}
		if err := os.WriteFile(f.name, f.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// file is a file to be written.
type file struct {
	name string
	text []byte
}

// generate returns the files for the package in dir.
func generate(dir, table, goFile, js, client string) ([]file, error) {
	p, err := gen.Load(dir, table, filepath.Base(goFile))
	if err != nil {
		return nil, err
	}
	text, err := p.Go()
	if err != nil {
		return nil, err
	}
	files := []file{{filepath.Join(dir, filepath.Base(goFile)), text}}
	if js == "" {
		return files, nil
	}
	if err := p.CollideScript(); err != nil {
		return nil, err
	}
	if !filepath.IsAbs(js) {
		js = filepath.Join(dir, js)
	}
	name, ok := strings.CutSuffix(js, ".ts")
	if ok && !strings.HasSuffix(name, ".d") {
		return append(files, file{js, []byte(p.Script(true, client).Code)}), nil
	}
	if name, ok = strings.CutSuffix(js, ".js"); !ok {
		return nil, fmt.Errorf("-js %s: the name ends in .js or .ts", js)
	}
	s := p.Script(false, client)
	return append(files, file{js, []byte(s.Code)}, file{name + ".d.ts", []byte(s.Types)}), nil
}
