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
	tokens float64 // less than none is a debt
	at     time.Time
}

const maxBuckets = 16 << 10

func newLimiter(rate int) *limiter {
	return &limiter{rate: float64(rate), burst: 4 * float64(rate), buckets: make(map[netip.Addr]bucket)}
}

// allow takes a token of a site, if there is one.
func (l *limiter) allow(now time.Time, a netip.Addr) bool {
	if l.rate <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.bucket(now, a)
	if !ok {
		return false
	}
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	l.buckets[a] = b
	return allowed
}

// charge takes n tokens of a site, which may owe them.
func (l *limiter) charge(now time.Time, a netip.Addr, n float64) {
	if l.rate <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.bucket(now, a); ok {
		b.tokens -= n
		l.buckets[a] = b
	}
}

// bucket returns what a site has now; false if there is no room to remember it.
func (l *limiter) bucket(now time.Time, a netip.Addr) (bucket, bool) {
	b, ok := l.buckets[a]
	if !ok {
		return bucket{l.burst, now}, len(l.buckets) < maxBuckets || l.sweep(now)
	}
	return bucket{min(l.burst, b.tokens+l.rate*now.Sub(b.at).Seconds()), now}, true
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
