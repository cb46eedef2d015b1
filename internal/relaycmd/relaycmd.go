// Package relaycmd is what the programs with a relay, godwit-relay and godwit-fleet-relay, have in common: the flags of its
// ports, and a run from its start to its end.
//
// A program adds its own flags, which say where the list of nodes comes from, and gives Run a func that keeps the list.
package relaycmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/godwit-rtc/godwit/relay"
)

// Options are the flags that all these programs have.
type Options struct {
	Listen, Inner string // addresses, as for relay.Listen
	Metrics       string // address of an HTTP port; empty means none
	Config        relay.Config
}

// Flags returns an empty set of flags with those of o.
func (o *Options) Flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed once, by main
	f.Usage = func() {}
	f.StringVar(&o.Listen, "listen", ":7777", "`address` to which clients send")
	f.StringVar(&o.Inner, "inner", ":7776", "`address` from which the relay sends to the servers: best that of the\nnetwork that they share, and always the same port")
	f.StringVar(&o.Metrics, "metrics", "", "`address` of an HTTP port that serves /metrics for Prometheus; empty means none")
	f.IntVar(&o.Config.MaxClients, "max-clients", 1<<16, "`number` of clients that the relay remembers; each takes about 150 bytes")
	f.BoolVar(&o.Config.NoSegments, "no-segments", false, "give the kernel each datagram for a server by itself, and take each of a server by itself:\nif a driver or a tunnel between them loses datagrams of one length that follow each other")
	return f
}

// Parse parses args. For -help it writes intro and the flags to out, and returns flag.ErrHelp.
func Parse(f *flag.FlagSet, intro string, args []string, out io.Writer) error {
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, intro)
		f.SetOutput(out)
		f.PrintDefaults()
		return err
	case err != nil:
		return fmt.Errorf("%w; see -help", err)
	case f.NArg() > 0:
		return fmt.Errorf("%q is no flag; see -help", f.Arg(0))
	}
	return nil
}

// Logger returns the logger of a program that writes to out.
func Logger(out io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(out, nil)) }

// Run relays until ctx ends, then it returns nil, or until a socket fails. follow keeps the list of nodes, until its context
// ends, on a goroutine of its own.
func (o *Options) Run(ctx context.Context, log *slog.Logger, follow func(context.Context, *relay.Relay)) error {
	o.Config.Logger = log
	r, err := relay.Listen(o.Listen, o.Inner, o.Config)
	if err != nil {
		return err
	}
	defer r.Close()
	if o.Metrics != "" {
		l, err := net.Listen("tcp", o.Metrics)
		if err != nil {
			return fmt.Errorf("-metrics: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", r)
		server := &http.Server{Handler: mux}
		go server.Serve(l)
		defer server.Close()
		log.Info("metrics", "url", "http://"+l.Addr().String()+"/metrics")
	}
	following, stop := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		follow(following, r)
	}()
	defer func() { <-followed }()
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.Wait() }()
	select {
	case <-ctx.Done():
		log.Info("relay: ends")
		return nil
	case err := <-ended:
		return err
	}
}
