package game

import (
	"math"
	"testing"
)

func TestHistoryHasThePast(t *testing.T) {
	h := NewHistory[string](3)
	if _, _, _, ok := h.At(1); ok {
		t.Error("an empty History has a state")
	}
	for i, s := range []string{"a", "b", "c", "d"} {
		h.Add(uint32(10*i), s) // 0, 10, 20, 30: the first gives way
	}
	h.Add(30, "again")
	h.Add(7, "old")
	for _, c := range []struct {
		time     float64
		from, to string
		share    float64
	}{
		{30, "c", "d", 1},
		{25, "c", "d", 0.5},
		{20, "c", "d", 0},
		{12.5, "b", "c", 0.25},
		{10, "b", "c", 0},
		{9.9, "b", "b", 0},
		{math.Inf(-1), "b", "b", 0},
		{30.1, "d", "d", 0},
		{math.Inf(1), "d", "d", 0},
		{math.NaN(), "d", "d", 0},
	} {
		from, to, share, ok := h.At(c.time)
		if from != c.from || to != c.to || share != c.share || !ok {
			t.Errorf("at %v: %q, %q, %v, %t; want %q, %q, %v", c.time, from, to, share, ok, c.from, c.to, c.share)
		}
	}
	if got, want := h.Stats(), (HistoryStats{Old: 2, Future: 2, Wild: 1}); got != want {
		t.Errorf("the counters are %+v, want %+v", got, want)
	}
}

func TestHistoryOfOneState(t *testing.T) {
	h := NewHistory[int](1)
	if h.Add(0, 3); h.n != 1 {
		t.Error("the state of tick 0 does not count")
	}
	h.Add(5, 7)
	for _, time := range []float64{4, 5, 6} {
		if from, to, share, ok := h.At(time); from != 7 || to != 7 || share != 0 || !ok {
			t.Errorf("at %v: %d, %d, %v, %t; want the state", time, from, to, share, ok)
		}
	}
	if h.Stats() != (HistoryStats{Old: 1, Future: 1}) {
		t.Errorf("the counters are %+v, want one too old and one too new", h.Stats())
	}
	for _, n := range []int{-1, 0, 1 << 30} {
		if got, want := len(NewHistory[int](n).states), map[bool]int{true: 1024, false: 16}[n > 0]; got != want {
			t.Errorf("NewHistory(%d) keeps %d states, want %d", n, got, want)
		}
	}
}
