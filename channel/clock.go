package channel

import (
	"math"
	"time"
)

// A moment is the time since the Mux was made. It never decreases, even if the caller's
// clock does.
type moment = time.Duration

const never moment = math.MaxInt64

// clock converts times to moments. The calls of one turn usually have the same time, so
// it keeps the last one: a comparison is cheaper than a subtraction.
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

// seconds returns d in seconds. It is faster than d.Seconds, which has two divisions, and
// exact enough for a rate.
func seconds(d time.Duration) float64 { return float64(d) * 1e-9 }

func (c *clock) time(t moment) time.Time {
	if t == never {
		return time.Time{}
	}
	return c.start.Add(t)
}
