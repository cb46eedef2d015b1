package client

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/session"
	"github.com/godwit-rtc/godwit/internal/timers"
)

// MaxMessage is the largest message in bytes that Send takes: what fits one
// packet.
const MaxMessage = peer.MaxPayload

var (
	// ErrClosed is returned by calls on a Conn, a Session or an Endpoint that is
	// closed, and on a Session that is over while SessionConfig.Renew begins a new one.
	ErrClosed = channel.ErrClosed

	// ErrTooLarge is returned by Send for a message of more than MaxMessage bytes.
	ErrTooLarge = fmt.Errorf("client: message is larger than one packet takes, which is %d bytes", MaxMessage)

	// ErrSilenced is returned by Send while sending to the server is not allowed: the
	// server has not answered a check for SilenceTimeout.
	ErrSilenced = errors.New("client: the server has been silent for too long to be sent to")
)

// A Conn is a connection to a server. Its methods may be called from any
// goroutine.
type Conn struct {
	// User is the program's own, set by Dial and Connect of an Endpoint; the package
	// never looks at it. Handlers may use it without a lock.
	User any

	endpoint *Endpoint
	local    netip.Addr       // where it sends from; zero leaves it to the system
	settled  chan struct{}    // closed when it is open, or over
	session  *Session         // of level two, whose link or carrier this is; or nil
	of       *session.Session // that it was made for: a link of an older one is none
	active   bool             // we are the DTLS client

	// Everything below belongs to the endpoint.
	peer      *peer.Peer
	expected  []dtls.Fingerprint // what the server's certificate must match; until the handshake
	handshake *dtls.Handshake    // while it runs
	routes    []route            // by which the endpoint knows it
	timer     timers.Slot
	news      []news // what handlers are to be told
	telling   []news // what they are being told

	touched bool // in the endpoint's list
	opened  bool
	closed  *CloseError // once it is over
	gone    bool        // the endpoint has forgotten it
}

// news is something that handlers are told.
type news struct {
	kind    newsKind
	message Message
	err     *CloseError
}

type newsKind uint8

const (
	newsOpen newsKind = iota
	newsMessage
	newsClose
)

// LocalAddr returns the address in Config.Sources that the connection has; zero
// without Sources.
func (c *Conn) LocalAddr() netip.Addr { return c.local }

// RemoteAddr returns the server's address.
func (c *Conn) RemoteAddr() netip.AddrPort {
	c.endpoint.mu.Lock()
	defer c.endpoint.mu.Unlock()
	return c.peer.Remote()
}

// Send sends one message to a stream of the server. It does not wait: the message is
// sent when Send returns, or, in a handler, when all datagrams of the current batch are
// processed. A nil error does not mean that the message will arrive.
//
// A message of n bytes needs a UDP payload of n, rounded up to a multiple of four, plus
// 65 bytes, at most 1,225. A message that is too large for the path is always lost, and
// there is no error; messages of up to 1,160 bytes pass if the MTU is at least 1,280.
func (c *Conn) Send(stream uint16, k Kind, b []byte) error {
	e := c.endpoint
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.closed != nil || c.gone || !c.opened {
		return ErrClosed
	}
	out, to, err := c.peer.Send(time.Now(), e.slot(), stream, peer.Kind(k), b)
	if err != nil {
		return sendError(err)
	}
	e.push(out, to, c.local)
	e.stats.MessagesOut++
	if e.busy {
		e.touch(c)
		return nil
	}
	e.flush()
	e.time(c)
	return nil
}

func sendError(err error) error {
	switch {
	case errors.Is(err, peer.ErrTooLarge):
		return ErrTooLarge
	case errors.Is(err, peer.ErrSilenced):
		return ErrSilenced
	case errors.Is(err, peer.ErrNotOpen):
		return ErrClosed
	}
	return err
}

// Close ends the connection and tells the server at once. It does not wait. Handler.Close
// is called later, on the endpoint's goroutine.
func (c *Conn) Close() {
	e := c.endpoint
	e.mu.Lock()
	defer e.mu.Unlock()
	c.close(time.Now())
	e.wake()
}

func (c *Conn) close(now time.Time) {
	if c.closed != nil || c.gone {
		return
	}
	c.peer.Close(now, "")
	c.end(&CloseError{Code: ClosedByUs})
	c.endpoint.touch(c)
}

// pump puts what the peer has to say into the outgoing batch.
func (c *Conn) pump(now time.Time) {
	for {
		b, to := c.peer.Append(now, c.endpoint.slot())
		if len(b) == 0 {
			return
		}
		c.endpoint.push(b, to, c.local)
	}
}

// happened notes what came out of the peer.
func (c *Conn) happened(events []peer.Event) {
	for i := range events {
		switch ev := &events[i]; ev.Type {
		case peer.Established:
			c.opened = true
			c.keepRoute()
			c.endpoint.stats.Opened++
			c.tell(news{kind: newsOpen})
			close(c.settled)
			if c.session != nil {
				c.session.linkUp(c)
			}
		case peer.Message:
			c.endpoint.stats.MessagesIn++
			if c.session != nil {
				c.session.receive(c, ev.Payload)
				continue
			}
			c.tell(news{kind: newsMessage, message: Message{Kind(ev.Kind), ev.Stream, ev.Payload}})
		}
	}
	if c.peer.State() >= peer.Closing {
		why, err := c.peer.Why()
		c.end(&CloseError{closeCodes[why], err})
	}
}

// keepRoute gives back the routes but the one that was selected, which stays so: a server
// may have named addresses of others.
func (c *Conn) keepRoute() {
	e := c.endpoint
	kept := e.route(c.peer.Remote(), c.local)
	for _, r := range c.routes {
		if r != kept && e.conns[r] == c {
			delete(e.conns, r)
		}
	}
	c.routes = append(c.routes[:0], kept)
}

var closeCodes = [...]CloseCode{
	peer.LocalClose:        ClosedByUs,
	peer.RemoteClose:       ClosedByServer,
	peer.Unheard:           NoAnswer,
	peer.Silent:            TimedOut,
	peer.HandshakeFailed:   NoHandshake,
	peer.AssociationFailed: NoAssociation,
}

// end notes that the connection is over, once.
func (c *Conn) end(why *CloseError) {
	if c.closed != nil {
		return
	}
	c.closed = why
	c.endpoint.stats.Closed++
	if c.opened {
		c.tell(news{kind: newsClose, err: why})
	} else {
		close(c.settled)
	}
	if c.session != nil {
		c.session.linkDown(c)
	}
}

func (c *Conn) tell(n news) {
	if c.session == nil {
		c.news = append(c.news, n)
	}
}

// deliver runs the handlers. No lock is held.
func (c *Conn) deliver() {
	if c.isCarrier() {
		c.session.deliver()
		return
	}
	h := &c.endpoint.config.Handler
	for i := range c.telling {
		switch n := &c.telling[i]; {
		case n.kind == newsOpen && h.Open != nil:
			h.Open(c)
		case n.kind == newsMessage && h.Message != nil:
			h.Message(c, n.message)
		case n.kind == newsClose && h.Close != nil:
			h.Close(c, n.err)
		}
	}
	clear(c.telling)
}
