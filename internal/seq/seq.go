// Package seq is serial-number arithmetic: how to compare counters that wrap.
//
// A serial number is an unsigned integer that starts at any value and wraps at its
// width. Two of them have an order if their distance is less than half of the number
// space. Every user of this package ensures this with a window.
package seq

// Less reports whether a comes before b. Numbers exactly half of the space
// apart have no order (RFC 1982 leaves it open): Less is then false both ways.
//
// https://www.rfc-editor.org/rfc/rfc1982.html#section-3.2
func Less[T ~uint16 | ~uint32](a, b T) bool {
	return b-a-1 < half[T]()-1
}

// LessEq reports whether a is b or comes before it.
func LessEq[T ~uint16 | ~uint32](a, b T) bool {
	return a == b || Less(a, b)
}

// Max returns the later of two numbers.
func Max[T ~uint16 | ~uint32](a, b T) T {
	if Less(a, b) {
		return b
	}
	return a
}

// Min returns the earlier of two numbers.
func Min[T ~uint16 | ~uint32](a, b T) T {
	if Less(b, a) {
		return b
	}
	return a
}

// half is the distance from which two numbers have no order.
func half[T ~uint16 | ~uint32]() T {
	return ^T(0)/2 + 1
}
