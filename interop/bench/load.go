//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"strings"

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
	switch scheme, host, _ := strings.Cut(url, "://"); scheme {
	case "ws":
		return newWebSockets(ctx, plain{url}), nil
	case "socketio":
		return newWebSockets(ctx, socketIO{host}), nil
	case "colyseus":
		return newWebSockets(ctx, colyseus{host}), nil
	case "https": // webtransport-go; the servers of godwit are reached over HTTP
		ctx, stop := context.WithCancel(ctx)
		return &webTransports{url: url, ctx: ctx, stop: stop}, nil
	}
	c.WebTransport = new(webtransport.Dialer).Dial
	if c.URL = url; len(c.Links) == 0 {
		c.Links = nil // the default
	}
	return load.Godwit(ctx, c)
}
