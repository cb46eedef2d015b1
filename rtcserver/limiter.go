package rtcserver

import (
	"net/netip"
	"sync"
	"time"
)

// limiter has a bucket of tokens for each site. Its table is bounded: when the table is
// full, the limiter removes the sites whose buckets are full, which makes no difference to
// them. If there are none, it refuses new sites.
type limiter struct {
	rate, burst float64 // tokens per second, and the size of a bucket; a rate of 0 or less means no limit

	mu      sync.Mutex
	buckets map[netip.Addr]bucket
	swept   time.Time
}

type bucket struct {
	tokens float64 // negative after charge took more tokens than there were
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

// charge takes n tokens of a site, also if it has fewer.
func (l *limiter) charge(now time.Time, a netip.Addr, n float64) {
	if l.rate <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.buckets[a]; ok || len(l.buckets) < maxBuckets { // the shard's lock is held: no sweep here
		b, _ := l.bucket(now, a)
		b.tokens -= n
		l.buckets[a] = b
	}
}

// bucket returns the present bucket of a site; false if the table has no room for it.
func (l *limiter) bucket(now time.Time, a netip.Addr) (bucket, bool) {
	b, ok := l.buckets[a]
	if !ok {
		return bucket{l.burst, now}, len(l.buckets) < maxBuckets || l.sweep(now)
	}
	return bucket{min(l.burst, b.tokens+l.rate*now.Sub(b.at).Seconds()), now}, true
}

// sweep removes full buckets, at most once a second, and reports whether the table has
// room now.
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
