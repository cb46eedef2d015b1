package channel

import "time"

// rtt estimates the round trip as RFC 9002 does.
//
// https://www.rfc-editor.org/rfc/rfc9002.html#section-5
type rtt struct {
	latest, smoothed, variance time.Duration
	minimum                    time.Duration
	samples                    uint64
}

// init sets the guess that stands in until the first sample.
func (r *rtt) init(guess time.Duration) {
	*r = rtt{smoothed: guess, variance: guess / 2, latest: guess}
}

// sample takes one measurement and the delay that the peer says is its own.
func (r *rtt) sample(d, delay time.Duration) {
	r.samples++
	if r.samples == 1 {
		r.latest, r.smoothed, r.variance, r.minimum = d, d, d/2, d
		return
	}
	r.minimum = min(r.minimum, d)
	if d-delay >= r.minimum {
		d -= delay
	}
	r.latest = d
	r.variance = (3*r.variance + (r.smoothed - d).Abs()) / 4
	r.smoothed = (7*r.smoothed + d) / 8
}

// Recovery timers. A game cannot wait as long as the web can: five milliseconds
// for the jitter of a quiet link, and never more than a quarter of a second, which
// is how late the end of a blackout is noticed.
const (
	minVariance = 5 * time.Millisecond
	maxPTO      = 250 * time.Millisecond
)

// pto is how long to wait for an acknowledgement after n timeouts before.
func (r *rtt) pto(n int) time.Duration {
	d := r.smoothed + max(4*r.variance, minVariance) + maxAckDelay
	limit := max(maxPTO, r.smoothed+r.smoothed/4)
	for ; n > 0 && d < limit; n-- {
		d += d / 2
	}
	return min(d, limit)
}

// lossDelay is how much older than an acknowledged packet a lost one is.
func (r *rtt) lossDelay() time.Duration {
	return max(max(r.smoothed, r.latest)*9/8, time.Millisecond)
}
