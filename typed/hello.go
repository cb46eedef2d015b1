package typed

import (
	"errors"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/rowtag"
)

// Hello is the connect message, which each client sends once: what the server must know when a
// session opens. It has at most session.MaxHello bytes. A table has at most one.
type Hello[T any] struct{ codec[T] }

// Say makes a client's connect message.
func (h *Hello[T]) Say(m T) ClientHandler {
	x, err := h.encode(m)
	if err != nil {
		return ClientHandler{handler[ClientEnd]{row: h.row, err: errors.Unwrap(err)}}
	}
	defer h.put(x)
	return ClientHandler{handler[ClientEnd]{row: h.row, hello: append([]byte{}, x.b...)}}
}

// On makes the server's handler for the connect messages. f is called when a session opens,
// before godwit.Handler.Open. A session whose connect message is bad ends, and its Conn reaches
// no func of the program.
func (h *Hello[T]) On(f func(*godwit.Conn, T)) ServerHandler {
	if f == nil {
		return ServerHandler{handler[*godwit.Conn]{row: h.row, err: errNoFunc}}
	}
	return ServerHandler{handler[*godwit.Conn]{
		row: h.row,
		greet: func(c *godwit.Conn) bool {
			m, ok := h.receive(c, c.Hello())
			if ok {
				f(c, m)
			}
			return ok
		},
		strange: func(c *godwit.Conn) bool {
			_, err := h.decode(c.Hello())
			return err != nil
		},
	}}
}

func (h *Hello[T]) declare(d *declaration) error {
	tag, err := rowtag.Parse(d.field, d.tag)
	if err != nil {
		return err
	}
	if tag.Channel.Name != rowtag.Name(d.field) {
		return errors.New("the tag has name=, but a connect message needs no name")
	}
	r, err := d.row("hello")
	if err != nil {
		return err
	}
	if err := h.set(r, r.name, tag.JSON); err != nil {
		return err
	}
	d.table.hello = d.field
	d.table.describe(r.name, h.schema())
	return nil
}
