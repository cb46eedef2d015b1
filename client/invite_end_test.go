package client_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
)

// Between the decision about a client with an invite and what follows from it, a handler of another
// session ends the client's link, or panics. In the first case there is no session, in the second
// there is one.
func TestAHandlerRunsAfterTheDecision(t *testing.T) {
	for name, panics := range map[string]bool{"and ends the link": false, "and panics": true} {
		t.Run(name, func(t *testing.T) {
			var g *game
			var decide chan struct{}
			asked := 0
			c := inviting(godwit.Handler{Close: func(*godwit.Conn, godwit.CloseReason) {
				if panics {
					panic("handler")
				}
				for c := range g.server.RTC().Conns() {
					c.Close("cut")
				}
			}})
			c.Manual = true
			c.Spend = func(context.Context, string, time.Time) error {
				asked++
				<-decide
				return nil
			}
			inGame(t, c, func(game *game) {
				g, decide = game, make(chan struct{})
				poll := func() (panicked any) {
					defer func() { panicked = recover() }()
					for range g.server.Poll(0) {
					}
					return nil
				}
				done := make(chan error, 2)
				// join begins to connect a client, and returns when Spend waits for the n-th time.
				join := func(n int) {
					e, i := g.endpoint(), g.invite()
					go func() {
						_, err := e.Join(game.t.Context(), "", client.SessionConfig{Channels: table, Invite: always(i)})
						done <- err
					}()
					for asked < n {
						time.Sleep(time.Millisecond)
						poll()
						synctest.Wait()
					}
				}
				opened := func() {
					for len(done) == 0 {
						time.Sleep(time.Millisecond)
						poll()
						synctest.Wait()
					}
					g.must(<-done)
				}
				join(1)
				decide <- struct{}{}
				opened()
				join(2)
				slices.Collect(g.server.Conns())[0].Kick("") // its Close handler runs in the next turn
				decide <- struct{}{}
				synctest.Wait()
				if p := poll(); (p != nil) != panics {
					game.t.Fatalf("Poll panics with %v, want a panic of the handler: %v", p, panics)
				}
				panics = false
				if name == "and panics" {
					opened()
				}
				for range 3 {
					if p := poll(); p != nil {
						game.t.Fatalf("Poll panics: %v", p)
					}
				}
				st := g.server.Stats()
				if want := len(slices.Collect(g.server.Conns())); st.Pending != 0 || want != st.Open || name == "and panics" != (want == 1) {
					game.t.Errorf("%d sessions are open, and %d wait", st.Open, st.Pending)
				}
			})
		})
	}
}

// While Config.Admit waits for as many clients with invites as it may, a session resumes without a request:
// there is nothing to ask about it.
func TestAResumeDoesNotWaitForAdmit(t *testing.T) {
	const waiting = 64
	c := inviting(godwit.Handler{})
	c.RTC.MaxPerIP, c.RTC.MaxOffers = -1, -1
	var asked chan struct{}
	c.Admit = func(ctx context.Context, id godwit.Identity) error {
		if id.Name == "" {
			return nil // the session
		}
		asked <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	inGame(t, c, func(g *game) {
		asked = make(chan struct{}, waiting)
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		link, before := slices.Collect(g.server.RTC().Conns())[0], g.asked.Load()
		done := make(chan error, waiting)
		for range waiting {
			e, i := g.endpoint(), g.invite()
			go func() {
				_, err := e.Join(g.t.Context(), "", client.SessionConfig{Channels: table, Invite: always(i)})
				done <- err
			}()
		}
		for range waiting {
			<-asked
		}
		link.Close("cut")
		g.must(s.Send(chat, []byte("still here")))
		g.want("interrupted", "resumed")
		if n, st := g.asked.Load()-before, g.server.Stats(); n != 0 || st.Direct.Resumed != 1 {
			t.Errorf("%d requests, want 0; %+v, want 1 link that resumes", n, st.Direct)
		}
		for range waiting {
			if err := <-done; err == nil {
				t.Error("a client that Admit has not admitted has a session")
			}
		}
	})
}
