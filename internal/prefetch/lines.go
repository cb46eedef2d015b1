//go:build amd64 || arm64

package prefetch

import "unsafe"

// lines prefetches the cache lines of the n bytes at p, n > 0. A line has 64 bytes.
//
//go:noescape
func lines(p unsafe.Pointer, n uintptr)
