package main

import (
	"go/types"
	"strings"
)

// count returns how many names a program can use of a package: its exported names, and the
// exported methods and fields of the types that it can reach.
//
// A type of an internal package, or one whose name is not exported, has no file of its own. So
// its methods and fields count in each package in which a program reaches them: by an alias, or
// as the type of a field, parameter or result. Methods and fields of another public package count
// only there.
func count(p *types.Package) int {
	c := counter{p: p, seen: make(map[*types.TypeName]bool)}
	for _, name := range p.Scope().Names() {
		o := p.Scope().Lookup(name)
		if !o.Exported() {
			continue
		}
		c.names++
		if t, ok := o.(*types.TypeName); ok && !t.IsAlias() {
			c.members(t)
		}
		c.reach(o.Type())
	}
	return c.names
}

// A counter counts the names of p. It visits each type once.
type counter struct {
	p     *types.Package
	seen  map[*types.TypeName]bool
	names int
}

// reach counts the methods and fields of each type in t that has no other place to count.
func (c *counter) reach(t types.Type) {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		for a := range t.TypeArgs().Types() {
			c.reach(a)
		}
		if o := t.Obj(); c.nameless(o) {
			c.members(o)
		}
	case *types.Pointer:
		c.reach(t.Elem())
	case *types.Slice:
		c.reach(t.Elem())
	case *types.Array:
		c.reach(t.Elem())
	case *types.Chan:
		c.reach(t.Elem())
	case *types.Map:
		c.reach(t.Key())
		c.reach(t.Elem())
	case *types.Signature:
		c.tuple(t.Params())
		c.tuple(t.Results())
	case *types.Struct:
		c.fields(t)
	case *types.Interface:
		c.interfaceMethods(t)
	}
}

func (c *counter) tuple(t *types.Tuple) {
	for v := range t.Variables() {
		c.reach(v.Type())
	}
}

// nameless reports whether no program can write the name of a type of this module.
func (c *counter) nameless(o *types.TypeName) bool {
	switch {
	case o.Pkg() == nil:
		return false
	case o.Pkg() == c.p:
		return !o.Exported()
	}
	return strings.Contains(o.Pkg().Path()+"/", "/internal/") && strings.Contains(o.Pkg().Path(), ".")
}

// members counts the methods and fields of a type.
func (c *counter) members(o *types.TypeName) {
	if c.seen[o] {
		return
	}
	c.seen[o] = true
	switch u := o.Type().Underlying().(type) {
	case *types.Interface:
		c.interfaceMethods(u)
		return
	case *types.Struct:
		c.fields(u)
	default:
		c.reach(u)
	}
	if n, ok := o.Type().(*types.Named); ok {
		for m := range n.Methods() {
			if m.Exported() {
				c.names++
				c.reach(m.Type())
			}
		}
	}
}

// fields counts the fields of a struct. An embedded type that has no name counts by its fields
// and methods, which belong to the struct.
func (c *counter) fields(s *types.Struct) {
	for f := range s.Fields() {
		if f.Exported() {
			c.names++
		}
		if f.Exported() || f.Embedded() {
			c.reach(f.Type())
		}
	}
}

func (c *counter) interfaceMethods(i *types.Interface) {
	for m := range i.Methods() {
		if m.Exported() {
			c.names++
			c.reach(m.Type())
		}
	}
}
