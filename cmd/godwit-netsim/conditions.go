package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// conditions are the links of both directions.
type conditions struct {
	up, down         netsim.Link
	upNeck, downNeck *netsim.Bottleneck // nil unless all clients share a rate
}

// setting is a flag and a command that changes one field of a link.
type setting struct {
	name, usage string
	set         func(l *netsim.Link, v string) error
	show        func(l *netsim.Link) string // returns the value as text, empty if it is not set
}

// settings are in the order in which flags are applied: a queue in seconds
// needs the rate.
var settings = []setting{
	share("loss", "`share` of datagrams that are lost, such as 5% or 0.05", func(l *netsim.Link) *float64 { return &l.Loss }),
	{"burst", "`datagrams` in a row that a loss takes on average, such as 5", setBurst, showBurst},
	duration("delay", "`time` on the way, such as 50ms", func(l *netsim.Link) *time.Duration { return &l.Delay }),
	duration("jitter", "`time` that chance adds to the delay at most; keeps the order", func(l *netsim.Link) *time.Duration { return &l.Jitter }),
	share("reorder", "`share` of datagrams held back", func(l *netsim.Link) *float64 { return &l.Reorder }),
	duration("reorder-delay", "`time` they are held back; 10ms if it is not set", func(l *netsim.Link) *time.Duration { return &l.ReorderDelay }),
	share("duplicate", "`share` of datagrams that arrive twice", func(l *netsim.Link) *float64 { return &l.Duplicate }),
	share("corrupt", "`share` of datagrams in which a bit is inverted", func(l *netsim.Link) *float64 { return &l.Corrupt }),
	{"outage", "`time/period` such as 1s/20s: nothing passes for 1 s of every 20", setOutage, showOutage},
	{"rate", "`bits` or bytes a second, such as 1Mbit, 256kbit, 100kB; 0 is no limit", setRate, showRate},
	{"queue", "`bytes` or time that may wait for the rate, such as 64kB or 300ms", setQueue, showQueue},
	{"mtu", "`bytes` of the largest payload that passes", setMTU, showMTU},
}

// share is a setting between 0 and 1.
func share(name, usage string, field func(*netsim.Link) *float64) setting {
	set := func(l *netsim.Link, v string) error {
		number, percent := strings.CutSuffix(v, "%")
		x, err := strconv.ParseFloat(number, 64)
		if percent {
			x /= 100
		}
		if err != nil || !(x >= 0 && x <= 1) {
			return errors.New("is not a share such as 5% or 0.05")
		}
		*field(l) = x
		return nil
	}
	show := func(l *netsim.Link) string {
		if *field(l) == 0 {
			return ""
		}
		return strconv.FormatFloat(100**field(l), 'g', 4, 64) + "%"
	}
	return setting{name, usage, set, show}
}

func duration(name, usage string, field func(*netsim.Link) *time.Duration) setting {
	set := func(l *netsim.Link, v string) (err error) {
		*field(l), err = parseTime(v)
		return err
	}
	show := func(l *netsim.Link) string {
		if *field(l) == 0 {
			return ""
		}
		return field(l).String()
	}
	return setting{name, usage, set, show}
}

func parseTime(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > time.Hour {
		return 0, errors.New("is not a time such as 50ms or 1.5s, of an hour at most")
	}
	return d, nil
}

func setBurst(l *netsim.Link, v string) error {
	x, err := strconv.ParseFloat(v, 64)
	if err != nil || !(x >= 0 && x <= 1e6) {
		return errors.New("is not a number of datagrams such as 5")
	}
	l.Burst = x
	return nil
}

func showBurst(l *netsim.Link) string {
	if l.Burst == 0 {
		return ""
	}
	return strconv.FormatFloat(l.Burst, 'g', 4, 64)
}

func setOutage(l *netsim.Link, v string) error {
	if v == "0" {
		l.Outage, l.OutageEvery = 0, 0
		return nil
	}
	gap, period, _ := strings.Cut(v, "/")
	g, err := parseTime(gap)
	p, err2 := parseTime(period)
	if err != nil || err2 != nil || p == 0 || g > p {
		return errors.New("is not a time of a longer one, such as 1s/20s")
	}
	l.Outage, l.OutageEvery = g, p
	return nil
}

func showOutage(l *netsim.Link) string {
	if l.Outage == 0 {
		return ""
	}
	return fmt.Sprintf("%v/%v", l.Outage, l.OutageEvery)
}

func setRate(l *netsim.Link, v string) error {
	if v == "0" {
		l.Rate = 0
		return nil
	}
	n, err := parseBytes(strings.TrimSuffix(v, "/s"), rateUnits)
	if err != nil || n == 0 {
		return errors.New("is not a rate such as 1Mbit, 256kbit or 100kB")
	}
	l.Rate = n
	return nil
}

func showRate(l *netsim.Link) string {
	if l.Rate == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(l.Rate)*8/1e6, 'g', 4, 64) + "Mbit"
}

func setQueue(l *netsim.Link, v string) error {
	if d, err := parseTime(v); err == nil && d > 0 {
		if l.Rate == 0 {
			return errors.New("is a time, which needs a rate first")
		}
		l.Queue = max(1, int(d.Seconds()*float64(l.Rate)))
		return nil
	}
	n, err := parseBytes(v, byteUnits)
	if err != nil {
		return errors.New("is not a size such as 64kB, nor a time such as 300ms")
	}
	l.Queue = n
	return nil
}

func showQueue(l *netsim.Link) string {
	if l.Queue == 0 {
		return ""
	}
	return fmt.Sprintf("%dB", l.Queue)
}

func setMTU(l *netsim.Link, v string) error {
	n, err := parseBytes(v, byteUnits)
	if err != nil || n > 65535 {
		return errors.New("is not a size such as 1200")
	}
	l.MTU = n
	return nil
}

func showMTU(l *netsim.Link) string {
	if l.MTU == 0 {
		return ""
	}
	return fmt.Sprintf("%dB", l.MTU)
}

type unit struct {
	name  string
	bytes float64
}

// A unit comes before the units that its name ends with.
var (
	byteUnits = []unit{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"kB", 1e3}, {"MB", 1e6}, {"B", 1}, {"", 1}}
	rateUnits = []unit{{"Gbit", 1e9 / 8}, {"Mbit", 1e6 / 8}, {"kbit", 1e3 / 8}, {"bit", 1. / 8}, {"kB", 1e3}, {"MB", 1e6}, {"B", 1}}
)

// parseBytes parses a number with a unit: the first unit of the list that fits.
func parseBytes(v string, units []unit) (int, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(v, u.name)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(number, 64)
		if x *= u.bytes; err != nil || !(x >= 0 && x <= 1e12) {
			break
		}
		return int(x + 0.5), nil
	}
	return 0, errors.New("not a size")
}

// share makes all clients share one rate and one queue.
func (c *conditions) share() {
	c.upNeck, c.downNeck = netsim.NewBottleneck(0, 0), netsim.NewBottleneck(0, 0)
}

// set changes one condition. A value is for both directions; two values with a comma
// between them are for up and down. After an error nothing has changed.
func (c *conditions) set(name, value string) error {
	up, down, two := strings.Cut(value, ",")
	if !two {
		down = up
	}
	if name == "preset" {
		p, ok := netsim.FindPreset(value)
		if !ok {
			return fmt.Errorf("preset %q is none of %s", value, presetNames())
		}
		p.Up.Replay, p.Down.Replay = c.up.Replay, c.down.Replay
		c.up, c.down = p.Up, p.Down
		return nil
	}
	for _, s := range settings {
		if s.name != name {
			continue
		}
		u, d := c.up, c.down
		if err := s.set(&u, up); err != nil {
			return fmt.Errorf("%s %q %w", name, up, err)
		}
		if err := s.set(&d, down); err != nil {
			return fmt.Errorf("%s %q %w", name, down, err)
		}
		c.up, c.down = u, d
		return nil
	}
	return fmt.Errorf("%q is no condition; help lists them", name)
}

func presetNames() string {
	var names []string
	for _, p := range netsim.Presets() {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// links returns the links of both directions.
func (c *conditions) links() (up, down netsim.Link) {
	up, down = c.up, c.down
	if c.upNeck != nil {
		c.upNeck.Set(up.Rate, up.Queue)
		c.downNeck.Set(down.Rate, down.Queue)
		up.Through, down.Through = c.upNeck, c.downNeck
	}
	return up, down
}

// replayFile makes the links repeat the fates of the first client in a trace.
func (c *conditions) replayFile(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("-replay: %w", err)
	}
	defer file.Close()
	trace, err := netsim.ReadTrace(file)
	if err != nil {
		return fmt.Errorf("-replay %s: %w", name, err)
	}
	found := false
	for _, path := range netsim.Paths(trace) {
		link := &c.up
		switch {
		case strings.HasPrefix(path, "up-"):
		case strings.HasPrefix(path, "down-"):
			link = &c.down
		default:
			continue
		}
		if link.Replay != nil {
			continue
		}
		if link.Replay, err = netsim.NewReplay(trace, path); err != nil {
			return fmt.Errorf("-replay %s: %w", name, err)
		}
		found = true
	}
	if !found {
		return fmt.Errorf("-replay %s: no path is called up-1 or down-1, but %q", name, netsim.Paths(trace))
	}
	return nil
}

// String returns both links as flags, one line for each.
func (c *conditions) String() string {
	line := func(name string, l *netsim.Link) string {
		b := "  " + name
		if l.Replay != nil {
			b += fmt.Sprintf(" replay of %d datagrams in %v", l.Replay.Len(), l.Replay.Duration().Round(time.Millisecond))
		}
		for _, s := range settings {
			if v := s.show(l); v != "" && (l.Replay == nil || s.name == "mtu") {
				b += " " + s.name + " " + v
			}
		}
		if b == "  "+name {
			b += " perfect"
		}
		return b + "\n"
	}
	return line("up  ", &c.up) + line("down", &c.down)
}
