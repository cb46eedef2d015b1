package godwit

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/prefetch"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/ufrag"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// A link is what an anchor uses of its connection: a *rtcserver.Conn, whose lock is the
// lock of a shard, or a *linkEnd, whose lock is the lock of the loop of links. After a link is
// closed it calls Advance of its engine until the engine has no deadline.
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
// The lock of the home link guards a session. A caller takes the lock and then checks
// that home is still the same link; if it is not, the caller unlocks and tries again. To
// move a session, move takes the lock of the old home, stores the new home as the last
// step under this lock, and unlocks. From then on the lock of the new link guards the
// session. The first caller that takes the new lock tells the session of its new link
// (attach). So nobody holds two locks, and a call during the move finds the new home or
// tries again.
//
// Handlers of one Conn must not overlap, although the loops of two links may have news
// for it while it moves. A loop sets Conn.delivering before the handlers run. A loop that
// finds delivering set leaves the news in the session, copied from its buffers, for the
// loop that has set it.
type anchor struct {
	conn     *Conn
	link     link
	name     string // see Conn.Link
	reliable bool

	// Guarded by the link's lock.
	came  bool // the client has sent a datagram here
	state anchorState
	early [][]byte // datagrams that arrived before the session moved here

	// order says in which order the client has come to the links of the session: a number
	// from Conn.arrivals, or 0 if this is the first link or the client has not come. It is
	// set under the link's lock, before the session moves here, and does not change then.
	order   uint32
	arrival sessioncore.Arrival // of the datagram with which the client came; set with order

	// due is what Deliver has to do; zero means that Deliver need not run. Only the loop's
	// goroutine uses it, from Ready to Deliver.
	due delivery
}

// maxEarly limits the datagrams that a new link keeps until the session moves there. A
// reliable link keeps all of a turn, at most maxWaiting.
const maxEarly = 16

// acquire locks the session. It returns the anchor of the home link, for release.
func (c *Conn) acquire() *anchor {
	for {
		a := c.home.Load()
		a.link.Acquire()
		if c.home.Load() == a {
			c.attach(a)
			return a
		}
		a.link.Release(true, false)
	}
}

// isOn reports whether l is the link that guards the session.
func (c *Conn) isOn(l link) bool {
	a := c.home.Load()
	return a != nil && a.link == l
}

// release unlocks the session. If the session has news, the loop takes another turn.
func (c *Conn) release(a *anchor) { a.link.Release(false, c.session.Pending() || c.endPending(a)) }

// endPending reports whether the session is closed and the loop of a must still tell the server
// or close the link.
func (c *Conn) endPending(a *anchor) bool {
	if c.session.State() != sessioncore.Closed {
		return false
	}
	return !c.forgotten || c.session.Over() && a.state <= anchorHome
}

// attach tells the session of the link that it has moved to, once, and gives it the
// datagrams that arrived there before.
func (c *Conn) attach(a *anchor) {
	if c.attached == a || c.attached == nil {
		return // open attaches the session to its first link
	}
	c.attached = a
	a.becomeHome()
	now := time.Now()
	c.linkUp(a, now)
	for _, b := range a.early {
		c.session.Receive(now, b)
	}
	a.early = nil
	if a.closed() {
		c.session.Unlink(now)
	}
}

// becomeHome notes that the session is at a now.
func (a *anchor) becomeHome() {
	if !a.setState(anchorHome) {
		a.setState(anchorUnlinked) // if it was lost
	}
}

func (c *Conn) linkUp(a *anchor, now time.Time) {
	var token sessioncore.Token
	rand.Read(token[:])
	info := sessioncore.LinkInfo{Reliable: a.reliable, Token: token}
	if c.atServer && c.server.config.takesDirect() {
		info.Next = c.server.nextLink
	}
	if c.session.Link(now, info) {
		c.server.directory.setTokens(c)
	}
}

// arrive moves the session to a, where the client has sent datagrams, unless a's link is
// closed: then the client has given the link up. No lock is held.
func (a *anchor) arrive() {
	a.link.Acquire()
	closed := a.closed()
	a.link.Release(true, false)
	if !closed && a.conn.move(a) {
		return
	}
	a.link.Acquire()
	a.early = nil // they are old
	a.link.Release(true, false)
}

// move moves the session to a, and closes the link that it leaves, unless the client has sent
// nothing there. If the session is over
// it closes the link of a instead. It does nothing if the client came to a before it came
// to the session's home: then a is a link that the client has left. It reports whether the
// session is at a when it returns. No lock is held.
func (c *Conn) move(a *anchor) bool {
	old := c.acquire()
	switch {
	case old == a || old.order > a.order:
		c.release(old)
		return old == a
	case c.session.State() >= sessioncore.Closing:
		c.release(old)
		a.link.Close("the session is over")
		return false
	case c.session.Left(a.arrival) || a.isLateFirst(old):
		c.release(old)
		a.link.Close("the client has left this link")
		return false
	}
	came := old.came
	if came {
		old.setState(anchorLeft)
	} else {
		old.setState(anchorWaiting) // it opened here first, but the client may still be opening it
	}
	c.home.Store(a)
	old.link.Release(true, false)
	if came {
		old.link.Close("the session moved to another link")
	}
	c.release(c.acquire())
	c.server.log(c, "moved to another connection", "remote", a.link.RemoteAddr())
	return true
}

// isLateFirst reports whether a carries the first words of a client that has left a since: the
// session has opened on home, its first link, which is better than a. A client does not move to a
// worse link before the session is open, and later it sends HELLO no more. The lock of home's link
// is held.
func (a *anchor) isLateFirst(home *anchor) bool {
	return a.arrival.Hello && a.arrival.Here == 0 && a.reliable && !home.reliable && home.order == 0 &&
		a.conn.session.State() == sessioncore.Open
}

// isHome reports whether the session is at a. The lock of a's link is held.
func (a *anchor) isHome() bool { return a.conn.home.Load() == a }

// Receive processes an event of a WebRTC link.
func (a *anchor) Receive(now time.Time, ev rtcserver.LinkEvent) {
	switch ev.Type {
	case rtcserver.LinkOpened:
		a.open(now)
	case rtcserver.LinkMessage:
		a.datagram(now, ev.Message.Data)
	case rtcserver.LinkClosed:
		a.linkClosed(now)
	}
}

// open begins the session if this is the first of its links that opens. Another link does
// nothing until the client sends a datagram on it.
func (a *anchor) open(now time.Time) {
	c := a.conn
	if c.home.CompareAndSwap(nil, a); a.isHome() {
		c.attached = a
		a.becomeHome()
		c.linkUp(a, now)
	}
}

func (a *anchor) datagram(now time.Time, b []byte) {
	c := a.conn
	switch {
	case len(b) > 0 && b[0] < ufrag.FirstOfPacket: // ADMIT, which the client repeats until it gets a packet
		c.server.direct.repeated.Add(1)
	case a.isHome():
		a.came = true
		c.attach(a)
		c.session.Receive(now, b)
	case a.state == anchorWaiting && (a.reliable || len(a.early) < maxEarly):
		a.came = true
		if a.order == 0 {
			a.order, a.arrival = c.arrivals.Add(1), sessioncore.ArrivalOf(b)
		}
		a.early = append(a.early, append([]byte{}, b...))
	}
}

// linkClosed notes that the link is closed. If no link of the session has opened, the session
// is over. If one has, and the client has sent nothing on it, the client may have taken another
// one: two links may open at the same time.
func (a *anchor) linkClosed(now time.Time) {
	a.conn.home.CompareAndSwap(nil, a)
	if !a.setState(anchorLost) {
		a.setState(anchorUnlinked) // if the session is here
	}
	if a.isHome() {
		a.conn.attach(a)
		if a.conn.mayOpenElsewhere(a) {
			a.conn.session.Await()
			return
		}
		a.conn.session.Unlink(now)
		if a.conn.session.State() == sessioncore.Closed {
			a.conn.tally() // the server may have forgotten it, and it has sent close frames since
		}
	}
}

// mayOpenElsewhere reports whether the session is not open yet, and its client may still open
// it over a link other than a. The server offers none of the links of a client's end.
func (c *Conn) mayOpenElsewhere(a *anchor) bool {
	return len(c.server.config.Links) > 1 && c.server.config.offers(a.name) && c.session.State() == sessioncore.Opened
}

// Append appends the session's next datagram to b; if there is none it returns b.
func (a *anchor) Append(now time.Time, b []byte, limit int) []byte {
	if !a.isHome() {
		return b
	}
	return a.conn.session.Append(now, b, limit)
}

// Preload loads the anchor, the Conn and the session ahead, in this order.
func (a *anchor) Preload(step int) {
	switch step {
	case 0:
		prefetch.All(a)
	case 1:
		prefetch.All(a.conn)
	default:
		a.conn.session.Preload(step - 2)
	}
}

// Deadline returns when Advance must be called: at once if the session has had news, or
// its end, since Ready. Append may be the cause. While handlers run for the session, those
// of another loop, Ready could not take the news; delivered does it then.
func (a *anchor) Deadline() time.Time {
	c := a.conn
	switch {
	case !a.isHome():
		return time.Time{}
	case (c.session.Pending() || c.endPending(a)) && !c.delivering.Load():
		return loop.Past
	}
	return c.session.Deadline()
}

// Advance tells the session that time has passed.
func (a *anchor) Advance(now time.Time) {
	if a.isHome() {
		a.conn.session.Advance(now)
	}
}

// Ready takes the session's news for Deliver. It returns true if Deliver must run.
func (a *anchor) Ready() bool {
	switch {
	case a.due == 0:
		a.due = a.takeNews()
	case a.isHome():
		a.conn.session.Own() // a handler of another link has panicked before Deliver: this news comes after it
		a.due |= deliverMore
	}
	return a.due != 0
}

// takeNews takes the news, and returns what Deliver has to do.
func (a *anchor) takeNews() (due delivery) {
	c := a.conn
	if !a.isHome() {
		if a.state == anchorWaiting && len(a.early) > 0 {
			return deliverSession
		}
		return 0
	}
	c.attach(a)
	over := c.endPending(a)
	if !over && !c.undelivered && !c.session.Pending() {
		c.releaseNews()
		return 0
	}
	if !c.delivering.CompareAndSwap(false, true) {
		c.session.Own()
		return 0
	}
	due = deliverNews
	if over {
		if c.session.Over() && a.setState(anchorEnding) {
			due |= deliverEnd
		}
		if !c.forgotten {
			c.forgotten = true
			due |= deliverForget
		}
		c.tally()
	}
	left := slices.Clone(c.news[c.begun:]) // not empty only after a panic of a handler
	c.answers = slices.Delete(c.answers, 0, c.answered)
	c.news = c.session.Events(append(c.session.Release(c.news[:c.begun]), left...))
	c.begun, c.answered, c.undelivered = 0, 0, false
	for i := range c.news[len(left):] {
		switch ev := &c.news[len(left)+i]; ev.Type {
		case sessioncore.EventResult:
			c.answers = append(c.answers, c.asked[ev.Request])
			delete(c.asked, ev.Request)
		case sessioncore.EventToken:
			if c.atServer {
				c.server.directory.setTokens(c)
			}
		}
	}
	return due
}

// releaseNews releases the last news to the session, unless handlers still run.
// The link's lock is held.
func (c *Conn) releaseNews() {
	if len(c.news) > 0 && !c.undelivered && c.delivering.CompareAndSwap(false, true) {
		c.news, c.answers = c.session.Release(c.news), nil
		c.begun, c.answered = 0, 0
		c.delivering.Store(false)
	}
}

// Deliver runs the program's handlers, or moves the session here.
func (a *anchor) Deliver() {
	c := a.conn
	due := a.due
	a.due = 0
	if due&deliverSession != 0 {
		a.arrive()
		return
	}
	defer a.afterDeliver(due) // also if a handler panics
	c.deliver()
}

// afterDeliver ends a Deliver that had to do due.
func (a *anchor) afterDeliver(due delivery) {
	c := a.conn
	if c.begun < len(c.news) { // a handler has panicked: the next turn delivers the other events
		h := c.acquire()
		c.undelivered = true
		c.release(h)
	}
	if due&deliverEnd != 0 {
		a.link.Close("the session is over")
	}
	forget := due&deliverForget != 0
	finished := (forget || c.closeDelivered) && c.begun == len(c.news)
	c.delivering.Store(false)
	if forget {
		c.server.forget(c)
	}
	if finished {
		h := c.acquire()
		c.closeDone()
		c.releaseNews() // there may be no further turn
		c.release(h)
	}
	// The loop of h may have left news because delivering was set. With deliverMore, Deadline does not do: a loop whose
	// socket has failed does not look at it.
	if h := c.home.Load(); h != a || due&deliverMore != 0 {
		h.link.Acquire()
		h.link.Release(true, true)
	}
}
