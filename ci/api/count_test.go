package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"testing"
)

type imports map[string]*types.Package

func (i imports) Import(path string) (*types.Package, error) {
	if p := i[path]; p != nil {
		return p, nil
	}
	return nil, errors.New("no package " + path)
}

func (i imports) add(t *testing.T, path, source string) *types.Package {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "source.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: i}
	if i[path], err = config.Check(path, fset, []*ast.File{f}, nil); err != nil {
		t.Fatal(err)
	}
	return i[path]
}

// Names of an internal type count in each package that gives the type to programs, and once.
func TestCountHasEachNameThatAProgramCanUse(t *testing.T) {
	all := make(imports)
	all.add(t, "zoo.example/internal/food", `package food
type Meal struct { Size int; left int; drink }
type drink struct { Cold bool }
func (Meal) Eat() Plate { return Plate{} }
func (drink) Pour() {}
func (drink) spill() {}
type Plate struct { Round bool }
type Unreached struct { Field int }`)
	all.add(t, "zoo.example/keeper", `package keeper
type Keeper struct { Name string }
func (*Keeper) Greet() {}`)
	zoo := all.add(t, "zoo.example/zoo", `package zoo
import "zoo.example/internal/food"
import "zoo.example/keeper"
type Meal = food.Meal
type Lunch = food.Meal
type Boss = keeper.Keeper
type Animal interface { Feed(food.Meal); sleep() }
type cage struct { Bars int }
func (*cage) Open() {}
func New() (*cage, error) { return nil, nil }
type hidden struct { Field int }
const Count = 3`)
	// Meal, Lunch, Boss, Animal, New, Count; Size, Cold, Eat, Pour, Round; Feed; Bars, Open.
	if got := count(zoo); got != 14 {
		t.Errorf("%d names, want 14", got)
	}
	if got := count(all["zoo.example/keeper"]); got != 3 {
		t.Errorf("%d names of keeper, want Keeper, Name, Greet", got)
	}
}
