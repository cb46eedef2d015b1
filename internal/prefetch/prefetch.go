// Package prefetch loads memory into the processor's cache before the memory is needed.
//
// A server with thousands of connections has more memory in use than its cache holds. A
// loop over the connections then waits for memory most of the time. If the loop names the
// objects of the next connections early, the processor loads these objects while the loop
// works on the present one. This has no other effect: a prefetch reads no value, so another
// goroutine may use the object, and nil is an address like any other.
//
// On processors other than amd64 and arm64 the functions do nothing.
package prefetch

import "unsafe"

// First loads the first n bytes of *p, n > 0.
func First[T any](p *T, n uintptr) {
	lines(unsafe.Pointer(p), min(n, unsafe.Sizeof(*p)))
}

// All loads *p.
func All[T any](p *T) { lines(unsafe.Pointer(p), unsafe.Sizeof(*p)) }
