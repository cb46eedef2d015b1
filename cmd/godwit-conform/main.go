// Godwit-conform tests another implementation of a client: it is a server of
// docs/PROTOCOL.md and docs/SESSION.md, and says which clause the client violates.
//
//	godwit-conform [flags] [URL]
//
// URL is the address at which it serves, by default http://localhost:8099/. A client
// needs a loop of ten lines for the test. The page at the URL, and -help, describe the
// loop.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit/internal/conform"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "godwit-conform:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("godwit-conform", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed once, by main
	pattern := f.String("run", "", "run only cases whose name matches this `regexp`")
	slack := f.Duration("slack", 200*time.Millisecond, "`time` that the machine may add to what a clause allows")
	list := f.Bool("list", false, "print the names of the cases")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(out, "usage: godwit-conform [flags] [URL]\n\n%s\nFlags:\n", conform.Driver)
			f.SetOutput(out)
			f.PrintDefaults()
		}
		return err
	}
	chosen, err := conform.Choose(*pattern)
	if err != nil {
		return err
	}
	if *list {
		for _, c := range chosen {
			fmt.Fprintln(out, c.Name)
		}
		return nil
	}
	where := "http://localhost:8099/"
	if f.NArg() > 0 {
		where = f.Arg(0)
	}
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "http" || u.Host == "" || f.NArg() > 1 {
		return fmt.Errorf("%q is no address to serve on; give one like http://localhost:8099/", f.Args())
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "80")
	}
	listener, err := net.Listen("tcp", u.Host)
	if err != nil {
		return err
	}
	return conform.Serve(ctx, listener, chosen, *slack, out, nil)
}
