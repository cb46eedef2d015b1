// Package prefetch loads memory into the processor's cache before the memory is needed.
//
// A server with thousands of connections has more memory in use than its cache holds. A
// loop over the connections then waits for memory most of the time. If the loop reads the
// objects of the next connections early, the processor loads these objects while the loop
// works on the present one.
package prefetch

import "unsafe"

// line is the size of a cache line in bytes. With a smaller line than this, as no
// processor of today has, some lines stay unloaded.
const line = 64

// Read reads one byte of each cache line of the first n bytes of *p. It reads nothing if p
// is nil. The result has no meaning: it is there because the compiler removes reads without
// a result. The object may be in use by another goroutine, because no value that Read sees
// matters; so the race detector does not look at Read.
//
//go:noinline
//go:norace
func Read[T any](p *T, n uintptr) (sum byte) {
	if p == nil {
		return 0
	}
	for at := uintptr(0); at < min(n, unsafe.Sizeof(*p)); at += line {
		sum += *(*byte)(unsafe.Add(unsafe.Pointer(p), at))
	}
	return sum
}

// All is Read for the whole object.
func All[T any](p *T) {
	var size T
	Read(p, unsafe.Sizeof(size))
}
