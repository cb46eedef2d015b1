package values

import (
	"math"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/godwit-rtc/godwit/internal/gen"
)

// Random fills values. One value in Odd is outside of what its type has.
type Random struct {
	*rand.Rand
	Odd     int
	Members map[string]reflect.Type // the types of unions, by name in Go
}

func (r *Random) one(in int) bool { return in > 0 && r.IntN(in) == 0 }

// Struct sets v to a random value.
func (r *Random) Struct(s *gen.StructType, v reflect.Value) {
	for _, f := range s.Fields {
		r.Fill(f.Type, v.FieldByName(f.Go))
	}
}

// Fill sets v, of the type t, to a random value.
func (r *Random) Fill(t *gen.Type, v reflect.Value) {
	switch t.Kind {
	case gen.Bool:
		v.SetBool(r.one(2))
	case gen.Int:
		r.integer(t, v)
	case gen.Float:
		v.SetFloat(r.float(t))
	case gen.Enum:
		n := int64(r.IntN(len(t.Enum.Names)))
		if r.one(r.Odd) {
			n = int64(len(t.Enum.Names)) + n
		}
		v.Set(reflect.ValueOf(n).Convert(v.Type()))
	case gen.String:
		v.SetString(r.text(r.size(t.Max)))
	case gen.Bytes:
		b := make([]byte, r.size(t.Max))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		v.SetBytes(b)
		if len(b) == 0 {
			v.SetZero()
		}
	case gen.Duration:
		v.SetInt(int64(r.duration(t)))
	case gen.Time:
		ms := r.Int64N(8_640_000_000_000_000>>r.IntN(50)) * (1 - 2*r.Int64N(2))
		if r.one(r.Odd) {
			ms += 8_640_000_000_000_000
		}
		v.Set(reflect.ValueOf(time.UnixMilli(ms).UTC().Add(time.Duration(r.IntN(1e6)))))
	case gen.List:
		n := r.size(t.Max)
		if n == 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			r.Fill(t.Elem, v.Index(i))
		}
	case gen.Array:
		for i := range v.Len() {
			r.Fill(t.Elem, v.Index(i))
		}
	case gen.Map:
		v.SetZero()
		n := r.size(t.Max)
		if n == 0 {
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for range n {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			r.Fill(t.Key, k)
			r.Fill(t.Elem, e)
			v.SetMapIndex(k, e)
		}
	case gen.Optional:
		if v.SetZero(); r.one(2) {
			v.Set(reflect.New(v.Type().Elem()))
			r.Fill(t.Elem, v.Elem())
		}
	case gen.Struct:
		r.Struct(t.Struct, v)
	case gen.Union:
		if v.SetZero(); !r.one(r.Odd) {
			m := t.Union.Members[r.IntN(len(t.Union.Members))]
			e := reflect.New(r.Members[m.Struct.GoName()]).Elem()
			r.Struct(m.Struct, e)
			v.Set(e)
		}
	}
}

// size returns a length of at most limit, mostly a small one.
func (r *Random) size(limit int) int {
	if r.one(r.Odd) {
		return limit + 1
	}
	if r.one(20) {
		return limit
	}
	return r.IntN(min(limit, 1<<r.IntN(5)) + 1)
}

func (r *Random) integer(t *gen.Type, v reflect.Value) {
	bits := r.Uint64() >> r.IntN(64)
	if t.Range != nil && !r.one(r.Odd) {
		bits = uint64(int64(t.Range.Lo) + r.Int64N(int64(t.Range.Hi-t.Range.Lo)+1))
	} else if t.Bits == 64 && !t.Big && !r.one(r.Odd) {
		bits &= 1<<53 - 1
		if t.Signed && r.one(2) {
			bits = -bits
		}
	} else if r.one(2) {
		bits = -bits
	}
	if t.Signed {
		v.SetInt(int64(bits<<(64-t.Bits)) >> (64 - t.Bits))
	} else {
		v.SetUint(bits << (64 - t.Bits) >> (64 - t.Bits))
	}
}

func (r *Random) float(t *gen.Type) float64 {
	if t.Range != nil && !r.one(r.Odd) {
		span := t.Range.Hi - t.Range.Lo
		switch r.IntN(4) {
		case 0: // a value between two that the range has
			return t.Range.Lo + (float64(r.Uint64N(t.Range.Count))+0.5)*t.Range.Step
		case 1:
			return t.Range.Lo + span*(r.Float64()*1.2-0.1)
		}
		return t.Range.Lo + float64(r.Uint64N(t.Range.Count+1))*t.Range.Step
	}
	switch r.IntN(8) {
	case 0:
		return []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1, -1, math.MaxFloat64}[r.IntN(8)]
	case 1:
		return math.Float64frombits(r.Uint64())
	case 2:
		return float64(math.Float32frombits(r.Uint32()))
	}
	return float64(r.IntN(2000)-1000) / 8
}

func (r *Random) duration(t *gen.Type) time.Duration {
	limit := t.Limit()
	n := r.Int64N(limit>>r.IntN(40)+1) * (1 - 2*r.Int64N(2))
	if r.one(r.Odd) && limit < math.MaxInt64/int64(t.Unit) {
		n += limit
	}
	d := time.Duration(n) * t.Unit
	if n < 1<<40 && n > -1<<40 {
		d += t.Unit / 4 * time.Duration(r.IntN(3)-1)
	}
	return d
}

// text returns a string of n bytes of UTF-8.
func (r *Random) text(n int) string {
	b := make([]byte, 0, n)
	plain := r.one(2)
	for len(b) < n {
		c := string(rune(' ' + r.IntN(95)))
		if !plain {
			c = []string{c, "ä", "€", "\ue000", "\uffff", "😀", "\x00", "\n", "\u2028", "\ufeff"}[r.IntN(10)]
		}
		if len(b)+len(c) <= n {
			b = append(b, c...)
		}
	}
	return string(b)
}
