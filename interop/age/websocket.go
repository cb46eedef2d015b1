//go:build linux

package main

import (
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// runWebSocket sends over a plain WebSocket: one goroutine makes and writes a state every
// stateEvery, another one writes bulk. While a write waits no state is made, so a state is only
// as old as the buffers below the WebSocket make it.
func runWebSocket(ctx context.Context, s *site, o options, b *book) error {
	accepted := make(chan *websocket.Conn, 1)
	addr, stop, err := s.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		accepted <- c
		<-ctx.Done()
	}))
	if err != nil {
		return err
	}
	defer stop()
	to, _, err := websocket.Dial(ctx, "ws://"+addr+"/", &websocket.DialOptions{HTTPClient: s.client()})
	if err != nil {
		return err
	}
	defer to.CloseNow()
	from := <-accepted
	defer from.CloseNow()
	if o.up {
		from, to = to, from
	}
	go func() {
		ticker := time.NewTicker(stateEvery)
		defer ticker.Stop()
		for range ticker.C {
			if from.Write(ctx, websocket.MessageBinary, b.state()) != nil {
				return
			}
		}
	}()
	go func() {
		chunk := make([]byte, bulkSize)
		for from.Write(ctx, websocket.MessageBinary, chunk) == nil {
		}
	}()
	to.SetReadLimit(bulkSize)
	for {
		_, m, err := to.Read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case len(m) == stateSize:
			b.arrived(m)
		default:
			b.bulkArrived(len(m))
		}
	}
}
