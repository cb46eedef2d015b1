package gen

import (
	"go/token"
	"go/types"
	"math/bits"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/channel"
)

// Kind says what values a Type has.
type Kind int

const (
	Bool     Kind = iota
	Int           // Bits, Signed, and perhaps Fixed, Big or Range
	Float         // Bits, and perhaps Range
	Enum          // Enum
	String        // Max
	Bytes         // Max
	List          // Elem, Max
	Array         // Elem, Len
	Map           // Key, Elem, Max
	Optional      // Elem
	Struct        // Struct
	Union         // Union
	Duration      // Unit
	Time
)

// Type is the type of a field or element.
type Type struct {
	Kind   Kind
	Go     string // in the package
	Bits   int
	Signed bool
	Fixed  bool // not a varint
	Big    bool // a bigint in JavaScript
	Native bool // int or uint, which have 32 bits on some machines
	Range  *Range
	Max    int
	Len    int
	Unit   time.Duration
	Key    *Type
	Elem   *Type
	Enum   *EnumType
	Struct *StructType
	Union  *UnionType
}

// Range is the values lo, lo+step and so on up to hi. Count is the index of hi.
type Range struct {
	Lo, Hi, Step float64
	Count        uint64
}

// EnumType is a named integer type whose values are constants.
type EnumType struct {
	Name  string   // in TypeScript
	Names []string // of the values, in TypeScript
}

// StructType is a message or a part of one.
type StructType struct {
	Name   string // in TypeScript
	Go     string // in the package
	Fields []Field
	Mark   int // fields from this index on were added later; -1 if none can be
}

// Field is one field of a struct.
type Field struct {
	Name string // in TypeScript
	Go   string
	Type *Type
}

// UnionType is an interface with a list of structs.
type UnionType struct {
	Name    string // in TypeScript
	Members []Member
}

// Member is one of the structs of a union.
type Member struct {
	Tag    string // the value of its property "type" in TypeScript
	Struct *StructType
}

// Row is a row of the table: a channel, a call, or the hello.
type Row struct {
	Go       string // the field of the table
	Name     string
	Handle   string    // ToServer, ToClient, Both, ServerCall, ClientCall or Hello
	Mode     string    // of a channel
	Messages []Message // one, or two of a call
	channel  channel.Channel
}

// Message is what a row carries: of Struct, or in JSON, or bytes.
type Message struct {
	Struct *StructType
	JSON   bool
}

// Package is what Load found.
type Package struct {
	Name    string
	Table   string // type of the table
	Rows    []Row
	Structs []*StructType // in the order of their first use, parts before the whole
	Enums   []*EnumType
	Unions  []*UnionType
	tops    []*StructType     // the messages
	imports map[string]string // path to name, of types of other packages

	scope *types.Scope
	names map[string]types.Object // the types, by their names in TypeScript
	at    func(token.Pos) string  // a position for an error
}

// width returns the number of bits of values up to largest.
func width(largest uint64) int { return bits.Len64(largest) }

// countWidth returns the number of bits of a count up to limit, or 0 if it is a varint.
func countWidth(limit int) int {
	if limit < 256 {
		return width(uint64(limit))
	}
	return 0
}

// fixedBits returns the number of bits of every value of t, and whether they are the same for all and
// few enough to be written together with others.
func (t *Type) fixedBits() (int, bool) {
	switch t.Kind {
	case Bool:
		return 1, true
	case Int, Float:
		switch {
		case t.Range != nil:
			return width(t.Range.Count), true
		case t.Bits == 8 || t.Kind == Float && t.Bits == 32 || t.Fixed && t.Bits < 64:
			return t.Bits, true
		}
	case Enum:
		return width(uint64(len(t.Enum.Names) - 1)), true
	}
	return 0, false
}

// least returns the smallest number of bits of a value of t.
func (t *Type) least() int {
	if n, ok := t.fixedBits(); ok {
		return n
	}
	switch t.Kind {
	case Int:
		if t.Fixed {
			return t.Bits
		}
		return 8
	case Float:
		return t.Bits
	case Array:
		return t.Len * t.Elem.least()
	case String, Bytes, List, Map:
		if n := countWidth(t.Max); n > 0 {
			return n
		}
		return 8
	case Optional:
		return 1
	case Struct:
		return t.Struct.least()
	case Union:
		n := t.Union.Members[0].Struct.least()
		for _, m := range t.Union.Members {
			n = min(n, m.Struct.least())
		}
		return n + width(uint64(len(t.Union.Members)-1))
	}
	return 8
}

func (s *StructType) least() int {
	n := 0
	for _, f := range s.Fields {
		n += f.Type.least()
	}
	return n
}

// flat returns whether t is so small that its parts are written in the code of the struct that has it.
func (t *Type) flat() bool { return t.leaves() <= maxLeaves }

const maxLeaves = 8

// leaves returns the number of values of a fixed number of bits that t has, more than maxLeaves if it
// has others or too many.
func (t *Type) leaves() int {
	switch t.Kind {
	case Struct:
		n := 0
		for _, f := range t.Struct.Fields {
			n += f.Type.leaves()
		}
		return n
	case Array:
		return t.Len * t.Elem.leaves()
	}
	if n, ok := t.fixedBits(); ok && n > 0 {
		return 1
	}
	return maxLeaves + 1
}

// GoName returns the name of the type in its package.
func (s *StructType) GoName() string {
	return s.Go[strings.LastIndex(s.Go, ".")+1:]
}

// Messages returns the types of the messages, in the order of the rows.
func (p *Package) Messages() []*StructType { return p.tops }
