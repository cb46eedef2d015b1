package gen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-rtc/godwit/internal/rowtag"
)

// typeName returns the type of t in TypeScript.
func typeName(t *Type) string {
	switch t.Kind {
	case Bool:
		return "boolean"
	case Enum:
		return t.Enum.Name
	case String:
		return "string"
	case Bytes:
		return "Uint8Array"
	case List, Array:
		e := typeName(t.Elem)
		if t.Kind == Array && t.flat() {
			return "[" + strings.Join(slices.Repeat([]string{e}, t.Len), ", ") + "]"
		}
		if strings.Contains(e, " ") {
			e = "(" + e + ")"
		}
		return e + "[]"
	case Map:
		return fmt.Sprintf("Map<%s, %s>", typeName(t.Key), typeName(t.Elem))
	case Optional:
		return typeName(t.Elem) + " | undefined"
	case Struct:
		return t.Struct.Name
	case Union:
		return t.Union.Name
	case Time:
		return "Date"
	}
	if t.Big {
		return "bigint"
	}
	return "number"
}

// zero returns an expression for the zero value of Go in TypeScript.
func zero(t *Type) string {
	switch t.Kind {
	case Bool:
		return "false"
	case Enum:
		return fmt.Sprintf("%q", t.Enum.Names[0])
	case String:
		return `""`
	case Bytes:
		return "new Uint8Array(0)"
	case List:
		return "[]"
	case Array:
		return "[" + strings.Join(slices.Repeat([]string{zero(t.Elem)}, t.Len), ", ") + "]"
	case Map:
		return "new Map()"
	case Optional:
		return "undefined"
	case Struct:
		var all []string
		for _, f := range t.Struct.Fields {
			all = append(all, property(f.Name, zero(f.Type)))
		}
		return "{ " + strings.Join(all, ", ") + " }"
	case Time:
		return "new Date(-62135596800000)"
	}
	if t.Big {
		return "0n"
	}
	return "0"
}

// types returns the declarations of the types.
func (p *Package) types() string {
	var c code
	for _, e := range p.Enums {
		var names []string
		for _, n := range e.Names {
			names = append(names, fmt.Sprintf("%q", n))
		}
		c.line("export type %s = %s;", e.Name, strings.Join(names, " | "))
		c.line("")
	}
	for _, u := range p.Unions {
		var members []string
		for _, m := range u.Members {
			members = append(members, fmt.Sprintf("({ type: %q } & %s)", m.Tag, m.Struct.Name))
		}
		c.line("export type %s = %s;", u.Name, strings.Join(members, " | "))
		c.line("")
	}
	for i, s := range p.Structs {
		if i > 0 {
			c.line("")
		}
		c.open("export interface %s", s.Name)
		for _, f := range s.Fields {
			q := ""
			if f.Type.Kind == Optional {
				q = "?"
			}
			c.line("%s%s: %s;", f.Name, q, typeName(f.Type))
		}
		c.shut("")
	}
	return c.String()
}

// table writes the object with everything that a page needs.
func (s *script) table(p *Package) {
	s.open("export const %s =", rowtag.Name(p.Table))
	s.line("channels: [")
	s.depth++
	for _, r := range p.Rows {
		if r.Mode != "" {
			s.line("{ %s },", strings.Join(r.properties(fmt.Sprintf("%q", r.Messages[0].Schema())), ", "))
		}
	}
	s.depth--
	s.line("],")
	if schema := p.Schema(); schema != "" {
		s.line("schema: %q,", schema)
	}
	s.open("messages:")
	for _, r := range p.Rows {
		if r.Mode != "" && !r.Messages[0].bytes() {
			s.line("%s: %s,", key(r.Name), s.codec(r.Messages[0]))
		}
	}
	s.shut(",")
	s.open("requests:")
	for _, r := range p.Rows {
		if len(r.Messages) == 2 {
			s.line("%s: [%s, %s],", key(r.Name), s.codec(r.Messages[0]), s.codec(r.Messages[1]))
		}
	}
	s.shut(",")
	for _, r := range p.Rows {
		if r.Handle == "Hello" {
			s.line("hello: %s,", s.codec(r.Messages[0]))
		}
	}
	s.shut(s.ifTyped(" as const") + ";")
}

// declaration returns the declaration of the table.
func (p *Package) declaration() string {
	var c code
	c.open("export declare const %s:", rowtag.Name(p.Table))
	c.line("readonly channels: readonly [")
	c.depth++
	for _, r := range p.Rows {
		if r.Mode != "" {
			c.line("{ readonly %s },", strings.Join(r.properties("string"), "; readonly "))
		}
	}
	c.depth--
	c.line("];")
	if p.Schema() != "" {
		c.line("readonly schema: string;")
	}
	c.open("readonly messages:")
	for _, r := range p.Rows {
		if r.Mode != "" && !r.Messages[0].bytes() {
			c.line("readonly %s: %s;", key(r.Name), r.Messages[0].codecType())
		}
	}
	c.shut(";")
	c.open("readonly requests:")
	for _, r := range p.Rows {
		if len(r.Messages) == 2 {
			c.line("readonly %s: readonly [%s, %s];", key(r.Name), r.Messages[0].codecType(), r.Messages[1].codecType())
		}
	}
	c.shut(";")
	for _, r := range p.Rows {
		if r.Handle == "Hello" {
			c.line("readonly hello: %s;", r.Messages[0].codecType())
		}
	}
	c.shut(";")
	return c.String()
}

// channel returns the properties of a channel.
func (r Row) properties(schema string) []string {
	all := []string{fmt.Sprintf("name: %q", r.Name), fmt.Sprintf("mode: %q", r.Mode), fmt.Sprintf("direction: %q", handles[r.Handle])}
	for _, s := range []struct {
		name  string
		value int
	}{
		{"maxMessage", r.channel.MaxMessage}, {"queueLimit", r.channel.QueueLimit}, {"priority", r.channel.Priority},
		{"guarantee", r.channel.Guarantee}, {"weight", r.channel.Weight}, {"copies", r.channel.Copies},
	} {
		if s.value != 0 {
			all = append(all, fmt.Sprintf("%s: %d", s.name, s.value))
		}
	}
	if r.channel.Compress {
		all = append(all, "compress: true")
	}
	if !r.Messages[0].bytes() {
		all = append(all, "schema: "+schema)
	}
	return all
}

func (m Message) bytes() bool { return m.Struct == nil && !m.JSON }

// codec returns how the client writes and reads m, as an expression.
func (s *script) codec(m Message) string {
	switch {
	case m.JSON:
		return fmt.Sprintf("{ encode: %s, decode: %s }", s.call("writeJSON"), s.call("readJSON"))
	case m.Struct == nil:
		return "null"
	}
	return fmt.Sprintf("{ write: write%s, read: read%s }", m.Struct.Name, m.Struct.Name)
}

func (m Message) codecType() string {
	switch {
	case m.JSON:
		return "Coder<any>"
	case m.Struct == nil:
		return "null"
	}
	return "Codec<" + m.Struct.Name + ">"
}

// key returns a name as a property.
func key(name string) string {
	for i, c := range name {
		if c != '_' && c != '$' && !('a' <= c && c <= 'z') && !('A' <= c && c <= 'Z') && (i == 0 || !('0' <= c && c <= '9')) {
			return fmt.Sprintf("%q", name)
		}
	}
	return name
}
