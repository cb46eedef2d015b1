package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// source makes Go code with random types.
type source struct {
	*rand.Rand
	strings.Builder
	structs int
	enums   int
	unions  int
}

// randomSource returns a package with a table of n messages.
func randomSource(r *rand.Rand, n int) string {
	s := &source{Rand: r}
	var table strings.Builder
	for i := range n {
		name := s.structure(3, true)
		fmt.Fprintf(&table, "\tM%d typed.Both[%s] `godwit:\"unreliable\"`\n", i, name)
	}
	return "package main\n\nimport (\n\t\"time\"\n\n\t\"github.com/godwit-rtc/godwit/pack\"\n\t\"github.com/godwit-rtc/godwit/typed\"\n)\n\n" +
		"var (\n\t_ time.Time\n\t_ pack.Evolving\n)\n\ntype Table struct {\n" + table.String() + "}\n" + s.String()
}

// structure writes a struct type and returns its name. Types inside of it have fewer and fewer parts.
func (s *source) structure(depth int, message bool) string {
	s.structs++
	name := fmt.Sprintf("S%d", s.structs)
	var body strings.Builder
	n := 1 + s.IntN(8)
	mark := -1
	if message && s.IntN(4) == 0 {
		mark = s.IntN(n + 1)
	}
	for i := range n {
		if i == mark {
			body.WriteString("\t_ pack.Evolving\n")
		}
		t, tag := s.typ(depth, mark < 0 || i < mark)
		fmt.Fprintf(&body, "\tF%d %s `godwit:\"%s\"`\n", i, t, strings.TrimPrefix(tag, ","))
	}
	if mark < 0 && s.IntN(10) == 0 {
		fmt.Fprintf(&body, "\tOnly %s\n", s.enum(1)) // perhaps of no bits, which an element of a list cannot be
	}
	if mark == n {
		body.WriteString("\t_ pack.Evolving\n")
	}
	fmt.Fprintf(s, "\ntype %s struct {\n%s}\n", name, body.String())
	return name
}

var limits = []int{1, 2, 3, 5, 15, 16, 40, 255, 256, 300}

func (s *source) limit() int { return limits[s.IntN(len(limits))] }

// typ returns a type and its tag. Unions are not everywhere.
func (s *source) typ(depth int, union bool) (string, string) {
	if depth == 0 || s.IntN(3) > 0 {
		return s.scalar()
	}
	switch s.IntN(8) {
	case 0, 1:
		e, tag := s.typ(depth-1, union)
		return "[]" + e, fmt.Sprintf(",max=%d%s", s.limit(), each(tag))
	case 2:
		e, tag := s.typ(depth-1, union)
		return fmt.Sprintf("[%d]%s", 1+s.IntN(5), e), each(tag)
	case 3:
		k, key := s.key()
		e, tag := s.typ(depth-1, union)
		return fmt.Sprintf("map[%s]%s", k, e), fmt.Sprintf(",max=%d%s%s", s.limit(), key, each(tag))
	case 4:
		e, tag := s.typ(depth-1, false)
		if strings.HasPrefix(e, "*") || strings.HasPrefix(e, "U") {
			return e, tag
		}
		return "*" + e, tag
	case 5:
		if !union {
			break
		}
		return s.union(depth - 1), ""
	}
	if !union {
		return s.scalar()
	}
	return s.structure(depth-1, false), ""
}

// each returns the tag of an element.
func each(tag string) string {
	if tag == "" {
		return ""
	}
	parts := strings.Split(strings.TrimPrefix(tag, ","), ",")
	for i, p := range parts {
		parts[i] = "each." + p
	}
	return "," + strings.Join(parts, ",")
}

func (s *source) key() (string, string) {
	switch s.IntN(4) {
	case 0:
		return "string", fmt.Sprintf(",key.max=%d", 3+s.IntN(20))
	case 1:
		return s.enum(2), ""
	case 2:
		return []string{"int64", "uint64"}[s.IntN(2)], []string{"", ",key.bigint", ",key.bigint,key.fixed"}[s.IntN(3)]
	}
	return []string{"uint8", "int8", "uint16", "int16", "uint32", "int32", "int", "uint"}[s.IntN(8)], ""
}

func (s *source) scalar() (string, string) {
	switch s.IntN(16) {
	case 0, 1:
		return "bool", ""
	case 2:
		return "string", fmt.Sprintf(",max=%d", s.limit())
	case 3:
		return "[]byte", fmt.Sprintf(",max=%d", s.limit())
	case 4:
		return "time.Time", ""
	case 5:
		return "time.Duration", fmt.Sprintf(",unit=%s", []string{"1ns", "1us", "100us", "1ms", "50ms", "1s", "1h"}[s.IntN(7)])
	case 6:
		return s.enum(2), ""
	case 7:
		return []string{"float32", "float64"}[s.IntN(2)], ""
	case 8, 9:
		return s.quantised()
	case 10, 11:
		return s.ranged()
	case 12:
		return []string{"int16", "uint16", "int32", "uint32", "int64", "uint64"}[s.IntN(6)], ",fixed"
	case 13:
		return []string{"int64", "uint64"}[s.IntN(2)], []string{",bigint", ",bigint,fixed"}[s.IntN(2)]
	}
	return []string{"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "int", "uint"}[s.IntN(10)], ""
}

// quantised returns a float with a range.
func (s *source) quantised() (string, string) {
	step := []string{"0.001", "0.01", "0.1", "0.125", "0.3", "1", "4", "1000"}[s.IntN(8)]
	var f float64
	fmt.Sscan(step, &f)
	lo := float64(s.IntN(2000)-1000) * f
	hi := lo + float64(1+s.IntN(1<<(1+s.IntN(16))))*f
	return []string{"float32", "float64"}[s.IntN(2)], fmt.Sprintf(",range=%.6f..%.6f,step=%s", lo, hi, step)
}

// ranged returns an integer with a range.
func (s *source) ranged() (string, string) {
	step := 1 + s.IntN(5)*s.IntN(2)
	switch s.IntN(4) {
	case 0:
		lo := s.IntN(10)
		return "int8", fmt.Sprintf(",range=%d..%d,step=%d", lo, lo+step*(1+s.IntN(20)), step)
	case 1:
		lo := s.IntN(1000) - 1000
		return "int16", fmt.Sprintf(",range=%d..%d,step=%d", lo, lo+step*(1+s.IntN(2000)), step)
	case 2:
		lo := s.Int64N(1<<40) - 1<<39
		return "int64", fmt.Sprintf(",range=%d..%d,step=%d", lo, lo+int64(step)*(1+s.Int64N(1<<32-1)), step)
	}
	lo := s.Int64N(1 << 40)
	return "uint64", fmt.Sprintf(",range=%d..%d", lo, lo+1+s.Int64N(1<<32-1))
}

// enum writes an enumeration of at least so many names, and returns its name.
func (s *source) enum(least int) string {
	s.enums++
	name := fmt.Sprintf("E%d", s.enums)
	base := []string{"uint8", "int", "int16", "uint64"}[s.IntN(4)]
	fmt.Fprintf(s, "\ntype %s %s\n\nconst (\n", name, base)
	for i := range least + s.IntN(6) {
		fmt.Fprintf(s, "\t%sV%d %s = %d\n", name, i, name, i)
	}
	s.WriteString(")\n")
	return name
}

// union writes a union and returns its name.
func (s *source) union(depth int) string {
	s.unions++
	name := fmt.Sprintf("U%d", s.unions)
	var members []string
	for i := range 1 + s.IntN(5) {
		m := name + "Empty"
		if i == 1 && s.IntN(2) == 0 {
			fmt.Fprintf(s, "\ntype %s struct{}\n", m)
		} else {
			m = s.structure(depth, false)
		}
		fmt.Fprintf(s, "\nfunc (%s) is%s() {}\n", m, name)
		members = append(members, m)
	}
	fmt.Fprintf(s, "\n//godwit:union %s\ntype %s interface{ is%s() }\n", strings.Join(members, " "), name, name)
	return name
}
