package rtcserver

import (
	"errors"
	"log/slog"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// A handshake is a connection's DTLS handshake that runs.
type handshake struct {
	*dtls.Handshake
	began time.Time
	last  time.Time // when it said something new, or the first of the page's answer came, or when it began
	ours  bool      // since then it is for us to say something
}

// How long a handshake may rest while others wait for its place. The page has the time
// of several round trips. We have more, because a handshake that waits for its turn to
// compute is not the page's fault; but a page that sends what leads nowhere does not
// hold the place for longer either.
const (
	pageRests = time.Second
	weRest    = 3 * time.Second
	atMost    = 5 * time.Second // since it began
)

// yields returns when the handshake has to give its place up if another wants it.
func (h *handshake) yields() time.Time {
	rests := pageRests
	if h.ours {
		rests = weRest
	}
	return sooner(h.last.Add(rests), h.began.Add(atMost))
}

// errYielded ends a handshake that gives its place up.
var errYielded = errors.New("rtcserver: the page did not answer for 1 s while others waited for its place: see Config.MaxHandshakes")

// beginHandshake starts c's DTLS handshake, or queues it until there is a place.
// The shard's lock is held.
func (s *shard) beginHandshake(c *Conn) {
	if !s.places.free(c.site, nil) {
		c.queued = true
		s.places.wait(c)
		s.stats.handshakesQueued++
		return
	}
	s.places.take(c)
	c.peer.Begin()
	now := time.Now()
	c.handshake = &handshake{began: now, last: now, ours: c.active}
	c.handshake.Handshake = dtls.StartHandshake(dtls.HandshakeConfig{
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
// goroutines call it. Of one that was stopped one event more may come.
func (s *shard) emit(c *Conn, ev dtls.HandshakeEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbox = append(s.outbox, outboxed{c, ev})
	s.wake()
}

// takeOutbox hands on what handshakes have said. A handshake says little at a
// time and few run at once, which bounds the outbox.
func (s *shard) takeOutbox(now time.Time) {
	for i, o := range s.outbox {
		s.outbox[i] = outboxed{}
		c := o.conn
		if c.handshake == nil {
			continue // it was stopped
		}
		switch o.event.Kind {
		case dtls.Flight:
			if !o.event.Again {
				c.handshake.last, c.handshake.ours = now, false
				s.places.yieldsBy(c.handshake.yields())
			}
		case dtls.Done:
			s.stats.handshakes++
			s.endHandshake(c)
			s.learn(now, c, c.peer.Remote())
		case dtls.Failed:
			s.stats.handshakesFailed++
			s.endHandshake(c)
			s.warnOfRoles(now, c, o.event.Err)
		}
		s.events = c.peer.Shake(now, o.event, s.events[:0])
		c.happened(now, s.events)
		s.touch(c)
	}
	s.outbox = s.outbox[:0]
}

// warnOfRoles says once a minute that a peer may be able to be the DTLS client only,
// which looks like any other timeout to whoever runs the peer.
func (s *shard) warnOfRoles(now time.Time, c *Conn, err error) {
	if (errors.Is(err, dtls.ErrNoAnswer) || errors.Is(err, dtls.ErrRoles)) && s.server.rolesWarning.due(now) {
		s.log(slog.LevelWarn, "rtcserver: a handshake failed in which the offer left the roles to us, so that we are the DTLS client",
			"conn", c.id, "remote", c.peer.Remote(), "err", err)
	}
}

// costlyOffers is how many offers more an offer counts for in MaxOffers if its handshake
// had to do with a costly key, however it ended. A handshake that fails for its signature,
// which the page need not compute, takes 4 ms of us with P-521, and at most 0.9 ms with P-256
// or RSA.
const costlyOffers = 3

// endHandshake stops c's handshake and gives its place to the next.
func (s *shard) endHandshake(c *Conn) {
	if c.handshake == nil {
		return
	}
	c.handshake.Stop()
	if c.handshake.Costly() && !c.free {
		s.server.offers.charge(time.Now(), c.site, costlyOffers)
	}
	c.handshake = nil
	s.places.remove(c)
	for next := s.places.next(); next != nil; next = s.places.next() {
		if next.queued = false; next.closed == nil {
			s.beginHandshake(next)
		}
	}
}

// yieldPlaces ends handshakes that nothing is heard of, for those that wait.
func (s *shard) yieldPlaces(now time.Time) {
	gate := s.server.gate
	busy := len(gate) == cap(gate)
	for c := s.places.silent(now, busy); c != nil; c = s.places.silent(now, busy) {
		s.stats.handshakesFailed++
		s.stats.handshakesYielded++
		c.peer.Fail(now, errYielded)
		s.endHandshake(c)
		c.happened(now, nil)
		s.touch(c)
	}
}
