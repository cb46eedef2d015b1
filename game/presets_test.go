package game

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// fivePercent is a path with a round trip of 100 ms.
var fivePercent = netsim.Preset{
	Name: "5 %",
	Up:   netsim.Link{Delay: 50 * time.Millisecond, Loss: 0.05},
	Down: netsim.Link{Delay: 50 * time.Millisecond, Loss: 0.05},
}

// TestGameOverBadNetworks plays a minute over each network. The clock is right, and what is shown of
// others goes on; nearly all inputs are in time; and the own player goes at its speed.
func TestGameOverBadNetworks(t *testing.T) {
	for _, p := range append(netsim.Presets(), fivePercent) {
		for _, tick := range []time.Duration{50 * time.Millisecond, time.Second / 60} {
			t.Run(fmt.Sprint(p.Name, "/", tick), func(t *testing.T) { play(t, tick, p) })
		}
	}
}

func play(t *testing.T, tick time.Duration, p netsim.Preset) {
	jitter := max(p.Up.Jitter, p.Down.Jitter)
	outages := 0.0 // share of the time
	if p.Up.Outage > 0 {
		outages = p.Up.Outage.Seconds() / p.Up.OutageEvery.Seconds()
	}
	w := newWorld(t, tick, p)
	w.run(10 * time.Second)

	start := w.inputs.Stats()
	clock, shown, own := 0.0, w.others.Shown(), 0.0
	var off, step, delay float64
	frames, gaps := 0, 0
	w.frame = func() {
		now := w.clock.Now(w.now)
		went := (now - clock) * tick.Seconds() / frameTime.Seconds()
		if clock = now; frames > 0 && (went < 0.949 || went > 1.051) {
			t.Fatalf("the clock has %.3f times the speed of the local one", went)
		}
		off = max(off, math.Abs(now-w.serverTime())*tick.Seconds())

		a, b, share, _ := w.others.At(w.now)
		at := a + (b-a)*share
		if at < shown {
			t.Fatalf("what is shown of others goes back from %v to %v", shown, at)
		}
		shown = at
		delay = max(delay, w.others.Delay()*tick.Seconds())
		if frames++; share > 1 {
			gaps++
		}

		s, _ := w.own.At(w.now)
		if frames > 1 {
			step = max(step, math.Abs(s-own)*tick.Seconds()/frameTime.Seconds())
		}
		own = s
	}
	w.run(50 * time.Second)
	end := w.inputs.Stats()
	missing := float64(end.Missing-start.Missing) / (50 / tick.Seconds())

	t.Logf("clock off by %.1f ms; others %.0f ms late, %.1f %% of the frames without the next state; own step %.2f; lead %.0f ms, %.2f %% of the inputs missing",
		1000*off, 1000*delay, 100*float64(gaps)/float64(frames), step, 1000*w.clock.Lead()*tick.Seconds(), 100*missing)
	if limit := 0.002 + 0.35*jitter.Seconds(); off > limit {
		t.Errorf("the clock is off by %.1f ms, want at most %.1f", 1000*off, 1000*limit)
	}
	if share, limit := float64(gaps)/float64(frames), 0.07+outages; share > limit {
		t.Errorf("%.1f %% of the frames are without the next state, want at most %.1f", 100*share, 100*limit)
	}
	// A state is needed one tick early; a second one for a loss; half of the jitter is in the estimate of the path.
	if limit := (p.Down.Delay + jitter + 2*tick).Seconds() + 0.03; delay > limit {
		t.Errorf("others are shown %.0f ms late, want at most %.0f", 1000*delay, 1000*limit)
	}
	if limit := 0.015 + 1.3*outages; missing > limit {
		t.Errorf("%.2f %% of the inputs are missing, want at most %.2f", 100*missing, 100*limit)
	}
	// Without an outage nothing but the speed of the ticks makes a step larger than a tick's.
	if outages == 0 && step > 1.12 {
		t.Errorf("the own player moves at %.2f times its speed, want 1", step)
	}
}

// TestOwnPlayerAnswersAtOnce steers here and there. The player is seen to move within a tick and a
// frame, and never faster than its speed and what corrections need.
func TestOwnPlayerAnswersAtOnce(t *testing.T) {
	const tick = 50 * time.Millisecond
	w := newWorld(t, tick, fivePercent)
	w.steer = func(uint32) float64 { return 0 }
	w.run(5 * time.Second)

	last, step := math.NaN(), 0.0
	w.frame = func() {
		s, _ := w.own.At(w.now)
		if !math.IsNaN(last) {
			step = max(step, math.Abs(s-last))
		}
		last = s
	}
	slowest := time.Duration(0)
	for i := range 100 {
		to := float64(i%3 - 1)
		before := last
		w.steer = func(uint32) float64 { return to }
		pressed := w.now
		if i%3 == 2 { // from left to right
			for !(last > before) {
				before = min(before, last)
				if w.run(frameTime); w.now.Sub(pressed) > time.Second {
					t.Fatal("the player does not move")
				}
			}
			slowest = max(slowest, w.now.Sub(pressed))
		}
		w.run(time.Duration(150+i) * time.Millisecond)
	}
	t.Logf("the player answers within %v; the largest step in a frame is %.2f", slowest, step)
	// It goes on to the left until the tick ends, and then it is in the middle of the next tick where it turned.
	if limit := 2*tick + 2*frameTime; slowest > limit {
		t.Errorf("the player answers after %v, want at most %v", slowest, limit)
	}
	perFrame := frameTime.Seconds() / tick.Seconds()
	if step > 2*perFrame {
		t.Errorf("the player moves %.2f in a frame, want at most %.2f", step, 2*perFrame)
	}
}

// TestServerThatStops is a server whose machine sleeps for a second and a half: its ticks are late
// from then on. The clock follows without a jump, and inputs are in time again.
func TestServerThatStops(t *testing.T) {
	const tick = 50 * time.Millisecond
	w := newWorld(t, tick, fivePercent)
	w.run(5 * time.Second)
	w.begin = w.begin.Add(1500 * time.Millisecond)
	last, off := math.NaN(), 0.0
	slowest, fastest := math.Inf(1), 0.0
	w.frame = func() {
		now := w.clock.Now(w.now)
		went := (now - last) * tick.Seconds() / frameTime.Seconds()
		if !math.IsNaN(last) {
			slowest, fastest = min(slowest, went), max(fastest, went)
		}
		last, off = now, math.Abs(now-w.serverTime())*tick.Seconds()
	}
	w.run(10 * time.Second)
	if slowest < 0.099 || slowest > 0.11 || fastest > 1.051 {
		t.Errorf("the clock has %.3f to %.3f times the speed of the local one, want 0.1 to 1.05", slowest, fastest)
	}
	if off > 0.01 {
		t.Errorf("after 10 s the clock is off by %.1f ms", 1000*off)
	}
	before := w.inputs.Stats()
	w.run(10 * time.Second)
	if after := w.inputs.Stats(); after.Missing-before.Missing > 4 || after.Ahead != before.Ahead {
		t.Errorf("then %d inputs of 200 are missing and %d too far ahead", after.Missing-before.Missing, after.Ahead-before.Ahead)
	}
	// And when it catches up, the clock is as much as twice as fast.
	w.begin = w.begin.Add(-1500 * time.Millisecond)
	w.run(10 * time.Second)
	if off > 0.01 || fastest < 1.9 || fastest > 2.001 {
		t.Errorf("the clock is off by %.1f ms, after %.2f times the speed of the local one, want twice", 1000*off, fastest)
	}
}

// TestPathGetsLonger makes the path a fifth of a second longer: the lead follows.
func TestPathGetsLonger(t *testing.T) {
	const tick = 50 * time.Millisecond
	w := newWorld(t, tick, fivePercent)
	w.run(5 * time.Second)
	up := fivePercent.Up
	up.Delay += 200 * time.Millisecond
	w.up.SetLink(up) // and no round trip says so: only Early does
	w.run(10 * time.Second)
	before := w.inputs.Stats()
	w.run(20 * time.Second)
	if after := w.inputs.Stats(); after.Missing-before.Missing > 6 {
		t.Errorf("%d inputs of 400 are missing, want at most 6", after.Missing-before.Missing)
	}
	long := w.clock.Lead()
	w.up.SetLink(fivePercent.Up)
	w.run(time.Minute)
	if short := w.clock.Lead(); long-short < 3 {
		t.Errorf("the lead was %.1f ticks and is %.1f a minute after the path is short again, want 4 less", long, short)
	}
}

// TestPathGetsShorterAgain makes the path longer for a while. Then the lead falls to what the short path needs, at every rate of
// ticks, and inputs are in time while it falls: it does not fall too far.
func TestPathGetsShorterAgain(t *testing.T) {
	for _, tick := range []time.Duration{50 * time.Millisecond, time.Second / 60, time.Second / 128} {
		t.Run(fmt.Sprint(tick), func(t *testing.T) {
			w := newWorld(t, tick, fivePercent)
			w.inputs = NewInputs[float64](w.ticks, InputsConfig[float64]{MaxAhead: max(32, int(time.Second/2/tick)+2)}) // for MaxLead
			w.run(5 * time.Second)
			up := fivePercent.Up
			up.Delay += 400 * time.Millisecond
			w.up.SetLink(up)
			w.run(20 * time.Second)
			w.up.SetLink(fivePercent.Up)
			w.run(time.Second)
			before := w.inputs.Stats()
			w.run(time.Minute)
			after, ticks := w.inputs.Stats(), float64(time.Minute/tick)
			lead := w.clock.Lead() * tick.Seconds()
			missing := float64(after.Missing-before.Missing) / ticks
			t.Logf("the lead is %.0f ms; %.2f %% of the inputs are missing, %d were too far ahead", 1000*lead, 100*missing, after.Ahead)
			if most := 0.05 + 6*tick.Seconds(); lead > most {
				t.Errorf("the lead is %.0f ms, want at most %.0f", 1000*lead, 1000*most)
			}
			if missing > 0.015 {
				t.Errorf("%.1f %% of the inputs are missing, want at most 1.5", 100*missing)
			}
		})
	}
}

// TestServerThatCatchesUp is a server that stands still for half a second, reads all that has arrived, and then runs the ticks that it
// missed: no input is lost by that.
func TestServerThatCatchesUp(t *testing.T) {
	w := newWorld(t, time.Second/60, netsim.Preset{Up: netsim.Link{Delay: 50 * time.Millisecond}, Down: netsim.Link{Delay: 50 * time.Millisecond}})
	w.run(5 * time.Second)
	before := w.inputs.Stats()
	w.begin = w.begin.Add(500 * time.Millisecond)
	w.run(500 * time.Millisecond)
	w.begin = w.begin.Add(-500 * time.Millisecond)
	w.run(5 * time.Second)
	if after := w.inputs.Stats(); after.Missing != before.Missing || after.Flooded > 0 {
		t.Errorf("%d inputs are missing and %d ignored, want none", after.Missing-before.Missing, after.Flooded)
	}
}

// TestStatesAreKeptForTheDelay has short ticks and a delay of more ticks than a Snapshots keeps states. The delay is shorter then: what
// is shown goes on, and does not stand still because the states for its time are forgotten.
func TestStatesAreKeptForTheDelay(t *testing.T) {
	const tick = time.Second / 128
	w := newWorld(t, tick, fivePercent)
	w.others = NewSnapshots[float64](w.clock, SnapshotsConfig{MinDelay: 800 * time.Millisecond, MaxDelay: time.Second})
	w.run(10 * time.Second)
	var last, least, most float64
	w.frame = func() {
		a, b, share, _ := w.others.At(w.now)
		if step := a + (b-a)*share - last; last > 0 {
			least, most = min(least, step), max(most, step)
		} else {
			least, most = math.Inf(1), 0
		}
		last = a + (b-a)*share
	}
	w.run(10 * time.Second)
	if each := frameTime.Seconds() / tick.Seconds(); least < 0.9*each || most > 1.1*each {
		t.Errorf("what is shown goes on by %.2f to %.2f ticks in a frame, want %.2f", least, most, each)
	}
	if got := w.others.Delay(); got != maxDelay {
		t.Errorf("the delay is %v ticks, want %d", got, maxDelay)
	}
}

// TestInputsThatAreTooFarAheadComeBack has a lead of more ticks than a server accepts. The client learns it, and the lead falls.
func TestInputsThatAreTooFarAheadComeBack(t *testing.T) {
	const tick = time.Second / 128
	w := newWorld(t, tick, fivePercent)
	up := fivePercent.Up
	up.Delay += 400 * time.Millisecond
	w.up.SetLink(up)
	w.run(20 * time.Second)
	w.up.SetLink(fivePercent.Up)
	w.run(30 * time.Second)
	before := w.inputs.Stats()
	w.run(10 * time.Second)
	after := w.inputs.Stats()
	if before.Ahead == 0 {
		t.Error("no input was too far ahead")
	}
	if missing := after.Missing - before.Missing; after.Ahead != before.Ahead || missing > 20 {
		t.Errorf("after half a minute %d inputs of 1280 are missing and %d too far ahead, want at most 20, and none", missing, after.Ahead-before.Ahead)
	}
}

// TestShotHitsWhatWasSeen looks with the time that the client saw into the server's past: there the
// thing is where the client saw it.
func TestShotHitsWhatWasSeen(t *testing.T) {
	w := newWorld(t, 50*time.Millisecond, netsim.WiFi())
	shots := 0
	frames := 0
	w.frame = func() {
		a, b, share, ok := w.others.At(w.now)
		if frames++; frames%7 != 0 || !ok || share > 1 {
			return
		}
		saw, shown := a+(b-a)*share, w.others.Shown()
		w.send(w.up, func() {
			a, b, share, _ := w.past.At(shown)
			if was := a + (b-a)*share; math.Abs(was-saw) > 1e-9 {
				t.Errorf("the client saw %v, and the server had %v", saw, was)
			}
			shots++
		})
	}
	w.run(20 * time.Second)
	if s := w.past.Stats(); shots < 150 || s.Old+s.Future+s.Wild > 0 {
		t.Errorf("%d shots; the times are wrong: %+v", shots, s)
	}
}
