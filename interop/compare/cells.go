//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A server is a library and a link. missing says why it cannot be measured anywhere.
type server struct {
	name, title string
	bench       string // name in program bench; empty: that of the game
	missing     string
}

var servers = []server{
	{name: "datagrams", title: "godwit, datagrams"},
	{name: "channels", title: "godwit, channels, WebRTC", bench: "game"},
	{name: "channels-websocket", title: "godwit, channels, WebSocket", bench: "game-websocket"},
	{name: "channels-webtransport", title: "godwit, channels, WebTransport", bench: "game-webtransport"},
	{name: "pion", title: "pion/webrtc"},
	{name: "webtransport-go", title: "webtransport-go"},
	{name: "coder", title: "coder/websocket"},
	{name: "ws", title: "ws (Node)"},
	{name: "socketio", title: "socket.io (Node)"},
	{name: "colyseus", title: "Colyseus (Node)"},
	{name: "geckos", title: "geckos.io (Node)", missing: "its package node-datachannel downloads or compiles a native part while it is installed, which needs a network and CMake"},
}

func (s server) benchName() string {
	if s.bench != "" {
		return s.bench
	}
	return "game-" + s.name
}

func serverNames() (names []string) {
	for _, s := range servers {
		names = append(names, s.name)
	}
	return names
}

// A cell is one table.
type cell struct {
	name, title, text string
	takes             func(options) time.Duration
	measure           func(*world) (*results, error)
	plots             []plot
}

var cells = []cell{
	{
		name: "cost", title: "What a player costs",
		text: "Clients send an input of 48 bytes and get a state of 200 bytes 20 times a second. The server has one core; the clients are in another " +
			"process on the other core. A message is an input or a state.",
		takes:   func(o options) time.Duration { return time.Duration(10*max(o.runs, 3)) * (o.time/2 + 8*time.Second) },
		measure: cost,
		plots: []plot{
			{file: "compare-cpu.svg", title: "CPU of a message, µs", row: "CPU of a message, µs"},
			{file: "compare-memory.svg", title: "Memory of a player, KB", row: "memory of a player, KB"},
			{file: "compare-bytes.svg", title: "Bytes on the wire of a message", row: "bytes on the wire of a message, with all that belongs to it"},
		},
	},
	{
		name: "connect", title: "Until a page is connected",
		text: "Round trips of 100 ms in Chromium, from the call that connects until the library says that the connection is open, and until a message " +
			"that was sent then has come back. The page has its connection for HTTP already. Nothing but WebRTC and WebTransport is encrypted.",
		takes:   func(o options) time.Duration { return 30*time.Second + time.Duration(10*maxRuns(o, 20))*2*time.Second },
		measure: connects,
		plots:   []plot{{file: "compare-connect.svg", title: "Round trips until a message has come back, p50", row: "until a message has come back, p50"}},
	},
	{
		name: "age", title: "How old the newest state is",
		text: "The server makes a state 20 times a second. Once a millisecond the page in Chromium looks at how old its newest one is; an age of 50 ms and " +
			"half a round trip is the oldest that a link without losses allows. All traffic, TCP of the kernel too, passes a pair of TUN devices with the losses in each " +
			"direction. p99, ms.",
		takes: func(o options) time.Duration {
			return 30*time.Second + time.Duration(10*maxRuns(o, 1))*(o.time+15*time.Second)
		},
		measure: ages,
		plots: []plot{
			{file: "compare-age-20.svg", title: "Age of the newest state, p99, ms, at a round trip of 20 ms", prefix: "RTT 20 ms, "},
			{file: "compare-age-100.svg", title: "Age of the newest state, p99, ms, at a round trip of 100 ms", prefix: "RTT 100 ms, "},
		},
	},
	{
		name: "bulk", title: "Bulk",
		text: "MB/s of chunks of 16 KiB to a page in Chromium, after 3 s, over a link of 100 Mbit/s (12.5 MB/s with all headers) with a queue of 512 KiB. " +
			"The sessions of godwit have no ceiling; with the default one they carry at most 0.26 MB/s on every link.",
		takes: func(o options) time.Duration {
			return 30*time.Second + time.Duration(18*maxRuns(o, 1))*(o.time+5*time.Second)
		},
		measure: transfers,
		plots: []plot{
			{file: "compare-bulk.svg", title: "Bulk, MB/s, at a round trip of 100 ms", row: "RTT 100 ms, MB/s"},
		},
	},
}

func maxRuns(o options, full int) int {
	if o.runs > 0 {
		return o.runs
	}
	return full
}

func cellNames() (names []string) {
	for _, c := range cells {
		names = append(names, c.name)
	}
	return names
}

// cost runs program bench in a network namespace, whose loopback interface nothing else uses.
func cost(w *world) (*results, error) {
	bench, err := w.build("bench", "./bench")
	if err != nil {
		return nil, err
	}
	o := w.options
	var names []string
	for _, s := range servers {
		if s.missing == "" && o.wants(s.name) {
			names = append(names, s.benchName())
		}
	}
	runs := o.runs
	if runs == 0 {
		runs = 3
	}
	args := []string{
		"-json", "-figures", "player", "-hz", "20", "-runs", strconv.Itoa(runs), "-servers", strings.Join(names, ","),
		"-players", strconv.Itoa(5 * o.players), "-duration", (o.time / 2).String(),
	}
	out, err := w.runAlone(bench, args...)
	var values map[string]map[string][]float64
	if bad := json.Unmarshal(out, &values); bad != nil {
		return nil, errors.Join(err, bad)
	}
	r := &results{}
	for _, row := range benchRows {
		for _, s := range servers {
			if v := values["20 Hz: "+row][s.benchName()]; len(v) > 0 {
				r.add(row, s.name, v...)
			}
		}
	}
	return r, err
}

// benchRows are the rows of program bench in their order.
var benchRows = []string{
	"CPU of a message, µs", "CPU of a player, µs a second", "players of a core, computed from the CPU of a player", "memory of a player, KB",
	"goroutines of a player; in Node handles", "bytes on the wire of a message, with all that belongs to it", "bytes of a player, both ways, KB a second",
	"states that a player got a second", "time between two states at a player, p99, ms",
}

func connects(w *world) (*results, error) {
	rows := map[string]string{
		"open-trips": "until it is open, p50", "echo-trips": "until a message has come back, p50", "p90-trips": "until a message has come back, p90",
	}
	r, err := w.benchmark("BenchmarkGameConnects", maxRuns(w.options, 20), func(r *results, _, server, unit string, v float64) {
		r.add(rows[unit], server, v)
	})
	if r != nil && len(r.rows) == len(rows) {
		r.rows = []string{rows["open-trips"], rows["echo-trips"], rows["p90-trips"]}
	}
	return r, err
}

func ages(w *world) (*results, error) {
	return w.benchmark("BenchmarkGameAges", maxRuns(w.options, 1), func(r *results, name, server, unit string, v float64) {
		if unit == "p99-ms" {
			r.add(name, server, v)
		}
	})
}

func transfers(w *world) (*results, error) {
	return w.benchmark("BenchmarkGameBulk", maxRuns(w.options, 1), func(r *results, name, server, _ string, v float64) {
		r.add(name+", MB/s", server, v)
	})
}

// benchmark runs a benchmark of package interop, and gives its metrics to add: the link, such as "RTT 20 ms, 5 % lost"; the
// server; and the rest of the unit.
func (w *world) benchmark(name string, runs int, add func(r *results, link, server, unit string, v float64)) (*results, error) {
	test, err := w.build("interop.test", "")
	if err != nil {
		return nil, err
	}
	o := w.options
	args := []string{
		"-test.run", "^$", "-test.bench", "^" + name + "$", "-test.benchtime", strconv.Itoa(runs) + "x", "-test.timeout", "3h",
		"-game.duration", o.time.String(), "-game.servers", strings.Join(o.servers, ","),
	}
	if o.quick {
		args[3] = "^" + name + "$/rtt=100/(loss=10|^$)"
		if name != "BenchmarkGameAges" {
			args[3] = "^" + name + "$/rtt=100"
		}
	}
	out, err := w.run(test, args...)
	r := &results{}
	r.scan(out, name, add)
	return r, err
}

// scan reads the output of a benchmark: gives its metrics to add, and notes which servers it could not measure.
func (r *results) scan(out []byte, name string, add func(r *results, link, server, unit string, v float64)) {
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, name+"/") {
			metrics(line, func(link, unit string, v float64) {
				for _, s := range longestFirst() {
					if rest, ok := strings.CutPrefix(unit, s+"-"); ok {
						add(r, link, s, rest, v)
						return
					}
				}
			})
		}
		// After the file and the line of the test.
		if _, why, ok := strings.Cut(strings.TrimSpace(line), "NOT RUN: "); ok && !slices.Contains(r.missing, why) {
			r.missing = append(r.missing, why)
		}
	}
}

// longestFirst returns the names of the servers: none after one that it begins with.
func longestFirst() []string {
	names := serverNames()
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	return names
}

// metrics reads a line of a benchmark, such as "BenchmarkGameAges/rtt=20/loss=5%-2 1 5 ns/op 7 ws-p99-ms".
func metrics(line string, add func(link, unit string, v float64)) {
	f := strings.Fields(line)
	name := f[0]
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		name = name[:i]
	}
	var link []string
	for _, part := range strings.Split(name, "/")[1:] {
		switch key, v, _ := strings.Cut(part, "="); key {
		case "rtt":
			link = append(link, "RTT "+v+" ms")
		case "loss":
			link = append(link, strings.TrimSuffix(v, "%")+" % lost")
		}
	}
	for i := 2; i+1 < len(f); i += 2 {
		if v, err := strconv.ParseFloat(f[i], 64); err == nil {
			add(strings.Join(link, ", "), f[i+1], v)
		}
	}
}

// results has values by row and server.
type results struct {
	rows    []string
	values  map[string]map[string][]float64
	missing []string // servers that could not be measured, each with the reason
}

func (r *results) add(row, server string, v ...float64) {
	if r.values == nil {
		r.values = make(map[string]map[string][]float64)
	}
	if r.values[row] == nil {
		r.values[row] = make(map[string][]float64)
		r.rows = append(r.rows, row)
	}
	r.values[row][server] = append(r.values[row][server], v...)
}

// value returns the median.
func (r *results) value(row, server string) (float64, bool) {
	v := slices.Sorted(slices.Values(r.values[row][server]))
	if len(v) == 0 {
		return 0, false
	}
	return v[len(v)/2], true
}

// print writes the table in Markdown, a line for each server, and what is not in it.
func (r *results) print(w io.Writer) {
	for _, why := range r.missing {
		fmt.Fprintf(w, "NOT RUN: %s\n\n", why)
	}
	if len(r.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "| server | %s |\n| --- |%s\n", strings.Join(r.rows, " | "), strings.Repeat(" --- |", len(r.rows)))
	for _, s := range servers {
		if !slices.ContainsFunc(slices.Collect(maps.Values(r.values)), func(of map[string][]float64) bool { return len(of[s.name]) > 0 }) {
			continue
		}
		fmt.Fprintf(w, "| %s |", s.title)
		for _, row := range r.rows {
			text := ""
			if v, ok := r.value(row, s.name); ok {
				text = number(v)
			}
			fmt.Fprintf(w, " %s |", text)
		}
		fmt.Fprintln(w)
	}
}

// number prints three significant digits.
func number(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// installed returns the version of a package of Node, or why there is none.
func installed(name string) string {
	b, err := os.ReadFile("compare/node_modules/" + name + "/package.json")
	if err != nil {
		return "not installed"
	}
	var p struct{ Version string }
	json.Unmarshal(b, &p)
	return p.Version
}
