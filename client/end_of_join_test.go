package client_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A program that goes on to call Join of a closed endpoint gets ErrClosed, and the endpoint
// keeps nothing of the attempts.
func TestJoinOfAClosedEndpointKeepsNothing(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		e := g.endpoint()
		e.Close()
		const n = 500
		before := testkit.HeapNow()
		for range n {
			if _, err := g.join(e, client.SessionConfig{}); !errors.Is(err, session.ErrClosed) {
				t.Fatalf("Join of a closed endpoint returns %v, want ErrClosed", err)
			}
		}
		if each := (testkit.HeapNow() - before) / n; each > 500 {
			t.Errorf("each attempt keeps %d bytes, want at most 500", each)
		}
		e.Close()
	})
}

// Whatever an attempt does when the endpoint is closed, its error is ErrClosed. A Carrier that was made for it is closed.
func TestTheEndOfAnEndpointAmidAnAttempt(t *testing.T) {
	for what, attempt := range map[string]func(*game, *client.Endpoint) error{
		"Dial of a link of the program's own": func(g *game, e *client.Endpoint) error {
			wire := &narrow{ch: make(chan []byte, 1)}
			_, err := e.JoinOver(g.t.Context(), client.LinkConfig{Name: "wire", Dial: func(context.Context, *client.Link) (client.Carrier, error) {
				e.Close()
				return wire, nil
			}}, client.SessionConfig{Channels: table})
			if _, open := <-wire.ch; open {
				g.t.Error("a datagram has left over the link")
			}
			return err
		},
		"Token": func(g *game, e *client.Endpoint) error {
			_, err := g.join(e, client.SessionConfig{Token: func(context.Context) (string, error) { return "", e.Close() }})
			return err
		},
		"a signal": func(g *game, e *client.Endpoint) error {
			_, err := e.Connect(g.t.Context(), func(ctx context.Context, offer []byte) ([]byte, error) {
				answer, err := g.server.RTC().Answer(ctx, offer, netip.Addr{})
				e.Close()
				return answer, err
			}, nil)
			return err
		},
	} {
		inGame(t, godwit.Config{RTCHandler: rtcserver.Handler{Message: func(*rtcserver.Conn, rtcserver.Message) {}}}, func(g *game) {
			if err := attempt(g, g.endpoint()); err != session.ErrClosed {
				t.Errorf("%s closes the endpoint: the error is %v, want ErrClosed", what, err)
			}
		})
	}
}
