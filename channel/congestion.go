package channel

import (
	"math"
	"time"
)

// congestion decides how many bytes per second may be sent. It watches two things:
// how fast bytes arrive at the other end, and whether packets begin to wait in a
// queue on the way. Loss alone means nothing: a radio link loses at random.
//
// It works in rounds. A round ends when a packet that was sent after its beginning
// is acknowledged, and no sooner than minRound. At the start the rate doubles each
// round, until packets wait or doubling no longer helps. After that it grows slowly
// while it is used up, and is cut by 30 % when packets wait in two rounds on end.
//
// "Packets wait" compares the shortest round trip of the round with the shortest
// of the last ten seconds: jitter stretches single packets, a queue all of them.
type congestion struct {
	rate, floor, ceiling float64 // bytes per second
	startup              bool

	minRTT  time.Duration // shortest of late, 0 before the first sample
	minAt   moment
	probing moment // until then the rate is halved to see the path empty; 0 otherwise

	delivered uint64 // bytes acknowledged, all told
	roundEnd  uint64 // the first packet of the next round
	roundAt   moment
	roundFrom uint64        // delivered when the round began
	roundMin  time.Duration // shortest round trip of the round
	sent      int           // bytes sent in the round
	limited   bool          // more could have been sent in this round
	recent    [bandwidthRounds]float64
	rounds    int

	waited  int // rounds on end in which packets waited
	stalled int // rounds on end of the start in which doubling did not help
	hold    int // rounds until the rate may change again

	slowRate, slowDelivery float64 // smoothed over rounds that were limited
	refRate, refDelivery   float64 // what they were when delivery last followed
}

const (
	bandwidthRounds = 10
	minRound        = 50 * time.Millisecond
	minRTTAge       = 10 * time.Second
	waitSlack       = 20 * time.Millisecond
	maxWaitShare    = 40 * time.Millisecond
)

func (c *congestion) init(rate, floor, ceiling float64) {
	*c = congestion{rate: min(max(rate, floor), ceiling), floor: floor, ceiling: ceiling, startup: true, roundMin: math.MaxInt64}
}

// window is how many bytes may be under way: what fills the path twice.
func (c *congestion) window(r *rtt) int {
	path := c.minRTT
	if path == 0 {
		path = r.smoothed
	}
	return int(c.pace()*(2*path+30*time.Millisecond).Seconds()) + 4*MaxPacket
}

// pace is the rate that packets leave at now.
func (c *congestion) pace() float64 {
	if c.probing != 0 {
		return max(c.rate/2, c.floor/2)
	}
	return c.rate
}

// sample takes a round trip.
func (c *congestion) sample(t moment, d time.Duration) {
	c.roundMin = min(c.roundMin, d)
	if c.minRTT == 0 || d <= c.minRTT {
		c.minRTT, c.minAt = d, t
	}
}

// acked takes what one ack block told: largest is the newest packet in it, loss the
// share of packets lost of late.
func (c *congestion) acked(t moment, largest, next uint64, bytes int, loss float64) {
	c.delivered += uint64(bytes)
	if c.roundAt == 0 {
		c.begin(t, next)
		return
	}
	if largest < c.roundEnd || t-c.roundAt < minRound {
		return
	}
	span := (t - c.roundAt).Seconds()
	rate := float64(c.delivered-c.roundFrom) / span
	// To wait for the pacer now and then is not to use up the rate.
	c.limited = c.limited && float64(c.sent) > 0.7*c.rate*span
	c.round(t, rate, loss)
	c.begin(t, next)
}

func (c *congestion) begin(t moment, next uint64) {
	c.roundEnd, c.roundAt, c.roundFrom = next, t, c.delivered
	c.roundMin, c.limited, c.sent = math.MaxInt64, false, 0
}

// round judges a round in which bytes arrived at rate.
func (c *congestion) round(t moment, rate, loss float64) {
	before := c.delivery()
	if c.limited || rate > before {
		c.recent[c.rounds%bandwidthRounds] = rate
		c.rounds++
	}
	c.refresh(t)
	threshold := c.minRTT + min(c.minRTT/2, maxWaitShare) + waitSlack
	if c.roundMin != math.MaxInt64 && c.roundMin > threshold {
		c.waited++
	} else {
		c.waited = 0
	}
	arrived := rate / (1 - min(loss, 0.5)) // what would have arrived without random loss
	switch {
	case c.probing != 0:
	case c.startup:
		c.start(rate, before, arrived)
	case c.hold > 0:
		c.hold--
	case c.waited >= 2:
		c.cut(0.7 * min(c.rate, max(arrived, c.rate/2)))
	case !c.limited:
	case !c.follows(rate):
		c.cut(0.7 * c.rate)
	case c.waited == 0:
		c.set(c.rate*1.02 + 600)
	}
}

// start doubles the rate while that helps.
func (c *congestion) start(rate, before, arrived float64) {
	if c.waited > 0 {
		c.startup = false
		c.cut(0.6 * min(c.rate, max(arrived, c.floor)))
		return
	}
	if !c.limited {
		return
	}
	if rate < before*1.25 {
		c.stalled++
	} else {
		c.stalled = 0
	}
	if c.stalled >= 3 || c.rate >= c.ceiling {
		c.startup = false
		c.set(min(c.rate, max(c.rate/2, arrived)))
		return
	}
	c.set(2 * c.rate)
}

// follows reports whether what arrives still grows with what is sent. A policer
// that drops what is too much, without a queue, shows itself here only.
func (c *congestion) follows(rate float64) bool {
	if c.slowRate == 0 {
		c.slowRate, c.slowDelivery = c.rate, rate
		c.refRate, c.refDelivery = c.rate, rate
	}
	c.slowRate += (c.rate - c.slowRate) / 8
	c.slowDelivery += (rate - c.slowDelivery) / 8
	if c.slowRate < c.refRate {
		c.refRate, c.refDelivery = c.slowRate, c.slowDelivery
	}
	if c.slowRate < 1.25*c.refRate {
		return true
	}
	if c.slowDelivery < 1.05*c.refDelivery {
		c.slowRate, c.slowDelivery = 0.7*c.slowRate, min(c.slowDelivery, c.refDelivery)
		return false
	}
	c.refRate, c.refDelivery = c.slowRate, c.slowDelivery
	return true
}

func (c *congestion) set(rate float64) { c.rate = min(max(rate, c.floor), c.ceiling) }

func (c *congestion) cut(rate float64) {
	c.set(rate)
	c.hold, c.waited = 2, 0
}

// refresh sees to it that the shortest round trip is not an old one: the path may
// have changed. For two round trips little is sent, so that a queue of our own does
// not pass for the path.
func (c *congestion) refresh(t moment) {
	switch {
	case c.probing != 0 && t >= c.probing:
		c.probing, c.hold = 0, 1
	case c.probing == 0 && c.minRTT > 0 && t-c.minAt > minRTTAge:
		if c.roundMin != math.MaxInt64 {
			c.minRTT = c.roundMin
		}
		c.minAt = t
		if c.limited {
			c.probing = t + max(2*c.minRTT, 200*time.Millisecond)
		}
	}
}

// delivery is the most bytes per second that arrived in one of the last rounds.
func (c *congestion) delivery() float64 {
	best := 0.0
	for _, r := range c.recent {
		best = max(best, r)
	}
	return best
}
