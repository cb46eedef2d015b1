// Duel is one small game twice on one page, through the same bad link: once over a plain WebSocket, and once over godwit. The
// page shows how old each picture is.
//
//	go run ./examples/duel
//
// Then open the URL it prints. The page has sliders for the loss and the delay of the link. UDP passes a relay of package
// netsim. The WebSocket passes a stand-in for TCP (tcp.go), which does with lost segments what TCP of the kernel does. As root on
// Linux
//
//	go run ./examples/duel -tun
//
// puts a lossy link below TCP of the kernel, and below UDP, in place of both. The game is in game.go, the server in duel.go, the
// link in link.go, and the page in index.html.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/netsim"
)

//go:embed index.html
var page []byte

// options are the flags.
type options struct {
	data, http  string
	public      []netip.AddrPort
	origins     []string
	loss, delay float64
	tun         bool
}

func main() {
	var o options
	flag.StringVar(&o.data, "data", ":42424", "UDP `address` of the game; without a host: an address of this machine")
	flag.Func("public", "`addresses` that pages are told to send to, separated by commas; empty: that of -data", func(s string) (err error) {
		o.public, err = list(s, netip.ParseAddrPort)
		return err
	})
	flag.StringVar(&o.http, "http", "localhost:8080", "TCP `address` of the page, the signaling and the WebSocket")
	flag.Func("origins", "`origins` whose pages may use this server, separated by commas, such as https://pages.example; or *", func(s string) (err error) {
		o.origins, err = list(s, func(s string) (string, error) { return s, nil })
		return err
	})
	flag.Float64Var(&o.loss, "loss", 5, "`percent` of packets that are lost each way at first")
	flag.Float64Var(&o.delay, "delay", 50, "`ms` that a packet takes each way at first")
	flag.BoolVar(&o.tun, "tun", false, "a lossy link below TCP of the kernel; needs Linux and root, and serves only this machine")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "duel: %q is no flag; see -help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, func(s string) { fmt.Println(s) }); err != nil {
		fmt.Fprintln(os.Stderr, "duel:", err)
		os.Exit(1)
	}
}

// list reads what is between commas.
func list[T any](s string, parse func(string) (T, error)) (all []T, err error) {
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		var v T
		if v, err = parse(part); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// run serves until ctx ends. It gives say lines for the person who has started it.
func run(ctx context.Context, o options, say func(string)) error {
	if !(o.loss >= 0 && o.loss <= mostLoss && o.delay >= 0 && o.delay <= mostDelay) {
		return fmt.Errorf("-loss must be from 0 to %d percent, and -delay from 0 to %d ms", mostLoss, mostDelay)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	d := newDuel(ctx, o.origins)
	listen := d.listenRelay
	if o.tun {
		listen = d.listenTun
	}
	srv, err := listen(o)
	defer d.link.close()
	if err != nil {
		return err
	}
	defer srv.Close()
	defer d.running.Wait()
	defer stop()
	d.link.set(o.loss, o.delay)
	l, err := net.Listen("tcp", o.http)
	if err != nil {
		return fmt.Errorf("%w (choose another port with -http)", err)
	}
	game := srv.RTC().Addr()
	if d.link.relay != nil {
		game = d.link.relay.Addr()
	}
	say(fmt.Sprintf("open http://%s  (the game is on UDP %s)", pageHost(l.Addr()), game))
	if o.tun {
		say("TCP is that of the kernel, over a lossy TUN device")
	} else {
		say("the WebSocket passes a stand-in for TCP; as root on Linux, -tun uses TCP of the kernel")
	}

	go d.run()
	h := webServer(d.routes(srv))
	go func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		srv.Shutdown(late, "the server ends")
		h.Shutdown(late)
	}()
	if err := h.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// webServer returns a server that waits neither for a request that does not come whole nor for a client that asks
// nothing more.
func webServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
}

func (d *duel) routes(srv *godwit.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	mux.Handle("/godwit/", srv) // signaling, and the client script
	mux.HandleFunc("GET /link", d.serveLink)
	mux.HandleFunc("POST /link", d.serveLink)
	mux.HandleFunc("GET /websocket", func(w http.ResponseWriter, r *http.Request) {
		if d.allow(w, r) {
			d.serveWebSocket(w, r, true)
		}
	})
	return mux
}

// listenRelay starts the server behind a relay.
func (d *duel) listenRelay(o options) (*godwit.Server, error) {
	host, port, err := net.SplitHostPort(o.data)
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	if host == "" {
		host = machineAddr().String()
	}
	at, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("-data %q is not an address such as 203.0.113.7:42424", o.data)
	}
	// Not at a loopback address: Firefox takes no answer to a check that comes from one.
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.Addr(), 0)))
	if err != nil {
		return nil, err
	}
	d.link.relay, err = netsim.ListenRelay(netsim.RelayConfig{
		Listen: at, Target: socket.LocalAddr().(*net.UDPAddr).AddrPort(), Seed: uint64(time.Now().UnixNano()), MaxClients: 2 * mostPlayers,
	})
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("%w (choose another port with -data)", err)
	}
	c := d.config()
	c.RTC.MaxPerIP = -1 // all clients have the address of the relay
	if c.RTC.Public = o.public; o.public == nil {
		c.RTC.Public = []netip.AddrPort{d.link.relay.Addr()}
	}
	return godwit.Serve(socket, c)
}

// listenTun starts the server, and a web server for the WebSocket alone, at the far end of a lossy link.
func (d *duel) listenTun(o options) (srv *godwit.Server, err error) {
	d.link.tun, err = netsim.OpenTun(netsim.TunConfig{
		Near: netsim.TunEnd{Namespace: "/proc/self/ns/net"}, Seed: uint64(time.Now().UnixNano()),
	})
	if err != nil {
		return nil, fmt.Errorf("-tun: %w", err)
	}
	far := d.link.tun.Far()
	host := far.Addrs()[0].String()
	err = far.Do(func() (err error) {
		srv, err = godwit.Listen(net.JoinHostPort(host, "0"), d.config())
		return err
	})
	if err != nil {
		return nil, err
	}
	var l net.Listener
	err = far.Do(func() (err error) { l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); return err })
	if err != nil {
		srv.Close()
		return nil, err
	}
	// The page is of another host. Any page of this machine may play: the game has no secrets.
	h := webServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.serveWebSocket(w, r, false) }))
	go h.Serve(l)
	go func() {
		<-d.ctx.Done()
		h.Close()
	}()
	d.link.url = "ws://" + l.Addr().String() + "/websocket"
	return srv, nil
}

// pageHost returns the host for the URL that a browser on this machine opens.
func pageHost(a net.Addr) string {
	host, port, _ := net.SplitHostPort(a.String())
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// machineAddr returns an address of this machine that its browsers connect to. Firefox does not connect to a loopback
// address.
func machineAddr() netip.Addr {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
