package gen

import (
	"fmt"
	"maps"
)

func (g *golang) readLeaves(all []leaf) {
	for _, group := range groups(all, goLimit) {
		n := bitsOf(group)
		if len(group) == 1 {
			l := group[0]
			g.line("%s = %s", l.path, g.value(fmt.Sprintf("r.Bits(%d)", n), n, l.t))
			continue
		}
		v := g.name("bits")
		g.line("%s := r.Bits(%d)", v, n)
		at := 0
		for _, l := range group {
			w, _ := l.t.fixedBits()
			x := v
			if at > 0 {
				x = fmt.Sprintf("%s>>%d", v, at)
			}
			if at+w < n {
				x = fmt.Sprintf("%s&%#x", x, mask(w))
			}
			g.line("%s = %s", l.path, g.value(x, w, l.t))
			at += w
		}
	}
}

// value returns an expression for the value of which x has the n bits.
func (g *golang) value(x string, n int, t *Type) string {
	switch t.Kind {
	case Bool:
		return cast(t.Go, "bool", fmt.Sprintf("%s != 0", x))
	case Enum:
		return fmt.Sprintf("%s(%s)", t.Go, g.within(x, n, uint64(len(t.Enum.Names)-1)))
	case Float:
		if t.Range == nil {
			return cast(t.Go, "float32", fmt.Sprintf("r.Float32(%s)", x))
		}
		return cast(t.Go, "float64", g.valueOf(x, n, t.Range))
	}
	switch {
	case t.Range != nil:
		x = g.within(x, n, t.Range.Count)
		if t.Range.Step != 1 {
			return cast(t.Go, "int64", fmt.Sprintf("int64(%s)*%s%+d", x, number(t.Range.Step), int64(t.Range.Lo)))
		}
		if t.Range.Lo == 0 {
			return fmt.Sprintf("%s(%s)", t.Go, x)
		}
		return cast(t.Go, "int64", fmt.Sprintf("int64(%s)%+d", x, int64(t.Range.Lo)))
	case t.Signed:
		return cast(t.Go, fmt.Sprintf("int%d", n), fmt.Sprintf("int%d(%s)", n, x))
	}
	return fmt.Sprintf("%s(%s)", t.Go, x)
}

// within returns an expression for x, of n bits, that fails if x is more than largest.
func (g *golang) within(x string, n int, largest uint64) string {
	if largest == mask(n) {
		return x
	}
	return fmt.Sprintf("r.Within(%s, %d)", x, largest)
}

func (g *golang) valueOf(x string, n int, r *Range) string {
	return fmt.Sprintf("pack.Value(%s, %s, %s)", g.within(x, n, r.Count), number(r.Lo), number(r.Step))
}

// read reads the variable v.
func (g *golang) read(v string, t *Type) {
	if n, ok := t.fixedBits(); ok {
		if n == 0 {
			return // the zero value
		}
		g.readLeaves([]leaf{{v, t}})
		return
	}
	switch t.Kind {
	case Int:
		method, of := t.varint()
		x := fmt.Sprintf("r.%s()", method)
		if t.Fixed {
			if x = "r.Fixed64()"; t.Signed {
				x = "int64(r.Fixed64())"
			}
		}
		if t.Bits == 64 && !t.Big {
			if x = "r.Safe(" + x + ")"; !t.Signed {
				x = "r.SafeUint" + x[6:]
			}
		}
		if t.Native {
			x = fmt.Sprintf("pack.Native[%s](r, %s)", t.Go, x)
		} else {
			x = cast(t.Go, of, x)
		}
		g.line("%s = %s", v, x)
	case Float:
		g.line("%s = %s", v, cast(t.Go, "float64", "r.Float64()"))
	case String:
		g.line("%s = %s", v, cast(t.Go, "string", fmt.Sprintf("r.String(%d)", t.Max)))
	case Bytes:
		g.line("%s = r.Bytes(%d)", v, t.Max)
	case Duration:
		g.line("%s = r.Duration(%d, %d)", v, t.Unit, t.Limit())
	case Time:
		g.line("%s = r.Time()", v)
	case List:
		n := g.name("n")
		g.open("if %s := r.Count(%d, %d); %s > 0", n, t.Max, t.Elem.least(), n)
		g.line("%s = make(%s, %s)", v, t.Go, n)
		g.readElements(v, t.Elem)
		g.shut("")
		g.vars[n]--
	case Array:
		if t.flat() {
			g.readLeaves(leaves(v, t, goField))
			return
		}
		g.readElements(v, t.Elem)
	case Map:
		g.readMap(v, t)
	case Optional:
		g.open("if r.Bits(1) != 0")
		g.line("%s = new(%s)", v, t.Elem.Go)
		if t.Elem.Kind == Struct {
			g.part("unpack", v, t.Elem, g.readLeaves)
		} else {
			g.read("(*"+v+")", t.Elem)
		}
		g.shut("")
	case Struct:
		g.part("unpack", "&"+v, t, g.readLeaves)
	case Union:
		g.readUnion(v, t.Union)
	}
}

func (g *golang) readElements(v string, elem *Type) {
	i := g.name("i")
	g.open("for %s := range %s", i, v)
	g.read(v+"["+i+"]", elem)
	g.shut("")
	g.vars[i]--
}

func (g *golang) readMap(v string, t *Type) {
	n, i, last, k, e := g.name("n"), g.name("i"), g.name("last"), g.name("k"), g.name("v")
	g.open("if %s := r.Count(%d, %d); %s > 0", n, t.Max, t.Key.least()+t.Elem.least(), n)
	g.line("%s = make(%s, %s)", v, t.Go, n)
	g.line("var %s %s", last, t.Key.Go)
	g.open("for %s := range %s", i, n)
	g.line("var %s %s", k, t.Key.Go)
	g.read(k, t.Key)
	g.open("if %s > 0 && %s <= %s", i, k, last)
	g.line("r.Fail(pack.CauseForm)")
	g.shut("")
	g.line("%s = %s", last, k)
	g.line("var %s %s", e, t.Elem.Go)
	g.read(e, t.Elem)
	g.line("%s[%s] = %s", v, k, e)
	g.shut("")
	g.shut("")
}

func (g *golang) readUnion(v string, u *UnionType) {
	n := width(uint64(len(u.Members) - 1))
	if n == 0 {
		g.readMember(v, u.Members[0])
		return
	}
	g.open("switch r.Bits(%d)", n)
	for i, m := range u.Members {
		g.depth--
		g.line("case %d:", i)
		g.depth++
		vars := maps.Clone(g.vars) // the variable of each case is its own
		g.readMember(v, m)
		g.vars = vars
	}
	if len(u.Members) < 1<<n {
		g.depth--
		g.line("default:")
		g.depth++
		g.line("r.Fail(pack.CauseRange)")
	}
	g.shut("")
}

func (g *golang) readMember(v string, m Member) {
	e := g.name("e")
	g.line("var %s %s", e, m.Struct.Go)
	g.line("unpack%s(r, &%s)", g.need(m.Struct), e)
	g.line("%s = %s", v, e)
}
