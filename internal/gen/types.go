package gen

import (
	"errors"
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/internal/rowtag"
)

const (
	modulePath = "github.com/godwit-rtc/godwit"
	packPath   = modulePath + "/pack"
	typedPath  = modulePath + "/typed"
)

// converter turns Go types into the model.
type converter struct {
	*loader
	out     *Package
	structs map[*types.TypeName]*StructType
	enums   map[*types.TypeName]*EnumType
	unions  map[*types.TypeName]*UnionType
	open    map[*types.TypeName]bool // the types whose fields are being converted
	names   map[string]types.Object  // in TypeScript
	errs    []error
}

// place is what an error names.
type place struct {
	pos  token.Pos
	name string
}

func (c *converter) fail(at place, format string, args ...any) *Type {
	c.errs = append(c.errs, fmt.Errorf("%s: %s: %s", c.at(at.pos), at.name, fmt.Sprintf(format, args...)))
	return nil
}

// err returns all errors, each once.
func (c *converter) err() error {
	seen := map[string]bool{}
	return errors.Join(slices.DeleteFunc(c.errs, func(err error) bool {
		was := seen[err.Error()]
		seen[err.Error()] = true
		return was
	})...)
}

// isNamed returns whether t is the type of a package.
func isNamed(t types.Type, path, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path && n.Obj().Name() == name
}

// typ returns the model of t, the type of the field at, or nil after a failure.
func (c *converter) typ(t types.Type, tag tag, at place) *Type {
	t = types.Unalias(t)
	if n, ok := t.(*types.Named); ok && n.TypeArgs().Len() > 0 {
		return c.fail(at, "a generic type is not supported")
	}
	m := c.convert(t, tag, at)
	if m == nil {
		return nil
	}
	m.Go = types.TypeString(t, c.qualify)
	for _, key := range tag.rest() {
		if m.Elem == nil { // else the tag of the elements had it
			return c.fail(at, "the tag %q is not one of %s", key, m.Go)
		}
	}
	return m
}

// qualify returns the name of a package in the generated code.
func (c *converter) qualify(p *types.Package) string {
	if p == c.pkg {
		return ""
	}
	if name, ok := c.out.imports[p.Path()]; ok {
		return name
	}
	name := p.Name()
	for _, taken := range c.out.imports {
		if taken == name {
			name += "_"
		}
	}
	c.out.imports[p.Path()] = name
	return name
}

func (c *converter) convert(t types.Type, tag tag, at place) *Type {
	switch {
	case isNamed(t, "time", "Time"):
		return &Type{Kind: Time}
	case isNamed(t, "time", "Duration"):
		return c.duration(tag, at)
	}
	named, _ := t.(*types.Named)
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return c.basic(u, named, tag, at)
	case *types.Slice:
		max, err := tag.takeMax()
		if err != nil {
			return c.fail(at, "%s %v", t, err)
		}
		if b, ok := u.Elem().Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 && types.Unalias(u.Elem()) == b {
			return &Type{Kind: Bytes, Max: max}
		}
		return c.list(&Type{Kind: List, Max: max}, u.Elem(), tag, at)
	case *types.Array:
		if u.Len() < 1 || u.Len() > math.MaxUint16 {
			return c.fail(at, "an array has 1 to %d elements", math.MaxUint16)
		}
		return c.list(&Type{Kind: Array, Len: int(u.Len())}, u.Elem(), tag, at)
	case *types.Map:
		max, err := tag.takeMax()
		if err != nil {
			return c.fail(at, "%s %v", t, err)
		}
		m := &Type{Kind: Map, Max: max}
		if m.Key = c.typ(u.Key(), tag.key(), at); m.Key == nil {
			return nil
		}
		if k := m.Key.Kind; k != Int && k != Enum && k != String || m.Key.Range != nil {
			return c.fail(at, "the key of a map is a whole number without a range, an enumeration or a string")
		}
		return c.list(m, u.Elem(), tag, at)
	case *types.Pointer:
		if _, ok := u.Elem().Underlying().(*types.Pointer); ok || types.IsInterface(u.Elem()) {
			return c.fail(at, "a pointer to a pointer or interface is not supported")
		}
		e := c.typ(u.Elem(), tag, at)
		if e == nil {
			return nil
		}
		return &Type{Kind: Optional, Elem: e}
	case *types.Struct:
		if named == nil {
			return c.fail(at, "give the struct a name: a type in TypeScript needs it")
		}
		if s := c.structure(named, at); s != nil {
			if s.Mark >= 0 {
				return c.fail(at, "%s is evolving, which only a whole message can be", s.Name)
			}
			return &Type{Kind: Struct, Struct: s}
		}
		return nil
	case *types.Interface:
		if named == nil {
			return c.fail(at, "an interface needs a name and the comment //godwit:union with its types")
		}
		if u := c.union(named, at); u != nil {
			return &Type{Kind: Union, Union: u}
		}
		return nil
	}
	if t == types.Typ[types.Invalid] {
		return c.fail(at, "the type is not known: does the package build?")
	}
	return c.fail(at, "%s is not supported", t)
}

// list completes m, which has elements of type elem.
func (c *converter) list(m *Type, elem types.Type, tag tag, at place) *Type {
	m.Elem = c.typ(elem, tag.each(), at)
	if m.Elem == nil {
		return nil
	}
	if m.Elem.least() == 0 || m.Kind == Map && m.Key.least() == 0 {
		return c.fail(at, "elements that take no bits are not supported")
	}
	return m
}

func (c *converter) duration(tag tag, at place) *Type {
	text, ok := tag.take("unit")
	if !ok {
		text = "1ms"
	}
	unit, err := time.ParseDuration(text)
	if err != nil || unit <= 0 || unit%time.Millisecond != 0 && time.Millisecond%unit != 0 {
		return c.fail(at, "unit=%s is no duration such as 1us, 1ms or 50ms, a part or a multiple of 1ms", text)
	}
	return &Type{Kind: Duration, Unit: unit}
}

// basicInts has the bits of the integers, negative if they are signed.
var basicInts = map[types.BasicKind]int{
	types.Int: -64, types.Int8: -8, types.Int16: -16, types.Int32: -32, types.Int64: -64,
	types.Uint: 64, types.Uint8: 8, types.Uint16: 16, types.Uint32: 32, types.Uint64: 64,
}

func (c *converter) basic(b *types.Basic, named *types.Named, tag tag, at place) *Type {
	var err error
	switch b.Kind() {
	case types.Bool:
		return &Type{Kind: Bool}
	case types.String:
		m := &Type{Kind: String}
		if m.Max, err = tag.takeMax(); err != nil {
			return c.fail(at, "a string %v (bytes)", err)
		}
		return m
	case types.Float32, types.Float64:
		m := &Type{Kind: Float, Bits: 64}
		if b.Kind() == types.Float32 {
			m.Bits = 32
		}
		if m.Range, err = tag.takeFloatRange(m.Bits); err != nil {
			return c.fail(at, "%v", err)
		}
		return m
	}
	n, ok := basicInts[b.Kind()]
	if !ok {
		if b.Kind() == types.Invalid {
			return c.fail(at, "the type is not known: does the package build?")
		}
		return c.fail(at, "%s is not supported", b)
	}
	m := &Type{Kind: Int, Bits: max(n, -n), Signed: n < 0, Native: b.Kind() == types.Int || b.Kind() == types.Uint}
	number := tag.has("number")
	m.Fixed, m.Big = tag.has("fixed"), tag.has("bigint")
	if m.Range, err = tag.takeRange(m.Bits, m.Signed); err != nil {
		return c.fail(at, "%v", err)
	}
	switch {
	case m.Big && m.Bits < 64:
		return c.fail(at, "bigint is for integers of 64 bits")
	case m.Fixed && m.Bits == 8:
		return c.fail(at, "%s is fixed already", b)
	case m.Range != nil && (m.Fixed || m.Big):
		return c.fail(at, "a range has its own number of bits: remove fixed or bigint")
	}
	if named != nil && !number && !m.Fixed && !m.Big && m.Range == nil {
		if e := c.enum(named, at); e == nil {
			return nil
		} else if len(e.Names) > 0 {
			return &Type{Kind: Enum, Enum: e}
		}
	}
	return m
}

// enum returns the enumeration of the constants of a named integer type: one without names if there are
// no constants, nil after a failure.
func (c *converter) enum(named *types.Named, at place) *EnumType {
	obj := named.Obj()
	if e, ok := c.enums[obj]; ok {
		return e
	}
	var consts []*types.Const
	for _, name := range obj.Pkg().Scope().Names() {
		if k, ok := obj.Pkg().Scope().Lookup(name).(*types.Const); ok && types.Identical(k.Type(), named) {
			consts = append(consts, k)
		}
	}
	if slices.ContainsFunc(consts, (*types.Const).Exported) {
		consts = slices.DeleteFunc(consts, func(k *types.Const) bool { return !k.Exported() })
	}
	slices.SortFunc(consts, func(a, b *types.Const) int { return int(a.Pos() - b.Pos()) })
	e := &EnumType{Name: upperCamel(obj.Name())}
	values := map[int64]string{}
	for _, k := range consts {
		v, ok := constant.Int64Val(k.Val())
		if !ok || v < 0 || v >= int64(len(consts)) {
			c.fail(at, "the constants of %s are not 0, 1, 2 and so on: %s is %s; to send the number, write number in the tag",
				obj.Name(), k.Name(), k.Val())
			return nil
		}
		if _, ok := values[v]; !ok {
			values[v] = rowtag.Name(without(k.Name(), obj.Name()))
		}
	}
	for v := range int64(len(values)) {
		name, ok := values[v]
		if !ok {
			c.fail(at, "the constants of %s are not 0, 1, 2 and so on: none is %d; to send the number, write number in the tag",
				obj.Name(), v)
			return nil
		}
		if slices.Contains(e.Names, name) {
			c.fail(at, "two constants of %s are %q in TypeScript", obj.Name(), name)
			return nil
		}
		e.Names = append(e.Names, name)
	}
	if len(e.Names) > 0 {
		c.claim(e.Name, obj, at)
		c.out.Enums = append(c.out.Enums, e)
	}
	c.enums[obj] = e
	return e
}

// claim takes a name in TypeScript for a type.
func (c *converter) claim(name string, obj types.Object, at place) {
	if other := c.names[name]; other != nil && other != obj {
		c.fail(at, "%s and %s have the same name in TypeScript", other.Type(), obj.Type())
	}
	c.names[name] = obj
}

// structure returns the model of a struct type, or nil after a failure.
func (c *converter) structure(named *types.Named, at place) *StructType {
	obj := named.Obj()
	if c.open[obj] {
		c.fail(at, "%s contains itself", obj.Name())
		return nil
	}
	if s, ok := c.structs[obj]; ok {
		return s
	}
	if obj.Parent() != obj.Pkg().Scope() && obj.Pkg() == c.pkg {
		c.fail(at, "%s is a type inside a function", obj.Name())
		return nil
	}
	c.open[obj] = true
	defer delete(c.open, obj)
	s := &StructType{Name: upperCamel(obj.Name()), Go: types.TypeString(named, c.qualify), Mark: -1}
	c.claim(s.Name, obj, at)
	failed := len(c.errs)
	u := named.Underlying().(*types.Struct)
	for i := range u.NumFields() {
		c.field(s, u.Field(i), reflect.StructTag(u.Tag(i)).Get("godwit"))
	}
	if len(c.errs) > failed {
		s = nil
	} else {
		c.out.Structs = append(c.out.Structs, s)
	}
	c.structs[obj] = s
	return s
}

// field adds a field to s.
func (c *converter) field(s *StructType, f *types.Var, text string) {
	at := place{f.Pos(), s.Name + "." + f.Name()}
	switch {
	case f.Name() == "_" && isNamed(f.Type(), packPath, "Evolving"):
		if s.Mark >= 0 {
			c.fail(at, "there is a mark pack.Evolving already")
		}
		s.Mark = len(s.Fields)
		return
	case f.Name() == "_" || text == "-":
		return
	case !f.Exported():
		c.fail(at, "the field is not exported; with the tag godwit:\"-\" it is left out")
		return
	}
	if _, ok := types.Unalias(f.Type()).(*types.Pointer); ok && f.Embedded() {
		c.fail(at, "an embedded pointer is not supported: give the field a name")
		return
	}
	tag := parseTag(text)
	name, ok := tag.take("name")
	if !ok {
		name = rowtag.Name(f.Name())
	}
	if !token.IsIdentifier(name) && !token.IsKeyword(name) {
		c.fail(at, "%q is no name for TypeScript", name)
	}
	for _, other := range s.Fields {
		if other.Name == name {
			c.fail(at, "two fields are %q in TypeScript: give one of them name=N in its tag", name)
		}
	}
	t := c.typ(f.Type(), tag, at)
	if t == nil {
		return
	}
	if s.Mark >= 0 && !t.zeroable() {
		c.fail(at, "a union below the mark would be nil if an older end does not send it: write a pointer to a struct with the union")
	}
	if s.Mark >= 0 && t.least() == 0 {
		c.fail(at, "a field below the mark that takes no bits is not supported")
	}
	s.Fields = append(s.Fields, Field{Name: name, Go: f.Name(), Type: t})
}

// zeroable returns whether the zero value of t can be written.
func (t *Type) zeroable() bool {
	switch t.Kind {
	case Union:
		return false
	case Array:
		return t.Elem.zeroable()
	case Struct:
		return !slices.ContainsFunc(t.Struct.Fields, func(f Field) bool { return !f.Type.zeroable() })
	}
	return true
}

// union returns the model of an interface with the comment //godwit:union, or nil after a failure.
func (c *converter) union(named *types.Named, at place) *UnionType {
	obj := named.Obj()
	if u, ok := c.unions[obj]; ok {
		return u
	}
	if obj.Pkg() == nil {
		c.fail(at, "%s is not supported", obj.Name())
		return nil
	}
	members := c.loader.union(obj)
	if len(members) == 0 {
		c.fail(at, "the interface %s needs a comment with its types: //godwit:union Joined Left", obj.Name())
		return nil
	}
	u := &UnionType{Name: upperCamel(obj.Name())}
	c.claim(u.Name, obj, at)
	for _, name := range members {
		t, ok := obj.Pkg().Scope().Lookup(name).(*types.TypeName)
		if !ok {
			c.fail(at, "there is no type %s for the union %s", name, obj.Name())
			return nil
		}
		member, ok := types.Unalias(t.Type()).(*types.Named)
		if !ok || member.TypeArgs().Len() > 0 || !isStruct(member) || !types.Implements(member, named.Underlying().(*types.Interface)) {
			c.fail(at, "%s of the union %s is not a struct with the methods of the interface", name, obj.Name())
			return nil
		}
		s := c.structure(member, at)
		if s == nil {
			return nil
		}
		if s.Mark >= 0 {
			c.fail(at, "%s is evolving, which only a whole message can be", name)
			return nil
		}
		if slices.ContainsFunc(s.Fields, func(f Field) bool { return f.Name == "type" }) {
			c.fail(at, "%s of the union %s has a field that is \"type\" in TypeScript, as the kind of a union is", name, obj.Name())
			return nil
		}
		if slices.ContainsFunc(u.Members, func(m Member) bool { return m.Struct == s }) {
			c.fail(at, "%s is twice in the union %s", name, obj.Name())
			return nil
		}
		u.Members = append(u.Members, Member{Tag: rowtag.Name(strings.TrimLeft(name, "_")), Struct: s})
	}
	c.out.Unions = append(c.out.Unions, u)
	c.unions[obj] = u
	return u
}

func isStruct(t types.Type) bool {
	_, ok := t.Underlying().(*types.Struct)
	return ok
}
