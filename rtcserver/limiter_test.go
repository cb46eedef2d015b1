package rtcserver

import (
	"net/netip"
	"testing"
	"time"
)

func TestLimiterRefillsAtItsRate(t *testing.T) {
	l, now, a := newLimiter(10), time.Unix(1000, 0), netip.MustParseAddr("192.0.2.1")
	count := func() (n int) {
		for l.allow(now, a) {
			n++
		}
		return n
	}
	if n := count(); n != 40 {
		t.Errorf("%d at once, want four times the rate", n)
	}
	now = now.Add(time.Second)
	if n := count(); n != 10 {
		t.Errorf("%d after a second, want 10", n)
	}
	now = now.Add(time.Hour)
	if n := count(); n != 40 {
		t.Errorf("%d after an hour, want no more than the burst", n)
	}
}

// What is charged may be more than there is: nothing is allowed until it is paid.
func TestLimiterChargesMoreThanThereIs(t *testing.T) {
	l, now, a := newLimiter(10), time.Unix(1000, 0), netip.MustParseAddr("192.0.2.1")
	l.charge(now, a, 100) // of 40
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {6000 * time.Millisecond, false}, {6090 * time.Millisecond, false}, {6110 * time.Millisecond, true}, {6110 * time.Millisecond, false}} {
		if ok := l.allow(now.Add(c.after), a); ok != c.want {
			t.Errorf("after %v: %v, want %v", c.after, ok, c.want)
		}
	}
	if !l.allow(now, netip.MustParseAddr("192.0.2.2")) {
		t.Error("another site is refused")
	}
}

func TestLimiterTableIsBounded(t *testing.T) {
	l, now := newLimiter(1), time.Unix(1000, 0)
	site := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 2 * maxBuckets {
		if ok := l.allow(now, site(i)); ok != (i < maxBuckets) {
			t.Fatalf("site %d: allowed %v, want %v", i, ok, i < maxBuckets)
		}
	}
	l.charge(now, site(2*maxBuckets), 1)
	if len(l.buckets) != maxBuckets {
		t.Fatalf("%d buckets, want at most %d", len(l.buckets), maxBuckets)
	}
	if l.allow(now.Add(time.Second-1), site(3*maxBuckets)) {
		t.Error("the table is searched again within a second")
	}
	now = now.Add(time.Second) // the old buckets are full again, so they need not be known
	if !l.allow(now, site(3*maxBuckets)) {
		t.Error("a new site is refused though old buckets are full again")
	}
}

func TestNoRateIsNoLimit(t *testing.T) {
	for _, rate := range []int{-1, 0} {
		l := newLimiter(rate)
		for range 1000 {
			if !l.allow(time.Unix(1, 0), netip.MustParseAddr("192.0.2.1")) {
				t.Fatal("an offer is refused without a limit")
			}
		}
		l.charge(time.Unix(1, 0), netip.MustParseAddr("192.0.2.1"), 1)
		if len(l.buckets) > 0 {
			t.Errorf("rate %d: %d sites are stored, want 0", rate, len(l.buckets))
		}
	}
}

// A full table charges only the sites that it has. It removes no site for a charge.
func TestChargeInAFullTable(t *testing.T) {
	l := newLimiter(1)
	now := time.Now()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range maxBuckets {
		l.buckets[at(i)] = bucket{l.burst, now}
	}
	l.charge(now, at(0), l.burst)
	l.charge(now, at(maxBuckets), l.burst)
	if n := len(l.buckets); n != maxBuckets {
		t.Errorf("the table has %d sites, want %d", n, maxBuckets)
	}
	if l.allow(now, at(0)) {
		t.Error("a site of the table is allowed one offer too many")
	}
	delete(l.buckets, at(1))
	l.charge(now, at(maxBuckets), l.burst)
	if l.allow(now, at(maxBuckets)) {
		t.Error("a new site is allowed one offer too many though there is room in the table")
	}
}

// A full table is searched at most once a second, although buckets become full meanwhile.
func TestAFullTableIsSearchedOnceASecond(t *testing.T) {
	l, now := newLimiter(1), time.Unix(1000, 0)
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range maxBuckets {
		l.buckets[at(i)] = bucket{l.burst - 0.5, now} // full after half a second
	}
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {time.Second - 1, false}, {time.Second, true}} {
		if ok := l.allow(now.Add(c.after), at(maxBuckets)); ok != c.want {
			t.Errorf("after %v a new site is allowed an offer: %v, want %v", c.after, ok, c.want)
		}
	}
	if n := len(l.buckets); n != 1 {
		t.Errorf("the table has %d sites after the search, want 1", n)
	}
}
