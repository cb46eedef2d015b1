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
}

// A reply is the server's answer to the request of a session.
type reply struct {
	body  []byte
	links []offered
	url   *url.URL      // that of the answer, after redirects
	took  time.Duration // the request and its answer
}

// parseLinks reads the links of an answer. It ignores those that it does not know.
func (a *reply) parseLinks() {
	var body struct{ Links []offered }
	if len(a.body) > 0 && a.body[0] == '{' && json.Unmarshal(a.body, &body) == nil {
		a.links = body.Links
	}
}

// webSocket returns the offer of a WebSocket, or nil.
func (a *reply) webSocket() *offered {
	for i := range a.links {
		if l := &a.links[i]; l.Type == session.LinkWebSocket && l.Ticket != "" {
			return l
		}
	}
	return nil
}

// linkURL returns the URL of an offered link: its own, or that of the answer without the
// parameters of signaling.
func (a *reply) linkURL(l *offered) (string, error) {
	u, err := a.url.Parse(l.URL)
	if err != nil {
		return "", fmt.Errorf("client: the server's link has a bad URL: %w", err)
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
		return "", errors.New("client: the server's link is not encrypted, but its answer was")
	}
	return u.String(), nil
}

// secretHeaders are the headers that net/http does not send to another host after a redirect,
// and our own.
var secretHeaders = []string{"Authorization", "Cookie", "Cookie2", "Proxy-Authenticate", "Proxy-Authorization", "Www-Authenticate", separate}

// linkHeader returns the program's headers for a request to a link. Those with credentials go
// only to the host of the session's URL: the answer, or a redirect, chooses the host of the link.
func (s *Session) linkHeader(link string) http.Header {
	header := make(http.Header)
	maps.Copy(header, s.endpoint.signal.header)
	ours, err := url.Parse(s.url)
	theirs, bad := url.Parse(link)
	if err != nil || bad != nil || !strings.EqualFold(ours.Host, theirs.Host) || ours.Scheme == "https" && theirs.Scheme != "wss" {
		maps.DeleteFunc(header, func(name string, _ []string) bool {
			return slices.Contains(secretHeaders, http.CanonicalHeaderKey(name))
		})
	}
	return header
}

// race waits until c, which may be nil, or a WebSocket is open, or both have failed. The
// other one may open later. head is the head start of c.
func (s *Session) race(ctx context.Context, c *Conn, a *reply, of *sessioncore.Session, local netip.Addr, head time.Duration, turns bool) error {
	ws := a.webSocket()
	switch {
	case !s.wants(session.LinkWebSocket) || ws == nil:
		if c == nil {
			return errors.New("client: the server offers none of SessionConfig.Links")
		}
		_, err := c.wait(ctx, turns)
		return err
	}
	e := s.endpoint
	e.loop.Lock()
	up := make(chan struct{})
	s.up, s.upErr = up, nil
	e.loop.Unlock()
	trying, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.tryWebSocket(trying, c, a, ws, of, local, head)
	err := e.await(ctx, up, turns)
	e.loop.Lock()
	defer e.loop.Unlock()
	if s.up == up {
		s.up = nil
	}
	if err != nil && c != nil {
		c.close(time.Now())
	}
	if err == nil {
		err = s.upErr
	}
	return err
}

// tryWebSocket opens a WebSocket if c is not open after its head start, and ends the race if
// both have failed.
func (s *Session) tryWebSocket(ctx context.Context, c *Conn, a *reply, ws *offered, of *sessioncore.Session, local netip.Addr, head time.Duration) {
	if c != nil && !s.endpoint.outlast(ctx, c, a.took, head) {
		return
	}
	err := s.openWebSocket(ctx, a, ws, of, local)
	if err == nil {
		s.noteFall(c)
		return
	}
	if c != nil {
		select {
		case <-c.opened:
		case <-ctx.Done():
			return
		}
	}
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if c != nil {
		if c.failed == nil {
			return // it has opened, and linkUp has ended the race
		}
		err = fmt.Errorf("%w; and no WebSocket opens: %w", c.failed, err)
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
			return e.failed(c) != nil
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
	header := s.linkHeader(to)
	ctx = context.WithValue(ctx, sourceKey{}, local)
	conn, err := websock.Dial(ctx, to, l.Ticket, e.signal.discreet(), header, e.buffers)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	w := &carried{session: s, of: of, kind: session.LinkWebSocket, reliable: true, carrier: conn, fewer: make(chan struct{}, 1)}
	e.loop.Lock()
	defer e.loop.Unlock()
	if e.loop.Closed() || ctx.Err() != nil {
		conn.Abort()
		return session.ErrClosed
	}
	conn.Start(&e.running, websock.Handler{Receive: w.receive, Room: w.room, Ended: w.ended})
	s.linkUp(w)
	e.loop.Wake()
	return nil
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
		e.fell = fallen{s.url, time.Now()}
	}
}

// forgetFall forgets noteFall: WebRTC has opened, so the network has UDP. It may have needed more
// than the head start. The endpoint's lock is held.
func (s *Session) forgetFall() {
	if e := s.endpoint; e.fell.url == s.url {
		e.fell = fallen{}
	}
}

// headStart returns how long a WebSocket waits for WebRTC, from the beginning of the request on.
// A session that has lost its link does not wait.
func (s *Session) headStart(a *reply, resume bool) time.Duration {
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if resume || e.fell.url == s.url && time.Since(e.fell.at) < fallenFor {
		return 0
	}
	return max(headStart, raceTrips*a.took)
}

// dialBetter makes a WebRTC link for a session that is open on a WebSocket, and waits until
// it has opened or failed. The session moves when it opens.
func (s *Session) dialBetter(ctx context.Context) error {
	e := s.endpoint
	e.loop.Lock()
	of := s.session
	e.loop.Unlock()
	c, _, err := s.request(ctx, of, true, true)
	if err != nil || c == nil { // c is nil if the server does not answer the offer
		return err
	}
	_, err = c.wait(ctx, false)
	return err
}
