package typed

import (
	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/rowtag"
	"github.com/godwit-rtc/godwit/session"
)

// ToServer is a channel on which clients send messages of type T.
type ToServer[T any] struct{ messages[T] }

// On makes the server's handler for the messages. f is called where godwit.Handler.Message would
// be, and may keep the message.
func (h *ToServer[T]) On(f func(*godwit.Conn, T)) ServerHandler {
	return ServerHandler{on(&h.messages, f)}
}

// Send sends a message to the server; see [session.End].
func (h *ToServer[T]) Send(e ClientEnd, m T) error {
	_, err := h.send(e.End, m, channel.Options{})
	return err
}

// SendWith is Send with options.
func (h *ToServer[T]) SendWith(e ClientEnd, m T, o channel.Options) (channel.MessageID, error) {
	return h.send(e.End, m, o)
}

func (h *ToServer[T]) declare(d *declaration) error { return h.set(d, channel.ToServer) }

// ToClient is a channel on which the server sends messages of type T.
type ToClient[T any] struct{ toMany[T] }

// On makes a client's handler for the messages. f is called where client.SessionHandler.Message
// would be, and may keep the message.
func (h *ToClient[T]) On(f func(ClientEnd, T)) ClientHandler {
	return ClientHandler{on(&h.messages, f)}
}

// Send sends a message to a client; see [session.End].
func (h *ToClient[T]) Send(c *godwit.Conn, m T) error {
	_, err := h.send(c, m, channel.Options{})
	return err
}

// SendWith is Send with options.
func (h *ToClient[T]) SendWith(c *godwit.Conn, m T, o channel.Options) (channel.MessageID, error) {
	return h.send(c, m, o)
}

func (h *ToClient[T]) declare(d *declaration) error { return h.set(d, channel.ToClient) }

// Both is a channel on which both ends send messages of type T.
type Both[T any] struct{ toMany[T] }

// OnServer makes the server's handler for the messages of clients.
func (h *Both[T]) OnServer(f func(*godwit.Conn, T)) ServerHandler {
	return ServerHandler{on(&h.messages, f)}
}

// OnClient makes a client's handler for the messages of the server.
func (h *Both[T]) OnClient(f func(ClientEnd, T)) ClientHandler {
	return ClientHandler{on(&h.messages, f)}
}

// Send sends a message to the other end; see [session.End]. At a client e is a ClientEnd; its
// field End in place of the whole saves an allocation.
func (h *Both[T]) Send(e session.End, m T) error {
	_, err := h.send(e, m, channel.Options{})
	return err
}

// SendWith is Send with options.
func (h *Both[T]) SendWith(e session.End, m T, o channel.Options) (channel.MessageID, error) {
	return h.send(e, m, o)
}

func (h *Both[T]) declare(d *declaration) error { return h.set(d, channel.Both) }

// messages is what every channel has.
type messages[T any] struct{ codec[T] }

// ID returns the number of the channel.
func (h *messages[T]) ID() channel.ID {
	if h.row == nil {
		return 0
	}
	return h.row.id
}

func (h *messages[T]) set(d *declaration, to channel.Direction) error {
	tag, err := rowtag.ParseChannel(d.field, d.tag)
	if err != nil {
		return err
	}
	r, err := d.row(tag.Channel.Name)
	if err != nil {
		return err
	}
	if err := h.codec.set(r, r.name, tag.JSON); err != nil {
		return err
	}
	tag.Channel.Direction, tag.Channel.Schema = to, h.schema()
	r.fatal = tag.Channel.Mode >= channel.ReliableUnordered
	r.id, err = d.table.add(tag.Channel)
	return err
}

func (h *messages[T]) send(e session.End, m T, o channel.Options) (channel.MessageID, error) {
	x, err := h.encode(m)
	if err != nil {
		return 0, err
	}
	id, err := e.SendWith(h.row.id, x.b, o)
	h.put(x)
	return id, err
}

// toMany is a channel on which the server can send to many clients.
type toMany[T any] struct{ messages[T] }

// Broadcast sends a message to every open session, and encodes it once; see
// [godwit.Server.Broadcast].
func (h *toMany[T]) Broadcast(s *godwit.Server, m T) error { return h.BroadcastExcept(s, nil, m) }

// BroadcastExcept is Broadcast to all sessions except one.
func (h *toMany[T]) BroadcastExcept(s *godwit.Server, except *godwit.Conn, m T) error {
	x, err := h.encode(m)
	if err != nil {
		return err
	}
	err = s.BroadcastExcept(except, h.row.id, x.b)
	h.put(x)
	return err
}

// SendGroup sends a message to every member of a group, and encodes it once; see
// [godwit.Group.Send].
func (h *toMany[T]) SendGroup(g *godwit.Group, m T) error { return h.SendGroupExcept(g, nil, m) }

// SendGroupExcept is SendGroup to all members except one.
func (h *toMany[T]) SendGroupExcept(g *godwit.Group, except *godwit.Conn, m T) error {
	x, err := h.encode(m)
	if err != nil {
		return err
	}
	err = g.SendExcept(except, h.row.id, x.b)
	h.put(x)
	return err
}
