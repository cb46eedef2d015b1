package godwit

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/session"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// A link is what an anchor needs of what it is fixed to: the lock of a shard, or of
// what stands for one. *rtcserver.Conn and *localEnd are links. A link goes on to
// serve its engine's deadline after it is closed, until there is none.
type link interface {
	Acquire()
	Release(later, news bool)
	Close(text string)
	RemoteAddr() netip.AddrPort
}

// An anchor fixes a session to a link. It is the link's engine.
//
// # How a session moves
//
// A session belongs to whoever holds the lock of its home link and has seen, after
// taking it, that home is still that link. To move it one takes the lock of the old
// home, stores the new home as the last thing done under it, and gives it back. From
// then on the session belongs to the new link's lock. Whoever takes that first tells
// the session of its new link (seat). So no two locks are ever held, and a call in
// between finds the new home or tries again.
//
// Handlers of one Conn must not overlap although two links' loops may have news for
// it while it moves: Conn.telling is taken before they run, and the loop that finds
// it taken leaves the news, made independent of its buffers, to the one that has it.
type anchor struct {
	conn     *Conn
	link     link
	reliable bool

	// Guarded by the link's lock.
	early  [][]byte // what came on it before the session did
	joined bool     // the session has been here
	closed bool     // the link is gone
	ending bool     // the link is to be closed, or was

	// The loop's own, from Ready to Deliver.
	due    bool // Ready has reported news that Deliver has not told
	bring  bool // the session is to be brought here
	end    bool // the link is to be closed
	forget bool // the server is to be told that the session is over
}

// maxEarly bounds the datagrams that a new link keeps until the session is there.
const maxEarly = 16

// acquire takes the lock that guards the session.
func (c *Conn) acquire() *anchor {
	for {
		a := c.home.Load()
		a.link.Acquire()
		if c.home.Load() == a {
			c.seat(a)
			return a
		}
		a.link.Release(true, false)
	}
}

// isOn reports whether l is the link that guards the session.
func (c *Conn) isOn(l link) bool { return c.home.Load().link == l }

// release gives it back.
func (c *Conn) release(a *anchor) { a.link.Release(false, c.session.Pending() || c.over(a)) }

// over reports whether a's loop has something to do about the session's end.
func (c *Conn) over(a *anchor) bool {
	if c.session.State() != session.Closed {
		return false
	}
	return !c.forgotten || c.session.Over() && !a.closed && !a.ending
}

// seat tells the session of the link that it has moved to.
func (c *Conn) seat(a *anchor) {
	if c.seated == a || c.seated == nil {
		return // the first link tells when it is open
	}
	c.seated, a.joined = a, true
	now := time.Now()
	c.linkUp(a, now)
	for _, b := range a.early {
		c.session.Receive(now, b)
	}
	a.early = nil
	if a.closed {
		c.session.Unlink(now)
	}
}

func (c *Conn) linkUp(a *anchor, now time.Time) {
	var token session.Token
	rand.Read(token[:])
	if c.session.Link(now, session.LinkInfo{Reliable: a.reliable, Token: token}) {
		c.server.book.retoken(c)
	}
}

// move brings the session to a. No lock is held.
func (c *Conn) move(a *anchor) {
	old := c.acquire()
	switch {
	case old == a:
		c.release(old)
		return
	case c.session.State() >= session.Closing:
		c.release(old)
		a.link.Close("the session is over")
		return
	}
	c.home.Store(a)
	old.link.Release(true, false)
	old.link.Close("the session moved to another link")
	c.release(c.acquire())
	c.server.log(c, "moved to another connection", "remote", a.link.RemoteAddr())
}

// isHome reports whether the session is here. The link's lock is held.
func (a *anchor) isHome() bool { return a.conn.home.Load() == a }

// Receive takes an event of a WebRTC link.
func (a *anchor) Receive(now time.Time, ev rtcserver.LinkEvent) {
	switch ev.Type {
	case rtcserver.LinkOpened:
		a.open(now)
	case rtcserver.LinkMessage:
		a.datagram(now, ev.Message.Data)
	case rtcserver.LinkClosed:
		a.gone(now)
	}
}

// open begins the session if this is its first link. Another one waits for what the
// client sends on it.
func (a *anchor) open(now time.Time) {
	c := a.conn
	if a.isHome() && c.seated == nil {
		c.seated, a.joined = a, true
		c.linkUp(a, now)
	}
}

func (a *anchor) datagram(now time.Time, b []byte) {
	c := a.conn
	switch {
	case a.isHome():
		c.seat(a)
		c.session.Receive(now, b)
	case !a.joined && len(a.early) < maxEarly:
		a.early = append(a.early, append([]byte{}, b...))
	}
}

func (a *anchor) gone(now time.Time) {
	a.closed = true
	if a.isHome() {
		a.conn.seat(a)
		a.conn.session.Unlink(now)
		if a.conn.session.State() == session.Closed {
			a.conn.tally() // it may have been forgotten, and have gone on saying goodbye
		}
	}
}

// Append appends the session's next datagram.
func (a *anchor) Append(now time.Time, b []byte, limit int) []byte {
	if !a.isHome() {
		return b
	}
	return a.conn.session.Append(now, b, limit)
}

// Deadline returns when Advance must be called.
func (a *anchor) Deadline() time.Time {
	if !a.isHome() {
		return time.Time{}
	}
	return a.conn.session.Deadline()
}

// Advance tells the session that time has passed.
func (a *anchor) Advance(now time.Time) {
	if a.isHome() {
		a.conn.session.Advance(now)
	}
}

// Ready moves the session's news to where Deliver finds them.
func (a *anchor) Ready() bool {
	a.due = a.due || a.ready()
	return a.due
}

func (a *anchor) ready() bool {
	c := a.conn
	a.bring = !a.isHome()
	if a.bring {
		return !a.joined && !a.closed && len(a.early) > 0
	}
	c.seat(a)
	over := c.over(a)
	if !over && !c.left && !c.session.Pending() {
		c.rest()
		return false
	}
	if !c.telling.CompareAndSwap(false, true) {
		c.session.Own()
		return false
	}
	if over {
		a.end = c.session.Over() && !a.closed // over has seen that it is not ending yet
		a.ending = a.end
		a.forget = !c.forgotten
		c.forgotten = true
		c.tally()
	}
	left := slices.Clone(c.news[c.begun:]) // a handler has panicked
	c.answers = slices.Delete(c.answers, 0, c.answered)
	c.news = c.session.Events(append(c.session.Release(c.news[:c.begun]), left...))
	c.begun, c.answered, c.left = 0, 0, false
	for i := range c.news[len(left):] {
		switch ev := &c.news[len(left)+i]; ev.Type {
		case session.EventResult:
			c.answers = append(c.answers, c.asked[ev.Request])
			delete(c.asked, ev.Request)
		case session.EventToken:
			if c.ours {
				c.server.book.retoken(c)
			}
		}
	}
	return true
}

// rest gives back what handlers have had, unless they still do. The link's lock is
// held.
func (c *Conn) rest() {
	if len(c.news) > 0 && !c.left && c.telling.CompareAndSwap(false, true) {
		c.news, c.answers = c.session.Release(c.news), nil
		c.begun, c.answered = 0, 0
		c.telling.Store(false)
	}
}

// Deliver runs the program's handlers, or brings the session here.
func (a *anchor) Deliver() {
	c := a.conn
	a.due = false
	if a.bring {
		c.move(a)
		return
	}
	defer a.delivered() // also if a handler panics
	c.tell()
}

// delivered ends a Deliver.
func (a *anchor) delivered() {
	c := a.conn
	if c.begun < len(c.news) { // a handler has panicked: the next turn tells the rest
		h := c.acquire()
		c.left = true
		c.release(h)
	}
	if a.end {
		a.link.Close("the session is over")
	}
	c.telling.Store(false)
	if a.forget {
		c.server.forget(c)
		h := c.acquire() // there may be no other turn
		c.rest()
		c.release(h)
	}
	a.end, a.forget = false, false
	if h := c.home.Load(); h != a { // its loop may have found telling taken
		h.link.Acquire()
		h.link.Release(true, true)
	}
}
