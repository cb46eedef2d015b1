package main

import (
	"fmt"
	"go/constant"
	"go/types"
	"slices"
	"strings"
)

// lines returns one line for each public name of a package, sorted.
func lines(p *types.Package) []string {
	d := description{p: p}
	for _, name := range p.Scope().Names() {
		if o := p.Scope().Lookup(name); o.Exported() {
			d.object(o)
		}
	}
	slices.Sort(d.out)
	return slices.Compact(d.out)
}

// A description collects the lines of a package.
type description struct {
	p   *types.Package
	out []string
}

func (d *description) add(format string, args ...any) {
	d.out = append(d.out, fmt.Sprintf(format, args...))
}

// text writes a type. Names of the package itself stand without its name.
func (d *description) text(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == d.p {
			return ""
		}
		return p.Name()
	})
}

func (d *description) object(o types.Object) {
	switch o := o.(type) {
	case *types.Const:
		d.add("const %s %s = %s", o.Name(), d.text(o.Type()), value(o.Val()))
	case *types.Var:
		d.add("var %s %s", o.Name(), d.text(o.Type()))
	case *types.Func:
		d.add("func %s%s", o.Name(), d.signature(o))
	case *types.TypeName:
		d.typeName(o)
	}
}

// value writes a constant, exactly.
func value(v constant.Value) string {
	if v.Kind() == constant.String {
		return v.ExactString()
	}
	return v.String()
}

// signature writes the parameters and results of a func, without their names.
func (d *description) signature(f *types.Func) string {
	s := f.Signature()
	plain := types.NewSignatureType(nil, nil, typeParams(s), unnamed(s.Params()), unnamed(s.Results()), s.Variadic())
	return strings.TrimPrefix(d.text(plain), "func")
}

// typeParams copies the type parameters of a func, because they cannot be bound twice. Only
// their names and constraints are written.
func typeParams(s *types.Signature) (list []*types.TypeParam) {
	for p := range s.TypeParams().TypeParams() {
		list = append(list, types.NewTypeParam(p.Obj(), p.Constraint()))
	}
	return list
}

func unnamed(t *types.Tuple) *types.Tuple {
	var vars []*types.Var
	for v := range t.Variables() {
		vars = append(vars, types.NewParam(v.Pos(), v.Pkg(), "", v.Type()))
	}
	return types.NewTuple(vars...)
}

func (d *description) typeName(o *types.TypeName) {
	t := o.Type()
	if o.IsAlias() {
		d.add("type %s = %s", o.Name(), d.text(types.Unalias(t)))
		if pkg := packageOf(t); pkg == nil || !strings.Contains(pkg.Path()+"/", "/internal/") {
			return // the other package has the lines
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Struct:
		if !o.IsAlias() {
			d.add("type %s struct", o.Name()+d.params(t))
		}
		for f := range u.Fields() {
			switch {
			case f.Embedded():
				d.add("type %s struct, embedded %s", o.Name(), d.text(f.Type()))
			case f.Exported():
				d.add("type %s struct, %s %s", o.Name(), f.Name(), d.text(f.Type()))
			}
		}
	case *types.Interface:
		if !o.IsAlias() {
			d.add("type %s interface", o.Name()+d.params(t))
		}
		for m := range u.Methods() {
			d.add("type %s interface, %s%s", o.Name(), m.Name(), d.signature(m))
		}
		return
	default:
		if !o.IsAlias() {
			d.add("type %s %s", o.Name()+d.params(t), d.text(u))
		}
	}
	of := types.NewMethodSet(t)
	for m := range types.NewMethodSet(types.NewPointer(t)).Methods() {
		f := m.Obj().(*types.Func)
		if !f.Exported() {
			continue
		}
		star := "*"
		if of.Lookup(f.Pkg(), f.Name()) != nil {
			star = ""
		}
		d.add("method (%s%s) %s%s", star, o.Name(), f.Name(), d.signature(f))
	}
}

// params writes the type parameters of a generic type.
func (d *description) params(t types.Type) string {
	n, ok := t.(*types.Named)
	if !ok || n.TypeParams().Len() == 0 {
		return ""
	}
	var list []string
	for p := range n.TypeParams().TypeParams() {
		list = append(list, p.Obj().Name()+" "+d.text(p.Constraint()))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func packageOf(t types.Type) *types.Package {
	if n, ok := types.Unalias(t).(*types.Named); ok {
		return n.Obj().Pkg()
	}
	return nil
}
