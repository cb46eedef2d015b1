package godwit

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/deflate"
	"github.com/godwit-rtc/godwit/internal/enum"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// An Identity is the name and data of a client according to its credentials.
type Identity struct {
	Name string // the subject of a token, or the name that Config.Authorize returns; else empty
	Data []byte // the program's own data; with a token its "data" as JSON

	// Expires, if not zero, is the time at which the session ends with session.CloseAuth,
	// also if it is interrupted, unless Conn.Renew changes it before. Config.Authorize
	// sets it, or the server does from the token if Config.ExpireWithToken is set.
	Expires time.Time
}

// A Kind is the kind of program that the client is, according to the client.
type Kind uint8

// The kinds of clients.
const (
	KindUnknown Kind = iota
	KindBrowser
	KindNative
	KindInProcess // see Server.Local
)

var kindNames = [...]string{"unknown", "browser", "native", "in-process"}

func (k Kind) String() string { return enum.Name(k, kindNames[:]) }

// Options are the options of one message; the zero value sets none. A message is not sent
// after its Deadline; but if a part of a reliable message was sent before, the rest is
// sent, too. A message with a Key other than zero takes the place of a queued message with
// the same Key. On a Sequenced channel a message without a Key takes the place of a queued
// message without a Key. With Receipt, Handler.Receipt is called with the Fate of the
// message.
type Options = channel.Options

// A Conn is one end of a session with a client. A session of [Server.Local] has two
// Conns in the process, one for each end. The methods may be called from any goroutine,
// while handlers run, and after the session is over.
type Conn struct {
	// User is a value for the program, such as the player. The server does not use it.
	// Handlers of this Conn may use User without a lock. Handlers of other Conns need one,
	// except with Config.Manual, where the goroutine that calls Poll needs none.
	User any

	server   *Server
	handler  *Handler
	id       session.ID
	identity Identity
	kind     Kind
	atServer bool          // the server's end
	arrivals atomic.Uint32 // links to which the client has come; see anchor.order
	hello    []byte

	// home is the anchor of the link whose lock guards the session; see acquire. It is
	// nil until a link opens, or the only link closes before; until then nobody needs the
	// session.
	home atomic.Pointer[anchor]

	// newest is the link of the client's latest attempt to resume, or of its first request.
	newest atomic.Pointer[rtcserver.Conn]

	// newestEnds are the newest links of the client that are not WebRTC, one of each ticketFor.
	newestEnds [tickets]atomic.Pointer[linkEnd]

	// delivering is true from Ready, which takes news for the handlers, until the handlers
	// have run. The goroutine that has set it owns the next five fields. Handlers were
	// called for the first begun of news and the first answered of answers; the last of
	// these calls may have panicked.
	delivering      atomic.Bool
	closeDelivered  bool // the Close handler was called
	news            []sessioncore.Event
	answers         []*call // the calls of the results in news, in order
	begun, answered int

	// The lock of home's link guards the fields below.
	session     *sessioncore.Session
	attached    *anchor // the link that the session uses; nil before the first
	asked       map[uint32]*call
	done        chan struct{} // for Done; nil until somebody asks
	doneClosed  bool          // the last handler has returned
	forgotten   bool          // Server.forget was called, or is about to be
	undelivered bool          // a handler has panicked, and news has events without a call
	tallied     *Totals       // counters that are in the server's totals already; nil if none are
}

var _ session.End = (*Conn)(nil)

// ID returns the number of the session. It stays the same when the link changes. At the
// client's end it is zero until the session is open.
func (c *Conn) ID() session.ID {
	if c.atServer {
		return c.id
	}
	a := c.acquire()
	defer c.release(a)
	return c.session.ID()
}

// State returns the state of the session.
func (c *Conn) State() session.State {
	a := c.acquire()
	defer c.release(a)
	return c.session.Public()
}

// Done returns a channel that is closed when the session is over and its Close handler has
// returned.
func (c *Conn) Done() <-chan struct{} {
	a := c.acquire()
	defer c.release(a)
	if c.done == nil {
		if c.done = make(chan struct{}); c.doneClosed {
			close(c.done)
		}
	}
	return c.done
}

// closeDone closes the channel of Done: the Close handler has returned, or the session has
// ended before it was open. The lock is held.
func (c *Conn) closeDone() {
	if c.done != nil && !c.doneClosed {
		close(c.done)
	}
	c.doneClosed = true
}

// Identity returns the identity of the client. Renew does not change its Expires; see
// Conn.Expires.
func (c *Conn) Identity() Identity { return c.identity }

// Expires returns when the session ends with session.CloseAuth; zero means never.
func (c *Conn) Expires() time.Time {
	a := c.acquire()
	defer c.release(a)
	return c.session.Expires()
}

// Renew changes the time at which the session ends with session.CloseAuth; zero means
// never. Call it when the client has sent fresh credentials, for example in a request: a
// client sends no credentials when its session resumes. If the time has passed, Renew
// ends the session. At the client's end, and when the session is over, Renew does
// nothing.
func (c *Conn) Renew(until time.Time) {
	a := c.acquire()
	if c.atServer {
		c.session.SetExpires(until)
		c.session.Advance(time.Now()) // ends the session if until has passed
	}
	c.release(a)
}

// Kind returns the kind of program that the client is, according to the client.
func (c *Conn) Kind() Kind { return c.kind }

// Hello returns the connect message, which the Conn owns: do not change it. It is empty
// before Open, and at the client's end. Only handlers of this Conn and code that runs
// after its Open handler may call it.
func (c *Conn) Hello() []byte { return c.hello }

// RemoteAddr returns the address to which the server sends now. The address changes when
// the client's network changes. It is invalid for a client in the same process and for a
// link of AddLink that has none.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.home.Load().link.RemoteAddr() }

// Send queues a copy of b as a message on a channel of the table. Send does not wait. If
// the rate to the client allows, the message leaves at once; in a handler, it leaves when
// the current batch of datagrams is processed; with Config.Manual, at the next Flush or
// Poll. If Send returns nil, the channel's mode says what is promised, as long as the
// session lasts. If Send returns an error, nothing was queued. The errors are ErrUnknown,
// ErrDirection, ErrTooLarge, ErrBudget, ErrInterrupted and ErrClosed of package session.
func (c *Conn) Send(ch ChannelID, b []byte) error {
	_, err := c.SendWith(ch, b, Options{})
	return err
}

// SendWith is Send with options. It has one more error, session.ErrExpired. The MessageID
// is the number that Handler.Receipt gets.
func (c *Conn) SendWith(ch ChannelID, b []byte, o Options) (MessageID, error) {
	return c.send(ch, "", b, nil, o)
}

// send is SendWith. If name is not empty it is the name of the channel. packed, if not nil, is b for
// channels with Compress. No lock is held while send makes it.
func (c *Conn) send(ch ChannelID, name string, b, packed []byte, o Options) (MessageID, error) {
	a := c.acquire()
	if name != "" {
		ch, _ = c.session.Mux().Channels().ID(name) // 0 if there is none, which is ErrUnknown
	}
	if packed == nil && c.session.Mux().Packs(ch, len(b)) {
		c.release(a)
		p := deflate.TakePacker()
		defer p.Return()
		return c.send(ch, name, b, p.Pack(b), o)
	}
	id, err := c.session.SendPacked(time.Now(), ch, b, packed, o)
	c.release(a)
	return id, err
}

// errUnpacked: the channel has Compress, and the payload was not packed yet.
var errUnpacked = errors.New("godwit: not packed")

// sendLater queues p for one receiver of many. If name is not empty it is the name of the
// channel. The message leaves at Server.Flush.
func (c *Conn) sendLater(now time.Time, ch ChannelID, name string, p *channel.Shared) error {
	a := c.acquire()
	if name != "" {
		ch = c.session.Mine(name) // 0 if there is none, which is ErrUnknown
	}
	err := errUnpacked
	if p.Packed != nil || !c.session.Mux().Packs(ch, len(p.B)) {
		err = c.session.SendShared(now, ch, p)
	}
	a.link.Release(true, c.session.Pending())
	return err
}

// Free returns the size in bytes of the largest message for which a channel has room now.
// An unreliable or sequenced channel always has room, because it drops its oldest message.
// Free returns -1 if the queue of a reliable channel is full, the table has no such channel
// or the channel is being closed, only the other end may send on it, or the session is
// over. Free does not consider whether the session is interrupted or is being closed: Send
// may return session.ErrInterrupted or ErrClosed nevertheless.
func (c *Conn) Free(ch ChannelID) int {
	a := c.acquire()
	defer c.release(a)
	return c.session.Mux().Free(ch)
}

// Close ends the session. The session first delivers its reliable messages, for at most
// Config.DrainTimeout; without a link it ends at once. During this time Send returns
// session.ErrClosed, and the program gets no messages and no requests, but still
// receipts and answers to requests of this end. Then the Close handlers of both ends
// get the code, the text, and the number of bytes that were not delivered. At most
// 256 bytes of text are sent, and none if it is not UTF-8. Close does not wait for any of
// this. A second Close does nothing. A code above 65535 becomes 65535.
func (c *Conn) Close(code session.CloseCode, text string) { c.close(code, text, false) }

// Kick ends the session at once, with the code session.CloseKicked, and does not deliver
// the messages in the queues. A session that is being closed ends at once, too, with the
// code and the text of its Close.
func (c *Conn) Kick(text string) { c.close(session.CloseKicked, text, true) }

func (c *Conn) close(code session.CloseCode, text string, atOnce bool) {
	a := c.acquire()
	c.session.Close(time.Now(), code, text, atOnce)
	c.release(a)
}
