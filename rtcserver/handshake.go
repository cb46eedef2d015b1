package rtcserver

import (
	"errors"
	"log/slog"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/loop"
)

// A handshake is a connection's DTLS handshake that runs.
type handshake struct {
	*dtls.Handshake
	began time.Time
	last  time.Time // when this end sent a new flight, or the first datagram of the page's answer arrived, or when the handshake began
	ours  bool      // since last it is this end's turn to send
}

// How long a handshake may be silent while others wait for its place. The page has the time
// of several round trips. This end has more, because a handshake that waits for its turn to
// compute is not the page's fault. But a page whose datagrams lead to nothing cannot hold
// the place for longer, either.
const (
	pageRests = time.Second
	weRest    = 3 * time.Second
	atMost    = 5 * time.Second // from the beginning of the handshake
)

// yields returns when the handshake must give up its place if another handshake waits.
func (h *handshake) yields() time.Time {
	rests := pageRests
	if h.ours {
		rests = weRest
	}
	return loop.Sooner(h.last.Add(rests), h.began.Add(atMost))
}

// errYielded is the error of a handshake that has given up its place.
var errYielded = errors.New("rtcserver: the page did not answer for 1 s while others waited for its place: see Config.MaxHandshakes")

// beginHandshake starts c's DTLS handshake, or queues it until there is a place.
// The shard's lock is held.
func (s *shard) beginHandshake(c *Conn) {
	if !s.places.free(c.party(), nil) {
		if c.setState(stateQueued) {
			s.places.wait(c)
			s.stats.handshakesQueued++
		}
		return
	}
	if !c.setState(stateShaking) {
		return
	}
	s.places.add(c)
	c.peer.Begin()
	now := time.Now()
	s.startHandshake(c, &handshake{began: now, last: now, ours: c.active})
}

// startHandshake starts h, which is then the handshake of c.
func (s *shard) startHandshake(c *Conn, h *handshake) {
	c.handshake = h
	s.places.yieldsBy(h.yields())
	h.Handshake = dtls.StartHandshake(dtls.HandshakeConfig{
		Certificate: s.server.config.Certificate,
		Client:      c.active,
		Peer:        c.expected,
		AnyPeer:     c.direct,
		SRTP:        true,
		Timeout:     s.server.config.HandshakeTimeout,
		KeyLog:      s.server.config.KeyLog,
		Gate:        s.server.gate,
		Emit:        func(ev dtls.HandshakeEvent) { s.emit(c, h, ev) },
	})
}

// emit puts an event of h, a handshake of c, into the outbox for the loop. The goroutines of the
// handshake call it. A handshake that was stopped may emit one more event.
func (s *shard) emit(c *Conn, h *handshake, ev dtls.HandshakeEvent) {
	s.loop.Lock()
	defer s.loop.Unlock()
	*s.outbox.Add() = outboxed{c, h, ev}
	s.loop.Wake()
}

// takeOutbox gives the events in the outbox to their connections. A handshake emits few
// events at a time, and few handshakes run at a time, which bounds the outbox.
func (s *shard) takeOutbox(now time.Time) {
	taken := s.outbox.Take()
	for i, o := range taken {
		taken[i] = outboxed{}
		c := o.conn
		if c.handshake != o.handshake {
			continue // the handshake was stopped
		}
		switch o.event.Kind {
		case dtls.Flight:
			if !o.event.Again {
				c.handshake.last, c.handshake.ours = now, false
				s.places.yieldsBy(c.handshake.yields())
			}
		case dtls.KeysReady:
			c.noteCertificate(o.event.Peer)
		case dtls.Done:
			s.stats.handshakes++
			s.endHandshake(c)
			c.setState(stateSecure)
		case dtls.Failed:
			s.stats.handshakesFailed++
			s.endHandshake(c)
			s.warnOfRoles(now, c, o.event.Err)
		}
		s.events = c.peer.ProcessHandshake(now, o.event, s.events[:0])
		c.processEvents(now, s.events)
		s.loop.Touch(c)
	}
}

// warnOfRoles logs, at most once a minute, that the peer of a failed handshake may only
// work as DTLS client, if its offer left the choice. The operator of that peer would see only a timeout.
func (s *shard) warnOfRoles(now time.Time, c *Conn, err error) {
	if c.chosen && (errors.Is(err, dtls.ErrNoAnswer) || errors.Is(err, dtls.ErrRoles)) && s.server.rolesWarning.due(now) {
		s.log(slog.LevelWarn, "rtcserver: a handshake failed in which this server was the DTLS client, because the offer left the choice (a=setup:actpass)",
			"conn", c.id, "remote", clientAddr(c.peer.Remote()), "err", err)
	}
}

// costlyOffers is the number of further offers that an offer counts as in MaxOffers if its
// handshake used a costly key, even if the handshake failed. A handshake that fails because
// of a wrong signature, which costs the page nothing, takes 4 ms of this end with P-521,
// and at most 0.9 ms with P-256 or RSA.
const costlyOffers = 3

// endHandshake stops the handshake of c, and starts waiting ones in its place.
func (s *shard) endHandshake(c *Conn) {
	if c.handshake == nil {
		return
	}
	c.handshake.Stop()
	if c.handshake.Costly() && !c.free {
		s.server.rates[c.party().by].charge(time.Now(), c.site, costlyOffers)
	}
	c.handshake = nil
	if !c.direct { // Certificate needs it
		c.expected = nil
	}
	s.places.remove(c)
	for next := s.places.next(); next != nil; next = s.places.next() {
		s.beginHandshake(next)
	}
}

// yieldPlaces ends handshakes whose pages are silent, for those that wait.
func (s *shard) yieldPlaces(now time.Time) {
	gate := s.server.gate
	busy := len(gate) == cap(gate)
	for c := s.places.mustYield(now, busy); c != nil; c = s.places.mustYield(now, busy) {
		s.stats.handshakesFailed++
		s.stats.handshakesYielded++
		c.peer.Fail(now, errYielded)
		s.endHandshake(c)
		c.processEvents(now, nil)
		s.loop.Touch(c)
	}
}
