package godwit

import (
	"errors"

	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/session"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// Errors. They are returned unwrapped, so they can be compared with ==.
var (
	// ErrClosed: the session is over, or the server is.
	ErrClosed = channel.ErrClosed
	// ErrUnknown: the table has no such channel.
	ErrUnknown = channel.ErrUnknown
	// ErrDirection: the table lets only the other end send on the channel.
	ErrDirection = channel.ErrDirection
	// ErrTooLarge: the message exceeds the channel's MaxMessage.
	ErrTooLarge = channel.ErrTooLarge
	// ErrBudget: a reliable channel's queue is full; nothing was queued. Send less, or
	// later: the other end does not take it as fast.
	ErrBudget = channel.ErrBudget
	// ErrExpired: the message's deadline has passed already.
	ErrExpired = channel.ErrExpired
	// ErrInterrupted: the session is interrupted, and an unreliable message would be
	// out of date when the session resumes.
	ErrInterrupted = session.ErrInterrupted
	// ErrTooMany: too many requests wait for an answer.
	ErrTooMany = session.ErrTooMany
	// ErrName: a request's name is empty, longer than 64 bytes, or not UTF-8.
	ErrName = session.ErrName
	// ErrPayload: a request or a reply is larger than MaxRequest.
	ErrPayload = session.ErrPayload
	// ErrAnswered: the request is answered already, or its session is over.
	ErrAnswered = session.ErrAnswered
	// ErrFixed: OpenChannel works only at a server's end, after Open, and if the client
	// supports it, as all clients of this module do.
	ErrFixed = session.ErrFixed
	// ErrHello: a connect message is longer than MaxHello.
	ErrHello = session.ErrHello
	// ErrInHandler: the call would wait for the goroutine it is on.
	ErrInHandler = handling.ErrInHandler
	// ErrManual: Poll is for servers with Config.Manual.
	ErrManual = errors.New("godwit: Poll needs Config.Manual; without it the server has a goroutine that does the same")
)

// Limits of what is sent.
const (
	// MaxHello is the longest connect message in bytes, 1024.
	MaxHello = session.MaxHello
	// MaxRequest is the largest request or reply in bytes, a little less than 64 KiB.
	MaxRequest = session.MaxPayload
)

// An ID is a session's number: random, so that no two of a fleet are the same.
type ID uint64

// String returns the id as 16 hexadecimal digits.
func (id ID) String() string {
	s := strconv.FormatUint(uint64(id), 16)
	return "0000000000000000"[len(s):] + s
}

// An Identity is the name and data of a client according to its credentials.
type Identity struct {
	Name string // the subject of a token; empty if the server does not authenticate clients
	Data []byte // the program's own data; with a token its "data" as JSON

	// Expires, if not zero, is the time at which the session ends with AuthEnded, also
	// if it is interrupted, unless Conn.Renew changes it before. Config.Authorize sets
	// it, or the server does from the token if Config.ExpireWithToken is set.
	Expires time.Time
}

// A Kind is the kind of program that the client says it is.
type Kind uint8

// The kinds.
const (
	UnknownKind Kind = iota
	Browser
	Native
	InProcess // see Server.Local
)

var kindNames = [...]string{"unknown", "browser", "native", "in-process"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Options are the options of one message; the zero value sets none. A message is not
// sent after its Deadline, except the rest of a reliable message that was sent in part.
// A message with a Key other than zero takes the place of a queued message with the same
// Key; on a Sequenced channel, so does one without a Key. With Receipt, Handler.Receipt
// is called with the Fate of the message.
type Options = channel.Options

// A Conn is one end of a session with a client. The session of [Server.Local] has two
// Conns in the process, one for each end. The methods may be called from any goroutine,
// also while handlers run, and after the session is over.
type Conn struct {
	// User is a value of the program's own, such as the player; the server does not use
	// it. Handlers of this Conn may use it without a lock. With one shard, the handlers of
	// all WebRTC clients may; with Config.Manual, the goroutine that calls Poll may.
	User any

	server   *Server
	handler  *Handler
	id       ID
	identity Identity
	kind     Kind
	ours     bool // a server's end
	hello    []byte
	made     time.Time

	// home is the link whose lock guards the session; see acquire.
	home atomic.Pointer[anchor]

	// newest is the link of the client's latest attempt to resume, or of its first request.
	newest atomic.Pointer[rtcserver.Conn]

	// telling is true while handlers are run, or about to be. Who has set it owns
	// the rest. Handlers have had the first begun of news and the first answered of
	// answers, or have panicked at the last of them.
	telling         atomic.Bool
	news            []session.Event
	answers         []*question // of the results among news, in order
	begun, answered int

	// The rest belongs to whoever holds the lock of home's link.
	session   *session.Session
	seated    *anchor // the link that the session knows of
	asked     map[uint32]*question
	forgotten bool    // the server's book has no entry for it any more
	left      bool    // a handler has panicked before it had all news
	tallied   *Totals // what of its counters the book has; nil means nothing
}

// ID returns the session's number. It stays the same when the link changes. At the
// client's end it is zero until the session is open.
func (c *Conn) ID() ID {
	if c.ours {
		return c.id
	}
	a := c.acquire()
	defer c.release(a)
	return ID(c.session.ID())
}

// Identity returns who the client is. Its Expires is what it was at first; see
// Conn.Expires.
func (c *Conn) Identity() Identity { return c.identity }

// Expires returns when the session ends with AuthEnded; zero means never.
func (c *Conn) Expires() time.Time {
	a := c.acquire()
	defer c.release(a)
	return c.session.Expires()
}

// Renew changes when the session ends with AuthEnded; zero means never. It is for a
// client that has shown fresh credentials, in a request, say: a session that resumes
// shows none, and is not renewed by that. A time that has passed ends the session now.
// At a client's end, and when the session is over, it does nothing.
func (c *Conn) Renew(until time.Time) {
	a := c.acquire()
	if c.ours {
		c.session.SetExpires(until)
		c.session.Advance(time.Now()) // which ends it if that has passed
	}
	c.release(a)
}

// Kind returns the kind of program the client says it is.
func (c *Conn) Kind() Kind { return c.kind }

// Hello returns the connect message, from Open on.
func (c *Conn) Hello() []byte { return c.hello }

// RemoteAddr returns the address that messages go to now. It changes when the
// client's network does. In process it is invalid.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.home.Load().link.RemoteAddr() }

// Send queues a message on a channel of the table. It does not wait: the message
// leaves at once if the client's share of bytes allows, in a handler when the batch
// is over, with Config.Manual at the next Flush or Poll. A nil error promises what
// the channel's mode promises, and that only while the session lasts. An error
// means that nothing was queued: ErrUnknown, ErrDirection, ErrTooLarge, ErrBudget,
// ErrInterrupted or ErrClosed.
func (c *Conn) Send(ch ChannelID, b []byte) error {
	_, err := c.SendWith(ch, b, Options{})
	return err
}

// SendWith is Send with options, and one more error, ErrExpired. The id is what a
// receipt will name.
func (c *Conn) SendWith(ch ChannelID, b []byte, o Options) (MessageID, error) {
	a := c.acquire()
	id, err := c.session.Send(time.Now(), ch, b, o)
	c.release(a)
	return id, err
}

// sendLater is Send for one of many: it leaves at Server.Flush.
func (c *Conn) sendLater(now time.Time, ch ChannelID, p *channel.Shared) error {
	a := c.acquire()
	err := c.session.SendShared(now, ch, p)
	a.link.Release(true, c.session.Pending())
	return err
}

// OpenChannel adds a channel to this session's table, after those of Config.Channels
// and others opened before. Only a server's end may. The client learns of it before
// anything that is sent on it, by SessionHandler.Channel or, in a browser, by the
// event "channel"; messages wait until it has, for one round trip. The channel lasts as long as the session, which
// resumes with it. Broadcast and groups know only Config.Channels, since the same
// number may be another channel in another session. Besides those of Send the error is
// ErrFixed, or a [*channel.TableError]: a table has at most 63 channels, with
// different names.
func (c *Conn) OpenChannel(ch Channel) (ChannelID, error) {
	a := c.acquire()
	id, err := c.session.OpenChannel(time.Now(), ch)
	c.release(a)
	return id, err
}

// Channels returns the session's table, with what OpenChannel has added. It must not
// be changed.
func (c *Conn) Channels() Channels {
	a := c.acquire()
	defer c.release(a)
	return c.session.Mux().Channels()
}

// Free returns how large a message Send would take on a channel now, in bytes, or -1
// if none: the queue is full, the channel is unknown or of the other direction, or the
// session is over.
func (c *Conn) Free(ch ChannelID) int {
	a := c.acquire()
	defer c.release(a)
	return c.session.Mux().Free(ch)
}

// Close ends the session. What was sent reliably is delivered first, for
// Config.DrainTimeout at most; meanwhile Send returns ErrClosed, and of what
// arrives only answers and receipts reach the handlers. Then both ends' Close handlers get the code, the
// text, of which 256 bytes are sent, and how much was given up. It does not wait for
// that. A second Close does nothing.
func (c *Conn) Close(code CloseCode, text string) { c.close(code, text, false) }

// Kick is Close with Kicked, which does not wait for anything. It also ends at once a
// session that is being closed.
func (c *Conn) Kick(text string) { c.close(Kicked, text, true) }

func (c *Conn) close(code CloseCode, text string, atOnce bool) {
	a := c.acquire()
	c.session.Close(time.Now(), code, text, atOnce)
	c.release(a)
}
