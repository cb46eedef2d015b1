//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	wt "github.com/quic-go/webtransport-go"

	"github.com/godwit-rtc/godwit/internal/load"
)

// lane is the only channel of these transports.
var lane = []load.Channel{{}}

// A dialect is what a library sends over a WebSocket.
type dialect interface {
	// greet connects, and returns when messages can be sent.
	greet(ctx context.Context) (*websocket.Conn, error)
	// send sends an input.
	send(ctx context.Context, c *websocket.Conn, b []byte) error
	// receive processes a message. It returns that of the program, or nil.
	receive(ctx context.Context, c *websocket.Conn, kind websocket.MessageType, b []byte) ([]byte, error)
}

// webSockets makes clients that speak a dialect, each with a goroutine.
type webSockets struct {
	dialect
	ctx  context.Context
	stop context.CancelFunc
}

func newWebSockets(ctx context.Context, d dialect) *webSockets {
	ctx, stop := context.WithCancel(ctx)
	return &webSockets{d, ctx, stop}
}

func (w *webSockets) Dial(ctx context.Context, c *load.Client) (load.Link, error) {
	conn, err := w.greet(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		defer conn.CloseNow()
		for {
			kind, b, err := conn.Read(w.ctx)
			if err == nil {
				b, err = w.receive(w.ctx, conn, kind, b)
			}
			if err != nil {
				if w.ctx.Err() == nil {
					c.Closed(err.Error())
				}
				return
			}
			if b != nil {
				c.Receive(0, b)
			}
		}
	}()
	return webSocketLink{w, conn}, nil
}

func (w *webSockets) Channels() []load.Channel { return lane }

// Drops is always zero: TCP loses nothing.
func (w *webSockets) Drops() uint64 { return 0 }

func (w *webSockets) Close() error { w.stop(); return nil }

type webSocketLink struct {
	w    *webSockets
	conn *websocket.Conn
}

func (l webSocketLink) Send(_ int, b []byte) error { return l.w.send(l.w.ctx, l.conn, b) }

// plain is a WebSocket without a protocol of its own.
type plain struct{ url string }

func (p plain) greet(ctx context.Context) (*websocket.Conn, error) {
	conn, _, err := websocket.Dial(ctx, p.url, nil)
	return conn, err
}

func (plain) send(ctx context.Context, c *websocket.Conn, b []byte) error {
	return c.Write(ctx, websocket.MessageBinary, b)
}

func (plain) receive(_ context.Context, _ *websocket.Conn, _ websocket.MessageType, b []byte) ([]byte, error) {
	return b, nil
}

// socketIO is socket.io over a WebSocket from the beginning.
// https://github.com/socketio/socket.io/blob/main/docs/socket.io-protocol/v5-current.md
type socketIO struct{ host string }

func (s socketIO) greet(ctx context.Context) (*websocket.Conn, error) {
	conn, _, err := websocket.Dial(ctx, "ws://"+s.host+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		return nil, err
	}
	for _, step := range []struct{ want, answer string }{{"0", "40"}, {"40", ""}} { // open, then connect
		_, b, err := conn.Read(ctx)
		if err == nil && !bytes.HasPrefix(b, []byte(step.want)) {
			err = fmt.Errorf("socket.io: the server has sent %q", b)
		}
		if err == nil && step.answer != "" {
			err = conn.Write(ctx, websocket.MessageText, []byte(step.answer))
		}
		if err != nil {
			conn.CloseNow()
			return nil, err
		}
	}
	return conn, nil
}

// send sends an event with an attachment, which follows in a message of its own.
func (socketIO) send(ctx context.Context, c *websocket.Conn, b []byte) error {
	err := c.Write(ctx, websocket.MessageText, []byte(`451-["input",{"_placeholder":true,"num":0}]`))
	return errors.Join(err, c.Write(ctx, websocket.MessageBinary, b))
}

func (socketIO) receive(ctx context.Context, c *websocket.Conn, kind websocket.MessageType, b []byte) ([]byte, error) {
	switch {
	case kind == websocket.MessageBinary:
		return b, nil
	case string(b) == "2": // ping
		return nil, c.Write(ctx, websocket.MessageText, []byte("3"))
	}
	return nil, nil
}

// colyseus is Colyseus 0.18: a request for a seat, and a WebSocket.
type colyseus struct{ host string }

// The messages of Colyseus, named as in @colyseus/shared-types.
const (
	colyseusJoinRoom  = 10
	colyseusDataBytes = 17
)

// colyseusInput begins a message of bytes of the type "input", as a string of MessagePack.
var colyseusInput = append([]byte{colyseusDataBytes, 0xa0 | 5}, "input"...)

func (s colyseus) greet(ctx context.Context) (*websocket.Conn, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.host+"/matchmake/joinOrCreate/game", strings.NewReader("{}"))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var seat struct{ RoomID, SessionID, ProcessID string }
	if err := json.Unmarshal(text, &seat); err != nil || seat.RoomID == "" {
		return nil, fmt.Errorf("colyseus: no seat: %s", text)
	}
	at := fmt.Sprintf("ws://%s/%s/%s?%s", s.host, seat.ProcessID, seat.RoomID, url.Values{"sessionId": {seat.SessionID}}.Encode())
	conn, _, err := websocket.Dial(ctx, at, nil)
	if err != nil {
		return nil, err
	}
	_, b, err := conn.Read(ctx)
	if err == nil && (len(b) == 0 || b[0] != colyseusJoinRoom) {
		err = fmt.Errorf("colyseus: the server has sent %q", b)
	}
	if err == nil {
		err = conn.Write(ctx, websocket.MessageBinary, []byte{colyseusJoinRoom})
	}
	if err != nil {
		conn.CloseNow()
		return nil, err
	}
	return conn, nil
}

func (colyseus) send(ctx context.Context, c *websocket.Conn, b []byte) error {
	return c.Write(ctx, websocket.MessageBinary, append(colyseusInput[:len(colyseusInput):len(colyseusInput)], b...))
}

// receive takes messages of bytes. Their type is a short string.
func (colyseus) receive(_ context.Context, _ *websocket.Conn, _ websocket.MessageType, b []byte) ([]byte, error) {
	if len(b) > 2 && b[0] == colyseusDataBytes {
		if n := int(b[1] & 0x1f); len(b) > 2+n {
			return b[2+n:], nil
		}
	}
	return nil, nil
}

// webTransports makes clients of WebTransport that send datagrams, each with a socket and a goroutine.
type webTransports struct {
	url  string
	ctx  context.Context
	stop context.CancelFunc

	mu  sync.Mutex
	all []*wt.Transport
}

func (w *webTransports) Dial(ctx context.Context, c *load.Client) (load.Link, error) {
	t := &wt.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the server has signed its certificate itself
		QUICConfig:      &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true},
	}
	_, s, err := t.Dial(ctx, w.url, nil)
	if err != nil {
		t.Close()
		return nil, err
	}
	w.mu.Lock()
	w.all = append(w.all, t)
	w.mu.Unlock()
	go func() {
		for {
			b, err := s.ReceiveDatagram(w.ctx)
			if err != nil {
				if w.ctx.Err() == nil {
					c.Closed(err.Error())
				}
				return
			}
			c.Receive(0, b)
		}
	}()
	return webTransportLink{s}, nil
}

func (w *webTransports) Channels() []load.Channel { return lane }

// Drops is always zero: the sockets are those of quic-go, which does not count.
func (w *webTransports) Drops() uint64 { return 0 }

func (w *webTransports) Close() error {
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.all {
		t.Close()
	}
	return nil
}

type webTransportLink struct{ s *wt.Session }

func (l webTransportLink) Send(_ int, b []byte) error { return l.s.SendDatagram(bytes.Clone(b)) }
