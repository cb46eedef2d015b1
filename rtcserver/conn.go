package rtcserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/closed"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/peer"
)

// MaxMessage is the size in bytes of the largest message that Send sends: it must fit one
// packet in every browser.
const MaxMessage = peer.MaxPayload

var (
	// ErrInHandler is returned in a handler by calls that would wait for the goroutine
	// that runs handlers.
	ErrInHandler = handling.ErrInHandler

	// ErrClosed is returned by Send of a Conn that is closed or not open yet, and by Poll
	// of a Server that is closed.
	ErrClosed = closed.Err

	// ErrTooLarge is returned by Send for a message of more than MaxMessage bytes. Split
	// the message, or use package godwit, whose channels split it.
	ErrTooLarge = fmt.Errorf("rtcserver: the message is larger than one packet can carry: %d bytes", MaxMessage)

	// ErrSilenced is returned by Send while the server must not send to the page's
	// address: no valid check has arrived from it for Config.SilenceTimeout, or the page
	// has moved there, the address is not proved yet, and the server has sent three times
	// as many bytes to it as have arrived from it.
	ErrSilenced = errors.New("rtcserver: the page has been silent for too long, or its address is not proved: nothing may be sent to it now")
)

// A Conn is the connection of one page. Its methods may be called from any
// goroutine.
type Conn struct {
	// User is a value for the program. The server does not use it. Handlers of this Conn
	// may use User without a lock.
	User any

	shard *shard // the connection's shard; nil before the first check. It is set under the registry's lock

	// The shard's lock guards the fields up to the blank line. The fields that every
	// message uses come first.
	peer      *peer.Peer
	engine    Engine
	entry     loop.Entry
	sent      uint64
	received  uint64
	openIndex int32 // index in the shard's open, plus one; 0 if it is not there
	state     connState
	refused   uint8              // reasons for which a channel was refused, a bit for each Refusal
	channels  []Channel          // open in-band channels
	addrs     []netip.AddrPort   // addresses of the connection in the shard's byAddr, once each
	remote    *netip.AddrPort    // the page's address in the last line of the log; nil until the connection is open, and without a log at level debug
	expected  []dtls.Fingerprint // fingerprints of the page's certificate; those that the offer names, or that the handshake has shown
	handshake *handshake         // the handshake while it runs

	id     uint64
	ufrag  string     // username fragment of this end; the whole USERNAME if the connection began without an offer
	site   netip.Addr // address for the limits per address
	active bool       // this end is the DTLS client
	moves  uint8      // logged changes of the address; guarded by the shard's lock, here because there is room
	resume bool       // it resumes a session, which also counts for its site
	free   bool       // no limit per address applies
	direct bool       // it began without an offer; see Direct

	chosen    bool        // this end is the DTLS client because the offer left the choice; guarded by the shard's lock
	withdrawn bool        // Withdraw was called; guarded by the registry's lock
	stage     directStage // guarded by the registry's lock
	opened    bool        // it is open, or was; guarded by the registry's lock
	noted     uint32      // the peer's Moves at the last noteMove; guarded by the shard's lock, here because there is room
}

// ID returns the number of the connection. No other connection of the server has the same
// number.
func (c *Conn) ID() uint64 { return c.id }

// Site returns the address from which the connection's offer came, as MaxPerIP counts it:
// for IPv6 the first address of the /64. It is invalid if the address is not known. For a connection
// of Direct it is the address from which the page has opened it.
func (c *Conn) Site() netip.Addr { return c.site }

// RemoteAddr returns the address to which the server sends now. The address changes when
// the page's network changes. Do not call RemoteAddr before the page has connected, as
// Config.Engine could.
func (c *Conn) RemoteAddr() netip.AddrPort {
	c.shard.loop.Lock()
	defer c.shard.loop.Unlock()
	return clientAddr(c.peer.Remote())
}

// Send sends one message on the channel of the page with this stream id. It does not wait:
// the message has left when Send returns or, in a handler, leaves when all datagrams of
// the current batch are processed. A nil error does not mean that the message will
// arrive. The errors are ErrClosed, ErrTooLarge and ErrSilenced.
//
// A message of n bytes needs a UDP payload of n, rounded up to a multiple of four, plus
// 65 bytes, at most 1,225. A message that is too large for the path is always lost, and
// there is no error; messages of up to 1,160 bytes pass if the MTU is at least 1,280.
func (c *Conn) Send(stream uint16, k Kind, b []byte) error {
	s := c.shard
	s.loop.Lock()
	defer s.loop.Unlock()
	if err := c.write(time.Now(), stream, k, b); err != nil {
		return err
	}
	s.loop.Pushed(c)
	s.loop.SendBatch()
	return nil
}

// write appends a message to the shard's outgoing batch.
func (c *Conn) write(now time.Time, stream uint16, k Kind, b []byte) error {
	s := c.shard
	out, to, err := c.peer.Send(now, s.loop.Slot(), stream, peer.Kind(k), b)
	if err != nil {
		return sendErrors.For(err)
	}
	s.push(out, to.Remote, to.Local, to.Proved)
	c.sent++
	s.stats.messagesOut++
	return nil
}

// sendErrors are the errors of Send.
var sendErrors = peer.SendErrors{TooLarge: ErrTooLarge, Silenced: ErrSilenced, NotOpen: ErrClosed}

// Close ends the connection and tells the page at once. It does not wait. The loop calls
// Handler.Close later. text is for the log and Handler.Close, and is sent in the SCTP ABORT
// to the page, whose browser may show it.
func (c *Conn) Close(text string) {
	c.shard.loop.Lock()
	defer c.shard.loop.Unlock()
	c.close(time.Now(), CloseByServer, text)
}

func (c *Conn) close(now time.Time, code CloseCode, text string) {
	c.peer.Close(now, text) // does nothing if the peer is closed
	c.end(now, &CloseError{Code: code, Text: text})
	c.shard.loop.Touch(c)
	c.shard.loop.Wake()
}

// pump moves the datagrams of the engine and the peer to the outgoing batch.
func (c *Conn) pump(now time.Time) {
	s := c.shard
	for c.state == stateOpen {
		b := c.engine.Append(now, s.scratch[:0], MaxMessage)
		if len(b) == 0 || c.write(now, 0, Binary, b) != nil {
			break
		}
	}
	for c.state != stateGone {
		b, to := c.peer.Append(now, s.loop.Slot())
		if len(b) == 0 {
			return
		}
		s.push(b, to.Remote, to.Local, to.Proved)
	}
}

// processEvents gives events of the peer to the engine.
func (c *Conn) processEvents(now time.Time, events []peer.Event) {
	for i := range events {
		c.event(now, &events[i])
	}
	if c.peer.State() >= peer.Closing {
		why, err := c.peer.Why()
		c.end(now, &CloseError{Code: closeCodes[why], Err: err})
	}
}

var closeCodes = [...]CloseCode{
	peer.LocalClose:        CloseByServer,
	peer.RemoteClose:       CloseByPage,
	peer.NoContact:         CloseNeverCame,
	peer.TimedOut:          CloseTimeout,
	peer.HandshakeFailed:   CloseNoHandshake,
	peer.AssociationFailed: CloseNoAssociation,
}

func (c *Conn) event(now time.Time, ev *peer.Event) {
	switch ev.Type {
	case peer.Established:
		if !c.setState(stateOpen) {
			return
		}
		c.noteSite(now)
		c.shard.addOpen(c)
		c.log("open", "remote", clientAddr(c.peer.Remote()))
		c.engine.Receive(now, LinkEvent{Type: LinkOpened})
	case peer.ChannelOpen:
		if ev.Negotiated {
			return // a negotiated channel has no label, and the program knows it
		}
		ch := Channel{Stream: ev.Stream, Label: ev.Label, Protocol: ev.Protocol}
		c.channels = append(c.channels, ch)
		c.engine.Receive(now, LinkEvent{Type: LinkChannel, Channel: ch})
	case peer.ChannelClosed:
		if ch, ok := c.forgetChannel(ev.Stream); ok {
			c.engine.Receive(now, LinkEvent{Type: LinkChannelClosed, Channel: ch})
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

// end tells the engine that the link is closed. Only the first call has an effect.
func (c *Conn) end(now time.Time, why *CloseError) {
	queued := c.state == stateQueued
	if !c.setState(stateClosing) {
		return
	}
	if queued {
		c.shard.places.remove(c)
	}
	c.shard.removeOpen(c)
	c.shard.stats.closed[why.Code]++
	c.log("close", "why", why)
	c.engine.Receive(now, LinkEvent{Type: LinkClosed, Err: why})
}

// maxMoves is how many moves of one connection are logged: an attacker that forges
// addresses can make a connection move at every check.
const maxMoves = 16

// noteMove logs a change of the page's address. Without the log nobody needs the address before.
func (c *Conn) noteMove() {
	if c.state != stateOpen {
		return
	}
	n := uint32(c.peer.Moves())
	if n == c.noted {
		return
	}
	opened := c.noted == 0
	if c.noted = n; !c.shard.logs(slog.LevelDebug) {
		c.remote = nil // the level may change
		return
	}
	var from netip.AddrPort // of the last move; the zero value if nobody knows
	now := clientAddr(c.peer.Remote())
	if c.remote == nil {
		c.remote = new(now) // a copy, or each now would be on the heap
	} else {
		from, *c.remote = *c.remote, now
	}
	if opened && !from.IsValid() || from == now || c.moves == maxMoves {
		return
	}
	c.moves++
	if from.IsValid() {
		c.log("moved", "from", from, "to", now)
	} else {
		c.log("moved", "to", now)
	}
}

// refuse counts a channel that was refused. The first one of a connection and reason has a
// line in the log, and at most linesAMinute of all connections for one reason: pages
// could fill the log otherwise.
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
		"stream", ev.Stream, "label", shorten(ev.Label), "why", why)
}

func (c *Conn) log(msg string, args ...any) {
	if c.shard.logs(slog.LevelDebug) {
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
