// Godwit-bench puts load on a WebRTC datagram server: thousands of clients in one process,
// which do everything that a page does. It reports what the clients measure.
//
//	godwit-bench echo -url http://localhost:8080/new_rtc_session -clients 100 -rate 60
//
// See godwit-bench -help.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit/internal/load"
	"github.com/godwit-rtc/godwit/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "godwit-bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	server   load.GodwitConfig
	channels string
	loss     string
	load     load.Config
	json     bool
	quiet    bool
	version  bool
}

// parse reads the mode and the flags.
func parse(args []string, out io.Writer) (o options, err error) {
	f := flag.NewFlagSet("godwit-bench", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed once, by main
	f.Usage = func() {}
	f.StringVar(&o.server.URL, "url", "http://localhost:8080/new_rtc_session", "`URL` of the server's signaling; udp://host:port is a server of bare datagrams")
	f.StringVar(&o.channels, "channel", "", "`names` of channels of a godwit server, separated by commas: clients are sessions and send on each; empty: datagrams without channels")
	f.StringVar(&o.server.Token, "token", "", "`secret` or token that sessions show")
	f.StringVar(&o.loss, "loss", "", "`share` of datagrams that are lost each way, such as 10% or 0.1")
	f.DurationVar(&o.server.RTT, "rtt", 0, "`time` that is added to each round trip, such as 100ms")
	f.IntVar(&o.load.Clients, "clients", 100, "`number` of clients")
	f.Float64Var(&o.load.Rate, "rate", 60, "messages a second on each channel: of each client (echo, play), of the one that sends (fanout)")
	f.DurationVar(&o.load.Tick, "tick", time.Millisecond, "`time` between sends: what is due goes out together (echo, play, fanout)")
	f.IntVar(&o.load.Size, "size", 200, "`bytes` of a message, 16 to 1160, on channels to 1 MiB")
	f.DurationVar(&o.load.Duration, "duration", 10*time.Second, "`time` that is measured")
	f.DurationVar(&o.load.Warmup, "warmup", time.Second, "`time` of load before it is measured")
	f.IntVar(&o.load.Window, "window", 8, "`number` of messages that each client has under way on each channel (flood)")
	f.IntVar(&o.load.Parallel, "parallel", 0, "`number` of clients that connect at once; 0 is 32, and all for storm")
	f.IntVar(&o.load.PID, "pid", 0, "`number` of the server's process on this machine, to measure its CPU time and memory")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	f.BoolVar(&o.quiet, "quiet", false, "no line of progress each second")
	f.BoolVar(&o.version, "version", false, "print the version and end")

	mode := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		mode, args = args[0], args[1:]
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		usage(f, out)
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w; see -help", err)
	case f.NArg() > 0:
		return o, fmt.Errorf("%q is no flag; see -help", f.Arg(0))
	case o.version:
		return o, nil
	}
	o.load.Mode = load.Mode(mode)
	o.server.Channels = slices.DeleteFunc(strings.Split(o.channels, ","), func(s string) bool { return s == "" })
	return o, o.check()
}

// Limits of -size.
const (
	maxDatagram = 1160
	maxMessage  = 1 << 20
)

func (o *options) check() error {
	switch o.load.Mode {
	case load.Echo, load.Play, load.Flood, load.Idle, load.Storm, load.Fanout:
	case "":
		return errors.New("the first argument must be what to do: echo, play, flood, idle, storm or fanout; see -help")
	default:
		return fmt.Errorf("%q is not echo, play, flood, idle, storm or fanout; see -help", o.load.Mode)
	}
	largest := maxDatagram
	if len(o.server.Channels) > 0 {
		largest = maxMessage
	}
	var ok bool
	o.server.Loss, ok = share(o.loss)
	switch {
	case o.load.Clients < 1 || o.load.Clients > 100_000:
		return fmt.Errorf("-clients %d is not between 1 and 100000", o.load.Clients)
	case o.load.Size < 16 || o.load.Size > largest:
		return fmt.Errorf("-size %d is not between 16 and %d", o.load.Size, largest)
	case o.load.Rate < 0 || o.load.Window < 1 || o.load.Duration <= 0:
		return errors.New("-rate must not be negative, -window and -duration must be more than 0")
	case !ok:
		return fmt.Errorf("-loss %s is not a share such as 10%% or 0.1", o.loss)
	case o.server.RTT < 0 || o.server.RTT > time.Minute:
		return fmt.Errorf("-rtt %v is not between 0s and 1m", o.server.RTT)
	}
	return nil
}

// share parses a share, a number from 0 to less than 1.
func share(s string) (float64, bool) {
	if s == "" {
		return 0, true
	}
	number, percent := strings.CutSuffix(s, "%")
	x, err := strconv.ParseFloat(number, 64)
	if percent {
		x /= 100
	}
	return x, err == nil && x >= 0 && x < 1
}

// transport returns the transport that -url and the flags about the network choose.
func (o *options) transport(ctx context.Context) (load.Transport, error) {
	addr, ok := strings.CutPrefix(o.server.URL, "udp://")
	if !ok {
		return load.Godwit(ctx, o.server)
	}
	if len(o.server.Channels) > 0 || o.server.Loss > 0 || o.server.RTT > 0 {
		return nil, errors.New("a server of bare datagrams has no channels, and is reached directly: leave out -channel, -loss and -rtt")
	}
	return load.UDP(addr)
}

// run makes the load and prints the report to out, and progress to progress.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if o.version {
		fmt.Fprintln(out, "godwit-bench", version.Version)
		return nil
	}
	if !o.quiet {
		o.load.Progress = progress
	}
	t, err := o.transport(ctx)
	if err != nil {
		return err
	}
	report, err := load.Run(ctx, t, o.load)
	if err != nil {
		return err
	}
	if !o.json {
		report.Print(out)
		return nil
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(report)
}
