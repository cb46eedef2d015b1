//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

// The channels of a session.
const (
	states godwit.ChannelID = 1
	bulk   godwit.ChannelID = 2
)

// An end is either end of a session.
type end interface {
	Send(godwit.ChannelID, []byte) error
}

// runGodwit sends over a session of godwit on a WebSocket.
func runGodwit(ctx context.Context, s *site, o options, b *book) error {
	take := func(ch godwit.ChannelID, m []byte) {
		if ch == states {
			b.arrived(m)
		} else {
			b.bulkArrived(len(m))
		}
	}
	opened, room := make(chan end, 1), make(chan struct{}, 1)
	signal := func() {
		select {
		case room <- struct{}{}:
		default:
		}
	}
	table := godwit.Channels{
		{Name: "states", Mode: godwit.Sequenced},
		{Name: "bulk", Mode: godwit.ReliableOrdered, Priority: o.priority},
	}
	var server *godwit.Server
	err := s.tun.Near().Do(func() (err error) {
		server, err = godwit.Listen(s.tun.Near().Addrs()[0].String()+":0", godwit.Config{
			Channels: table, Links: []string{session.LinkWebSocket},
			Handler: godwit.Handler{
				Open:    func(c *godwit.Conn) { opened <- c },
				Message: func(_ *godwit.Conn, ch godwit.ChannelID, m []byte) { take(ch, m) },
				Room:    func(*godwit.Conn, godwit.ChannelID) { signal() },
			},
		})
		return err
	})
	if err != nil {
		return err
	}
	defer server.Close()
	addr, stop, err := s.serve(server)
	if err != nil {
		return err
	}
	defer stop()
	var e *client.Endpoint
	err = s.tun.Far().Do(func() (err error) {
		e, err = client.Listen("", client.Config{HTTP: s.client()})
		return err
	})
	if err != nil {
		return err
	}
	defer e.Close()
	c, err := e.Join(ctx, "http://"+addr+"/", client.SessionConfig{
		Channels: table, Links: []string{session.LinkWebSocket},
		Handler: client.SessionHandler{
			Message: func(_ *client.Session, ch channel.ID, m []byte) { take(ch, m) },
			Room:    func(*client.Session, channel.ID) { signal() },
		},
	})
	if err != nil {
		return err
	}
	from := <-opened
	if o.up {
		from = c
	}
	return send(ctx, from, room, b)
}

// send sends states and bulk until ctx ends.
func send(ctx context.Context, to end, room <-chan struct{}, b *book) error {
	ticker := time.NewTicker(stateEvery)
	defer ticker.Stop()
	chunk := make([]byte, bulkSize)
	for {
		for {
			err := to.Send(bulk, chunk)
			if errors.Is(err, session.ErrBudget) {
				break
			}
			if err != nil {
				return fmt.Errorf("bulk: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := to.Send(states, b.state()); err != nil {
				return fmt.Errorf("a state: %w", err)
			}
		case <-room:
		}
	}
}
