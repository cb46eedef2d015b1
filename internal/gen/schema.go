package gen

import (
	"fmt"
	"strconv"
	"strings"
)

// Schema returns the schema of a message: its fields in the order of the wire, as path:type with ; between
// them, without those below the mark. It is empty for bytes.
func (m Message) Schema() string {
	return strings.Join(m.entries(""), ";")
}

func (m Message) entries(path string) []string {
	switch {
	case m.JSON:
		return []string{path + ":json"}
	case m.Struct == nil:
		return nil
	}
	return m.Struct.entries(path)
}

// Schema returns the schema of the hello and of the requests, empty if there are none.
func (p *Package) Schema() string {
	var all []string
	for _, r := range p.Rows {
		switch r.Handle {
		case "Hello":
			all = append(all, r.Messages[0].entries("hello")...)
		case "ServerCall", "ClientCall":
			all = append(all, r.Messages[0].entries(r.Name+".request")...)
			all = append(all, r.Messages[1].entries(r.Name+".reply")...)
		}
	}
	return strings.Join(all, ";")
}

func (s *StructType) entries(path string) []string {
	var all []string
	for i, f := range s.Fields {
		if s.Mark >= 0 && i >= s.Mark {
			break
		}
		all = append(all, f.Type.entries(join(path, f.Name))...)
	}
	if s.Mark >= 0 {
		all = append(all, join(path, "+")+":evolving")
	}
	if len(all) == 0 {
		return []string{path + ":empty"}
	}
	return all
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (t *Type) entries(path string) []string {
	switch t.Kind {
	case Struct:
		return t.Struct.entries(path)
	case List:
		return append([]string{fmt.Sprintf("%s:list(%d)", path, t.Max)}, t.Elem.entries(path+"[]")...)
	case Array:
		return append([]string{fmt.Sprintf("%s:array(%d)", path, t.Len)}, t.Elem.entries(path+"[]")...)
	case Map:
		all := append([]string{fmt.Sprintf("%s:map(%d)", path, t.Max)}, t.Key.entries(path+"{}")...)
		return append(all, t.Elem.entries(path+"[]")...)
	case Optional:
		return append([]string{path + ":optional"}, t.Elem.entries(path+"?")...)
	case Union:
		var tags, all []string
		for _, m := range t.Union.Members {
			tags = append(tags, m.Tag)
			all = append(all, m.Struct.entries(path+"."+m.Tag)...)
		}
		return append([]string{fmt.Sprintf("%s:union(%s)", path, strings.Join(tags, ","))}, all...)
	}
	return []string{path + ":" + t.scalar()}
}

// scalar returns the type of one value in a schema.
func (t *Type) scalar() string {
	switch t.Kind {
	case Int:
		if t.Range != nil {
			return t.Range.String()
		}
		s := fmt.Sprintf("int%d", t.Bits)
		if !t.Signed {
			s = "u" + s
		}
		if t.Fixed {
			s += "/fixed"
		}
		if t.Big {
			s += "/bigint"
		}
		return s
	case Float:
		s := fmt.Sprintf("float%d", t.Bits)
		if t.Range != nil {
			s += "(" + t.Range.String() + ")"
		}
		return s
	case Enum:
		return "enum(" + strings.Join(t.Enum.Names, ",") + ")"
	case String:
		return fmt.Sprintf("string(%d)", t.Max)
	case Bytes:
		return fmt.Sprintf("bytes(%d)", t.Max)
	case Duration:
		return fmt.Sprintf("duration(%s)", strings.Replace(t.Unit.String(), "µ", "u", 1))
	case Time:
		return "time"
	}
	return "bool"
}

func (r *Range) String() string {
	s := number(r.Lo) + ".." + number(r.Hi)
	if r.Step != 1 {
		s += "/" + number(r.Step)
	}
	return s
}

// number returns f as both languages read it.
func number(f float64) string {
	if f == float64(int64(f)) && f > -maxSafe && f < maxSafe {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
