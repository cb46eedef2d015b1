package channel

import (
	"math"
	"time"
)

// A moment is a time since the Mux was made. It never goes back, whatever the
// caller's clock does.
type moment = time.Duration

const never moment = math.MaxInt64

// clock turns times into moments.
type clock struct {
	start time.Time
	now   moment
}

func (c *clock) at(now time.Time) moment {
	if t := now.Sub(c.start); t > c.now {
		c.now = t
	}
	return c.now
}

func (c *clock) time(t moment) time.Time {
	if t == never {
		return time.Time{}
	}
	return c.start.Add(t)
}
