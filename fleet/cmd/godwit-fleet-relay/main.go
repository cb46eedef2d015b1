// Godwit-fleet-relay is godwit-relay for a fleet: it has the nodes from NATS. See docs/relay.md.
//
//	godwit-fleet-relay -nats nats://10.0.0.3:4222 -listen :7777 -inner 10.0.0.2:7776
//
// See godwit-fleet-relay -help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/godwit-rtc/godwit/fleet"
	"github.com/godwit-rtc/godwit/internal/relaycmd"
	"github.com/godwit-rtc/godwit/relay"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "godwit-fleet-relay:", err)
		os.Exit(1)
	}
}

const intro = `godwit-fleet-relay is one public UDP port before the servers of a fleet.

usage: godwit-fleet-relay -nats URL [flags]

Each server has a number of its own in Config.RTC.Node of godwit, the public address
of the relay in Config.RTC.Public, the address of -inner in Config.RTC.TrustedRelays,
and, if it listens at all interfaces, its inner address in Config.UDP of fleet. The
relay hears of the servers over NATS. While NATS is away it keeps them. Let nobody
except the servers send to the port of -inner.

GODWIT_NATS_PASSWORD has the password of -user. SIGTERM ends the relay; sessions
continue when a relay runs again at the same addresses.

flags:
`

func parse(args []string, env func(string) string, out io.Writer) (o relaycmd.Options, c fleet.Config, err error) {
	f := o.Flags("godwit-fleet-relay")
	f.StringVar(&c.NATS, "nats", "", "`URL` of NATS, or several with commas between them, such as nats://10.0.0.3:4222")
	f.StringVar(&c.User, "user", "", "`name` for NATS")
	f.StringVar(&c.Credentials, "credentials", "", "`file` with credentials for NATS")
	f.StringVar(&c.Prefix, "prefix", "godwit", "`name` of the fleet: its Config.Prefix")
	f.StringVar(&c.Name, "name", "", "`name` of the relay in the fleet; empty means that of the host and a random part")
	if err := relaycmd.Parse(f, intro, args, out); err != nil {
		return o, c, err
	}
	if c.NATS == "" {
		return o, c, errors.New("-nats is missing: the relay needs to hear of the servers; see -help")
	}
	c.Password = env("GODWIT_NATS_PASSWORD")
	return o, c, nil
}

// run relays until ctx ends.
func run(ctx context.Context, args []string, env func(string) string, out io.Writer) error {
	o, c, err := parse(args, env, out)
	if err != nil {
		return err
	}
	log := relaycmd.Logger(out)
	c.Logger = log
	f, err := fleet.Join(ctx, c)
	if err != nil {
		return err
	}
	defer f.Close()
	return o.Run(ctx, log, func(_ context.Context, r *relay.Relay) { f.FeedRelay(r) })
}
