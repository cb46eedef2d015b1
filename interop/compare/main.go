//go:build linux

// Compare measures one game with godwit and with other libraries, and writes the tables and plots of
// docs/benchmarks.md: what a player costs the server (with program bench), and how long a page waits, how old
// its newest state is and how fast bulk arrives (with the benchmarks of package interop, in Chromium).
//
//	cd interop && go run ./compare              # root, Linux; about 50 minutes
//	cd interop && go run ./compare -quick       # each cell briefly: shows that all works
//	cd interop && go run ./compare -cell age    # one table
//
// What cannot run is listed as NOT RUN with the reason. Nothing else may use the machine, unless only figures of one run are
// compared; the report has the load of the machine before and after each cell.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	cells   []string
	servers []string
	quick   bool
	plots   string // directory
	runs    int
	players int
	time    time.Duration // of a run
	log     io.Writer     // progress
}

func parse(args []string, out io.Writer) (o options, err error) {
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(out)
	names := func(to *[]string, known []string) func(string) error {
		return func(s string) error {
			for name := range strings.SplitSeq(s, ",") {
				if !slices.Contains(known, name) {
					return fmt.Errorf("no %q, only %s", name, strings.Join(known, ", "))
				}
				*to = append(*to, name)
			}
			return nil
		}
	}
	f.Func("cell", "`names` of the cells, separated by commas: "+strings.Join(cellNames(), ", ")+"; none: all", names(&o.cells, cellNames()))
	f.Func("servers", "`names` of the servers, separated by commas: "+strings.Join(serverNames(), ", ")+"; none: all", names(&o.servers, serverNames()))
	f.BoolVar(&o.quick, "quick", false, "measure each cell briefly")
	f.StringVar(&o.plots, "plots", "", "`directory` for the plots, such as ../docs/plots; empty: none")
	f.IntVar(&o.runs, "runs", 0, "`number` of runs, of which the median counts; 0: 3 for each server, 20 connections, and 1 with -quick")
	f.IntVar(&o.players, "players", 0, "`number` of players of the cell cost; 0: 200, and 20 with -quick")
	f.DurationVar(&o.time, "time", 0, "`time` of a run; 0: 20s, and 1s with -quick")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag", f.Arg(0))
	}
	quick := func(full, brief int) int {
		if o.quick {
			return brief
		}
		return full
	}
	o.players = cmp.Or(o.players, quick(200, 20))
	o.time = cmp.Or(o.time, time.Duration(quick(20, 1))*time.Second)
	o.runs = cmp.Or(o.runs, quick(0, 1))
	return o, nil
}

// wants reports whether a server is to be measured.
func (o *options) wants(name string) bool {
	return len(o.servers) == 0 || slices.Contains(o.servers, name)
}

// run measures the cells, prints a report in Markdown, and writes the plots.
func run(ctx context.Context, args []string, out, log io.Writer) error {
	o, err := parse(args, log)
	if err != nil {
		return err
	}
	o.log = log
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w := &world{ctx: ctx, options: o, dir: dir}
	defer w.close()
	fmt.Fprintf(out, "%s, %s, %s.\n\n`%s`\n", time.Now().Format(time.DateOnly), machine(), w.versions(),
		strings.Join(append([]string{"cd interop && go run ./compare"}, args...), " "))
	for _, s := range servers {
		if s.missing != "" && o.wants(s.name) {
			fmt.Fprintf(out, "\nNOT RUN: %s: %s\n", s.title, s.missing)
		}
	}
	var todo []cell
	for _, c := range cells {
		if len(o.cells) == 0 || slices.Contains(o.cells, c.name) {
			todo = append(todo, c)
		}
	}
	for i, c := range todo {
		left := time.Duration(0)
		for _, c := range todo[i:] {
			left += c.takes(o)
		}
		fmt.Fprintf(log, "%s: %s, about %s left for everything\n", time.Now().Format(time.TimeOnly), c.name, left.Round(time.Minute))
		before := loadAverage()
		r, err := c.measure(w)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(out, "\nNOT RUN: %s: %v\n", c.name, err)
			fmt.Fprintf(log, "%s: %v\n", c.name, err)
		}
		if r == nil || len(r.rows) == 0 && len(r.missing) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n### %s\n\n%s Load of the machine %s before, %s after.\n\n", c.title, c.text, before, loadAverage())
		r.print(out)
		if o.plots == "" {
			continue
		}
		for _, p := range c.plots {
			name := filepath.Join(o.plots, p.file)
			if err := os.WriteFile(name, r.plot(p), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(log, "%s is written\n", name)
		}
	}
	return nil
}

// loadAverage returns the load of the machine in the last minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}

// machine returns the processor, the number of cores and the kernel.
func machine() string {
	cpu := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(v)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d cores, Linux %s, %s", cpu, runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version())
}
