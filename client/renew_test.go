package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// renewing is a client's configuration whose sessions are renewed.
func (g *game) renewing() client.SessionConfig {
	h := g.handler()
	h.Renewing = func(_ *client.Session, why session.CloseReason) { g.note("renewing, %v", why) }
	return client.SessionConfig{Handler: h, Renew: true}
}

// The server is replaced while a request waits: the program gets the result of the request
// first, then the end of the session, then the opening of the new session.
func TestRenewAfterShutdown(t *testing.T) {
	c := godwit.Config{Channels: table, Handler: godwit.Handler{
		Request: func(_ *godwit.Conn, r *godwit.Request) { r.Keep(); time.AfterFunc(time.Hour, func() { r.Ack() }) },
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
	}}
	inGame(t, c, func(g *game) {
		s, err := g.connect(g.renewing())
		g.must(err)
		g.want("open")
		first := s.ID()
		_, err = s.Ask("wait", nil, func(r session.Result) { g.note("answer: %v", r.Status) })
		g.must(err)
		time.Sleep(time.Second)
		g.server.Shutdown(context.Background(), "update")
		g.want("answer: response lost", "renewing, closed by the other end: shutdown: update")
		if err := s.Send(chat, nil); err != session.ErrClosed {
			t.Errorf("Send between two sessions: %v, want ErrClosed", err)
		}
		time.Sleep(time.Minute)
		pc := testkit.Listen(g.t, g.network, gameAddr)
		next, err := godwit.Serve(pc, c)
		g.must(err)
		defer next.Close()
		g.next.Store(next)
		g.want("open")
		if s.ID() == first || s.ID() == 0 {
			t.Errorf("the new session has the id %v, the old one %v", s.ID(), first)
		}
		g.must(s.Send(chat, []byte("hello again")))
		g.want("chat: hello again")
		s.Close(0, "done")
		g.want("closed here: normal: done")
		synctest.Wait()
	})
}

// TestRenewAfterTimeout is away for longer than the server waits.
func TestRenewAfterTimeout(t *testing.T) {
	inGame(t, godwit.Config{Grace: 5 * time.Second}, func(g *game) {
		s, err := g.connect(g.renewing())
		g.must(err)
		g.want("open")
		good := netsim.Link{Delay: 20 * time.Millisecond}
		for _, signaling := range []bool{false, true} {
			g.broken.Store(!signaling)
			g.network.SetDefault(netsim.Link{Loss: 1})
			g.want("interrupted", "renewing, closed here: timeout: nothing arrived for too long")
			time.Sleep(time.Minute)
			g.network.SetDefault(good)
			g.broken.Store(false)
			g.want("open")
		}
		if n := g.server.Len(); n != 1 {
			t.Errorf("%d sessions are open, want 1", n)
		}
		s.Close(0, "")
		g.want("closed here: normal")
	})
}

// The server answers that there is nothing to resume, and the client begins a new session.
func TestRenewWhenThereIsNothingToResume(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		_, err := g.connect(g.renewing())
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		for c := range g.server.Conns() {
			c.Kick("unheard")
		}
		g.want("interrupted", "renewing, closed here: timeout: the session is over: begin a new one")
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("open")
	})
}

// While the store of used tokens does not answer, the server refuses. A client that renews its
// session tries again, because its credentials are not the reason.
func TestRenewWhenTheStoreOfUsedTokensIsBack(t *testing.T) {
	signer := testkit.Must(auth.Generate(auth.EdDSA, rand.Reader))
	var down atomic.Bool
	c := godwit.Config{
		Tokens: &auth.Verifier{Keys: []auth.Key{signer.Key()}, Audience: "eu-1"},
		Spend: func(context.Context, string, time.Time) error {
			if down.Load() {
				return errors.New("the store does not answer")
			}
			return nil
		},
	}
	inGame(t, c, func(g *game) {
		sc := g.renewing()
		sc.Token = func(context.Context) (string, error) {
			now := time.Now()
			return signer.Sign(now, auth.Claims{Subject: "ada", Audience: "eu-1", ID: "1", Expires: now.Add(time.Minute)})
		}
		s, err := g.connect(sc)
		g.must(err)
		down.Store(true)
		g.network.SetDefault(netsim.Link{Loss: 1})
		for c := range g.server.Conns() {
			c.Kick("unheard")
		}
		g.want("open", "interrupted", "renewing, closed here: timeout: the session is over: begin a new one")
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		time.Sleep(time.Minute)
		down.Store(false)
		g.want("open")
		s.Close(0, "done")
		g.want("closed here: normal: done")
	})
}

// reopening makes a polled session whose server restarts, and returns when the new server has
// opened a connection for the new session, whose WELCOME is on its way. ends are the ends of the
// new server's sessions.
func reopening(g *game) (e *client.Endpoint, s *client.Session, next *godwit.Server, ends *[]string) {
	g.t.Helper()
	ends = new([]string)
	e = g.manual()
	s, err := g.join(e, client.SessionConfig{Renew: true})
	g.must(err)
	wantAll(g.t, "at first", poll(e, time.Second, nil), "open")
	g.server.Shutdown(g.t.Context(), "update")
	next = testkit.Must(godwit.Serve(testkit.Listen(g.t, g.network, gameAddr), godwit.Config{Channels: table, Handler: godwit.Handler{
		Close: func(_ *godwit.Conn, why godwit.CloseReason) { *ends = append(*ends, why.String()) },
	}}))
	g.next.Store(next)
	var got []string
	for next.RTC().Stats().Opened == 0 {
		got = append(got, poll(e, time.Millisecond, nil)...)
	}
	wantAll(g.t, "a restart", got, "renewing shutdown")
	return e, s, next, ends
}

// A program closes its session while the WELCOME of a new one waits at its socket. The session
// ends once, and the server gets the close.
func TestCloseWhileTheNewSessionOpens(t *testing.T) {
	inGame(t, echo, func(g *game) {
		e, s, next, ends := reopening(g)
		defer next.Close()
		time.Sleep(20 * time.Millisecond) // one way
		s.Close(300, "quit")
		wantAll(t, "the end", poll(e, time.Second, nil), "close code 300")
		s.Close(301, "again")
		wantAll(t, "after the end", poll(e, time.Second, nil))
		wantAll(t, "the server", *ends, "closed by the other end: code 300: quit")
		if n := next.Len(); n != 0 {
			t.Errorf("the server has %d sessions, want 0", n)
		}
	})
}

// A program closes its session while a new one opens, and the first close frame and the end of the
// connection are lost. The server gets a later close frame, and does not keep the session until it
// has been silent for too long.
func TestCloseWhileTheNewSessionOpensIsRepeated(t *testing.T) {
	inGame(t, echo, func(g *game) {
		e, s, next, ends := reopening(g)
		defer next.Close()
		time.Sleep(20 * time.Millisecond) // one way
		g.network.SetDefault(netsim.Link{Loss: 1})
		s.Close(300, "quit")
		wantAll(t, "the end", poll(e, 10*time.Millisecond, nil), "close code 300")
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		wantAll(t, "after the end", poll(e, time.Second, nil))
		wantAll(t, "the server", *ends, "closed by the other end: code 300: quit")
		if n, m := next.Len(), e.Stats().Conns; n != 0 || m != 0 {
			t.Errorf("the server has %d sessions, the client %d connections; want 0", n, m)
		}
	})
}

// TestNoRenewal has ends that no new session follows.
func TestNoRenewal(t *testing.T) {
	t.Run("kicked", func(t *testing.T) {
		inGame(t, godwit.Config{}, func(g *game) {
			_, err := g.connect(g.renewing())
			g.must(err)
			for c := range g.server.Conns() {
				c.Kick("cheating")
			}
			g.want("open", "closed by the other end: kicked: cheating")
		})
	})
	t.Run("refused", func(t *testing.T) {
		var banned atomic.Bool
		c := godwit.Config{Secret: "open sesame"}
		inGame(t, c, func(g *game) {
			sc := g.renewing()
			asked := 0
			sc.Token = func(context.Context) (string, error) {
				if banned.Load() {
					asked++
					return "not any more", nil
				}
				return "open sesame", nil
			}
			_, err := g.connect(sc)
			g.must(err)
			banned.Store(true)
			g.network.SetDefault(netsim.Link{Loss: 1})
			for c := range g.server.Conns() {
				c.Kick("unheard")
			}
			g.want("open", "interrupted", "renewing, closed here: timeout: the session is over: begin a new one")
			g.want("closed here: timeout: the secret is wrong")
			if asked != 2 {
				t.Errorf("Token was called %d times, want 2", asked)
			}
		})
	})
	t.Run("the program has enough", func(t *testing.T) {
		inGame(t, godwit.Config{}, func(g *game) {
			s, err := g.connect(g.renewing())
			g.must(err)
			g.want("open")
			g.server.Shutdown(context.Background(), "")
			g.want("renewing, closed by the other end: shutdown")
			time.Sleep(20 * time.Second)
			s.Close(300, "enough")
			g.want("closed here: code 300: enough")
		})
	})
	t.Run("the program has enough, at any moment while the new one opens", func(t *testing.T) {
		tried, opened := 0, 0
		for after := 700 * time.Millisecond; after < 950*time.Millisecond; after += 5 * time.Millisecond {
			inGame(t, godwit.Config{}, func(g *game) {
				if tried++; g.enough(after) {
					opened++
				}
			})
		}
		if opened == 0 || opened == tried {
			t.Errorf("%d of %d sessions were open, want some, but not all: the test tests nothing", opened, tried)
		}
	})
	t.Run("the endpoint is closed", func(t *testing.T) {
		inGame(t, godwit.Config{}, func(g *game) {
			_, err := g.connect(g.renewing())
			g.must(err)
			g.want("open")
			g.server.Shutdown(context.Background(), "")
			g.want("renewing, closed by the other end: shutdown")
			for _, e := range g.endpoints {
				e.Close()
			}
			g.want("closed here: normal: the endpoint was closed")
		})
	})
}

// enough closes a session some time after its server was replaced; the client, which must ask
// again after a second, notices the replacement then. enough reports whether the new session was
// open. Close is the last event, and nothing is left of either session.
func (g *game) enough(after time.Duration) (opened bool) {
	s, err := g.connect(g.renewing())
	g.must(err)
	g.server.Shutdown(context.Background(), "")
	g.want("open", "renewing, closed by the other end: shutdown")
	pc := testkit.Listen(g.t, g.network, gameAddr)
	next, err := godwit.Serve(pc, godwit.Config{Channels: table})
	g.must(err)
	defer next.Close()
	g.next.Store(next)
	time.Sleep(after)
	s.Close(300, "enough")
	time.Sleep(time.Minute)
	last := ""
	for len(g.events) > 0 {
		last = <-g.events
		opened = opened || last == "open"
	}
	if last != "closed here: code 300: enough" {
		g.t.Errorf("after %v the last event is %q, want the close by the client", after, last)
	}
	if n, m := next.Len(), g.endpoints[0].Stats().Conns; n != 0 || m != 0 {
		g.t.Errorf("after %v the server has %d sessions, the client %d connections, want 0", after, n, m)
	}
	return opened
}

func TestKeptAndLostRequestIsRejected(t *testing.T) {
	w := newSocketWorld(t, func(c godwit.Config) (*godwit.Server, error) { return godwit.Listen("127.0.0.1:0", c) })
	p := w.connect("ada")
	if t.Failed() {
		return
	}
	answer := make(chan godwit.Result, 1)
	server := p.player
	if _, err := server.Ask("keep", nil, func(r godwit.Result) { answer <- r }); err != nil {
		t.Fatal(err)
	}
	r := testkit.Collect(answer)
	if r.Status != session.StatusRejected || r.Text != "no answer" {
		t.Errorf("the result is %v %q, want StatusRejected, no answer", r.Status, r.Text)
	}
	p.client.Close(0, "")
	<-p.closed
}

// Sixty players with one address lose their links at the same time. In the limit each resume
// replaces its own link, so the server refuses none of them. Failed attempts leave no
// connections.
func TestResumesOfOneAddressTakeTheirOwnPlaces(t *testing.T) {
	const players = 60
	inGame(t, godwit.Config{Silence: 5 * time.Second, RTC: rtcserver.Settings{MaxOffers: -1}}, func(g *game) {
		var open, resumed, over atomic.Int32
		var sessions []*client.Session
		for range players {
			s, err := g.connect(client.SessionConfig{Handler: client.SessionHandler{
				Open:    func(*client.Session) { open.Add(1) },
				Resumed: func(*client.Session) { resumed.Add(1) },
				Close:   func(*client.Session, session.CloseReason) { over.Add(1) },
			}})
			g.must(err)
			sessions = append(sessions, s)
		}
		synctest.Wait()
		// The old links do not come back: new ones have other ports.
		g.network.SetDefault(netsim.Link{Loss: 1})
		time.Sleep(12 * time.Second)
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		time.Sleep(15 * time.Second)
		st := g.server.Stats()
		if n := st.RTC.Refused[http.StatusTooManyRequests]; n != 0 || resumed.Load() != players || over.Load() != 0 {
			t.Errorf("%d requests got the status 429, want 0; %d of %d sessions have resumed; %d are over, want 0", n, resumed.Load(), players, over.Load())
		}
		if st.RTC.Conns > players || st.RTC.Pending > 0 {
			t.Errorf("%d connections for %d sessions; %d answers are pending, want 0", st.RTC.Conns, players, st.RTC.Pending)
		}
		if _, err := g.connect(client.SessionConfig{}); err != nil {
			t.Errorf("another player of the same address: %v, want nil", err)
		}
		for _, s := range sessions {
			s.Close(0, "")
		}
	})
}
