package godwit

import (
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/channel"
)

// Broadcast queues a message for every open session. It does not wait. It returns an
// error only if no session could send the message: ErrUnknown, ErrDirection or
// ErrTooLarge. A session does not get the message if its queue for a reliable channel
// is full, or if the channel is unreliable and the session is interrupted. Stats.Unsent
// counts those.
func (s *Server) Broadcast(ch ChannelID, b []byte) error {
	return s.sendAll(s.roster.all(), nil, ch, b)
}

// BroadcastExcept is Broadcast to all sessions except one.
func (s *Server) BroadcastExcept(except *Conn, ch ChannelID, b []byte) error {
	return s.sendAll(s.roster.all(), except, ch, b)
}

func (s *Server) sendAll(to []*Conn, except *Conn, ch ChannelID, b []byte) error {
	if err := s.misuse(ch, b); err != nil {
		return err
	}
	now := time.Now()
	p := s.payloads.take(b)
	for _, c := range to {
		if c == except {
			continue
		}
		p.holders.Add(1)
		if err := c.sendLater(now, ch, &p.Shared); err != nil {
			p.release()
			if err != ErrClosed {
				s.unsent.Add(1)
			}
		}
	}
	p.release()
	if !s.config.Manual {
		s.Flush()
	}
	return nil
}

// misuse returns the error that a message causes at every receiver, or nil.
func (s *Server) misuse(ch ChannelID, b []byte) error {
	if ch == 0 || int(ch) > len(s.config.Channels) {
		return ErrUnknown
	}
	switch c := &s.config.Channels[ch-1]; {
	case c.Direction == ToServer:
		return ErrDirection
	case len(b) > s.maxMessage[ch]:
		return ErrTooLarge
	}
	return nil
}

// A payload is one copy of a message to many sessions, in the queues of all of them.
// The last session that releases it returns it to the server's pool. If a session becomes
// unreachable while its queue holds the payload, the payload goes to the garbage
// collector instead.
type payload struct {
	channel.Shared
	home    payloads
	holders atomic.Int32
}

// payloads is the pool of payloads that no queue holds: at most maxPayloads wait in the
// channel to be used again, and the garbage collector gets further ones.
type payloads chan *payload

// Limits of the pool: the number of payloads, and the bytes of the largest one.
const (
	maxPayloads = 64
	maxPayload  = 64 << 10
)

// take returns a copy of b with one reference.
func (ps payloads) take(b []byte) (p *payload) {
	select {
	case p = <-ps:
	default:
		p = &payload{home: ps}
		p.Done = p.release
	}
	p.B = append(p.B[:0], b...)
	p.holders.Store(1)
	return p
}

// release drops one reference to p.
func (p *payload) release() {
	if p.holders.Add(-1) > 0 || cap(p.B) > maxPayload {
		return
	}
	select {
	case p.home <- p:
	default:
	}
}
