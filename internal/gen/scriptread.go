package gen

import (
	"fmt"
	"strings"
)

// readStruct writes the body of a function that returns t: with the property type, if t is a member of a union.
func (s *script) readStruct(t *StructType, tag string) {
	s.vars = map[string]int{"m": 1, "r": 1}
	mark := t.Mark
	if mark < 0 {
		mark = len(t.Fields)
	}
	var properties []string
	if tag != "" {
		properties = append(properties, fmt.Sprintf("type: %q", tag))
	}
	for _, run := range t.runs(0, mark) {
		values := s.readRun(run)
		for i, f := range run {
			properties = append(properties, property(f.Name, values[i]))
		}
	}
	for _, f := range t.Fields[mark:] {
		v := s.variable(f.Name)
		s.line("let %s%s = %s;", v, s.ifTyped(": "+typeName(f.Type)), zero(f.Type))
		s.open("if (r.more())")
		s.line("%s = %s;", v, s.readNow(f.Type, f.Name))
		s.shut("")
		properties = append(properties, property(f.Name, v))
	}
	if t.Mark >= 0 {
		s.line("r.rest();")
	}
	s.list("return {", properties, "};")
}

func property(name, value string) string {
	value = bare(value)
	if name == value {
		return name
	}
	return name + ": " + value
}

// variable returns a name for the variable of a field.
func (s *script) variable(field string) string {
	if s.of.taken(field) {
		field += "_"
	}
	return s.name(field)
}

// readRun reads fields that follow each other, and returns an expression for each.
func (s *script) readRun(run []Field) []string {
	if !run[0].Type.flat() {
		return []string{s.read(run[0].Type, run[0].Name)}
	}
	var all []leaf
	for _, f := range run {
		all = append(all, leaves(f.Name, f.Type, scriptField)...)
	}
	parts := s.readLeaves(all)
	var out []string
	for _, f := range run {
		out = append(out, build(f.Type, &parts))
	}
	return out
}

// build returns an expression for a value of t, which is flat, and takes its parts.
func build(t *Type, parts *[]string) string {
	var inside []string
	switch t.Kind {
	case Struct:
		for _, f := range t.Struct.Fields {
			inside = append(inside, property(f.Name, build(f.Type, parts)))
		}
		return "{ " + strings.Join(inside, ", ") + " }"
	case Array:
		for range t.Len {
			inside = append(inside, bare(build(t.Elem, parts)))
		}
		return "[" + strings.Join(inside, ", ") + "]"
	}
	part := (*parts)[0]
	*parts = (*parts)[1:]
	return part
}

// readLeaves reads values and returns an expression for each that may be used later.
func (s *script) readLeaves(all []leaf) []string {
	var out []string
	for _, group := range groups(all, scriptLimit) {
		n := bitsOf(group)
		if len(group) == 1 {
			out = append(out, s.bind(group[0], s.value(fmt.Sprintf("r.bits(%d)", n), n, true, group[0].t)))
			continue
		}
		v := s.name("bits")
		s.line("const %s = r.bits(%d);", v, n)
		at := 0
		for _, l := range group {
			w, _ := l.t.fixedBits()
			x := v
			if at > 0 {
				x = fmt.Sprintf("(%s >>> %d)", v, at)
			}
			if at+w < n {
				x = fmt.Sprintf("(%s & %#x)", x, mask(w))
			}
			x = s.value(x, w, false, l.t)
			if strings.Contains(x, "within(") || strings.Contains(x, "floatOfBits(") {
				x = s.bind(l, x) // what can fail does so in the order of the fields
			}
			out = append(out, x)
			at += w
		}
	}
	return out
}

// bind declares a variable for a value and returns its name.
func (s *script) bind(l leaf, value string) string {
	name := l.path[strings.LastIndex(l.path, ".")+1:]
	name, _, _ = strings.Cut(name, "[")
	name = s.variable(name)
	s.line("const %s = %s;", name, bare(value))
	return name
}

// bare returns an expression without the parentheses around all of it.
func bare(x string) string {
	if !strings.HasPrefix(x, "(") {
		return x
	}
	open := 0
	for i, c := range x {
		switch c {
		case '(':
			open++
		case ')':
			open--
		}
		if open == 0 && i < len(x)-1 {
			return x
		}
	}
	return x[1 : len(x)-1]
}

// readNow is read for a value that is used at once.
func (s *script) readNow(t *Type, want string) string {
	n, ok := t.fixedBits()
	switch {
	case ok && n > 0:
		return bare(s.value(fmt.Sprintf("r.bits(%d)", n), n, true, t))
	case !t.flat() && t.Kind != List && t.Kind != Array && t.Kind != Map && t.Kind != Optional && !ok:
		return s.reading(t)
	}
	return s.read(t, want)
}

// value returns an expression for the value of which x has the n bits, which may be negative if raw.
func (s *script) value(x string, n int, raw bool, t *Type) string {
	switch t.Kind {
	case Bool:
		return x + " > 0"
	case Enum:
		return fmt.Sprintf("%s[%s]%s", plural(t.Enum.Name), s.within(x, n, uint64(len(t.Enum.Names)-1)), s.ifTyped("!"))
	case Float:
		if t.Range == nil {
			return fmt.Sprintf("%s(%s)", s.call("floatOfBits"), bare(x))
		}
	}
	switch {
	case t.Signed && n < 32 && t.Range == nil:
		return fmt.Sprintf("(%s << %d) >> %d", x, 32-n, 32-n)
	case n == 32 && raw && (!t.Signed || t.Range != nil):
		x = "(" + x + " >>> 0)"
	}
	if t.Range == nil {
		return x
	}
	x = s.within(x, n, t.Range.Count)
	if t.Range.Step != 1 {
		x += " * " + number(t.Range.Step)
	}
	if t.Range.Lo > 0 {
		x += " + " + number(t.Range.Lo)
	} else if t.Range.Lo < 0 {
		x += " - " + number(-t.Range.Lo)
	}
	if t.Kind == Float && t.Bits == 32 {
		x = "Math.fround(" + x + ")"
	}
	return x
}

// within returns an expression for x, of n bits, that throws if x is more than largest.
func (s *script) within(x string, n int, largest uint64) string {
	if largest == mask(n) {
		return x
	}
	return fmt.Sprintf("%s(%s, %d)", s.call("within"), bare(x), largest)
}

// read reads a value and returns an expression for it that may be used later. want is a good name for a variable.
func (s *script) read(t *Type, want string) string {
	if n, ok := t.fixedBits(); ok && n == 0 {
		return zero(t)
	}
	if t.flat() {
		parts := s.readLeaves(leaves(want, t, scriptField))
		return build(t, &parts)
	}
	v := s.variable(want)
	switch t.Kind {
	case List, Array:
		s.line("const %s%s = [];", v, s.ifTyped(": "+typeName(t)))
		s.loop(t, t.Elem.least())
		s.line("%s.push(%s);", v, s.readNow(t.Elem, "v"))
		s.shut("")
	case Map:
		last := s.name("last")
		s.line("const %s%s = new Map();", v, s.ifTyped(": "+typeName(t)))
		s.line("let %s%s;", last, s.ifTyped(": "+typeName(t.Key)+" | undefined"))
		s.loop(t, t.Key.least()+t.Elem.least())
		k := s.read(t.Key, "k")
		s.line("if (%s !== undefined && %s <= 0) throw new Error(\"form\");", last, s.comparison(k, last, t.Key))
		s.line("%s = %s;", last, k)
		s.line("%s.set(%s, %s);", v, k, s.readNow(t.Elem, "v"))
		s.shut("")
	case Optional:
		s.line("let %s%s;", v, s.ifTyped(": "+typeName(t.Elem)+" | undefined"))
		s.open("if (r.bits(1))")
		s.line("%s = %s;", v, s.readNow(t.Elem, want))
		s.shut("")
	default:
		s.line("const %s = %s;", v, s.reading(t))
	}
	return v
}

// comparison is order for one line: a single number.
func (s *script) comparison(a, b string, key *Type) string {
	return "(" + s.order(a, b, key) + ")"
}

// loop begins a loop over the elements of a list, array or map.
func (s *script) loop(t *Type, least int) {
	n := s.name("n")
	if t.Kind == Array {
		s.open("for (let %s = %d; %s > 0; %s--)", n, t.Len, n, n)
	} else {
		s.open("for (let %s = r.count(%d, %d); %s > 0; %s--)", n, t.Max, least, n, n)
	}
}

// reading returns an expression that reads one value.
func (s *script) reading(t *Type) string {
	switch t.Kind {
	case Float:
		return fmt.Sprintf("%s(r)", s.call("readDouble"))
	case String:
		return fmt.Sprintf("r.string(%d)", t.Max)
	case Bytes:
		return fmt.Sprintf("r.data(%d)", t.Max)
	case Duration:
		return scaled(fmt.Sprintf("%s(r, 64, %d)", s.call("readInt"), t.Limit()), t.Unit, "*", "/")
	case Time:
		return fmt.Sprintf("new Date(%s(r, 64, 8640000000000000))", s.call("readInt"))
	case Struct:
		return fmt.Sprintf("read%s(r)", s.need(t.Struct, true))
	case Union:
		return fmt.Sprintf("read%s(r)", s.needUnion(t.Union))
	}
	switch {
	case t.Big && t.Fixed:
		return fmt.Sprintf("%s(r, %t)", s.call("readBigFixed"), t.Signed)
	case t.Big:
		return fmt.Sprintf("%s(r, %t)", s.call("readBig"), t.Signed)
	case t.Fixed:
		return fmt.Sprintf("%s(r, %t)", s.call("readFixed"), t.Signed)
	case t.Signed && t.Bits == 64:
		return fmt.Sprintf("%s(r, 64, Number.MAX_SAFE_INTEGER)", s.call("readInt"))
	case t.Signed:
		return fmt.Sprintf("%s(r, %d, %d)", s.call("readInt"), t.Bits, highest(t.Bits, true)+1)
	}
	return fmt.Sprintf("r.uint(%d)", t.Bits)
}
