package testkit

import (
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A Cell is one kind of bad link, as indices into the axes. A ledger holds in each of them. See
// docs/reliability.md.
type Cell [5]int

var (
	losses  = []float64{0, 0.01, 0.05, 0.10, 0.20, 0.30, 0.50}
	reorder = []struct {
		share float64
		hold  time.Duration
	}{{0, 0}, {0.05, 30 * time.Millisecond}, {0.30, 40 * time.Millisecond}}
	duplicates = []float64{0, 0.02, 0.10}
	jitters    = []time.Duration{0, 20 * time.Millisecond, 80 * time.Millisecond}
	bursts     = []string{"none", "burst", "1s", "6s", "20s"}
	blackouts  = []time.Duration{0, 0, time.Second, 6 * time.Second, 20 * time.Second}
)

// CellAxes are the numbers of settings of the axes of a Cell.
var CellAxes = [5]int{len(losses), len(reorder), len(duplicates), len(jitters), len(bursts)}

func (c Cell) String() string {
	return fmt.Sprintf("loss=%.0f%%/reorder=%.0f%%/duplicate=%.0f%%/jitter=%v/%s", c.Loss()*100,
		reorder[c[1]].share*100, duplicates[c[2]]*100, jitters[c[3]], c.Burst())
}

// Loss returns the share of datagrams that the link loses.
func (c Cell) Loss() float64 { return losses[c[0]] }

// Burst returns the name of how the link loses in a row.
func (c Cell) Burst() string { return bursts[c[4]] }

// Blackout returns how long the link loses everything.
func (c Cell) Blackout() time.Duration { return blackouts[c[4]] }

// Link returns the link of the cell, without its blackout.
func (c Cell) Link() netsim.Link {
	l := netsim.Link{Delay: 25 * time.Millisecond, Loss: c.Loss(), Reorder: reorder[c[1]].share, ReorderDelay: reorder[c[1]].hold,
		Duplicate: duplicates[c[2]], Jitter: jitters[c[3]]}
	if c.Burst() == "burst" {
		l.Burst = 5
	}
	return l
}

// Seed returns a number that no other cell has.
func (c Cell) Seed() uint64 {
	n := uint64(0)
	for i, v := range c {
		n = n*uint64(CellAxes[i]) + uint64(v)
	}
	return n + 1
}

// AllCells returns all 945 cells.
func AllCells() []Cell {
	var cells []Cell
	for i := range CellAxes[0] * CellAxes[1] * CellAxes[2] * CellAxes[3] * CellAxes[4] {
		var c Cell
		for k := range c {
			c[k], i = i%CellAxes[k], i/CellAxes[k]
		}
		cells = append(cells, c)
	}
	return cells
}

// CoveringCells chooses n cells so that every pair of settings is in one of them, if n is 60 or
// more, and as many triples as fit then.
func CoveringCells(n int) []Cell {
	type tuple [6]int
	pairs, triples := map[tuple]bool{}, map[tuple]bool{}
	gain := func(c Cell, take bool) int {
		g := 0
		note := func(seen map[tuple]bool, t tuple, worth int) {
			if !seen[t] {
				g += worth
			}
			if take {
				seen[t] = true
			}
		}
		for i := range c {
			for j := i + 1; j < len(c); j++ {
				note(pairs, tuple{i, c[i], j, c[j]}, 1000)
				for k := j + 1; k < len(c); k++ {
					note(triples, tuple{i, c[i], j, c[j], k, c[k]}, 1)
				}
			}
		}
		return g
	}
	var chosen []Cell
	for range n {
		best, bestGain := Cell{}, -1
		for _, c := range AllCells() {
			if g := gain(c, false); g > bestGain {
				best, bestGain = c, g
			}
		}
		gain(best, true)
		chosen = append(chosen, best)
	}
	return chosen
}
