package gen

import (
	"fmt"
	"go/types"
	"reflect"
	"slices"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/rowtag"
)

// handles has the types of package typed that are rows of a table, and the direction of a channel.
var handles = map[string]string{
	"ToServer": "to-server", "ToClient": "to-client", "Both": "both", "ServerCall": "", "ClientCall": "", "Hello": "",
}

// Load reads the package in dir without the file skip, which will have the generated code, and returns
// its table: the struct named table, or the only one if table is empty. Every error in the result names
// a file, a line and a field.
func Load(dir, table, skip string) (*Package, error) {
	l, err := load(dir, skip)
	if err != nil {
		return nil, err
	}
	c := &converter{
		loader:  l,
		out:     &Package{Name: l.pkg.Name(), imports: map[string]string{}},
		structs: map[*types.TypeName]*StructType{},
		enums:   map[*types.TypeName]*EnumType{},
		unions:  map[*types.TypeName]*UnionType{},
		open:    map[*types.TypeName]bool{},
		names:   map[string]types.Object{},
	}
	t, err := c.table(table)
	if err != nil {
		return nil, err
	}
	c.out.Table = t.Name()
	c.out.scope, c.out.names, c.out.at = c.pkg.Scope(), c.names, c.at
	s := t.Type().Underlying().(*types.Struct)
	for i := range s.NumFields() {
		c.row(t, s.Field(i), reflect.StructTag(s.Tag(i)).Get("godwit"))
	}
	return c.out, c.err()
}

// table finds the type of the table.
func (c *converter) table(name string) (*types.TypeName, error) {
	var found []*types.TypeName
	for _, n := range c.pkg.Scope().Names() {
		t, ok := c.pkg.Scope().Lookup(n).(*types.TypeName)
		if !ok || !isStruct(t.Type()) || name != "" && n != name {
			continue
		}
		s := t.Type().Underlying().(*types.Struct)
		for field := range s.Fields() {
			if handle(field.Type()) != nil {
				found = append(found, t)
				break
			}
		}
	}
	switch {
	case len(found) == 0 && name != "":
		return nil, fmt.Errorf("package %s has no struct %s with fields such as typed.ToClient[World]", c.pkg.Path(), name)
	case len(found) == 0:
		return nil, fmt.Errorf("package %s has no table: a struct with fields such as typed.ToClient[World]", c.pkg.Path())
	case len(found) > 1:
		return nil, fmt.Errorf("package %s has several tables: choose one with -table %s", c.pkg.Path(), found[0].Name())
	}
	return found[0], nil
}

// handle returns t if it is one of the handles of package typed.
func handle(t types.Type) *types.Named {
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || n.Obj().Pkg() == nil || n.Obj().Pkg().Path() != typedPath {
		return nil
	}
	if _, ok := handles[n.Obj().Name()]; !ok {
		return nil
	}
	return n
}

// row adds a field of the table to the rows.
func (c *converter) row(table *types.TypeName, f *types.Var, text string) {
	at := place{f.Pos(), table.Name() + "." + f.Name()}
	h := handle(f.Type())
	if h == nil {
		c.fail(at, "%s is no handle such as typed.ToClient[World]", f.Type())
		return
	}
	if !f.Exported() {
		c.fail(at, "the field is not exported")
		return
	}
	r := Row{Go: f.Name(), Handle: h.Obj().Name()}
	isChannel := handles[r.Handle] != ""
	parse := rowtag.Parse
	if isChannel {
		parse = rowtag.ParseChannel
	}
	tag, err := parse(f.Name(), text)
	if err != nil {
		c.fail(at, "%v", err)
		return
	}
	r.Name, r.channel = tag.Channel.Name, tag.Channel
	if isChannel {
		if err := (channel.Table{Channels: channel.Channels{r.channel}}).Validate(); err != nil {
			c.fail(at, "%v", err)
			return
		}
		r.Mode = r.channel.Mode.String()
	}
	for i := range c.out.Rows {
		other := &c.out.Rows[i]
		if other.Name == r.Name && (other.Mode != "") == isChannel && other.Handle != "Hello" && r.Handle != "Hello" {
			c.fail(at, "%s has the name %q, too", other.Go, r.Name)
		}
		if other.Handle == "Hello" && r.Handle == "Hello" {
			c.fail(at, "%s is a Hello, too", other.Go)
		}
	}
	for t := range h.TypeArgs().Types() {
		m, ok := c.message(t, tag.JSON, at)
		if !ok {
			return
		}
		r.Messages = append(r.Messages, m)
	}
	c.out.Rows = append(c.out.Rows, r)
}

// message returns what a row of type t carries.
func (c *converter) message(t types.Type, json bool, at place) (Message, bool) {
	if isNamed(t, typedPath, "Bytes") {
		return Message{}, true
	}
	if json {
		return Message{JSON: true}, true
	}
	named, ok := types.Unalias(t).(*types.Named)
	if !ok || !isStruct(named) || named.Obj().Pkg() != c.pkg {
		c.fail(at, "%s is not a struct type of this package, which can have methods: declare one, or write json in the tag", t)
		return Message{}, false
	}
	if named.TypeArgs().Len() > 0 {
		c.fail(at, "a generic type is not supported")
		return Message{}, false
	}
	for m := range named.Methods() {
		if slices.Contains([]string{"AppendBinary", "UnmarshalBinary", "GodwitSchema"}, m.Name()) {
			c.fail(place{m.Pos(), named.Obj().Name() + "." + m.Name()}, "godwit-gen writes this method: delete yours, or make the row one of typed.Bytes")
			return Message{}, false
		}
	}
	s := c.structure(named, at)
	if s == nil {
		return Message{}, false
	}
	if !slices.Contains(c.out.tops, s) {
		c.out.tops = append(c.out.tops, s)
	}
	return Message{Struct: s}, true
}
