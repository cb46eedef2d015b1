package load

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
)

// A Histogram counts durations in buckets whose width grows with them, so that
// each is known within 1.6 %. It has a fixed size, and may be used concurrently.
type Histogram struct {
	counts [octaves * perOctave]atomic.Uint64
	sum    atomic.Int64
	max    atomic.Int64
}

// Durations are counted in units of 256 ns: the first octave is linear, from 0 to
// 16 µs, and the last ends at about 9 minutes.
const (
	unitBits      = 8
	perOctaveBits = 6
	perOctave     = 1 << perOctaveBits
	octaves       = 26
)

// Record counts one duration.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(d)].Add(1)
	h.sum.Add(int64(d))
	for {
		old := h.max.Load()
		if int64(d) <= old || h.max.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// Add counts all that o has counted.
func (h *Histogram) Add(o *Histogram) {
	for i := range h.counts {
		h.counts[i].Add(o.counts[i].Load())
	}
	h.sum.Add(o.sum.Load())
	h.max.Store(max(h.max.Load(), o.max.Load()))
}

func bucket(d time.Duration) int {
	v := uint64(d) >> unitBits
	octave := max(bits.Len64(v)-perOctaveBits, 0)
	if octave == 0 {
		return int(v)
	}
	// The highest bit is implied, so the mantissa is from perOctave up.
	i := octave*perOctave + int(v>>(octave-1)) - perOctave
	return min(i, octaves*perOctave-1)
}

// upper returns the end of a bucket.
func upper(i int) time.Duration {
	octave, rest := i/perOctave, uint64(i%perOctave)
	if octave == 0 {
		return time.Duration((rest + 1) << unitBits)
	}
	return time.Duration((rest + perOctave + 1) << (octave - 1) << unitBits)
}

// Count returns how many durations were counted.
func (h *Histogram) Count() (n uint64) {
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Quantile returns the duration that the share q of all is not longer than.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.Count()))
	var n uint64
	for i := range h.counts {
		if n += h.counts[i].Load(); n > rank {
			return min(upper(i), h.Max())
		}
	}
	return h.Max()
}

// Max returns the longest.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max.Load()) }

// Mean returns the average.
func (h *Histogram) Mean() time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	return time.Duration(h.sum.Load() / int64(n))
}

// Latency is a histogram in figures, in milliseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// String returns the figures but the mean, for people.
func (l *Latency) String() string {
	return fmt.Sprintf("p50 %.3f ms, p90 %.3f, p99 %.3f, p99.9 %.3f, longest %.3f", l.P50, l.P90, l.P99, l.P999, l.Max)
}

// Latency returns the figures.
func (h *Histogram) Latency() Latency {
	return Latency{
		Mean: millis(h.Mean()),
		P50:  millis(h.Quantile(0.5)),
		P90:  millis(h.Quantile(0.9)),
		P99:  millis(h.Quantile(0.99)),
		P999: millis(h.Quantile(0.999)),
		Max:  millis(h.Max()),
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
