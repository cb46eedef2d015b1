package dtls

import (
	"math/rand/v2"
	"testing"
)

// The replay window gives the same results as a set of numbers.
func TestReplayModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var w replay
		set := make(map[uint64]bool)
		base := rng.Uint64N(1 << 20)
		highest, any := uint64(0), false
		for range 2000 {
			n := base + rng.Uint64N(2*replayWindow)
			if rng.IntN(200) == 0 {
				base += rng.Uint64N(4 * replayWindow)
			}
			want := set[n] || any && highest >= replayWindow && n <= highest-replayWindow
			if got := w.seen(n); got != want {
				t.Fatalf("number %d with highest %d: seen is %v, want %v", n, highest, got, want)
			}
			if !want {
				w.mark(n)
				set[n], any = true, true
				highest = max(highest, n)
			}
		}
	}
}

func TestReplayWindowIsWide(t *testing.T) {
	if replayWindow < 256 {
		t.Errorf("window of %d, want 256 at least", replayWindow)
	}
}
