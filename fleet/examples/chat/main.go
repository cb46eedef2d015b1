// Chat is one room on several servers: who talks at one is heard at all. This starts three processes, of
// which the first has the NATS server, and prints the URL of each:
//
//	go run ./examples/chat
//
// Open two of them. "/w name text" whispers to one player, "/where name" says where a player is, "/kick name"
// throws a player out, on whichever server the player is.
//
// Each process can run on a machine of its own:
//
//	go run ./examples/chat -node one -nats-listen 10.0.0.2:4222 -password secret
//	go run ./examples/chat -node two -nats nats://10.0.0.2:4222 -password secret
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/fleet"
)

//go:embed index.html
var page []byte

// Line is the only channel.
const Line godwit.ChannelID = 1

type options struct {
	nodes                       int
	node, data, web             string
	nats, natsListen, dir       string
	user, password, credentials string
}

func main() {
	var o options
	var verbose bool
	flag.IntVar(&o.nodes, "nodes", 3, "number of processes to start, if -node is not set")
	flag.StringVar(&o.node, "node", "", "`name` of the only node to start in this process")
	flag.StringVar(&o.data, "data", ":0", "UDP `address` to listen on for messages")
	flag.StringVar(&o.web, "http", "localhost:8080", "TCP `address` to serve the page on; with -nodes, the next ones too")
	flag.StringVar(&o.nats, "nats", "", "`address` of NATS; empty: a NATS server in this process")
	flag.StringVar(&o.natsListen, "nats-listen", "", "`address` at which the NATS server of this process listens")
	flag.StringVar(&o.dir, "nats-dir", "", "`directory` for the NATS server of this process; empty: in memory")
	flag.StringVar(&o.user, "user", "fleet", "user of NATS")
	flag.StringVar(&o.password, "password", "", "password of NATS")
	flag.StringVar(&o.credentials, "credentials", "", "`file` with credentials for NATS")
	flag.BoolVar(&verbose, "v", false, "log what happens")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	var err error
	if o.node == "" {
		err = startAll(ctx, &o)
	} else {
		err = run(ctx, &o, logger)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// startAll starts the nodes as processes, and waits until they end.
func startAll(ctx context.Context, o *options) error {
	host, first, err := net.SplitHostPort(o.web)
	if err != nil {
		return err
	}
	port, err := net.LookupPort("tcp", first)
	if err != nil {
		return err
	}
	natsAddress, err := freeAddress()
	if err != nil {
		return err
	}
	over := make(chan error, o.nodes)
	for i := range o.nodes {
		args := []string{"-node", fmt.Sprint("node-", i+1), "-http", net.JoinHostPort(host, fmt.Sprint(port+i))}
		if i == 0 {
			args = append(args, "-nats-listen", natsAddress)
		} else {
			args = append(args, "-nats", "nats://"+natsAddress)
		}
		c := exec.CommandContext(ctx, os.Args[0], args...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
		c.WaitDelay = 5 * time.Second
		if err := c.Start(); err != nil {
			return err
		}
		go func() { over <- c.Wait() }()
	}
	for range o.nodes {
		if e := <-over; e != nil && ctx.Err() == nil && err == nil {
			err = e
		}
	}
	return err
}

// freeAddress returns an address of this machine at which nobody listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// join joins the fleet. The node that has the NATS server may be starting still.
func join(ctx context.Context, c fleet.Config) (*fleet.Fleet, error) {
	for try := 0; ; try++ {
		f, err := fleet.Join(ctx, c)
		if err == nil || c.NATS == "" || try == 50 {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// run is one node.
func run(ctx context.Context, o *options, logger *slog.Logger) error {
	c := fleet.Config{Name: o.node, NATS: o.nats, Listen: o.natsListen, Dir: o.dir, Credentials: o.credentials, Logger: logger}
	if o.password != "" {
		c.User, c.Password = o.user, o.password
	}
	f, err := join(ctx, c)
	if err != nil {
		return err
	}
	defer f.Close()
	room := f.Group("room")
	say := func(format string, args ...any) { room.Send(Line, fmt.Appendf(nil, format, args...)) }
	srv, err := f.Listen(o.data, godwit.Config{
		Channels:   godwit.Channels{{Name: "line", Mode: godwit.ReliableOrdered}},
		Duplicates: godwit.DuplicatesReplace,
		Authorize:  name,
		Logger:     logger,
		Handler: godwit.Handler{
			Open: func(c *godwit.Conn) {
				room.Join(c)
				say("* %s is here, on %s", c.Identity().Name, f.Name())
			},
			Message: func(c *godwit.Conn, _ godwit.ChannelID, b []byte) { said(f, c, string(b), say) },
			Close:   func(c *godwit.Conn, why godwit.CloseReason) { say("* %s has gone: %v", c.Identity().Name, why.Code) },
		},
	})
	if err != nil {
		return err
	}
	defer srv.Close()

	listener, err := net.Listen("tcp", o.web)
	if err != nil {
		return err
	}
	m := http.NewServeMux()
	m.Handle("/godwit/", srv)
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	fmt.Printf("%s: open http://%s %s\n", f.Name(), listener.Addr(), f.NATSAddress())
	h := &http.Server{Handler: m, ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() { h.Close() })
	defer stopped()
	if err := h.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// name takes the name of a player from the URL: everybody may have every name in this example.
func name(r *http.Request) (godwit.Identity, error) {
	n := strings.TrimSpace(r.URL.Query().Get("name"))
	if n == "" || len(n) > 32 {
		return godwit.Identity{}, errors.New("a name has 1 to 32 bytes")
	}
	return godwit.Identity{Name: n}, nil
}

// said does what a player has typed.
func said(f *fleet.Fleet, c *godwit.Conn, text string, say func(string, ...any)) {
	tell := func(format string, args ...any) { c.Send(Line, fmt.Appendf(nil, format, args...)) }
	from := c.Identity().Name
	command, rest, _ := strings.Cut(text, " ")
	to, whisper, _ := strings.Cut(rest, " ")
	switch command {
	case "/w":
		if err := f.Send(to, Line, fmt.Appendf(nil, "%s whispers: %s", from, whisper)); err != nil {
			tell("* %v", err)
		}
	case "/kick":
		if err := f.Kick(to, "kicked by "+from); err != nil {
			tell("* %v", err)
		}
	case "/where":
		go func() { // Where waits, which a handler must not
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			if at, err := f.Where(ctx, to); err != nil {
				tell("* %s: %v", to, err)
			} else {
				tell("* %s is on %s", to, at.Node)
			}
		}()
	default:
		say("%s: %s", from, text)
	}
}
