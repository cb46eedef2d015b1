package godwit

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// A LinkOffer is a WebTransport that a package outside of this module serves, such as package
// webtransport. See [Server.OfferLink].
type LinkOffer struct {
	// Describe returns where the client that makes a request finds the WebTransport: its
	// URL, and the SHA-256 hashes in base64 of the certificates that it may have, none if
	// a CA vouches for them. Without a URL the client is not offered the link. The
	// goroutine of the HTTP request calls it.
	Describe func(r *http.Request) (url string, hashes []string)

	// Shutdown is called once when the server shuts down, after the sessions have ended and
	// before the port is closed. It waits until the datagrams that Carriers have taken
	// have left, or ctx is done.
	Shutdown func(ctx context.Context)
}

// OfferLink offers a WebTransport to clients from now on, if Config.Links has
// session.LinkWebTransport. Each client gets a ticket, with which it opens the link: see
// [Server.TakeTicket]. The error says that a field of o is missing, that Config.Links has no
// WebTransport, or that there is an offer already; it is session.ErrClosed if the server is
// closed or shuts down.
func (s *Server) OfferLink(o LinkOffer) error {
	switch {
	case o.Describe == nil || o.Shutdown == nil:
		return errors.New("godwit: a LinkOffer needs Describe and Shutdown")
	case !s.config.offers(session.LinkWebTransport):
		return errors.New("godwit: Config.Links has no session.LinkWebTransport")
	case s.stopping.Load() != nil:
		return session.ErrClosed
	}
	return s.enterOffer(&o)
}

// enterOffer makes o the offer, unless there is one or Shutdown has begun since the check before. If it returns nil
// Shutdown finds o.
func (s *Server) enterOffer(o *LinkOffer) error {
	if !s.offer.CompareAndSwap(nil, o) {
		return errors.New("godwit: a WebTransport is offered already")
	}
	if s.stopping.Load() != nil && s.offer.CompareAndSwap(o, nil) {
		return session.ErrClosed
	}
	return nil
}

// A Ticket stands for a client that the server has admitted, and that opens another link for
// its session.
type Ticket struct {
	server *Server
	ticket ticket
}

// TakeTicket uses up the ticket with which a client opens the link of an offer. origin is the
// header Origin of the client's request: a ticket is good once, for 30 s or
// RTC.PendingTimeout, and for pages of the origin that the server has admitted. Take it
// before anything is made for the client. The error is a *rtcserver.StatusError.
func (s *Server) TakeTicket(text, origin string) (*Ticket, error) {
	t, ok := s.takeTicket(text, origin, ticketForOffer)
	if !ok {
		return nil, s.refuseTicket()
	}
	return &Ticket{s, t}, nil
}

// Open opens the link of a ticket, once. lc is as for [Server.AddLink]; Kind is not used. If
// the client has another link that opens first, the session is there until the client sends a
// datagram on this one. The error is that of AddLink, or session.ErrClosed.
func (t *Ticket) Open(lc LinkConfig) (*Link, error) {
	if err := lc.validate(); err != nil {
		return nil, err
	}
	l := t.server.links.claim(t.ticket, ticketForOffer)
	if !t.server.links.open(l.end, lc, nil) {
		return nil, session.ErrClosed
	}
	return l, nil
}

// shutdownOffer lets what the carriers of the offered link have taken leave.
func (s *Server) shutdownOffer(ctx context.Context) {
	if o := s.offer.Swap(nil); o != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
		defer cancel()
		o.Shutdown(ctx)
	}
}

// farewellTime limits LinkOffer.Shutdown.
const farewellTime = 300 * time.Millisecond
