package client

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/ufrag"
	"github.com/godwit-rtc/godwit/session"
)

// MaxMessage is the size in bytes of the largest message that Conn.Send sends: it must
// fit one packet.
const MaxMessage = peer.MaxPayload

var (
	// ErrTooLarge is returned by Conn.Send for a message of more than MaxMessage bytes. A
	// Session returns session.ErrTooLarge: its messages may be larger.
	ErrTooLarge = fmt.Errorf("client: the message is larger than one packet can carry: %d bytes", MaxMessage)

	// ErrSilenced is returned by Conn.Send while the client must not send to the server:
	// the server has not answered a check for Config.SilenceTimeout.
	ErrSilenced = errors.New("client: the server has been silent for too long: nothing may be sent to it now")
)

// A Conn is a connection to a server. Its methods may be called from any
// goroutine.
type Conn struct {
	// User is a value for the program. Dial and Connect of an Endpoint set it; the
	// package does not use it. Handlers may use it without a lock.
	User any

	endpoint *Endpoint
	local    netip.Addr           // local address to send from; zero lets the system choose
	opened   chan struct{}        // closed when the connection is not being opened any more
	session  *Session             // the Session whose link the Conn is; nil if none
	of       *sessioncore.Session // the session that the link was made for; s.session may be newer
	active   bool                 // this end is the DTLS client
	direct   bool                 // it was made without a request
	succeeds bool                 // another one of the session was being opened on its route

	// The endpoint's lock guards the fields below.
	peer       *peer.Peer
	expected   []dtls.Fingerprint // fingerprints of the server's certificate; nil from the handshake on
	handshake  *dtls.Handshake    // the handshake while it runs
	routes     []route            // keys in the endpoint's table; once the connection is open, only one is there
	entry      loop.Entry
	news       []news // events for the handlers, of the next turn
	delivering []news // events for the handlers, of this turn
	begun      int    // handlers were called for so many of delivering; the last one may have panicked
	state      connState
	failed     *CloseError // why the connection ended before it was open; else nil
	admit      []byte      // ADMIT, which is sent before each packet; nil if it need not be sent any more
	reach      nextLink    // what the next link needs to reach the same server
}

// news is an event for the handlers.
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

// LocalAddr returns the connection's address from Config.Sources. Without Sources it
// returns the zero Addr.
func (c *Conn) LocalAddr() netip.Addr { return c.local }

// RemoteAddr returns the address of the server to which the client sends.
func (c *Conn) RemoteAddr() netip.AddrPort {
	c.endpoint.loop.Lock()
	defer c.endpoint.loop.Unlock()
	return c.peer.Remote()
}

// Send sends one message to a stream of the server. It does not wait: the message has
// left when Send returns or, in a handler, leaves when all datagrams of the current
// batch are processed. A nil error does not mean that the message will arrive. The
// errors are session.ErrClosed, ErrTooLarge and ErrSilenced.
//
// A message of n bytes needs a UDP payload of n, rounded up to a multiple of four, plus
// 65 bytes, at most 1,225. A message that is too large for the path is always lost, and
// there is no error; messages of up to 1,160 bytes pass if the MTU is at least 1,280.
func (c *Conn) Send(stream uint16, k Kind, b []byte) error {
	e := c.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if c.state != connOpen {
		return session.ErrClosed
	}
	out, to, err := c.peer.Send(time.Now(), e.loop.Slot(), stream, peer.Kind(k), b)
	if err != nil {
		return sendErrors.For(err)
	}
	e.loop.Push(out, to.Remote, c.local)
	e.stats.MessagesOut++
	e.loop.Pushed(c)
	e.loop.SendBatch()
	return nil
}

// sendErrors are the errors of Send.
var sendErrors = peer.SendErrors{TooLarge: ErrTooLarge, Silenced: ErrSilenced, NotOpen: session.ErrClosed}

// Close ends the connection and tells the server at once. It does not wait. Handler.Close
// is called later, on the endpoint's goroutine.
func (c *Conn) Close() {
	e := c.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	c.close(time.Now())
}

func (c *Conn) close(now time.Time) {
	c.peer.Close(now, "")
	c.end(&CloseError{Code: CloseByClient})
	c.endpoint.loop.Touch(c)
	c.endpoint.loop.Wake() // the turn that runs may be past it
}

// The methods below are those of a member of the loop.

func (c *Conn) loopEntry() *loop.Entry { return &c.entry }

func (c *Conn) advance(now time.Time) {
	c.endpoint.events = c.peer.Advance(now, c.endpoint.events[:0])
	c.processEvents(c.endpoint.events)
}

func (c *Conn) ready() bool {
	if left := c.delivering[c.begun:]; len(left) > 0 { // a handler has panicked
		c.news = append(slices.Clone(left), c.news...)
	}
	c.news, c.delivering, c.begun = c.delivering[:0], c.news, 0
	return len(c.delivering) > 0
}

// settle sends the pending datagrams, and removes a connection that is over.
func (c *Conn) settle(now time.Time) {
	if c.state == connGone {
		return
	}
	c.peer.Flush(now)
	c.pump(now)
	if c.peer.State() == peer.Gone {
		c.endpoint.remove(c)
	}
}

func (c *Conn) deadline() time.Time {
	if c.state == connGone {
		return time.Time{}
	}
	return c.peer.Deadline()
}

// pump moves the peer's datagrams to the outgoing batch.
func (c *Conn) pump(now time.Time) {
	for {
		b, to := c.peer.Append(now, c.endpoint.loop.Slot())
		if len(b) == 0 {
			return
		}
		c.endpoint.loop.Push(b, to.Remote, c.local)
	}
}

// processEvents processes events of the peer.
func (c *Conn) processEvents(events []peer.Event) {
	for i := range events {
		switch ev := &events[i]; ev.Type {
		case peer.Established:
			c.setState(connOpen)
			c.keepRoute()
			c.endpoint.stats.Opened++
			c.addNews(news{kind: newsOpen})
			if c.session != nil {
				c.session.linkUp(c)
			}
		case peer.Message:
			c.endpoint.stats.MessagesIn++
			switch {
			case c.direct && len(ev.Payload) > 0 && ev.Payload[0] < ufrag.FirstOfPacket:
				c.receiveRefused(ev.Payload)
			case c.session != nil:
				c.admit = nil // the server has admitted this end
				c.session.receive(c, ev.Payload)
			default:
				c.addNews(news{kind: newsMessage, message: Message{Kind(ev.Kind), ev.Stream, ev.Payload}})
			}
		}
	}
	if c.peer.State() >= peer.Closing {
		why, err := c.peer.Why()
		c.end(&CloseError{closeCodes[why], err})
	}
}

// keepRoute removes all routes except the selected one, which does not change any more.
// The server's answer may have named addresses of other servers, to which the endpoint
// must be able to connect.
func (c *Conn) keepRoute() {
	e := c.endpoint
	kept := e.route(c.peer.Remote(), c.local)
	for _, r := range c.routes {
		if r != kept {
			delete(e.conns, r)
		}
	}
}

var closeCodes = [...]CloseCode{
	peer.LocalClose:        CloseByClient,
	peer.RemoteClose:       CloseByServer,
	peer.NoContact:         CloseNoAnswer,
	peer.TimedOut:          CloseTimeout,
	peer.HandshakeFailed:   CloseNoHandshake,
	peer.AssociationFailed: CloseNoAssociation,
}

// end notes that the connection is over. Only the first call has an effect.
func (c *Conn) end(why *CloseError) {
	wasOpen := c.state == connOpen
	if !c.setState(connClosing) {
		return
	}
	c.endpoint.stats.Closed++
	if wasOpen {
		c.addNews(news{kind: newsClose, err: why})
	} else {
		c.failed = why
	}
	if c.session != nil {
		c.session.linkDown(c, why)
	}
}

func (c *Conn) addNews(n news) {
	if c.session == nil {
		c.news = append(c.news, n)
	}
}

// deliver runs the handlers. No lock is held.
func (c *Conn) deliver() {
	h := &c.endpoint.config.Handler
	for c.begun < len(c.delivering) {
		n := &c.delivering[c.begun]
		c.begun++
		switch {
		case n.kind == newsOpen && h.Open != nil:
			h.Open(c)
		case n.kind == newsMessage && h.Message != nil:
			h.Message(c, n.message)
		case n.kind == newsClose && h.Close != nil:
			h.Close(c, n.err)
		}
	}
	clear(c.delivering)
}
