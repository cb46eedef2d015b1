package rtcserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/timers"
)

// MaxMessage is the largest message in bytes that Send takes: what fits one
// packet in every browser.
const MaxMessage = peer.MaxPayload

var (
	// ErrInHandler is returned in a handler by calls that wait for the goroutine
	// that runs handlers.
	ErrInHandler = handling.ErrInHandler

	// ErrClosed is returned by calls on a Conn or a Server that is closed, or
	// not open yet.
	ErrClosed = errors.New("rtcserver: closed")

	// ErrTooLarge is returned by Send for a message of more than MaxMessage
	// bytes. Split it, or use package godwit, whose channels do.
	ErrTooLarge = fmt.Errorf("rtcserver: message is larger than one packet takes, which is %d bytes", MaxMessage)

	// ErrSilenced is returned by Send while the page's address may not be sent
	// to: it has not been heard of for 30 s, or the page has moved there without
	// a proof yet, and was sent three times what came from there.
	ErrSilenced = errors.New("rtcserver: the page has been silent for too long to be sent to")
)

// A Conn is the connection of one page. Its methods may be called from any
// goroutine.
type Conn struct {
	// User is the program's own; the server never looks at it. Handlers of one
	// Conn may use it without a lock.
	User any

	shard *shard // home; nil until the first check. The registry's lock guards its setting

	// What follows belongs to the shard, down to the blank line; what every message
	// touches comes first.
	peer      *peer.Peer
	engine    Engine
	timer     timers.Slot
	sent      uint64
	received  uint64
	place     int  // index in the shard's open, plus one
	queued    bool // for a handshake
	touched   bool // in the shard's list
	later     bool // in its other one
	opened    bool
	gone      bool               // the shard has forgotten it
	inBatch   bool               // the loop will settle it when the batch is over
	refused   uint8              // reasons for which a channel was refused, a bit for each Refusal
	hasNews   bool               // the loop's: the engine has something to deliver
	closed    *CloseError        // once the engine was told
	channels  []Channel          // those opened in-band
	addrs     []netip.AddrPort   // those that lead to it in the shard's byAddr, once each
	remote    *netip.AddrPort    // the page's address when the log last heard of it; nil until it is open
	expected  []dtls.Fingerprint // what the page's certificate must match; until the handshake
	handshake *handshake         // while it runs

	id     uint64
	ufrag  string     // our username fragment
	site   netip.Addr // for the limit per IP
	active bool       // we are the DTLS client
	moves  uint8      // of its address that were logged; the shard's, here because there is room
	resume bool       // it resumes a session, which counts for its site too
	free   bool       // no limit of its site applies

	withdrawn bool // the registry's: it is not wanted any more
}

// ID returns a number that no other connection of the server ever has.
func (c *Conn) ID() uint64 { return c.id }

// Site returns the address that the connection's offer came from, as MaxPerIP counts
// it: of IPv6 the /64. It is invalid if the address is not known.
func (c *Conn) Site() netip.Addr { return c.site }

// RemoteAddr returns the address that messages go to now. It changes when the
// page's network does.
func (c *Conn) RemoteAddr() netip.AddrPort {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	return c.peer.Remote()
}

// Send sends one message on a channel of the page, which is known by its stream
// id. It does not wait: the message is on its way when Send returns, or, in a
// handler, with all others when the batch of datagrams that the handler belongs
// to is over. A nil error does not mean that it will arrive.
// A message of n bytes takes n, rounded up to a multiple of four, and 65 bytes of UDP
// payload, 1,225 at the most. One that is larger than the path takes is lost every time,
// and nobody is told; 1,160 bytes pass wherever the MTU is 1,280.
func (c *Conn) Send(stream uint16, k Kind, b []byte) error {
	s := c.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if err := c.write(now, stream, k, b); err != nil {
		return err
	}
	if !s.busy {
		s.flush()
	}
	if !c.inBatch { // or the loop sets its timer when the batch is over
		s.time(c)
	}
	return nil
}

// write appends a message to the shard's outgoing batch.
func (c *Conn) write(now time.Time, stream uint16, k Kind, b []byte) error {
	s := c.shard
	out, to, err := c.peer.Send(now, s.slot(), stream, peer.Kind(k), b)
	if err != nil {
		return sendError(err)
	}
	s.push(out, to)
	c.sent++
	s.stats.messagesOut++
	return nil
}

func sendError(err error) error {
	switch {
	case errors.Is(err, peer.ErrTooLarge):
		return ErrTooLarge
	case errors.Is(err, peer.ErrSilenced):
		return ErrSilenced
	case errors.Is(err, peer.ErrNotOpen):
		return ErrClosed
	}
	return err
}

// Close ends the connection. The page hears of it at once; text is for the log.
// The Handler's Close is called from the loop, also after this Close.
func (c *Conn) Close(text string) {
	c.shard.mu.Lock()
	defer c.shard.mu.Unlock()
	c.close(time.Now(), ClosedByUs, text)
}

func (c *Conn) close(now time.Time, code CloseCode, text string) {
	c.peer.Close(now, text) // nothing, if it is over
	c.end(now, &CloseError{Code: code, Text: text})
	c.shard.touch(c)
	c.shard.wake()
}

// pump puts what the engine and the peer have to say into the outgoing batch.
func (c *Conn) pump(now time.Time) {
	s := c.shard
	for c.opened && c.closed == nil {
		b := c.engine.Append(now, s.scratch[:0], MaxMessage)
		if len(b) == 0 || c.write(now, 0, Binary, b) != nil {
			break
		}
	}
	for !c.gone {
		b, to := c.peer.Append(now, s.slot())
		if len(b) == 0 {
			return
		}
		s.push(b, to)
	}
}

// deadline returns when c wants to be looked at. An engine may outlive its link.
func (c *Conn) deadline() time.Time {
	d := c.engine.Deadline()
	if !c.gone {
		d = sooner(d, c.peer.Deadline())
	}
	return d
}

// happened tells the engine what came out of the peer.
func (c *Conn) happened(now time.Time, events []peer.Event) {
	for i := range events {
		c.event(now, &events[i])
	}
	if c.peer.State() >= peer.Closing {
		why, err := c.peer.Why()
		c.end(now, &CloseError{Code: closeCodes[why], Err: err})
	}
}

var closeCodes = [...]CloseCode{
	peer.LocalClose:        ClosedByUs,
	peer.RemoteClose:       ClosedByPage,
	peer.Unheard:           NeverCame,
	peer.Silent:            TimedOut,
	peer.HandshakeFailed:   NoHandshake,
	peer.AssociationFailed: NoAssociation,
}

func (c *Conn) event(now time.Time, ev *peer.Event) {
	switch ev.Type {
	case peer.Established:
		c.opened = true
		c.shard.enlist(c)
		c.log("open", "remote", c.peer.Remote())
		c.engine.Receive(now, LinkEvent{Type: LinkOpened})
	case peer.ChannelOpen:
		if ev.Negotiated {
			return // it has no name, and the program knows it
		}
		ch := Channel{Stream: ev.Stream, Label: ev.Label, Protocol: ev.Protocol}
		c.channels = append(c.channels, ch)
		c.engine.Receive(now, LinkEvent{Type: LinkChannel, Channel: ch})
	case peer.ChannelClosed:
		if ch, ok := c.forgetChannel(ev.Stream); ok {
			c.engine.Receive(now, LinkEvent{Type: LinkUnchannel, Channel: ch})
		}
	case peer.ChannelRefused:
		c.refuse(ev)
	case peer.Message:
		c.received++
		c.shard.stats.messagesIn++
		c.engine.Receive(now, LinkEvent{Type: LinkMessage, Message: Message{
			Kind: Kind(ev.Kind), Stream: ev.Stream, Label: c.label(ev.Stream), Data: ev.Payload,
		}})
	}
}

// end tells the engine that the link is closed, once.
func (c *Conn) end(now time.Time, why *CloseError) {
	if c.closed != nil {
		return
	}
	c.closed = why
	c.shard.strike(c)
	c.shard.stats.closed[why.Code]++
	c.log("close", "why", why)
	c.engine.Receive(now, LinkEvent{Type: LinkClosed, Err: why})
}

// maxMoves is how many moves of one connection are logged: who forges addresses can
// make it move at every check.
const maxMoves = 16

// noteMove logs it when the page has another address than before.
func (c *Conn) noteMove() {
	if !c.opened {
		return
	}
	now := c.peer.Remote()
	if c.remote == nil {
		c.remote = new(now) // a copy, or each now would be on the heap
		return
	}
	if *c.remote != now {
		if c.moves < maxMoves {
			c.moves++
			c.log("moved", "from", *c.remote, "to", now)
		}
		*c.remote = now
	}
}

// refuse counts a channel that was refused. The first for a reason has a line in the
// log: a page can open many. So can many connections, of which few a minute have one.
func (c *Conn) refuse(ev *peer.Event) {
	why := RefusedMalformed
	switch ev.Refused {
	case peer.RefusedReliable:
		why = RefusedReliable
	case peer.RefusedTooMany:
		why = RefusedTooMany
	}
	c.shard.stats.channelsRefused[why]++
	if c.refused&(1<<why) != 0 {
		return
	}
	c.refused |= 1 << why
	if !c.shard.refusals[why].due(time.Now()) {
		return
	}
	c.shard.log(slog.LevelWarn, "rtcserver: a channel of a page was refused", "conn", c.id,
		"stream", ev.Stream, "label", brief(ev.Label), "why", why)
}

func (c *Conn) log(msg string, args ...any) {
	if l := c.shard.server.config.Logger; l.Enabled(context.Background(), slog.LevelDebug) {
		c.shard.log(slog.LevelDebug, "rtcserver: "+msg, append([]any{"conn", c.id}, args...)...)
	}
}

func (c *Conn) label(stream uint16) string {
	for i := range c.channels {
		if c.channels[i].Stream == stream {
			return c.channels[i].Label
		}
	}
	return ""
}

func (c *Conn) forgetChannel(stream uint16) (Channel, bool) {
	for i, ch := range c.channels {
		if ch.Stream == stream {
			c.channels = append(c.channels[:i], c.channels[i+1:]...)
			return ch, true
		}
	}
	return Channel{}, false
}
