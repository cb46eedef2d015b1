package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

const source = `package zoo

import "io"

type Kind uint8

const (
	Cat Kind = 1 + iota
	Dog
	hidden
	Sound = "miau\n"
	Share = 0.5
)

var ErrGone error

type Animal struct {
	Name   string
	On     func(a *Animal, volume int) error
	secret int
	base
	Reader
}

type Reader = io.Reader

type base struct{}

func (base) Sleep(hours int) {}
func (a *Animal) Feed(b ...[]byte) (n int, err error) { return 0, nil }
func (a Animal) feed() {}

type Keeper interface {
	Feed(a Animal) bool
}

type Cage[T any] struct{ inside T }

func (c *Cage[T]) Take() (v T) { return c.inside }

func Open[T Keeper](who T, at int) *Cage[T] { return nil }
func shut() {}
`

func TestEachPublicNameHasALine(t *testing.T) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "zoo.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	p, err := config.Check("zoo", fset, []*ast.File{f}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(`const Cat Kind = 1
const Dog Kind = 2
const Share untyped float = 0.5
const Sound untyped string = "miau\n"
func Open[T Keeper](T, int) *Cage[T]
method (*Animal) Feed(...[]byte) (int, error)
method (*Cage) Take() T
method (Animal) Read([]byte) (int, error)
method (Animal) Sleep(int)
type Animal struct
type Animal struct, Name string
type Animal struct, On func(a *Animal, volume int) error
type Animal struct, embedded Reader
type Animal struct, embedded base
type Cage[T any] struct
type Keeper interface
type Keeper interface, Feed(Animal) bool
type Kind uint8
type Reader = io.Reader
var ErrGone error`, "\n")
	if got := lines(p); !slices.Equal(got, want) {
		t.Errorf("the lines differ:\n%s", strings.Join(diff(strings.Join(want, "\n")+"\n", strings.Join(got, "\n")+"\n"), "\n"))
	}
}

func TestDiffHasTheLinesOfOneSide(t *testing.T) {
	got := diff("func A()\nfunc B(int)\ntype C int\n", "func A()\nfunc B(string)\ntype C int\ntype D int\n")
	if want := []string{"- func B(int)", "+ func B(string)", "+ type D int"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := diff("same\n", "same\n"); got != nil {
		t.Errorf("equal texts differ in %q, want nil", got)
	}
}

// The error of the check says what differs and what to do.
func TestCompareSaysWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	var out strings.Builder
	err := compare(&out, map[string]string{"api/zoo.txt": "func Open()\n"})
	if err == nil || !strings.Contains(err.Error(), `run "go run ./ci/api"`) || !strings.Contains(err.Error(), "CHANGELOG.md") {
		t.Errorf("the error is %v, want one that names ci/api and CHANGELOG.md", err)
	}
	if want := "api/zoo.txt\n+ func Open()\n"; out.String() != want {
		t.Errorf("it prints %q, want %q", out.String(), want)
	}
	if err := compare(&out, nil); err != nil {
		t.Errorf("compare of two empty lists: %v, want nil", err)
	}
}
