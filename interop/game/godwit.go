//go:build linux

package game

import (
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/webtransport"
)

// Table is the table of channels of the sessions.
var Table = godwit.Channels{
	{Name: "input", Mode: godwit.Sequenced, Direction: godwit.ToServer},
	{Name: "state", Mode: godwit.Unreliable, Direction: godwit.ToClient},
	{Name: "bulk", Mode: godwit.ReliableOrdered, Direction: godwit.ToClient},
}

// The channels of Table.
const (
	states godwit.ChannelID = 2
	bulk   godwit.ChannelID = 3
)

// limits lets all clients come from one address.
var limits = rtcserver.Settings{MaxPerIP: -1, MaxOffers: -1, MaxPending: 1 << 16, MaxConns: 1 << 16}

// newDatagrams serves at level one. A player sends on the stream of the states, 0, which carries no bulk.
func newDatagrams(g *Game, c Config, mux *http.ServeMux) error {
	var open atomic.Int64
	srv, err := rtcserver.Listen(net.JoinHostPort(c.Host, "0"), rtcserver.Config{
		Settings: limits,
		Handler: rtcserver.Handler{
			Open:  func(*rtcserver.Conn) { open.Add(1) },
			Close: func(*rtcserver.Conn, *rtcserver.CloseError) { open.Add(-1) },
			Message: func(c *rtcserver.Conn, m rtcserver.Message) {
				if !g.takes(m.Data) {
					g.receive(m.Data, func(b []byte) error { return c.Send(m.Stream, m.Kind, b) }, nil)
				}
			},
		},
	})
	if err != nil {
		return err
	}
	g.close = append(g.close, func() { srv.Close() })
	g.players = func() int { return int(open.Load()) }
	g.send = func(state []byte) { srv.Broadcast(0, rtcserver.Binary, state); srv.Flush() }
	mux.Handle(Path, srv)
	return nil
}

// newChannels serves at level two, over every link.
func newChannels(g *Game, c Config, mux *http.ServeMux) error {
	gc := godwit.Config{Manual: c.Poll, Channels: Table, MaxConns: 1 << 16, RTC: limits}
	if c.NoCeiling {
		gc.Ceiling = -1
	}
	if !c.Poll {
		gc.Handler.Message = func(c *godwit.Conn, _ godwit.ChannelID, b []byte) {
			if g.takes(b) {
				return
			}
			g.receive(b, func(b []byte) error { return c.Send(states, b) }, func(b []byte) error {
				return g.until(func() error { return c.Send(bulk, b) }, func(err error) bool { return errors.Is(err, session.ErrBudget) })
			})
		}
	}
	srv, err := godwit.Listen(net.JoinHostPort(c.Host, "0"), gc)
	if err != nil {
		return err
	}
	g.close = append(g.close, func() { srv.Close() })
	// All clients of a load come from one address, which may have an eighth of the visitors.
	if _, err := webtransport.Serve(srv, webtransport.Config{MaxVisitors: 1 << 16}); err != nil {
		return err
	}
	g.players = srv.Len
	g.send = func(state []byte) { srv.Broadcast(states, state); srv.Flush() }
	if c.Poll {
		g.ticking.Go(func() { g.poll(srv) })
	}
	mux.Handle(Path, srv)
	return nil
}

// poll processes inputs as they arrive, until it is time for a tick.
func (g *Game) poll(srv *godwit.Server) {
	next := time.Now().Add(g.every)
	for !g.closed() {
		for ev := range srv.Poll(max(time.Until(next), 0)) {
			if ev.Type == session.EventMessage && !g.takes(ev.Data) {
				g.receive(ev.Data, func(b []byte) error { return ev.Conn.Send(states, b) }, nil)
			}
		}
		if !time.Now().Before(next) {
			next = g.tick(next)
		}
	}
}
