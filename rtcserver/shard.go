package rtcserver

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/timers"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// Sizes of a shard's buffers.
const (
	batchLen = 64   // datagrams that are read or written at once
	inLen    = 2048 // more than any browser sends in one
	outLen   = 1536 // more than we do
	inboxLen = 256  // datagrams that other shards may leave here
)

// A shard is one UDP socket and the connections that live on it.
//
// All of it, and all of its connections, belongs to whoever holds mu: the
// shard's goroutine while it works through a batch, and a call such as
// Conn.Send while it writes one message. Nobody holds mu while waiting, no user
// code runs while it is held, and nobody takes another shard's mu, or mu itself
// again, while holding it. The registry's lock is a leaf below it.
//
// The fields below "loop" are the loop's own and need no lock.
type shard struct {
	server *Server
	socket *udpio.Conn

	mu        sync.Mutex
	conns     map[*Conn]struct{}
	open      []*Conn // those of them that may be sent to
	byAddr    map[netip.AddrPort]*Conn
	claimants map[netip.AddrPort][]*Conn // of the addresses with several; the first has it in byAddr
	timers    timers.Heap[*Conn]
	touched   []*Conn // to be delivered, pumped and timed when the batch is over
	later     []*Conn // to be pumped and timed at the next Flush, or when a batch is over
	busy      bool    // the loop is in a batch and will flush: sends need not
	out       []udpio.Datagram
	outbox    []outboxed // what handshakes said
	inbox     []left
	places    places
	expiry    time.Time // when the registry's next pending connection expires; shard 0 only
	deadline  time.Time // the socket's read deadline; zero means none
	closed    bool
	stats     shardStats
	lines     []line // for the Logger
	refusals  [Refusals]allowance
	scratch   [MaxMessage]byte

	// loop
	request  peer.Request
	passed   bool // a datagram that others have got, too, is at hand
	in       []udpio.Datagram
	spare    []left // the inbox of the batch before, whose memory is free
	ready    []*Conn
	events   []peer.Event
	expired  []*Conn
	forwards []forward
	said     []line      // the lines that it writes next
	found    []*Conn     // whose datagrams are in the batch, for preload alone
	unspoilt [inLen]byte // the datagram that is tried under several keys: what fails to open is spoilt
	told     int         // how many of ready have been told their news
	began    time.Time   // when the batch's first handler did; zero if there was none

	preloaded int // what preload has read, which means nothing
}

// outboxed is an event of a connection's handshake.
type outboxed struct {
	conn  *Conn
	event dtls.HandshakeEvent
}

// forward is a datagram of the batch that belongs to another shard.
type forward struct {
	to     *shard
	i      int
	copied bool // others have got it, too
}

// left is a datagram that another shard has left.
type left struct {
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
		in:        newBatch(batchLen, inLen),
		out:       newBatch(batchLen, outLen)[:0],
		places:    places{most: s.config.MaxHandshakes},
	}
	return sh
}

func newBatch(n, size int) []udpio.Datagram {
	all := make([]byte, n*size)
	ds := make([]udpio.Datagram, n)
	for i := range ds {
		ds[i].B = all[i*size : i*size : (i+1)*size]
	}
	return ds
}

// run is the shard's goroutine.
func (s *shard) run() {
	for {
		n, err := s.turn()
		if err != nil {
			return
		}
		if n == batchLen {
			// The next turn will not wait. With one processor nobody else, such as a
			// game's ticker, would run until the scheduler steps in after 10 ms.
			runtime.Gosched()
		}
	}
}

// turn waits for datagrams, or for the first deadline, and does what there is to
// do. This is the whole loop: wait, lock, everything in, unlock, handlers, lock,
// everything out, unlock. It returns how many datagrams came.
func (s *shard) turn() (int, error) {
	n, err := s.socket.ReadBatch(s.in)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.stop(err)
		return 0, err
	}
	now := time.Now()
	s.mu.Lock()
	s.busy = true
	s.stats.batches++
	s.stats.datagramsIn += uint64(n)
	s.takeOutbox(now)
	s.find(n)
	for i := range n {
		s.preload(s.found, i)
		s.receive(now, &s.in[i], i)
	}
	s.takeInbox(now)
	s.advance(now)
	s.handOver()
	s.mu.Unlock()

	s.passOn()
	s.deliver()
	err = s.finish(now)
	s.writeLines()
	return n, err
}

// finish lets everybody whom the batch touched say what there is to say. It returns
// net.ErrClosed when the shard is closed and all handlers have run.
func (s *shard) finish(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) > 0 {
		now = time.Now()
	}
	if !s.began.IsZero() {
		s.stats.handlers += now.Sub(s.began)
	}
	for i, c := range s.ready {
		s.preload(s.ready, i)
		s.settle(now, c)
	}
	clear(s.ready)
	s.speak(now)
	s.busy = false
	s.flush()
	s.arm()
	s.takeLines()
	if s.closed && len(s.touched) == 0 {
		return net.ErrClosed
	}
	return nil
}

// handOver takes the connections that were touched, for the handlers. Their
// engines' news is what handlers are told now; what comes later waits for the
// next turn.
func (s *shard) handOver() {
	s.takeLines()
	s.touched, s.ready = s.ready[:0], s.touched
	for _, c := range s.ready {
		c.touched, c.inBatch = false, true
		c.hasNews = c.engine.Ready()
	}
}

// deliver runs the Logger and the handlers, and notes when these began; zero if there is
// nothing to tell them. No lock is held.
func (s *shard) deliver() {
	defer s.afterPanic()
	s.began, s.told = time.Time{}, -1 // the lines come before the first
	s.writeLines()
	for s.told = 0; s.told < len(s.ready); s.told++ {
		c := s.ready[s.told]
		if !c.hasNews {
			continue
		}
		if s.began.IsZero() {
			s.began = time.Now()
		}
		c.engine.Deliver()
	}
}

// afterPanic ends the turn in which a handler or the Logger has panicked, for a program
// that recovers around Poll. The event or line that it had counts as told; the rest of
// the batch is told in the next turn.
func (s *shard) afterPanic() {
	if s.told == len(s.ready) {
		return
	}
	s.in, s.spare = newBatch(batchLen, inLen), nil // what is not told yet lies in the old ones
	s.mu.Lock()
	for _, c := range s.ready[max(s.told, 0):] {
		s.touch(c)
	}
	s.mu.Unlock()
	s.finish(time.Now())
}

// touch makes sure that the loop looks at c before it waits again.
func (s *shard) touch(c *Conn) {
	if !c.touched {
		c.touched = true
		s.touched = append(s.touched, c)
	}
}

// receive takes one datagram of the batch.
func (s *shard) receive(now time.Time, d *udpio.Datagram, i int) {
	s.stats.bytesIn += uint64(len(d.B))
	switch peer.Classify(d.B) {
	case peer.STUN:
		s.check(now, d, i)
	case peer.DTLS:
		s.records(now, d, i)
	default:
		s.stats.drops[DropNotOurs]++
	}
}

// records finds who a DTLS datagram is for. i is its place in the batch, or negative
// for one that another shard has left here.
func (s *shard) records(now time.Time, d *udpio.Datagram, i int) {
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
		s.take(now, c, d)
		return
	}
	if c != nil {
		n := copy(s.unspoilt[:], d.B)
		if s.take(now, c, d) {
			return
		}
		copy(d.B, s.unspoilt[:n])
	}
	copied := c != nil
	for _, o := range others {
		if o != nil {
			s.forward(o, i, copied)
			copied = true
		}
	}
}

// check answers a connectivity check. i is as for records.
func (s *shard) check(now time.Time, d *udpio.Datagram, i int) {
	if why := s.request.Parse(d.B); why != 0 {
		s.stats.drops[DropBadSTUN]++
		return
	}
	c, full := s.server.registry.claim(s.request.LocalUfrag(), s, len(s.conns) < s.server.config.MaxConns)
	if full {
		s.stats.drops[DropFull]++
		return
	}
	if c == nil {
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
	slot := s.slot()
	b, granted := c.peer.Check(now, d.Remote, d.Local, &s.request, slot)
	s.push(b, peer.Path{Remote: d.Remote, Local: d.Local})
	if granted {
		s.learn(now, c, d.Remote)
		if c.peer.State() == peer.Waiting && !c.queued {
			s.beginHandshake(c)
		}
	} else {
		s.stats.drops[DropBadCheck]++
	}
	s.touch(c)
}

// learn makes c known by an address that a valid check came from.
func (s *shard) learn(now time.Time, c *Conn, a netip.AddrPort) {
	if len(s.server.shards) > 1 {
		s.server.registry.enter(now, a, s, s.byAddr[a] == nil)
	}
	s.claim(now, c, a)
	if len(c.addrs) > 2*peer.MaxPaths {
		s.prune(c)
	}
}

// datagram takes a DTLS datagram of c.
func (s *shard) datagram(now time.Time, c *Conn, d *udpio.Datagram) {
	var forHandshake []byte
	if s.passed {
		s.events, forHandshake = c.peer.ReceivePassed(now, d.Remote, d.B, s.events[:0])
	} else {
		s.events, forHandshake = c.peer.Receive(now, d.Remote, d.B, s.events[:0])
	}
	if len(forHandshake) > 0 && c.handshake != nil {
		if !c.handshake.ours { // once for each flight, or repeating a byte would hold the place
			c.handshake.last, c.handshake.ours = now, true
		}
		c.handshake.Receive(forHandshake)
	}
	c.happened(now, s.events)
	s.touch(c)
}

// advance looks at everything whose time has come.
func (s *shard) advance(now time.Time) {
	if !s.expiry.IsZero() && !now.Before(s.expiry) {
		s.expired, s.expiry = s.server.registry.expire(now, s, s.expired[:0])
		for i, c := range s.expired {
			c.peer.GiveUp(now)
			s.timers.Set(c, &c.timer, now)
			s.expired[i] = nil
		}
	}
	if !s.places.yieldAt.IsZero() && !now.Before(s.places.yieldAt) {
		s.yieldPlaces(now)
	}
	for c, ok := s.timers.Due(now); ok; c, ok = s.timers.Due(now) {
		if !c.gone {
			s.events = c.peer.Advance(now, s.events[:0])
			c.happened(now, s.events)
		}
		if d := c.engine.Deadline(); !d.IsZero() && !now.Before(d) {
			c.engine.Advance(now)
		}
		s.touch(c)
	}
}

// settle lets c say what it has to say and sets its timer.
func (s *shard) settle(now time.Time, c *Conn) {
	c.inBatch = false
	if !c.gone {
		c.peer.Flush(now)
		c.pump(now)
		c.noteMove()
		if c.peer.State() == peer.Gone {
			s.remove(c)
		}
	}
	s.time(c)
}

// time sets c's timer, and wakes the loop if it would come too late.
func (s *shard) time(c *Conn) {
	s.timers.Set(c, &c.timer, c.deadline())
	if !s.busy {
		s.arm()
	}
}

// remove forgets c.
func (s *shard) remove(c *Conn) {
	c.gone = true
	s.timers.Remove(&c.timer)
	s.endHandshake(c)
	for len(c.addrs) > 0 {
		s.unclaim(c, c.addrs[0])
	}
	c.addrs = nil
	if c.queued {
		s.places.remove(c)
	}
	delete(s.conns, c)
	s.server.registry.remove(c)
}
