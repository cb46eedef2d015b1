package client

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// A link carries the datagrams of a session: a *Conn, which is WebRTC, or a *carried. The
// endpoint's lock is held when its methods are called.
type link interface {
	// name is one of the names of package session, or of the program.
	name() string
	// isReliable reports whether the link neither loses nor reorders.
	isReliable() bool
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
func (c *Conn) isReliable() bool              { return false }
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

// A Carrier takes the client's datagrams of one link that is not WebRTC, as a godwit.Carrier
// takes the server's: its Send and Close are called one at a time with a lock held, must not
// wait, and must not call methods of this package. See [Endpoint.JoinOver].
type Carrier interface {
	// Send sends one datagram, and does not wait. b is valid until Send returns. If there
	// is no room, Send returns false. Then the datagram is lost, or, if LinkConfig.Reliable
	// is true, it is kept until the program calls Link.Room, and the link ends if there is no
	// room for 10 s.
	Send(b []byte) bool
	// Close is called once, when the link is not used any more. What Send has taken must
	// still leave.
	Close(text string)
}

// A carried is a link over a Carrier, such as a WebSocket.
type carried struct {
	session  *Session
	of       *sessioncore.Session
	kind     string
	reliable bool
	carrier  Carrier

	// The endpoint's lock guards the fields below.
	closed  bool
	early   [][]byte      // datagrams that have arrived before LinkConfig.Dial has returned
	held    []byte        // a datagram that carrier did not take; it waits for room
	stuck   time.Time     // when the link ends if carrier has not taken held
	waiting int           // datagrams in Endpoint.arrivals
	fewer   chan struct{} // wakes receive
}

// An arrival is a datagram that a Carrier has brought, for the next turn. The bytes that
// handlers get lie in it.
type arrival struct {
	to *carried
	b  []byte
}

// maxWaiting limits the datagrams of one link in Endpoint.arrivals. More wait, or are
// dropped if the link is not reliable.
const maxWaiting = 64

// fullPause is the time between two looks at a session whose link has no room. The session
// has something to send all the time.
const fullPause = 50 * time.Millisecond

// stuckTimeout is how long the carrier of a reliable link may have no room.
const stuckTimeout = 10 * time.Second

func (w *carried) name() string                  { return w.kind }
func (w *carried) isReliable() bool              { return w.reliable }
func (w *carried) madeFor() *sessioncore.Session { return w.of }

func (w *carried) takes() bool {
	if w.held != nil && w.carrier.Send(w.held) {
		w.held = nil
	}
	return w.held == nil
}

// carry sends a datagram. One that the carrier of a reliable link has no room for waits: such
// a link loses nothing, so the session sends nothing twice.
func (w *carried) carry(now time.Time, b []byte) bool {
	if w.carrier.Send(b) {
		return true
	}
	if !w.reliable {
		return true // lost, as on any such link
	}
	w.held, w.stuck = bytes.Clone(b), now.Add(stuckTimeout)
	return false
}

func (w *carried) leave(time.Time, bool) {
	if !w.closed {
		w.closed = true
		if w.carrier != nil {
			w.carrier.Close("the client has left the link")
		}
		w.wake()
	}
}

// wake ends a wait of receive.
func (w *carried) wake() {
	select {
	case w.fewer <- struct{}{}:
	default:
	}
}

// receive leaves a datagram to the next turn. A goroutine that reads calls it.
func (w *carried) receive(b []byte) bool {
	e := w.session.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	for !w.closed && w.waiting >= maxWaiting {
		if !w.reliable {
			return false
		}
		e.loop.Unlock()
		<-w.fewer
		e.loop.Lock()
	}
	if w.closed || e.loop.Closed() {
		return false
	}
	w.waiting++
	a := e.arrivals.Add()
	a.to, a.b = w, append(a.b[:0], b[:min(len(b), inLen)]...)
	e.loop.Wake()
	return true
}

// room says that the carrier has room again.
func (w *carried) room() {
	e := w.session.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if w.session.link == link(w) {
		e.loop.Touch(w.session)
		e.loop.Wake()
	}
}

// ended says that the link is over.
func (w *carried) ended(err error) {
	e := w.session.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	w.leave(time.Now(), false)
	w.session.linkDown(w, &CloseError{Code: CloseByServer, Err: err})
	e.loop.Wake()
}

// takeArrivals gives the datagrams of carriers to their sessions.
func (e *Endpoint) takeArrivals() {
	taken := e.arrivals.Take()
	for i := range taken {
		a := &taken[i]
		w := a.to
		a.to = nil
		if w.carrier == nil && len(w.early) < maxWaiting {
			w.early = append(w.early, bytes.Clone(a.b))
		}
		w.session.receive(w, a.b)
		if w.waiting >= maxWaiting {
			w.wake()
		}
		w.waiting = 0
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
// session.LinkWebRTC, LinkWebTransport, LinkWebSocket, or the name of JoinOver. It is empty before
// the session has a link.
func (s *Session) Link() string {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.linkName
}

// A LinkConfig describes a link of the program's own.
type LinkConfig struct {
	Name     string // for Session.Link; not empty
	Reliable bool   // the link delivers every datagram, once and in order

	// Dial opens the link, and returns what takes the session's datagrams. l takes what
	// arrives. The link carries at least 1150 bytes in a datagram.
	Dial func(ctx context.Context, l *Link) (Carrier, error)
}

// A Link takes what arrives over a link of the program's own. Its methods may be called from
// any goroutine, but not from methods of the Carrier.
type Link struct{ carried *carried }

// Receive gives the session a copy of a datagram. If 64 wait, Receive waits if the link is
// reliable, and drops the datagram if not. It returns false if the datagram was dropped, or
// the link is closed. Call it from one goroutine at a time, and from no handler.
func (l *Link) Receive(b []byte) bool { return l.carried.receive(b) }

// Room says that the Carrier has room again, after its Send has returned false.
func (l *Link) Room() { l.carried.room() }

// Close says that the link has ended. A second Close does nothing.
func (l *Link) Close() { l.carried.ended(errLinkEnded) }

var (
	errLinkEnded = errors.New("the link has ended")
	errLinkStuck = errors.New("the link had no room for too long")
)

// JoinOver begins a session over a link of the program's own, whose other end is a
// godwit.Server.AddLink. It sends no request: the program's server admits the client. It waits
// until the session is open or has failed; ctx limits this wait. When the link ends, the session
// is interrupted, and ends after 30 s, because it makes no other link. The errors are those of Dial and of Join.
func (e *Endpoint) JoinOver(ctx context.Context, lc LinkConfig, sc SessionConfig) (*Session, error) {
	if handling.Now() || e.polling.Running() {
		return nil, session.ErrInHandler
	}
	if lc.Name == "" || lc.Dial == nil {
		return nil, errors.New("client: LinkConfig needs a Name and Dial")
	}
	sc.NoReconnect, sc.Renew, sc.Retry = true, false, false
	return e.joinWith(ctx, "", sc, false, &lc)
}

// dialOver makes a link of the program's own.
func (s *Session) dialOver(ctx context.Context, lc *LinkConfig, of *sessioncore.Session) error {
	w := &carried{session: s, of: of, kind: lc.Name, reliable: lc.Reliable, fewer: make(chan struct{}, 1)}
	carrier, err := lc.Dial(ctx, &Link{w})
	if err == nil && carrier == nil {
		err = errors.New("client: LinkConfig.Dial has returned no Carrier")
	}
	if err != nil {
		return err
	}
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if w.carrier = carrier; w.closed || e.loop.Closed() {
		w.closed = true
		carrier.Close("the link has ended")
		if e.loop.Closed() {
			return session.ErrClosed
		}
		return errLinkEnded
	}
	s.linkUp(w)
	for _, b := range w.early {
		a := e.arrivals.Add()
		a.to, a.b = w, append(a.b[:0], b...)
	}
	w.early = nil
	e.loop.Wake()
	return nil
}
