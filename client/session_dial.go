package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/session"
)

// Connect begins a session with the godwit server whose signaling is at url or, if
// SessionConfig.Invite is set, with that of the invite; then url may be empty. It uses a
// new socket, which is closed with the session. Connect waits until the session is open
// or has failed. ctx limits this wait; after Connect has returned, ctx has no effect on
// the session. The error is a *channel.TableError if the table of SessionConfig is not
// valid or the server has another table, of which it names the first difference; a
// *SignalError if the server refuses for another reason; the error of the HTTP request; a
// *CloseError if the connection does not open; a *SessionError if the session does not
// open; session.ErrHello; the error of ctx or of SessionConfig.Token; or
// session.ErrInHandler in a handler.
func Connect(ctx context.Context, url string, c Config, sc SessionConfig) (*Session, error) {
	if handling.Now() {
		return nil, session.ErrInHandler
	}
	if err := c.alone(); err != nil {
		return nil, err
	}
	sockets, err := udpio.Listen(":0", udpio.Config{ReadBuffer: singleBuffer, WriteBuffer: singleBuffer})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	e := start(sockets[0], c, false)
	s, err := e.join(ctx, url, sc, true)
	if err != nil {
		e.Close()
		return nil, err
	}
	return s, nil
}

// Join is Connect with the endpoint's socket. It has the same errors, and
// ErrAddressInUse, ErrNoSource and session.ErrClosed.
func (e *Endpoint) Join(ctx context.Context, url string, sc SessionConfig) (*Session, error) {
	if handling.Now() || e.polling.Running() {
		return nil, session.ErrInHandler
	}
	return e.join(ctx, url, sc, false)
}

// join makes attempts until one succeeds. Without SessionConfig.Retry it makes one. If the
// server refuses the credentials, join gets new ones from SessionConfig.Token, once, and tries
// again at once.
func (e *Endpoint) join(ctx context.Context, url string, sc SessionConfig, own bool) (*Session, error) {
	denied := false
	try := func(ctx context.Context) (*Session, error) {
		s, err := e.joinOnce(ctx, url, sc, own)
		if isDenied(err) && !denied && sc.mayGetAnother() {
			denied = true
			s, err = e.joinOnce(ctx, url, sc, own)
		}
		return s, err
	}
	if !sc.Retry {
		return try(ctx)
	}
	for b := (backoff{next: firstBackoff}); ; {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		s, err := try(attempt)
		cancel()
		if sc.isFinal(err) || !mayPass(err) { // err may be nil
			return s, err
		}
		wait, cancel := context.WithTimeout(ctx, b.wait(err))
		e.await(wait, nil, e.config.Manual)
		cancel()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w; the last attempt: %w", ctx.Err(), err)
		}
	}
}

// mayPass reports whether an attempt has failed for a reason that may pass: the network, or
// the server, but not the arguments of the program.
func mayPass(err error) bool {
	_, signal := errors.AsType[*SignalError](err)
	_, conn := errors.AsType[*CloseError](err)
	_, open := errors.AsType[*SessionError](err)
	_, net := errors.AsType[*url.Error](err)
	return signal || conn || open || net || errors.Is(err, context.DeadlineExceeded)
}

func (e *Endpoint) joinOnce(ctx context.Context, url string, sc SessionConfig, own bool) (*Session, error) {
	return e.joinWith(ctx, url, sc, own, nil)
}

// joinWith makes one attempt. over, if not nil, is the link of the program's own.
func (e *Endpoint) joinWith(ctx context.Context, url string, sc SessionConfig, own bool, over *LinkConfig) (*Session, error) {
	if sc.Links == nil && e.config.WebTransport != nil {
		sc.Links = []string{session.LinkWebRTC, session.LinkWebTransport, session.LinkWebSocket}
	}
	if err := sc.setDefaults(); err != nil {
		return nil, err
	}
	if e.config.WebTransport == nil && slices.Contains(sc.Links, session.LinkWebTransport) {
		return nil, errors.New("client: SessionConfig.Links has session.LinkWebTransport, which needs Config.WebTransport")
	}
	s := &Session{User: sc.User, endpoint: e, own: own, config: sc, url: url, over: over, better: firstBetter, woken: make(chan struct{}, 1), finished: make(chan struct{})}
	var err error
	if s.session, err = sessioncore.New(time.Now(), sc.session()); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.opened = make(chan struct{})
	e.loop.Lock()
	closed := e.loop.Closed()
	if !closed {
		e.sessions[s] = struct{}{}
	}
	e.loop.Unlock()
	if closed {
		return nil, session.ErrClosed
	}
	if err = s.open(ctx, e.config.Manual); err != nil {
		return nil, err
	}
	return s, nil
}

// open dials for a session that has no link yet, and waits until it is open. turns says
// that it takes the turns of the loop meanwhile.
func (s *Session) open(ctx context.Context, turns bool) error {
	e := s.endpoint
	e.loop.Lock()
	ours, opened := s.session, s.opened
	e.loop.Unlock()
	err := s.dial(ctx, false, turns)
	if err == nil {
		err = e.await(ctx, opened, turns)
	}
	e.loop.Lock()
	defer e.loop.Unlock()
	if ours.WasOpen() {
		return nil // also if ctx was done at the same time
	}
	if err == nil {
		err = s.unopened(ours)
	}
	ours.Close(time.Now(), session.CloseNormal, "", true)
	if s.state == sessionReopening {
		s.setState(sessionRenewing)
	}
	e.loop.Touch(s)
	e.loop.Wake()
	return err
}

// unopened returns why the session ended before it was open. The endpoint's lock is
// held.
func (s *Session) unopened(ours *sessioncore.Session) error {
	if refusal := s.takeRefusal(); refusal != nil {
		return refusal
	}
	e := &SessionError{Why: ours.Reason()}
	if !e.Why.Remote && s.lost != nil {
		e.Err = s.lost
	}
	return e
}

// dial makes a link: first the HTTP request, then a connection over UDP and, if that does not
// open soon, a WebSocket. It waits until a link is open or all have failed.
func (s *Session) dial(ctx context.Context, resume, turns bool) error {
	e := s.endpoint
	e.loop.Lock()
	of := s.session
	s.refusal = nil // of an attempt that another link has made superfluous
	e.loop.Unlock()
	if s.over != nil {
		return s.dialOver(ctx, s.over, of)
	}
	if !resume {
		i, err := s.takeSeat(ctx)
		if err != nil {
			return err
		}
		if i != nil {
			return s.dialInvite(ctx, of, i, turns)
		}
	}
	tcp := resume && s.avoidsUDP()
	if resume && !tcp {
		if over, err := s.dialNext(ctx, of); over {
			return err
		}
	}
	if s.at() == "" {
		return errors.New("client: no URL for a request")
	}
	c, a, err := s.request(ctx, of, resume, false, s.wants(session.LinkWebRTC) && !tcp)
	if a == nil {
		return err
	}
	local := netip.Addr{}
	if c != nil {
		local = c.local
	}
	return s.race(ctx, c, a, s.others(a, tcp), of, local, s.headStart(a, resume), turns)
}

// request sends the HTTP request, and begins to open a WebRTC connection if the session wants
// one. Without an error and an answer the session needs no link any more. better says that
// the session has a link, which it keeps until the connection is open; offers, that WebRTC is to
// be one of the links.
func (s *Session) request(ctx context.Context, of *sessioncore.Session, resume, better, offers bool) (*Conn, *reply, error) {
	e := s.endpoint
	authorization, err := s.authorization(ctx, resume)
	if err != nil {
		return nil, nil, err
	}
	if !offers {
		a, err := s.post(ctx, netip.Addr{}, nil, authorization)
		if err == nil && resume && !s.removeLink() {
			a = nil
		}
		return nil, a, err
	}
	local, err := e.reserveSource()
	if err != nil {
		return nil, nil, err
	}
	c, a, err := s.offer(ctx, of, local, authorization, resume && !better)
	if c == nil {
		e.releaseSource(local)
	}
	return c, a, err
}

// offer sends an offer, and begins to open the connection of the answer. The connection is nil
// if the server's answer has only other links.
func (s *Session) offer(ctx context.Context, of *sessioncore.Session, local netip.Addr, authorization string, replaces bool) (*Conn, *reply, error) {
	e := s.endpoint
	o, err := e.newOffer()
	if err != nil {
		return nil, nil, err
	}
	a, err := s.post(ctx, local, o.Append(nil), authorization)
	if err != nil {
		return nil, nil, err
	}
	server, err := parseAnswer(a.body)
	if err != nil && len(a.links) == 0 {
		return nil, nil, err
	}
	if replaces && !s.removeLink() {
		return nil, nil, nil // packets arrive again over the old link: no new one is needed
	}
	if err != nil {
		return nil, a, nil
	}
	c := newConn(e, nil, local, server)
	c.session, c.of = s, of
	if err = e.open(time.Now(), c, e.peerConfig(o, server)); err != nil {
		return nil, nil, err
	}
	return c, a, nil
}

// removeLink removes the old link, because one socket cannot have two connections to the same
// address. It returns false if the session needs no new link any more.
func (s *Session) removeLink() bool {
	e := s.endpoint
	e.loop.Lock()
	defer e.loop.Unlock()
	if s.needs() != needLink {
		return false
	}
	if l := s.link; l != nil {
		s.link = nil
		s.session.Unlink(time.Now())
		l.leave(time.Now(), true)
	}
	return true
}

// authorization returns the Authorization header of a request: for a new session, or to
// resume this one.
func (s *Session) authorization(ctx context.Context, resume bool) (string, error) {
	if resume {
		s.endpoint.loop.Lock()
		defer s.endpoint.loop.Unlock()
		return "Godwit-Resume " + base64.RawURLEncoding.EncodeToString(s.token[:]), nil
	}
	if s.seat != nil {
		if s.seat.Token == "" {
			return "", nil
		}
		return "Bearer " + s.seat.Token, nil
	}
	if s.config.Token == nil {
		return "", nil
	}
	token, err := s.config.Token(ctx)
	if err != nil {
		return "", fmt.Errorf("client: no token: %w", err)
	}
	return "Bearer " + token, nil
}

// post sends an offer to the server and returns the answer. A nil offer asks only for links
// that need none.
func (s *Session) post(ctx context.Context, local netip.Addr, offer []byte, authorization string) (*reply, error) {
	u, err := url.Parse(s.at())
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	q := u.Query()
	maps.Copy(q, s.terms())
	u.RawQuery = q.Encode()
	signal := s.endpoint.signal
	signal.header = signal.header.Clone()
	if signal.header == nil {
		signal.header = make(http.Header)
	}
	if front, err := url.Parse(s.url); s.seat != nil && (err != nil || !strings.EqualFold(front.Host, u.Host) || front.Scheme != u.Scheme) {
		withoutSecrets(signal.header) // the server before has chosen this URL
	}
	gated := signal.header.Get("Authorization") != "" // the program's own, for a gate in front of the server
	if authorization != "" && gated {
		signal.header.Set(separate, authorization)
	} else if authorization != "" {
		signal.header.Set("Authorization", authorization)
	}
	signal.links = s.wants(session.LinkWebSocket) || s.wants(session.LinkWebTransport)
	began := time.Now()
	b, final, err := signal.exchange(ctx, u.String(), local, offer)
	if e, ok := errors.AsType[*SignalError](err); ok {
		return nil, s.named(e)
	}
	if err != nil {
		return nil, err
	}
	a := &reply{body: b, asked: u, url: final, took: time.Since(began)}
	a.parseLinks()
	s.endpoint.loop.Lock()
	s.tcp = s.wants(session.LinkWebSocket) && a.webSocket() != nil
	s.endpoint.loop.Unlock()
	return a, nil
}

// table returns what must be the same at both ends.
func (s *Session) table() channel.Table {
	return channel.Table{Channels: s.config.Channels, Schema: s.config.Schema}
}

// terms returns what the server compares with its own versions and table.
func (s *Session) terms() url.Values {
	q := url.Values{"v": {"1"}, "kind": {"native"}, "channels": {fmt.Sprintf("%016x", s.table().Hash())}}
	if s.config.Version != "" {
		q.Set("app", s.config.Version)
	}
	return q
}

// named returns a refusal of the server or, if the tables differ, an error that names the first
// difference.
func (s *Session) named(e *SignalError) error {
	if e.Code != "channels" {
		return e
	}
	if theirs, err := channel.ParseTable(e.Detail["channels"]); err == nil {
		if diff := s.table().Compare(theirs); diff != nil {
			return diff
		}
	}
	return e
}
