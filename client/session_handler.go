package client

import (
	"runtime"
	"strings"
)

// inHandler reports whether the caller is, however deep, in a handler of a session:
// whether this goroutine's stack has deliver on it.
func inHandler() bool {
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			if f, more = frames.Next(); strings.HasSuffix(f.Function, "client.(*Session).deliver") {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
