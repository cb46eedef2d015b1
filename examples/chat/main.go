// Chat is a room where people chat, on pages and on terminals.
//
//	go run ./examples/chat                                        serves it
//	go run ./examples/chat -host Ada                              serves it, and Ada chats here
//	go run ./examples/chat -join http://localhost:8080/godwit/ -name Bob
//
// The host may kick. The messages are in messages.go, the room is in room.go, who chats on a
// terminal in terminal.go, and the page in index.html; this file connects them.
package main

import (
	"cmp"
	"context"
	"embed"
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

// index.html, and table.js, which godwit-gen makes of messages.go.
//
//go:embed index.html table.js
var pages embed.FS

// addresses is the value of -public.
type addresses []netip.AddrPort

func (a *addresses) String() string { return "" }

// Set adds what is between commas.
func (a *addresses) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		addr, err := netip.ParseAddrPort(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		*a = append(*a, addr)
	}
	return nil
}

func main() {
	var public addresses
	data := flag.String("data", ":42424", "UDP `address` to listen on for the chat")
	flag.Var(&public, "public", "`addresses` that clients are told to send to, separated by commas;\nempty: those of this machine, with the port of -data")
	web := flag.String("http", "localhost:8080", "TCP `address` to serve the page and the signaling on")
	host := flag.String("host", "", "chat here, too, with this `name`, and kick whom you like")
	url := flag.String("join", "", "do not serve, but chat with the server at a `URL`, such as http://localhost:8080/godwit/")
	name := flag.String("name", os.Getenv("USER"), "the `name` with -join")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "chat: %q is no flag; see -help\n", flag.Arg(0))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t := &terminal{name: *host, in: os.Stdin, out: os.Stdout}
	var err error
	if *url != "" {
		t.name = *name
		err = t.join(ctx, *url)
	} else {
		err = serve(ctx, *data, *web, public, t)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// serve runs the room, its web server and the host, if there is one, until ctx ends.
func serve(ctx context.Context, data, web string, public []netip.AddrPort, host *terminal) error {
	r, err := newRoom(func(c godwit.Config) (*godwit.Server, error) {
		c.RTC.Public = public
		return godwit.Listen(data, c)
	})
	if err != nil {
		return err
	}
	defer r.server.Close()
	l, err := net.Listen("tcp", web)
	if err != nil {
		return err
	}
	site, _, _ := net.SplitHostPort(web)
	site = fmt.Sprintf("http://%s:%d/", cmp.Or(site, "localhost"), l.Addr().(*net.TCPAddr).Port)
	fmt.Printf("open %s  or chat on a terminal with -join %sgodwit/\n", site, site)

	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(pages))
	mux.Handle("/godwit/", r.server) // signaling, and the client script
	h := webServer(mux)
	defer h.Close()
	go h.Serve(l)
	if host.name != "" {
		go func() {
			if err := host.host(ctx, r.server); err != nil {
				fmt.Fprintln(os.Stderr, "chat:", err)
			}
		}()
	}
	return r.run(ctx)
}

// webServer returns a server that waits neither for a request that does not come whole nor for a client that asks
// nothing more.
func webServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
}
