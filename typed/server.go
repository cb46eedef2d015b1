package typed

import (
	"sync/atomic"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/session"
)

// A ServerHandler is what the server does with one row of a table; see [Server].
type ServerHandler struct{ h handler[*godwit.Conn] }

// Server returns c with the table of game, a struct of [New], and with handlers. Messages and
// requests of rows without a handler go to c.Handler, or are yielded by Poll.
func Server[G any](game *G, c godwit.Config, list ...ServerHandler) (godwit.Config, error) {
	inner := make([]handler[*godwit.Conn], len(list))
	for i := range list {
		inner[i] = list[i].h
	}
	t, hs, err := collect(game, "Config", c.Channels, inner)
	if err != nil {
		return c, err
	}
	c.Channels, c.Schema = t.channels, t.text()
	c.Handler = wrap(c.Handler, hs, func(c *godwit.Conn) *godwit.Conn { return c })
	if hs.hello.greet != nil {
		c.Handler = greet(hs.hello, c.Handler)
	}
	return c, nil
}

// wrap returns own with handlers in front of it.
func wrap[E session.End](own godwit.Handler, hs *handlers[E], end func(*godwit.Conn) E) godwit.Handler {
	h := own
	h.Message = func(c *godwit.Conn, ch godwit.ChannelID, b []byte) {
		switch {
		case hs.handleMessage(end(c), ch, b):
		case own.Message != nil:
			own.Message(c, ch, b)
		default:
			c.Yield(godwit.Event{Type: session.EventMessage, Channel: ch, Data: b})
		}
	}
	h.Request = func(c *godwit.Conn, r *godwit.Request) {
		switch {
		case hs.handleRequest(end(c), r):
		case own.Request != nil:
			own.Request(c, r)
		default:
			c.Yield(godwit.Event{Type: session.EventRequest, Request: r})
		}
	}
	return h
}

// greet returns own with the handler of connect messages in front of it. A session whose
// connect message is bad ends, but what it has sent before may still arrive. The program has
// never seen its Conn, so no func of the program is called for it.
func greet(hello handler[*godwit.Conn], own godwit.Handler) godwit.Handler {
	var refused atomic.Int64 // sessions that end because of their connect message
	strange := func(c *godwit.Conn) bool { return refused.Load() > 0 && hello.strange(c) }
	h := own // has funcs for messages and requests: see wrap
	h.Message = func(c *godwit.Conn, ch godwit.ChannelID, b []byte) {
		if !strange(c) {
			own.Message(c, ch, b)
		}
	}
	h.Request = func(c *godwit.Conn, r *godwit.Request) {
		if !strange(c) {
			own.Request(c, r)
		}
	}
	h.Open = func(c *godwit.Conn) {
		switch {
		case !hello.greet(c):
			refused.Add(1)
		case own.Open != nil:
			own.Open(c)
		default:
			c.Yield(godwit.Event{Type: session.EventOpen})
		}
	}
	h.Close = func(c *godwit.Conn, why godwit.CloseReason) {
		switch {
		case strange(c):
			refused.Add(-1)
		case own.Close != nil:
			own.Close(c, why)
		default:
			c.Yield(godwit.Event{Type: session.EventClose, Reason: why})
		}
	}
	plain := func(t session.EventType, f func(*godwit.Conn)) func(*godwit.Conn) {
		return func(c *godwit.Conn) {
			switch {
			case strange(c):
			case f != nil:
				f(c)
			default:
				c.Yield(godwit.Event{Type: t})
			}
		}
	}
	h.Interrupted = plain(session.EventInterrupted, own.Interrupted)
	h.Resumed = plain(session.EventResumed, own.Resumed)
	of := func(t session.EventType, f func(*godwit.Conn, godwit.ChannelID)) func(*godwit.Conn, godwit.ChannelID) {
		return func(c *godwit.Conn, ch godwit.ChannelID) {
			switch {
			case strange(c):
			case f != nil:
				f(c, ch)
			default:
				c.Yield(godwit.Event{Type: t, Channel: ch})
			}
		}
	}
	h.Channel = of(session.EventChannel, own.Channel)
	h.Room = of(session.EventRoom, own.Room)
	return h
}
