//go:build linux

// Bench compares the costs of servers: godwit, pion/webrtc, a WebSocket server and, as the
// lower limit, a server of bare UDP datagrams. It starts the servers one after the other on
// one core, puts the same load on each from another core, and prints a table in Markdown
// with the ratios to bare UDP in the same run.
//
//	cd interop && go run ./bench
//
// A full run takes about a quarter of an hour; -figures and -servers make it shorter. Only
// the ratios are comparable, and only if the machine does nothing else meanwhile.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = serve(ctx, os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "load":
		err = makeLoad(ctx, os.Args[2:])
	default:
		err = compare(ctx, os.Args[1:], os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	figures, servers   string
	serverCPU, loadCPU string
	runs               int
	duration           time.Duration
	idle, idlePion     int
	fanout, storm      int
	players            int
	profiles           string
	hz                 string
	json               bool
}

func parse(args []string, out io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.figures, "figures", "", "`names` of the figures, separated by commas: "+strings.Join(figureNames(), ", ")+"; empty: all")
	f.StringVar(&o.servers, "servers", "", "`names` of the servers, separated by commas: "+strings.Join(serverNames, ", ")+"; empty: all")
	f.StringVar(&o.serverCPU, "server-cpu", "0", "`core` of the servers")
	f.StringVar(&o.loadCPU, "load-cpu", "1", "`core` of the load")
	f.IntVar(&o.runs, "runs", 3, "`number` of runs of each figure, of which the median counts")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "`time` of each run")
	f.IntVar(&o.idle, "idle", 2000, "`number` of idle connections")
	f.IntVar(&o.idlePion, "idle-pion", 500, "`number` of idle connections of pion/webrtc, whose each takes 300 KB")
	f.IntVar(&o.fanout, "fanout", 2000, "`number` of clients that one message goes to")
	f.IntVar(&o.storm, "storm", 1000, "`number` of clients that connect at once")
	f.IntVar(&o.players, "players", 1000, "`number` of players of the game")
	f.StringVar(&o.hz, "hz", "20,60", "`rates` of the figure player, separated by commas")
	f.BoolVar(&o.json, "json", false, "print the values as JSON, by row and server")
	f.StringVar(&o.profiles, "profiles", "", "`directory` for CPU profiles of godwit, or of the only one of the servers, under each load")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	for _, name := range list(o.figures) {
		if !slices.Contains(figureNames(), name) {
			return o, fmt.Errorf("no figure %q", name)
		}
	}
	for _, hz := range list(o.hz) {
		if n, err := strconv.Atoi(hz); err != nil || n < 1 || n > 1000 {
			return o, fmt.Errorf("-hz has %q, but the rates are from 1 to 1000", hz)
		}
	}
	for _, name := range list(o.servers) {
		if !slices.Contains(serverNames, name) {
			return o, fmt.Errorf("no server %q", name)
		}
	}
	return o, nil
}

// list splits a list of a flag.
func list(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(s string) bool { return s == "" })
}

// wants reports whether name is in a list of a flag, or the list is empty.
func wants(s, name string) bool { return len(list(s)) == 0 || slices.Contains(list(s), name) }

// compare measures all figures and prints the table. Runs of different servers alternate, so
// that other work of the machine affects all servers.
func compare(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	all, apart := newTable(), newTable()
	var failed []error
	for _, f := range figures {
		if !wants(o.figures, f.name) {
			continue
		}
		t := all
		if f.apart {
			t = apart
		}
		for run := range o.runs {
			for _, server := range f.servers {
				if !wants(o.servers, server) || run > 0 && f.once {
					continue
				}
				fmt.Fprintf(os.Stderr, "%s: %s, run %d\n", f.name, server, run+1)
				b := &bench{ctx: ctx, options: o, server: server, table: t}
				if err := f.measure(b); err != nil && ctx.Err() == nil {
					err = fmt.Errorf("%s of %s: %w", f.name, server, err)
					fmt.Fprintln(os.Stderr, "bench:", err) // the others go on
					failed = append(failed, err)
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
	}
	if o.profiles != "" {
		if err := profile(ctx, o); err != nil {
			return err
		}
	}
	if o.json {
		maps.Copy(all.values, apart.values)
		return errors.Join(append(failed, json.NewEncoder(out).Encode(all.values))...)
	}
	printHead(out)
	all.print(out)
	apart.print(out)
	return errors.Join(failed...)
}
