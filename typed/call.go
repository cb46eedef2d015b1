package typed

import (
	"context"
	"errors"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/rowtag"
	"github.com/godwit-rtc/godwit/session"
)

// ServerCall is a request of type Q that clients send and that the server answers with an R.
type ServerCall[Q, R any] struct{ call[Q, R] }

// Serve makes the server's handler for the requests. f is called where godwit.Handler.Request
// would be, and may keep the request. If it returns and has called none of the methods of Reply,
// the request is rejected.
func (h *ServerCall[Q, R]) Serve(f func(*godwit.Conn, Q, Reply[R])) ServerHandler {
	return ServerHandler{serve(&h.call, f)}
}

// Request sends a request to the server and waits for the answer, as [session.End] says. A
// handler must not wait: it uses Ask.
func (h *ServerCall[Q, R]) Request(ctx context.Context, e ClientEnd, q Q) (R, error) {
	return h.request(ctx, e.End, q)
}

// Ask sends a request to the server and does not wait. If it returns no error, done is called
// once, like a handler, with the answer or with the error that Request would return.
func (h *ServerCall[Q, R]) Ask(e ClientEnd, q Q, done func(R, error)) (session.RequestID, error) {
	return h.ask(e.End, q, done)
}

// ClientCall is a request of type Q that the server sends and that a client answers with an R.
type ClientCall[Q, R any] struct{ call[Q, R] }

// Serve makes a client's handler for the requests. f is called where
// client.SessionHandler.Request would be, and may keep the request. If it returns and has called
// none of the methods of Reply, the request is rejected.
func (h *ClientCall[Q, R]) Serve(f func(ClientEnd, Q, Reply[R])) ClientHandler {
	return ClientHandler{serve(&h.call, f)}
}

// Request sends a request to a client and waits for the answer, as [session.End] says. A handler
// must not wait: it uses Ask.
func (h *ClientCall[Q, R]) Request(ctx context.Context, c *godwit.Conn, q Q) (R, error) {
	return h.request(ctx, c, q)
}

// Ask sends a request to a client and does not wait. If it returns no error, done is called
// once, like a handler, with the answer or with the error that Request would return.
func (h *ClientCall[Q, R]) Ask(c *godwit.Conn, q Q, done func(R, error)) (session.RequestID, error) {
	return h.ask(c, q, done)
}

// A Reply answers a request with an R. The methods are those of [session.Request].
type Reply[R any] struct {
	codec   *codec[R]
	request *session.Request
}

// Reply answers the request. If R cannot be encoded, Reply returns the error, and the request
// has no answer yet.
func (a Reply[R]) Reply(m R) error {
	x, err := a.codec.encode(m)
	if err != nil {
		return err
	}
	err = a.request.Reply(x.b)
	a.codec.put(x)
	return err
}

// Reject refuses the request. The asking end gets a [session.RequestError] with the text, at
// most session.MaxText bytes.
func (a Reply[R]) Reject(text string) error { return a.request.Reject(text) }

// Keep allows the program to answer the request after the handler has returned.
func (a Reply[R]) Keep() { a.request.Keep() }

// call is what both kinds of requests have.
type call[Q, R any] struct {
	query codec[Q]
	reply codec[R]
}

// Name returns the name of the request.
func (h *call[Q, R]) Name() string { return h.query.Name() }

// Bad returns how many requests of the row and answers to them could not be decoded, at all ends
// of sessions in this process.
func (h *call[Q, R]) Bad() (s BadStats) {
	h.query.bad.addTo(&s)
	h.reply.bad.addTo(&s)
	return s
}

func (h *call[Q, R]) of() *table { return h.query.of() }

func (h *call[Q, R]) declare(d *declaration) error {
	tag, err := rowtag.Parse(d.field, d.tag)
	if err != nil {
		return err
	}
	r, err := d.row(tag.Channel.Name)
	if err != nil {
		return err
	}
	if err := h.query.set(r, r.name, tag.JSON); err != nil {
		return err
	}
	if err := h.reply.set(r, r.name+" reply", tag.JSON); err != nil {
		return err
	}
	d.table.describe(r.name+".request", h.query.schema())
	d.table.describe(r.name+".reply", h.reply.schema())
	return nil
}

// serve returns the handler that gives the requests of a row to f.
func serve[E session.End, Q, R any](h *call[Q, R], f func(E, Q, Reply[R])) handler[E] {
	if f == nil {
		return handler[E]{row: h.query.row, err: errNoFunc}
	}
	return handler[E]{row: h.query.row, request: func(e E, r *session.Request) {
		if q, ok := h.query.receive(e, r.Data); ok {
			f(e, q, Reply[R]{&h.reply, r})
		}
	}}
}

func (h *call[Q, R]) request(ctx context.Context, e session.End, q Q) (R, error) {
	var none R
	x, err := h.query.encode(q)
	if err != nil {
		return none, err
	}
	b, err := e.Request(ctx, h.query.row.name, x.b)
	h.query.put(x)
	if err != nil {
		return none, err
	}
	return h.answer(e, b)
}

func (h *call[Q, R]) ask(e session.End, q Q, done func(R, error)) (session.RequestID, error) {
	x, err := h.query.encode(q)
	if err != nil {
		return 0, err
	}
	id, err := e.Ask(h.query.row.name, x.b, func(a session.Result) {
		err := a.Err()
		var r R
		if err == nil {
			r, err = h.answer(e, a.Data)
		}
		if done != nil {
			done(r, err)
		}
	})
	h.query.put(x)
	return id, err
}

// answer reads the answer to a request. A bad one ends the session.
func (h *call[Q, R]) answer(e session.End, b []byte) (R, error) {
	r, err := h.reply.Decode(b)
	if err != nil {
		h.reply.refuse(e, errors.Unwrap(err))
	}
	return r, err
}
