package typed

import (
	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

// A ClientEnd is a client's end of a session, native or in the same process as the server. It
// has a type of its own, so that what only the server may send does not compile at a client.
type ClientEnd struct{ session.End }

// Over returns the end of a native client.
func Over(s *client.Session) ClientEnd { return ClientEnd{s} }

// OverLocal returns the end of a client in the same process, which [godwit.Server.Local] has
// returned.
func OverLocal(c *godwit.Conn) ClientEnd { return ClientEnd{c} }

// A ClientHandler is what a client does with one row of a table; see [Client] and [Local].
type ClientHandler struct{ h handler[ClientEnd] }

// Client returns c with the table of game, a struct of [New], and with handlers. Messages and
// requests of rows without a handler go to c.Handler, or are yielded by Poll.
func Client[G any](game *G, c client.SessionConfig, list ...ClientHandler) (client.SessionConfig, error) {
	t, hs, err := collect(game, "SessionConfig", c.Channels, ofClient(list))
	if err != nil {
		return c, err
	}
	c.Channels, c.Schema = t.channels, t.text()
	if c.Hello, err = hs.say(t, c.Hello); err != nil {
		return c, err
	}
	own := c.Handler
	c.Handler.Message = func(s *client.Session, ch channel.ID, b []byte) {
		switch {
		case hs.handleMessage(Over(s), ch, b):
		case own.Message != nil:
			own.Message(s, ch, b)
		default:
			s.Yield(client.Event{Type: session.EventMessage, Channel: ch, Data: b})
		}
	}
	c.Handler.Request = func(s *client.Session, r *session.Request) {
		switch {
		case hs.handleRequest(Over(s), r):
		case own.Request != nil:
			own.Request(s, r)
		default:
			s.Yield(client.Event{Type: session.EventRequest, Request: r})
		}
	}
	return c, nil
}

// Local returns c with handlers for the table of game, a struct of [New]. The server has the
// table, from [Server]. Messages and requests of rows without a handler go to c.Handler, or are yielded by Poll.
func Local[G any](game *G, c godwit.LocalConfig, list ...ClientHandler) (godwit.LocalConfig, error) {
	t, hs, err := collect(game, "", nil, ofClient(list))
	if err != nil {
		return c, err
	}
	if c.Hello, err = hs.say(t, c.Hello); err != nil {
		return c, err
	}
	c.Handler = wrap(c.Handler, hs, OverLocal)
	return c, nil
}

func ofClient(list []ClientHandler) []handler[ClientEnd] {
	inner := make([]handler[ClientEnd], len(list))
	for i := range list {
		inner[i] = list[i].h
	}
	return inner
}
