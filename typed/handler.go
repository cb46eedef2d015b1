package typed

import (
	"errors"
	"fmt"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// A handler is what one end does with one row. E is the type of that end: *godwit.Conn or
// ClientEnd. Of the funcs one is set; if none is, the row is a connect message to send.
type handler[E session.End] struct {
	row     *row
	err     error // why the handler cannot be used
	message func(E, []byte)
	request func(E, *session.Request)
	greet   func(E) bool // of a session that opens; returns false if the connect message is bad
	strange func(E) bool // reports whether the connect message of the session is bad
	hello   []byte       // the connect message
}

// on returns the handler that gives the messages of a channel to f.
func on[E session.End, T any](h *messages[T], f func(E, T)) handler[E] {
	if f == nil {
		return handler[E]{row: h.row, err: errNoFunc}
	}
	return handler[E]{row: h.row, message: func(e E, b []byte) {
		if m, ok := h.receive(e, b); ok {
			f(e, m)
		}
	}}
}

var errNoFunc = errors.New("the func of the handler is nil")

// handlers are those of one end, by the row that a message or request is for.
type handlers[E session.End] struct {
	messages []func(E, []byte) // by ID of the channel
	requests map[string]func(E, *session.Request)
	hello    handler[E] // the zero value if there is none
}

// collect puts the handlers of one end in order. name is that of the config, whose field
// Channels is set.
func collect[E session.End](game any, config string, set channel.Channels, list []handler[E]) (*table, *handlers[E], error) {
	t, err := tableOf(game)
	if err != nil {
		return nil, nil, fmt.Errorf("typed: %w", err)
	}
	if set != nil {
		return nil, nil, fmt.Errorf("typed: %s.Channels is set, but %s has all channels: give it rows of typed.Bytes", config, t.name)
	}
	hs := &handlers[E]{messages: make([]func(E, []byte), len(t.channels)+1), requests: make(map[string]func(E, *session.Request))}
	seen := make(map[*row]bool)
	for _, h := range list {
		switch {
		case h.row == nil:
			return nil, nil, errNoTable
		case h.row.table != t:
			return nil, nil, fmt.Errorf("typed: the handler of %s is of another table", h.row.label())
		case h.err != nil:
			return nil, nil, fmt.Errorf("typed: %s: %w", h.row.label(), h.err)
		case seen[h.row]:
			return nil, nil, fmt.Errorf("typed: %s has two handlers", h.row.label())
		}
		seen[h.row] = true
		switch {
		case h.message != nil:
			hs.messages[h.row.id] = h.message
		case h.request != nil:
			hs.requests[h.row.name] = h.request
		default:
			hs.hello = h
		}
	}
	return t, hs, nil
}

// handleMessage gives a message to its handler. It returns false if there is none.
func (hs *handlers[E]) handleMessage(e E, ch channel.ID, b []byte) bool {
	if int(ch) >= len(hs.messages) || hs.messages[ch] == nil {
		return false
	}
	hs.messages[ch](e, b)
	return true
}

// handleRequest gives a request to its handler. It returns false if there is none.
func (hs *handlers[E]) handleRequest(e E, r *session.Request) bool {
	f := hs.requests[r.Name]
	if f == nil {
		return false
	}
	f(e, r)
	return true
}

// say returns the connect message of a client whose program has set own.
func (hs *handlers[E]) say(t *table, own []byte) ([]byte, error) {
	if hs.hello.row != nil {
		return hs.hello.hello, nil
	}
	if t.hello != "" && own == nil {
		return nil, fmt.Errorf("typed: the client says no %s.%s: give it the handler of %s.Say", t.name, t.hello, t.hello)
	}
	return own, nil
}
