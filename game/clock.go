package game

import (
	"iter"
	"math"
	"time"
)

// ClockConfig are the settings of a [Clock]. The zero value has the defaults.
type ClockConfig struct {
	// Tick is the time from one tick of the server to the next. Zero means 50 ms; the least is 1 ms.
	Tick time.Duration

	// Slew is by what share the clock may be faster or slower than the local one, to correct an
	// error of up to 250 ms. With a larger error it is twice as fast or a tenth as fast. Zero means
	// 0.05; the limit is 0.5.
	Slew float64

	// MaxLead limits by how much inputs are ahead of the server's time, and so the effect of a
	// server that asks for more. Zero means 500 ms, a negative value that they are not ahead.
	MaxLead time.Duration
}

const (
	clockSamples = 32                     // messages from which the clock estimates
	farOff       = 250 * time.Millisecond // error from which the clock may be much faster or slower
	settling     = 500 * time.Millisecond // time in which the clock corrects most of a small error
	maxDue       = 8                      // inputs that Due asks for at once
	firstSpare   = 1.5                    // ticks that inputs are early at first
	meanOf       = 16                     // messages from which the inputs of one are computed
)

// A Clock is a client's estimate of the server's time, in ticks. It never jumps after the first
// message and never runs backwards: it is a little faster or slower than the local clock until it is
// right.
//
// The estimate uses the fastest of the last 32 messages and half the shortest of their round trips,
// so jitter and queues have little effect. What nobody can measure is a path that needs longer one
// way than the other: the estimate is wrong by half the difference. [Clock.Early] corrects this where
// it matters, for inputs.
type Clock struct {
	tick float64 // seconds from one tick to the next
	slew float64 // ticks a tick
	far  float64 // ticks
	most float64 // most lead, in ticks

	start   time.Time // of the first message; times below are ticks of the local clock since then
	at      float64   // when time and lead were advanced last
	time    float64   // the server's time then
	lead    float64   // how far inputs are ahead of it
	spare   float64   // the part of the wanted lead that is not half a round trip
	heard   int       // messages, up to the number of samples
	next    int       // index of the next sample
	samples [clockSamples]sample
	offset  float64 // the server's time less the local one, by the samples
	half    float64 // half a round trip, by the samples

	made float64 // last tick that Due has returned
	each float64 // ticks that Due returns at once, as a mean; each call is a message
}

// A sample is what one message says, in ticks.
type sample struct {
	offset float64 // time in the message less the local time at its arrival
	half   float64 // half a round trip; 0 if it is not known
}

// NewClock returns a Clock that has not heard the server yet.
func NewClock(c ClockConfig) *Clock {
	if c.Tick == 0 {
		c.Tick = 50 * time.Millisecond
	}
	if c.Slew == 0 {
		c.Slew = 0.05
	}
	if c.MaxLead == 0 {
		c.MaxLead = 500 * time.Millisecond
	}
	k := &Clock{tick: max(c.Tick, time.Millisecond).Seconds(), slew: between(c.Slew, 0, 0.5), spare: firstSpare, each: 1}
	k.far, k.most = k.ticks(farOff), max(k.ticks(c.MaxLead), 0)
	return k
}

// ticks returns d in ticks.
func (c *Clock) ticks(d time.Duration) float64 { return d.Seconds() / c.tick }

// Hear notes that a message with the server's tick has arrived, which the server sent right after
// the tick. rtt is the smoothed round trip of the session: Stats().RTT of a client.Session, or zero
// if it is not known yet.
func (c *Clock) Hear(now time.Time, tick uint32, rtt time.Duration) {
	first := c.heard == 0
	if first {
		c.start = now
	}
	t := c.advance(now)
	c.samples[c.next] = sample{float64(tick) - t, max(c.ticks(rtt), 0) / 2}
	c.next = (c.next + 1) % clockSamples
	c.heard = min(c.heard+1, clockSamples)
	c.offset, c.half = math.Inf(-1), math.Inf(1)
	for _, s := range c.samples[:c.heard] {
		c.offset = max(c.offset, s.offset)
		if s.half > 0 {
			c.half = min(c.half, s.half)
		}
	}
	if math.IsInf(c.half, 1) {
		c.half = 0 // no round trip is known
	}
	if first {
		c.time = c.offset + c.half
		c.lead = min(c.half+c.spare, c.most)
		c.made = math.Floor(c.time + c.lead)
	}
}

// Early notes what [Inputs.Early] of the server says: by how many ticks this client's inputs are
// early at least. The lead rises at once if that is so little that one message may not be lost, and falls
// slowly if it is more. One tick is enough if [Clock.Due] is called in every tick. If [Inputs.Early]
// returns false there is nothing to note.
func (c *Clock) Early(ticks int) {
	// If each message has n new inputs, the oldest of a lost one comes n ticks late, and is n-1 ticks older than the newest.
	less := 2*c.each - 1 - float64(ticks)
	if change := c.wanted() - c.lead; less > 0 && change > 0.5 || less < 0 && change < -0.5 {
		return // the server has not seen the effect of the last change
	}
	if less < 0 {
		less /= 10
	}
	c.spare = between(c.spare+less, 0, c.most)
}

// wanted returns the lead that the clock slews to.
func (c *Clock) wanted() float64 { return min(c.half+c.spare, c.most) }

// advance moves the clock to a time and returns that time in local ticks. A time before the last one
// changes nothing.
func (c *Clock) advance(now time.Time) float64 {
	t := c.ticks(now.Sub(c.start))
	d := t - c.at
	if d <= 0 {
		return t
	}
	c.at = t
	soon := min(1, d/c.ticks(settling))
	off := t + c.offset + c.half - c.time - d
	up, down := c.slew*d, c.slew*d
	if math.Abs(off) > c.far {
		up, down = d, 0.9*d
	}
	went := d + between(off*soon, -down, up)
	c.time += went
	c.lead += between((c.wanted()-c.lead)*soon, -min(c.slew*d, went), c.slew*d) // Ahead never runs backwards
	return t
}

// Now returns the server's time in ticks, and 0 before the first message.
func (c *Clock) Now(now time.Time) float64 {
	if c.heard > 0 {
		c.advance(now)
	}
	return c.time
}

// Ahead returns the time for which an input that is sent now counts at the server: Now and the lead,
// in ticks, and 0 before the first message.
func (c *Clock) Ahead(now time.Time) float64 {
	return c.Now(now) + c.lead
}

// Lead returns how far inputs are ahead of the server's time, in ticks.
func (c *Clock) Lead() float64 { return c.lead }

// Due returns the ticks for which inputs are to be made now: those up to Ahead that it has not
// returned before, but at most the last 8, as after a pause of the program. A program uses each of
// them: the next call does not return them again.
func (c *Clock) Due(now time.Time) iter.Seq[uint32] {
	last := min(math.Floor(c.Ahead(now)), math.MaxUint32)
	first := max(c.made+1, last-maxDue+1)
	c.made = max(c.made, last)
	if n := last - first + 1; n >= 1 && n < maxDue {
		c.each += (n - c.each) / meanOf
	}
	return func(yield func(uint32) bool) {
		for t := first; t <= last; t++ {
			if !yield(uint32(t)) {
				return
			}
		}
	}
}
