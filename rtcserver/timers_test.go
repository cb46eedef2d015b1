package rtcserver

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Timers against a list that is searched: what fires, and in which order.
func TestTimersFireInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	base := time.Unix(1000, 0)
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	var ts timers
	conns := make([]*Conn, 50)
	for i := range conns {
		conns[i] = &Conn{timer: -1}
	}
	want := make(map[*Conn]time.Time)
	for now := range 5000 {
		for range 3 {
			c := conns[r.IntN(len(conns))]
			switch d := at(now + 1 + r.IntN(200)); r.IntN(5) {
			case 0:
				ts.remove(c)
				delete(want, c)
			default:
				ts.set(c, d)
				if old, ok := want[c]; !ok || d.Before(old) {
					want[c] = d
				}
			}
		}
		var first time.Time
		for _, d := range want {
			first = sooner(first, d)
		}
		if got := ts.next(); !got.Equal(first) {
			t.Fatalf("next is %v, want %v", got, first)
		}
		last := time.Time{}
		for c := ts.due(at(now)); c != nil; c = ts.due(at(now)) {
			d, ok := want[c]
			if !ok || d.After(at(now)) || d.Before(last) {
				t.Fatalf("fired at %v, wanted at %v, the one before at %v", at(now), d, last)
			}
			last = d
			delete(want, c)
		}
		for _, d := range want {
			if !d.After(at(now)) {
				t.Fatalf("%v did not fire at %v", d, at(now))
			}
		}
	}
}

func TestTimerDoesNotFollowALaterDeadline(t *testing.T) {
	var ts timers
	c := &Conn{timer: -1}
	ts.set(c, time.Unix(10, 0))
	ts.set(c, time.Unix(20, 0))
	if got := ts.next(); !got.Equal(time.Unix(10, 0)) {
		t.Errorf("next is %v: the timer was moved", got)
	}
	ts.set(c, time.Time{})
	if got := ts.next(); !got.Equal(time.Unix(10, 0)) {
		t.Errorf("next is %v: no deadline moved the timer", got)
	}
}

func TestTimersDoNotAllocate(t *testing.T) {
	var ts timers
	c, d := &Conn{timer: -1}, &Conn{timer: -1}
	ts.set(d, time.Unix(5, 0))
	ts.set(c, time.Unix(10, 0))
	at := time.Unix(1<<30, 0)
	n := testing.AllocsPerRun(100, func() {
		at = at.Add(-time.Second)
		ts.set(c, at)
		ts.remove(c)
		ts.set(c, at)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
