package load

import (
	"testing"
	"time"
)

func TestBucketsCoverAllDurations(t *testing.T) {
	last := -1
	for d := time.Duration(1); d < time.Hour; d = d*101/100 + 1 {
		i := bucket(d)
		if i < last || i >= octaves*perOctave {
			t.Fatalf("%v is in bucket %d, after bucket %d for a shorter time", d, i, last)
		}
		last = i
		if d > 8*time.Minute {
			continue // the last bucket has all longer times, too
		}
		if up := upper(i); up < d || up > d+d/60+512 {
			t.Fatalf("%v is in bucket %d, which ends at %v, want an end at most a sixtieth later", d, i, up)
		}
	}
	if bucket(0) != 0 {
		t.Errorf("zero is in bucket %d, want 0", bucket(0))
	}
}

func TestQuantiles(t *testing.T) {
	var h Histogram
	for i := range 1000 {
		h.Record(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{
		0: 1 * time.Millisecond, 0.5: 501 * time.Millisecond, 0.99: 991 * time.Millisecond, 0.999: time.Second, 1: time.Second,
	} {
		if got := h.Quantile(q); got < want || got > want+want/60+time.Millisecond {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
	if h.Count() != 1000 || h.Max() != time.Second || h.Mean() != 500500*time.Microsecond {
		t.Errorf("count %d, max %v, mean %v; want 1000, 1 s, 500.5 ms", h.Count(), h.Max(), h.Mean())
	}
	ms := func(q float64) float64 { return millis(h.Quantile(q)) }
	if got, want := h.Latency(), (Latency{Mean: 500.5, P50: ms(0.5), P90: ms(0.9), P99: ms(0.99), P999: ms(0.999), Max: 1000}); got != want {
		t.Errorf("the latency is %+v, want %+v", got, want)
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	if l := h.Latency(); l != (Latency{}) {
		t.Errorf("an empty histogram has the latency %+v, want zero", l)
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Record(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
