package pack

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// written returns what write writes, in hex, and the error.
func written(write func(*Writer)) (string, error) {
	w := NewWriter(nil)
	write(&w)
	b, err := w.End()
	return hex.EncodeToString(b), err
}

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		what  string
		write func(*Writer)
		want  string
	}{
		{"nothing", func(*Writer) {}, ""},
		{"the lowest bit comes first", func(w *Writer) { w.Bits(1, 1); w.Bits(0b10, 2); w.Bits(1, 8) }, "0d00"},
		{"64 bits behind a bit", func(w *Writer) { w.Bits(1, 1); w.Bits(math.MaxUint64, 64) }, "ffffffffffffffff01"},
		{"a varint of one group", func(w *Writer) { w.Uint16(127) }, "7f"},
		{"of two", func(w *Writer) { w.Uint16(128) }, "8001"},
		{"the last group has two bits of 16", func(w *Writer) { w.Uint16(math.MaxUint16); w.Bits(1, 1) }, "ffff07"},
		{"four of 32", func(w *Writer) { w.Uint32(math.MaxUint32); w.Bits(1, 1) }, "ffffffff1f"},
		{"one of 64", func(w *Writer) { w.Uint64(math.MaxUint64); w.Bits(0, 1) }, "ffffffffffffffffff01"},
		{"a sign is the lowest bit", func(w *Writer) { w.Int16(-1); w.Int32(1); w.Int64(-64) }, "01027f"},
		{"a string begins with a whole byte", func(w *Writer) { w.Bits(1, 1); w.String("ab", 3); w.Bits(1, 1) }, "05616201"},
		{"an empty string needs none", func(w *Writer) { w.String("", 3); w.Bits(1, 1) }, "04"},
		{"an empty slice needs none", func(w *Writer) { w.Bytes(nil, 3); w.Bits(1, 1) }, "04"},
		{"a limit of 256 has a varint", func(w *Writer) { w.Bytes([]byte{7}, 256) }, "0107"},
		{"NaN has one form", func(w *Writer) {
			w.Bits(Float32(math.Float32frombits(0xffc00001)), 32)
			w.Float64(math.NaN())
		}, "0000c07f000000000000f87f"},
		{"a value between two steps", func(w *Writer) { w.Bits(w.Step(0.5, 0, 10, 1), 4); w.Bits(w.Step(99, 0, 10, 1), 4) }, "a1"},
		{"a duration is rounded", func(w *Writer) {
			w.Duration(1500*time.Microsecond, time.Millisecond, 100)
			w.Duration(-1500*time.Microsecond, time.Millisecond, 100)
			w.Duration(-1501*time.Microsecond, time.Millisecond, 100)
		}, "040103"},
		{"a time is cut to milliseconds", func(w *Writer) { w.Time(time.UnixMicro(-1)) }, "01"},
	} {
		if got, err := written(c.write); got != c.want || err != nil {
			t.Errorf("%s: %s, %v, want %s", c.what, got, err, c.want)
		}
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	for _, c := range []struct {
		write func(*Writer)
		want  Cause
	}{
		{func(w *Writer) { w.Bytes(make([]byte, 4), 3) }, CauseLength},
		{func(w *Writer) { w.String("long", 3) }, CauseLength},
		{func(w *Writer) { w.String("\xff", 3) }, CauseUTF8},
		{func(w *Writer) { w.Within(3, 2) }, CauseRange},
		{func(w *Writer) { w.Step(math.NaN(), 0, 1, 1) }, CauseRange},
		{func(w *Writer) { w.Safe(1 << 53) }, CauseRange},
		{func(w *Writer) { w.Safe(-1 << 53) }, CauseRange},
		{func(w *Writer) { w.SafeUint(1 << 53) }, CauseRange},
		{func(w *Writer) { w.Duration(11, 1, 10) }, CauseRange},
		{func(w *Writer) { w.Duration(-11, 1, 10) }, CauseRange},
		{func(w *Writer) { w.Time(time.UnixMilli(maxTime + 1)) }, CauseRange},
		{func(w *Writer) { w.Time(time.UnixMilli(-maxTime - 1)) }, CauseRange},
		{func(w *Writer) { w.Fail(CauseForm); w.Within(1, 0) }, CauseForm}, // the first counts
	} {
		w := NewWriter([]byte("before"))
		w.Bits(5, 8)
		c.write(&w)
		if b, err := w.End(); err != (Error{c.want}) || string(b) != "before" {
			t.Errorf("%q, %v, want %v", b, err, c.want)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	for _, c := range []struct {
		hex  string
		read func(*Reader)
		want Cause
	}{
		{"", func(r *Reader) { r.Bits(1) }, CauseTruncated},
		{"ff", func(r *Reader) { r.Bits(9) }, CauseTruncated},
		{"ffffffffffffffffff", func(r *Reader) { r.Bits(57); r.Bits(16) }, CauseTruncated},
		{"80", func(r *Reader) { r.Uint16() }, CauseTruncated},
		{"0261", func(r *Reader) { r.String(255) }, CauseTruncated},
		{"01", func(r *Reader) { r.Count(255, 1) }, CauseTruncated},
		{"0000", func(r *Reader) { r.Bits(8) }, CauseTrailing},
		{"02", func(r *Reader) { r.Bits(1) }, CauseForm},
		{"0000000000000000000002", func(r *Reader) { r.Bits(40); r.Bits(41) }, CauseForm},
		{"8000", func(r *Reader) { r.Uint32() }, CauseForm},
		{"ff8000", func(r *Reader) { r.Uint16() }, CauseForm},
		{"ffff00", func(r *Reader) { r.Uint16() }, CauseForm},
		{"1961", func(r *Reader) { r.String(7) }, CauseForm},
		{"0100c07f", func(r *Reader) { r.Float32(r.Bits(32)) }, CauseForm},
		{"010000000000f87f", func(r *Reader) { r.Float64() }, CauseForm},
		{"02", func(r *Reader) { r.Align(); r.Bits(1); r.Align() }, CauseForm},
		{"0200", func(r *Reader) { r.Bits(1); r.Align(); r.Bits(8) }, CauseForm},
		{"01ff", func(r *Reader) { r.String(255) }, CauseUTF8},
		{"0180", func(r *Reader) { r.String(255) }, CauseUTF8},
		{"03", func(r *Reader) { r.Within(r.Bits(2), 2) }, CauseRange},
		{"fffffffffffffffe7f", func(r *Reader) { r.SafeUint(r.Uint64()) }, CauseRange},
		{"fffffffffffffffe7f", func(r *Reader) { r.Safe(r.Int64()) }, CauseRange},
		{"16", func(r *Reader) { r.Duration(1, 10) }, CauseRange},
		{"15", func(r *Reader) { r.Duration(1, 10) }, CauseRange},
		{"8080808080808020", func(r *Reader) { r.Safe(r.Int64()) }, CauseRange},
		{"fffffffffffffffe7f", func(r *Reader) { r.Time() }, CauseRange},
		{"808080808080808020", func(r *Reader) {
			if v := r.Time(); !v.Equal(time.UnixMilli(0)) {
				t.Errorf("a time that is refused is %v", v)
			}
		}, CauseRange},
		{"03", func(r *Reader) { r.Count(2, 0) }, CauseLength},
		{"800200", func(r *Reader) { r.Count(256, 0); r.Bits(8) }, causeNone},
		{"810200", func(r *Reader) { r.Count(256, 0); r.Bits(8) }, CauseLength},
	} {
		b, _ := hex.DecodeString(c.hex)
		r := NewReader(b)
		c.read(&r)
		if err := r.End(); err != failed(c.want) {
			t.Errorf("%s: %v, want %v", c.hex, err, c.want)
		}
		if v := r.Bits(8); v != 0 {
			t.Errorf("%s: reads %d behind the end", c.hex, v)
		}
	}
}

// Limits belong to what they allow, when it is written and when it is read.
func TestLimitsAreAllowed(t *testing.T) {
	for _, c := range []struct {
		what  string
		write func(*Writer)
		read  func(*Reader) bool
	}{
		{"largest", func(w *Writer) { w.Bits(w.Within(5, 5), 3) }, func(r *Reader) bool { return r.Within(r.Bits(3), 5) == 5 }},
		{"safe", func(w *Writer) { w.Int64(w.Safe(maxSafe)) }, func(r *Reader) bool { return r.Safe(r.Int64()) == maxSafe }},
		{"safe, negative", func(w *Writer) { w.Int64(w.Safe(-maxSafe)) }, func(r *Reader) bool { return r.Safe(r.Int64()) == -maxSafe }},
		{"safe, unsigned", func(w *Writer) { w.Uint64(w.SafeUint(maxSafe)) }, func(r *Reader) bool { return r.SafeUint(r.Uint64()) == maxSafe }},
		{"duration", func(w *Writer) { w.Duration(9, 3, 3) }, func(r *Reader) bool { return r.Duration(3, 3) == 9 }},
		{"duration, negative", func(w *Writer) { w.Duration(-9, 3, 3) }, func(r *Reader) bool { return r.Duration(3, 3) == -9 }},
		{"time", func(w *Writer) { w.Time(time.UnixMilli(maxTime)) }, func(r *Reader) bool { return r.Time().UnixMilli() == maxTime }},
		{"time before 1970", func(w *Writer) { w.Time(time.UnixMilli(-maxTime)) }, func(r *Reader) bool { return r.Time().UnixMilli() == -maxTime }},
		{"length", func(w *Writer) { w.Count(3, 3) }, func(r *Reader) bool { return r.Count(3, 0) == 3 }},
		{"length of a varint", func(w *Writer) { w.Count(256, 256) }, func(r *Reader) bool { return r.Count(256, 0) == 256 }},
		{"string up to the end", func(w *Writer) { w.String("abc", 3) }, func(r *Reader) bool { return r.String(3) == "abc" }},
		{"bytes up to the end", func(w *Writer) { w.Bytes([]byte("abc"), 255) }, func(r *Reader) bool { return string(r.Bytes(255)) == "abc" }},
		{"no bytes", func(w *Writer) { w.Bytes(nil, 255) }, func(r *Reader) bool { return r.Bytes(255) == nil }},
		{"UTF-8", func(w *Writer) { w.String("a\u0080ö", 255) }, func(r *Reader) bool { return r.String(255) == "a\u0080ö" }},
		{"a float of 32 bits", func(w *Writer) { w.Bits(Float32(-1.5), 32) }, func(r *Reader) bool { return r.Float32(r.Bits(32)) == -1.5 }},
		{"NaN of 32 bits", func(w *Writer) { w.Bits(nan32, 32) }, func(r *Reader) bool { v := r.Float32(r.Bits(32)); return v != v }},
		{"NaN", func(w *Writer) { w.Float64(math.NaN()) }, func(r *Reader) bool { return math.IsNaN(r.Float64()) }},
		{"true", func(w *Writer) { w.Bits(Bool(true)|Bool(false)<<1, 2) }, func(r *Reader) bool { return r.Bits(2) == 1 }},
	} {
		text, err := written(c.write)
		b, _ := hex.DecodeString(text)
		r := NewReader(b)
		if ok := c.read(&r); err != nil || !ok || r.End() != nil {
			t.Errorf("%s: %v, %s, read %v, %v", c.what, err, text, ok, r.End())
		}
	}
}

func TestAnOpenMessageMayHaveMore(t *testing.T) {
	r := NewReader([]byte{5, 6})
	r.Bits(8)
	if err := r.EndOpen(); err != nil || !r.More() {
		t.Error(err)
	}
	if r.Bits(8); r.More() {
		t.Error("more behind the last byte")
	}
	r.Bits(1)
	if err := r.EndOpen(); err != (Error{CauseTruncated}) {
		t.Error(err)
	}
}

func TestRoundTrips(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 10_000 {
		x := rnd.Uint64() >> rnd.IntN(64)
		if i < 128 { // where varints get longer
			x = 1<<(i/2) - uint64(i%2)
		}
		bit := uint(rnd.IntN(9))
		w := NewWriter(nil)
		w.Bits(0, bit)
		w.Uint16(uint16(x))
		w.Int16(int16(x))
		w.Uint32(uint32(x))
		w.Int32(int32(x))
		w.Uint64(x)
		w.Int64(int64(x))
		w.Float64(float64(x))
		w.String("text", 4)
		w.Bits(x&(1<<57-1), 57)
		w.Time(time.UnixMilli(int64(x >> 12)))
		w.Duration(time.Duration(x>>1), 1, math.MaxInt64)
		b, err := w.End()
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(b)
		r.Bits(bit)
		if r.Uint16() != uint16(x) || r.Int16() != int16(x) || r.Uint32() != uint32(x) || r.Int32() != int32(x) ||
			r.Uint64() != x || r.Int64() != int64(x) || r.Float64() != float64(x) || r.String(4) != "text" ||
			r.Bits(57) != x&(1<<57-1) || r.Time().UnixMilli() != int64(x>>12) ||
			r.Duration(1, math.MaxInt64) != time.Duration(x>>1) || r.End() != nil {
			t.Fatalf("%#x behind %d bits, %x: %v", x, bit, b, r.End())
		}
	}
}

func TestValuesBetweenSteps(t *testing.T) {
	w := NewWriter(nil)
	for _, c := range []struct{ v, lo, hi, step, want float64 }{
		{0.014, 0, 1, 0.01, 0.01}, {0.016, 0, 1, 0.01, 0.02}, {-5, -1, 1, 0.5, -1}, {math.Inf(1), -1, 1, 0.5, 1}, {-0.25, -1, 1, 0.5, 0},
	} {
		if got := Value(w.Step(c.v, c.lo, c.hi, c.step), c.lo, c.step); got != c.want {
			t.Errorf("%v is %v, want %v", c.v, got, c.want)
		}
	}
	if Index(5, 0, 3) != 3 || Index(-5, -3, 3) != 0 || Index(1, -3, 3) != 4 {
		t.Error("Index")
	}
}

func TestCausesHaveNames(t *testing.T) {
	if n := len(Causes()); n != len(causes)-1 {
		t.Errorf("%d causes, want %d", n, len(causes)-1)
	}
	for _, c := range Causes() {
		if c.String() == "unknown" {
			t.Errorf("cause %d has no name", c)
		}
	}
	if got := (Error{CauseUTF8}).Error(); got != "pack: utf8" {
		t.Error(got)
	}
}

func TestWritingAllocatesNothing(t *testing.T) {
	b := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		w := NewWriter(b)
		w.Uint32(70000)
		w.String("text", 10)
		w.Bits(1, 64)
		w.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x05hello"), uint8(3))
	f.Add(bytes.Repeat([]byte{0xff}, 20), uint8(57))
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		r := NewReader(b)
		for range 4 {
			r.Bits(uint(n) % 58)
			r.Uint16()
			r.Int32()
			r.Uint64()
			r.Float64()
			r.String(int(n))
			r.Bytes(300)
			r.Time()
			r.Duration(time.Hour, 5)
			r.Count(int(n), uint(n))
		}
		r.More()
		if r.EndOpen() == nil && r.at > r.end {
			t.Fatal("behind the end")
		}
	})
}
