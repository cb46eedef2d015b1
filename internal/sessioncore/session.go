package sessioncore

import (
	"crypto/sha256"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// Config configures one end of a session. Channel.Server says which end.
type Config struct {
	// Grace is how long the session may be interrupted. Zero means 30 s; negative means that
	// an interruption ends the session. A client uses the server's Grace.
	Grace time.Duration

	// Silence is the time without a packet of the peer after which the session is
	// interrupted. Zero means 10 s at a server and 3 s at a client. A client waits longer on a
	// link with long round trips: Channel.KeepAlive and three round trips.
	Silence time.Duration

	// Expires, if not zero, is when the session ends with CloseAuth, unless SetExpires changes it
	// before. Only at a server.
	Expires time.Time

	// Channel configures the Mux. If its KeepAlive is zero, it is 2 s at a client and 5 s at
	// a server.
	Channel channel.Config

	ID    session.ID // the session's id; only at a server
	Token Token      // the first resume token; only at a server
	Hello []byte     // the connect message; only at a client

	// OpenTimeout is the time after the first link opened in which the peer's HELLO or
	// WELCOME must arrive. Zero means 5 s.
	OpenTimeout time.Duration

	Limits session.Limits

	// DrainTimeout is how long the session stays after Close to deliver its reliable
	// messages. Zero means 10 s; negative means that it ends at once.
	DrainTimeout time.Duration

	// ClientChannels limits the channels that the client may have opened at a time, and
	// ClientQueue the QueueLimit of each in bytes. Zero ClientChannels means that the client
	// opens none; there are at most 63 channels together with the table. Zero ClientQueue
	// means 1 MiB. Only at a server.
	ClientChannels, ClientQueue int

	// MaxWaiting limits the requests of this end without an answer. Zero means 1024.
	MaxWaiting int
}

// settings is what a session needs of its Config after New. Config says what the fields mean.
type settings struct {
	Grace                       time.Duration
	Silence                     time.Duration
	Expires                     time.Time
	Token                       Token
	OpenTimeout                 time.Duration
	Limits                      session.Limits
	DrainTimeout                time.Duration
	ClientChannels, ClientQueue int
	MaxWaiting                  int
}

func (c *Config) settings() settings {
	return settings{
		Grace: c.Grace, Silence: c.Silence, Expires: c.Expires, Token: c.Token, OpenTimeout: c.OpenTimeout, Limits: c.Limits,
		DrainTimeout: c.DrainTimeout, ClientChannels: c.ClientChannels, ClientQueue: c.ClientQueue, MaxWaiting: c.MaxWaiting,
	}
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
	if c.ClientQueue == 0 {
		c.ClientQueue = 1 << 20
	}
	c.ClientChannels = max(0, min(c.ClientChannels, channel.MaxChannels-len(c.Channel.Channels)))
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 1024
	}
	setDefaults(&c.Limits)
}

// A State is the state of a session.
type State uint8

// The states, in order.
const (
	Fresh   State = iota // no link yet
	Opened               // there is a link, and the peer's HELLO or WELCOME has not arrived
	Open                 // EventOpen was emitted
	Closing              // Close was called, and reliable messages are not acknowledged yet
	Closed               // over; EventClosed was emitted if the session was open
)

// A Session is one end of a session. See the package's documentation for its
// contract.
type Session struct {
	// The fields that every message needs come first, in few cache lines.

	mux         *channel.Mux
	events      []Event
	owned       int // how many of events do not point into a datagram
	server      bool
	state       State
	linked      bool // the session has a link
	interrupted bool
	wasOpen     bool   // the session is open, or was
	refused     bool   // a request or a reply was refused with ErrBudget, and EventRoom is not emitted yet
	takes       byte   // what the client supports, according to its HELLO; only at a server
	packets     uint64 // packets that the Mux had received at the last call of heard
	in          []channel.Event
	closing     closing
	lives       lives // channels opened at run time; the Mux has the table
	config      settings

	messages, bytes bucket
	raw             [1]channel.Event

	links uint32    // links after the first
	here  uint32    // largest count of a HERE; only at a server
	since time.Time // when the session was interrupted or, before it is open, when its first link opened
	seat  []byte    // what MOVE is to say; nil if it was sent; only at a server

	// The resume tokens: hashes at a server.
	id      session.ID
	valid   [sha256.Size]byte
	next    [sha256.Size]byte // sent; the client may not have it yet
	welcome channel.MessageID // the message with the token of next; 0 if the client has it

	early      []Event // messages that arrived before the opening, and receipts
	earlyBytes int

	// Requests.
	lastID   uint32
	controls uint64 // control messages sent
	waiting  map[uint32]*call
	byReport map[channel.MessageID]uint32
	serving  map[uint32]struct{}

	wanted int // length of what was refused

	counts counts
	made   time.Time

	scratch []byte
}

// counts are counters of a session; session.Stats says what each counts.
type counts struct{ limited, rejected, interruptions uint64 }

// New returns one end of a session that has no link yet. The error is a
// *channel.TableError or ErrHello.
func New(now time.Time, c Config) (*Session, error) {
	c.setDefaults()
	if len(c.Hello) > session.MaxHello {
		return nil, session.ErrHello
	}
	mux, err := channel.New(now, c.Channel)
	if err != nil {
		return nil, err
	}
	s := &Session{
		config:   c.settings(),
		server:   c.Channel.Server,
		mux:      mux,
		id:       c.ID,
		made:     now,
		messages: newBucket(c.Limits.Messages),
		bytes:    newBucket(c.Limits.Bytes),
	}
	s.lives.fixed = len(c.Channel.Channels)
	s.valid = sha256.Sum256(c.Token[:])
	s.next = s.valid
	if !s.server {
		s.sendControl(now, appendHello(nil, c.Hello, takesOpen|takesSending|takesShut|takesOwn|takesMove), channel.Options{}) // before anything else
	}
	return s, nil
}

// ID returns the session's id. At a client it is zero until the session is open.
func (s *Session) ID() session.ID { return s.id }

// State returns the state of the session.
func (s *Session) State() State { return s.state }

// WasOpen reports whether the session is open, or was.
func (s *Session) WasOpen() bool { return s.wasOpen }

// Public returns the state as a program sees it.
func (s *Session) Public() session.State {
	switch {
	case s.state < Open:
		return session.StateOpening
	case s.Moving():
		return session.StateClosing
	case s.state == Open && s.interrupted:
		return session.StateInterrupted
	case s.state == Open:
		return session.StateOpen
	case s.state == Closing:
		return session.StateClosing
	}
	return session.StateClosed
}

// Interrupted reports whether the session is interrupted: no link, or no packets of the
// peer.
func (s *Session) Interrupted() bool { return s.interrupted }

// Linked reports whether the session has a link.
func (s *Session) Linked() bool { return s.linked }

// Mux returns the Mux of the session, for its figures.
func (s *Session) Mux() *channel.Mux { return s.mux }

// Stats returns the figures as they are now.
func (s *Session) Stats(now time.Time) session.Stats {
	heard, _ := s.mux.Heard()
	return session.Stats{
		Stats:         s.mux.Stats(),
		Age:           now.Sub(s.made),
		LastHeard:     now.Sub(heard),
		Interrupted:   s.interrupted,
		Interruptions: s.counts.interruptions,
		Resumed:       s.links,
		Limited:       s.counts.limited,
		Rejected:      s.counts.rejected,
		Asking:        len(s.waiting),
		Asked:         len(s.serving),
	}
}

// Send queues a message on one of the table's channels.
func (s *Session) Send(now time.Time, ch channel.ID, b []byte, o channel.Options) (channel.MessageID, error) {
	return s.SendPacked(now, ch, b, nil, o)
}

// SendPacked is Send for a message with its form for channels with Compress; see
// [channel.Mux.SendPacked].
func (s *Session) SendPacked(now time.Time, ch channel.ID, b, packed []byte, o channel.Options) (channel.MessageID, error) {
	if err := s.maySend(ch); err != nil {
		return 0, err
	}
	return s.mux.SendPacked(now, ch, b, packed, o)
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
	if table := s.mux.Channels(); s.interrupted && s.sends(ch) && table[ch-1].Mode < channel.ReliableUnordered {
		return session.ErrInterrupted
	}
	return nil // the Mux refuses numbers on which this end does not send
}

// sends reports whether this end may send on a channel.
func (s *Session) sends(ch channel.ID) bool {
	return int(ch) <= s.lives.fixed || int(ch) <= len(s.mux.Channels()) && s.lives.state[ch] == channelOpen
}

// Receive processes a datagram of the link.
func (s *Session) Receive(now time.Time, b []byte) {
	if !s.linked {
		return
	}
	s.mux.Receive(now, b)
	s.resumeIfHeard(now)
	s.takeEvents(now)
	s.checkDrops(now)
}

// Append appends the next datagram for the link to b, at most limit bytes. If there is
// none it returns b unchanged.
func (s *Session) Append(now time.Time, b []byte, limit int) []byte {
	if !s.linked {
		return b
	}
	s.drain(now)
	s.move(now)
	s.removeChannels(now)
	b = s.mux.Append(now, b, limit)
	if s.mux.Closed() && !s.mux.More() {
		s.closing.over = true // b has the last datagram
	}
	s.takeEvents(now)
	return b
}

// Deadline returns when Advance must be called; zero means never.
func (s *Session) Deadline() time.Time {
	var t time.Time
	if s.closing.over {
		return t
	}
	if s.linked || s.mux.More() {
		t = s.mux.Deadline()
	}
	switch s.state {
	case Opened:
		t = sooner(t, s.since.Add(s.config.OpenTimeout))
	case Open:
		t = sooner(sooner(t, s.silenceDeadline()), s.moveDeadline())
	case Closing:
		t = sooner(t, s.drainDeadline())
	}
	if s.state < Closing {
		t = sooner(t, s.config.Expires)
	}
	return t
}

// Advance tells the session the time, when Deadline has come.
func (s *Session) Advance(now time.Time) {
	if s.linked {
		s.mux.Advance(now)
	}
	if s.linked || s.mux.More() {
		s.takeEvents(now)
		s.checkDrops(now)
	}
	switch {
	case s.state == Opened && !now.Before(s.since.Add(s.config.OpenTimeout)):
		s.fail(now, session.CloseProtocolError, "no "+s.firstMessage()+" arrived in time")
	case s.state == Open:
		s.checkSilence(now)
		s.move(now)
	case s.state == Closing:
		s.drain(now)
	}
	if e := s.config.Expires; s.state < Closing && !e.IsZero() && !now.Before(e) {
		s.fail(now, session.CloseAuth, "the credentials have expired")
	}
}

// Expires returns when the session ends with CloseAuth; zero means never.
func (s *Session) Expires() time.Time { return s.config.Expires }

// SetExpires changes when the session ends with CloseAuth.
func (s *Session) SetExpires(t time.Time) { s.config.Expires = t }

// sooner returns the earlier of two times; zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
