package netsim

import (
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

func TestFindPreset(t *testing.T) {
	for _, p := range Presets() {
		got, ok := FindPreset(strings.ToUpper(p.Name))
		if !ok || got != p || p.About == "" {
			t.Errorf("FindPreset(%q) = %+v, %v", p.Name, got, ok)
		}
	}
	if p, ok := FindPreset("lte"); !ok || p.Name != "4g" {
		t.Errorf("FindPreset(\"lte\") = %q, %v; want 4g", p.Name, ok)
	}
	if _, ok := FindPreset("dialup"); ok {
		t.Error("FindPreset finds dialup")
	}
}
