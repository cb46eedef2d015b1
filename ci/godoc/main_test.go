package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const source = `// Package p is a package. See [T.Do], [T.Field] and [Two].
package p

// One and Two are numbers.
const (
	One = 1
	Two = 2
)

// A T does something.
type T struct {
	// Field is public.
	Field int
	hidden int
}

// Do does it: a < b, *not* {{ this }}.
func (t *T) Do(n int) error {
	return nil
}

// An I can do it.
type I interface {
	Do() error
	hidden()
}

func internal() {}
`

const exampleTest = `package p_test

import "fmt"

func ExampleT_Do() {
	if true {
		// A comment.
		fmt.Println("done")
	}
	// Output: done
}
`

// parse returns the page of a package with source and exampleTest.
func parse(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"p.go": source, "p_test.go": exampleTest} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := read(listed{ImportPath: module + "/p", Dir: dir, GoFiles: []string{"p.go"}, XTestGoFiles: []string{"p_test.go"}})
	if err != nil {
		t.Fatal(err)
	}
	return string(p.markdown())
}

func TestPageOfAPackage(t *testing.T) {
	text := parse(t)
	for _, want := range []string{
		"# p\n\n```go\nimport \"github.com/godwit-rtc/godwit/p\"\n```\n",
		"See [T.Do](#T-Do), [T.Field](#T-Field) and [Two](#Two).",
		"<a id=\"One\"></a><a id=\"Two\"></a>",
		"### type T {#T}\n\n<a id=\"T-Field\"></a>",
		"### type I {#I}\n\n<a id=\"I-Do\"></a>\n\n```go\ntype I interface {\n\tDo() error\n",
		"#### func (\\*T) Do {#T-Do}\n\n```go\nfunc (t *T) Do(n int) error\n```",
		"```go\nif true {\n\t// A comment.\n\tfmt.Println(\"done\")\n}\n```\n\nIt prints\n\n```text\ndone\n```",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has not %q:\n%s", want, text)
		}
	}
	for _, not := range []string{"internal()", "return nil", "{{ this", "a < b"} {
		if strings.Contains(text, not) {
			t.Errorf("the page has %q:\n%s", not, text)
		}
	}
}

func TestLinksToPackages(t *testing.T) {
	for path, want := range map[string]string{module: "godwit.md", module + "/auth": "auth.md", module + "/a/b": "a_b.md"} {
		if got := fileOf(path); got != want {
			t.Errorf("the file of %s is %s, want %s", path, got, want)
		}
	}
}
