package game

import (
	"math"
	"slices"
	"testing"
	"time"
)

var noon = time.Unix(0, 0)

func at(ms float64) time.Time { return noon.Add(time.Duration(ms * 1e6)) }

func TestClockBeforeTheFirstMessage(t *testing.T) {
	c := NewClock(ClockConfig{})
	if c.Now(at(5)) != 0 || c.Ahead(at(5)) != 0 || c.Lead() != 0 {
		t.Error("a clock that has heard nothing has a time")
	}
	for tick := range c.Due(at(10)) {
		if tick != 0 {
			t.Errorf("an input is due for tick %d", tick)
		}
	}
	c.Hear(at(1000), 20, 100*time.Millisecond)
	if got := c.Now(at(1000)); got != 21 {
		t.Errorf("with half a round trip it is %v, want 21", got)
	}
	if got := c.Now(at(900)); got != 21 {
		t.Errorf("the local clock goes back: %v, want 21", got)
	}
	if got := c.Ahead(at(1025)); math.Abs(got-(21.5+1+1.5)) > 1e-9 {
		t.Errorf("the time of inputs is %v, want 24", got)
	}
}

func TestDueAfterAPause(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	var all []uint32
	for _, ms := range []float64{0, 25, 75, 75, 10_000} {
		all = slices.AppendSeq(all, c.Due(at(ms)))
	}
	want := []uint32{102, 103, 294, 295, 296, 297, 298, 299, 300, 301}
	if !slices.Equal(all, want) {
		t.Errorf("inputs are due for %v, want %v", all, want)
	}
}

func TestLeadHasALimit(t *testing.T) {
	c := NewClock(ClockConfig{MaxLead: 200 * time.Millisecond})
	c.Hear(at(0), 100, time.Minute)
	if got := c.Lead(); got != 4 {
		t.Errorf("the lead is %v ticks, want 4", got)
	}
	if c := NewClock(ClockConfig{MaxLead: -time.Second}); c.most != 0 {
		t.Errorf("with a negative limit the lead is up to %v ticks, want 0", c.most)
	}
	for _, early := range []int{math.MinInt, math.MaxInt, -3} {
		c.Early(early)
		if c.spare < 0 || c.spare > 4 {
			t.Errorf("after %d the lead has %v ticks to spare, want 0 to 4", early, c.spare)
		}
	}
}

// TestAheadNeverRunsBackwards has a lead that falls as fast as it may while the clock is nearly stopped.
func TestAheadNeverRunsBackwards(t *testing.T) {
	c := NewClock(ClockConfig{Slew: 9})
	c.Hear(at(0), 100, 0)
	c.Early(-7)
	c.Now(at(5000))
	c.Now(at(6000))
	if c.Lead() < 9 {
		t.Fatalf("the lead is %v, want 9 to begin with", c.Lead())
	}
	last := c.Ahead(at(6000))
	for ms := 6010.0; ms < 8000; ms += 10 {
		c.Hear(at(ms), 100, 0) // the server stands still
		c.Early(30)
		ahead := c.Ahead(at(ms))
		if ahead < last-1e-9 {
			t.Fatalf("after %v ms the time of inputs goes back from %v to %v", ms, last, ahead)
		}
		last = ahead
	}
	if c.Lead() > 8 {
		t.Errorf("the lead is %v, want one that has fallen", c.Lead())
	}
}

// TestTicksEnd has a server whose ticks are at their end. No input is due for a tick that begins again at 0.
func TestTicksEnd(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), math.MaxUint32-4, 0)
	var all []uint32
	for ms := 0.0; ms < 1000; ms += 10 {
		all = slices.AppendSeq(all, c.Due(at(ms)))
	}
	if want := []uint32{math.MaxUint32 - 2, math.MaxUint32 - 1, math.MaxUint32}; !slices.Equal(all, want) {
		t.Errorf("inputs are due for %v, want %v", all, want)
	}
}

func TestSnapshotsInAnyOrder(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	s := NewSnapshots[string](c, SnapshotsConfig{MinDelay: 100 * time.Millisecond})
	if _, _, _, ok := s.At(at(0)); ok {
		t.Error("there is a state before the first")
	}
	for _, tick := range []uint32{90, 91, 98} {
		s.Add(at(0), tick, "")
	}
	if _, _, share, ok := s.At(at(0)); share != 0 || !ok || s.Shown() != 90 {
		t.Errorf("before the delay is computed, the time shown is %v, want that of the first state", s.Shown())
	}
	for s.needs = s.needs[:0]; len(s.needs) < firstSamples; {
		s.needs = append(s.needs, 2) // as if they had come as late as MinDelay
	}
	s.states = nil
	for _, tick := range []uint32{98, 100, 99, 99, 97} {
		s.Add(at(0), tick, map[uint32]string{97: "a", 98: "b", 99: "c", 100: "d"}[tick])
	}
	for _, c := range []struct {
		ms       float64
		from, to string
		share    float64
	}{
		{0, "b", "c", 0}, {25, "b", "c", 0.5}, {75, "c", "d", 0.5}, {100, "c", "d", 1}, {125, "c", "d", 1.5},
		{200, "c", "d", 3}, {300, "c", "d", 3},
	} {
		from, to, share, ok := s.At(at(c.ms))
		if from != c.from || to != c.to || math.Abs(share-c.share) > 1e-9 || !ok {
			t.Errorf("after %v ms: %q, %q, %v; want %q, %q, %v", c.ms, from, to, share, c.from, c.to, c.share)
		}
	}
	if got := s.Shown(); got != 102 {
		t.Errorf("the time shown is %v, want 102: 100 ms after the newest state", got)
	}
	for tick := range uint32(1000) {
		s.Add(at(0), 200+tick, "")
	}
	s.Add(at(0), 1199, "again")
	if len(s.states) != maxSnapshots || s.states[0].tick != 1200-maxSnapshots {
		t.Errorf("%d states from %v on are kept, want the last %d", len(s.states), s.states[0].tick, maxSnapshots)
	}
	s.Add(at(0), 50, "old")
	if len(s.states) != maxSnapshots || s.states[0].value == "old" {
		t.Error("a state that is older than all replaces one")
	}
}

// TestStatesThatAreAllTooNew shows the first one until its time has come.
func TestStatesThatAreAllTooNew(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	s := NewSnapshots[int](c, SnapshotsConfig{MinDelay: time.Second, MaxDelay: time.Millisecond}) // MinDelay counts
	for tick := range uint32(5) {
		s.Add(at(0), 96+tick, int(tick))
	}
	if from, to, share, ok := s.At(at(0)); from != 0 || to != 0 || share != 0 || !ok || s.Shown() != 96 || s.Delay() != 20 {
		t.Errorf("%d, %d, %v, %t at %v, %v late; want the first state, 20 late", from, to, share, ok, s.Shown(), s.Delay())
	}
	if from, to, share, _ := s.At(at(825)); from != 0 || to != 1 || math.Abs(share-0.5) > 1e-9 {
		t.Errorf("%d, %d, %v; want the middle of the first two", from, to, share)
	}
}

func TestRoundTripThatIsNotKnown(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	c.Hear(at(50), 101, 100*time.Millisecond)
	c.Hear(at(100), 102, 0)
	c.Now(at(10_000))
	if got := c.Now(at(20_000)); math.Abs(got-501) > 1e-9 {
		t.Errorf("the time is %v, want 501 with half of the one round trip that is known", got)
	}
}

// TestLeadChangesOnceForOneDelay gives the clock reports that were sent before the server could see the effect.
func TestLeadChangesOnceForOneDelay(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	for range 5 {
		c.Early(-2)
	}
	c.Now(at(10_000))
	if got := c.Now(at(20_000)); math.Abs(c.Lead()-4.5) > 1e-9 {
		t.Errorf("at %v the lead is %v, want 4.5: 3 more", got, c.Lead())
	}
	for range 5 {
		c.Early(11)
	}
	c.Now(at(22_000))
	if c.Now(at(24_000)); math.Abs(c.Lead()-3.5) > 1e-9 {
		t.Errorf("the lead is %v, want 3.5: it falls once for one delay, too", c.Lead())
	}
	c.Early(11)
	c.Early(-1) // the lead falls, and inputs are late already
	c.Early(1)
	c.Early(11)
	c.Now(at(30_000))
	if c.Now(at(40_000)); math.Abs(c.Lead()-3.5) > 1e-9 {
		t.Errorf("the lead is %v, want 3.5: it falls by a tenth of what is too much", c.Lead())
	}
	c.Early(6)
	c.Early(6) // a fall of half a tick is no reason to wait
	c.Now(at(50_000))
	if c.Now(at(60_000)); math.Abs(c.Lead()-2.5) > 1e-9 {
		t.Errorf("the lead is %v, want 2.5", c.Lead())
	}
}

// TestReportsDuringARise gives the clock reports while the lead is behind the wanted one. A report that asks
// for less counts, and one that asks for more counts again when at most half a tick is missing.
func TestReportsDuringARise(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	for _, r := range []struct {
		early  int
		wanted float64
	}{{0, 2.5}, {0, 2.5}, {6, 2}, {0, 3}} {
		if c.Early(r.early); math.Abs(c.wanted()-r.wanted) > 1e-9 {
			t.Errorf("after a report of %d the wanted lead is %v, want %v", r.early, c.wanted(), r.wanted)
		}
	}
}

// TestSpeedOfTheClock gives the clock an error of exactly 250 ms, and a larger one.
func TestSpeedOfTheClock(t *testing.T) {
	for _, r := range []struct {
		tick uint32
		now  float64
	}{{106, 102.05}, {107, 102.6}} {
		c := NewClock(ClockConfig{})
		c.Hear(at(0), 100, 0)
		c.Hear(at(50), r.tick, 0) // the clock says 101
		if got := c.Now(at(100)); math.Abs(got-r.now) > 1e-9 {
			t.Errorf("with an error of %d ticks the clock says %v a tick later, want %v", r.tick-101, got, r.now)
		}
	}
}

func TestFirstStateIsShownAlone(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	s := NewSnapshots[int](c, SnapshotsConfig{Beyond: -1, MinDelay: time.Second, MaxDelay: time.Millisecond})
	s.Add(at(0), 100, 7)
	for _, ms := range []float64{0, 100, 5000} {
		if from, to, share, ok := s.At(at(ms)); from != 7 || to != 7 || share != 0 || !ok {
			t.Errorf("after %v ms: %d, %d, %v, %t; want the only state", ms, from, to, share, ok)
		}
	}
	if s.Delay() != 20 || s.Shown() != 100 {
		t.Errorf("the delay is %v ticks and the time shown is %v, want 20 and 100", s.Delay(), s.Shown())
	}
}

// newOwn returns a Prediction that moves by its inputs and has the inputs up to tick.
func newOwn(c *Clock, tick uint32) *Prediction[float64, float64] {
	p := NewPrediction(c, PredictionConfig[float64, float64]{
		Step:       func(s, in float64) float64 { return s + in },
		Mix:        func(a, b, share float64) float64 { return a + (b-a)*share },
		Jump:       func(shown, right float64) bool { return math.Abs(shown-right) > 50 },
		MaxPending: 8,
	})
	for n := uint32(101); n <= tick; n++ {
		p.Input(n, 1)
	}
	return p
}

func TestPredictionReplaysInputs(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	p := newOwn(c, 105)
	if _, ok := p.At(at(0)); ok {
		t.Error("there is a state before the server's first")
	}
	p.Correct(at(0), 102, 10) // the inputs of 103, 104 and 105 follow
	if p.before != 12 || p.after != 13 {
		t.Errorf("the states are %v and %v, want 12 and 13", p.before, p.after)
	}
	p.Input(106, 5)
	if got := p.Recent(nil, 3); !slices.Equal(got, []float64{5, 1, 1}) || p.Tick() != 106 {
		t.Errorf("the recent inputs are %v of tick %d, want 5, 1, 1 of 106", got, p.Tick())
	}
	if got := p.Recent(nil, 9); len(got) != 4 {
		t.Errorf("%d inputs are not acknowledged, want 4", len(got))
	}
	p.Correct(at(0), 102, 1000) // the same tick again
	p.Correct(at(0), 101, 1000) // and an older one
	if p.after != 18 {
		t.Errorf("the state is %v, want 18: an old state changes nothing", p.after)
	}
	p.Input(106, 1000) // the same tick again
	if p.after != 18 {
		t.Errorf("the state is %v, want 18: a tick has one input", p.after)
	}
	p.Correct(at(0), 106, 18)
	if len(p.pending) != 0 || p.after != 18 {
		t.Errorf("%d inputs wait, and the state is %v; want none, and 18", len(p.pending), p.after)
	}
	p.Correct(at(0), 120, 30) // the server is ahead of this client
	p.Input(110, 1)
	p.Input(121, 1)
	if p.Tick() != 121 || p.after != 31 {
		t.Errorf("tick %d, state %v; want 121 and 31", p.Tick(), p.after)
	}
	p.Input(130, 1) // after a pause
	if got := p.Recent(nil, 9); !slices.Equal(got, []float64{1}) {
		t.Errorf("after a pause the recent inputs are %v, want one", got)
	}
	for n := uint32(131); n < 200; n++ {
		p.Input(n, 1)
	}
	if got := p.Recent(nil, 99); len(got) != 8 || cap(p.pending) > 16 {
		t.Errorf("%d inputs wait in %d places, want 8", len(got), cap(p.pending))
	}
}

func TestCorrectionIsSmooth(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	p := newOwn(c, 101)
	p.Correct(at(0), 100, 0)
	shown := func(ms, want float64) {
		t.Helper()
		if got, _ := p.At(at(ms)); math.Abs(got-want) > 1e-9 {
			t.Errorf("after %v ms %v is shown, want %v", ms, got, want)
		}
	}
	p.Input(102, 0)
	shown(100, 1)
	p.Correct(at(100), 102, 9) // 8 more than predicted
	shown(100, 1)
	shown(150, 5)
	shown(200, 7)
	p.Correct(at(200), 103, 9) // right this time
	shown(200, 7)
	shown(250, 8)
	shown(1000, 9)
	if p.correcting {
		t.Error("the correction is never over")
	}
	p.Correct(at(1000), 104, 100) // as far as a new place
	shown(1000, 100)
}

// TestServerIsAheadOfTheInputs has a client that made no inputs for a while: the server's state is of a later tick than the newest
// input. What is shown does not jump, and goes smoothly to the server's state.
func TestServerIsAheadOfTheInputs(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	p := newOwn(c, 101)
	p.Correct(at(0), 100, 0)
	p.Input(102, 4)
	want := func(ms, want float64) {
		t.Helper()
		if got, _ := p.At(at(ms)); math.Abs(got-want) > 1e-9 {
			t.Errorf("after %v ms %v is shown, want %v", ms, got, want)
		}
	}
	want(40, 2.2) // 0.3 of the way from 1 to 5
	p.Correct(at(40), 110, 20)
	want(40, 2.2)
	want(90, 11.1)
	p.Correct(at(90), 112, 30) // and once more
	want(90, 11.1)
	p.Input(113, 2)
	want(90, 11.1)
	want(1000, 32)
}

// TestStateOfTheNewestInput has a state of the tick of the newest input: what is shown goes on to where that input leads.
func TestStateOfTheNewestInput(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	p := newOwn(c, 101)
	p.Correct(at(0), 100, 0)
	p.Input(102, 4)
	p.Correct(at(40), 102, 5)
	for _, c := range []struct{ ms, want float64 }{{40, 2.2}, {90, 5}} {
		if got, _ := p.At(at(c.ms)); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("after %v ms %v is shown, want %v", c.ms, got, c.want)
		}
	}
}

// TestFirstStateIsNotMixed: before the first state of the server there is none to mix it with.
func TestFirstStateIsNotMixed(t *testing.T) {
	p := NewPrediction(NewClock(ClockConfig{}), PredictionConfig[*int, int]{
		Step: func(s *int, _ int) *int { return s },
		Mix:  func(a, b *int, _ float64) *int { t.Error("states are mixed"); return b },
	})
	p.Input(3, 1)
	p.Correct(at(0), 5, new(int))
}

func TestCorrectionAtOnce(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 100, 0)
	p := newOwn(c, 101)
	p.config.HalfLife = -1
	p.Correct(at(0), 100, 0)
	p.Correct(at(10), 101, 9)
	for _, ms := range []float64{10, 50, 5000} {
		if got, _ := p.At(at(ms)); got != 9 {
			t.Errorf("after %v ms %v is shown, want 9: a negative HalfLife means at once", ms, got)
		}
	}
}

// TestCorrectionsInTheMiddleOfATick corrects while a correction is shown, between two ticks: nothing jumps.
func TestCorrectionsInTheMiddleOfATick(t *testing.T) {
	c := NewClock(ClockConfig{})
	c.Hear(at(0), 0, 0) // tick 0 is a tick like others
	p := newOwn(c, 0)
	p.Correct(at(0), 0, 0)
	if _, ok := p.At(at(0)); !ok {
		t.Fatal("the state of tick 0 does not count")
	}
	for n := range uint32(3) {
		p.Input(n+1, 4)
	}
	const ms = 100 // ahead is 3.5
	for i, place := range []float64{10, -5, 20} {
		before, _ := p.At(at(ms + float64(10*i)))
		p.Correct(at(ms+float64(10*i)), uint32(i+1), place)
		if after, _ := p.At(at(ms + float64(10*i))); math.Abs(after-before) > 1e-9 {
			t.Errorf("correction %d: what is shown jumps from %v to %v", i, before, after)
		}
	}
}

func TestFinite(t *testing.T) {
	if !Finite() || !Finite(0, -1e308, 5) || Finite(1, math.NaN()) || Finite(math.Inf(1)) || Finite(math.Inf(-1)) {
		t.Error("Finite is wrong")
	}
}
