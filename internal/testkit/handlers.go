package testkit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// CallsThatMayWait returns the names of the exported funcs and methods in the current
// directory, such as "Server.Shutdown", whose signature says that they may wait: they have a
// context, or their name is Poll, or their name is Close and they return an error.
func CallsThatMayWait(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.IsExported() && mayWait(f) {
				names = append(names, receiver(f)+f.Name.Name)
			}
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !ast.IsExported(name) })
	slices.Sort(names)
	return names
}

func mayWait(f *ast.FuncDecl) bool {
	for _, p := range f.Type.Params.List {
		if s, ok := p.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Context" {
			return true
		}
	}
	return f.Name.Name == "Poll" || f.Name.Name == "Close" && f.Type.Results != nil
}

// receiver returns the type of f's receiver and a dot, or nothing.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	t := f.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	name, ok := t.(*ast.Ident)
	if !ok {
		return ""
	}
	return name.Name + "."
}

// SetFuncs sets each func field of the struct that handlers points to, and returns the names
// of the fields. A func calls called with the name of its field and its arguments.
func SetFuncs(handlers any, called func(field string, args []any)) (fields []string) {
	v := reflect.ValueOf(handlers).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		fields = append(fields, name)
		v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func(values []reflect.Value) []reflect.Value {
			var args []any
			for _, a := range values {
				args = append(args, a.Interface())
			}
			called(name, args)
			return nil
		}))
	}
	return fields
}

// WantCalled compares notes with the list of all places where a test must have been; the
// order and repeats do not count.
func WantCalled(t testing.TB, notes *Notes, want []string) {
	t.Helper()
	got := notes.All()
	slices.Sort(got)
	slices.Sort(want)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("the calls were made in\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
