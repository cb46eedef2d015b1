package client_test

import (
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A client waits for 250 to 500 ms before it asks for a new session, because the sessions of many
// clients may have ended at the same time. What happened before, or to the old link, does not make
// the wait shorter.
func TestWaitBeforeANewSession(t *testing.T) {
	for name, end := range map[string]func(g *game){
		"shut down": func(g *game) { g.server.Shutdown(g.t.Context(), "") },
		"closed, then the link is cut": func(g *game) {
			for c := range g.server.Conns() {
				c.Close(session.CloseShutdown, "")
			}
			time.Sleep(100 * time.Millisecond)
			for c := range g.server.RTC().Conns() {
				c.Close("cut")
			}
		},
		"closed while it asks for a link": func(g *game) {
			g.network.SetDefault(netsim.Link{Loss: 1})
			g.want("interrupted")
			g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
			g.want("resumed")
			g.server.Shutdown(g.t.Context(), "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inGame(t, godwit.Config{}, func(g *game) {
				var free atomic.Int64 // since when it does not ask
				asked := make(chan int64, 10)
				now := func() int64 { return time.Now().UnixNano() }
				f := &gate{g: g, answer: func(r *http.Request) (int, string) {
					if resumes(r) {
						time.Sleep(5 * time.Second)
						free.Store(now())
						return http.StatusBadGateway, "<html>"
					}
					asked <- now()
					return 0, ""
				}}
				sc := g.renewing()
				sc.Handler.Renewing = func(*client.Session, session.CloseReason) { free.Store(now()) }
				s, err := g.join(f.endpoint(client.Config{}), sc)
				g.must(err)
				<-asked
				g.want("open")
				end(g)
				if d := time.Duration(<-asked - free.Load()); d < 250*time.Millisecond || d >= 500*time.Millisecond {
					t.Errorf("it asks after %v", d)
				}
				s.Close(0, "")
				g.want("closed here: normal")
			})
		})
	}
}

// A server that ends every link before a session opens on it gets the attempts at a new session
// no more often than one that does not answer.
func TestLinksThatEndBeforeTheNewSession(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		f := &gate{g: g}
		s, err := g.join(f.endpoint(client.Config{}), g.renewing())
		g.must(err)
		f.requests()
		next := testkit.Must(rtcserver.Serve(testkit.Listen(g.t, g.network, netip.MustParseAddrPort("192.0.2.1:7778")), rtcserver.Config{Handler: rtcserver.Handler{
			Open: func(c *rtcserver.Conn) { c.Close("no session here") },
		}}))
		defer next.Close()
		f.answer = func(r *http.Request) (int, string) {
			w := testkit.Serve(next, r)
			return w.Code, w.Body.String()
		}
		g.server.Shutdown(g.t.Context(), "")
		g.want("open", "renewing, closed by the other end: shutdown")
		time.Sleep(time.Minute)
		if n := len(f.requests()); n < 9 || n > 16 {
			t.Errorf("%d attempts in a minute, want 9 to 16", n)
		}
		s.Close(0, "")
		g.want("closed here: normal")
	})
}

// While a server does not answer, the attempts at a new session get rarer, up to one in 5 to 10
// seconds.
func TestAttemptsAtANewSessionGetRarer(t *testing.T) {
	for name, answers := range map[string]bool{"no server": false, "a proxy": true} {
		inGame(t, godwit.Config{}, func(g *game) {
			var over atomic.Bool
			f := &gate{g: g, answer: func(*http.Request) (int, string) {
				if over.Load() && answers {
					return http.StatusBadGateway, "<html>"
				}
				return 0, ""
			}}
			s, err := g.join(f.endpoint(client.Config{}), g.renewing())
			g.must(err)
			f.requests()
			over.Store(true)
			g.broken.Store(!answers)
			g.server.Shutdown(g.t.Context(), "")
			g.want("open", "renewing, closed by the other end: shutdown")
			time.Sleep(time.Minute)
			// 250 to 500 ms before the first one, then twice as long each time.
			if n := len(f.requests()); n < 9 || n > 16 {
				t.Errorf("%s: %d attempts in a minute, want 9 to 16", name, n)
			}
			time.Sleep(10 * time.Minute)
			if n := len(f.requests()); n < 60 || n > 120 {
				t.Errorf("%s: %d attempts in ten minutes, want 60 to 120", name, n)
			}
			s.Close(0, "")
			g.want("closed here: normal")
		})
	}
}
