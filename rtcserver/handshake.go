package rtcserver

import (
	"errors"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// beginHandshake starts c's DTLS handshake, or queues it until another is over.
// The shard's lock is held.
func (s *shard) beginHandshake(c *Conn) {
	if s.inFlight >= s.server.config.MaxHandshakes {
		c.queued = true
		s.queue = append(s.queue, c)
		s.stats.handshakesQueued++
		return
	}
	s.inFlight++
	c.queued = false
	c.peer.Begin()
	c.handshake = dtls.StartHandshake(dtls.HandshakeConfig{
		Certificate: s.server.config.Certificate,
		Client:      c.active,
		Peer:        c.expected,
		SRTP:        true,
		Timeout:     s.server.config.HandshakeTimeout,
		KeyLog:      s.server.config.KeyLog,
		Gate:        s.server.gate,
		Emit:        func(ev dtls.HandshakeEvent) { s.emit(c, ev) },
	})
}

// emit leaves an event of c's handshake for the loop. The handshake's own
// goroutines call it.
func (s *shard) emit(c *Conn, ev dtls.HandshakeEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || c.gone {
		return
	}
	s.outbox = append(s.outbox, outboxed{c, ev})
	s.wake()
}

// takeOutbox hands on what handshakes have said. A handshake says little at a
// time and few run at once, which bounds the outbox.
func (s *shard) takeOutbox(now time.Time) {
	for i, o := range s.outbox {
		s.outbox[i] = outboxed{}
		c := o.conn
		if c.gone || c.handshake == nil {
			continue
		}
		switch o.event.Kind {
		case dtls.Done:
			s.stats.handshakes++
			s.endHandshake(c)
			s.learn(now, c, c.peer.Remote())
		case dtls.Failed:
			s.stats.handshakesFailed++
			s.endHandshake(c)
			s.server.warnOfRoles(now, c, o.event.Err)
		}
		s.events = c.peer.Shake(now, o.event, s.events[:0])
		c.happened(now, s.events)
		s.touch(c)
	}
	s.outbox = s.outbox[:0]
}

// warnOfRoles says once a minute that a peer may be able to be the DTLS client only,
// which looks like any other timeout to whoever runs the peer.
func (s *Server) warnOfRoles(now time.Time, c *Conn, err error) {
	if (errors.Is(err, dtls.ErrNoAnswer) || errors.Is(err, dtls.ErrRoles)) && s.rolesWarning.due(now) {
		s.config.Logger.Warn("rtcserver: a handshake failed in which the offer left the roles to us, so that we are the DTLS client",
			"conn", c.id, "remote", c.peer.Remote(), "err", err)
	}
}

// endHandshake lets go of c's handshake and gives its place to the next.
func (s *shard) endHandshake(c *Conn) {
	if c.handshake == nil {
		return
	}
	c.handshake.Stop()
	c.handshake = nil
	s.inFlight--
	for len(s.queue) > 0 && s.inFlight < s.server.config.MaxHandshakes {
		next := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		if next.queued = false; next.closed == nil {
			s.beginHandshake(next)
		}
	}
}
