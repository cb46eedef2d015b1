package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// A receipt over a network has one fate at both ends, before Close, for every kind of end. A
// server that shuts down waits only for its own messages: a client's message that arrives
// meanwhile is delivered, the rest is abandoned.
func TestEveryReceiptHasOneFate(t *testing.T) {
	const early, late = "delivered", "abandoned"
	shutdown := func(g *game, _ *godwit.Conn, _ *client.Session) { g.must(g.server.Shutdown(context.Background(), "")) }
	for _, test := range []struct {
		name            string
		ours, theirs    int // sizes of the messages that wait at the end
		fate, theirFate string
		end             func(g *game, player *godwit.Conn, s *client.Session)
	}{
		{"delivery", 10, 10, early, early, func(g *game, _ *godwit.Conn, s *client.Session) { time.Sleep(10 * time.Second); s.Close(0, "") }},
		{"kick", 400_000, 400_000, late, late, func(_ *game, player *godwit.Conn, _ *client.Session) { player.Kick("") }},
		{"timeout", 400_000, 400_000, late, late, func(g *game, _ *godwit.Conn, _ *client.Session) { g.network.SetDefault(netsim.Link{Loss: 1}) }},
		{"shutdown", 800_000, 100_000, early, early, shutdown},
		{"shutdown while the client has more to say", 100_000, 800_000, early, late, shutdown},
		{"close", 400_000, 400_000, late, late, func(g *game, _ *godwit.Conn, _ *client.Session) { g.server.Close() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			var ours, theirs testkit.Notes
			players := make(chan *godwit.Conn, 1)
			large := channel.Channels{table[0], {Name: "chat", Mode: channel.ReliableOrdered, MaxMessage: 1 << 20}, table[2]}
			c := godwit.Config{Channels: large, Grace: 5 * time.Second, Silence: 4 * time.Second, Handler: godwit.Handler{
				Open:    func(c *godwit.Conn) { players <- c },
				Receipt: func(_ *godwit.Conn, id godwit.MessageID, f godwit.Fate) { ours.Note("%d %v", id, f) },
				Close:   func(*godwit.Conn, godwit.CloseReason) { ours.Note("close") },
			}}
			inGame(t, c, func(g *game) {
				s, err := g.connect(client.SessionConfig{Channels: large, Handler: client.SessionHandler{
					Receipt: func(_ *client.Session, id channel.MessageID, f channel.Fate) { theirs.Note("%d %v", id, f) },
					Close:   func(*client.Session, session.CloseReason) { theirs.Note("close") },
				}})
				g.must(err)
				player := <-players
				want := map[*testkit.Notes][]string{}
				send := func(j *testkit.Notes, with func(channel.ID, []byte, channel.Options) (channel.MessageID, error), size int, fate string) {
					id, err := with(chat, make([]byte, size), channel.Options{Receipt: true})
					g.must(err)
					want[j] = append(want[j], fmt.Sprintf("%d %s", id, fate))
				}
				send(&ours, player.SendWith, 10, early)
				send(&theirs, s.SendWith, 10, early)
				time.Sleep(time.Second)
				send(&ours, player.SendWith, test.ours, test.fate)
				send(&theirs, s.SendWith, test.theirs, test.theirFate)
				test.end(g, player, s)
				time.Sleep(2 * time.Minute)
				for end, j := range map[string]*testkit.Notes{"the server's end": &ours, "the client's end": &theirs} {
					if got, w := j.All(), append(want[j], "close"); !slices.Equal(got, w) {
						t.Errorf("%s was told %q, want %q", end, got, w)
					}
				}
			})
		})
	}
}

// Requests without an answer get their results before the Close handler runs, at both ends.
func TestResultsComeBeforeClose(t *testing.T) {
	for name, end := range map[string]func(g *game, player *godwit.Conn, s *client.Session){
		"close":    func(_ *game, _ *godwit.Conn, s *client.Session) { s.Close(0, "") },
		"kick":     func(_ *game, player *godwit.Conn, _ *client.Session) { player.Kick("") },
		"timeout":  func(g *game, _ *godwit.Conn, _ *client.Session) { g.network.SetDefault(netsim.Link{Loss: 1}) },
		"shutdown": func(g *game, _ *godwit.Conn, _ *client.Session) { g.server.Shutdown(context.Background(), "") },
	} {
		t.Run(name, func(t *testing.T) {
			var ours, theirs testkit.Notes
			players := make(chan *godwit.Conn, 1)
			c := godwit.Config{Grace: 5 * time.Second, Silence: 4 * time.Second, Handler: godwit.Handler{
				Open:    func(c *godwit.Conn) { players <- c },
				Request: func(_ *godwit.Conn, r *godwit.Request) { r.Keep(); time.AfterFunc(time.Hour, func() { r.Ack() }) },
				Close:   func(*godwit.Conn, godwit.CloseReason) { ours.Note("close") },
			}}
			inGame(t, c, func(g *game) {
				s, err := g.connect(client.SessionConfig{Handler: client.SessionHandler{
					Request: func(_ *client.Session, r *session.Request) {
						r.Keep()
						time.AfterFunc(time.Hour, func() { r.Ack() })
					},
					Close: func(*client.Session, session.CloseReason) { theirs.Note("close") },
				}})
				g.must(err)
				player := <-players
				for _, request := range []string{"a", "b"} {
					_, err = s.Ask(request, nil, func(r session.Result) { theirs.Note("%s %v", request, r.Status) })
					g.must(err)
					_, err = player.Ask(request, nil, func(r godwit.Result) { ours.Note("%s %v", request, r.Status) })
					g.must(err)
				}
				time.Sleep(time.Second)
				end(g, player, s)
				time.Sleep(2 * time.Minute)
				want := []string{"a response lost", "b response lost", "close"}
				for end, j := range map[string]*testkit.Notes{"the server's end": &ours, "the client's end": &theirs} {
					got := j.All()
					if len(got) == 3 {
						slices.Sort(got[:2])
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s was told %q, want %q", end, got, want)
					}
				}
			})
		})
	}
}

// 3 MB of bulk take 12 s with the default Ceiling, on any network.
func TestCeilingBoundsWhatAClientSends(t *testing.T) {
	const size, messages = 100_000, 30
	upload := func(ceiling int) (took time.Duration, waits channel.Wait) {
		got := 0
		var done chan time.Time
		c := godwit.Config{Limits: godwit.Limits{Bytes: -1}, Handler: godwit.Handler{
			Message: func(_ *godwit.Conn, _ godwit.ChannelID, b []byte) {
				if got += len(b); got == size*messages {
					done <- time.Now()
				}
			},
		}}
		bulk := channel.Channels{{Name: "bulk", Mode: channel.ReliableOrdered, QueueLimit: 8 << 20}}
		c.Channels = bulk
		inGame(t, c, func(g *game) {
			done = make(chan time.Time, 1)
			s, err := g.connect(client.SessionConfig{Channels: bulk, Ceiling: ceiling, Handler: client.SessionHandler{
				Close: func(_ *client.Session, why session.CloseReason) { t.Logf("%v", why) },
			}})
			g.must(err)
			start := time.Now()
			for range messages {
				g.must(s.Send(1, make([]byte, size)))
			}
			time.Sleep(time.Second) // the rate has grown
			waits = s.Stats().Waits
			select {
			case end := <-done:
				took = end.Sub(start)
			case <-time.After(time.Minute):
				g.t.Fatalf("%d bytes have arrived in a minute; %+v", got, s.Stats())
			}
		})
		return took, waits
	}
	slow, waits := upload(0)
	if waits != channel.WaitsForCeiling { // and not for the network, which has no limit
		t.Errorf("with the default Ceiling messages wait for %v, want WaitsForCeiling", waits)
	}
	fast, _ := upload(4 << 20)
	t.Logf("3 MB: %v with the default Ceiling, %v with 4 MiB/s", slow, fast)
	if slow < 10*time.Second || fast > slow/3 {
		t.Errorf("3 MB took %v with the default Ceiling, want 10 s at least, and %v with 4 MiB/s, want a third of that at most", slow, fast)
	}
}

// Rate is the rate at the beginning, Floor the lowest rate.
func TestRateAndFloorOfAClient(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		var first []float64
		for _, rate := range []int{0, 200 << 10} {
			s, err := g.connect(client.SessionConfig{Rate: rate, Handler: client.SessionHandler{}})
			g.must(err)
			first = append(first, s.Stats().Rate)
		}
		if first[0] != 64<<10 || first[1] != 200<<10 {
			t.Errorf("the first rates are %v, want 64 and 200 KiB/s", first)
		}
		var least []float64
		for _, floor := range []int{0, 40 << 10} {
			g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
			s, err := g.connect(client.SessionConfig{Floor: floor, Handler: client.SessionHandler{}})
			g.must(err)
			g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Rate: 5 << 10, Queue: 20 << 10})
			for range 8 {
				g.must(s.Send(chat, make([]byte, 100_000)))
			}
			low := s.Stats().Rate
			for range 100 {
				time.Sleep(200 * time.Millisecond)
				low = min(low, s.Stats().Rate)
			}
			least = append(least, low)
			s.Close(0, "")
		}
		t.Logf("the least rates are %.0f and %.0f", least[0], least[1])
		if least[0] < 8<<10 || least[0] >= 40<<10 || least[1] < 40<<10 {
			t.Errorf("the lowest rates are %v, with floors of 8 and 40 KiB/s", least)
		}
	})
}

// Stats.Waits distinguishes the network and the peer from the Ceiling.
func TestWhatMessagesWaitFor(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		s, err := g.connect(client.SessionConfig{NoReconnect: true, Handler: client.SessionHandler{}})
		g.must(err)
		if w := s.Stats().Waits; w != channel.WaitsForNothing {
			t.Errorf("without messages Waits is %v, want WaitsForNothing", w)
		}
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Rate: 30 << 10, Queue: 30 << 10})
		for range 8 {
			g.must(s.Send(chat, make([]byte, 100_000)))
		}
		time.Sleep(5 * time.Second)
		if w := s.Stats().Waits; w != channel.WaitsForNetwork {
			t.Errorf("over 30 KiB/s Waits is %v, want WaitsForNetwork", w)
		}
		g.network.SetDefault(netsim.Link{Loss: 1})
		time.Sleep(10 * time.Second)
		if w := s.Stats().Waits; w != channel.WaitsForPeer {
			t.Errorf("without a network Waits is %v, want WaitsForPeer", w)
		}
	})
}

// A session ends when the token that began it expires, also after a resume, unless the program
// renews it. The client does not begin a new session by itself, and a client with the old token
// is refused.
func TestSessionsExpireWithTheirTokens(t *testing.T) {
	signer, err := auth.Generate(auth.EdDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, expire := range map[string]bool{"expire": true, "do not": false} {
		t.Run(name, func(t *testing.T) {
			players := make(chan *godwit.Conn, 10)
			c := godwit.Config{
				ExpireWithToken: expire,
				Tokens:          &auth.Verifier{Keys: []auth.Key{signer.Key()}, Audience: "eu-1", Reusable: true},
				Handler:         godwit.Handler{Open: func(c *godwit.Conn) { players <- c }},
			}
			inGame(t, c, func(g *game) {
				start := time.Now()
				token, err := signer.Sign(start, auth.Claims{Subject: "ada", Audience: "eu-1", ID: "1", Expires: start.Add(time.Minute)})
				g.must(err)
				asked := 0
				sc := g.renewing()
				sc.Token = func(context.Context) (string, error) { asked++; return token, nil }
				s, err := g.connect(sc)
				g.must(err)
				g.want("open")
				player := <-players
				for c := range g.server.RTC().Conns() {
					c.Close("cut") // the session resumes, which renews nothing
				}
				g.want("interrupted", "resumed")
				if !expire {
					if !player.Expires().IsZero() {
						t.Errorf("Expires() = %v, want none", player.Expires())
					}
					time.Sleep(10 * time.Minute)
					s.Close(0, "")
					g.want("closed here: normal")
					return
				}
				until := player.Expires()
				if d := until.Sub(start); d < time.Minute || d > 3*time.Minute {
					t.Errorf("the session expires after %v, want 1 to 3 minutes", d)
				}
				player.Renew(until.Add(time.Hour))
				time.Sleep(time.Until(until) + 30*time.Minute)
				g.must(s.Send(chat, nil)) // it goes on
				time.Sleep(30*time.Minute - time.Second)
				synctest.Wait()
				if n := len(g.events); n != 0 {
					g.t.Fatalf("the event %q before the session expires", <-g.events)
				}
				g.want("closed by the other end: auth: the credentials have expired")
				if over := time.Since(until.Add(time.Hour)); over < 0 || over > time.Second {
					t.Errorf("the session ended %v after it expired, want an hour", over+time.Hour)
				}
				time.Sleep(5 * time.Minute)
				if asked != 1 || g.server.Len() != 0 {
					t.Errorf("Token was called %d times, want once; %d sessions are open, want 0", asked, g.server.Len())
				}
				_, err = g.connect(sc)
				if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Status != 401 || e.Code != "token" || e.Detail["reason"] != "expired" {
					t.Errorf("a session with the expired token: %v, want status 401 with the reason", err)
				}
				g.must(g.server.Shutdown(context.Background(), ""))
			})
		})
	}
}

// A Renew with a time that has passed ends the session at once.
func TestRenewWithThePast(t *testing.T) {
	players := make(chan *godwit.Conn, 1)
	c := godwit.Config{Handler: godwit.Handler{Open: func(c *godwit.Conn) { players <- c }}}
	inGame(t, c, func(g *game) {
		_, err := g.connect(g.renewing())
		g.must(err)
		g.want("open")
		(<-players).Renew(time.Now())
		g.want("closed by the other end: auth: the credentials have expired")
	})
}

// Every func of a native client that may be nil is nil: no event ends the process.
func TestFuncsMayBeNil(t *testing.T) {
	opened := make(chan *godwit.Conn, 1)
	c := godwit.Config{Handler: godwit.Handler{
		Open:    func(c *godwit.Conn) { opened <- c },
		Request: func(_ *godwit.Conn, r *godwit.Request) { r.Reply([]byte("yes")) },
	}}
	inGame(t, c, func(g *game) {
		s, err := g.connect(client.SessionConfig{Renew: true})
		g.must(err)
		player := <-opened
		for _, ask := range []func(*client.Session) error{
			func(s *client.Session) error { _, err := s.Ask("x", nil, nil); return err },
			func(*client.Session) error { _, err := player.Ask("x", nil, nil); return err },
			func(s *client.Session) error {
				_, err := s.SendWith(chat, nil, channel.Options{Receipt: true})
				return err
			},
			func(*client.Session) error {
				_, err := player.SendWith(chat, nil, godwit.Options{Receipt: true})
				return err
			},
			func(*client.Session) error {
				_, err := player.OpenChannel(godwit.Channel{Name: "more", Mode: godwit.Unreliable})
				return err
			},
		} {
			g.must(ask(s))
		}
		time.Sleep(time.Second)
		for c := range g.server.RTC().Conns() {
			c.Close("cut") // interrupted, and resumed
		}
		time.Sleep(5 * time.Second)
		if b, err := s.Request(g.t.Context(), "still there", nil); string(b) != "yes" || err != nil {
			t.Errorf("the reply is %q, %v; want yes", b, err)
		}
		g.server.Shutdown(context.Background(), "") // and it tries for a new one
		time.Sleep(5 * time.Second)
		s.Close(0, "")
		time.Sleep(5 * time.Second)
		if !strings.Contains(fmt.Sprint(s.Send(chat, nil)), "closed") {
			t.Error("the session is not over: Send does not fail")
		}
	})
}
