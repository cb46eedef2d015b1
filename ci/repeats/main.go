// Command repeats finds code that two source files have in common: runs of lines that
// are equal, or equal after names are replaced one by one. Comments, blank lines, imports
// and lines that only list names, as those of an enumeration, do not count.
//
//	go run ./ci/repeats [flags] file ...
//
// It reads Go and TypeScript. A run that allowed.txt lists with its reason is not
// reported; an entry of allowed.txt that matches no run is an error.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// allowedText lists the runs that may stay: a line with the two files, then indented
// lines with the reason.
//
//go:embed allowed.txt
var allowedText string

func main() {
	least := flag.Int("least", 12, "report runs of at least this many lines")
	flag.Parse()
	sources, err := readAll(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "repeats:", err)
		os.Exit(2)
	}
	allowed := allowedPairs(allowedText)
	used := make(map[string]bool)
	found := 0
	for _, r := range find(sources, *least) {
		if key := r.key(); allowed[key] {
			used[key] = true
			continue
		}
		found++
		fmt.Printf("%s:%d and %s:%d: %d lines\n", r.a.name, r.a.lines[r.i].number, r.b.name, r.b.lines[r.j].number, r.n)
	}
	for _, key := range slices.Sorted(maps.Keys(allowed)) {
		if !used[key] && slices.ContainsFunc(sources, func(s *source) bool { return strings.HasPrefix(key, s.name+" ") }) {
			found++
			fmt.Printf("allowed.txt: %s: these files have no lines in common any more\n", key)
		}
	}
	if found > 0 {
		os.Exit(1)
	}
}

// A source is the code of one file.
type source struct {
	name  string
	lines []line
}

// A line is a line of code.
type line struct {
	number int      // 1 is the first line of the file
	shape  string   // tokens, with a mark in place of each name
	names  []string // names that the marks stand for
}

// A run is n lines of code that a has from line i and b from line j.
type run struct {
	a, b *source
	i, j int
	n    int
}

// key returns what allowed.txt calls r by: the names of the two files.
func (r run) key() string { return r.a.name + " " + r.b.name }

// readAll reads the files, sorted by their names.
func readAll(names []string) ([]*source, error) {
	slices.Sort(names)
	names = slices.Compact(names) // git lists a file in conflict several times
	var all []*source
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		s := &source{name: filepath.ToSlash(name)}
		if strings.HasSuffix(name, ".go") {
			s.lines = goLines(b)
		} else {
			s.lines = scriptLines(b)
		}
		all = append(all, s)
	}
	return all, nil
}

// add appends a token to the line with that number.
func (s *source) add(number int, text string, isName bool) {
	if len(s.lines) == 0 || s.lines[len(s.lines)-1].number != number {
		s.lines = append(s.lines, line{number: number})
	}
	l := &s.lines[len(s.lines)-1]
	if isName {
		l.names = append(l.names, text)
		text = "$"
	}
	l.shape += text + " "
}

// goLines returns the lines of a Go file without its package clause and imports.
func goLines(b []byte) []line {
	var (
		s    source
		scan scanner.Scanner
		fset = token.NewFileSet()
		file = fset.AddFile("", -1, len(b))
		skip = true // in the package clause or an import
		deep int    // open parentheses of an import
	)
	scan.Init(file, b, nil, 0)
	for {
		pos, tok, text := scan.Scan()
		switch {
		case tok == token.EOF:
			return s.code()
		case tok == token.IMPORT:
			skip = true
		case skip && tok == token.LPAREN:
			deep++
		case skip && tok == token.RPAREN:
			deep--
		case tok == token.SEMICOLON && text == "\n": // inserted at the end of a line
			skip = skip && deep > 0
		case !skip:
			if text == "" {
				text = tok.String()
			}
			s.add(file.Line(pos), text, tok == token.IDENT && types.Universe.Lookup(text) == nil)
		}
	}
}

// scriptToken matches one token of TypeScript; the first group is a comment, the second a name.
var scriptToken = regexp.MustCompile(`(//.*|/\*(?s:.*?)\*/)|([A-Za-z_$][\w$]*)|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|` + "`(?:[^`\\\\]|\\\\(?s:.))*`" + `|[\d.]+\w*|\S`)

// scriptWords are the names of TypeScript that are never replaced.
var scriptWords = regexp.MustCompile(`^(any|as|async|await|bigint|boolean|break|case|catch|class|const|continue|default|delete|do|else|enum|export|extends|false|finally|for|from|function|if|implements|import|in|instanceof|interface|let|new|null|number|of|private|protected|public|readonly|return|static|string|super|switch|this|throw|true|try|type|typeof|undefined|unknown|var|void|while|yield)$`)

// scriptLines returns the lines of a TypeScript file without its imports.
func scriptLines(b []byte) []line {
	var s source
	number, from := 1, 0
	for _, m := range scriptToken.FindAllSubmatchIndex(b, -1) {
		number += strings.Count(string(b[from:m[0]]), "\n")
		if from = m[0]; m[2] >= 0 {
			continue
		}
		text := string(b[m[0]:m[1]])
		s.add(number, text, m[4] >= 0 && !scriptWords.MatchString(text))
	}
	return slices.DeleteFunc(s.code(), func(l line) bool { return strings.HasPrefix(l.shape, "import ") })
}

// lists matches the shape of a line that only lists names: elements of an enumeration,
// fields of a struct and their basic types.
var lists = regexp.MustCompile(`^((\$|,|;|=|iota|bool|byte|u?int\d*|string|float64|error) )*$`)

// code returns the lines of s that count.
func (s *source) code() []line {
	return slices.DeleteFunc(s.lines, func(l line) bool { return lists.MatchString(l.shape) })
}

// find returns the runs of at least n lines that two files have in common.
func find(sources []*source, n int) (runs []run) {
	type place struct {
		s *source
		i int
	}
	seen := make(map[string][]place)
	for _, s := range sources {
		for i := range len(s.lines) - n + 1 {
			var shape strings.Builder
			for _, l := range s.lines[i : i+n] {
				shape.WriteString(l.shape + "\n")
			}
			key := shape.String()
			for _, p := range seen[key] {
				r := run{p.s, s, p.i, i, 0}
				if r.a == r.b || r.inside(runs) {
					continue
				}
				if r.extend(); r.n >= n {
					runs = append(runs, r)
				}
			}
			seen[key] = append(seen[key], place{s, i})
		}
	}
	return runs
}

// inside reports whether r begins in one of the runs, at the same line of both files.
func (r run) inside(runs []run) bool {
	return slices.ContainsFunc(runs, func(o run) bool {
		return o.a == r.a && o.b == r.b && r.i-o.i == r.j-o.j && r.i >= o.i && r.i < o.i+o.n
	})
}

// extend sets n to the number of lines from i and j that are equal but for names, where
// each name of a stands for one name of b.
func (r *run) extend() {
	there, back := make(map[string]string), make(map[string]string)
	for r.n = 0; r.i+r.n < len(r.a.lines) && r.j+r.n < len(r.b.lines); r.n++ {
		a, b := r.a.lines[r.i+r.n], r.b.lines[r.j+r.n]
		if a.shape != b.shape {
			return
		}
		for k, name := range a.names {
			other := b.names[k]
			if there[name] == "" && back[other] == "" {
				there[name], back[other] = other, name
			}
			if there[name] != other || back[other] != name {
				return
			}
		}
	}
}

// allowedPairs reads allowed.txt.
func allowedPairs(text string) map[string]bool {
	all := make(map[string]bool)
	for l := range strings.Lines(text) {
		if l = strings.TrimRight(l, "\n"); l != "" && !strings.HasPrefix(l, "#") && !strings.HasPrefix(l, "\t") {
			all[l] = true
		}
	}
	return all
}
