//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"strings"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit/internal/load"
	"github.com/godwit-rtc/godwit/webtransport"
)

// makeLoad makes one load and prints its report as JSON.
func makeLoad(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	var c load.Config
	mode := f.String("mode", "echo", "")
	url := f.String("url", "", "")
	channels := f.String("channel", "", "")
	links := f.String("links", "", "")
	f.IntVar(&c.Clients, "clients", 100, "")
	f.Float64Var(&c.Rate, "rate", 60, "")
	f.IntVar(&c.Size, "size", 200, "")
	f.IntVar(&c.Window, "window", 8, "")
	f.DurationVar(&c.Duration, "duration", 0, "")
	f.DurationVar(&c.Warmup, "warmup", 0, "")
	f.IntVar(&c.PID, "pid", 0, "")
	f.DurationVar(&c.Tick, "tick", 0, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	c.Mode = load.Mode(*mode)
	t, err := transport(ctx, *url, load.GodwitConfig{Channels: list(*channels), Links: list(*links)})
	if err != nil {
		return err
	}
	r, err := load.Run(ctx, t, c)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// transport returns the transport for a URL. c is for a server of godwit.
func transport(ctx context.Context, url string, c load.GodwitConfig) (load.Transport, error) {
	if addr, ok := strings.CutPrefix(url, "udp://"); ok {
		return load.UDP(addr)
	}
	if strings.HasPrefix(url, "ws://") {
		ctx, stop := context.WithCancel(ctx)
		return &webSocket{url: url, ctx: ctx, stop: stop}, nil
	}
	c.WebTransport = new(webtransport.Dialer).Dial
	if c.URL = url; len(c.Links) == 0 {
		c.Links = nil // the default
	}
	return load.Godwit(ctx, c)
}

// webSocket makes clients that speak WebSocket, each with a goroutine.
type webSocket struct {
	url  string
	ctx  context.Context
	stop context.CancelFunc
}

func (w *webSocket) Dial(ctx context.Context, c *load.Client) (load.Link, error) {
	conn, _, err := websocket.Dial(ctx, w.url, nil)
	if err != nil {
		return nil, err
	}
	go func() {
		defer conn.CloseNow()
		for {
			_, b, err := conn.Read(w.ctx)
			if err != nil {
				return
			}
			c.Receive(0, b)
		}
	}()
	return webSocketLink{w.ctx, conn}, nil
}

// Channels returns one channel without a name.
func (w *webSocket) Channels() []load.Channel { return []load.Channel{{}} }

// Drops is always zero: TCP loses nothing.
func (w *webSocket) Drops() uint64 { return 0 }

func (w *webSocket) Close() error { w.stop(); return nil }

type webSocketLink struct {
	ctx  context.Context
	conn *websocket.Conn
}

func (l webSocketLink) Send(_ int, b []byte) error {
	return l.conn.Write(l.ctx, websocket.MessageBinary, b)
}
