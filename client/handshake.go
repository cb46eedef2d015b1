package client

import (
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// An outboxed is an event of a connection's handshake in Endpoint.outbox.
type outboxed struct {
	conn  *Conn
	event dtls.HandshakeEvent
}

// beginHandshake starts c's DTLS handshake. The endpoint's lock is held.
func (e *Endpoint) beginHandshake(c *Conn) {
	c.peer.Begin()
	c.handshake = dtls.StartHandshake(dtls.HandshakeConfig{
		Certificate: e.config.Certificate,
		Client:      c.active,
		Peer:        c.expected,
		SRTP:        true,
		Timeout:     e.config.HandshakeTimeout,
		KeyLog:      e.config.KeyLog,
		Emit:        func(ev dtls.HandshakeEvent) { e.emit(c, ev) },
	})
	c.expected = nil
}

// emit puts an event of c's handshake into the outbox for the loop. The goroutines of the
// handshake call it.
func (e *Endpoint) emit(c *Conn, ev dtls.HandshakeEvent) {
	e.loop.Lock()
	defer e.loop.Unlock()
	*e.outbox.Add() = outboxed{c, ev}
	e.loop.Wake()
}

// takeOutbox gives the events in the outbox to their connections. A handshake emits few
// events at a time, which bounds the outbox.
func (e *Endpoint) takeOutbox(now time.Time) {
	taken := e.outbox.Take()
	for _, o := range taken {
		c := o.conn
		if c.handshake == nil {
			continue // c is over
		}
		if o.event.Kind >= dtls.Done {
			endHandshake(c)
		}
		e.events = c.peer.ProcessHandshake(now, o.event, e.events[:0])
		c.processEvents(e.events)
		e.loop.Touch(c)
	}
	clear(taken)
}

// endHandshake stops c's handshake.
func endHandshake(c *Conn) {
	if c.handshake != nil {
		c.handshake.Stop()
		c.handshake = nil
	}
}
