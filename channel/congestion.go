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
// while it is used up. When packets wait, less than what arrives is sent until the
// queue should be empty, then a little less than what arrived before.
//
// Packets wait when a few round trips on end are longer than the shortest of the
// last ten seconds: jitter stretches single packets, a queue all of them. What one
// round trip usually differs from the next by is allowed for; a queue grows slowly.
// And if packets still wait after the queue should have been drained, there was none.
type congestion struct {
	rate, floor, ceiling float64 // bytes per second
	startup              bool

	minRTT  time.Duration // shortest recent one, 0 before the first sample
	minAt   moment
	probing moment // until then the rate is halved to see the path empty; 0 otherwise

	delivered uint64 // bytes acknowledged, all told
	round     round
	recent    [bandwidthRounds]float64 // what arrived in the last rounds, bytes per second
	rounds    int

	jitter  time.Duration    // what one round trip differs from the next by, smoothed
	lately  [2]time.Duration // the last two round trips
	stalled int              // rounds on end of the start in which doubling did not help

	calm       int     // rounds of growth on end
	resume     float64 // the rate to go on with when the queue is drained; 0 otherwise
	drainUntil moment
	before     float64       // the rate before that; 0 if the start ended so, which doubled too often
	waited     time.Duration // what packets waited then
	chance     time.Duration // what they wait though no queue of ours is there

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
	shortest  time.Duration
	steady    time.Duration // the longest that three round trips on end exceeded
}

const (
	bandwidthRounds = 10
	minRound        = 50 * time.Millisecond
	minRTTAge       = 10 * time.Second
	shortWait       = 10 * time.Millisecond // what packets may wait, with what a packet takes
	longWait        = 40 * time.Millisecond
	maxPacketTime   = 40 * time.Millisecond
	maxChance       = 200 * time.Millisecond
	calmRounds      = 15
)

func (c *congestion) init(rate, floor, ceiling float64) {
	*c = congestion{rate: min(max(rate, floor), ceiling), floor: floor, ceiling: ceiling, startup: true}
	c.round.shortest = math.MaxInt64
}

// window is how many bytes may be under way: what fills the path twice.
func (c *congestion) window(r *rtt, loss float64) int {
	path := c.minRTT
	if path == 0 {
		path = r.smoothed
	}
	return int(min(c.rate*seconds(2*path+30*time.Millisecond)+c.slack(loss)*MaxPacket, math.MaxInt32))
}

// slack is how many packets more: a few, and where acknowledgements are lost, too, as
// many as make an answer likely. Or a sender whose window is full of packets that have
// long arrived waits for one timeout after the other.
func (c *congestion) slack(loss float64) float64 {
	return 3 + 80*max(0, min(loss, 0.5)-0.3)
}

// pace is the rate that packets leave at now.
func (c *congestion) pace() float64 {
	if c.probing != 0 {
		return max(c.rate/2, c.floor/2)
	}
	return c.rate
}

// allowance is what packets may wait at most: a little, and what a packet of ours
// takes on the link itself or what is chance.
func (c *congestion) allowance() time.Duration {
	packet := time.Duration(MaxPacket / c.rate * float64(time.Second))
	return shortWait + max(min(packet, maxPacketTime), min(4*c.jitter, maxChance), min(c.chance, 10*c.jitter, maxChance))
}

// sample takes a round trip.
func (c *congestion) sample(t moment, d time.Duration) {
	r := &c.round
	r.shortest = min(r.shortest, d)
	r.steady = max(r.steady, min(d, c.lately[0], c.lately[1]))
	if c.lately[0] != 0 {
		c.jitter += ((d - c.lately[0]).Abs() - c.jitter) / 16
	}
	c.lately = [2]time.Duration{d, c.lately[0]}
	if c.minRTT == 0 || d <= c.minRTT {
		c.minRTT, c.minAt = d, t
	}
}

// excess is how much longer than allowed packets wait in this round. A sender that
// does not use its rate up fills no queue, unless the link is narrower than that.
func (c *congestion) excess() time.Duration {
	e := c.round.steady - c.minRTT - c.allowance()
	if !c.round.limited {
		e = min(e, c.round.shortest-c.minRTT-c.allowance()-c.minRTT/2-longWait)
	}
	return e
}

// acked takes what one ack block told: largest is the newest packet in it, loss the
// share of packets lost recently.
func (c *congestion) acked(t moment, largest, next uint64, bytes int, loss float64) {
	c.delivered += uint64(bytes)
	r := &c.round
	if r.at == 0 {
		c.begin(t, next)
		return
	}
	early := r.limited && t-r.at > minRound/2 && (c.resume == 0 && c.excess() > 0 || c.worse())
	if !early && (largest < r.end || t-r.at < minRound) {
		return
	}
	span := seconds(t - r.at)
	// To wait for the pacer now and then is not to use up the rate.
	r.limited = r.limited && float64(r.sent) > 0.7*c.pace()*span
	c.judge(t, float64(c.delivered-r.delivered)/span, loss)
	c.begin(t, next)
}

func (c *congestion) begin(t moment, next uint64) {
	c.round = round{end: next, at: t, delivered: c.delivered, shortest: math.MaxInt64}
}

// judge ends a round in which rate bytes per second arrived.
func (c *congestion) judge(t moment, rate, loss float64) {
	before := c.delivery()
	if c.round.limited || rate > before {
		c.recent[c.rounds%bandwidthRounds] = rate
		c.rounds++
	}
	c.refresh(t)
	excess := c.excess()
	arrived := rate
	if excess <= longWait {
		arrived = max(rate, before) // jitter moves what arrives from round to round, too
	}
	arrived = min(c.rate, max(c.floor, arrived/(1-min(loss, 0.5)))) // had there been no random loss
	switch {
	case c.probing != 0:
	case c.resume != 0:
		c.drained()
	case c.startup && excess > 0:
		c.startup = false
		c.drain(t, arrived, 0.5, 0.85)
		c.before = 0
	case c.startup:
		c.start(rate, before, arrived)
	case excess > longWait:
		c.drain(t, arrived, 0.4, 0.7)
	case excess > 0:
		c.drain(t, arrived, 0.7, 0.9)
	case !c.round.limited:
	case !c.follows(rate):
		c.set(0.7 * c.rate)
		c.calm = 0
	default:
		c.grow()
	}
}

// grow raises the rate by 2 % and a little more, so that of two senders the slower
// one gains. After a while in which no queue came of it the steps get larger.
func (c *congestion) grow() {
	c.calm++
	c.chance -= c.chance / 64
	step := 0.02 + 0.01*float64(min(max(c.calm-calmRounds, 0), 6))
	c.set(c.rate*(1+step) + min(600, c.rate/50))
}

// start doubles the rate while that helps.
func (c *congestion) start(rate, before, arrived float64) {
	if !c.round.limited {
		return
	}
	if rate < before*1.25 {
		c.stalled++
	} else {
		c.stalled = 0
	}
	if c.stalled >= 3 || c.rate >= c.ceiling {
		c.startup = false
		c.set(arrived)
		return
	}
	c.set(min(2*c.rate, max(c.rate, 3*arrived)))
}

// drain sends a share of what arrives until the queue should be empty, and then goes
// on with another.
func (c *congestion) drain(t moment, arrived, share, resume float64) {
	c.before, c.waited = c.rate, c.round.steady-c.minRTT
	c.drainUntil = t + c.minRTT + minRound + time.Duration(float64(c.waited)/(1-share))
	c.resume = max(resume*arrived, c.floor)
	c.set(share * arrived)
	c.calm = 0
}

// worse reports whether the queue grew while it was being drained: the link may have
// become so narrow that only the beginning of the queue was seen. A round must end then,
// though none of its packets will have arrived for long. Near the floor there is nothing
// to gain.
func (c *congestion) worse() bool {
	return c.resume != 0 && c.before > 8*c.floor && c.round.steady-c.minRTT > 2*c.waited+4*longWait
}

// drained ends the draining when its time has come.
func (c *congestion) drained() {
	if c.round.at < c.drainUntil {
		return // the round may still have seen the queue
	}
	c.learn()
	c.set(c.resume)
	c.resume = 0
}

// learn asks, when the queue should be empty, whether there was any. If packets wait
// as before though little was sent, the rate goes on as it was, and such a wait is
// allowed for. It must be one that the jitter explains, and the jitter more than our
// own packets make: or two senders would take each other's queue for chance.
func (c *congestion) learn() {
	left, packet := c.round.steady-c.minRTT, MaxPacket/c.before*float64(time.Second)
	if c.before == 0 || left < c.waited/2 || left > 2*c.waited || c.waited > 10*c.jitter || float64(c.jitter) < 2*packet {
		c.chance /= 2
		return
	}
	c.chance = max(c.chance, left)
	c.resume = c.before
}

// follows reports whether what arrives still grows with what is sent. A policer
// that drops what is too much, without a queue, shows itself here only.
func (c *congestion) follows(rate float64) bool {
	if c.slowRate == 0 {
		c.slowRate, c.slowDelivery = c.rate, rate
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
		c.slowRate, c.slowDelivery = 0.7*c.slowRate, 0.7*min(c.slowDelivery, c.refDelivery) // so much should arrive then
		return false
	}
	c.refRate, c.refDelivery = c.slowRate, c.slowDelivery
	return true
}

func (c *congestion) set(rate float64) { c.rate = min(max(rate, c.floor), c.ceiling) }

// refresh sees to it that the shortest round trip is not an old one: the path may
// have changed. For two round trips little is sent, so that a queue of our own does
// not pass for the path.
func (c *congestion) refresh(t moment) {
	switch {
	case c.probing != 0 && t >= c.probing:
		c.probing = 0
		c.minRTT, c.minAt = min(c.round.shortest, 10*time.Second), t
	case c.probing == 0 && c.minRTT > 0 && t-c.minAt > minRTTAge:
		if c.round.limited {
			c.probing = t + max(2*c.minRTT, 200*time.Millisecond)
		} else if c.round.steady > 0 {
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
