package client

import (
	"bytes"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/websock"
	"github.com/godwit-rtc/godwit/session"
)

// A link carries the datagrams of a session: a *Conn, which is WebRTC, or a *webSocket. The
// endpoint's lock is held when its methods are called.
type link interface {
	// name is one of the names of package session.
	name() string
	// of returns the session that the link was made for.
	madeFor() *sessioncore.Session
	// takes reports whether the link takes a datagram now.
	takes() bool
	// carry sends a datagram, and does not wait. It returns false if it takes no more.
	carry(now time.Time, b []byte) bool
	// leave ends the link. moved says that the session goes on, on another link.
	leave(now time.Time, moved bool)
}

func (c *Conn) name() string                  { return session.LinkWebRTC }
func (c *Conn) madeFor() *sessioncore.Session { return c.of }
func (c *Conn) takes() bool                   { return true }

func (c *Conn) carry(now time.Time, b []byte) bool {
	return c.endpoint.carry(now, c, b)
}

func (c *Conn) leave(now time.Time, moved bool) {
	if !moved {
		c.close(now)
		return
	}
	c.end(&CloseError{Code: CloseByClient}) // the server is not told: it follows the session
	c.endpoint.remove(c)
}

// A webSocket is a link over a WebSocket.
type webSocket struct {
	session *Session
	of      *sessioncore.Session
	conn    *websock.Conn

	// The endpoint's lock guards the fields below.
	closed  bool
	held    []byte // a datagram that conn did not take; it waits for room
	waiting int    // datagrams in Endpoint.arrivals
	blocked bool   // receive waits until there are fewer
	fewer   chan struct{}
}

// An arrival is a datagram that a WebSocket has received, for the next turn. The bytes that
// handlers get lie in it.
type arrival struct {
	to *webSocket
	b  []byte
}

// maxWaiting limits the datagrams of one WebSocket in Endpoint.arrivals. More wait in the
// kernel.
const maxWaiting = 64

// fullPause is the time between two looks at a session whose WebSocket has no room. The session
// has something to send all the time.
const fullPause = 50 * time.Millisecond

func (w *webSocket) name() string                  { return session.LinkWebSocket }
func (w *webSocket) madeFor() *sessioncore.Session { return w.of }

func (w *webSocket) takes() bool {
	if w.held != nil && w.conn.Send(w.held) {
		w.held = nil
	}
	return w.held == nil
}

// carry sends a datagram. One that the outbox has no room for waits: a WebSocket loses
// nothing, so the session sends nothing twice.
func (w *webSocket) carry(_ time.Time, b []byte) bool {
	if w.conn.Send(b) {
		return true
	}
	w.held = bytes.Clone(b)
	return false
}

func (w *webSocket) leave(time.Time, bool) {
	if !w.closed {
		w.closed = true
		w.conn.Close("the client has left the link")
		w.wake()
	}
}

// wake ends a wait of receive.
func (w *webSocket) wake() {
	w.blocked = false
	select {
	case w.fewer <- struct{}{}:
	default:
	}
}

// receive leaves a datagram to the next turn. The reading goroutine calls it.
func (w *webSocket) receive(b []byte) bool {
	e := w.session.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	for !w.closed && w.waiting >= maxWaiting {
		w.blocked = true
		e.loop.Unlock()
		<-w.fewer
		e.loop.Lock()
	}
	if w.closed || e.loop.Closed() {
		return false
	}
	w.waiting++
	a := e.arrivals.Add()
	a.to, a.b = w, append(a.b[:0], b...)
	e.loop.Wake()
	return true
}

// room says that the outbox has room again. The writing goroutine calls it.
func (w *webSocket) room() {
	e := w.session.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if w.session.link == link(w) {
		e.loop.Touch(w.session)
		e.loop.Wake()
	}
}

// ended says that the WebSocket is over. The reading goroutine calls it.
func (w *webSocket) ended(err error) {
	e := w.session.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	w.leave(time.Now(), false)
	w.session.linkDown(w, &CloseError{Code: CloseByServer, Err: err})
	e.loop.Wake()
}

// takeArrivals gives the datagrams of WebSockets to their sessions.
func (e *Endpoint) takeArrivals() {
	taken := e.arrivals.Take()
	for i := range taken {
		a := &taken[i]
		w := a.to
		a.to = nil
		w.session.receive(w, a.b)
		if w.waiting = 0; w.blocked {
			w.wake()
		}
	}
}

// rank returns how much the session prefers a link: less is better.
func (s *Session) rank(name string) int {
	if i := slices.Index(s.config.Links, name); i >= 0 {
		return i
	}
	return len(s.config.Links)
}

// wants reports whether the session may use a link with this name.
func (s *Session) wants(name string) bool { return slices.Contains(s.config.Links, name) }

// Link returns the name of the link that the session uses now, or used last:
// session.LinkWebRTC or session.LinkWebSocket. It is empty before the session has a link.
func (s *Session) Link() string {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.linkName
}
