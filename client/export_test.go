package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/godwit-rtc/godwit/internal/websock"
)

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
	ws, err := websock.Dial(r.Context(), to, a.webSocket().Ticket, &http.Client{Transport: u.RoundTripper}, nil, u.e.buffers)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Millisecond) // the server opens the link
	ws.Abort()
	return resp, nil
}
