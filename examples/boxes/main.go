// Boxes is a small but complete game: players move boxes over one board, and chat.
//
//	go run ./examples/boxes
//
// Then open the URL it prints, in two windows. The messages are in messages.go, the game is in
// game.go, and its page in index.html; this file serves them.
//
//	go run ./examples/boxes -lan -http ""
//
// serves only UDP: it writes the page to a file, which needs no web server, and prints a link for each
// player (lan.go).
package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
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
	"github.com/godwit-rtc/godwit/auth"
)

// index.html; table.js, which godwit-gen makes of messages.go; and net.js, the game for other pages.
//
//go:embed index.html table.js net.js
var pages embed.FS

func main() {
	data := flag.String("data", ":42424", "UDP `address` to listen on for the game")
	public := flag.String("public", "", "`addresses` that pages are told to send to, separated by commas;\nempty: those of this machine, with the port of -data")
	web := flag.String("http", "localhost:8080", "TCP `address` to serve the page and the signaling on; empty: none")
	lan := flag.Bool("lan", false, "let players in by links to a page that is a file, without a request to this program")
	page := flag.String("page", "boxes.html", "`file` to which -lan writes the page")
	dir := flag.String("dir", "", "`directory` with another page, such as examples/phaser")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "boxes: %q is no flag; see -help\n", flag.Arg(0))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !*lan {
		*page = ""
	}
	if err := serve(ctx, *data, *public, *web, *page, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "boxes:", err)
		os.Exit(1)
	}
}

// serve runs the game and its web server until ctx ends. Without web there is no web server, and without
// page there are no links. With dir the page is that of this directory, with its node_modules.
func serve(ctx context.Context, data, public, web, page, dir string) error {
	if web == "" && page == "" {
		return errors.New("without -http nobody can play, except with -lan")
	}
	var addrs []netip.AddrPort
	for a := range strings.SplitSeq(public, ",") {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
		addr, err := netip.ParseAddrPort(a)
		if err != nil {
			return fmt.Errorf("-public %q is not an address such as 203.0.113.7:42424", a)
		}
		addrs = append(addrs, addr)
	}
	game, err := newGame(func(c godwit.Config) (*godwit.Server, error) {
		c.RTC.Public = addrs
		if page != "" {
			var err error
			if c.Invites, err = auth.NewInviteKey(rand.Reader); err != nil {
				return nil, err
			}
		}
		return godwit.Listen(data, c)
	})
	if err != nil {
		return fmt.Errorf("%w (choose another port with -data)", err)
	}
	srv := game.server
	defer srv.Close()
	if page != "" {
		l, err := newLAN(srv, page, os.Stdout)
		if err != nil {
			return err
		}
		game.opened, game.again = l.opened, l.again
	}
	if web == "" {
		return game.run(ctx)
	}
	listener, err := net.Listen("tcp", web)
	if err != nil {
		return fmt.Errorf("%w (choose another port with -http)", err)
	}
	fmt.Printf("open http://%s  (the game is on UDP port %d)\n", pageHost(listener.Addr()), srv.RTC().Addr().Port())

	mux := http.NewServeMux()
	mux.Handle("/godwit/", srv) // signaling, and the client script
	mux.Handle("/", http.FileServerFS(pages))
	if dir != "" {
		mux.Handle("/{$}", http.FileServer(http.Dir(dir)))
		mux.Handle("/node_modules/", http.FileServer(http.Dir(dir)))
	}
	h := webServer(mux)
	over := make(chan error, 1)
	go func() {
		over <- game.run(ctx)
		h.Close()
	}()
	if err := h.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return <-over
}

// webServer returns a server that waits neither for a request that does not come whole nor for a client that asks
// nothing more.
func webServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
}

// pageHost returns the host for the URL that a browser on this machine opens.
func pageHost(a net.Addr) string {
	host, port, _ := net.SplitHostPort(a.String())
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
