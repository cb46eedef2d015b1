package godwit

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// A Carrier takes the server's datagrams of one link that is not WebRTC. A WebSocket has one
// inside this package; a program writes its own to bring sessions over something else, such
// as the relays of a platform, a serial line or a network made for a test. See
// [Server.AddLink].
//
// The server calls Send and Close one at a time, with a lock held: they must not wait, and
// must not call methods of the Server, its Conns or the Link.
type Carrier interface {
	// Send sends one datagram, and does not wait. b is valid until Send returns. If there
	// is no room, Send returns false. Then the datagram is lost, or, if LinkConfig.Reliable
	// is true, the server keeps it until the program calls Link.Room, and closes the link if
	// there is no room for 10 s.
	Send(b []byte) bool
	// Close is called once, when the server does not use the link any more. What Send has
	// taken must still leave: the last datagram tells the client why the session has ended.
	Close(text string)
}

// A LinkConfig describes a link that the program brings.
type LinkConfig struct {
	// Name says in one word what the link is, for Conn.Link. It is not empty. For AddLink it
	// is none of the names of package session, such as session.LinkWebRTC.
	Name string

	// Carrier takes the server's datagrams.
	Carrier Carrier

	// Reliable says that the link delivers every datagram, once and in order, as a
	// connection of TCP does. Then the session sends nothing twice, and keeps little on its
	// way, so that new messages do not queue behind old ones.
	Reliable bool

	// MaxDatagram is the size in bytes of the largest datagram that the link carries, at
	// least 1100. Zero means 1150, and the session uses no more.
	MaxDatagram int

	// Remote is the address of the client, for Conn.RemoteAddr and RTC.MaxPerIP. The zero
	// value means that there is none, and no limit per address.
	Remote netip.AddrPort

	// Kind is the kind of program that the client is.
	Kind Kind
}

// A Link is a link that the program has brought. The program gives it what arrives from the
// client. Its methods may be called from any goroutine, but not from methods of the Carrier.
type Link struct {
	links *links
	end   *linkEnd
}

// AddLink begins a session with a client that has connected over a link of the program's
// own, and that the program has admitted as id: AddLink does not call Config.Authorize and
// checks no token, no version and no table. The client must have the same table of channels.
// The session opens when the client's first datagram has arrived, and ends if none arrives
// within Config.OpenTimeout. It is interrupted when the link ends, as every session is, but a
// client resumes it only over WebRTC or a WebSocket.
//
// The error is session.ErrClosed if the server is closed, shuts down or drains, a
// *rtcserver.StatusError if it has MaxConns sessions or MaxPerIP of the address, or says
// which field of lc is wrong. After an error the server does not use the Carrier.
func (s *Server) AddLink(id Identity, lc LinkConfig) (*Link, error) {
	switch lc.Name {
	case session.LinkWebRTC, session.LinkWebTransport, session.LinkWebSocket, session.LinkInProcess:
		return nil, fmt.Errorf("godwit: LinkConfig.Name is %q, which is the name of another kind of link", lc.Name)
	}
	if err := lc.validate(); err != nil {
		return nil, err
	}
	site := netip.Addr{}
	if lc.Remote.IsValid() {
		site = siteOf(lc.Remote.Addr())
	}
	c, err := s.newConn(id, lc.Kind, s.config.MaxConns, site)
	if err != nil {
		s.refused.Add(1)
		return nil, err
	}
	l := &Link{links: s.links}
	l.end = s.links.newEnd(c)
	if !s.links.open(l.end, lc, nil) {
		s.forget(c)
		return nil, session.ErrClosed
	}
	return l, nil
}

// validate returns an error that says which field is wrong.
func (lc *LinkConfig) validate() error {
	switch {
	case lc.Name == "":
		return errors.New("godwit: LinkConfig.Name is empty")
	case lc.Carrier == nil:
		return errors.New("godwit: LinkConfig.Carrier is nil")
	case lc.MaxDatagram != 0 && lc.MaxDatagram < channel.MinLimit:
		return fmt.Errorf("godwit: LinkConfig.MaxDatagram is %d, but must be at least %d", lc.MaxDatagram, channel.MinLimit)
	}
	return nil
}

// siteOf returns the address that limits count a for: an IPv4 address, or the first address
// of the IPv6 /64.
func siteOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, _ := a.Prefix(64) // invalid if a is
	return p.Addr()
}

// Receive gives the server a copy of a datagram that has arrived. The server delivers it
// in its own time, and keeps at most 64 for each link. If there are more, Receive waits
// if the link is reliable, and otherwise drops the datagram and counts it in [LinkStats].
// Receive returns false if the datagram was dropped, or the link is closed. Call it from
// one goroutine at a time, and from no handler; with Config.Manual not on the goroutine
// that calls Poll if the link is reliable.
func (l *Link) Receive(b []byte) bool {
	defer l.links.loop.Unlock()
	if !l.accept(b) {
		return false
	}
	l.links.loop.Wake()
	return true
}

// receive is Receive for a goroutine of the server that holds no lock: it delivers the
// datagram itself unless a turn runs, or the session is not open here. A turn in which a session
// opens needs twice the stack, which an idle goroutine would keep.
func (l *Link) receive(b []byte) bool {
	accepted := l.accept(b)
	if a := l.end.anchor; accepted && a.isHome() && a.conn.session.State() == sessioncore.Open {
		l.links.loop.Enter()
		return true
	}
	if accepted {
		l.links.loop.Wake()
	}
	l.links.loop.Unlock()
	return accepted
}

// accept locks the loop and puts a datagram into the inbox.
func (l *Link) accept(b []byte) bool {
	e := l.end
	l.links.loop.Lock()
	for !e.closed && e.waiting >= maxWaiting {
		if !e.anchor.reliable {
			l.links.counts.DroppedIn++
			return false
		}
		e.blocked = true
		l.links.loop.Unlock()
		<-e.room
		l.links.loop.Lock()
	}
	if e.closed {
		return false
	}
	e.waiting++
	d := l.links.inbox.Add()
	d.to, d.b = e, append(d.b[:0], b[:min(len(b), maxDatagramIn)]...)
	return true
}

// maxDatagramIn is the size in bytes of the largest datagram that is kept whole. The engine
// drops one that was cut, as malformed.
const maxDatagramIn = 2048

// Room says that the Carrier has room again, after its Send has returned false.
func (l *Link) Room() {
	l.links.loop.Lock()
	if l.end.full = false; l.end.index > 0 {
		l.links.loop.Touch(l.end)
		l.links.loop.Wake()
	}
	l.links.loop.Unlock()
}

// Close says that the link has ended. The session is interrupted, unless it has moved to
// another link. A second Close does nothing.
func (l *Link) Close() { l.end.Close("the link has ended") }

// Conn returns the session that began on the link.
func (l *Link) Conn() *Conn { return l.end.anchor.conn }

// newEnd returns the server's end of a link for a session, which is in no table yet, and of
// which only open knows more.
func (l *links) newEnd(c *Conn) *linkEnd {
	e := &linkEnd{links: l, room: make(chan struct{}, 1)}
	e.anchor = &anchor{conn: c, link: e}
	return e
}

// open gives an end its carrier, and opens the link. It returns false if the server has begun
// to shut down, or the end is closed. start, if not nil, starts what gives the end its
// datagrams; stop waits for it.
func (l *links) open(e *linkEnd, lc LinkConfig, start func()) bool {
	l.loop.Lock()
	defer l.loop.Unlock()
	if l.refused || e.closed {
		return false
	}
	l.settled(e)
	e.anchor.name, e.anchor.reliable = lc.Name, lc.Reliable
	e.carrier, e.remote, e.limit = lc.Carrier, lc.Remote, channel.MaxPacket
	if lc.MaxDatagram != 0 {
		e.limit = min(e.limit, lc.MaxDatagram)
	}
	l.counts.Open++
	l.counts.Opened++
	if e.index == 0 {
		l.add(e)
	}
	now := time.Now()
	e.expires = now.Add(unusedTimeout)
	e.anchor.open(now)
	l.loop.Touch(e)
	l.loop.Wake()
	if start != nil {
		start()
	}
	return true
}

// pend adds an end that waits for a client with a ticket, at most until a time. The session
// ends with it if it is not open before. pend returns a refusal if there are most such ends
// already.
func (l *links) pend(e *linkEnd, until time.Time, most int) error {
	l.loop.Lock()
	defer l.loop.Unlock()
	switch {
	case l.refused:
		return errShutdown()
	case l.pending >= most:
		return errFull()
	}
	l.pending++
	e.pending, e.expires = true, until
	l.add(e)
	l.loop.Wake()
	return nil
}

// Link returns the name of the link that the session uses now, or used last:
// session.LinkWebRTC, session.LinkWebTransport, session.LinkWebSocket,
// session.LinkInProcess, or the
// LinkConfig.Name of a link of the program. It is empty until a link has opened.
func (c *Conn) Link() string {
	if a := c.home.Load(); a != nil {
		return a.name
	}
	return ""
}

// LinkStats are the counters of the links that are not WebRTC, without those in this process.
type LinkStats struct {
	Open   int    // links that are open now
	Opened uint64 // links that have opened

	Tickets uint64 // tickets that were given to clients
	Refused uint64 // links with tickets that were refused: no ticket, unknown, used, too old, or of another origin
	Broken  uint64 // WebSockets that the server has closed because of a text message, a message that was too large, too many pings, or another breach of the protocol

	DroppedIn  uint64 // datagrams of links that are not reliable, dropped because 64 of the link waited
	DroppedOut uint64 // datagrams that the Carrier of a link that is not reliable had no room for
}

// linkStats returns the counters as they are now.
func (l *links) linkStats() LinkStats {
	l.loop.Lock()
	defer l.loop.Unlock()
	return l.counts
}
