package godwit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A Poll that cannot work yields one event with the reason; so does a Poll of a closed server,
// with a port and without.
func TestPollSaysWhyItEnds(t *testing.T) {
	all := func(s *Server) (evs []Event) {
		for ev := range s.Poll(0) {
			evs = append(evs, ev)
		}
		return evs
	}
	wantEnd := func(why string, evs []Event, want error) {
		t.Helper()
		if len(evs) != 1 || evs[0].Type != session.EventEnded || evs[0].Err != want || evs[0].Conn != nil {
			t.Errorf("%s: %+v, want %v", why, evs, want)
		}
	}
	srv, _ := newTestServer(t)
	wantEnd("without Manual", all(srv), session.ErrManual)
	srv, _ = newTestServer(t, manual)
	_, err := srv.Local(LocalConfig{})
	must(t, err)
	inside := 0
	events(srv, func(Event) {
		inside++
		wantEnd("inside Poll", all(srv), session.ErrInHandler)
	})
	if inside == 0 {
		t.Error("Poll has yielded no event")
	}
	port := serve(t, Config{Manual: true})
	for _, s := range []*Server{srv, port} {
		must(t, s.Close())
		for s.polling.Saved() > 0 {
			all(s)
		}
		wantEnd("after Close", all(s), session.ErrClosed)
	}
}

// A Poll waits for events, but not if the last Poll has left events. A request that was left has
// its data, and can be answered.
func TestWhatIsLeftIsPolledAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, port := range []bool{false, true} {
			srv, _ := newTestServer(t, manual)
			if port {
				srv = serve(t, Config{Channels: table, Manual: true})
			}
			client, err := srv.Local(LocalConfig{})
			must(t, err)
			events(srv, nil)
			start := time.Now()
			for ev := range srv.Poll(time.Second) {
				if ev.Type != session.EventEnded {
					t.Errorf("the event is %v, want EventEnded", ev.Type)
				}
			}
			if d := time.Since(start); d > time.Second { // acknowledgements may end it earlier
				t.Errorf("Poll(1 s) took %v", d)
			}
			var answers []string
			for _, text := range []string{"one", "two", "three"} {
				_, err := client.Ask("echo", []byte(text), func(r Result) { answers = append(answers, string(r.Data)) })
				must(t, err)
			}
			srv.Flush()
			start = time.Now()
			for n := 0; n < 3; {
				for ev := range srv.Poll(time.Hour) {
					if ev.Type != session.EventRequest || ev.Conn == nil {
						t.Errorf("the event is %v of %v, want EventRequest of a session", ev.Type, ev.Conn)
						continue
					}
					n++
					must(t, ev.Request.Reply(ev.Request.Data))
					break
				}
			}
			if d := time.Since(start); d > time.Minute {
				t.Errorf("Poll with saved events took %v, want no wait", d)
			}
			events(srv, nil)
			if want := []string{"one", "two", "three"}; !slices.Equal(answers, want) {
				t.Errorf("the answers are %q, want %q", answers, want)
			}
		}
	})
}

// Shutdown returns an error for a session that cannot get all its messages, although its context
// is not done. It returns none for a session that has them.
func TestShutdownOfAnInterruptedSession(t *testing.T) {
	for _, text := range []string{"", "never read"} {
		bubble(t, func(t *testing.T) {
			srv, _ := newTestServer(t)
			client, server, _ := join(t, srv, "ada")
			time.Sleep(time.Second)
			cut(client)
			settle()
			if text != "" {
				must(t, server.Send(chat, []byte(text)))
			}
			err := srv.Shutdown(context.Background(), "")
			e, ok := errors.AsType[*ShutdownError](err)
			if text == "" {
				if err != nil {
					t.Errorf("Shutdown without messages that wait: %v, want nil", err)
				}
			} else if !ok || e.Err != nil || e.Sessions != 1 || e.Bytes != 10 || err.Error() != "godwit: shutdown: 10 bytes for 1 sessions were given up" {
				t.Errorf("Shutdown: %v, want a ShutdownError of 1 session and 10 bytes", err)
			}
		})
	}
}

// A server that is shut down has closed its port, has no session whose client has not come, and refuses requests.
func TestShutdownClosesThePort(t *testing.T) {
	network := netsim.New(1)
	defer network.Close()
	addr := netip.MustParseAddrPort("192.0.2.1:7777")
	for _, links := range [][]string{{session.LinkWebRTC}, {session.LinkWebRTC, session.LinkWebSocket}} {
		pc, err := network.Listen(addr)
		if err != nil {
			t.Fatalf("the port is still in use: %v", err)
		}
		s, err := Serve(pc, Config{Links: links, RTC: rtcserver.Settings{MaxOffers: -1}})
		must(t, err)
		wantPost(t, s, "v=1", "", 200, "", "")
		must(t, s.Shutdown(context.Background(), ""))
		wantPost(t, s, "v=1", "", http.StatusServiceUnavailable, "shutdown", "")
		if _, err := s.Local(LocalConfig{}); err != session.ErrClosed || s.directory.count() != 0 {
			t.Errorf("Local after Shutdown: %v, want ErrClosed; %d are in the directory, want 0", err, s.directory.count())
		}
		if c, err := s.begin(t.Context(), &admission{limit: 10}, netip.Addr{}); c != nil || status(err) != http.StatusServiceUnavailable {
			t.Errorf("a request that was checked before Shutdown and begins its session after it: %v, want status 503", err)
		}
	}
}

// The socket of a polled server has failed. Poll says so, and Shutdown does not wait until its context is done for a
// session over another link.
func TestShutdownAfterTheSocketOfAPolledServerFailed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		network := netsim.New(1)
		defer network.Close()
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777"))
		closed := 0
		s, err := Serve(socket, Config{Channels: table, Manual: true, Handler: Handler{Close: func(*Conn, CloseReason) { closed++ }}})
		must(t, err)
		_, err = s.Local(LocalConfig{})
		must(t, err)
		events(s, nil)
		socket.Close()
		var ev Event
		for ev = range s.Poll(0) {
		}
		if ev.Type != session.EventEnded || ev.Err != session.ErrClosed {
			t.Errorf("Poll: the last event is %v, %v; want EventEnded, ErrClosed", ev.Type, ev.Err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx, ""); err != nil || closed != 1 {
			t.Errorf("Shutdown: %v, want nil; %d sessions were told, want 1", err, closed)
		}
	})
}

// Local refuses a client with a connect message that is too long.
func TestLocalWithAMistake(t *testing.T) {
	srv, _ := newTestServer(t)
	if c, err := srv.Local(LocalConfig{Hello: make([]byte, session.MaxHello+1)}); c != nil || err != session.ErrHello || srv.directory.count() != 0 {
		t.Errorf("Local with a connect message that is too long: %v, want ErrHello; %d are in the directory, want 0", err, srv.directory.count())
	}
	must(t, srv.Close())
	if c, err := srv.Local(LocalConfig{}); c != nil || err != session.ErrClosed || srv.directory.count() != 0 {
		t.Errorf("Local after Close: %v, want ErrClosed; %d are in the directory, want 0", err, srv.directory.count())
	}
}

// A server that was drained takes no clients of the program, before it is closed and after. For a request it has
// the answer of a server that shuts down, also if Drain begins after the request was checked.
func TestADrainedServerTakesNoClients(t *testing.T) {
	srv, _ := newTestServer(t)
	must(t, srv.Drain(t.Context(), "", nil))
	for _, when := range []string{"after Drain", "after Drain and Close"} {
		if c, err := srv.Local(LocalConfig{}); c != nil || err != session.ErrClosed {
			t.Errorf("Local %s: %v, want ErrClosed", when, err)
		}
		if l, err := srv.AddLink(Identity{}, LinkConfig{Name: "slot", Carrier: new(slot)}); l != nil || err != session.ErrClosed {
			t.Errorf("AddLink %s: %v, want ErrClosed", when, err)
		}
		if c, err := srv.begin(t.Context(), &admission{limit: 10}, netip.Addr{}); c != nil || status(err) != http.StatusServiceUnavailable {
			t.Errorf("a request %s: %v, want status 503", when, err)
		}
		must(t, srv.Close())
	}
	if n := srv.directory.count(); n != 0 {
		t.Errorf("%d sessions are in the directory, want 0", n)
	}
}

// A request whose token is being spent when the server ends leaves no session, so Drain has nothing to wait for.
func TestTheEndAmidARequestLeavesNoSession(t *testing.T) {
	signer, verifier := newTokens(t)
	for _, links := range [][]string{{session.LinkWebRTC}, {session.LinkWebRTC, session.LinkWebSocket}} {
		for how, end := range map[string]func(*Server){"Close": func(s *Server) { s.Close() }, "Shutdown": func(s *Server) { s.Shutdown(context.Background(), "") }} {
			bubble(t, func(t *testing.T) {
				in, out := make(chan bool), make(chan bool)
				srv := serve(t, Config{Tokens: verifier, Links: links, Spend: func(context.Context, string, time.Time) error {
					in <- true
					<-out
					return nil
				}})
				token := testkit.Must(signer.Sign(time.Now(), auth.Claims{Audience: "eu-1", Subject: "ada", ID: "1", Expires: time.Now().Add(time.Hour)}))
				answered := make(chan int)
				go func() {
					status, _ := post(srv, "v=1", "Bearer "+token)
					answered <- status
				}()
				<-in
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := srv.Drain(ctx, "", nil); err == nil || !strings.Contains(err.Error(), " 1 sessions are left") {
					t.Errorf("Drain before %s: %v, want an error that tells of 1 session", how, err)
				}
				end(srv)
				close(out)
				if code := <-answered; code != http.StatusServiceUnavailable {
					t.Errorf("amid %s: status %d, want 503", how, code)
				}
				ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := srv.Drain(ctx, "", nil)
				if st := srv.Stats(); err != nil || st.Pending != 0 || srv.directory.count() != 0 {
					t.Errorf("after %s, with %v: Drain: %v; %d sessions are pending, %d in the directory, want 0", how, links, err, st.Pending, srv.directory.count())
				}
			})
		}
	}
}

// The bytes of incomplete messages are in Totals as they are in the Stats of the session.
func TestTotalsOfWhatIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		x := newHostileClient(t, srv, table)
		x.say(0, hello)
		x.run(100 * ms)
		x.say(chat, string(make([]byte, 10_000)))
		x.links.loop.Lock()
		put(x.ours, x.mux.Append(time.Now(), nil, channel.MaxPacket))
		x.links.loop.Unlock()
		settle()
		if got, want := srv.Totals().Channels[chat].Held, x.server.ChannelStats(chat).Held; got != want || got == 0 {
			t.Errorf("%d bytes are held in all, %d of the only session", got, want)
		}
		x.server.Kick("")
		settle()
	})
}

// A context that is done first is an error also if nothing was given up.
func TestShutdownWithoutTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		join(t, srv, "ada")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := srv.Shutdown(ctx, "")
		if e, ok := errors.AsType[*ShutdownError](err); !ok || e.Sessions != 0 || e.Bytes != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v, want a ShutdownError without sessions", err)
		}
	})
}

// An address that has its maximum of sessions gets 429 for the next one. Sessions without a
// known address count for one address.
func TestAnAddressWithManySessions(t *testing.T) {
	s := serve(t, Config{})
	for site, remote := range map[string]string{"0.0.0.0": "@", "198.51.100.7": "198.51.100.7:1234"} {
		s.directory.bySite[netip.MustParseAddr(site)] = 63
		refused := s.Stats().Refused
		for i, want := range []int{200, 429} {
			r := httptest.NewRequest(http.MethodPost, "/?v=1&channels="+hexHash(s), bytes.NewReader(offer()))
			r.RemoteAddr = remote
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != want || want == 429 && !strings.Contains(w.Body.String(), "interrupted ones included") {
				t.Errorf("offer %d from %s: status %d, want %d: %s", i, remote, w.Code, want, w.Body)
			}
		}
		if n := s.Stats().Refused - refused; n != 1 {
			t.Errorf("%d refusals are counted, want 1", n)
		}
	}
}

// An answer that is refused leaves the request as it was, and a receipt that no handler
// wants is Poll's.
func TestWhatNoHandlerAnswersOrWants(t *testing.T) {
	srv, _ := newTestServer(t, manual)
	client, err := srv.Local(LocalConfig{})
	must(t, err)
	events(srv, nil)
	id, err := client.SendWith(move, nil, Options{Receipt: true})
	must(t, err)
	var status session.Status
	_, err = client.Ask("x", nil, func(r Result) { status = r.Status })
	must(t, err)
	var fate []Fate
	for len(fate) == 0 || status == session.StatusSending {
		events(srv, func(ev Event) {
			switch ev.Type {
			case session.EventRequest:
				if err := ev.Request.Reply(make([]byte, session.MaxRequest+1)); err != session.ErrPayload {
					t.Errorf("a reply that is too long: %v, want ErrPayload", err)
				}
				must(t, ev.Request.Ack())
			case session.EventReceipt:
				if fate = append(fate, ev.Fate); ev.Message != id || ev.Channel != move || ev.Conn != client {
					t.Errorf("the receipt is %+v, want of message %d on channel %d", ev, id, move)
				}
			}
		})
	}
	if status != session.StatusAcknowledged || len(fate) != 1 || fate[0] != channel.FateDelivered {
		t.Errorf("the status is %v, want acknowledged; the fates are %v, want delivered", status, fate)
	}
}

// The log has one line for an event, of the server's end.
func TestLogHasOneLineOfAnEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var p testkit.Log
		srv, _ := newTestServer(t, func(c *Config) {
			c.Logger = p.Logger(slog.LevelDebug)
		})
		client, server, _ := join(t, srv, "ada")
		time.Sleep(time.Second)
		cut(client)
		settle()
		resume(client, server)
		time.Sleep(time.Second)
		server.Kick("")
		settle()
		for _, event := range []string{"open", "interrupted", "resumed", "close"} {
			if n := strings.Count(p.String(), `msg="godwit: `+event+`"`); n != 1 {
				t.Errorf("%d lines of %q in\n%s", n, event, &p)
			}
		}
		if n := strings.Count(p.String(), " link=in-process"); n != 5 {
			t.Errorf("%d lines say which link the session uses:\n%s", n, &p)
		}
	})
}
