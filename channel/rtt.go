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

// init sets the estimate until the first sample.
func (r *rtt) init(guess time.Duration) {
	*r = rtt{smoothed: guess, variance: guess / 2, latest: guess}
}

// sample adds a measurement d, in which delay is the time that the packet waited at the
// peer, according to the peer.
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

// Recovery timers. They are shorter than those of the web.
const (
	minVariance = 5 * time.Millisecond   // jitter of a quiet link
	maxPTO      = 250 * time.Millisecond // longest wait on a short path; the end of a blackout is noticed within it
)

// pto returns how long to wait for an acknowledgement after n timeouts.
func (r *rtt) pto(n int) time.Duration {
	d := r.smoothed + max(4*r.variance, minVariance) + maxAckDelay
	limit := max(maxPTO, r.smoothed+r.smoothed/4)
	for ; n > 0 && d < limit; n-- {
		d += d / 2
	}
	return min(d, limit)
}

// lossDelay returns the age after which a packet is lost if a newer one is acknowledged.
func (r *rtt) lossDelay() time.Duration {
	return max(max(r.smoothed, r.latest)*9/8, time.Millisecond)
}
