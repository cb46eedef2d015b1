package dtls

import (
	"slices"
	"testing"
	"time"
)

func TestRepeater(t *testing.T) {
	now := time.Unix(0, 0)
	start := now
	var r Repeater
	if r.Active() || string(r.Append(now, []byte("x"))) != "x" {
		t.Fatal("an idle Repeater sends a datagram")
	}
	r.Set(now, []byte("one"))
	r.Add([]byte("two"))
	var at []time.Duration
	for !r.Deadline().IsZero() {
		if b := r.Append(r.Deadline().Add(-1), nil); len(b) > 0 {
			t.Fatal("a datagram is sent before the deadline")
		}
		now = r.Deadline()
		at = append(at, now.Sub(start))
		wantString(t, "first datagram is", string(r.Append(now, nil)), "one")
		wantString(t, "second is appended", string(r.Append(now, []byte("x"))), "xtwo")
		wantString(t, "nothing more is", string(r.Append(now, []byte("x"))), "x")
	}
	want := []time.Duration{25, 75, 175, 375, 775, 1175}
	for i, d := range want {
		if at[i] != d*time.Millisecond {
			t.Errorf("repetition %d after %v, want %v ms", i, at[i], int(d))
		}
	}
	if len(at) != repeatCount || r.Active() {
		t.Errorf("%d repetitions, want %d", len(at), repeatCount)
	}
}

func TestRepeaterSettings(t *testing.T) {
	now := time.Unix(0, 0)
	r := Repeater{First: 100 * time.Millisecond, longest: 150 * time.Millisecond, Limit: 2}
	r.Set(now, []byte("a"))
	if d := r.Deadline().Sub(now); d != 100*time.Millisecond {
		t.Errorf("the first interval is %v, want 100 ms", d)
	}
	now = r.Deadline()
	r.Append(now, nil)
	if d := r.Deadline().Sub(now); d != 150*time.Millisecond {
		t.Errorf("the second interval is %v, want 150 ms", d)
	}
	r.Append(r.Deadline(), nil)
	if r.Active() {
		t.Error("the Repeater is active beyond its limit")
	}
	r.Set(now, []byte("b"))
	r.Stop()
	if r.Active() || r.First != 100*time.Millisecond {
		t.Errorf("after Stop: active %v, want false; First %v, want 100 ms", r.Active(), r.First)
	}
}

func TestRepeaterIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	var r Repeater
	r.Add([]byte("no flight was set"))
	r.Set(now, []byte{0})
	for range 100 {
		r.Add([]byte{1})
	}
	n := 0
	for now = r.Deadline(); len(r.Append(now, nil)) > 0; n++ {
	}
	if n != repeatParts {
		t.Errorf("%d datagrams repeated, want %d", n, repeatParts)
	}
	stored := r.flight
	r.Stop()
	if r.Add([]byte("late")); len(r.flight) != 0 || slices.ContainsFunc(stored, func(b []byte) bool { return b != nil }) {
		t.Errorf("after Stop the Repeater stores %q, and %q in the old memory; want nothing", r.flight, stored)
	}
}

// A new flight takes the place of the one before, and begins its own count.
func TestRepeaterOfANewFlight(t *testing.T) {
	now := time.Unix(0, 0)
	var r Repeater
	r.Set(now, []byte("one"))
	r.Add([]byte("two"))
	for range repeatCount - 1 {
		now = r.Deadline()
		wantString(t, "first datagram is", string(r.Append(now, []byte("x"))), "xone")
		wantString(t, "second is", string(r.Append(now, []byte("x"))), "xtwo")
	}
	r.Append(r.Deadline(), nil) // and half of the last repetition
	r.Set(now, []byte("new"))
	n := 0
	for ; r.Active(); n++ {
		if d := r.Deadline().Sub(now); n == 0 && d != repeatFirst {
			t.Errorf("the first interval of a new flight is %v, want %v", d, repeatFirst)
		}
		now = r.Deadline()
		wantString(t, "the new flight is", string(r.Append(now, nil)), "new")
		wantString(t, "and nothing else", string(r.Append(now, nil)), "")
	}
	if n != repeatCount {
		t.Errorf("a new flight is repeated %d times, want %d", n, repeatCount)
	}
}
