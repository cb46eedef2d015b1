package main

import (
	"fmt"
	"strings"
	"testing"
)

// runs describes the runs of at least n lines that the files have in common.
func runs(n int, files ...string) string {
	var sources []*source
	for i, text := range files {
		s := &source{name: fmt.Sprint(i)}
		if s.lines = goLines([]byte(text)); !strings.HasPrefix(text, "package") {
			s.lines = scriptLines([]byte(text))
		}
		sources = append(sources, s)
	}
	var found []string
	for _, r := range find(sources, n) {
		found = append(found, fmt.Sprintf("%s:%d %s:%d %d", r.a.name, r.a.lines[r.i].number, r.b.name, r.b.lines[r.j].number, r.n))
	}
	return strings.Join(found, ", ")
}

const here = `package a

import (
	"fmt"
	"os"
)

func f(x int) {
	fmt.Println(x, "a") // a comment
	if x > 0 {
		os.Exit(x)
	}
}
`

func TestRepeats(t *testing.T) {
	for name, c := range map[string]struct{ there, want string }{
		"the same":              {here, "0:8 1:8 6"},
		"other names":           {strings.NewReplacer("f(x", "run(code", "x", "code").Replace(here), "0:8 1:8 6"},
		"blank lines between":   {strings.ReplaceAll(here, "\tif", "\n\t// A comment.\n\tif"), "0:8 1:8 6"},
		"another text":          {strings.ReplaceAll(here, `"a"`, `"b"`), "0:10 1:10 4"},
		"another type":          {strings.ReplaceAll(here, "int", "uint8"), "0:9 1:9 5"},
		"one name for two":      {strings.ReplaceAll(here, "os.Exit(x)", "os.Exit(os)"), ""},
		"two names for one":     {strings.ReplaceAll(here, "os.Exit(x)", "os.Exit(y)"), ""},
		"only lists of names":   {"package a\n\nconst (\n\ta = iota\n\tb\n\tc\n\td\n\te\n)\n", ""},
		"nothing":               {"package a\n", ""},
		"fewer lines than four": {"package a\n\nfunc f(x int) {\n\tfmt.Println(x, \"a\")\n}\n", ""},
	} {
		if got := runs(4, here, c.there); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := runs(4, here+strings.ReplaceAll(here[strings.Index(here, "func"):], "f(", "g(")); got != "" {
		t.Errorf("within one file: %q, want nothing", got)
	}
}

func TestRepeatsOfScripts(t *testing.T) {
	a := "import { b } from \"./b.js\";\n\nexport class C {\n  #m = `${1}\n`;\n  add(n: number) {\n    this.#m += `+${n}`; /* two\n lines */\n    return n;\n  }\n}\n"
	b := strings.NewReplacer("C", "Sum", "#m", "#text", "(n", "(k", "return n", "return k").Replace(a)
	if got := runs(4, a, b); got != "0:3 1:3 7" {
		t.Errorf("equal except for names: %q, want 0:3 1:3 7", got)
	}
	if got := runs(5, a, strings.ReplaceAll(b, "return", "throw")); got != "" {
		t.Errorf("another statement: %q, want nothing", got)
	}
}
