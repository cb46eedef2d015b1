package channel

import (
	"math"
	"time"
)

// congestion decides how many bytes per second may be sent. It measures two things:
// whether packets wait in a queue of the network, and at what rate bytes arrive at the
// peer. It ignores loss as such, because a radio link loses packets at random.
//
// It works in rounds. A round ends when a packet that was sent after its beginning is
// acknowledged, but not before minRound. At the start the rate doubles in each round,
// until packets wait or doubling has no effect. Then the rate grows slowly, as long as the
// sender uses all of it. When packets wait, the sender sends less than what arrives until
// the queue should be empty, and then a little less than what arrived before.
//
// Packets wait if three round trips in a row are longer than the shortest one of the last
// ten seconds by more than an allowance. Jitter makes single round trips longer, a queue
// makes all of them longer. The allowance grows with the usual difference between one
// round trip and the next, because a queue grows slowly. If packets still wait after the
// queue should be empty, there was no queue of this sender.
//
// On a link that is reliable by itself, such as a TCP connection, a lost packet of the
// network makes round trips longer too, so they say nothing about a queue. There the window
// limits what is on its way (see reliableWindow), and the rate is a little more than what
// arrives.
type congestion struct {
	reliable             bool    // the link neither loses nor reorders
	rate, floor, ceiling float64 // bytes per second
	startup              bool

	minRTT  time.Duration // shortest recent round trip; 0 before the first sample
	minAt   moment        // when it was measured
	probing moment        // until then the rate is halved, to measure the path without a queue; 0 otherwise

	delivered uint64 // bytes acknowledged so far
	round     round
	recent    [bandwidthRounds]float64 // delivery rates of the last rounds, bytes per second
	rounds    int

	jitter  time.Duration    // difference between one round trip and the next, smoothed
	lately  [2]time.Duration // the last two round trips
	stalled int              // rounds of the start in a row in which doubling had no effect

	calm       int           // rounds of growth in a row
	resume     float64       // rate to continue with when the queue is drained; 0 if none is
	drainUntil moment        // when the queue should be empty
	before     float64       // rate to restore if there was no queue; 0 after the start, which overshoots
	waited     time.Duration // how long packets waited when draining began
	chance     time.Duration // how long packets wait without a queue of this sender

	slowRate, slowDelivery float64 // rate and delivery rate, smoothed over limited rounds
	refRate, refDelivery   float64 // their values when the delivery rate last grew with the rate
}

// round is what one round has measured so far.
type round struct {
	end       uint64 // first packet of the next round
	at        moment // when the round began
	delivered uint64 // congestion.delivered when the round began
	sent      int    // bytes
	limited   bool   // congestion control has held packets back
	shortest  time.Duration
	steady    time.Duration // the largest value that three round trips in a row reached or exceeded
}

const (
	bandwidthRounds = 10
	minRound        = 50 * time.Millisecond
	minRTTAge       = 10 * time.Second
	shortWait       = 10 * time.Millisecond // part of the allowance
	longWait        = 40 * time.Millisecond // wait beyond the allowance that counts as a long queue
	maxPacketTime   = 40 * time.Millisecond
	maxChance       = 200 * time.Millisecond
	calmRounds      = 15
)

func (c *congestion) init(rate, floor, ceiling float64) {
	*c = congestion{rate: min(max(rate, floor), ceiling), floor: floor, ceiling: ceiling, startup: true}
	c.round.shortest = math.MaxInt64
}

// window returns the largest number of bytes in flight: twice what the path holds, and
// slack.
func (c *congestion) window(r *rtt, loss float64) int {
	if c.reliable {
		return c.reliableWindow()
	}
	path := c.minRTT
	if path == 0 {
		path = r.smoothed
	}
	return int(min(c.rate*seconds(2*path+30*time.Millisecond)+c.slack(loss)*MaxPacket, math.MaxInt32))
}

// On a reliable link at least leastWindow bytes may be on their way, and otherwise what
// arrives in a round trip and queueTime. So the queues of the link, such as the buffers of
// two kernels and of a proxy, never hold more than what leaves them in queueTime.
const (
	leastWindow = 8 << 10
	queueTime   = 100 * time.Millisecond
)

// reliableWindow is window on a reliable link.
func (c *congestion) reliableWindow() int {
	return int(min(max(leastWindow, c.usual()*seconds(c.minRTT+queueTime)), math.MaxInt32))
}

// usual returns the second highest delivery rate of the last rounds. The highest one may be
// of bytes that a lost packet of the network has held back, and that have arrived at once.
func (c *congestion) usual() float64 {
	first, second := 0.0, 0.0
	for _, r := range c.recent {
		switch {
		case r > first:
			first, second = r, first
		case r > second:
			second = r
		}
	}
	return second
}

// slack returns the number of further packets in the window: three, and more if many
// packets are lost. If acknowledgements are lost, too, a sender whose window is full of
// packets that have arrived would otherwise wait for one timeout after the other.
func (c *congestion) slack(loss float64) float64 {
	return 3 + 80*max(0, min(loss, 0.5)-0.3)
}

// pace returns the rate at which packets leave now. While the shortest round trip is measured
// again, this is half of what arrives, so that the queue becomes empty. A small window would
// empty it sooner, but then nothing would leave meanwhile, and new states would become old.
func (c *congestion) pace() float64 {
	rate := c.rate
	if c.probing == 0 {
		return rate
	}
	if c.reliable {
		rate = c.usual()
	}
	return max(rate/2, c.floor/2)
}

// allowance returns how long packets may wait: shortWait, and the largest of the time that
// a packet takes on the link, the jitter, and chance.
func (c *congestion) allowance() time.Duration {
	packet := time.Duration(MaxPacket / c.rate * float64(time.Second))
	return shortWait + max(min(packet, maxPacketTime), min(4*c.jitter, maxChance), min(c.chance, 10*c.jitter, maxChance))
}

// sample adds a measured round trip.
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

// excess returns how much longer than allowed packets wait in this round. A sender that
// does not use its whole rate causes no queue, unless the link carries even less; so then
// a wait must be longer.
func (c *congestion) excess() time.Duration {
	e := c.round.steady - c.minRTT - c.allowance()
	if !c.round.limited {
		e = min(e, c.round.shortest-c.minRTT-c.allowance()-c.minRTT/2-longWait)
	}
	return e
}

// acked processes one ack block: largest is the newest packet in it, next the next packet
// to be sent, bytes what was newly acknowledged, loss the share of packets lost recently.
func (c *congestion) acked(t moment, largest, next uint64, bytes int, loss float64) {
	c.delivered += uint64(bytes)
	r := &c.round
	if r.at == 0 {
		c.begin(t, next)
		return
	}
	early := !c.reliable && r.limited && t-r.at > minRound/2 && (c.resume == 0 && c.excess() > 0 || c.worse())
	if !early && (largest < r.end || t-r.at < minRound) {
		return
	}
	span := seconds(t - r.at)
	if !c.reliable {
		// A sender that sometimes waits for the pacer does not use the whole rate.
		r.limited = r.limited && float64(r.sent) > 0.7*c.pace()*span
	}
	c.judge(t, float64(c.delivered-r.delivered)/span, loss)
	c.begin(t, next)
}

func (c *congestion) begin(t moment, next uint64) {
	c.round = round{end: next, at: t, delivered: c.delivered, shortest: math.MaxInt64}
}

// judge sets the rate after a round in which rate bytes per second arrived.
func (c *congestion) judge(t moment, rate, loss float64) {
	before := c.delivery()
	if c.round.limited || rate > before {
		c.recent[c.rounds%bandwidthRounds] = rate
		c.rounds++
	}
	c.refresh(t)
	if c.reliable {
		if c.round.limited {
			c.set(1.25 * max(rate, before)) // the window limits the queue; the rate only follows
		}
		return
	}
	excess := c.excess()
	arrived := rate
	if excess <= longWait {
		arrived = max(rate, before) // because of jitter the bytes of one round may arrive in the next
	}
	arrived = min(c.rate, max(c.floor, arrived/(1-min(loss, 0.5)))) // as if there were no random loss
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

// grow raises the rate by 2 % and a small amount that helps the slower of two senders more
// than the faster. After calmRounds rounds of growth the steps become larger.
func (c *congestion) grow() {
	c.calm++
	c.chance -= c.chance / 64
	step := 0.02 + 0.01*float64(min(max(c.calm-calmRounds, 0), 6))
	c.set(c.rate*(1+step) + min(600, c.rate/50))
}

// start doubles the rate, or ends the start if doubling has no effect any more.
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

// drain sets the rate to a share of what arrives until the queue should be empty. The rate
// after that is resume times what arrives.
func (c *congestion) drain(t moment, arrived, share, resume float64) {
	c.before, c.waited = c.rate, c.round.steady-c.minRTT
	c.drainUntil = t + c.minRTT + minRound + time.Duration(float64(c.waited)/(1-share))
	c.resume = max(resume*arrived, c.floor)
	c.set(share * arrived)
	c.calm = 0
}

// worse reports whether the queue has grown while it was drained: the link may be so
// narrow that drain has seen only the beginning of the queue. Then the round must end now,
// because none of its packets will arrive soon. Near the floor this would not help.
func (c *congestion) worse() bool {
	return c.resume != 0 && c.before > 8*c.floor && c.round.steady-c.minRTT > 2*c.waited+4*longWait
}

// drained ends the draining when its time has come.
func (c *congestion) drained() {
	if c.round.at < c.drainUntil {
		return // the round may have begun before the queue was empty
	}
	c.learn()
	c.set(c.resume)
	c.resume = 0
}

// learn decides, when the queue should be empty, whether there was a queue. If packets
// wait as long as before although little was sent, there was none: learn restores the rate
// and sets chance, so that such a wait is allowed. The jitter must explain the wait, and
// must be larger than the jitter that this end's packets cause: otherwise two senders
// would take the queue of the other for chance.
func (c *congestion) learn() {
	left, packet := c.round.steady-c.minRTT, MaxPacket/c.before*float64(time.Second)
	if c.before == 0 || left < c.waited/2 || left > 2*c.waited || c.waited > 10*c.jitter || float64(c.jitter) < 2*packet {
		c.chance /= 2
		return
	}
	c.chance = max(c.chance, left)
	c.resume = c.before
}

// follows reports whether the delivery rate still grows with the rate. Only this detects
// a policer that drops packets above a rate, without a queue.
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
		c.slowRate, c.slowDelivery = 0.7*c.slowRate, 0.7*min(c.slowDelivery, c.refDelivery) // expected values at the rate that judge sets
		return false
	}
	c.refRate, c.refDelivery = c.slowRate, c.slowDelivery
	return true
}

func (c *congestion) set(rate float64) { c.rate = min(max(rate, c.floor), c.ceiling) }

// refresh replaces minRTT when it is older than minRTTAge, because the path may have
// changed. If the sender uses its whole rate, refresh halves it for two round trips first:
// a queue of this sender must not count as part of the path. On a reliable link the queue may
// be as long as queueTime, and takes twice that time more.
func (c *congestion) refresh(t moment) {
	switch {
	case c.probing != 0 && t >= c.probing:
		c.probing = 0
		c.minRTT, c.minAt = min(c.round.shortest, 10*time.Second), t
	case c.probing == 0 && c.minRTT > 0 && t-c.minAt > minRTTAge:
		if c.round.limited {
			c.probing = t + max(2*c.minRTT, 200*time.Millisecond)
			if c.reliable {
				c.probing = t + 2*(c.minRTT+queueTime)
			}
		} else if c.round.steady > 0 {
			c.minRTT, c.minAt = c.round.shortest, t
		}
	}
}

// delivery returns the highest delivery rate of the last rounds.
func (c *congestion) delivery() float64 {
	best := 0.0
	for _, r := range c.recent {
		best = max(best, r)
	}
	return best
}
