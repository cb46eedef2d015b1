package godwit

import (
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/deflate"
	"github.com/godwit-rtc/godwit/internal/prefetch"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// Broadcast queues a message for every open session. It does not wait. It returns an
// error of package session only if no session could send the message: ErrUnknown,
// ErrDirection or ErrTooLarge. A session does not get the message if its queue for a
// reliable channel is full, or if the channel is unreliable or sequenced and the session
// is interrupted. Stats.Unsent counts these messages.
func (s *Server) Broadcast(ch ChannelID, b []byte) error {
	return s.sendAll(s.roster.all(), nil, ch, b)
}

// BroadcastNamed queues a message for every open session that has a channel with a name,
// on the number that the channel has in that session. The channel is one of
// Config.Channels, or the server has opened it with Conn.OpenChannel. A channel that the
// client has opened does not count: the client chooses its name, and would get messages
// for others. except, if not nil, is a session that does not get the message. skipped is
// the number of sessions without such a channel. The error, of package session, is
// ErrUnknown if name is empty, and ErrDirection or ErrTooLarge if a session has the
// channel and cannot send the message on it; the other sessions get the message
// nevertheless. Stats.Unsent counts the messages that a session with the channel did not
// get, for one of these reasons or one of those of Broadcast.
func (s *Server) BroadcastNamed(except *Conn, name string, b []byte) (skipped int, err error) {
	return s.sendNamed(s.roster.all(), except, name, b)
}

// BroadcastExcept is Broadcast to all sessions except one.
func (s *Server) BroadcastExcept(except *Conn, ch ChannelID, b []byte) error {
	return s.sendAll(s.roster.all(), except, ch, b)
}

func (s *Server) sendAll(to []*Conn, except *Conn, ch ChannelID, b []byte) error {
	if err := s.misuse(ch, b); err != nil {
		return err
	}
	s.queueAll(to, except, ch, "", b)
	return nil
}

func (s *Server) sendNamed(to []*Conn, except *Conn, name string, b []byte) (skipped int, err error) {
	if name == "" {
		return 0, session.ErrUnknown
	}
	return s.queueAll(to, except, 0, name, b)
}

// queueAll queues a message for all of to except one. If name is not empty it is the name
// of the channel, else ch is its number. It returns the number of sessions without the
// channel, and the first ErrDirection or ErrTooLarge.
func (s *Server) queueAll(to []*Conn, except *Conn, ch ChannelID, name string, b []byte) (skipped int, misuse error) {
	now := time.Now()
	p := s.payloads.get(b)
	for i, c := range to {
		preload(to, i)
		if c == except {
			continue
		}
		p.holders.Add(1)
		err := c.sendLater(now, ch, name, &p.Shared)
		if err == errUnpacked {
			p.pack()
			err = c.sendLater(now, ch, name, &p.Shared)
		}
		if err == nil {
			continue
		}
		p.unref()
		switch err {
		case session.ErrClosed:
			continue
		case session.ErrUnknown:
			skipped++
			continue
		case session.ErrDirection, session.ErrTooLarge:
			if misuse == nil {
				misuse = err
			}
		}
		s.unsent.Add(1)
	}
	p.unref()
	if !s.config.Manual {
		s.Flush()
	}
	return skipped, misuse
}

// preload loads memory that the next turns of a loop over conns need; the loop is at index
// i. Thousands of sessions do not fit the cache of a processor: see rtcserver.
func preload(conns []*Conn, i int) {
	const ahead = sessioncore.PreloadSteps + 1 // how many turns before its own a Conn is loaded
	if j := i + ahead; j < len(conns) {
		prefetch.All(conns[j])
	}
	for step := range sessioncore.PreloadSteps {
		if j := i + sessioncore.PreloadSteps - step; j < len(conns) {
			conns[j].session.Preload(step)
			if step == 0 {
				prefetch.All(conns[j].home.Load())
			}
		}
	}
}

// misuse returns the error that a message causes at every receiver, or nil.
func (s *Server) misuse(ch ChannelID, b []byte) error {
	if ch == 0 || int(ch) > len(s.config.Channels) {
		return session.ErrUnknown
	}
	switch c := &s.config.Channels[ch-1]; {
	case c.Direction == ToServer:
		return session.ErrDirection
	case len(b) > s.maxMessage[ch]:
		return session.ErrTooLarge
	}
	return nil
}

// A payload is one copy of a message to many sessions, in the queues of all of them. The
// last session that drops its reference returns it to the server's pool. If a session
// becomes unreachable while its queue holds the payload, the payload goes to the garbage
// collector instead.
type payload struct {
	channel.Shared
	home    payloads
	holders atomic.Int32
	packed  []byte // memory of Packed
}

// payloads is the pool of payloads that no queue holds: at most maxPayloads wait in the
// channel to be used again, and the garbage collector gets further ones.
type payloads chan *payload

// Limits of the pool: the number of payloads, and the bytes of the largest one.
const (
	maxPayloads = 64
	maxPayload  = 64 << 10
)

// get returns a copy of b with one reference.
func (ps payloads) get(b []byte) (p *payload) {
	select {
	case p = <-ps:
	default:
		p = &payload{home: ps}
		p.Done = p.unref
	}
	p.B, p.Packed = append(p.B[:0], b...), nil
	p.holders.Store(1)
	return p
}

// pack makes Packed. Queues may hold p already: those that do not use Packed.
func (p *payload) pack() {
	d := deflate.TakePacker()
	defer d.Return()
	p.packed = append(p.packed[:0], d.Pack(p.B)...)
	p.Packed = p.packed
}

// unref drops one reference to p.
func (p *payload) unref() {
	if p.holders.Add(-1) > 0 || cap(p.B) > maxPayload {
		return
	}
	select {
	case p.home <- p:
	default:
	}
}
