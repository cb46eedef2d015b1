package netsim

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPresetsAreAsDocumented: the round trips that their comments tell of.
func TestPresetsAreAsDocumented(t *testing.T) {
	for _, test := range []struct {
		preset Preset
		mean   time.Duration
	}{
		{WiFi(), 36 * ms}, {LTE(), 53 * ms}, {SlowLTE(), 150 * ms}, {UMTS(), 250 * ms},
		{Train(), 160 * ms}, {Satellite(), 50 * ms}, {Geostationary(), 620 * ms}, {Congested(), 90 * ms},
	} {
		up, down := newTestWire(test.preset.Up), newTestWire(test.preset.Down)
		var sum time.Duration
		n := 0
		for range 20_000 {
			// Far apart, so that none waits for another, and small.
			a, b := up.send(1, 10, time.Second+7*ms), down.send(1, 10, time.Second+7*ms)
			if len(a) == 1 && len(b) == 1 {
				sum += a[0] + b[0]
				n++
			}
		}
		if mean := sum / time.Duration(n); (mean - test.mean).Abs() > 2*ms {
			t.Errorf("%s: a round trip of %v, want %v", test.preset.Name, mean, test.mean)
		}
		lost := 1 - float64(n)/20_000
		l := test.preset.Up
		out := 0.
		if l.OutageEvery > 0 {
			out = float64(l.Outage) / float64(l.OutageEvery)
		}
		if want := 2*l.Loss + 2*out; lost > 1.3*want+0.01 || lost < 0.5*want-0.01 {
			t.Errorf("%s: %.3f of round trips are lost, want about %.3f", test.preset.Name, lost, want)
		}
	}
}

// TestDirectionsOfPresets: each direction of a preset has its rate, a queue of that time, its losses in
// runs of that length, and its gaps.
func TestDirectionsOfPresets(t *testing.T) {
	for _, test := range []struct {
		preset     Preset
		up, down   float64 // megabits per second
		queue      time.Duration
		loss, run  float64
		gap, every time.Duration
	}{
		{WiFi(), 20, 50, 95 * ms, 0.005, 2, 0, 0},
		{LTE(), 13.6, 14.7, 330 * ms, 0.002, 3, 0, 0},
		{SlowLTE(), 0.75, 1.6, 500 * ms, 0.01, 3, 0, 0},
		{UMTS(), 1.2, 1.2, time.Second, 0.005, 2, 0, 0},
		{Train(), 3, 8, 500 * ms, 0.02, 5, time.Second, 20 * time.Second},
		{Satellite(), 10, 100, 200 * ms, 0.005, 3, 150 * ms, 15 * time.Second},
		{Geostationary(), 10, 100, 400 * ms, 0.005, 3, 0, 0},
		{Congested(), 1, 2, time.Second, 0.02, 3, 0, 0},
	} {
		for i, l := range []Link{test.preset.Up, test.preset.Down} {
			name := test.preset.Name + [...]string{" up", " down"}[i]
			near := func(what string, got, want, share float64) {
				t.Helper()
				if math.Abs(got-want) > share*want {
					t.Errorf("%s: %s is %.4g, want about %.4g", name, what, got, want)
				}
			}
			w := newTestWire(l)
			for w.stats.QueueDropped == 0 && w.stats.Sent < 10_000 {
				w.send(1, 1000, 0)
			}
			full := float64(w.Backlog(start))
			rate := (full - float64(w.Backlog(start.Add(50*ms)))) / 0.05
			near("the rate in Mbit/s", rate/mbit, [...]float64{test.up, test.down}[i], 0.02)
			near("the time that a full queue takes", full/rate, test.queue.Seconds(), 0.15)

			w = newTestWire(l)
			sent, lost, runs, before := 0., 0., 0., false
			for since := time.Duration(0); since < 2000*time.Second; since += 10 * ms {
				arrived := len(w.send(1, 10, 10*ms)) > 0
				if test.every > 0 && since%test.every >= test.every-test.gap {
					if arrived {
						t.Fatalf("%s: after %v, in a gap, a datagram passes", name, since)
					}
					continue
				}
				if sent++; !arrived {
					if lost++; !before {
						runs++
					}
				}
				before = !arrived
			}
			near("the share of losses", lost/sent, test.loss, 0.25)
			near("the length of their runs", lost/runs, test.run, 0.2)
		}
	}
}

func TestFindPreset(t *testing.T) {
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
		got, ok := FindPreset(strings.ToUpper(p.Name))
		if !ok || got != p || p.About == "" {
			t.Errorf("FindPreset(%q) = %+v, %v", p.Name, got, ok)
		}
	}
	if want := []string{"wifi", "4g", "slow4g", "3g", "train", "satellite", "geo", "congested"}; !slices.Equal(names, want) {
		t.Errorf("the presets are %v, want %v", names, want)
	}
	if p, ok := FindPreset("lte"); !ok || p.Name != "4g" {
		t.Errorf("FindPreset(\"lte\") = %q, %v; want 4g", p.Name, ok)
	}
	if _, ok := FindPreset("dialup"); ok {
		t.Error("FindPreset finds dialup")
	}
}
