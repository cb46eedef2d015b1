// Package values makes random values of message types, and writes values as text that both languages
// write in the same way. Tests compare the two with it.
package values

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/internal/gen"
)

// Dump appends v, of the type t, as JSON. What JSON does not have is an object with one property:
// {"$b":"00ff"} is bytes, {"$i":"5"} a bigint, {"$d":5} a Date, {"$m":[[1,2]]} a Map, {"$":"NaN"} another
// number. null is undefined.
func Dump(b []byte, t *gen.Type, v reflect.Value) []byte {
	switch t.Kind {
	case gen.Bool:
		return strconv.AppendBool(b, v.Bool())
	case gen.Int:
		return dumpInt(b, t, v)
	case gen.Float:
		return dumpFloat(b, v.Float())
	case gen.Enum:
		i := v.Convert(reflect.TypeFor[int64]()).Int()
		if i < 0 || i >= int64(len(t.Enum.Names)) {
			return append(b, `"?"`...)
		}
		return dumpString(b, t.Enum.Names[i])
	case gen.String:
		return dumpString(b, v.String())
	case gen.Bytes:
		b = append(b, `{"$b":"`...)
		b = hex.AppendEncode(b, v.Bytes())
		return append(b, `"}`...)
	case gen.Duration:
		return dumpFloat(b, milliseconds(time.Duration(v.Int()), t.Unit))
	case gen.Time:
		b = append(b, `{"$d":`...)
		b = strconv.AppendInt(b, v.Interface().(time.Time).UnixMilli(), 10)
		return append(b, '}')
	case gen.List, gen.Array:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = Dump(b, t.Elem, v.Index(i))
		}
		return append(b, ']')
	case gen.Map:
		return dumpMap(b, t, v)
	case gen.Optional:
		if v.IsNil() {
			return append(b, "null"...)
		}
		return Dump(b, t.Elem, v.Elem())
	case gen.Union:
		if v.IsNil() {
			return append(b, "null"...)
		}
		for _, m := range t.Union.Members {
			if m.Struct.GoName() == v.Elem().Type().Name() {
				b = append(b, `{"type":`...)
				b = dumpString(b, m.Tag)
				for _, f := range m.Struct.Fields {
					b = append(b, ',')
					b = dumpField(b, f, v.Elem())
				}
				return append(b, '}')
			}
		}
		panic("no member: " + v.Elem().Type().Name())
	}
	return Struct(b, t.Struct, v)
}

// Struct is Dump for a struct.
func Struct(b []byte, s *gen.StructType, v reflect.Value) []byte {
	b = append(b, '{')
	for i, f := range s.Fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = dumpField(b, f, v)
	}
	return append(b, '}')
}

func dumpField(b []byte, f gen.Field, v reflect.Value) []byte {
	b = append(dumpString(b, f.Name), ':')
	return Dump(b, f.Type, v.FieldByName(f.Go))
}

func dumpInt(b []byte, t *gen.Type, v reflect.Value) []byte {
	if t.Big {
		b = append(b, `{"$i":"`...)
	}
	switch {
	case t.Signed && t.Big:
		b = strconv.AppendInt(b, v.Int(), 10)
	case t.Big:
		b = strconv.AppendUint(b, v.Uint(), 10)
	case t.Signed:
		return dumpFloat(b, float64(v.Int()))
	default:
		return dumpFloat(b, float64(v.Uint()))
	}
	return append(b, `"}`...)
}

func dumpFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `{"$":"NaN"}`...)
	case math.IsInf(f, 1):
		return append(b, `{"$":"Infinity"}`...)
	case math.IsInf(f, -1):
		return append(b, `{"$":"-Infinity"}`...)
	case f == 0 && math.Signbit(f):
		return append(b, `{"$":"-0"}`...)
	}
	text, _ := json.Marshal(f) // writes numbers as JavaScript does
	return append(b, text...)
}

// milliseconds returns d as the module of a page would, which computes with units.
func milliseconds(d, unit time.Duration) float64 {
	whole, rest := d/unit, d%unit
	n := float64(whole) + float64(rest)/float64(unit)
	if unit < time.Millisecond {
		return n / float64(time.Millisecond/unit)
	}
	return n * float64(unit/time.Millisecond)
}

// dumpString writes s as JSON.stringify does.
func dumpString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ':
			b = append(b, c)
		default:
			if j := strings.IndexByte("\b\f\n\r\t", c); j >= 0 {
				b = append(b, '\\', "bfnrt"[j])
			} else {
				b = fmt.Appendf(b, `\u%04x`, c)
			}
		}
	}
	return append(b, '"')
}

func dumpMap(b []byte, t *gen.Type, v reflect.Value) []byte {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return compare(x, y) })
	b = append(b, `{"$m":[`...)
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = Dump(b, t.Key, k)
		b = append(b, ',')
		b = Dump(b, t.Elem, v.MapIndex(k))
		b = append(b, ']')
	}
	return append(b, "]}"...)
}

func compare(x, y reflect.Value) int {
	switch {
	case x.Kind() == reflect.String:
		return strings.Compare(x.String(), y.String())
	case x.CanInt():
		return big.NewInt(x.Int()).Cmp(big.NewInt(y.Int()))
	}
	return new(big.Int).SetUint64(x.Uint()).Cmp(new(big.Int).SetUint64(y.Uint()))
}
