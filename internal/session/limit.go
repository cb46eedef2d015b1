package session

import "time"

// Limits bound what a peer may send. Zero values are the defaults, negative ones no
// limit.
type Limits struct {
	Messages int // per second; zero means 1000. Twice as many may come at once
	Bytes    int // per second, of messages' payload; zero means 1 MiB. Twice as many may come at once
	Requests int // unanswered at a time; zero means 64
}

func (l *Limits) setDefaults() {
	if l.Messages == 0 {
		l.Messages = 1000
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 20
	}
	if l.Requests == 0 {
		l.Requests = 64
	}
}

// A bucket fills at rate per second up to two seconds' worth. A message may empty
// it below zero, so one that is larger than the bucket passes if it was full.
type bucket struct {
	rate, tokens float64
	at           time.Time
}

func newBucket(now time.Time, rate int) bucket {
	return bucket{rate: float64(rate), tokens: 2 * float64(rate), at: now}
}

// take reports whether there is anything left, and takes n.
func (b *bucket) take(now time.Time, n int) bool {
	if b.rate < 0 {
		return true
	}
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(2*b.rate, b.tokens+b.rate*d.Seconds())
		b.at = now
	}
	if b.tokens <= 0 {
		return false
	}
	b.tokens -= float64(n)
	return true
}
