package netsim

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTimelineSortsByTimeThenAge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var line Timeline[int]
	for i := range 2000 {
		line.Push(start.Add(time.Duration(rng.IntN(50))*ms), i)
	}
	if _, ok := line.Pop(start.Add(-1)); ok {
		t.Fatal("Pop returns a value before its time")
	}
	last, lastAt, n := -1, start, 0
	for {
		at, ok := line.Next()
		if !ok {
			break
		}
		v, ok := line.Pop(at)
		if !ok {
			t.Fatal("Pop returns no value at its time")
		}
		if at.Before(lastAt) || at.Equal(lastAt) && v < last {
			t.Fatalf("%d at %v comes after %d at %v", v, at, last, lastAt)
		}
		last, lastAt = v, at
		n++
	}
	if n != 2000 {
		t.Errorf("%d values came out, want 2000", n)
	}
}

func TestTimelineIsBounded(t *testing.T) {
	var line Timeline[int]
	for range maxInFlight {
		if line.full() {
			t.Fatal("full() = true before the bound")
		}
		line.Push(start, 0)
	}
	if !line.full() {
		t.Error("full() = false at the bound")
	}
}
