package pack

import (
	"encoding/binary"
	"math"
	"math/bits"
	"time"
	"unicode/utf8"
)

// Reader takes the bits of one message out of a slice. Make one with [NewReader]. Once something is
// wrong, it returns zeros, and End returns the Error.
type Reader struct {
	b     []byte
	at    uint   // index of the next bit
	end   uint   // number of bits
	last  uint   // index of the byte with which tail begins
	tail  uint64 // up to eight last bytes of b
	cause Cause  // first thing that was wrong
}

// NewReader returns a Reader of b. The Reader keeps b, but nothing that it returns does.
func NewReader(b []byte) Reader {
	if len(b) < 8 {
		return Reader{b: b, end: uint(len(b)) * 8, tail: short(b)}
	}
	last := uint(len(b)) - 8
	return Reader{b: b, end: uint(len(b)) * 8, last: last, tail: binary.LittleEndian.Uint64(b[last:])}
}

// short returns fewer than eight bytes as a number.
func short(b []byte) uint64 {
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// End returns an Error if something was wrong, and if there is more than zero bits up to the end of
// a byte.
func (r *Reader) End() error {
	if r.cause == causeNone {
		if r.end-r.at > 7 {
			r.cause = CauseTrailing
		} else if r.tail>>(r.at-r.last*8) != 0 {
			r.cause = CauseForm
		}
	}
	return failed(r.cause)
}

// EndOpen is End for a message that is evolving: another program may have written more.
func (r *Reader) EndOpen() error {
	return failed(r.cause)
}

// Fail notes what is wrong.
func (r *Reader) Fail(c Cause) {
	if r.cause == causeNone {
		r.cause = c
	}
	r.at = r.end
}

// window returns the bits from at on: at least 57, if there are so many, and zeros behind the end.
func (r *Reader) window() uint64 {
	if i := r.at >> 3; i < r.last {
		return binary.LittleEndian.Uint64(r.b[i:]) >> (r.at & 7)
	}
	return r.tail >> (r.at - r.last*8)
}

// Bits returns the next n bits, at most 57.
func (r *Reader) Bits(n uint) uint64 {
	if n > r.end-r.at {
		r.Fail(CauseTruncated)
		return 0
	}
	v := r.window()
	r.at += n
	return v & (1<<(n&63) - 1)
}

// Align skips zero bits up to the next byte.
func (r *Reader) Align() {
	pad := -r.at & 7
	if r.window()&(1<<pad-1) != 0 {
		r.Fail(CauseForm)
		return
	}
	r.at += pad
}

// More reports whether another byte follows. It skips zero bits up to it.
func (r *Reader) More() bool {
	r.Align()
	return r.at < r.end
}

// Within returns v. It fails if v is more than largest.
func (r *Reader) Within(v, largest uint64) uint64 {
	if v > largest {
		r.Fail(CauseRange)
		return 0
	}
	return v
}

// Value returns the value with an index: the counterpart of Writer.Step.
func Value(index uint64, lo, step float64) float64 {
	return float64(float64(index)*step) + lo // no fused operation, which rounds once
}

// Uint16 returns the next varint of 16 bits.
func (r *Reader) Uint16() uint16 {
	return uint16(r.varint(16))
}

// Uint32 returns the next varint of 32 bits.
func (r *Reader) Uint32() uint32 {
	return uint32(r.varint(32))
}

// Uint64 returns the next varint of 64 bits.
func (r *Reader) Uint64() uint64 {
	return r.varint(64)
}

// varint returns a number of a type with n bits. It fails if fewer groups had held the number.
func (r *Reader) varint(n uint) uint64 {
	if r.end-r.at >= 16 { // most numbers have one group or two
		v := r.window()
		if v&128 == 0 {
			r.at += 8
			return v & 127
		}
		if v&(128<<8) == 0 && v&(127<<8) != 0 {
			r.at += 16
			return v&127 | v>>1&(127<<7)
		}
	}
	var v uint64
	for shift := uint(0); ; shift += 7 {
		size := min(n-shift, 8)
		c := r.Bits(size)
		v |= c & 127 << shift
		if c > 127 {
			continue
		}
		if c == 0 && shift > 0 {
			r.Fail(CauseForm)
			return 0
		}
		return v
	}
}

// Int16 returns the next signed varint of 16 bits.
func (r *Reader) Int16() int16 {
	v := r.Uint16()
	return int16(v>>1) ^ -int16(v&1)
}

// Int32 returns the next signed varint of 32 bits.
func (r *Reader) Int32() int32 {
	v := r.Uint32()
	return int32(v>>1) ^ -int32(v&1)
}

// Int64 returns the next signed varint of 64 bits.
func (r *Reader) Int64() int64 {
	v := r.Uint64()
	return int64(v>>1) ^ -int64(v&1)
}

// Safe returns v. It fails if JavaScript's numbers do not have v.
func (r *Reader) Safe(v int64) int64 {
	if v < -maxSafe || v > maxSafe {
		r.Fail(CauseRange)
		return 0
	}
	return v
}

// SafeUint returns v. It fails if JavaScript's numbers do not have v.
func (r *Reader) SafeUint(v uint64) uint64 {
	if v > maxSafe {
		r.Fail(CauseRange)
		return 0
	}
	return v
}

// Native returns v as an int or uint. It fails if those of this machine, of 32 bits, do not have v.
func Native[T ~int | ~uint, V int64 | uint64](r *Reader, v V) T {
	t := T(v)
	if V(t) != v {
		r.Fail(CauseRange)
		return 0
	}
	return t
}

// Float32 returns the number with 32 bits. It fails if they are NaN in another form than Writer's.
func (r *Reader) Float32(b uint64) float32 {
	v := math.Float32frombits(uint32(b))
	if v != v && b != nan32 {
		r.Fail(CauseForm)
	}
	return v
}

// Float64 returns the number with the next 64 bits. It fails as Float32 does.
func (r *Reader) Float64() float64 {
	b := r.Fixed64()
	v := math.Float64frombits(b)
	if v != v && b != nan64 {
		r.Fail(CauseForm)
	}
	return v
}

// Fixed64 returns the next 64 bits.
func (r *Reader) Fixed64() uint64 {
	low := r.Bits(32)
	return low | r.Bits(32)<<32
}

// Duration returns the next number of units. It fails if the number is more than limit.
func (r *Reader) Duration(unit time.Duration, limit int64) time.Duration {
	n := r.Int64()
	if n < -limit || n > limit {
		r.Fail(CauseRange)
		return 0
	}
	return time.Duration(n) * unit
}

// Time returns the next time, in UTC. It fails if a Date of JavaScript does not have it.
func (r *Reader) Time() time.Time {
	ms := r.Int64()
	if ms < -maxTime || ms > maxTime {
		r.Fail(CauseRange)
		ms = 0
	}
	return time.UnixMilli(ms).UTC()
}

// Count returns the next number of bytes or elements. It fails if that is more than limit, and if
// so many elements, of at least the given number of bits each, are more than what is left.
func (r *Reader) Count(limit int, least uint) int {
	var n uint64
	if limit < 256 {
		n = r.Bits(uint(bits.Len8(uint8(limit))))
	} else {
		n = uint64(r.Uint32())
	}
	if n > uint64(limit) {
		r.Fail(CauseLength)
		return 0
	}
	if n*uint64(least) > uint64(r.end-r.at) {
		r.Fail(CauseTruncated)
		return 0
	}
	return int(n)
}

// String returns the next string. It fails if the string is longer than limit or not UTF-8.
func (r *Reader) String(limit int) string {
	b := r.take(limit)
	for _, c := range b {
		if c >= utf8.RuneSelf {
			if !utf8.Valid(b) {
				r.Fail(CauseUTF8)
				return ""
			}
			break
		}
	}
	return string(b)
}

// Bytes returns a copy of the next bytes, nil if there are none. It fails if there are more than
// limit.
func (r *Reader) Bytes(limit int) []byte {
	return append([]byte(nil), r.take(limit)...)
}

// take returns a view of the next bytes, which have their number in front.
func (r *Reader) take(limit int) []byte {
	n := uint(r.Count(limit, 8))
	if n == 0 {
		return nil
	}
	if r.Align(); r.cause != causeNone {
		return nil
	}
	i := r.at / 8
	r.at += n * 8
	return r.b[i : i+n]
}
