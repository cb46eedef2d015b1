// Godwit-netsim is a bad network in front of a UDP server: it relays datagrams between
// clients and the server, and loses, delays, duplicates, reorders and damages some of
// them. With -tun it does so with all traffic of a network namespace, TCP too. Commands on
// the standard input change the conditions while it runs.
//
//	godwit-netsim -target 127.0.0.1:42424 -preset train
//	godwit-netsim -tun -preset train
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

	tun       bool
	near, far string
	tunMTU    int
	given     map[string]bool // the flags that the command line has
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
	f.BoolVar(&o.tun, "tun", false, "in place of relaying, be the link of a network namespace (Linux, root)")
	f.StringVar(&o.near, "near", "", "with -tun: `namespace and addresses` of this end, such as\nmine,10.9.0.1/24; empty: that of this process, 10.98.0.1/24 and fd98::1/64")
	f.StringVar(&o.far, "far", "", "with -tun: `namespace and addresses` of the other end;\nempty: a new namespace, 10.98.0.2/24 and fd98::2/64")
	f.IntVar(&o.tunMTU, "tun-mtu", 1500, "with -tun: `bytes` of the largest packet that the kernel makes")
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
	o.given = make(map[string]bool)
	f.Visit(func(f *flag.Flag) { o.given[f.Name] = true })
	if err := o.fits(); err != nil {
		return o, nil, err
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

// fits returns an error if a flag has no meaning beside another.
func (o *options) fits() error {
	which, names := "-tun has no -%s", []string{"listen", "target", "source", "clients", "shared"}
	if !o.tun {
		which, names = "-%s needs -tun", []string{"near", "far", "tun-mtu"}
	}
	for _, name := range names {
		if o.given[name] {
			return fmt.Errorf(which, name)
		}
	}
	return nil
}

// run is a bad network until ctx ends or the command quit comes. It prints the status at each tick.
func run(ctx context.Context, args []string, in io.Reader, out io.Writer, ticks <-chan time.Time) (err error) {
	o, c, err := parse(args, out)
	if err != nil {
		return err
	}
	plan := o.relay
	if o.tun {
		plan = o.tunnel
	}
	begin, err := plan()
	if err != nil {
		return err
	}
	if o.replay != "" {
		if err := c.replayFile(o.replay); err != nil {
			return err
		}
	}
	var recorder *netsim.Recorder
	if o.record != "" {
		var done func() error
		if recorder, done, err = record(o.record); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
	}
	up, down := c.links()
	n, text, err := begin(up, down, recorder)
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Fprintf(out, "%s, seed %d\n%v", text, o.seed, c)
	return serve(ctx, &console{network: n, conditions: c, out: out, quiet: o.quiet}, in, ticks)
}

// A beginner starts a network. Its text says where the network is.
type beginner func(up, down netsim.Link, r *netsim.Recorder) (n network, text string, err error)

// relay returns what starts a relay with the addresses of the flags.
func (o *options) relay() (beginner, error) {
	c := netsim.RelayConfig{Seed: o.seed, MaxClients: o.clients}
	if o.target == "" {
		return nil, errors.New("-target is missing: the address of the server, such as 127.0.0.1:42424")
	}
	var err error
	if c.Target, err = netip.ParseAddrPort(o.target); err != nil {
		return nil, fmt.Errorf("-target %q is not an address such as 127.0.0.1:42424", o.target)
	}
	if c.Listen, err = netip.ParseAddrPort(o.listen); err != nil {
		return nil, fmt.Errorf("-listen %q is not an address such as 127.0.0.1:9000", o.listen)
	}
	if o.source != "" {
		if c.Source, err = netip.ParseAddr(o.source); err != nil {
			return nil, fmt.Errorf("-source %q is not an IP address", o.source)
		}
	}
	return func(up, down netsim.Link, r *netsim.Recorder) (network, string, error) {
		c.Up, c.Down, c.Record = up, down, r
		relay, err := netsim.ListenRelay(c)
		if err != nil {
			return nil, "", err
		}
		return relayed{relay}, fmt.Sprintf("listening on %v for %v", relay.Addr(), c.Target), nil
	}, nil
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
