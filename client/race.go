package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/websock"
	"github.com/godwit-rtc/godwit/session"
)

// Times of the race between the links.
const (
	headStart    = 500 * time.Millisecond // of WebRTC from the HTTP request on, or raceTrips times the time of that request if that is more
	raceTrips    = 3
	fallenFor    = time.Hour // how long an endpoint remembers that WebRTC did not open
	firstBetter  = 30 * time.Second
	longerBetter = 600 * time.Second
	betterOpens  = 20 * time.Second // how long a better link may take to open
	shortLife    = 30 * time.Second // a WebRTC link that lasts no longer after a move to it is left out of the next race
)

// A fallen notes the server for which a WebSocket has opened before WebRTC, so that the next
// race to the same server begins without a head start. It is forgotten when WebRTC opens.
type fallen struct {
	url string
	at  time.Time
}

// An offered is a link that the server's answer offers.
type offered struct {
	Type, URL, Ticket string
	Hashes            []string
}

// A reply is the server's answer to the request of a session.
type reply struct {
	body  []byte
	links []offered
	asked *url.URL      // that of the request
	url   *url.URL      // that of the answer, after redirects
	took  time.Duration // the request and its answer
}

// parseLinks reads the links of an answer. It ignores those that it does not know.
func (a *reply) parseLinks() {
	var body struct{ Links []offered }
	if json.Unmarshal(a.body, &body) == nil { // SDP is no JSON
		a.links = body.Links
	}
}

// offer returns the offer of a link of a type, or nil.
func (a *reply) offer(name string) *offered {
	for i := range a.links {
		if l := &a.links[i]; l.Type == name && l.Ticket != "" {
			return l
		}
	}
	return nil
}

// webSocket returns the offer of a WebSocket, or nil.
func (a *reply) webSocket() *offered { return a.offer(session.LinkWebSocket) }

// others returns the offers of links that the session wants beside WebRTC, in order of preference.
// With tcp they do not use UDP.
func (s *Session) others(a *reply, tcp bool) (all []*offered) {
	for _, name := range s.config.Links {
		if l := a.offer(name); l != nil && name != session.LinkWebRTC && (!tcp || name == session.LinkWebSocket) {
			all = append(all, l)
		}
	}
	return all
}

// linkURL returns the URL of an offered link: its own, or that of the answer without the
// parameters of signaling.
func (a *reply) linkURL(l *offered) (*url.URL, error) {
	u, err := a.url.Parse(l.URL)
	if err != nil {
		return nil, fmt.Errorf("client: the server's link has a bad URL: %w", err)
	}
	if u.Hostname() == "" { // "ws:/%2fa" has none, but becomes "ws://a" as text
		return nil, errors.New("client: the server's link has a URL without a host")
	}
	if l.URL == "" {
		q := u.Query()
		for _, name := range []string{"v", "app", "channels", "kind"} {
			q.Del(name)
		}
		u.RawQuery = q.Encode()
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	}
	if a.url.Scheme == "https" && u.Scheme != "wss" {
		return nil, errors.New("client: the server's link is not encrypted, but its answer was")
	}
	return u, nil
}

// secretHeaders are the headers that net/http does not send to another host after a redirect,
// and our own.
var secretHeaders = []string{"Authorization", "Cookie", "Cookie2", "Proxy-Authenticate", "Proxy-Authorization", "Www-Authenticate", separate}

// linkHeader returns the program's headers for a request to a link. Those with credentials go
// only to the host of the session's URL: the answer, or a redirect, chooses the host of the link.
func (s *Session) linkHeader(a *reply, link *url.URL) http.Header {
	header := make(http.Header)
	maps.Copy(header, s.endpoint.signal.header)
	if !strings.EqualFold(a.asked.Host, link.Host) || a.asked.Scheme == "https" && link.Scheme != "wss" {
		withoutSecrets(header)
	}
	return header
}

// withoutSecrets removes the headers that have credentials.
func withoutSecrets(header http.Header) {
	maps.DeleteFunc(header, func(name string, _ []string) bool {
		return slices.Contains(secretHeaders, http.CanonicalHeaderKey(name))
	})
}

// race waits until c, which may be nil, or one of the other links is open, or all have failed. c
// may open later. head is the head start of c.
func (s *Session) race(ctx context.Context, c *Conn, a *reply, others []*offered, of *sessioncore.Session, local netip.Addr, head time.Duration, turns bool) error {
	if len(others) == 0 {
		if c == nil {
			return errors.New("client: the server offers none of SessionConfig.Links")
		}
		_, err := c.wait(ctx, turns)
		return err
	}
	e := s.endpoint
	e.loop.Lock()
	if c != nil && c.state != connOpening && c.failed == nil { // c was faster than this goroutine, and linkUp is over
		e.loop.Unlock()
		return nil
	}
	up := make(chan struct{})
	s.up, s.upErr = up, nil
	e.loop.Unlock()
	trying, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.tryOthers(trying, c, a, others, of, local, head)
	err := e.await(ctx, up, turns)
	if err != nil {
		cancel() // before c ends, or tryOthers would take that for a failure of c
	}
	e.loop.Lock()
	defer e.loop.Unlock()
	if err == nil {
		return s.upErr
	}
	if c != nil {
		c.close(time.Now())
	}
	return err
}

// tryOthers opens other links if c is not open after its head start, and ends the race if all have
// failed. The first of them that opens ends the attempts at the others.
func (s *Session) tryOthers(ctx context.Context, c *Conn, a *reply, others []*offered, of *sessioncore.Session, local netip.Addr, head time.Duration) {
	if c != nil && !s.endpoint.outlast(ctx, c, a.took, head) {
		return
	}
	ended := make(chan error, len(others))
	for _, l := range others {
		go func() {
			if l.Type == session.LinkWebSocket {
				ended <- s.openWebSocket(ctx, a, l, of, local)
			} else {
				ended <- s.openWebTransport(ctx, a, l, of)
			}
		}()
	}
	var err error
	for range others {
		one := <-ended
		if one == nil {
			s.noteFall(c)
			return
		}
		if err == nil {
			err = one
		} else {
			err = fmt.Errorf("%w; %w", err, one)
		}
	}
	if c != nil {
		select {
		case <-c.opened:
		case <-ctx.Done():
		}
	}
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if ctx.Err() != nil {
		return // the race is over, and s.up may be that of the next one
	}
	if c != nil {
		if c.failed == nil {
			return // it has opened, and linkUp has ended the race
		}
		err = fmt.Errorf("%w; and no other link opens: %w", c.failed, err)
	}
	s.dialed(err)
	e.loop.Wake()
}

// outlast waits until c has failed or its head start is over: head after the beginning of the
// request, which was took ago. If datagrams of the server arrive by then, WebRTC only needs
// longer, so its head start is twice as long. outlast returns false if c has opened, or ctx is
// done.
func (e *Endpoint) outlast(ctx context.Context, c *Conn, took, head time.Duration) bool {
	timer := time.NewTimer(head - took)
	defer timer.Stop()
	for again := head; ; again = 0 {
		select {
		case <-c.opened:
			return ctx.Err() == nil && e.failed(c) != nil
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		if again == 0 || !e.answered(c) {
			return true
		}
		timer.Reset(again)
	}
}

// answered reports whether datagrams of the server have arrived on c.
func (e *Endpoint) answered(c *Conn) bool {
	e.loop.Lock()
	defer e.loop.Unlock()
	return c.peer.State() > peer.Waiting
}

// failed returns why c, which is not being opened any more, has not opened; nil if it has.
func (e *Endpoint) failed(c *Conn) *CloseError {
	e.loop.Lock()
	defer e.loop.Unlock()
	return c.failed
}

// openWebSocket opens a WebSocket and makes it a link of the session.
func (s *Session) openWebSocket(ctx context.Context, a *reply, l *offered, of *sessioncore.Session, local netip.Addr) error {
	to, err := a.linkURL(l)
	if err != nil {
		return err
	}
	e := s.endpoint
	header := s.linkHeader(a, to)
	ctx = context.WithValue(ctx, sourceKey{}, local)
	conn, err := websock.Dial(ctx, to.String(), l.Ticket, e.signal.discreet(), header, e.buffers)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	w := &carried{session: s, of: of, kind: session.LinkWebSocket, reliable: true, carrier: conn, fewer: make(chan struct{}, 1)}
	e.loop.Lock()
	defer e.loop.Unlock()
	if e.loop.Closed() {
		conn.Abort()
		return session.ErrClosed
	}
	conn.Start(&e.running, websock.Handler{Receive: w.receive, Room: w.room, Ended: w.ended})
	s.linkUp(w)
	e.loop.Wake()
	return nil
}

// openWebTransport opens a WebTransport with Config.WebTransport and makes it a link of the session.
func (s *Session) openWebTransport(ctx context.Context, a *reply, l *offered, of *sessioncore.Session) error {
	to, err := a.url.Parse(l.URL)
	if err != nil || to.Scheme != "https" {
		return fmt.Errorf("client: the server's WebTransport has a bad URL: %q", l.URL)
	}
	offer := LinkOffer{URL: to.String(), Ticket: l.Ticket, Hashes: l.Hashes}
	return s.dialOver(ctx, &LinkConfig{Name: session.LinkWebTransport, Dial: func(ctx context.Context, link *Link) (Carrier, error) {
		return s.endpoint.config.WebTransport(ctx, offer, link)
	}}, of)
}

// noteFall notes that a WebSocket has opened before c, if WebRTC was tried and c is not open yet.
func (s *Session) noteFall(c *Conn) {
	if c == nil {
		return
	}
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if c.state < connOpen || c.failed != nil {
		e.fell = fallen{s.at(), time.Now()}
	}
}

// forgetFall forgets noteFall: WebRTC has opened, so the network has UDP. It may have needed more
// than the head start. The endpoint's lock is held.
func (s *Session) forgetFall() {
	if e := s.endpoint; e.fell.url == s.at() {
		e.fell = fallen{}
	}
}

// noteLife looks at how long the link has lasted that has fallen silent, or has ended. If it
// uses UDP, and has carried the session for a moment only, the next race is without UDP. So where
// UDP opens, and is gone after seconds, it does not interrupt the session again and again. The
// endpoint's lock is held.
func (s *Session) noteLife(now time.Time) {
	if s.linkName == session.LinkWebSocket {
		return
	}
	s.noUDP = now.Sub(s.moved) <= shortLife && s.tcp
	if !s.noUDP {
		s.better = firstBetter
	}
}

// avoidsUDP reports whether a race is to be without UDP. It says so once.
func (s *Session) avoidsUDP() bool {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	avoids := s.noUDP
	s.noUDP = false
	return avoids
}

// untilBetter returns how long to wait before an attempt at a better link.
func (s *Session) untilBetter() time.Duration {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.better
}

// headStart returns how long a WebSocket waits for WebRTC, from the beginning of the request on.
// A session that has lost its link, or prefers the WebSocket, does not wait.
func (s *Session) headStart(a *reply, resume bool) time.Duration {
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if resume || s.rank(session.LinkWebSocket) < s.rank(session.LinkWebRTC) || e.fell.url == s.at() && time.Since(e.fell.at) < fallenFor {
		return 0
	}
	return max(headStart, raceTrips*a.took)
}

// dialBetter makes a WebRTC link for a session that is open on a WebSocket, and waits until
// it has opened or failed, or ctx is done. The session moves when it opens. It does not matter
// why it fails: the session has a link.
func (s *Session) dialBetter(ctx context.Context) {
	e := s.endpoint
	e.loop.Lock()
	of := s.session
	s.better = min(2*s.better, longerBetter) // before the next attempt
	e.loop.Unlock()
	if c, _, _ := s.request(ctx, of, true, true, s.wants(session.LinkWebRTC)); c != nil {
		c.wait(ctx, false)
	}
}
