// Godwit-netsim is a bad network in front of a UDP server: it relays datagrams between
// clients and the server, and loses, delays, duplicates, reorders and damages some of
// them. Commands on the standard input change the conditions while it runs.
//
//	godwit-netsim -target 127.0.0.1:42424 -preset train
//
// See godwit-netsim -help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, second.C)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "godwit-netsim:", err)
		os.Exit(1)
	}
}

// options are the flags other than conditions.
type options struct {
	listen, target, source string
	clients                int
	seed                   uint64
	shared, quiet          bool
	record, replay         string
}

// parse reads the flags.
func parse(args []string, out io.Writer) (o options, c *conditions, err error) {
	f := flag.NewFlagSet("godwit-netsim", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed once, by main
	f.Usage = func() {}
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "`address` that clients send to; port 0 chooses one")
	f.StringVar(&o.target, "target", "", "`address` of the server")
	f.StringVar(&o.source, "source", "", "`IP` to send to the server from; empty leaves it to the system")
	f.IntVar(&o.clients, "clients", 64, "`number` of clients known at a time; the idle make room")
	f.Uint64Var(&o.seed, "seed", 1, "`number` that decides the fates; the same number repeats them")
	f.BoolVar(&o.shared, "shared", false, "all clients go through one rate and one queue")
	f.BoolVar(&o.quiet, "quiet", false, "no status each second")
	f.StringVar(&o.record, "record", "", "`file` to write the fate of every datagram to, as JSON lines")
	f.StringVar(&o.replay, "replay", "", "`file` written by -record whose first client's fates are repeated;\nof the conditions only blackouts and -mtu count then")
	preset := f.String("preset", "", "`name` of a network to begin with; other flags change it")
	values := make(map[string]*string)
	for _, s := range settings {
		values[s.name] = f.String(s.name, "", s.usage)
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		f.SetOutput(out)
		usage(f)
		return o, nil, err
	case err != nil:
		return o, nil, fmt.Errorf("%w; see -help", err)
	}
	if f.NArg() > 0 {
		return o, nil, fmt.Errorf("%q is no flag; see -help", f.Arg(0))
	}
	c = &conditions{}
	if o.shared {
		c.share()
	}
	if *preset != "" {
		if err := c.set("preset", *preset); err != nil {
			return o, nil, err
		}
	}
	for _, s := range settings {
		if v := *values[s.name]; v != "" {
			if err := c.set(s.name, v); err != nil {
				return o, nil, fmt.Errorf("-%w", err)
			}
		}
	}
	return o, c, nil
}

// run relays until ctx ends or the command quit comes. It prints the status at each tick.
func run(ctx context.Context, args []string, in io.Reader, out io.Writer, ticks <-chan time.Time) (err error) {
	o, c, err := parse(args, out)
	if err != nil {
		return err
	}
	config, err := o.relay()
	if err != nil {
		return err
	}
	if o.replay != "" {
		if err := c.replayFile(o.replay); err != nil {
			return err
		}
	}
	if o.record != "" {
		recorder, done, err := record(o.record)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
		config.Record = recorder
	}
	config.Up, config.Down = c.links()
	relay, err := netsim.ListenRelay(config)
	if err != nil {
		return err
	}
	defer relay.Close()
	fmt.Fprintf(out, "listening on %v for %v, seed %d\n%v", relay.Addr(), config.Target, o.seed, c)
	return serve(ctx, &console{relay: relay, conditions: c, out: out, quiet: o.quiet}, in, ticks)
}

// relay returns the addresses of the flags.
func (o *options) relay() (c netsim.RelayConfig, err error) {
	if o.target == "" {
		return c, errors.New("-target is missing: the address of the server, such as 127.0.0.1:42424")
	}
	c.Seed, c.MaxClients = o.seed, o.clients
	if c.Target, err = netip.ParseAddrPort(o.target); err != nil {
		return c, fmt.Errorf("-target %q is not an address such as 127.0.0.1:42424", o.target)
	}
	if c.Listen, err = netip.ParseAddrPort(o.listen); err != nil {
		return c, fmt.Errorf("-listen %q is not an address such as 127.0.0.1:9000", o.listen)
	}
	if o.source != "" {
		if c.Source, err = netip.ParseAddr(o.source); err != nil {
			return c, fmt.Errorf("-source %q is not an IP address", o.source)
		}
	}
	return c, nil
}

// record opens the file for the trace; done completes the file.
func record(name string) (r *netsim.Recorder, done func() error, err error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, nil, fmt.Errorf("-record: %w", err)
	}
	r = netsim.NewRecorder(file)
	return r, func() error {
		if err := errors.Join(r.Flush(), file.Close()); err != nil {
			return fmt.Errorf("-record: %w", err)
		}
		return nil
	}, nil
}
