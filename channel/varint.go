package channel

// Integers on the wire: seven bits in each byte, the lowest bits first. All bytes except
// the last have the top bit set. The encoding must be the shortest one. The largest
// integer is 2^53 - 1, up to which a JavaScript number is exact.

const maxVarint = 1<<53 - 1

func appendVarint(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func varintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// varint reads an integer from b. n is its length; n is 0 if the integer is incomplete,
// not in the shortest encoding, or too large.
func varint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	for i := 0; i < len(b) && i < 8; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] >= 0x80 {
			continue
		}
		if b[i] == 0 || v > maxVarint {
			return 0, 0
		}
		return v, i + 1
	}
	return 0, 0
}
