// Package handling tells whether the caller is in a handler of the program, which
// the loops of this module run on their own goroutines. A call that waits for such a
// loop must not be made there: it would wait for itself.
//
// It knows the loops by the names of their functions. A test of package client
// holds the names to the code.
package handling

import (
	"errors"
	"runtime"
)

// ErrInHandler is what a call that waits returns in a handler.
var ErrInHandler = errors.New("godwit: this call waits, and would wait for itself in a handler; use Ask, or another goroutine")

// loops are the functions that run what the program gave: the handlers of each loop, the
// body of a loop over Poll, and the Logger.
var loops = [...]string{
	module + "/rtcserver.(*shard).deliver", module + "/rtcserver.(*shard).writeLines",
	module + ".(*loop).deliver", module + ".(*poll).tell",
	module + "/client.(*Endpoint).deliver",
}

const module = "github.com/godwit-rtc/godwit"

// Now reports whether the caller is, however deep, in a handler: whether one of the
// loops is on this goroutine's stack. It takes microseconds, so only calls that wait
// ask it.
func Now() bool {
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		if n == 0 {
			return false
		}
		frames := runtime.CallersFrames(pcs[:n])
		for more := true; more; {
			var f runtime.Frame
			f, more = frames.Next()
			for _, loop := range loops {
				if f.Function == loop {
					return true
				}
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
