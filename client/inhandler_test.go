package client_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Each call that waits for the server or for the endpoint's loop returns ErrInHandler in each
// func that the loop calls, of both levels, and in the body of a loop over Poll. The loop is
// a goroutine of the endpoint, or the program that polls it.
func TestCallsThatWaitReturnErrInHandler(t *testing.T) {
	for _, test := range []struct {
		name           string
		polled, yields bool
	}{{"looping", false, false}, {"polled", true, false}, {"polled, without handlers", true, true}} {
		t.Run(test.name, func(t *testing.T) { callsThatWait(t, test.polled, test.yields) })
	}
}

func callsThatWait(t *testing.T, polled, yields bool) {
	const url = "http://game.example/godwit/"
	var asked atomic.Pointer[client.Session] // a session that is open
	calls := map[string]func(ctx context.Context, e *client.Endpoint) error{
		"Connect": func(ctx context.Context, _ *client.Endpoint) error {
			_, err := client.Connect(ctx, url, client.Config{}, client.SessionConfig{Channels: table})
			return err
		},
		"Dial": func(ctx context.Context, _ *client.Endpoint) error {
			_, err := client.Dial(ctx, url, client.Config{})
			return err
		},
		"Endpoint.Close": func(_ context.Context, e *client.Endpoint) error { return e.Close() },
		"Endpoint.Connect": func(ctx context.Context, e *client.Endpoint) error {
			_, err := e.Connect(ctx, func(context.Context, []byte) ([]byte, error) { return nil, nil }, nil)
			return err
		},
		"Endpoint.Dial": func(ctx context.Context, e *client.Endpoint) error { _, err := e.Dial(ctx, url, nil); return err },
		"Endpoint.Join": func(ctx context.Context, e *client.Endpoint) error {
			_, err := e.Join(ctx, url, client.SessionConfig{Channels: table})
			return err
		},
		"Endpoint.JoinOver": func(ctx context.Context, e *client.Endpoint) error {
			_, err := e.JoinOver(ctx, client.LinkConfig{}, client.SessionConfig{Channels: table})
			return err
		},
		"Endpoint.Poll": func(_ context.Context, e *client.Endpoint) error {
			for ev := range e.Poll(time.Second) {
				return ev.Err
			}
			return nil
		},
		"Front.Gone": func(ctx context.Context, _ *client.Endpoint) error {
			_, err := new(client.Front).Gone(ctx, auth.Seat{})
			return err
		},
		"Front.Seat": func(ctx context.Context, _ *client.Endpoint) error { _, err := new(client.Front).Seat(ctx); return err },
		"Session.Request": func(ctx context.Context, _ *client.Endpoint) error {
			_, err := asked.Load().Request(ctx, "x", nil)
			return err
		},
	}
	if got, all := slices.Sorted(maps.Keys(calls)), testkit.CallsThatMayWait(t); !slices.Equal(got, all) {
		t.Errorf("the calls are %v, want %v", got, all)
	}
	if yields { // a Front knows of no endpoint, and so of no body of a loop over Poll
		delete(calls, "Front.Gone")
		delete(calls, "Front.Seat")
	}
	if !polled {
		delete(calls, "Endpoint.Poll") // yields ErrManual anywhere
	}
	var ran testkit.Notes
	check := func(e *client.Endpoint, where string) {
		if asked.Load() == nil {
			return // it opens
		}
		ran.Note("%s", where)
		for name, call := range calls {
			if err := call(t.Context(), e); err != session.ErrInHandler {
				t.Errorf("%s in %s: %v, want ErrInHandler", name, where, err)
			}
		}
	}
	c := godwit.Config{
		Silence: 5 * time.Second,
		Handler: godwit.Handler{
			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) {
				c.Send(ch, b)
				c.Ask("x", nil, nil)
				if more, err := c.OpenChannel(godwit.Channel{Name: "more"}); err == nil {
					time.AfterFunc(time.Second, func() { c.CloseChannel(more) })
				}
			},
			Request: func(_ *godwit.Conn, r *godwit.Request) { r.Ack() },
		},
		RTCHandler: rtcserver.Handler{
			Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) },
		},
	}
	inGame(t, c, func(g *game) {
		var endpoint, plain *client.Endpoint
		config := client.Config{HTTP: &http.Client{Transport: g}, Manual: polled}
		want := testkit.SetFuncs(&config.Handler, func(field string, _ []any) {
			check(plain, "Handler."+field) // a handler may poll another endpoint
		})
		for i := range want {
			want[i] = "Handler." + want[i]
		}
		all := client.SessionConfig{Renew: true}
		fields := testkit.SetFuncs(&all.Handler, func(field string, args []any) {
			check(endpoint, "SessionHandler."+field)
			if r, ok := args[len(args)-1].(*session.Request); ok {
				r.Ack()
			}
		})
		for _, field := range fields {
			want = append(want, "SessionHandler."+field)
		}
		if yields {
			all.Handler = client.SessionHandler{}
		}
		first := testkit.Must(g.connect(client.SessionConfig{})) // of another endpoint
		endpoint = testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), config))
		defer endpoint.Close()
		plain = testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), config))
		defer plain.Close()
		events := map[session.EventType]string{
			session.EventOpen: "Open", session.EventMessage: "Message", session.EventRequest: "Request", session.EventReceipt: "Receipt",
			session.EventChannel: "Channel", session.EventChannelClosed: "ChannelClosed", session.EventRoom: "Room",
			session.EventInterrupted: "Interrupted", session.EventResumed: "Resumed", session.EventRenewing: "Renewing", session.EventClose: "Close",
		}
		wait := func(d time.Duration) {
			for begin := time.Now(); time.Since(begin) < d; {
				if !polled {
					time.Sleep(d)
					continue
				}
				for range plain.Poll(0) {
				}
				for ev := range endpoint.Poll(10 * time.Millisecond) {
					if ev.Err != nil {
						return // after Close
					}
					check(endpoint, "SessionHandler."+events[ev.Type])
					if ev.Request != nil {
						ev.Request.Ack()
					}
				}
				endpoint.Flush()
			}
		}
		asked.Store(first)
		s, err := g.join(endpoint, all)
		g.must(err)
		_, err = s.SendWith(chat, []byte("x"), channel.Options{Receipt: true})
		g.must(err)
		_, err = s.Ask("x", nil, func(session.Result) { check(endpoint, "func of Session.Ask") })
		g.must(err)
		raw, err := plain.Dial(g.t.Context(), url, nil)
		g.must(err)
		g.must(raw.Send(0, client.Binary, []byte("x")))
		wait(3 * time.Second)
		raw.Close()
		for err = nil; err == nil; err = s.Send(chat, make([]byte, 10<<10)) {
		}
		if err != session.ErrBudget {
			t.Fatal(err)
		}
		wait(10 * time.Second)
		g.network.SetDefault(netsim.Link{Loss: 1})
		wait(8 * time.Second)
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		wait(10 * time.Second)
		go g.server.Shutdown(context.Background(), "")
		wait(time.Second)
		endpoint.Close() // the session that waits to be renewed ends
		wait(time.Second)
		testkit.WantCalled(t, &ran, append(want, "func of Session.Ask"))
	})
}

// A loop body that polls the WebRTC side of its server loses no event, and the loop continues.
func TestALoopBodyPollsTheWebRTCSide(t *testing.T) {
	inGame(t, godwit.Config{Manual: true}, func(g *game) {
		joined := make(chan *client.Session)
		go func() { joined <- testkit.Must(g.connect(client.SessionConfig{})) }()
		var remote *client.Session
		for remote == nil {
			for range g.server.Poll(time.Millisecond) {
			}
			g.server.Flush()
			select {
			case remote = <-joined:
			default:
			}
		}
		local := testkit.Must(g.server.Local(godwit.LocalConfig{}))
		for range g.server.Poll(0) {
		}
		g.must(local.Send(chat, []byte("first")))
		g.server.Flush()
		var got []string
		for range 3 {
			for ev := range g.server.Poll(0) {
				if ev.Type == session.EventMessage {
					got = append(got, string(ev.Data))
				}
				if string(ev.Data) != "first" {
					continue
				}
				g.must(remote.Send(chat, []byte("second")))
				time.Sleep(time.Second)
				g.must(g.server.RTC().Poll(0))
				got = append(got, "polled")
			}
		}
		if want := []string{"first", "polled", "second"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
