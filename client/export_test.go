package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/websock"
	"github.com/godwit-rtc/godwit/session"
)

// SocketOf returns the figures of the socket of a connection's endpoint.
func SocketOf(c *Conn) udpio.Stats { return c.endpoint.socket.Stats() }

// SocketOfSession returns the figures of the socket of a session's endpoint.
func SocketOfSession(s *Session) udpio.Stats { return s.endpoint.socket.Stats() }

// CutWebSocket breaks the WebSocket that a session is on.
func CutWebSocket(s *Session) {
	s.endpoint.loop.Lock()
	w := s.link.(*carried).carrier.(*websock.Conn)
	s.endpoint.loop.Unlock()
	w.Abort()
}

// JoinWithUnusedWebSocket is Join of a client that opens the WebSocket that it is offered before
// WebRTC, and closes it without having sent anything over it.
func JoinWithUnusedWebSocket(ctx context.Context, e *Endpoint, url string, sc SessionConfig) (*Session, error) {
	inner := e.signal.client.Transport
	hc := *e.signal.client
	hc.Transport = unusedWebSocket{inner, e}
	e.signal.client = &hc
	return e.Join(ctx, url, sc)
}

// unusedWebSocket opens and closes the WebSocket that an answer offers.
type unusedWebSocket struct {
	http.RoundTripper
	e *Endpoint
}

func (u unusedWebSocket) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := u.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodPost {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	a := &reply{body: body, url: r.URL}
	a.parseLinks()
	to, err := a.linkURL(a.webSocket())
	if err != nil {
		return nil, err
	}
	ws, err := websock.Dial(r.Context(), to.String(), a.webSocket().Ticket, &http.Client{Transport: u.RoundTripper}, nil, u.e.buffers)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Millisecond) // the server opens the link
	ws.Abort()
	return resp, nil
}

// MoveToWebSocket gives an open session a new WebSocket, whichever link it has.
func MoveToWebSocket(ctx context.Context, s *Session) error {
	e := s.endpoint
	authorization, err := s.authorization(ctx, true)
	if err != nil {
		return err
	}
	a, err := s.post(ctx, netip.Addr{}, nil, authorization)
	if err != nil {
		return err
	}
	to, err := a.linkURL(a.webSocket())
	if err != nil {
		return err
	}
	conn, err := websock.Dial(ctx, to.String(), a.webSocket().Ticket, e.signal.discreet(), nil, e.buffers)
	if err != nil {
		return err
	}
	e.loop.Lock()
	defer e.loop.Unlock()
	w := &carried{session: s, of: s.session, kind: session.LinkWebSocket, reliable: true, carrier: conn, fewer: make(chan struct{}, 1)}
	conn.Start(&e.running, websock.Handler{Receive: w.receive, Room: w.room, Ended: w.ended})
	if old := s.link; old != nil {
		s.link = nil // so that the new link is no worse one
		old.leave(time.Now(), true)
	}
	s.linkUp(w)
	e.loop.Wake()
	return nil
}

// MoveToWebRTC gives a session that is on a WebSocket WebRTC. Session.Link says whether it has worked.
func MoveToWebRTC(ctx context.Context, s *Session) { s.dialBetter(ctx) }
