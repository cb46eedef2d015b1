package channel

import (
	"math"
	"time"
)

// A moment is a time since the Mux was made. It never goes back, whatever the
// caller's clock does.
type moment = time.Duration

const never moment = math.MaxInt64

// clock turns times into moments. The calls of one turn all have the same time, so
// the last one is kept: to compare is cheaper than to subtract.
type clock struct {
	start time.Time
	last  time.Time
	now   moment
}

func (c *clock) at(now time.Time) moment {
	if now != c.last {
		c.advance(now)
	}
	return c.now
}

func (c *clock) advance(now time.Time) {
	c.last = now
	c.now = max(c.now, now.Sub(c.start))
}

// seconds is d.Seconds without its two divisions, which is close enough for a rate.
func seconds(d time.Duration) float64 { return float64(d) * 1e-9 }

func (c *clock) time(t moment) time.Time {
	if t == never {
		return time.Time{}
	}
	return c.start.Add(t)
}
