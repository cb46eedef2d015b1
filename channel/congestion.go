package channel

import (
	"math"
	"time"
)

// congestion decides how many bytes per second may be sent. It watches two things:
// whether packets begin to wait in a queue on the way, and how fast bytes arrive at
// the other end. Loss alone means nothing: a radio link loses at random.
//
// It works in rounds. A round ends when a packet that was sent after its beginning
// is acknowledged, and no sooner than minRound. At the start the rate doubles each
// round, until packets wait or doubling no longer helps. After that it grows slowly
// while it is used up, and is cut when packets wait: by 15 %, or by 30 % when they
// wait long.
//
// Packets wait when a few round trips on end are longer than the shortest of the
// last ten seconds by more than chance: jitter stretches single packets, a queue all
// of them. What round trips differ by on a path without a queue is learned.
type congestion struct {
	rate, floor, ceiling float64 // bytes per second
	startup              bool

	minRTT  time.Duration // shortest of late, 0 before the first sample
	minAt   moment
	probing moment // until then the rate is halved to see the path empty; 0 otherwise

	delivered uint64 // bytes acknowledged, all told
	round     round
	recent    [bandwidthRounds]float64 // what arrived in the last rounds, bytes per second
	rounds    int

	jitter  time.Duration // what round trips differ by while none is long
	over    int           // round trips on end that were long
	stalled int     // rounds on end of the start in which doubling did not help
	hold    int     // rounds until the rate may grow again
	resume  float64 // the rate to go on with when the queue of the start is gone; 0 otherwise

	slowRate, slowDelivery float64 // smoothed over rounds that were limited
	refRate, refDelivery   float64 // what they were when delivery last followed
}

// round is what one round has shown so far.
type round struct {
	end       uint64 // the first packet of the next one
	at        moment
	delivered uint64 // at its beginning
	sent      int    // bytes
	limited   bool   // more could have been sent
	samples   int
	shortest  time.Duration
	sum       time.Duration
}

const (
	bandwidthRounds = 10
	minRound        = 50 * time.Millisecond
	minRTTAge       = 10 * time.Second
	shortWait       = 10 * time.Millisecond // what packets may wait, with what a packet takes
	longWait        = 40 * time.Millisecond
	maxPacketTime   = 40 * time.Millisecond
	maxJitter       = 100 * time.Millisecond
	longSamples     = 3 // long round trips on end that are not chance
)

func (c *congestion) init(rate, floor, ceiling float64) {
	*c = congestion{rate: min(max(rate, floor), ceiling), floor: floor, ceiling: ceiling, startup: true}
	c.round.shortest = math.MaxInt64
}

// window is how many bytes may be under way: what fills the path twice.
func (c *congestion) window(r *rtt) int {
	path := c.minRTT
	if path == 0 {
		path = r.smoothed
	}
	return int(c.rate*(2*path+30*time.Millisecond).Seconds()) + 3*MaxPacket
}

// pace is the rate that packets leave at now.
func (c *congestion) pace() float64 {
	if c.probing != 0 {
		return max(c.rate/2, c.floor/2)
	}
	return c.rate
}

// allowance is what packets may wait at most: a little, what a packet of ours takes
// on the link itself, and what is chance.
func (c *congestion) allowance() time.Duration {
	packet := time.Duration(MaxPacket / c.rate * float64(time.Second))
	return shortWait + min(packet, maxPacketTime) + c.jitter
}

// sample takes a round trip.
func (c *congestion) sample(t moment, d time.Duration) {
	r := &c.round
	r.samples++
	r.sum += d
	r.shortest = min(r.shortest, d)
	if c.minRTT == 0 || d <= c.minRTT {
		c.minRTT, c.minAt = d, t
	}
	if d > c.minRTT+c.allowance() {
		c.over++
	} else {
		c.over = 0
	}
}

// acked takes what one ack block told: largest is the newest packet in it, loss the
// share of packets lost of late.
func (c *congestion) acked(t moment, largest, next uint64, bytes int, loss float64) {
	c.delivered += uint64(bytes)
	r := &c.round
	if r.at == 0 {
		c.begin(t, next)
		return
	}
	full := c.over >= longSamples && c.hold == 0 && c.resume == 0 && t-r.at > minRound/2
	if !full && (largest < r.end || t-r.at < minRound) {
		return
	}
	span := (t - r.at).Seconds()
	// To wait for the pacer now and then is not to use up the rate.
	r.limited = r.limited && float64(r.sent) > 0.7*c.pace()*span
	c.judge(t, float64(c.delivered-r.delivered)/span, loss)
	c.begin(t, next)
}

func (c *congestion) begin(t moment, next uint64) {
	c.round = round{end: next, at: t, delivered: c.delivered, shortest: math.MaxInt64}
}

// learn takes what the round trips of a round without a long one differ by.
func (c *congestion) learn() {
	r := &c.round
	if r.samples < 2 {
		return
	}
	spread := r.sum/time.Duration(r.samples) - r.shortest
	c.jitter += (min(2*spread, maxJitter) - c.jitter) / 8
}

// judge ends a round in which rate bytes per second arrived.
func (c *congestion) judge(t moment, rate, loss float64) {
	before := c.delivery()
	if c.round.limited || rate > before {
		c.recent[c.rounds%bandwidthRounds] = rate
		c.rounds++
	}
	c.refresh(t)
	long := c.over >= longSamples
	if !long {
		c.learn()
	}
	arrived := rate / (1 - min(loss, 0.5)) // what would have arrived without random loss
	switch {
	case c.probing != 0:
	case c.startup:
		c.start(rate, before, arrived, long)
	case c.resume != 0:
		c.drain(long)
	case c.hold > 0:
		c.hold--
	case long && c.round.shortest > c.minRTT+c.allowance()+longWait:
		c.cut(0.7 * c.used(arrived))
	case long:
		c.cut(0.85 * c.used(arrived))
	case !c.round.limited:
	case !c.follows(rate):
		c.cut(0.7 * c.rate)
	case c.over == 0:
		c.set(c.rate*1.02 + min(600, c.rate/50))
	}
}

// used is the rate to cut: what arrived, if that is not much less than was allowed.
func (c *congestion) used(arrived float64) float64 {
	return min(c.rate, max(arrived, c.rate/2))
}

// start doubles the rate while that helps.
func (c *congestion) start(rate, before, arrived float64, long bool) {
	r := &c.round
	switch {
	case long:
		c.startup = false
		c.resume = 0.85 * min(c.rate, max(arrived, c.floor))
		c.set(c.resume / 2)
		return
	case !r.limited:
		return
	case rate < before*1.25:
		c.stalled++
	default:
		c.stalled = 0
	}
	if c.stalled >= 3 || c.rate >= c.ceiling {
		c.startup = false
		c.set(min(c.rate, max(c.rate/2, arrived)))
		return
	}
	c.set(min(2*c.rate, max(c.rate, 3*arrived)))
}

// drain waits until the queue that the start has filled is empty.
func (c *congestion) drain(long bool) {
	if !long {
		c.set(c.resume)
		c.resume, c.hold = 0, 1
	}
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
	c.hold = 2
}

// refresh sees to it that the shortest round trip is not an old one: the path may
// have changed. For two round trips little is sent, so that a queue of our own does
// not pass for the path.
func (c *congestion) refresh(t moment) {
	switch {
	case c.probing != 0 && t >= c.probing:
		c.probing, c.hold = 0, 1
		c.minRTT, c.minAt = min(c.round.shortest, 10*time.Second), t
	case c.probing == 0 && c.minRTT > 0 && t-c.minAt > minRTTAge:
		if c.round.limited {
			c.probing = t + max(2*c.minRTT, 200*time.Millisecond)
		} else if c.round.samples > 0 {
			c.minRTT, c.minAt = c.round.shortest, t
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
