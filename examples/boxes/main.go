// Boxes is a small but complete game: players move boxes over one board, and chat.
//
//	go run ./examples/boxes
//
// Then open the URL it prints, in two windows. The game is in game.go, and its page in
// index.html; this file serves them.
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
)

//go:embed index.html
var page []byte

func main() {
	data := flag.String("data", ":42424", "UDP `address` to listen on for the game")
	public := flag.String("public", "", "`addresses` that pages are told to send to, separated by commas;\nempty: those of this machine, with the port of -data")
	web := flag.String("http", "localhost:8080", "TCP `address` to serve the page and the signaling on")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "boxes: %q is no flag; see -help\n", flag.Arg(0))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *data, *public, *web); err != nil {
		fmt.Fprintln(os.Stderr, "boxes:", err)
		os.Exit(1)
	}
}

// serve runs the game and its web server until ctx ends.
func serve(ctx context.Context, data, public, web string) error {
	c := config
	for a := range strings.SplitSeq(public, ",") {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
		addr, err := netip.ParseAddrPort(a)
		if err != nil {
			return fmt.Errorf("-public %q is not an address such as 203.0.113.7:42424", a)
		}
		c.RTC.Public = append(c.RTC.Public, addr)
	}
	srv, err := godwit.Listen(data, c)
	if err != nil {
		return fmt.Errorf("%w (choose another port with -data)", err)
	}
	defer srv.Close()
	listener, err := net.Listen("tcp", web)
	if err != nil {
		return fmt.Errorf("%w (choose another port with -http)", err)
	}
	fmt.Printf("open http://%s  (the game is on UDP port %d)\n", pageHost(listener.Addr()), srv.RTC().Addr().Port())

	mux := http.NewServeMux()
	mux.Handle("/godwit/", srv) // signaling, and the client script
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	over := make(chan error, 1)
	go func() {
		over <- newGame(srv).run(ctx)
		h.Close()
	}()
	if err := h.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return <-over
}

// pageHost returns the host for the URL that a browser on this machine opens.
func pageHost(a net.Addr) string {
	host, port, _ := net.SplitHostPort(a.String())
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
