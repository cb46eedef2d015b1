package channel

import "time"

// pacer spreads packets over time: at once leave at most two packets, or the bytes of one
// millisecond at the present rate if that is more.
type pacer struct {
	tokens float64 // bytes; a packet may leave while there are more than 0
	spare  float64 // bytes of copies that packets may carry
	last   moment
}

func (p *pacer) refill(t moment, rate float64) {
	if t == p.last {
		return
	}
	burst, n := max(MaxPacket+1, rate/1000), rate*seconds(t-p.last)
	p.tokens = min(burst, p.tokens+n)
	p.spare = min(2*MaxPacket, p.spare+spareShare*n)
	p.last = t
}

// spareShare is the share of the rate up to which packets may be filled with copies: on a
// narrow link copies must not delay new messages.
const spareShare = 0.85

func (p *pacer) open() bool { return p.tokens > 0 }

func (p *pacer) spend(n int) {
	p.tokens -= float64(n)
	p.spare = max(-2*MaxPacket, p.spare-float64(n))
}

// ready returns when the next packet may leave.
func (p *pacer) ready(rate float64) moment {
	if p.open() {
		return p.last
	}
	return p.last + moment((1-p.tokens)/rate*float64(time.Second)) + 1
}
