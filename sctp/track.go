package sctp

import (
	"math/bits"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// maxAhead is the largest distance of a DATA chunk from the cumulative TSN, and the
// largest delay in TSNs with which a DATA chunk can be distinguished from a duplicate.
const maxAhead = 4096

// A tracker records which TSNs were received.
//
//	up to base     received, or too old
//	up to cum      acknowledged; some may be missing if acknowledgement was eager
//	up to high     received or not: see bits
//
// base <= cum <= high <= base+maxAhead.
//
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.2
type tracker struct {
	base, cum, high uint32

	// bits has the bit tsn%maxAhead set for each TSN received in (base, high]; all
	// others are clear. It is nil until the first gap: then base == high.
	bits *[maxAhead / 64]uint64
}

// init begins after tsn: the first TSN is tsn+1.
func (r *tracker) init(tsn uint32) {
	r.base, r.cum, r.high = tsn, tsn, tsn
}

// seen reports whether tsn was received, or is too old to know.
func (r *tracker) seen(tsn uint32) bool {
	if seq.LessEq(tsn, r.base) {
		return true
	}
	return seq.LessEq(tsn, r.high) && r.bit(tsn)
}

// within reports whether tsn is in the range that bits covers.
func (r *tracker) within(tsn uint32) bool {
	return seq.Less(r.base, tsn) && seq.LessEq(tsn, r.high)
}

// beyond reports whether tsn is beyond the receive window.
func (r *tracker) beyond(tsn uint32) bool {
	return seq.Less(r.cum+maxAhead, tsn)
}

// mark notes that tsn, neither seen nor beyond, was received.
func (r *tracker) mark(tsn uint32) {
	if tsn == r.high+1 && r.base == r.high {
		r.base, r.cum, r.high = tsn, tsn, tsn
		return
	}
	r.extend(tsn)
	r.bits[tsn%maxAhead/64] |= 1 << (tsn % 64)
	r.advance()
}

// skip notes that the peer has given up everything up to tsn, which is not acknowledged yet.
// DATA that arrives late is still delivered.
// https://www.rfc-editor.org/rfc/rfc3758.html#section-3.6
func (r *tracker) skip(tsn uint32) {
	if tsn-r.cum > maxAhead {
		// The distance is so large that bits cannot cover it.
		r.clear(r.high - r.base)
		r.init(tsn)
		return
	}
	if seq.Less(r.high, tsn) {
		r.extend(tsn)
	}
	r.cum = seq.Max(r.cum, tsn)
	r.advance()
}

// skipAll acknowledges everything seen.
func (r *tracker) skipAll() { r.cum = r.high }

// extend makes bits cover tsn.
func (r *tracker) extend(tsn uint32) {
	if r.bits == nil {
		r.bits = new([maxAhead / 64]uint64)
	}
	if seq.Less(r.base+maxAhead, tsn) {
		r.clear(tsn - r.base - maxAhead)
	}
	r.high = seq.Max(r.high, tsn)
}

// clear advances base by n and clears the bits that it passes.
func (r *tracker) clear(n uint32) {
	for n > 0 {
		next := r.base + 1
		if next%64 == 0 && n >= 64 {
			r.bits[next%maxAhead/64] = 0
			r.base, n = r.base+64, n-64
			continue
		}
		r.bits[next%maxAhead/64] &^= 1 << (next % 64)
		r.base, n = next, n-1
	}
}

// advance advances base and cum over received TSNs.
func (r *tracker) advance() {
	r.clear(r.find(r.base+1, false) - 1 - r.base)
	r.cum = r.find(seq.Max(r.cum, r.base)+1, false) - 1
}

// find returns the first TSN from tsn on that was received or, with received false, that was
// not. It returns high+1 if there is none up to high.
func (r *tracker) find(tsn uint32, received bool) uint32 {
	if r.bits == nil {
		return r.high + 1
	}
	for seq.LessEq(tsn, r.high) {
		word := r.bits[tsn%maxAhead/64]
		if !received {
			word = ^word
		}
		if word >>= tsn % 64; word != 0 {
			return seq.Min(tsn+uint32(bits.TrailingZeros64(word)), r.high+1)
		}
		tsn += 64 - tsn%64
	}
	return r.high + 1
}

// gap returns the first run of received TSNs after the TSN after, behind a gap; ok is
// false if there is none.
func (r *tracker) gap(after uint32) (first, last uint32, ok bool) {
	first = r.find(after+1, true)
	if seq.Less(r.high, first) {
		return 0, 0, false
	}
	return first, r.find(first, false) - 1, true
}

// newest returns the last run of received TSNs beyond base. There must be one.
func (r *tracker) newest() (first, last uint32) {
	last = r.high
	for !r.bit(last) {
		last = r.before(last, true)
	}
	return r.before(last, false) + 1, last
}

// before returns the last TSN before tsn that was received or, with received false,
// that was not. It returns base if there is none after base.
func (r *tracker) before(tsn uint32, received bool) uint32 {
	for tsn--; seq.Less(r.base, tsn); {
		word := r.bits[tsn%maxAhead/64]
		if !received {
			word = ^word
		}
		if word <<= 63 - tsn%64; word != 0 {
			return seq.Max(tsn-uint32(bits.LeadingZeros64(word)), r.base)
		}
		tsn -= tsn%64 + 1
	}
	return r.base
}

// bit reports whether tsn, which is beyond base and not beyond high, was received.
func (r *tracker) bit(tsn uint32) bool {
	return r.bits[tsn%maxAhead/64]>>(tsn%64)&1 != 0
}
