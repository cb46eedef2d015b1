package channel

import (
	"math"
	"testing"
	"time"
)

// The figures of congestion control, round by round. What they do together, on links,
// is in congestion_test.go.

func newCongestion(rate float64) *congestion {
	c := &congestion{}
	c.init(rate, 10_000, 1_000_000)
	c.startup = false
	c.minRTT, c.minAt = 50*ms, time.Second
	c.round = round{at: time.Second, limited: true, shortest: 50 * ms, steady: 50 * ms}
	return c
}

func (c *congestion) want(t *testing.T, why string, rate float64) {
	t.Helper()
	if math.Abs(c.rate-rate) > 1e-6*rate {
		t.Errorf("%s: the rate is %.1f, want %.1f", why, c.rate, rate)
	}
}

// The window fills the path twice, and 30 ms, and a few packets; more where half of
// the acknowledgements are lost.
func TestFiguresOfTheWindow(t *testing.T) {
	c := newCongestion(100_000)
	r := &rtt{smoothed: 80 * ms}
	for loss, packets := range map[float64]float64{0: 3, 0.3: 3, 0.4: 11, 0.5: 19, 0.9: 19} {
		want := 100_000*0.130 + packets*MaxPacket
		if got := c.window(r, loss); math.Abs(float64(got)-want) > 1 {
			t.Errorf("%v lost: %d bytes, want %.0f", loss, got, want)
		}
	}
	c.minRTT = 0
	if got, want := c.window(r, 0), 100_000*0.190+3*MaxPacket; math.Abs(float64(got)-want) > 1 {
		t.Errorf("before the first round trip: %d bytes, want %.0f", got, want)
	}
	c.probing = 5
	if c.pace() != 50_000 {
		t.Errorf("pace() = %.0f, want half of the rate", c.pace())
	}
	c.rate = 8_000
	if c.pace() != 5_000 {
		t.Errorf("pace() = %.0f, want half of the floor", c.pace())
	}
	c.reliable, c.rate, c.recent = true, 100_000, [bandwidthRounds]float64{90_000, 60_000}
	if c.pace() != 30_000 {
		t.Errorf("on a reliable link pace() = %.0f, want half of what usually arrives", c.pace())
	}
	c.reliable, c.rate = false, 8_000
	if c.probing = 0; c.pace() != 8_000 {
		t.Errorf("pace() = %.0f, want the rate", c.pace())
	}
}

// At the start the rate doubles in each round that uses it up, to at most three times the rate
// of arrival, until it has not helped for three rounds, or the ceiling is reached.
func TestFiguresOfTheStart(t *testing.T) {
	c := newCongestion(100_000)
	c.startup = true
	c.start(90_000, 50_000, 90_000)
	c.want(t, "it doubles", 200_000)
	c.start(90_000, 50_000, 90_000)
	c.want(t, "three times what arrives", 270_000)
	c.start(90_000, 50_000, 20_000)
	c.want(t, "it does not fall", 270_000)
	c.round.limited = false
	c.start(90_000, 50_000, 90_000)
	c.want(t, "it was not used up", 270_000)
	c.round.limited = true
	for range 2 {
		c.start(62_499, 50_000, 62_499)
	}
	if c.start(62_500, 50_000, 62_500); c.stalled != 0 || !c.startup {
		t.Errorf("a quarter more arrives: %d rounds without progress, want 0; startup %v, want true", c.stalled, c.startup)
	}
	for range 2 {
		c.start(62_499, 50_000, 62_499)
	}
	if !c.startup {
		t.Error("startup has ended after two rounds without progress, want three")
	}
	c.start(62_499, 50_000, 62_499)
	if c.startup {
		t.Error("startup goes on after three rounds without progress")
	}
	c.want(t, "what arrives", 62_499)

	c = newCongestion(999_999)
	c.startup = true
	if c.start(900_000, 500_000, 900_000); !c.startup {
		t.Error("startup has ended before the ceiling")
	}
	c.want(t, "the ceiling", 1_000_000)
	if c.start(900_000, 500_000, 950_000); c.startup {
		t.Error("startup goes on at the ceiling")
	}
	c.want(t, "what arrives", 950_000)
}

// After the start the rate grows by 2 % a round and a little more, and by up to 8 % when it has
// caused no queue for a long time.
func TestFiguresOfGrowth(t *testing.T) {
	c := newCongestion(100_000)
	c.chance = 64 * ms
	rate := 100_000.0
	for i := 1; i <= 25; i++ {
		c.grow()
		step := 0.02
		if i > 15 {
			step += 0.01 * float64(min(i-15, 6))
		}
		rate = rate*(1+step) + 600
		c.want(t, "growth", rate)
		if i == 1 && c.chance != 63*ms {
			t.Errorf("the tolerance for chance is %v, want 63 ms", c.chance)
		}
	}
	c = newCongestion(20_000)
	c.grow()
	c.want(t, "a low rate", 20_000*1.04)
}

// A round in which packets waited, and one in which the arrivals do not follow, lower the rate.
// Other rounds raise it if it was used up.
func TestFiguresOfARound(t *testing.T) {
	const now = 2 * time.Second
	for _, c := range []struct {
		name           string
		change         func(c *congestion)
		rate, loss     float64 // what arrives, and is lost
		want, resume   float64
		before         float64
		startup, calms bool
	}{
		{"it was used up", func(c *congestion) {}, 100_000, 0, 102_600, 0, 0, false, true},
		{"it was not used up", func(c *congestion) { c.round.limited = false }, 50_000, 0, 100_000, 0, 0, false, true},
		{"packets wait", func(c *congestion) { c.round.steady = 80 * ms }, 80_000, 0, 56_000, 72_000, 100_000, false, false},
		{"packets wait, and more arrived before", func(c *congestion) { c.round.steady = 80 * ms; c.recent[3] = 90_000 }, 80_000, 0, 63_000, 81_000, 100_000, false, false},
		{"packets wait as long as allowed", func(c *congestion) { c.round.steady = 50*ms + c.allowance() }, 80_000, 0, 102_600, 0, 0, false, true},
		{"packets wait as long as allowed at the start", func(c *congestion) { c.startup = true; c.round.steady = 50*ms + c.allowance() }, 80_000, 0, 200_000, 0, 0, true, true},
		{"packets wait 40 ms too long", func(c *congestion) { c.round.steady = 50*ms + c.allowance() + longWait; c.recent[3] = 90_000 }, 80_000, 0, 63_000, 81_000, 100_000, false, false},
		{"packets wait for long", func(c *congestion) { c.round.steady = 150 * ms; c.recent[3] = 90_000 }, 80_000, 0, 32_000, 56_000, 100_000, false, false},
		{"packets wait, and a fifth is lost", func(c *congestion) { c.round.steady = 80 * ms }, 64_000, 0.2, 56_000, 72_000, 100_000, false, false},
		{"packets wait, and most are lost", func(c *congestion) { c.round.steady = 80 * ms }, 40_000, 0.9, 56_000, 72_000, 100_000, false, false},
		{"more arrives than is sent", func(c *congestion) { c.round.steady = 80 * ms }, 200_000, 0, 70_000, 90_000, 100_000, false, false},
		{"hardly anything arrives", func(c *congestion) { c.round.steady = 150 * ms }, 100, 0, 10_000, 10_000, 100_000, false, false},
		{"packets wait at the start", func(c *congestion) { c.startup = true; c.round.steady = 80 * ms }, 80_000, 0, 40_000, 68_000, 0, false, false},
		{"the start", func(c *congestion) { c.startup = true }, 80_000, 0, 200_000, 0, 0, true, true},
		{"what arrives does not follow", func(c *congestion) {
			c.slowRate, c.slowDelivery, c.refRate, c.refDelivery = 100_000, 60_000, 70_000, 60_000
		}, 60_000, 0, 70_000, 0, 0, false, false},
		{"the path is looked at", func(c *congestion) { c.probing = now + 1; c.round.steady = 150 * ms }, 60_000, 0, 100_000, 0, 0, false, true},
	} {
		x := newCongestion(100_000)
		x.calm = 5
		c.change(x)
		x.judge(now, c.rate, c.loss)
		x.want(t, c.name, c.want)
		if math.Abs(x.resume-c.resume) > 1e-6*c.resume || x.before != c.before || x.startup != c.startup || (x.calm > 0) != c.calms {
			t.Errorf("%s: resumes at %.0f, before %.0f, startup %v, calm for %d rounds", c.name, x.resume, x.before, x.startup, x.calm)
		}
		if c.resume > 0 {
			// Until the queue is empty at that share of what arrives, seen a round trip later.
			share := map[bool]float64{true: 0.4, false: 0.7}[c.name == "packets wait for long" || c.name == "hardly anything arrives"]
			if !x.startup && c.before == 0 {
				share = 0.5
			}
			want := now + 50*ms + minRound + time.Duration(float64(x.waited)/(1-share))
			if x.drainUntil != want || x.waited != x.round.steady-50*ms {
				t.Errorf("%s: drains until %v, want %v; packets waited for %v", c.name, x.drainUntil, want, x.waited)
			}
		}
	}
}

// The allowed wait of packets is 10 ms and the time of a packet, or the jitter, or the measured
// random part, each up to its limit.
func TestFiguresOfTheAllowance(t *testing.T) {
	for _, c := range []struct {
		rate           float64
		jitter, chance time.Duration
		want           time.Duration
	}{
		{MaxPacket * 100, 0, 0, 20 * ms}, {MaxPacket * 10, 0, 0, 50 * ms}, {MaxPacket * 1000, 5 * ms, 0, 30 * ms}, {MaxPacket * 1000, time.Second, 0, 210 * ms},
		{MaxPacket * 1000, 10 * ms, 70 * ms, 80 * ms}, {MaxPacket * 1000, 5 * ms, 70 * ms, 60 * ms}, {MaxPacket * 1000, 50 * ms, time.Second, 210 * ms},
	} {
		x := newCongestion(c.rate)
		x.rate, x.jitter, x.chance = c.rate, c.jitter, c.chance
		if got := x.allowance(); got != c.want {
			t.Errorf("rate %.0f, jitter %v, chance %v: %v, want %v", c.rate, c.jitter, c.chance, got, c.want)
		}
	}
	x := newCongestion(MaxPacket * 100)
	x.round.steady, x.round.shortest = 100*ms, 90*ms
	if e := x.excess(); e != 30*ms {
		t.Errorf("excess() = %v, want 30 ms", e)
	}
	x.round.limited, x.round.shortest = false, 180*ms
	if e := x.excess(); e != 30*ms {
		t.Errorf("excess() = %v, want 30 ms", e)
	}
	x.round.shortest = 136 * ms
	if e, want := x.excess(), 136*ms-50*ms-20*ms-25*ms-40*ms; e != want {
		t.Errorf("packets of a sender that does not use its rate up wait %v too long, want %v", e, want)
	}
}

// A round trip moves the jitter by a sixteenth, and counts as steady if the two before
// it were as long. The shortest is that of the path.
func TestFiguresOfASample(t *testing.T) {
	var c congestion
	c.init(100_000, 10_000, 1_000_000)
	if c.round.shortest != math.MaxInt64 || !c.startup || c.rate != 100_000 {
		t.Errorf("after the reset: %+v", c)
	}
	for i, s := range []struct {
		d                                time.Duration
		jitter, steady, shortest, minRTT time.Duration
		minAt                            moment
	}{
		{80 * ms, 0, 0, 80 * ms, 80 * ms, 1},
		{96 * ms, ms, 0, 80 * ms, 80 * ms, 1},
		{96 * ms, ms - ms/16, 80 * ms, 80 * ms, 80 * ms, 1},
		{90 * ms, (ms - ms/16) + (6*ms-(ms-ms/16))/16, 90 * ms, 80 * ms, 80 * ms, 1},
		{80 * ms, -1, 90 * ms, 80 * ms, 80 * ms, 5},
		{70 * ms, -1, 90 * ms, 70 * ms, 70 * ms, 6},
	} {
		c.sample(moment(i+1), s.d)
		if c.round.steady != s.steady || c.round.shortest != s.shortest || c.minRTT != s.minRTT || c.minAt != s.minAt || s.jitter >= 0 && c.jitter != s.jitter {
			t.Errorf("sample %d: steady %v, shortest %v, minRTT %v at %d, jitter %v", i, c.round.steady, c.round.shortest, c.minRTT, c.minAt, c.jitter)
		}
	}
}

// A round ends when a packet that was sent in it is acknowledged, no sooner than after
// 50 ms, or half of that if packets wait in it.
func TestFiguresOfTheEndOfARound(t *testing.T) {
	for _, c := range []struct {
		name    string
		after   time.Duration
		largest uint64
		change  func(c *congestion)
		ends    bool
	}{
		{"a packet of it", 50 * ms, 10, nil, true},
		{"a packet of the one before", 50 * ms, 9, nil, false},
		{"too soon", 50*ms - 1, 10, nil, false},
		{"packets wait", 25*ms + 1, 9, func(c *congestion) { c.round.steady = 80 * ms }, true},
		{"packets wait, too soon", 25 * ms, 9, func(c *congestion) { c.round.steady = 80 * ms }, false},
		{"packets wait no longer than allowed", 40 * ms, 9, func(c *congestion) { c.round.steady = 50*ms + c.allowance() }, false},
		{"packets wait in what is not used up", 40 * ms, 9, func(c *congestion) { c.round.steady, c.round.shortest, c.round.limited = 500*ms, 500*ms, false }, false},
		{"packets wait on a reliable link", 40 * ms, 9, func(c *congestion) { c.reliable, c.round.steady = true, 500*ms }, false},
		{"packets wait while it is drained", 40 * ms, 9, func(c *congestion) { c.round.steady, c.resume, c.waited = 80*ms, 50_000, 100*ms }, false},
		{"the queue grows while it is drained", 40 * ms, 9, func(c *congestion) {
			c.round.steady, c.resume, c.waited, c.before = 500*ms, 50_000, 100*ms, 100_000
		}, true},
	} {
		x := newCongestion(100_000)
		x.round.end, x.round.sent = 10, 5000
		if c.change != nil {
			c.change(x)
		}
		x.acked(time.Second+c.after, c.largest, 77, 3000, 0)
		if ended := x.round.end == 77; ended != c.ends {
			t.Errorf("%s: the round ends: %v, want %v", c.name, ended, c.ends)
		}
		if x.delivered != 3000 || c.ends && (x.round.at != time.Second+c.after || x.round.delivered != 3000 || x.round.shortest != math.MaxInt64 || x.round.limited) {
			t.Errorf("%s: the next round is %+v", c.name, x.round)
		}
	}
	// What arrived in it is reckoned by the time it took; and the rate was used up if
	// more than 70 % of it was sent.
	for sent, want := range map[int]float64{7_000: 100_000, 7_001: 102_600} {
		x := newCongestion(100_000)
		x.delivered, x.round.delivered, x.round.sent = 1000, 1000, sent
		x.acked(time.Second+100*ms, 10, 77, 6000, 0)
		x.want(t, "used up", want)
		if d := x.delivery(); math.Abs(d-60_000) > 1e-6 {
			t.Errorf("delivery() = %.1f, want 60,000", d)
		}
	}
	x := newCongestion(100_000)
	x.round.limited, x.round.sent = false, 100_000
	x.acked(time.Second+100*ms, 10, 77, 6000, 0)
	x.want(t, "the pacer was never waited for", 100_000)
	x = &congestion{}
	x.init(100_000, 10_000, 1_000_000)
	x.acked(5, 3, 4, 1000, 0)
	if x.round.end != 4 || x.round.at != 5 || x.round.delivered != 1000 {
		t.Errorf("after the first acknowledgement the round is %+v", x.round)
	}
}

// The delivery is the largest arrival in one of ten rounds. A round that was not used up counts
// only if more arrived in it.
func TestFiguresOfTheDelivery(t *testing.T) {
	c := newCongestion(100_000)
	c.judge(2*time.Second, 80_000, 0)
	c.round.limited = false
	for _, r := range []struct{ rate, want float64 }{{70_000, 80_000}, {80_000, 80_000}, {90_000, 90_000}} {
		if c.judge(2*time.Second, r.rate, 0); c.delivery() != r.want {
			t.Errorf("%.0f arrived: %.0f, want %.0f", r.rate, c.delivery(), r.want)
		}
	}
	if c.rounds != 2 {
		t.Errorf("%d rounds are counted, want 2", c.rounds)
	}
	c.round.limited = true
	for i := range 10 {
		want := 90_000.0
		if i == 9 {
			want = 50_000 // ten rounds later
		}
		if c.judge(2*time.Second, 50_000, 0); c.delivery() != want {
			t.Errorf("%d rounds later: %.0f, want %.0f", i+1, c.delivery(), want)
		}
	}
}

// When the queue should be empty the rate continues a little below the rate of arrival; or at
// the rate of before, if packets still wait as they did, and jitter explains that.
func TestFiguresOfTheEndOfDraining(t *testing.T) {
	for _, c := range []struct {
		name                 string
		at                   moment
		before               float64
		waited, left, jitter time.Duration
		want                 float64
		chance               time.Duration
	}{
		{"too soon", 2*time.Second - 1, 100_000, 60 * ms, 0, 0, 30_000, 80 * ms},
		{"it is empty", 2 * time.Second, 100_000, 60 * ms, 0, 30 * ms, 70_000, 40 * ms},
		{"packets wait half as long", 2 * time.Second, 100_000, 60 * ms, 30 * ms, 30 * ms, 100_000, 80 * ms},
		{"packets wait less than half as long", 2 * time.Second, 100_000, 60 * ms, 30*ms - 1, 30 * ms, 70_000, 40 * ms},
		{"packets wait twice as long", 2 * time.Second, 100_000, 60 * ms, 120 * ms, 30 * ms, 100_000, 120 * ms},
		{"packets wait more than twice as long", 2 * time.Second, 100_000, 60 * ms, 120*ms + 1, 30 * ms, 70_000, 40 * ms},
		{"jitter just explains it", 2 * time.Second, 100_000, 300 * ms, 300 * ms, 30 * ms, 100_000, 300 * ms},
		{"jitter does not explain it", 2 * time.Second, 100_000, 300*ms + 1, 300 * ms, 30 * ms, 70_000, 40 * ms},
		{"our packets are the jitter", 2 * time.Second, 100_000, 60 * ms, 60 * ms, 22 * ms, 70_000, 40 * ms},
		{"the jitter is just more than our packets", 2 * time.Second, 115_000, 60 * ms, 60 * ms, 20 * ms, 115_000, 80 * ms},
		{"it was the start", 2 * time.Second, 0, 60 * ms, 60 * ms, 30 * ms, 70_000, 40 * ms},
	} {
		x := newCongestion(30_000)
		x.round.at, x.drainUntil, x.resume = c.at, 2*time.Second, 70_000
		x.before, x.waited, x.jitter, x.round.steady, x.chance = c.before, c.waited, c.jitter, 50*ms+c.left, 80*ms
		x.minAt = 3 * time.Second
		x.judge(3*time.Second, 30_000, 0)
		x.want(t, c.name, c.want)
		if x.chance != c.chance || (x.resume == 0) != (c.name != "too soon") {
			t.Errorf("%s: waits that are chance are %v, want %v; goes on with %.0f", c.name, x.chance, c.chance, x.resume)
		}
	}
}

// The queue is worse than thought if packets wait twice as long as before it was drained
// and 160 ms, and the rate was well above the floor.
func TestFiguresOfAQueueThatIsWorse(t *testing.T) {
	for _, c := range []struct {
		before, resume float64
		wait           time.Duration
		want           bool
	}{
		{100_000, 50_000, 260*ms + 1, true}, {100_000, 50_000, 260 * ms, false}, {100_000, 0, time.Second, false},
		{80_001, 50_000, time.Second, true}, {80_000, 50_000, time.Second, false},
	} {
		x := newCongestion(50_000)
		x.before, x.resume, x.waited, x.round.steady = c.before, c.resume, 50*ms, 50*ms+c.wait
		if got := x.worse(); got != c.want {
			t.Errorf("worse() of %+v = %v, want %v", c, got, c.want)
		}
	}
}

// The arrivals follow if they have grown by 5 % when the sent bytes have grown by 25 %.
func TestFiguresOfWhatFollows(t *testing.T) {
	c := newCongestion(100_000)
	if !c.follows(80_000) || c.slowRate != 100_000 || c.slowDelivery != 80_000 || c.refRate != 100_000 || c.refDelivery != 80_000 {
		t.Errorf("after the first round: %+v", c)
	}
	if c.follows(72_000); c.slowDelivery != 79_000 || c.refDelivery != 80_000 {
		t.Errorf("the same rate is sent: the delivery is compared with %.0f", c.refDelivery)
	}
	c.slowDelivery = 80_000
	c.rate = 108_000
	if !c.follows(88_000) || c.slowRate != 101_000 || c.slowDelivery != 81_000 || c.refRate != 100_000 {
		t.Errorf("the averages move by an eighth: rate %.0f, want 101,000; delivery %.0f, want 81,000", c.slowRate, c.slowDelivery)
	}
	c.rate = 61_000
	if !c.follows(41_000) || c.slowRate != 96_000 || c.refRate != 96_000 || c.refDelivery != 76_000 {
		t.Errorf("less is sent than ever: the reference is %.0f and %.0f, want 96,000 and 76,000", c.refRate, c.refDelivery)
	}
	for _, s := range []struct {
		slow, delivery float64
		follows, moves bool
	}{{124_999, 80_000, true, false}, {125_000, 84_000, true, true}, {125_000, 83_999, false, false}} {
		c := newCongestion(s.slow)
		c.slowRate, c.slowDelivery, c.refRate, c.refDelivery = s.slow, s.delivery, 100_000, 80_000
		if got := c.follows(s.delivery); got != s.follows || (c.refRate == s.slow && c.refDelivery == s.delivery) != s.moves {
			t.Errorf("%.0f sent, %.0f arrive: follows %v, want %v; the reference is %.0f", s.slow, s.delivery, got, s.follows, c.refRate)
		}
		if !s.follows && c.slowRate != 0.7*s.slow {
			t.Errorf("reckons with %.0f, want the lowered rate", c.slowRate)
		}
	}
}

// A shortest round trip that is more than ten seconds old is looked for again: for two
// round trips, and 200 ms at least, half of the rate is sent, unless little was sent
// anyway.
func TestFiguresOfALookAtThePath(t *testing.T) {
	const old = time.Second + minRTTAge
	c := newCongestion(100_000)
	if c.refresh(old); c.probing != 0 {
		t.Error("a minimum of ten seconds ago is measured again, want later")
	}
	if c.refresh(old + 1); c.probing != old+1+200*ms || c.minRTT != 50*ms {
		t.Errorf("the probe lasts until %v, want 200 ms; minRTT %v, want 50 ms", c.probing, c.minRTT)
	}
	c.round.shortest = 70 * ms
	if c.refresh(old + 200*ms); c.probing == 0 || c.minRTT != 50*ms {
		t.Errorf("the probe has ended too early, or minRTT is %v, want 50 ms", c.minRTT)
	}
	if c.refresh(old + 1 + 200*ms); c.probing != 0 || c.minRTT != 70*ms || c.minAt != old+1+200*ms {
		t.Errorf("after the probe: minRTT %v at %v, want 70 ms", c.minRTT, c.minAt)
	}
	c.minRTT, c.minAt = 300*ms, time.Second
	if c.refresh(old + 1); c.probing != old+1+600*ms {
		t.Errorf("the probe lasts until %v, want 600 ms", c.probing)
	}
	reliable := newCongestion(100_000)
	reliable.reliable = true
	if reliable.refresh(old + 1); reliable.probing != old+1+300*ms {
		t.Errorf("on a reliable link the probe lasts until %v, want twice 50 ms and queueTime", reliable.probing)
	}
	c.round.shortest = math.MaxInt64 // nothing was heard
	if c.refresh(time.Hour); c.minRTT != 10*time.Second {
		t.Errorf("minRTT = %v, want 10 s", c.minRTT)
	}

	c = newCongestion(100_000)
	c.round.limited, c.round.shortest = false, 70*ms
	if c.refresh(old + 1); c.probing != 0 || c.minRTT != 70*ms || c.minAt != old+1 {
		t.Errorf("little was sent: minRTT %v at %v, want 70 ms without a probe", c.minRTT, c.minAt)
	}
	c = newCongestion(100_000)
	c.round.limited, c.round.shortest, c.round.steady = false, 70*ms, 0
	if c.refresh(old + 1); c.minRTT != 50*ms {
		t.Errorf("too little was sent: minRTT %v, want 50 ms", c.minRTT)
	}
	c = newCongestion(100_000)
	c.minRTT = 0
	if c.refresh(time.Hour); c.probing != 0 {
		t.Error("a probe before the first round trip")
	}
}
