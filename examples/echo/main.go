// Echo sends every message of a web page back to it, over UDP. It serves both
// levels on one port: datagrams for pages without the godwit script, and channels and
// requests for clients that have it.
//
//	go run ./examples/echo
//
// Then open the URL it prints. Below it, /channels has four channels over a bad link, and
// /dashboard/ live graphs of that page's server.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/mux"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/dashboard"
	"github.com/godwit-rtc/godwit/rtcserver"
)

//go:embed index.html
var page []byte

func main() {
	data := flag.String("data", ":42424", "UDP `address` to listen on for messages")
	public := flag.String("public", "", "`addresses` that pages are told to send to, separated by commas;\nempty: those of this machine, with the port of -data")
	web := flag.String("http", "localhost:8080", "TCP `address` to serve the page and the signaling on")
	verbose := flag.Bool("v", false, "log connections as they come and go")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "echo: %q is no flag; see -help\n", flag.Arg(0))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *data, *public, *web, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

// listen opens the UDP port and echoes the messages that arrive.
func listen(data, public string, verbose bool) (*godwit.Server, error) {
	config := godwit.Config{
		// Level two: channels with guarantees, for clients that have the same table.
		Channels: godwit.Channels{
			{Name: "newest", Mode: godwit.Sequenced},
			{Name: "every", Mode: godwit.ReliableOrdered},
		},
		Handler: godwit.Handler{
			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
			Request: func(_ *godwit.Conn, r *godwit.Request) { r.Reply(r.Data) },
		},
		// Level one: datagrams, for any page.
		RTCHandler: rtcserver.Handler{
			Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) },
		},
	}
	if verbose {
		config.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for a := range strings.SplitSeq(public, ",") {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
		addr, err := netip.ParseAddrPort(a)
		if err != nil {
			return nil, fmt.Errorf("-public %q is not an address such as 203.0.113.7:42424", a)
		}
		config.RTC.Public = append(config.RTC.Public, addr)
	}
	srv, err := godwit.Listen(data, config)
	if err != nil {
		return nil, fmt.Errorf("%w (choose another port with -data)", err)
	}
	return srv, nil
}

func run(ctx context.Context, data, public, web string, verbose bool) error {
	srv, err := listen(data, public, verbose)
	if err != nil {
		return err
	}
	defer srv.Close()
	lab, err := newLab()
	if err != nil {
		return err
	}
	defer lab.close()
	listener, err := net.Listen("tcp", web)
	if err != nil {
		return fmt.Errorf("%w (choose another port with -http)", err)
	}
	fmt.Printf("open http://%s  (messages go to UDP port %d)\n", pageHost(listener.Addr()), srv.RTC().Addr().Port())

	h := webServer(routes(srv, lab))
	go func() {
		<-ctx.Done()
		goodbye, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		srv.Shutdown(goodbye, "the server ends")
		h.Shutdown(goodbye)
	}()
	if err := h.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// pageHost returns the host for the URL that a browser on this machine opens.
func pageHost(a net.Addr) string {
	host, port, _ := net.SplitHostPort(a.String())
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// webServer returns a server that waits neither for a request that does not come whole nor for a client that asks
// nothing more.
func webServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
}

func routes(srv http.Handler, lab *lab) http.Handler {
	r := mux.NewRouter()
	r.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	}).Methods(http.MethodGet)
	r.Handle("/new_rtc_session", srv)
	lab.routes(r)
	// The dashboard of the lab: its sessions have no names and come from its own relay, so anyone may see it.
	r.PathPrefix("/dashboard/").Handler(dashboard.Handler(lab.server, "*"))
	return r
}
