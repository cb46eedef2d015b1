package session

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/channel"
)

// Errors besides those of [channel.Mux.Send].
var (
	// ErrInterrupted: the link is lost for now, and what is sent unreliably would be stale.
	ErrInterrupted = errors.New("session: interrupted: only reliable messages are queued now; go on when it is resumed")
	// ErrTooMany: too many requests wait for an answer.
	ErrTooMany = errors.New("session: too many requests wait for an answer; ask again when some are answered")
	// ErrName: a request's name is empty, too long or not UTF-8.
	ErrName = fmt.Errorf("session: the name of a request is 1 to %d bytes of UTF-8", MaxName)
	// ErrPayload: a request or a reply is too large.
	ErrPayload = fmt.Errorf("session: a request or reply has at most %d bytes; send more on a channel", MaxPayload)
	// ErrAnswered: the request has its answer, or nobody waits for it.
	ErrAnswered = errors.New("session: the request is answered already, or the session is closed")
	// ErrFixed: the client's table is what it was at first.
	ErrFixed = errors.New("session: only a server opens channels, and only at a client that takes them")
	// ErrHello: the connect message is too long.
	ErrHello = fmt.Errorf("session: a connect message has at most %d bytes", MaxHello)
)

// Config is how one end is set up. Channel.Server says which.
type Config struct {
	// Channel is the Mux's. Its KeepAlive is 2 s at a client and 5 s at a
	// server if zero.
	Channel channel.Config

	ID    uint64 // a server's: the session's
	Token Token  // a server's: the first resume token
	Hello []byte // a client's: the connect message

	// Grace is how long the session may be interrupted. Zero means 30 s,
	// negative not at all. A client takes the server's.
	Grace time.Duration

	// Silence is how long nothing may be heard before the session is
	// interrupted. Zero means 10 s at a server and 3 s at a client.
	Silence time.Duration

	// OpenTimeout is how long the peer's HELLO or WELCOME may take. Zero means 5 s.
	OpenTimeout time.Duration

	Limits Limits

	// DrainTimeout is how long Close waits for acknowledgements of what was sent
	// reliably. Zero means 10 s, negative not at all.
	DrainTimeout time.Duration

	// Expires, if not zero, is when the session ends with Auth, unless SetExpires
	// was called before. A server's.
	Expires time.Time

	// MaxWaiting bounds own requests without an answer. Zero means 1024.
	MaxWaiting int
}

func (c *Config) setDefaults() {
	silence, alive := 3*time.Second, 2*time.Second
	if c.Channel.Server {
		silence, alive = 10*time.Second, 5*time.Second
	}
	or := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	or(&c.Channel.KeepAlive, alive)
	or(&c.Silence, silence)
	or(&c.Grace, 30*time.Second)
	or(&c.OpenTimeout, 5*time.Second)
	or(&c.DrainTimeout, 10*time.Second)
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 1024
	}
	c.Limits.setDefaults()
}

// A State is where a session is in its life.
type State uint8

// The states, in order.
const (
	Fresh   State = iota // no link yet
	Opened               // linked; the peer's HELLO or WELCOME is awaited
	Open                 // the program knows of it
	Closing              // the program has closed it, and what it sent is on its way
	Closed               // the program was told, or never knew
)

// A Session is one end of a session. See the package's documentation for its
// contract.
type Session struct {
	config Config
	server bool
	mux    *channel.Mux
	state  State
	events []Event
	owned  int // how many of events do not point into a datagram

	// The link.
	linked      bool
	links       uint32    // how often it changed
	openBy      time.Time // when the HELLO or WELCOME must have come
	interrupted bool
	since       time.Time // when it was interrupted
	packets     uint64    // that the Mux had when last looked at

	// The resume tokens: hashes at a server.
	id      uint64
	valid   [sha256.Size]byte
	next    [sha256.Size]byte // sent, and maybe not known to the client
	welcome channel.MessageID // the message that carries next; 0 if the client has it

	early      []Event // what came before the opening
	earlyBytes int

	// Requests.
	lastID   uint32
	controls uint64 // control messages sent
	waiting  map[uint32]*call
	byReport map[channel.MessageID]uint32
	serving  map[uint32]struct{}

	messages, bytes bucket

	// Channels opened at run time, of a server's session. The table is the Mux's.
	takes byte // what the client takes, as its HELLO says
	known int  // how many the client has answered for, those of the first table included

	closing closing
	stats   Stats

	in      []channel.Event
	raw     [1]channel.Event
	frame   frame
	scratch []byte
}

// Stats are a session's counters.
type Stats struct {
	Limited       uint64 // unreliable messages dropped: the peer sent too many
	Refused       uint64 // requests of the peer rejected: too many in flight
	Interruptions uint64
	Links         uint32 // links after the first
	Waiting       int    // own requests without an answer
	Serving       int    // the peer's
}

// New returns one end of a session that has no link yet. The error is a
// *channel.TableError or ErrHello.
func New(now time.Time, c Config) (*Session, error) {
	c.setDefaults()
	if len(c.Hello) > MaxHello {
		return nil, ErrHello
	}
	mux, err := channel.New(now, c.Channel)
	if err != nil {
		return nil, err
	}
	s := &Session{
		config:   c,
		server:   c.Channel.Server,
		mux:      mux,
		id:       c.ID,
		messages: newBucket(now, c.Limits.Messages),
		bytes:    newBucket(now, c.Limits.Bytes),
	}
	s.known = len(c.Channel.Channels)
	s.valid = sha256.Sum256(c.Token[:])
	s.next = s.valid
	if !s.server {
		s.say(now, appendHello(nil, c.Hello, takesOpen|takesSending), channel.Options{}) // before anything else
	}
	return s, nil
}

// ID returns the session's id, which a client knows once it is open.
func (s *Session) ID() uint64 { return s.id }

// State returns where the session is in its life.
func (s *Session) State() State { return s.state }

// Interrupted reports whether the session is open and its peer is not heard.
func (s *Session) Interrupted() bool { return s.interrupted }

// Linked reports whether the session has a link.
func (s *Session) Linked() bool { return s.linked }

// Mux returns the session's channels, for their statistics.
func (s *Session) Mux() *channel.Mux { return s.mux }

// Stats returns the counters as they are now.
func (s *Session) Stats() Stats {
	t := s.stats
	t.Links, t.Waiting, t.Serving = s.links, len(s.waiting), len(s.serving)
	return t
}

// Send queues a message on one of the table's channels.
func (s *Session) Send(now time.Time, ch channel.ID, b []byte, o channel.Options) (channel.MessageID, error) {
	if err := s.maySend(ch); err != nil {
		return 0, err
	}
	return s.mux.Send(now, ch, b, o)
}

// SendShared is Send for a payload that many sessions share; see
// [channel.Mux.SendShared].
func (s *Session) SendShared(now time.Time, ch channel.ID, p *channel.Shared) error {
	if err := s.maySend(ch); err != nil {
		return err
	}
	_, err := s.mux.SendShared(now, ch, p, channel.Options{})
	return err
}

func (s *Session) maySend(ch channel.ID) error {
	if s.closing.begun {
		return channel.ErrClosed
	}
	if ch == channel.Control {
		return channel.ErrUnknown
	}
	if table := s.mux.Channels(); s.interrupted && int(ch) <= len(table) && table[ch-1].Mode < channel.ReliableUnordered {
		return ErrInterrupted
	}
	return nil
}

// Receive takes a datagram of the link.
func (s *Session) Receive(now time.Time, b []byte) {
	if !s.linked {
		return
	}
	s.mux.Receive(now, b)
	s.heard()
	s.take(now)
	s.police(now)
}

// Append appends the next datagram for the link to b, at most limit bytes; b
// unchanged means that there is nothing to say.
func (s *Session) Append(now time.Time, b []byte, limit int) []byte {
	if !s.linked {
		return b
	}
	s.drain(now)
	b = s.mux.Append(now, b, limit)
	if s.mux.Closed() {
		s.closing.over = true // b has the last of what there is to say
	}
	s.take(now)
	return b
}

// Deadline returns when Advance must be called; zero means never.
func (s *Session) Deadline() time.Time {
	var t time.Time
	if s.closing.over {
		return t
	}
	if s.linked {
		t = s.mux.Deadline()
	}
	switch s.state {
	case Opened:
		t = sooner(t, s.openBy)
	case Open:
		t = sooner(t, s.silenceDeadline())
	case Closing:
		t = sooner(t, s.drainDeadline())
	}
	if s.state < Closing {
		t = sooner(t, s.config.Expires)
	}
	return t
}

// Advance tells the session that time has passed.
func (s *Session) Advance(now time.Time) {
	if s.linked {
		s.mux.Advance(now)
		s.take(now)
	}
	switch {
	case s.state == Opened && !now.Before(s.openBy):
		s.fail(now, ProtocolError, "no "+s.awaited()+" came in time")
	case s.state == Open:
		s.listen(now)
	case s.state == Closing:
		s.drain(now)
	}
	if e := s.config.Expires; s.state < Closing && !e.IsZero() && !now.Before(e) {
		s.fail(now, Auth, "the credentials have expired")
	}
}

// Expires returns when the session ends with Auth; zero means never.
func (s *Session) Expires() time.Time { return s.config.Expires }

// SetExpires changes when the session ends with Auth.
func (s *Session) SetExpires(t time.Time) { s.config.Expires = t }

// sooner returns the earlier of two times; zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
