package sessioncore

import (
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// setDefaults replaces the zero values of l by those of a server.
func setDefaults(l *session.Limits) {
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

// A bucket gets rate tokens per second, and holds at most 2*rate. A message passes if
// there are more than 0 tokens, and may take more than there are: so a message larger
// than the bucket can pass.
type bucket struct {
	rate, tokens float64
	at           time.Time
}

// newBucket returns a bucket that is full when the first message comes, because its time is zero.
func newBucket(rate int) bucket { return bucket{rate: float64(rate)} }

// take takes n tokens if there are more than 0, and reports whether it has.
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
