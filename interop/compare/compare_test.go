//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A brief run of the cheap cell writes its table and its plots, and says what it cannot measure.
func TestQuickRun(t *testing.T) {
	t.Chdir("..")
	plots := t.TempDir()
	for {
		var out, log bytes.Buffer
		err := run(t.Context(), []string{
			"-quick", "-cell", "cost", "-servers", "datagrams,coder,geckos", "-time", "200ms", "-players", "3", "-plots", plots,
		}, &out, &log)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), "the load has ended when") {
			continue // this machine was too busy to look at the players while they played
		}
		for _, want := range []string{"### What a player costs", "| godwit, datagrams |", "| coder/websocket |", "NOT RUN: geckos.io", "Load of the machine"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the report does not have %q:\n%s\n%s", want, &out, &log)
			}
		}
		break
	}
	for _, name := range []string{"compare-cpu.svg", "compare-memory.svg", "compare-bytes.svg"} {
		b, err := os.ReadFile(filepath.Join(plots, name))
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, b)
		if !strings.Contains(string(b), "coder/websocket") {
			t.Errorf("%s does not have the name of a server", name)
		}
	}
}

func wellFormed(t *testing.T, b []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-cell", "age,bulk", "-servers", "pion"}, io.Discard)
	if err != nil || len(o.cells) != 2 || !o.wants("pion") || o.wants("ws") {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range [][]string{{"-cell", "speed"}, {"-servers", "apache"}, {"-runs", "x"}, {"cost"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("the arguments %v are accepted", args)
		}
	}
}

// The metrics of a benchmark become rows for the links, also of servers of which one's name begins with another's.
func TestMetrics(t *testing.T) {
	r := &results{}
	metrics("BenchmarkGameAges/rtt=20/loss=5%-2 1 5 ns/op 7 ws-p99-ms 8.5 channels-websocket-p99-ms", func(link, unit string, v float64) {
		r.add(link, unit, v)
	})
	const row = "RTT 20 ms, 5 % lost"
	if v, ok := r.value(row, "ws-p99-ms"); !ok || v != 7 {
		t.Errorf("%v, %v, want 7", v, ok)
	}
	if v, ok := r.value(row, "channels-websocket-p99-ms"); !ok || v != 8.5 {
		t.Errorf("%v, %v, want 8.5", v, ok)
	}
	names := longestFirst()
	for i, name := range names {
		for _, later := range names[i+1:] {
			if strings.HasPrefix(later, name+"-") {
				t.Errorf("%s would take the values of %s", name, later)
			}
		}
	}
}

// A server that a benchmark could not measure is in the report, with the reason, and not silently absent.
func TestServersThatDidNotRun(t *testing.T) {
	const output = "BenchmarkGameBulk/rtt=20-2   1   5 ns/op   11.8 coder-MB/s\n" +
		"--- BENCH: BenchmarkGameBulk/rtt=20-2\n" +
		"    game_bench_test.go:94: NOT RUN: ws: game: ws is not installed: run npm ci\n" +
		"    game_bench_test.go:94: NOT RUN: ws: game: ws is not installed: run npm ci\n"
	r := &results{}
	r.scan([]byte(output), "BenchmarkGameBulk", func(r *results, link, server, unit string, v float64) { r.add(link, server, v) })
	var report strings.Builder
	r.print(&report)
	if n := strings.Count(report.String(), "NOT RUN: ws: game: ws is not installed"); n != 1 || !strings.Contains(report.String(), "| coder/websocket | 11.8 |") {
		t.Errorf("%d lines say that ws did not run, want 1:\n%s", n, &report)
	}
}

func TestPlotOfLosses(t *testing.T) {
	r := &results{}
	for row, v := range map[string]float64{"RTT 20 ms, 0 % lost": 60, "RTT 20 ms, 10 % lost": 700, "RTT 100 ms, 0 % lost": 1} {
		r.add(row, "pion", v)
		r.add(row, "channels", 2*v)
	}
	b := r.plot(plot{title: "ages & losses", prefix: "RTT 20 ms, "})
	wellFormed(t, b)
	if n := strings.Count(string(b), "<polyline"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, b)
	}
	wellFormed(t, (&results{}).plot(plot{title: "nothing", prefix: "RTT 20 ms, "}))
	wellFormed(t, (&results{}).plot(plot{title: "nothing", row: "none"}))
}
