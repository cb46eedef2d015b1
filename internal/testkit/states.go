package testkit

import (
	"fmt"
	"testing"
)

// WalkStates tries every edge between n states, of which the first is 0: that a change along
// an edge of the list happens, and that every other change is refused and does nothing. set
// puts an object into the state from, changes it, and returns what the change reported and
// the state after it. Every state must have a name of its own.
func WalkStates[S interface {
	~uint8
	fmt.Stringer
}](t *testing.T, n int, edges [][2]S, set func(from, to S) (bool, S)) {
	t.Helper()
	allowed := make(map[[2]S]bool, len(edges))
	for _, e := range edges {
		allowed[e] = true
	}
	names := make(map[string]bool, n)
	for from := range S(n) {
		names[from.String()] = true
		for to := range S(n) {
			want := from
			if allowed[[2]S{from, to}] {
				want = to
			}
			if ok, now := set(from, to); ok != (want != from) || now != want {
				t.Errorf("from %v to %v: %v, and it is %v", from, to, ok, now)
			}
		}
	}
	if len(names) != n || names[""] {
		t.Errorf("the states have the names %v", names)
	}
}
