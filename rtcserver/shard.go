package rtcserver

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// Sizes of a shard's buffers.
const (
	batchLen = 64   // datagrams that are read or written at once
	inLen    = 2048 // more than any browser sends in one
	outLen   = 1536 // more than we do
	inboxLen = 256  // datagrams that the inbox has room for
)

// A shard is one UDP socket and the connections that live on it.
//
// All of it, and all of its connections, belongs to whoever holds the lock of its loop:
// the loop's goroutine while it processes a batch, and a call such as Conn.Send while it
// writes one message. Nobody takes another shard's lock while holding it. The registry's
// lock is a leaf below it.
type shard struct {
	server *Server
	socket *udpio.Conn
	loop   *loop.Loop[*Conn]

	// The loop's lock guards the fields below.
	conns     map[*Conn]struct{}
	open      []*Conn // those of them that may be sent to
	byAddr    map[netip.AddrPort]*Conn
	claimants map[netip.AddrPort][]*Conn // of the addresses with several; the first has it in byAddr
	outbox    loop.Inbox[outboxed]       // events of handshakes
	inbox     loop.Inbox[inboxed]        // datagrams that other shards have received
	places    places
	expiry    time.Time // when the registry's next pending connection expires; shard 0 only
	stats     shardStats
	lines     []line      // for the Logger
	unwritten atomic.Bool // there may be lines; whoever reads it need not hold the lock
	refusals  [refusalReasons]allowance
	scratch   [MaxMessage]byte
	over      bool // the socket is closed; Server.lastTurns guards it

	// Only the loop's turn uses the fields below.
	batch     []udpio.Datagram // of this turn
	request   peer.Request
	fragments *ufrag.Reader  // opens fragments of Config.Direct
	fragment  ufrag.Fragment // of the check at hand
	passed    bool           // a datagram that others have got, too, is at hand
	events    []peer.Event
	expired   []*Conn
	forwards  []forward
	writing   []line      // the lines that writeLines writes
	found     []*Conn     // whose datagrams are in the batch, for preload alone
	original  [inLen]byte // the datagram that is tried under several keys: what fails to open is spoilt
}

// outboxed is an event of a connection's handshake.
type outboxed struct {
	conn      *Conn
	handshake *handshake // the one that the event is of: conn may have begun another one
	event     dtls.HandshakeEvent
}

// forward is a datagram of the batch that belongs to another shard.
type forward struct {
	to     *shard
	i      int
	copied bool // others have got it, too
}

// inboxed is a datagram that another shard has put into the inbox.
type inboxed struct {
	udpio.Datagram
	copied bool // as in forward
}

func newShard(s *Server, socket *udpio.Conn) *shard {
	sh := &shard{
		server:    s,
		socket:    socket,
		conns:     make(map[*Conn]struct{}),
		byAddr:    make(map[netip.AddrPort]*Conn),
		claimants: make(map[netip.AddrPort][]*Conn),
		places:    places{most: s.config.MaxHandshakes},
	}
	sh.loop = loop.New(sh, socket, loop.Config{Batch: batchLen, InSize: inLen, OutSize: outLen, Manual: s.config.Manual})
	sh.loop.Preload = sh.preload
	if x := s.config.Direct; x != nil {
		key := ufrag.Key(x.Key)
		sh.fragments = ufrag.NewReader(&key)
	}
	return sh
}

// ended closes the shard if its loop has ended because the socket has failed.
func (s *shard) ended(err error) {
	if err != loop.ErrEnded {
		s.fail(err)
	}
}

// poll takes turns for Server.Poll; see loop.Poll.
func (s *shard) poll(d time.Duration) error {
	err := s.loop.Poll(d)
	if err != nil {
		s.ended(err)
	}
	return err
}

// The methods below are the shard's part of the loop; see loop.Host.

func (s *shard) Entry(c *Conn) *loop.Entry { return &c.entry }

func (s *shard) Receive(now time.Time, batch []udpio.Datagram) {
	s.batch = batch
	if s.server.relays != nil {
		for i := range batch {
			s.unwrap(now, &batch[i])
		}
	}
	s.takeOutbox(now)
	s.find()
	for i := range batch {
		s.preload(s.found, i)
		s.receive(now, &batch[i], i)
	}
	s.takeInbox(now)
	s.advance(now)
}

func (s *shard) Advance(now time.Time, c *Conn) {
	if c.state != stateGone {
		s.events = c.peer.Advance(now, s.events[:0])
		c.processEvents(now, s.events)
	}
	if d := c.engine.Deadline(); !d.IsZero() && !now.Before(d) {
		c.engine.Advance(now)
	}
}

func (s *shard) Ready(c *Conn) bool { return c.engine.Ready() }

// Unlocked passes datagrams on to other shards, and runs the Logger.
func (s *shard) Unlocked() {
	s.forwardAll()
	s.writeLines()
}

func (s *shard) Deliver(c *Conn) { c.engine.Deliver() }

func (s *shard) Abandon() { s.inbox.Abandon() }

func (s *shard) Settle(now time.Time, c *Conn) {
	if c.state == stateGone {
		return
	}
	c.peer.Flush(now)
	c.pump(now)
	c.noteMove()
	if c.peer.State() == peer.Gone {
		s.remove(c)
	}
}

func (s *shard) Send(now time.Time, c *Conn) { c.pump(now) }

// Deadline returns when the loop must look at c. An engine may have a deadline after its
// link has ended.
func (s *shard) Deadline(c *Conn) time.Time {
	d := c.engine.Deadline()
	if c.state != stateGone {
		d = loop.Sooner(d, c.peer.Deadline())
	}
	return d
}

func (s *shard) NextDeadline() time.Time { return loop.Sooner(s.expiry, s.places.yieldAt) }

// receive takes one datagram of the batch.
func (s *shard) receive(now time.Time, d *udpio.Datagram, i int) {
	switch peer.Classify(d.B) {
	case peer.STUN:
		s.receiveCheck(now, d, i)
	case peer.DTLS:
		s.receiveDTLS(now, d, i)
	case peer.QUIC:
		s.receiveQUIC(d)
	default:
		if len(d.B) > 0 && d.B[0] == envelope.First {
			s.stats.drops[DropRelay]++
			return
		}
		s.stats.drops[DropNotOurs]++
	}
}

// receiveDTLS finds who a DTLS datagram is for. i is its place in the batch, or negative
// for one from the inbox.
func (s *shard) receiveDTLS(now time.Time, d *udpio.Datagram, i int) {
	c := s.byAddr[d.Remote]
	var others [2]*shard
	if i >= 0 && (c == nil || s.server.registry.shared.Load() > 0) {
		others = s.server.registry.others(d.Remote, s)
	}
	switch {
	case others != [2]*shard{}:
	case c == nil:
		s.stats.drops[DropUnknownAddr]++
		return
	default:
		s.receiveFrom(now, c, d)
		return
	}
	if c != nil {
		n := copy(s.original[:], d.B)
		if s.receiveFrom(now, c, d) {
			return
		}
		copy(d.B, s.original[:n])
	}
	copied := c != nil
	for _, o := range others {
		if o != nil {
			s.forward(o, i, copied)
			copied = true
		}
	}
}

// receiveCheck answers a connectivity check. i is as for receiveDTLS.
func (s *shard) receiveCheck(now time.Time, d *udpio.Datagram, i int) {
	if why := s.request.Parse(d.B); why != 0 {
		s.stats.drops[DropBadSTUN]++
		return
	}
	name := s.request.LocalUfrag()
	direct := s.fragments != nil && ufrag.IsDirect(name)
	if direct {
		name = s.request.Username()
	}
	if c := s.byAddr[d.Remote]; c != nil && c.ufrag == string(name) { // nearly each check
		s.check(now, c, d)
		return
	}
	room := len(s.conns) < s.server.config.MaxConns
	c, full := s.server.registry.connFor(name, s, room)
	switch {
	case full:
		s.stats.drops[DropFull]++
		return
	case c != nil:
	case direct:
		if c = s.beginDirect(now, d, room); c == nil {
			return
		}
	default:
		s.stats.drops[DropUnknownUfrag]++
		return
	}
	if c.shard != s {
		if i >= 0 {
			s.forward(c.shard, i, false)
		}
		return
	}
	s.conns[c] = struct{}{}
	s.check(now, c, d)
}

// check takes the connectivity check in s.request, which is one for c.
func (s *shard) check(now time.Time, c *Conn, d *udpio.Datagram) {
	b, granted := c.peer.Check(now, d.Remote, d.Local, &s.request, s.loop.Slot())
	s.push(b, d.Remote, d.Local, s.server.relays != nil && c.peer.Holds(now, d.Remote))
	if granted {
		s.server.relays.noteCheck(now, d.Remote)
		s.addAddr(now, c, d.Remote)
		if c.state == stateWaiting {
			s.beginHandshake(c)
		}
	} else {
		s.stats.drops[DropBadCheck]++
	}
	s.loop.Touch(c)
}

// addAddr makes c known by an address that a valid check came from.
func (s *shard) addAddr(now time.Time, c *Conn, a netip.AddrPort) {
	if len(s.server.shards) > 1 {
		s.server.registry.addAddr(now, a, s, s.byAddr[a] == nil)
	}
	s.claim(now, c, a)
	if len(c.addrs) > 2*peer.MaxPaths {
		s.removeOldAddrs(c)
	}
}

// receiveFor takes a DTLS datagram of c.
func (s *shard) receiveFor(now time.Time, c *Conn, d *udpio.Datagram) {
	var forHandshake []byte
	if s.passed {
		s.events, forHandshake = c.peer.ReceivePassed(now, d.Remote, d.B, s.events[:0])
	} else {
		s.events, forHandshake = c.peer.Receive(now, d.Remote, d.B, s.events[:0])
		if c.peer.Rival() && s.yieldRole(now, c) {
			s.events, forHandshake = c.peer.Receive(now, d.Remote, d.B, s.events)
		}
	}
	if len(forHandshake) > 0 && c.handshake != nil {
		if !c.handshake.ours { // once for each flight, or repeating a byte would hold the place
			c.handshake.last, c.handshake.ours = now, true
		}
		c.handshake.Receive(forHandshake)
	}
	c.processEvents(now, s.events)
	s.loop.Touch(c)
}

// advance looks at what waits beside the connections: answers that no page has used, and
// handshakes that must give up their places.
func (s *shard) advance(now time.Time) {
	if !s.expiry.IsZero() && !now.Before(s.expiry) {
		s.expired, s.expiry = s.server.registry.expire(now, s, s.expired[:0])
		for i, c := range s.expired {
			c.peer.GiveUp(now)
			s.Advance(now, c)
			s.loop.Touch(c)
			s.expired[i] = nil
		}
	}
	if !s.places.yieldAt.IsZero() && !now.Before(s.places.yieldAt) {
		s.yieldPlaces(now)
	}
}

// remove forgets c.
func (s *shard) remove(c *Conn) {
	c.setState(stateGone)
	s.loop.Remove(c)
	s.endHandshake(c)
	for len(c.addrs) > 0 {
		s.unclaim(c, c.addrs[0])
	}
	c.addrs = nil
	delete(s.conns, c)
	s.server.registry.remove(c)
}
