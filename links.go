package godwit

import (
	"bytes"
	"net/netip"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/websock"
	"github.com/godwit-rtc/godwit/session"
)

// links are the links of a server that are not WebRTC: those in this process, over
// WebSocket, and those that the program brings. They have a loop as a shard has one for
// WebRTC links. The loop's lock guards the links and the sessions on them.
type links struct {
	server  *Server
	loop    *loop.Loop[*linkEnd]
	running sync.WaitGroup // the loop, and the two goroutines of each WebSocket
	buffers websock.Buffers

	// The loop's lock guards the fields below.
	ends    []*linkEnd
	inbox   loop.Inbox[linkDatagram]
	scratch [channel.MaxPacket]byte
	pending int // ends without a carrier
	refused bool
	looked  int // ends that turns have looked at, for tests
	counts  LinkStats
}

// A linkEnd is one end of a link that is not WebRTC.
type linkEnd struct {
	links   *links
	anchor  *anchor
	carrier Carrier  // takes this end's datagrams; nil if peer does, and while a ticket waits for its client
	peer    *linkEnd // the other end of a link in this process; else nil
	remote  netip.AddrPort
	limit   int // bytes of the largest datagram
	closed  bool
	entry   loop.Entry
	index   int          // index in the ends of links, plus one; 0 if the end is not there
	wire    func([]byte) // gets the datagrams in place of anchor, if not nil; for tests

	pending bool          // counts in links.pending
	expires time.Time     // when the link closes if the session is not on it
	full    bool          // the carrier of a reliable link has no room
	held    []byte        // the datagram that it did not take
	stuck   time.Time     // when the link closes if the carrier has not taken held; zero if there is none
	retry   time.Time     // while it is full: when the session is looked at again
	waiting int           // datagrams of this end in the inbox
	blocked bool          // Link.Receive waits for room
	room    chan struct{} // wakes Link.Receive; nil in this process
}

// A linkDatagram is a datagram on its way. The bytes that handlers get lie in it.
type linkDatagram struct {
	to *linkEnd
	b  []byte
}

// Limits of a link that is not in this process.
const (
	// maxWaiting limits the datagrams of one link in the inbox. For more, a reliable link
	// waits, and another one drops them.
	maxWaiting = 64
	// unusedTimeout limits the time that a link is open and the session is elsewhere.
	unusedTimeout = 10 * time.Second
	// fullPause is the time between two looks at a session whose link has no room. The session
	// has something to send all the time.
	fullPause = 50 * time.Millisecond
	// stuckTimeout is how long the carrier of a reliable link may have no room.
	stuckTimeout = 10 * time.Second
	// maxBuffers limits the free buffers for datagrams to WebSockets that the server keeps.
	maxBuffers = 256
)

func newLinks(s *Server) *links {
	l := &links{server: s, buffers: websock.NewBuffers(maxBuffers)}
	l.loop = loop.New(l, loop.NewBell(), loop.Config{Manual: s.config.Manual})
	return l
}

func (l *links) start() {
	l.loop.Start(&l.running, nil)
}

// turn waits until a turn is due, at most until a time, and takes it. It returns
// session.ErrClosed when the loop has ended.
func (l *links) turn(until time.Time) error {
	if _, err := l.loop.Turn(until); err != nil {
		return session.ErrClosed
	}
	return nil
}

// connect makes a link between two ends, and opens it. If the session has another link,
// it moves when the client has sent a datagram on this one. connect returns false if the
// server has begun to shut down.
func (l *links) connect(ours, theirs *Conn) bool {
	a, b := &linkEnd{links: l}, &linkEnd{links: l}
	a.peer, b.peer = b, a
	a.anchor = &anchor{conn: ours, link: a, reliable: true, name: session.LinkInProcess}
	b.anchor = &anchor{conn: theirs, link: b, reliable: true, name: session.LinkInProcess}
	l.loop.Lock()
	defer l.loop.Unlock()
	if l.refused {
		return false
	}
	now := time.Now()
	for _, e := range []*linkEnd{a, b} {
		l.add(e)
		e.anchor.open(now)
	}
	l.loop.Wake()
	return true
}

func (l *links) add(e *linkEnd) {
	l.ends = append(l.ends, e)
	e.index = len(l.ends)
	l.loop.Touch(e)
}

func (l *links) remove(e *linkEnd) {
	last := len(l.ends) - 1
	moved := l.ends[last]
	l.ends[e.index-1], moved.index = moved, e.index
	l.ends[last] = nil
	l.ends, e.index = l.ends[:last], 0
	l.loop.Remove(e)
}

// The methods below are the part of the links in their loop; see loop.Host.

func (l *links) Entry(e *linkEnd) *loop.Entry { return &e.entry }

func (l *links) Receive(now time.Time, _ []udpio.Datagram) {
	taken := l.inbox.Take()
	for i := range taken {
		d := &taken[i]
		e := d.to
		d.to = nil
		if e.wire != nil {
			e.wire(d.b)
			continue
		}
		if e.index > 0 {
			e.anchor.datagram(now, d.b)
			l.loop.Touch(e)
		}
		if e.waiting = 0; e.blocked {
			e.wake()
		}
	}
}

func (l *links) Advance(now time.Time, e *linkEnd) {
	e.anchor.Advance(now)
	e.retry = now.Add(fullPause)
	if t := e.unused(); !t.IsZero() && !now.Before(t) {
		l.closeLink(e, "the session is on another link")
	}
	if !e.stuck.IsZero() && !now.Before(e.stuck) {
		l.closeLink(e, "the link had no room for too long")
	}
}

func (l *links) Ready(e *linkEnd) bool {
	l.looked++
	return e.index > 0 && e.anchor.Ready()
}

func (l *links) Unlocked() {}

func (l *links) Deliver(e *linkEnd) { e.anchor.Deliver() }

func (l *links) Abandon() { l.inbox.Abandon() }

func (l *links) Settle(now time.Time, e *linkEnd) {
	l.Send(now, e)
	if e.entry.HasNews() && e.index > 0 {
		l.loop.Touch(e) // the next turn gives back the memory of the events that handlers got
	}
}

// Send sends the pending datagrams of an end, or removes an end that is closed and has
// nothing left to do.
func (l *links) Send(now time.Time, e *linkEnd) {
	switch a := e.anchor; {
	case e.index == 0:
	case !e.closed:
		e.pump(now)
	case a.due == 0 && !(a.isHome() && (!a.conn.forgotten || a.conn.undelivered)):
		l.remove(e)
	}
}

func (l *links) Deadline(e *linkEnd) time.Time {
	if e.index == 0 {
		return time.Time{}
	}
	t := loop.Sooner(e.anchor.Deadline(), e.unused())
	if e.full && t.Before(e.retry) && !t.IsZero() {
		t = e.retry
	}
	return loop.Sooner(t, e.stuck)
}

// unused returns when the link closes because the session is not on it; zero means never.
func (e *linkEnd) unused() time.Time {
	if e.anchor.state != anchorWaiting {
		return time.Time{}
	}
	return e.expires
}

func (l *links) NextDeadline() time.Time { return time.Time{} }

// pump sends the pending datagrams of an end. The engine's congestion control limits how
// many are on their way.
func (e *linkEnd) pump(now time.Time) {
	switch {
	case e.peer != nil:
		e.pumpToPeer(now)
	case !e.full:
		e.pumpToCarrier(now)
	}
}

// pumpToPeer moves the pending datagrams of an end to the other end in this process.
func (e *linkEnd) pumpToPeer(now time.Time) {
	l := e.links
	for {
		d := l.inbox.Add()
		if d.b == nil {
			d.b = make([]byte, 0, channel.MaxPacket)
		}
		d.b = e.anchor.Append(now, d.b[:0], channel.MaxPacket)
		if len(d.b) == 0 {
			l.inbox.Undo()
			return
		}
		d.to = e.peer
		l.loop.Wake()
	}
}

// pumpToCarrier gives the pending datagrams of an end to its carrier. On a reliable link,
// which sends nothing twice, a datagram that the carrier does not take waits for Link.Room;
// on another link it is dropped.
func (e *linkEnd) pumpToCarrier(now time.Time) {
	l := e.links
	if e.held != nil {
		if !e.carrier.Send(e.held) {
			e.full = true
			return
		}
		e.held, e.stuck = nil, time.Time{}
	}
	for {
		b := e.anchor.Append(now, l.scratch[:0], e.limit)
		if len(b) == 0 {
			return
		}
		if e.carrier.Send(b) {
			continue
		}
		if e.anchor.reliable {
			e.full, e.held, e.stuck = true, bytes.Clone(b), now.Add(stuckTimeout)
			return
		}
		l.counts.DroppedOut++
	}
}

// Acquire locks the loop.
func (e *linkEnd) Acquire() { e.links.loop.Lock() }

// Release unlocks the loop; see rtcserver.Conn.Release.
func (e *linkEnd) Release(later, news bool) { e.links.loop.Release(e, later, news) }

// Close ends the link for both ends.
func (e *linkEnd) Close(text string) {
	l := e.links
	l.loop.Lock()
	defer l.loop.Unlock()
	l.closeLink(e, text)
}

func (l *links) closeLink(e *linkEnd, text string) {
	now := time.Now()
	for _, x := range []*linkEnd{e, e.peer} {
		if x == nil || x.closed {
			continue
		}
		x.closed, x.held, x.stuck = true, nil, time.Time{}
		x.anchor.linkClosed(now)
		l.settled(x)
		if x.carrier != nil {
			l.counts.Open--
			x.carrier.Close(text)
			x.wake()
		}
		l.loop.Touch(x)
	}
	l.loop.Wake()
}

// settled notes that an end does not wait for a carrier any more.
func (l *links) settled(e *linkEnd) {
	if e.pending {
		e.pending = false
		l.pending--
	}
}

// wake ends a wait of Link.Receive.
func (e *linkEnd) wake() {
	e.blocked = false
	select {
	case e.room <- struct{}{}:
	default:
	}
}

// RemoteAddr returns the address of the carrier. A link in this process has none.
func (e *linkEnd) RemoteAddr() netip.AddrPort { return e.remote }

// refuse makes connect fail from now on.
func (l *links) refuse() {
	l.loop.Lock()
	defer l.loop.Unlock()
	l.refused = true
}

// stop ends every session and the goroutine, and waits until the last handlers have run.
// The server's ends are over before; the clients' ends may still be open.
func (l *links) stop() {
	l.loop.Lock()
	now := time.Now()
	for _, e := range l.ends {
		if a := e.anchor; a.isHome() {
			a.conn.attach(a)
			a.conn.session.Close(now, session.CloseShutdown, "the server is closed", true)
		}
		l.loop.Touch(e) // also one whose link was closed before
	}
	for _, e := range l.ends {
		l.closeLink(e, "the server is closed")
	}
	l.loop.Close()
	l.loop.Unlock()
	if l.server.config.Manual {
		l.loop.Run()
	}
	l.running.Wait()
}
