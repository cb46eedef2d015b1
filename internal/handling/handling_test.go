package handling

import "testing"

// below calls f with at least depth calls between, so that the stack is deeper than what Now reads at once.
//
//go:noinline
func below(depth int, f func() bool) bool {
	if depth == 0 {
		return f()
	}
	return below(depth-1, f)
}

//go:noinline
func handler(depth int) bool {
	return below(depth, func() bool { return Now("elsewhere", module+"/internal/handling.handler") })
}

// A handler is found however many calls are between, and a stack without one has none, whatever its depth.
func TestNowHoweverDeepTheStackIs(t *testing.T) {
	for depth := range 200 {
		if !handler(depth) {
			t.Errorf("%d calls below a handler: Now says no", depth)
		}
		if below(depth, func() bool { return Now("elsewhere") }) {
			t.Errorf("%d calls below no handler: Now says yes", depth)
		}
	}
}
