// Hosted is a game server as hosts want it: for containers, systemd, Kubernetes, Agones and fly.io. The directory deploy
// has the recipes. The game is the smallest that there is: a page shows how many players there are.
//
//	go run ./examples/hosted
//
// Then open http://localhost:8080. Every flag has an environment variable: GODWIT_DATA for -data. GET /livez, /readyz and
// /metrics are at the address of -admin, which only the host should reach.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/metrics"
)

//go:embed index.html
var page []byte

// options are the flags.
type options struct {
	data, http, admin string
	public            []netip.AddrPort
	proxies           []netip.Prefix
	discover, keys    string
	node              uint
	relays            []netip.Prefix
	players           int
	drain             time.Duration
	check             string
}

// parse reads the flags, whose defaults are in the environment.
func parse(args []string, env func(string) (string, bool), out io.Writer) (o options, err error) {
	f := flag.NewFlagSet("hosted", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.data, "data", ":7777", "UDP `address` of the game; on fly.io fly-global-services:7777")
	f.StringVar(&o.http, "http", "localhost:8080", "TCP `address` of the page and the signaling")
	f.StringVar(&o.admin, "admin", "localhost:9090", "TCP `address` of /livez, /readyz and /metrics")
	f.Func("public", "`addresses` that pages are told to send to, separated by commas;\nempty: those of this machine, with the port of -data", func(s string) (err error) {
		o.public, err = list(s, netip.ParseAddrPort)
		return err
	})
	f.Func("proxies", "`prefixes` of the proxies in front, separated by commas, such as 10.0.0.0/8", func(s string) (err error) {
		o.proxies, err = list(s, netip.ParsePrefix)
		return err
	})
	f.UintVar(&o.node, "node", 0, "`number` of this server behind relays, 1 to 16777215; 0 means that it has none")
	f.Func("relays", "`prefixes` of the inner addresses of the relays, separated by commas, such as 10.0.0.0/16", func(s string) (err error) {
		o.relays, err = list(s, netip.ParsePrefix)
		return err
	})
	f.StringVar(&o.discover, "discover", "", "`address` of a STUN server that is asked for the public address, such as stun.example:3478")
	f.StringVar(&o.keys, "keys", "", "`file` with the certificate and the key of invites; it is made if it does not exist")
	f.IntVar(&o.players, "players", 100, "`number` of players at most")
	f.DurationVar(&o.drain, "drain", 10*time.Second, "`time` at most, after SIGTERM, until the players have got their messages")
	f.StringVar(&o.check, "check", "", "ask the `URL` instead, such as http://localhost:9090/livez: status 0 means that it answers 200")
	f.VisitAll(func(g *flag.Flag) {
		name := "GODWIT_" + strings.ToUpper(g.Name)
		if v, ok := env(name); ok && err == nil {
			if err = g.Value.Set(v); err != nil {
				err = fmt.Errorf("%s=%q: %w", name, v, err)
			}
		}
	})
	if err != nil {
		return o, err
	}
	if err = f.Parse(args); err == nil && f.NArg() > 0 {
		err = fmt.Errorf("%q is no flag; see -help", f.Arg(0))
	}
	if err == nil && o.node > 1<<24-1 {
		err = fmt.Errorf("-node %d is more than 16777215", o.node)
	}
	return o, err
}

func list[T any](s string, parse func(string) (T, error)) (all []T, err error) {
	for a := range strings.SplitSeq(s, ",") {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
		v, err := parse(a)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.LookupEnv, os.Stderr)
	if err == nil {
		if err = check(ctx, o.check); o.check == "" {
			err = run(ctx, o, os.Getenv, os.Stdout)
		}
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "hosted:", err)
		os.Exit(1)
	}
}

// check asks a URL, for images without a shell.
func check(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// A game is the server with what it tells its host.
type game struct {
	server   *godwit.Server
	sidecar  *agones       // nil outside of Agones
	changed  chan struct{} // has one element when the number of players has changed
	played   sync.Once
	stopping atomic.Bool
}

const players godwit.ChannelID = 1 // the number of players, as text

// newGame returns a game whose server is on the socket, or listens if there is none.
func newGame(o options, socket net.PacketConn, sidecar *agones) (*game, error) {
	g := &game{sidecar: sidecar, changed: make(chan struct{}, 1)}
	c := godwit.Config{
		Channels: godwit.Channels{{Name: "players", Mode: godwit.Sequenced, Direction: godwit.ToClient}},
		MaxConns: o.players,
		KeyFile:  o.keys,
		Handler: godwit.Handler{
			Open:    g.opened,
			Close:   func(*godwit.Conn, godwit.CloseReason) { g.change() },
			Request: func(_ *godwit.Conn, r *godwit.Request) { r.Reply(r.Data) }, // the page measures the round trip
		},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	c.RTC.Public, c.RTC.Discover, c.RTC.TrustedProxies = o.public, o.discover, o.proxies
	c.RTC.Node, c.RTC.TrustedRelays = uint32(o.node), o.relays
	var err error
	if socket != nil {
		c.RTC.ReadBuffer, c.RTC.WriteBuffer = -1, -1 // as systemd has made them, perhaps larger than we may
		g.server, err = godwit.Serve(socket, c)
	} else {
		g.server, err = godwit.Listen(o.data, c)
	}
	return g, err
}

// opened is called when a player has come. With the first one a match begins: Agones must not remove the GameServer when
// its Fleet gets smaller. Where a matchmaker allocates GameServers, Agones knows already.
func (g *game) opened(*godwit.Conn) {
	g.change()
	g.played.Do(func() { go g.sidecar.post("/allocate") })
}

func (g *game) change() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// count tells all players how many there are.
func (g *game) count() {
	g.server.Broadcast(players, strconv.AppendInt(nil, int64(g.server.Len()), 10))
}

// run serves until ctx ends, and then until the players have got what was sent to them.
func run(ctx context.Context, o options, env func(string) string, out io.Writer) error {
	udp, tcp, err := passed(env, os.Getpid())
	if err != nil {
		return err
	}
	g, err := newGame(o, udp, newAgones(env("AGONES_SDK_HTTP_PORT"), http.DefaultTransport))
	if err != nil {
		return err
	}
	defer g.server.Close()
	if tcp == nil {
		if tcp, err = net.Listen("tcp", o.http); err != nil {
			return err
		}
	}
	admin, err := net.Listen("tcp", o.admin)
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	pages := webServer(g.pages())
	figures := webServer(g.figures())
	defer pages.Close()
	defer figures.Close()
	go func() { ended <- pages.Serve(tcp) }()
	go func() { ended <- figures.Serve(admin) }()
	go g.sidecar.serve(ctx, "game", g.server.RTC().SetPublic)
	fmt.Fprintf(out, "open http://%s  (UDP %s, admin http://%s)\n", tcp.Addr(), g.server.RTC().Addr(), admin.Addr())

	for playing := true; playing; {
		select {
		case <-g.changed:
			g.count()
			playing = g.sidecar == nil || g.server.Len() > 0 // a GameServer is for one match
		case err = <-ended:
			return err
		case <-ctx.Done():
			playing = false
		}
	}
	g.stopping.Store(true) // /readyz says so, and new players go elsewhere
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.drain)
	defer cancel()
	err = g.server.Shutdown(late, "the server ends")
	g.sidecar.post("/shutdown")
	return err
}

// webServer returns a server that waits neither for a request that does not come whole nor for a client that asks
// nothing more.
func webServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
}

// pages is what players reach.
func (g *game) pages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/godwit/", g.server) // signaling, and the client script
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	return mux
}

// figures is what the host reaches. /livez fails when only a new process helps, /readyz when new players should go
// to another one.
func (g *game) figures() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler(g.server))
	for path, bad := range map[string]func() bool{
		"GET /livez":  g.broken,
		"GET /readyz": func() bool { return g.broken() || g.stopping.Load() },
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			if bad() {
				http.Error(w, "no", http.StatusServiceUnavailable)
				return
			}
			fmt.Fprintln(w, "ok")
		})
	}
	return mux
}

// broken reports whether a socket has failed.
func (g *game) broken() bool { return g.server.RTC().Stats().StoppedShards > 0 }
