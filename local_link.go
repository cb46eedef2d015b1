package godwit

import (
	"net/netip"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/session"
)

// localLinks are the links in this process. They have a loop as a shard has one for WebRTC
// links. The loop's lock guards the links and the sessions on them.
type localLinks struct {
	server  *Server
	loop    *loop.Loop[*localEnd]
	running sync.WaitGroup

	// The loop's lock guards the fields below.
	ends    []*localEnd
	inbox   loop.Inbox[localDatagram]
	refused bool
	looked  int // ends that turns have looked at, for tests
}

// A localEnd is one end of a link in this process.
type localEnd struct {
	links  *localLinks
	anchor *anchor
	peer   *localEnd
	closed bool
	entry  loop.Entry
	index  int          // index in the ends of links, plus one; 0 if the end is not there
	wire   func([]byte) // gets the datagrams in place of anchor, if not nil; for tests
}

// A localDatagram is a datagram on its way. The bytes that handlers get lie in it.
type localDatagram struct {
	to *localEnd
	b  []byte
}

func newLocalLinks(s *Server) *localLinks {
	l := &localLinks{server: s}
	l.loop = loop.New(l, loop.NewBell(), loop.Config{Manual: s.config.Manual})
	return l
}

func (l *localLinks) start() {
	if !l.server.config.Manual {
		l.running.Go(func() { l.loop.Run() })
	}
}

// turn waits until a turn is due, at most until a time, and takes it. It returns ErrClosed
// when the loop has ended.
func (l *localLinks) turn(until time.Time) error {
	if _, err := l.loop.Turn(until); err != nil {
		return session.ErrClosed
	}
	return nil
}

// connect makes a link between two ends, and opens it. If the session has another link,
// it moves when the client has sent a datagram on this one. connect returns false if the
// server has begun to shut down.
func (l *localLinks) connect(ours, theirs *Conn) bool {
	a, b := &localEnd{links: l}, &localEnd{links: l}
	a.peer, b.peer = b, a
	a.anchor = &anchor{conn: ours, link: a, reliable: true}
	b.anchor = &anchor{conn: theirs, link: b, reliable: true}
	ours.home.CompareAndSwap(nil, a.anchor)
	theirs.home.CompareAndSwap(nil, b.anchor)
	l.loop.Lock()
	defer l.loop.Unlock()
	if l.refused {
		return false
	}
	now := time.Now()
	for _, e := range []*localEnd{a, b} {
		l.add(e)
		e.anchor.open(now)
	}
	l.loop.Wake()
	return true
}

func (l *localLinks) add(e *localEnd) {
	l.ends = append(l.ends, e)
	e.index = len(l.ends)
	l.loop.Touch(e)
}

func (l *localLinks) remove(e *localEnd) {
	last := len(l.ends) - 1
	moved := l.ends[last]
	l.ends[e.index-1], moved.index = moved, e.index
	l.ends[last] = nil
	l.ends, e.index = l.ends[:last], 0
	l.loop.Remove(e)
}

// The methods below are the part of the links in their loop; see loop.Host.

func (l *localLinks) Entry(e *localEnd) *loop.Entry { return &e.entry }

func (l *localLinks) Receive(now time.Time, _ []udpio.Datagram) {
	taken := l.inbox.Take()
	for i := range taken {
		d := &taken[i]
		if d.to.wire != nil {
			d.to.wire(d.b)
		} else if d.to.index > 0 {
			d.to.anchor.datagram(now, d.b)
			l.loop.Touch(d.to)
		}
		d.to = nil
	}
}

func (l *localLinks) Advance(now time.Time, e *localEnd) {
	if t := e.anchor.Deadline(); !t.IsZero() && !now.Before(t) {
		e.anchor.Advance(now)
	}
}

func (l *localLinks) Ready(e *localEnd) bool {
	l.looked++
	return e.index > 0 && e.anchor.Ready()
}

func (l *localLinks) Unlocked() {}

func (l *localLinks) Deliver(e *localEnd) { e.anchor.Deliver() }

func (l *localLinks) Abandon() { l.inbox.Abandon() }

func (l *localLinks) Settle(now time.Time, e *localEnd) {
	l.Send(now, e)
	if e.entry.HasNews() && e.index > 0 {
		l.loop.Touch(e) // the next turn gives back the memory of the events that handlers got
	}
}

// Send sends the pending datagrams of an end, or removes an end that is closed and has
// nothing left to do.
func (l *localLinks) Send(now time.Time, e *localEnd) {
	switch a := e.anchor; {
	case e.index == 0:
	case !e.closed:
		e.pump(now)
	case a.due == 0 && !(a.isHome() && (!a.conn.forgotten || a.conn.undelivered)):
		l.remove(e)
	}
}

func (l *localLinks) Deadline(e *localEnd) time.Time {
	if e.index == 0 {
		return time.Time{}
	}
	return e.anchor.Deadline()
}

func (l *localLinks) NextDeadline() time.Time { return time.Time{} }

// pump moves the pending datagrams of an end to the other end of the link. The engine's
// congestion control limits how many are on their way.
func (e *localEnd) pump(now time.Time) {
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

// Acquire locks the loop.
func (e *localEnd) Acquire() { e.links.loop.Lock() }

// Release unlocks the loop; see rtcserver.Conn.Release. In this process a datagram costs no
// system call, so nothing is sent later except with Config.Manual.
func (e *localEnd) Release(_, news bool) { e.links.loop.Release(e, false, news && e.index > 0) }

// Close ends the link for both ends.
func (e *localEnd) Close(string) {
	l := e.links
	l.loop.Lock()
	defer l.loop.Unlock()
	l.closeLink(e)
}

func (l *localLinks) closeLink(e *localEnd) {
	now := time.Now()
	for _, x := range []*localEnd{e, e.peer} {
		if !x.closed {
			x.closed = true
			x.anchor.linkClosed(now)
			l.loop.Touch(x)
		}
	}
	l.loop.Wake()
}

// RemoteAddr returns the zero AddrPort: a link in this process has no address.
func (e *localEnd) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }

// refuse makes connect fail from now on.
func (l *localLinks) refuse() {
	l.loop.Lock()
	defer l.loop.Unlock()
	l.refused = true
}

// stop ends every session and the goroutine, and waits until the last handlers have run.
// The server's ends are over before; the clients' ends may still be open.
func (l *localLinks) stop() {
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
		l.closeLink(e)
	}
	l.loop.Close()
	l.loop.Unlock()
	if l.server.config.Manual {
		l.loop.Run()
	}
	l.running.Wait()
}
