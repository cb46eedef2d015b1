package channel

import (
	"testing"
	"time"
)

// A packet may leave while there are tokens. Tokens grow at the rate, up to a millisecond's
// worth or one packet. Each packet uses tokens.
func TestTokensOfThePacer(t *testing.T) {
	for _, c := range []struct {
		rate   float64
		before float64
		after  time.Duration
		tokens float64
		open   bool
		ready  time.Duration // from then on
	}{
		{100_000, 0, 0, 0, false, 10_001},
		{100_000, -1000, 10 * ms, 0, false, 10_001},
		{100_000, -1000, 11 * ms, 100, true, 0},
		{100_000, -1000, 5 * ms, -500, false, 5_010_001},
		{100_000, 0, time.Second, MaxPacket + 1, true, 0},
		{5_000_000, 0, time.Second, 5000, true, 0},
	} {
		p := pacer{tokens: c.before, last: 7}
		p.refill(7+c.after, c.rate)
		if d := p.tokens - c.tokens; d > 1e-6 || d < -1e-6 {
			t.Errorf("%v bytes a second, after %v: %v tokens, want %v", c.rate, c.after, p.tokens, c.tokens)
		}
		p.tokens = c.tokens
		if p.open() != c.open || p.ready(c.rate) != 7+c.after+c.ready {
			t.Errorf("%v bytes a second, after %v: open %v, want %v; ready after %v, want %v", c.rate, c.after, p.open(), c.open, p.ready(c.rate)-7-c.after, c.ready)
		}
	}
	var p pacer
	p.refill(time.Second, 10_000)
	if p.spare != 2*MaxPacket {
		t.Errorf("%v bytes for copies, want two packets at most", p.spare)
	}
	p = pacer{}
	if p.refill(100*ms, 10_000); p.spare != 850 {
		t.Errorf("%v bytes for copies, want 85 %% of the rate", p.spare)
	}
	if p.spend(250); p.tokens != 750 || p.spare != 600 {
		t.Errorf("%v tokens, want 750; %v for copies, want 600", p.tokens, p.spare)
	}
	for range 5 {
		p.spend(1000)
	}
	if p.spare != -2*MaxPacket {
		t.Errorf("%v bytes for copies, want two packets at least", p.spare)
	}
}

// On a new link as few packets leave at once as on the first one, however late it comes.
func TestPacketsThatANewLinkBeginsWith(t *testing.T) {
	x := newTestMux(t, Config{Rate: 10_000_000, Ceiling: -1})
	fill := x.fill(loot)
	atOnce := func() (n int) {
		for fill(); len(x.m.Append(x.now, nil, MaxPacket)) > 0; n++ {
		}
		return n
	}
	first := atOnce()
	x.wait(time.Second)
	x.m.Relink(x.now, false, 0)
	if n := atOnce(); n != first || n == 0 {
		t.Errorf("%d packets leave at once on the second link, want %d as on the first one", n, first)
	}
}
