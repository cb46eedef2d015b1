//go:build linux

package game

import (
	"testing"
	"time"
)

// The age is that of the newest state at each millisecond. A state that is older than one before does not count, and a
// first state need not be newer than the moment of opening.
func TestMeasure(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	got := Measure([]Arrival{
		{At: at(-10), Made: at(-100)},
		{At: at(250), Made: at(200)},
		{At: at(300), Made: at(100)},
		{At: at(500), Made: at(400)},
	}, at(-50), begin, at(1000))
	// 250 ages from 100 to 349 ms, 250 from 50 to 299, and 500 from 100 to 599.
	want := Ages{P50: 250 * time.Millisecond, P99: 590 * time.Millisecond, Oldest: 599 * time.Millisecond, PerSecond: 2}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := Measure(nil, at(-50), begin, at(100)); got.Oldest != 149*time.Millisecond || got.PerSecond != 0 {
		t.Errorf("without states: %+v", got)
	}
	if got := Measure(nil, begin, begin, begin); got != (Ages{}) {
		t.Errorf("without time: %+v", got)
	}
}
