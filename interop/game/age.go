//go:build linux

package game

import (
	"slices"
	"time"
)

// An Arrival is a state at a player: when it came, and when it was made.
type Arrival struct{ At, Made time.Time }

// Ages says how old the newest state at the player was, looked at once a millisecond.
type Ages struct {
	P50, P99, Oldest time.Duration
	PerSecond        float64 // states
}

// Measure measures the ages between two times. The arrivals are in their order; of those that are older than one
// before, none counts. Until the first arrival the age is that of a state made at opened.
func Measure(arrivals []Arrival, opened, begin, end time.Time) (r Ages) {
	var ages []time.Duration
	states, i, made := 0, 0, opened
	for at := begin; at.Before(end); at = at.Add(time.Millisecond) {
		for ; i < len(arrivals) && !arrivals[i].At.After(at); i++ {
			a := arrivals[i]
			if i > 0 && !a.Made.After(made) {
				continue
			}
			made = a.Made
			if a.At.After(begin) {
				states++
			}
		}
		ages = append(ages, at.Sub(made))
	}
	if n := len(ages); n > 0 {
		r.PerSecond = float64(states) / end.Sub(begin).Seconds()
		slices.Sort(ages)
		r.P50, r.P99, r.Oldest = ages[n/2], ages[n*99/100], ages[n-1]
	}
	return r
}
