package rtcserver

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A closer is a Logger that closes the server at a line.
type closer struct {
	slog.Handler
	at     string
	server **Server
	got    chan error
}

func (c *closer) Enabled(context.Context, slog.Level) bool { return true }

func (c *closer) Handle(_ context.Context, r slog.Record) error {
	if r.Message == c.at {
		c.got <- (*c.server).Close()
	}
	return nil
}

// A Logger is called by the loop, so a call in it that waits for the loop is an error.
func TestALoggerThatClosesTheServer(t *testing.T) {
	var server *Server
	for name, test := range map[string]struct {
		at    string
		fails bool
	}{"when a page comes": {at: "rtcserver: open"}, "when the socket fails": {"rtcserver: reading failed: the shard has stopped and the server refuses every offer; close the server and listen again", true}} {
		t.Run(name, func(t *testing.T) {
			c := &closer{Handler: slog.DiscardHandler, at: test.at, server: &server, got: make(chan error, 1)}
			inWorld(t, Config{Manual: test.fails, Logger: slog.New(c)}, func(w *world) {
				server = w.server
				if test.fails {
					pc := testkit.Listen(t, w.network, netip.MustParseAddrPort("192.0.2.77:7"))
					w.serve(&broken{pc}, w.server.config)
					server = w.server
					w.server.Poll(0)
				} else {
					w.open()
				}
				if err := <-c.got; !errors.Is(err, ErrInHandler) {
					t.Errorf("Close: %v, want ErrInHandler", err)
				}
			})
		})
	}
}
