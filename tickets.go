package godwit

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/websock"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A ticket lets a client that the server has admitted open one more link of each kind for its
// session, once. The client has 128 random bits, and the server has only a hash of them and of the
// header Origin of the request that the ticket answers. A session has at most one ticket: a newer
// one replaces it.
type ticket struct {
	mark  mark
	conn  *Conn
	end   *linkEnd // the end that waits for the client; nil if the session has another link
	until time.Time
	good  [tickets]bool // the links that it is still good for
}

// A ticketFor is a kind of link for which a ticket is good.
type ticketFor int

const (
	ticketForWebSocket ticketFor = iota
	ticketForOffer               // see Server.OfferLink
	tickets
)

const ticketLen = 16

// ticketMark returns the mark of a ticket for pages of an origin.
func ticketMark(random []byte, origin string) mark {
	return markOf(sha256.Sum256(append(random[:ticketLen:ticketLen], origin...)))
}

// addTicket enters a ticket in place of the session's older one. If the session is over it
// does nothing.
func (d *directory) addTicket(t ticket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[t.conn]
	if e == nil {
		return
	}
	delete(d.tickets, e.ticket.mark)
	e.ticket = t
	d.tickets[t.mark] = e
}

// takeTicket uses a ticket up for a kind of link, and returns it if it is still good for that.
// A page of another origin has another mark, so it does not use the ticket up. The first link
// gets the end that waits.
func (d *directory) takeTicket(m mark, kind ticketFor, now time.Time) (ticket, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.tickets[m]
	if e == nil || !e.ticket.good[kind] {
		return ticket{}, false
	}
	t := e.ticket
	e.ticket.end, e.ticket.good[kind] = nil, false
	if e.ticket.good == [tickets]bool{} {
		delete(d.tickets, m)
	}
	return t, now.Before(t.until)
}

// offers reports whether Config.Links has a link.
func (c *Config) offers(name string) bool { return slices.Contains(c.Links, name) }

// pendingTimeout returns how long a client may take to use what an answer offers.
func (c *Config) pendingTimeout() time.Duration {
	return cmp.Or(c.RTC.PendingTimeout, 30*time.Second)
}

// offerLinks returns the links besides WebRTC that a client may use. rtcserver calls it after
// engine or, if the request has no offer, in its place.
func (s *Server) offerLinks(r *http.Request, site netip.Addr, offered bool) ([]rtcserver.Link, error) {
	a := r.Context().Value(admissionKey{}).(*admission)
	if a.plain {
		return nil, refusal(http.StatusBadRequest, "request", "the request has no offer")
	}
	now := time.Now()
	t := ticket{conn: cmp.Or(a.resume, a.began), until: now.Add(s.config.pendingTimeout())}
	links := s.describeLinks(r, &t)
	if len(links) == 0 {
		if offered {
			return nil, nil
		}
		return nil, refusal(http.StatusBadRequest, "request", "the request has no offer, and this server has only WebRTC")
	}
	if !offered {
		if err := s.admitLink(a, &t, r, site); err != nil {
			s.refused.Add(1)
			return nil, err
		}
	}
	var random [ticketLen]byte
	rand.Read(random[:])
	t.mark = ticketMark(random[:], r.Header.Get("Origin"))
	s.directory.addTicket(t)
	s.links.count(func(n *LinkStats) { n.Tickets++ })
	for i := range links {
		links[i].Ticket = base64.RawURLEncoding.EncodeToString(random[:])
	}
	return links, nil
}

// describeLinks returns the links besides WebRTC that the client of a request may use, in the
// order of Config.Links, without tickets. It makes t good for them.
func (s *Server) describeLinks(r *http.Request, t *ticket) (links []rtcserver.Link) {
	for _, name := range s.config.Links {
		switch o := s.offer.Load(); {
		case name == session.LinkWebSocket:
			t.good[ticketForWebSocket] = true
			links = append(links, rtcserver.Link{Type: name})
		case name == session.LinkWebTransport && o != nil:
			if url, hashes := o.Describe(r); url != "" {
				t.good[ticketForOffer] = true
				links = append(links, rtcserver.Link{Type: name, URL: url, Hashes: hashes})
			}
		}
	}
	return links
}

// admitLink finds or makes the session of a request without an offer.
func (s *Server) admitLink(a *admission, t *ticket, r *http.Request, site netip.Addr) error {
	if a.resume != nil {
		if !a.resume.resumable() {
			return errEnded()
		}
		return nil
	}
	begun := false
	c, err := s.begin(r.Context(), a, site)
	if err != nil {
		return err
	}
	defer func() {
		if !begun {
			s.forget(c)
		}
	}()
	t.conn, t.end = c, s.links.newEnd(c)
	if err := s.links.pend(t.end, t.until, cmp.Or(s.config.RTC.MaxPending, 1024)); err != nil {
		return err
	}
	begun = true
	return nil
}

// upgrade opens a WebSocket for a client with a ticket. rtcserver calls it.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, page netip.Addr) error {
	text, ok := websock.Ticket(r)
	var t ticket
	if ok {
		t, ok = s.takeTicket(text, r.Header.Get("Origin"), ticketForWebSocket)
	}
	if !ok {
		return s.refuseTicket()
	}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	if remote.Addr().Unmap() != page {
		remote = netip.AddrPortFrom(page, 0) // behind a proxy
	}
	ws, err := websock.Accept(w, r, remote, s.links.buffers)
	if err != nil {
		return nil // it has answered; the client asks for another ticket
	}
	s.links.openWebSocket(t, ws)
	return nil
}

// takeTicket uses up a ticket.
func (s *Server) takeTicket(text, origin string, kind ticketFor) (ticket, bool) {
	random, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(random) != ticketLen {
		return ticket{}, false
	}
	return s.directory.takeTicket(ticketMark(random, origin), kind, time.Now())
}

// refuseTicket counts and returns the refusal of a ticket.
func (s *Server) refuseTicket() error {
	s.links.count(func(n *LinkStats) { n.Refused++ })
	return refusal(http.StatusForbidden, "ticket", "the ticket is missing, unknown, used or too old, or was given to a page of another origin")
}

// count changes the counters.
func (l *links) count(change func(*LinkStats)) {
	l.loop.Lock()
	change(&l.counts)
	l.loop.Unlock()
}

// claim returns the link of a ticket, which is not open yet. An attempt replaces the one of the
// same kind before, so a session has at most two such links of each kind.
func (l *links) claim(t ticket, kind ticketFor) *Link {
	link := &Link{links: l, end: t.end}
	if link.end == nil {
		link.end = l.newEnd(t.conn)
	}
	if before := t.conn.newestEnds[kind].Swap(link.end); before != nil && !t.conn.isOn(before) {
		before.Close("the client tries once more")
	}
	return link
}

// openWebSocket opens the link of a ticket over a WebSocket.
func (l *links) openWebSocket(t ticket, ws *websock.Conn) {
	link := l.claim(t, ticketForWebSocket)
	handler := websock.Handler{Receive: link.receive, Room: link.Room, Ended: func(err error) {
		if websock.Broken(err) {
			l.count(func(n *LinkStats) { n.Broken++ })
		}
		link.Close()
	}}
	lc := LinkConfig{Name: session.LinkWebSocket, Carrier: ws, Reliable: true, Remote: ws.RemoteAddr()}
	if !l.open(link.end, lc, func() { ws.Start(&l.running, handler) }) {
		ws.Abort()
	}
}
