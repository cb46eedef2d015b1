package rtcserver

import (
	"net/netip"
	"sync"
	"time"
)

// limiter gives each site a bucket of tokens. Its table is bounded: a full one
// forgets sites whose buckets are full again, which changes nothing for them,
// and if there are none refuses new ones.
type limiter struct {
	rate, burst float64 // tokens per second, and the most a bucket holds; no rate is no limit

	mu      sync.Mutex
	buckets map[netip.Addr]bucket
	swept   time.Time
}

type bucket struct {
	tokens float64
	at     time.Time
}

const maxBuckets = 16 << 10

func newLimiter(rate int) *limiter {
	return &limiter{rate: float64(rate), burst: 4 * float64(rate), buckets: make(map[netip.Addr]bucket)}
}

func (l *limiter) allow(now time.Time, a netip.Addr) bool {
	if l.rate <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[a]
	if !ok {
		if len(l.buckets) >= maxBuckets && !l.sweep(now) {
			return false
		}
		b = bucket{l.burst, now}
	}
	b.tokens = min(l.burst, b.tokens+l.rate*now.Sub(b.at).Seconds())
	b.at = now
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	l.buckets[a] = b
	return allowed
}

// sweep forgets full buckets, at most once a second, and reports whether there
// is room now.
func (l *limiter) sweep(now time.Time) bool {
	if now.Sub(l.swept) < time.Second {
		return false
	}
	l.swept = now
	for a, b := range l.buckets {
		if b.tokens+l.rate*now.Sub(b.at).Seconds() >= l.burst {
			delete(l.buckets, a)
		}
	}
	return len(l.buckets) < maxBuckets
}
