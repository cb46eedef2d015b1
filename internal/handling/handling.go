// Package handling says whether the caller is in a handler of the program, which a loop
// of this module runs on its goroutine. A call that waits for the loop must not be made
// in a handler: it would wait for itself.
//
// The package finds the loops by the names of their functions. Tests of packages client and
// fleet check the names.
package handling

import (
	"context"
	"errors"
	"runtime"
	"slices"
)

// ErrInHandler is returned in a handler by calls that wait.
var ErrInHandler = errors.New("godwit: this call waits, and would wait for itself in a handler; use Ask, or another goroutine")

// loops are the functions that run code of the program: the handlers of each loop, the
// body of a range over Poll, the Logger, the funcs that get the answers of a fleet, and
// the filters of its nodes.
var loops = [...]string{
	module + "/internal/loop.(*Loop[...]).deliver", module + "/rtcserver.(*shard).writeLines",
	module + "/internal/loop.(*Puller[...]).Yield", module + "/fleet.question.over",
	module + "/fleet.(*Fleet).Pick",
}

// Adopting is the function that runs fleet.Config.Adopt, for Now: in Adopt only Fleet.Close
// would wait for itself.
const Adopting = module + "/fleet.(*Fleet).adopted"

const module = "github.com/godwit-rtc/godwit"

// Now reports whether the caller is in a handler, directly or not: one of the loops, or a
// function with one of the other names, is on this goroutine's stack. It takes
// microseconds, so only calls that wait use it.
func Now(others ...string) bool {
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
			if slices.Contains(others, f.Function) {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

// Await sends a request and waits for the answer. ask sends it and returns at once; it has
// answer called with what the other end answers, and returns a func that forgets the
// request. Await returns ErrInHandler in a handler, an error of ask, or the error of ctx if
// ctx is done first; in the last case it forgets the request.
func Await[T any](ctx context.Context, ask func(answer func(T)) (forget func(), err error)) (T, error) {
	var none T
	if Now() {
		return none, ErrInHandler
	}
	answers := make(chan T, 1)
	forget, err := ask(func(a T) { answers <- a })
	if err != nil {
		return none, err
	}
	select {
	case a := <-answers:
		return a, nil
	case <-ctx.Done():
		forget()
		return none, ctx.Err()
	}
}
