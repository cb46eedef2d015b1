package main

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

func TestConditions(t *testing.T) {
	var got conditions
	for _, s := range [][2]string{
		{"loss", "5%,0.01"}, {"burst", "5"}, {"delay", "50ms,20ms"}, {"jitter", "5ms"}, {"reorder", "1%"},
		{"reorder-delay", "30ms"}, {"duplicate", "2%"}, {"corrupt", "0.5"}, {"outage", "1s/20s"},
		{"rate", "1Mbit,256kbit/s"}, {"queue", "1s,64KiB"}, {"mtu", "1200"},
	} {
		if err := got.set(s[0], s[1]); err != nil {
			t.Errorf("%s %s: %v", s[0], s[1], err)
		}
	}
	up := netsim.Link{
		Loss: 0.05, Burst: 5, Delay: 50 * time.Millisecond, Jitter: 5 * time.Millisecond,
		Reorder: 0.01, ReorderDelay: 30 * time.Millisecond, Duplicate: 0.02, Corrupt: 0.5,
		Outage: time.Second, OutageEvery: 20 * time.Second, Rate: 125_000, Queue: 125_000, MTU: 1200,
	}
	down := up
	down.Loss, down.Delay, down.Rate, down.Queue = 0.01, 20*time.Millisecond, 32_000, 65536
	if got.up != up || got.down != down {
		t.Errorf("got  %+v\nand  %+v\nwant %+v\nand  %+v", got.up, got.down, up, down)
	}
	for _, s := range []string{"outage", "rate"} {
		if err := got.set(s, "0"); err != nil {
			t.Errorf("%s 0: %v", s, err)
		}
	}
	if got.up.Rate != 0 || got.up.Outage != 0 {
		t.Errorf("0 does not end a condition: %+v", got.up)
	}
}

func TestBadConditions(t *testing.T) {
	for _, s := range [][2]string{
		{"loss", ""}, {"loss", "-1%"}, {"loss", "NaN"}, {"loss", "5%,x"}, {"burst", "-1"}, {"burst", "Inf"},
		{"delay", "50"}, {"delay", "-1s"}, {"delay", "2h"}, {"outage", "1s"}, {"outage", "20s/1s"},
		{"rate", "100"}, {"rate", "fast"}, {"rate", "-1Mbit"}, {"rate", "1e30Gbit"}, {"queue", "1s"}, {"queue", "x"},
		{"mtu", "70000"}, {"mtu", "x"}, {"preset", ""}, {"speed", "1"},
	} {
		var c conditions
		if err := c.set(s[0], s[1]); err == nil {
			t.Errorf("%s %q is accepted", s[0], s[1])
		}
		if c != (conditions{}) {
			t.Errorf("%s %q is refused and has changed a condition", s[0], s[1])
		}
	}
}

// TestShownIsAccepted: the program accepts the conditions of a preset as it prints them.
func TestShownIsAccepted(t *testing.T) {
	for _, p := range netsim.Presets() {
		want := conditions{up: p.Up, down: p.Down}
		var got conditions
		for _, s := range settings {
			up, down := s.show(&want.up), s.show(&want.down)
			if up == "" {
				continue
			}
			if err := got.set(s.name, up+","+down); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
		if got != want {
			t.Errorf("%s: got %v want %v", p.Name, &got, &want)
		}
	}
}
