// Godwit-relay is one public UDP port before many servers of this module: see docs/relay.md.
//
//	godwit-relay -listen :7777 -inner 10.0.0.2:7776 -node 1=10.0.0.5:7777 -node 2=10.0.0.6:7777
//
// See godwit-relay -help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit/internal/relaycmd"
	"github.com/godwit-rtc/godwit/relay"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdout, again)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "godwit-relay:", err)
		os.Exit(1)
	}
}

const intro = `godwit-relay is one public UDP port before many servers of godwit.

usage: godwit-relay -node NUMBER=ADDRESS ... [flags]

Each server has a number of its own in Config.RTC.Node, the public address of the
relay in Config.RTC.Public, and the address of -inner in Config.RTC.TrustedRelays.
Only UDP of WebRTC goes through the relay; HTTP goes to the servers in another way.
Let nobody but the servers send to the port of -inner.

  two servers:
    godwit-relay -listen :7777 -inner 10.0.0.2:7776 -node 1=10.0.0.5:7777 -node 2=10.0.0.6:7777
  those of a file, which has a line such as "1 10.0.0.5:7777" for each:
    godwit-relay -listen :7777 -inner 10.0.0.2:7776 -nodes /etc/godwit/nodes

SIGHUP makes it read the file, and look up the names of hosts, again. SIGTERM ends it;
sessions continue when a relay runs again at the same addresses.

flags:
`

// options are the flags.
type options struct {
	relaycmd.Options
	file  string
	nodes []string // of -node
	every time.Duration
}

func parse(args []string, out io.Writer) (*options, error) {
	o := new(options)
	f := o.Flags("godwit-relay")
	f.Func("node", "`number=address` of a server, such as 1=10.0.0.5:7777; may be repeated", func(text string) error {
		o.nodes = append(o.nodes, text)
		return nil
	})
	f.StringVar(&o.file, "nodes", "", "`file` with a server in each line, read again at SIGHUP")
	f.DurationVar(&o.every, "every", 0, "`time` after which the file is read, and names are looked up, again, such as 10s.\nA server whose name is not found keeps its address, or is left out. 0 means only at SIGHUP")
	if err := relaycmd.Parse(f, intro, args, out); err != nil {
		return nil, err
	}
	if len(o.nodes) == 0 && o.file == "" {
		return nil, errors.New("-node or -nodes is missing: the relay needs servers; see -help")
	}
	return o, nil
}

// run relays until ctx ends. Each signal of again makes it read the nodes again.
func run(ctx context.Context, args []string, out io.Writer, again <-chan os.Signal) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if o.every < 0 {
		return errors.New("-every is negative")
	}
	if o.Config.Nodes, err = o.list(ctx, nil); err != nil {
		return err
	}
	log := relaycmd.Logger(out)
	return o.Run(ctx, log, func(ctx context.Context, r *relay.Relay) { o.follow(ctx, r, log, again) })
}

// follow reads the nodes again at each signal of again, and with -every.
func (o *options) follow(ctx context.Context, r *relay.Relay, log *slog.Logger, again <-chan os.Signal) {
	var tick <-chan time.Time
	if o.every > 0 {
		t := time.NewTicker(o.every)
		defer t.Stop()
		tick = t.C
	}
	for now := o.Config.Nodes; ; {
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-tick:
		}
		nodes, err := o.list(ctx, now)
		if err == nil && slices.Equal(nodes, now) {
			continue
		}
		if err == nil {
			err = r.SetNodes(nodes)
		}
		if err == nil {
			now = nodes
		} else if ctx.Err() == nil {
			log.Error("relay: the list of nodes stays as it was", "err", err)
		}
	}
}
