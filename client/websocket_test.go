package client_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// inLinkedGame is inGame with clients that reach the server's HTTP over connections in memory,
// so that WebSockets work. The server echoes.
func inLinkedGame(t *testing.T, c godwit.Config, test func(g *game, e *client.Endpoint)) {
	c.Handler.Message = func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) }
	inGame(t, c, func(g *game) {
		pipes := testkit.ServeHTTP(g.t, g.server)
		g.socket = testkit.Listen(g.t, g.network, pageAddr)
		e := testkit.Must(client.Serve(g.socket, client.Config{HTTP: pipes.Client()}))
		defer e.Close()
		test(g, e)
	})
}

// dark makes every datagram of UDP get lost for a time.
func (g *game) dark(d time.Duration) { g.network.BlackoutFor(netip.Addr{}, netip.Addr{}, d) }

// wantLink checks the link of both ends of the only session.
func (g *game) wantLink(s *client.Session, name string) {
	g.t.Helper()
	theirs := ""
	synctest.Wait()
	for c := range g.server.Conns() {
		theirs = c.Link()
	}
	if s.Link() != name || theirs != name {
		g.t.Errorf("the link is %q at the client and %q at the server, want %q", s.Link(), theirs, name)
	}
}

// echo sends a message and waits for its echo.
func (g *game) echo(s *client.Session, text string) {
	g.t.Helper()
	g.must(s.Send(chat, []byte(text)))
	g.want("chat: " + text)
}

// A session opens over a WebSocket when WebRTC is not open after 0.5 s. The next one to the same
// server does not wait, and one that wants only a WebSocket does not either.
func TestWhereUDPDoesNotArriveAWebSocketCarriesTheSession(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		g.dark(time.Hour)
		for _, want := range []time.Duration{500 * time.Millisecond, 0} {
			start := time.Now()
			s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
			if took := time.Since(start); took != want {
				t.Errorf("it took %v, want %v", took, want)
			}
			g.want("open")
			g.wantLink(s, session.LinkWebSocket)
			g.echo(s, "hello")
			s.Close(0, "")
			g.want("closed here: normal")
			<-s.Done()
		}
		s := testkit.Must(g.join(e, client.SessionConfig{Links: []string{session.LinkWebSocket}, Handler: g.handler()}))
		g.want("open")
		g.echo(s, "again")
		time.Sleep(time.Hour)
		g.wantLink(s, session.LinkWebSocket)
		if st := g.server.Stats(); st.Links.Opened != 3 || st.Links.Open != 1 || st.RTC.Conns != 0 {
			t.Errorf("%+v", st.Links)
		}
	})
}

// Where UDP arrives no WebSocket is opened, and one that wants only WebRTC gets no other link
// where it does not.
func TestWithoutNeedNoWebSocketIsOpened(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		time.Sleep(time.Minute)
		g.wantLink(s, session.LinkWebRTC)
		s.Close(0, "")
		<-s.Done()
		time.Sleep(time.Second) // the connection closes, too
		g.dark(time.Hour)
		if _, err := g.join(e, client.SessionConfig{Links: []string{session.LinkWebRTC}}); err == nil || !strings.Contains(err.Error(), "does not answer over UDP") {
			t.Errorf("without UDP: %v", err)
		}
		if n := g.server.Stats().Links.Opened; n != 0 {
			t.Errorf("%d WebSockets were opened", n)
		}
	})
}

// WebRTC opens while the session is on a WebSocket: the session moves there, and every message
// arrives once and in order, in both directions. The program is not told of an interruption.
func TestWebRTCTakesTheSessionOver(t *testing.T) {
	inLinkedGame(t, godwit.Config{Limits: session.Limits{Messages: -1, Bytes: -1}}, func(g *game, e *client.Endpoint) {
		g.dark(3 * time.Second)
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		g.wantLink(s, session.LinkWebSocket)
		const n = 500
		for i := range n {
			g.must(s.Send(chat, fmt.Appendf(nil, "%d", i)))
			time.Sleep(10 * time.Millisecond)
		}
		for i := range n {
			g.want(fmt.Sprintf("chat: %d", i))
		}
		g.wantLink(s, session.LinkWebRTC)
		if st := g.server.Stats().Links; st.Open != 0 || st.Opened != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// UDP falls silent: the session is on a WebSocket within 4 s. UDP comes back: it is on WebRTC
// 35 s later. Nothing is lost, and nothing comes twice.
func TestAWebSocketCarriesTheSessionWhileUDPIsSilent(t *testing.T) {
	inLinkedGame(t, godwit.Config{Limits: session.Limits{Messages: -1, Bytes: -1}}, func(g *game, e *client.Endpoint) {
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		g.echo(s, "hello")
		g.dark(20 * time.Second)
		var order []string
		for i := range 1000 {
			g.must(s.Send(chat, fmt.Appendf(nil, "%d", i)))
			order = append(order, fmt.Sprintf("chat: %d", i))
			time.Sleep(4 * time.Millisecond)
		}
		g.wantLink(s, session.LinkWebSocket)
		time.Sleep(35 * time.Second)
		g.wantLink(s, session.LinkWebRTC)
		told := map[string]int{}
		for len(g.events) > 0 {
			ev := <-g.events
			if strings.HasPrefix(ev, "chat: ") {
				if len(order) == 0 || ev != order[0] {
					t.Fatalf("%q, want %q", ev, order[0])
				}
				order = order[1:]
				continue
			}
			told[ev]++
		}
		if len(order) != 0 || told["interrupted"] != 1 || told["resumed"] != 1 {
			t.Errorf("%d messages are lost, events %v", len(order), told)
		}
	})
}

// Where UDP never arrives a session on a WebSocket tries WebRTC after 30 s, then after twice as
// long each time, up to ten minutes.
func TestAttemptsAtWebRTCGetRarer(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		g.dark(24 * time.Hour)
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		asked := func(d time.Duration) uint64 {
			before := g.server.RTC().Stats().Offers
			time.Sleep(d)
			return g.server.RTC().Stats().Offers - before
		}
		// An attempt fails within 20 s.
		if n := asked(18 * time.Minute); n != 5 {
			t.Errorf("%d attempts in 18 minutes, want 5, after 30 s, 1, 2, 4 and 8 minutes", n)
		}
		if n := asked(6 * time.Hour); n < 34 || n > 36 {
			t.Errorf("%d attempts in the next six hours, want one in each ten minutes", n)
		}
		g.wantLink(s, session.LinkWebSocket)
	})
}

// An endpoint is closed while a session on a WebSocket asks for WebRTC: the request ends, too.
func TestCloseOfAnEndpointEndsARequest(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		inner := testkit.ServeHTTP(g.t, g.server).Client().Transport
		asked, ended := make(chan bool, 2), make(chan error, 1)
		through := roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				if asked <- true; len(asked) == 2 {
					<-r.Context().Done()
					ended <- r.Context().Err()
					return nil, r.Context().Err()
				}
			}
			return inner.RoundTrip(r)
		})
		e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), client.Config{HTTP: &http.Client{Transport: through}}))
		g.dark(time.Hour)
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		g.wantLink(s, session.LinkWebSocket)
		time.Sleep(35 * time.Second)
		if len(asked) != 2 || len(ended) != 0 {
			t.Fatalf("%d requests, of which %d have ended", len(asked), len(ended))
		}
		e.Close()
		g.want("closed here: normal: the endpoint was closed")
		synctest.Wait()
		if len(ended) != 1 {
			t.Error("the request goes on")
		}
	})
}

// A WebSocket that breaks is replaced by another one.
func TestABrokenWebSocketIsReplaced(t *testing.T) {
	inLinkedGame(t, godwit.Config{Links: []string{session.LinkWebSocket}}, func(g *game, e *client.Endpoint) {
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		for i := range 3 {
			g.echo(s, "hello")
			client.CutWebSocket(s)
			g.want("interrupted", "resumed")
			g.echo(s, fmt.Sprint(i))
		}
		synctest.Wait()
		if st := g.server.Stats().Links; st.Open != 1 || st.Opened != 4 || st.Broken != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A WebSocket breaks while the attempt over WebRTC, which it has won against, is still being made: the
// session makes both links again at once.
func TestABrokenWebSocketIsReplacedWhileWebRTCIsBeingTried(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		g.dark(time.Hour)
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		g.echo(s, "hello") // the session is open at the server, too
		for range 3 {
			start := time.Now()
			client.CutWebSocket(s)
			g.want("interrupted", "resumed")
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %v", took)
			}
			g.wantLink(s, session.LinkWebSocket)
		}
	})
}

// Large messages go through the outbox of a WebSocket, which holds less than the window.
func TestBulkOverAWebSocket(t *testing.T) {
	table := channel.Channels{{Name: "map", Mode: channel.ReliableOrdered, MaxMessage: 1 << 20, QueueLimit: 8 << 20}}
	inLinkedGame(t, godwit.Config{Channels: table, Ceiling: -1, Limits: session.Limits{Bytes: -1}}, func(g *game, e *client.Endpoint) {
		came := make(chan []byte, 8)
		s := testkit.Must(g.join(e, client.SessionConfig{Channels: table, Ceiling: -1, Links: []string{session.LinkWebSocket},
			Handler: client.SessionHandler{Message: func(_ *client.Session, _ channel.ID, b []byte) { came <- append([]byte{}, b...) }}}))
		for i := range 4 {
			g.must(s.Send(1, append(make([]byte, 1<<20-1), byte(i))))
		}
		for i := range 4 {
			if b := testkit.Next(t, "the map", came); len(b) != 1<<20 || b[len(b)-1] != byte(i) {
				t.Errorf("message %d has %d bytes", i, len(b))
			}
		}
		if st := s.Stats(); st.Retransmits != 0 || st.Copies != 0 || st.Timeouts != 0 {
			t.Errorf("%d pieces were sent again, %d copies, %d timeouts", st.Retransmits, st.Copies, st.Timeouts)
		}
	})
}

// A client opens a WebSocket, and WebRTC before it has sent anything over the WebSocket: the
// session does not end with the WebSocket.
func TestAnUnusedWebSocketEndsNoSession(t *testing.T) {
	inLinkedGame(t, godwit.Config{Handler: godwit.Handler{Open: func(c *godwit.Conn) { c.Send(chat, []byte("welcome")) }}}, func(g *game, e *client.Endpoint) {
		s, err := client.JoinWithUnusedWebSocket(g.t.Context(), e, "http://game.example/godwit/", client.SessionConfig{Channels: table, Handler: g.handler()})
		g.must(err)
		g.want("open", "chat: welcome")
		g.wantLink(s, session.LinkWebRTC)
		if st := g.server.Stats().Links; st.Opened != 1 || st.Open != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// WebRTC needs longer than its head start once, but opens: the next session begins with WebRTC and
// opens no WebSocket.
func TestALateWebRTCIsNoReasonToBeginWithAWebSocket(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		for range 2 { // the second time the WebSocket has no head start to wait for
			g.dark(3 * time.Second)
			s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
			g.want("open")
			g.wantLink(s, session.LinkWebSocket)
			time.Sleep(10 * time.Second)
			g.wantLink(s, session.LinkWebRTC)
			s.Close(0, "")
			g.want("closed here: normal")
			<-s.Done()
			time.Sleep(time.Second)
			s = testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
			g.want("open")
			g.wantLink(s, session.LinkWebRTC)
			time.Sleep(time.Minute)
			s.Close(0, "")
			g.want("closed here: normal")
			<-s.Done()
			time.Sleep(time.Second)
		}
		if n := g.server.Stats().Links.Opened; n != 2 {
			t.Errorf("%d WebSockets were opened, want 2", n)
		}
	})
}

// A connection that is still being opened when its session ends, because a WebSocket was faster, ends with the session.
func TestAConnectionThatIsNotOpenEndsWithItsSession(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		g.dark(time.Hour)
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		g.wantLink(s, session.LinkWebSocket)
		if n := e.Stats().Conns; n != 1 {
			t.Errorf("%d connections, want the one that is being opened", n)
		}
		s.Close(0, "")
		g.want("closed here: normal")
		<-s.Done()
		synctest.Wait()
		if st := e.Stats(); st.Conns != 0 || st.Opened != 0 {
			t.Errorf("%d connections after the end, %d opened; want 0", st.Conns, st.Opened)
		}
	})
}

// UDP opens, and is gone five seconds after each move to WebRTC. The race that follows is without
// WebRTC, so that the WebSocket carries the session for longer and longer. A WebRTC link that lasts
// is in the next race.
func TestUDPThatIsGoneAfterSecondsIsTriedEverMoreRarely(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		// live returns the seconds between the moves to WebRTC, after each of which UDP lasts for a time.
		live := func(total, lifetime int) (gaps []int) {
			link, last := s.Link(), 0
			for i := range total {
				if s.Link() == session.LinkWebRTC && link == session.LinkWebSocket {
					gaps = append(gaps, i-last)
					last = i
				}
				link = s.Link()
				if link == session.LinkWebRTC && (len(gaps) == 0 || i-last >= lifetime) {
					g.dark(time.Hour)
				} else {
					g.dark(0)
				}
				time.Sleep(time.Second)
			}
			return gaps
		}
		time.Sleep(5 * time.Second)
		got, want := live(500, 5), []int{4, 37, 67, 127, 247}
		if !slices.EqualFunc(got, want, func(a, b int) bool { return a == b || a == b+1 }) {
			t.Errorf("seconds between the moves to WebRTC: %v, want %v", got, want)
		}
		if got := live(600, 40); len(got) < 2 || got[0] < 200 || got[1] > 50 {
			t.Errorf("seconds between the moves to WebRTC, where UDP lasts 40 s: %v", got)
		}
	})
}

// UDP that is gone after seconds is tried again at once where there is nothing else.
func TestUDPThatIsGoneAfterSecondsIsTriedAgainWithoutAWebSocket(t *testing.T) {
	inLinkedGame(t, godwit.Config{Links: []string{session.LinkWebRTC}}, func(g *game, e *client.Endpoint) {
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		for range 3 {
			time.Sleep(5 * time.Second)
			g.dark(4 * time.Second)
			g.want("interrupted", "resumed")
		}
		g.wantLink(s, session.LinkWebRTC)
	})
}

// A session that prefers the WebSocket opens it beside WebRTC, without a head start.
func TestAWebSocketThatIsPreferred(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		s := testkit.Must(g.join(e, client.SessionConfig{Links: []string{session.LinkWebSocket, session.LinkWebRTC}, Handler: g.handler()}))
		g.want("open")
		time.Sleep(time.Minute)
		g.wantLink(s, session.LinkWebSocket)
	})
}
