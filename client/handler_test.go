package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Every call that waits returns ErrInHandler in every kind of handler, of both levels of a
// server and of a client, and of a client in the server's process: otherwise it would wait for
// its own goroutine. Another goroutine may wait.
func TestCallsThatWaitAreErrorsInHandlers(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		socket := testkit.Listen(t, network, gameAddr)
		var (
			srv      *godwit.Server
			conn     *godwit.Conn
			endpoint *client.Endpoint
			native   *client.Session
			seen     = make(chan string, 100)
		)
		var err error
		ready := make(chan struct{})
		check := func(where string) {
			select {
			case <-ready:
			default:
				return // the handler of a beginning
			}
			ctx := t.Context()
			for name, call := range map[string]func() error{
				"godwit.Server.Shutdown":    func() error { return srv.Shutdown(ctx, "") },
				"godwit.Server.Close":       srv.Close,
				"godwit.Conn.Request":       func() error { _, err := conn.Request(ctx, "x", nil); return err },
				"rtcserver.Server.Shutdown": func() error { return srv.RTC().Shutdown(ctx) },
				"rtcserver.Server.Close":    srv.RTC().Close,
				"client.Endpoint.Close":     endpoint.Close,
				"client.Endpoint.Dial":      func() error { _, err := endpoint.Dial(ctx, "http://game.example/godwit/", nil); return err },
				"client.Endpoint.Connect": func() error {
					_, err := endpoint.Connect(ctx, func(context.Context, []byte) ([]byte, error) { return nil, nil }, nil)
					return err
				},
				"client.Endpoint.Join": func() error {
					_, err := endpoint.Join(ctx, "http://game.example/godwit/", client.SessionConfig{Channels: table})
					return err
				},
				"client.Dial": func() error {
					_, err := client.Dial(ctx, "http://game.example/godwit/", client.Config{})
					return err
				},
				"client.Connect": func() error {
					_, err := client.Connect(ctx, "http://game.example/godwit/", client.Config{}, client.SessionConfig{Channels: table})
					return err
				},
				"client.Session.Request": func() error { _, err := native.Request(ctx, "x", nil); return err },
			} {
				if err := call(); !errors.Is(err, session.ErrInHandler) || !errors.Is(err, rtcserver.ErrInHandler) {
					t.Errorf("%s in %s: %v, want ErrInHandler", name, where, err)
				}
			}
			seen <- where
		}
		srv, err = godwit.Serve(socket, godwit.Config{
			Channels: table,
			Handler: godwit.Handler{
				Message: func(*godwit.Conn, godwit.ChannelID, []byte) { check("godwit.Handler.Message") },
				Request: func(c *godwit.Conn, r *godwit.Request) { check("godwit.Handler.Request"); r.Ack() },
				Close:   func(*godwit.Conn, godwit.CloseReason) { check("godwit.Handler.Close") },
			},
			RTCHandler: rtcserver.Handler{
				Message: func(c *rtcserver.Conn, m rtcserver.Message) {
					check("rtcserver.Handler.Message")
					c.Send(m.Stream, m.Kind, m.Data)
				},
				Close: func(*rtcserver.Conn, *rtcserver.CloseError) { check("rtcserver.Handler.Close") },
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		web := &http.Client{Transport: testkit.Transport{Handler: srv}}
		open := func(host string, h client.Handler) *client.Endpoint {
			pc := testkit.Listen(t, network, netip.MustParseAddrPort(host+":0"))
			e, err := client.Serve(pc, client.Config{HTTP: web, Handler: h})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		endpoint = open("198.51.100.7", client.Handler{})
		defer endpoint.Close()
		native, err = endpoint.Join(t.Context(), "http://game.example/godwit/", client.SessionConfig{Channels: table, Handler: client.SessionHandler{
			Message: func(*client.Session, godwit.ChannelID, []byte) { check("client.SessionHandler.Message") },
			Close:   func(*client.Session, session.CloseReason) { check("client.SessionHandler.Close") },
		}})
		if err != nil {
			t.Fatal(err)
		}
		plain := open("198.51.100.8", client.Handler{
			Message: func(*client.Conn, client.Message) { check("client.Handler.Message") },
			Close:   func(*client.Conn, *client.CloseError) { check("client.Handler.Close") },
		})
		defer plain.Close()
		raw, err := plain.Dial(t.Context(), "http://game.example/godwit/", nil)
		if err != nil {
			t.Fatal(err)
		}
		local, err := srv.Local(godwit.LocalConfig{Handler: godwit.Handler{
			Message: func(*godwit.Conn, godwit.ChannelID, []byte) { check("LocalConfig.Handler.Message") },
		}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for c := range srv.Conns() {
			conn = c
			if c.Kind() == godwit.KindInProcess {
				break
			}
		}
		close(ready)

		for _, step := range []struct {
			name string
			do   func()
			in   []string
		}{
			{"a message of a session", func() { native.Send(chat, []byte("x")) }, []string{"godwit.Handler.Message"}},
			{"a request", func() {
				native.Ask("x", nil, func(session.Result) { check("a func of client.Session.Ask") })
			}, []string{"godwit.Handler.Request", "a func of client.Session.Ask"}},
			{"a raw message", func() { raw.Send(0, client.Binary, []byte("x")) }, []string{"rtcserver.Handler.Message", "client.Handler.Message"}},
			{"messages to all", func() { srv.Broadcast(chat, []byte("x")) }, []string{"client.SessionHandler.Message", "LocalConfig.Handler.Message"}},
			{"the end of one in process", func() { local.Close(session.CloseNormal, "") }, []string{"godwit.Handler.Close"}},
			{"the end of a raw one", raw.Close, []string{"client.Handler.Close", "rtcserver.Handler.Close"}},
			{"the end of a session", func() { native.Close(0, "") }, []string{"client.SessionHandler.Close", "godwit.Handler.Close"}},
		} {
			step.do()
			missing := make(map[string]bool)
			for _, where := range step.in {
				missing[where] = true
			}
			for len(missing) > 0 {
				select {
				case where := <-seen:
					delete(missing, where)
				case <-time.After(time.Minute):
					t.Fatalf("%s: no handler of %v has run in a minute", step.name, missing)
				}
			}
		}
	})
}
