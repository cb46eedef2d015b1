package gen

import (
	"fmt"
	"maps"
	"strings"
)

// code collects lines.
type code struct {
	strings.Builder
	depth int
	vars  map[string]int   // how often each name of a variable is in use
	outer []map[string]int // vars of the blocks around
}

// line writes a line, at the depth of the code.
func (c *code) line(format string, args ...any) {
	c.WriteString(strings.Repeat("  ", c.depth))
	fmt.Fprintf(c, format, args...)
	c.WriteByte('\n')
}

// open writes a line that begins a block. Names that the block takes are free again after shut.
func (c *code) open(format string, args ...any) {
	c.line(format+" {", args...)
	c.depth++
	c.outer = append(c.outer, maps.Clone(c.vars))
}

func (c *code) shut(after string) {
	c.depth--
	c.line("}%s", after)
	c.vars = c.outer[len(c.outer)-1]
	c.outer = c.outer[:len(c.outer)-1]
}

// name returns a name for a variable that is not in use in the function.
func (c *code) name(want string) string {
	c.vars[want]++
	if n := c.vars[want]; n > 1 {
		return c.name(fmt.Sprintf("%s%d", want, n))
	}
	return want
}

// leaf is a value of a fixed number of bits inside a field, and how the code of a language names it.
type leaf struct {
	path string
	t    *Type
}

// leaves returns the values inside a type that is flat, each with its path below the path of the field.
func leaves(path string, t *Type, field func(Field) string) []leaf {
	switch t.Kind {
	case Struct:
		var all []leaf
		for _, f := range t.Struct.Fields {
			all = append(all, leaves(path+"."+field(f), f.Type, field)...)
		}
		return all
	case Array:
		var all []leaf
		for i := range t.Len {
			all = append(all, leaves(fmt.Sprintf("%s[%d]", path, i), t.Elem, field)...)
		}
		return all
	}
	return []leaf{{path, t}}
}

// groups cuts values into groups of at most limit bits each.
func groups(all []leaf, limit int) [][]leaf {
	var out [][]leaf
	used := 0
	for _, l := range all {
		n, _ := l.t.fixedBits()
		if len(out) == 0 || used+n > limit {
			out = append(out, nil)
			used = 0
		}
		used += n
		out[len(out)-1] = append(out[len(out)-1], l)
	}
	return out
}

// runs cuts the fields from..to of a struct into those that are flat, as many as follow each other, and single
// others.
func (s *StructType) runs(from, to int) [][]Field {
	var out [][]Field
	flat := false
	for _, f := range s.Fields[from:to] {
		if !flat || !f.Type.flat() {
			out = append(out, nil)
		}
		flat = f.Type.flat()
		out[len(out)-1] = append(out[len(out)-1], f)
	}
	return out
}

// bitsOf returns the number of bits of values together.
func bitsOf(all []leaf) int {
	n := 0
	for _, l := range all {
		b, _ := l.t.fixedBits()
		n += b
	}
	return n
}

// mask returns a number of n bits that are set.
func mask(n int) uint64 { return 1<<n - 1 }
