package pack

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"
	"unicode/utf8"
)

// Limits of numbers that both languages hold exactly.
const (
	maxSafe = 1<<53 - 1             // of integers that are a number in JavaScript
	maxTime = 8_640_000_000_000_000 // of the milliseconds of a Date, either side of 1970
)

// Writer appends the bits of one message to a slice. Make one with [NewWriter].
type Writer struct {
	b     []byte
	start int    // length of the caller's slice
	acc   uint64 // bits that are not yet in b
	n     uint   // number of them, below 64
	cause Cause  // first thing that was wrong
}

// NewWriter returns a Writer that appends to b.
func NewWriter(b []byte) Writer {
	return Writer{b: b, start: len(b)}
}

// End pads the last byte with zero bits and returns the slice with the message. If a value could
// not be written, End returns the slice as NewWriter got it, and the Error.
func (w *Writer) End() ([]byte, error) {
	if w.cause != causeNone {
		return w.b[:w.start], Error{w.cause}
	}
	w.drain()
	return w.b, nil
}

// Fail notes that a value cannot be written.
func (w *Writer) Fail(c Cause) {
	if w.cause == causeNone {
		w.cause = c
	}
}

// Bits appends the n lowest bits of v, at most 64. The others must be zero.
func (w *Writer) Bits(v uint64, n uint) {
	w.acc |= v << (w.n & 63)
	w.n += n
	if w.n >= 64 {
		w.spill(v, n)
	}
}

// spill appends the 64 bits of acc and keeps those of v, the value of n bits just written, that had
// no room.
func (w *Writer) spill(v uint64, n uint) {
	w.b = binary.LittleEndian.AppendUint64(w.b, w.acc)
	w.n -= 64
	w.acc = v >> (n - w.n)
}

// drain appends the bits of acc, padded to whole bytes.
func (w *Writer) drain() {
	for i := uint(0); i < w.n; i += 8 {
		w.b = append(w.b, byte(w.acc>>i))
	}
	w.acc, w.n = 0, 0
}

// Align appends zero bits up to the next byte.
func (w *Writer) Align() {
	w.Bits(0, -w.n&7)
}

// Bool returns the bit of v.
func Bool(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

// Within returns v. It fails if v is more than largest.
func (w *Writer) Within(v, largest uint64) uint64 {
	if v > largest {
		w.Fail(CauseRange)
		return 0
	}
	return v
}

// Index returns how far v is from lo, after moving v into lo..hi.
func Index(v, lo, hi int64) uint64 {
	return uint64(max(lo, min(v, hi)) - lo)
}

// Step returns the index of the value nearest to v among lo, lo+step and so on up to hi. A v outside
// of lo..hi counts as the nearer end. It fails if v is not a number.
func (w *Writer) Step(v, lo, hi, step float64) uint64 {
	v = max(lo, min(v, hi)) // NaN stays NaN
	if v != v {
		w.Fail(CauseRange)
		return 0
	}
	return uint64((v-lo)/step + 0.5)
}

// Uint16 appends v as a varint of at most 18 bits.
func (w *Writer) Uint16(v uint16) {
	x := uint64(v)
	switch {
	case x < 1<<7:
		w.Bits(x, 8)
	case x < 1<<14:
		w.Bits(x&127|128|x>>7<<8, 16)
	default:
		w.Bits(x&127|128|(x>>7&127|128)<<8|x>>14<<16, 18)
	}
}

// Uint32 appends v as a varint of at most 36 bits.
func (w *Writer) Uint32(v uint32) {
	x := uint64(v)
	switch {
	case x < 1<<7:
		w.Bits(x, 8)
	case x < 1<<14:
		w.Bits(x&127|128|x>>7<<8, 16)
	default:
		w.varint(x, 32)
	}
}

// Uint64 appends v as a varint of at most 73 bits.
func (w *Writer) Uint64(v uint64) {
	w.varint(v, 64)
}

// varint appends a number of a type with n bits in groups of seven bits, each with a bit that says
// whether another group follows. The last possible group has only the bits that are left.
func (w *Writer) varint(v uint64, n uint) {
	for ; v > 127; n -= 7 {
		w.Bits(v&127|128, 8)
		v >>= 7
	}
	w.Bits(v, min(n, 8))
}

// Int16 appends v as Uint16 does, with the sign in the lowest bit.
func (w *Writer) Int16(v int16) { w.Uint16(uint16(v<<1) ^ uint16(v>>15)) }

// Int32 appends v as Uint32 does, with the sign in the lowest bit.
func (w *Writer) Int32(v int32) { w.Uint32(uint32(v<<1) ^ uint32(v>>31)) }

// Int64 appends v as Uint64 does, with the sign in the lowest bit.
func (w *Writer) Int64(v int64) { w.Uint64(uint64(v<<1) ^ uint64(v>>63)) }

// Safe returns v. It fails if JavaScript's numbers do not have v.
func (w *Writer) Safe(v int64) int64 {
	if v < -maxSafe || v > maxSafe {
		w.Fail(CauseRange)
	}
	return v
}

// SafeUint returns v. It fails if JavaScript's numbers do not have v.
func (w *Writer) SafeUint(v uint64) uint64 {
	if v > maxSafe {
		w.Fail(CauseRange)
	}
	return v
}

// NaN has one encoding.
const (
	nan32 = 0x7fc00000
	nan64 = 0x7ff8000000000000
)

// Float32 returns the 32 bits of v.
func Float32(v float32) uint64 {
	if v != v {
		return nan32
	}
	return uint64(math.Float32bits(v))
}

// Float64 appends the 64 bits of v.
func (w *Writer) Float64(v float64) {
	if v != v {
		w.Bits(nan64, 64)
		return
	}
	w.Bits(math.Float64bits(v), 64)
}

// Duration appends the number of units nearest to d. It fails if d has more of them than limit.
func (w *Writer) Duration(d, unit time.Duration, limit int64) {
	n, rest := int64(d/unit), d%unit
	if rest < 0 {
		n, rest = n-1, rest+unit
	}
	if rest >= unit-rest {
		n++
	}
	if n < -limit || n > limit {
		w.Fail(CauseRange)
	}
	w.Int64(n)
}

// Time appends t in milliseconds since 1970. It fails if a Date of JavaScript does not have t.
func (w *Writer) Time(t time.Time) {
	ms := t.UnixMilli()
	if ms < -maxTime || ms > maxTime {
		w.Fail(CauseRange)
	}
	w.Int64(ms)
}

// Count appends a number of bytes or elements. It fails if n is more than limit.
func (w *Writer) Count(n, limit int) {
	if n > limit {
		w.Fail(CauseLength)
	}
	if limit < 256 {
		w.Bits(uint64(n)&255, uint(bits.Len8(uint8(limit))))
	} else {
		w.Uint32(uint32(n))
	}
}

// String appends s: its length, and then its bytes from the next whole byte on. It fails if s is
// longer than limit or not UTF-8.
func (w *Writer) String(s string, limit int) {
	if !utf8.ValidString(s) {
		w.Fail(CauseUTF8)
	}
	w.Count(len(s), limit)
	if len(s) > 0 && w.cause == causeNone {
		w.drain()
		w.b = append(w.b, s...)
	}
}

// Bytes appends b as String does.
func (w *Writer) Bytes(b []byte, limit int) {
	w.Count(len(b), limit)
	if len(b) > 0 && w.cause == causeNone {
		w.drain()
		w.b = append(w.b, b...)
	}
}
