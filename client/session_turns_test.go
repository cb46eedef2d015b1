package client_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// pollOnce returns the events of one Poll that waits for at most a minute, and how long it took.
func pollOnce(e *client.Endpoint) (all []string, took time.Duration) {
	begin := time.Now()
	for ev := range e.Poll(time.Minute) {
		all = append(all, ev.Type.String())
	}
	return all, time.Since(begin)
}

// What a call causes is told by the next Poll, which does not wait then.
func TestPollTellsAtOnceWhatACallHasCaused(t *testing.T) {
	inGame(t, godwit.Config{MaxClientChannels: 1}, func(g *game) {
		e := g.manual()
		s := testkit.Must(g.join(e, client.SessionConfig{Renew: true}))
		wantAll(t, "at first", poll(e, time.Second, nil), "open")
		more := testkit.Must(s.OpenChannel(channel.Channel{Name: "more"}))
		poll(e, time.Second, nil)
		for range 60 { // more than the rate lets through at once
			g.must(s.Send(loot, make([]byte, 4<<10)))
		}
		e.Flush()
		for range 2 { // the second one replaces the first one
			testkit.Must(s.SendWith(move, []byte("here"), channel.Options{Receipt: true}))
		}
		g.must(s.CloseChannel(more))
		got, took := pollOnce(e)
		wantAll(t, "a message is replaced", got, "receipt")
		if took != 0 {
			t.Errorf("its receipt comes after %v, want at once", took)
		}
		poll(e, 30*time.Second, nil)
		g.server.Shutdown(g.t.Context(), "")
		g.broken.Store(true)
		wantAll(t, "the end", poll(e, 30*time.Second, nil), "renewing shutdown")
		s.Close(300, "")
		got, took = pollOnce(e)
		wantAll(t, "closed between two sessions", got, "close")
		if took != 0 || s.State() != session.StateClosed {
			t.Errorf("it is told after %v, want at once; the state is %v", took, s.State())
		}
	})
}

// A session that is being closed ends when its last message is acknowledged, and its program is
// told then: it does not wait for an answer to the close.
func TestCloseIsToldWithTheLastAcknowledgement(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		s := testkit.Must(g.connect(client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		time.Sleep(time.Second)
		g.must(s.Send(chat, []byte("bye")))
		begin := time.Now()
		s.Close(300, "")
		g.want("closed here: code 300")
		if d := time.Since(begin); d > 75*time.Millisecond { // a round trip of 40 ms, and the time until it is acknowledged
			t.Errorf("it is told after %v", d)
		}
	})
}

// A handler panics in a Poll, and the socket fails before the next one, which delivers the other
// messages and then the end.
func TestSocketFailsAfterAPanic(t *testing.T) {
	inGame(t, godwit.Config{Handler: godwit.Handler{Message: func(c *godwit.Conn, ch godwit.ChannelID, _ []byte) {
		for i := range 3 {
			c.Send(ch, fmt.Append(nil, i))
		}
	}}}, func(g *game) {
		socket := testkit.Listen(g.t, g.network, pageAddr)
		e := testkit.Must(client.Serve(socket, client.Config{Manual: true, HTTP: &http.Client{Transport: g}}))
		defer e.Close()
		h := g.handler()
		message := h.Message
		h.Message = func(s *client.Session, ch channel.ID, b []byte) {
			if message(s, ch, b); string(b) == "0" {
				panic("boom")
			}
		}
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: h}))
		g.must(s.Send(chat, nil))
		e.Flush()
		time.Sleep(time.Second)
		try(func() {
			for range e.Poll(0) {
			}
		})
		g.want("open", "chat: 0")
		socket.Close()
		for range e.Poll(0) {
		}
		g.want("chat: 1", "chat: 2", "closed here: normal: the endpoint was closed")
		select {
		case <-s.Done():
		default:
			t.Error("Done is not closed")
		}
	})
}

// The socket fails between two sessions, while the old link is still there: the program gets the end.
func TestSocketFailsBetweenTwoSessions(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		f := &gate{g: g, answer: func(r *http.Request) (int, string) {
			if resumes(r) {
				return http.StatusGone, `{"code":"resume","error":"it is over","reason":"ended"}`
			}
			return 0, ""
		}}
		socket := testkit.Listen(g.t, g.network, pageAddr)
		e := testkit.Must(client.Serve(socket, client.Config{HTTP: &http.Client{Transport: f}}))
		defer e.Close()
		s := testkit.Must(g.join(e, g.renewing()))
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted", "renewing, closed here: timeout: it is over")
		socket.Close()
		g.wantNow("closed here: normal: the endpoint was closed")
		<-s.Done()
	})
}

// A server whose connections end before a session is open does not keep a client that begins a
// new session from trying again: it does so after the usual wait.
func TestNewSessionWhoseConnectionEndsIsTriedAgain(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		bad := testkit.Must(rtcserver.Serve(testkit.Listen(t, g.network, netip.MustParseAddrPort("192.0.2.1:7779")), rtcserver.Config{
			Handler: rtcserver.Handler{Open: func(c *rtcserver.Conn) { c.Close("no session here") }},
		}))
		defer bad.Close()
		var over atomic.Int32
		f := &gate{g: g}
		through := roundTrip(func(r *http.Request) (*http.Response, error) {
			if over.Load() == 0 || over.Add(-1) == 0 {
				return f.RoundTrip(r)
			}
			return testkit.Transport{Handler: bad}.RoundTrip(r)
		})
		e := testkit.Must(client.Serve(testkit.Listen(t, g.network, pageAddr), client.Config{HTTP: &http.Client{Transport: through}}))
		defer e.Close()
		sc := g.renewing()
		sc.Links = []string{session.LinkWebRTC}
		_, err := g.join(e, sc)
		g.must(err)
		over.Store(3) // two requests to the other server
		for c := range g.server.Conns() {
			c.Close(session.CloseShutdown, "")
		}
		g.want("open", "renewing, closed by the other end: shutdown")
		begin := time.Now()
		g.want("open")
		// Waits of 0.25 to 0.5 s, 0.5 to 1 s and 1 to 2 s, and the attempts.
		if d := time.Since(begin); d > 4*time.Second {
			t.Errorf("the new session is open after %v, want within 4 s", d)
		}
		if n := bad.Stats().Opened; n != 2 {
			t.Errorf("%d connections to the other server, want 2", n)
		}
	})
}

// A session that has opened on a WebSocket looks for WebRTC, also when the first attempt over
// WebRTC has failed.
func TestSessionThatOpensOnAWebSocketLooksForWebRTC(t *testing.T) {
	inLinkedGame(t, godwit.Config{}, func(g *game, e *client.Endpoint) {
		g.dark(20 * time.Second)
		s := testkit.Must(g.join(e, client.SessionConfig{Handler: g.handler()}))
		g.want("open")
		time.Sleep(29 * time.Second)
		g.wantLink(s, session.LinkWebSocket)
		time.Sleep(2 * time.Second)
		g.wantLink(s, session.LinkWebRTC)
	})
}

// A session ends while it waits to try again for a link. The new session is opened after the wait
// before a first attempt, not after the rest of the other wait.
func TestEndOfASessionEndsTheWaitForALink(t *testing.T) {
	inGame(t, godwit.Config{Grace: 45 * time.Second}, func(g *game) {
		f := &gate{g: g}
		for range 3 { // in one of them the rest of the other wait could be short
			s := testkit.Must(g.join(f.endpoint(client.Config{}), g.renewing()))
			g.want("open")
			g.broken.Store(true)
			g.dark(time.Hour)
			g.want("interrupted", "renewing, closed here: timeout: nothing arrived for too long")
			f.requests()
			time.Sleep(500 * time.Millisecond)
			if asked := f.requests(); len(asked) != 1 || resumes(asked[0]) {
				t.Errorf("%d requests within 0.5 s, want one for a new session", len(asked))
			}
			s.Close(0, "")
			g.want("closed here: normal")
			g.broken.Store(false)
			g.dark(0)
		}
	})
}

// Close between two sessions ends the renewing, also with a code after which a session is renewed.
func TestCloseEndsTheRenewingWhateverItsCode(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		s := testkit.Must(g.connect(g.renewing()))
		g.server.Shutdown(g.t.Context(), "")
		g.want("open", "renewing, closed by the other end: shutdown")
		s.Close(session.CloseShutdown, "enough")
		g.wantNow("closed here: shutdown: enough")
		<-s.Done()
		if st := s.State(); st != session.StateClosed {
			t.Errorf("the state is %v, want closed", st)
		}
	})
}

// If neither WebRTC nor a WebSocket opens, Join says why each of them does not.
func TestJoinSaysWhyEachLinkFails(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		f := &gate{g: g, answer: func(r *http.Request) (int, string) {
			if r.Method == http.MethodGet {
				return http.StatusTeapot, "no upgrade here"
			}
			return 0, ""
		}}
		e := f.endpoint(client.Config{})
		g.dark(time.Hour)
		begin := time.Now()
		_, err := g.join(e, client.SessionConfig{})
		if err == nil || !strings.Contains(err.Error(), "does not answer over UDP") || !strings.Contains(err.Error(), "no other link opens") || !strings.Contains(err.Error(), "418") {
			t.Errorf("%v", err)
		}
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("after %v, want Config.AnswerTimeout", d)
		}
	})
}

// The number of a channel that is closed is free when the program has been told, also if it has
// no handler for that.
func TestNumberOfAClosedChannelIsFreeWithoutAHandler(t *testing.T) {
	inGame(t, godwit.Config{MaxClientChannels: 1}, func(g *game) {
		s := testkit.Must(g.connect(client.SessionConfig{}))
		for range 3 {
			ch := testkit.Must(s.OpenChannel(channel.Channel{Name: "more"}))
			time.Sleep(time.Second)
			g.must(s.CloseChannel(ch))
			time.Sleep(time.Second)
			if n := len(s.Channels()); n != len(table) {
				t.Fatalf("the table has %d channels, want %d", n, len(table))
			}
		}
	})
}

// In the body of a range over Poll, a channel whose end is told still has its number. With Flush, messages
// leave without a Poll.
func TestPolledChannelHasItsNumberUntilItsEndIsTold(t *testing.T) {
	var came atomic.Int32
	inGame(t, godwit.Config{MaxClientChannels: 1, Handler: godwit.Handler{
		Message: func(*godwit.Conn, godwit.ChannelID, []byte) { came.Add(1) },
	}}, func(g *game) {
		e := g.manual()
		s := testkit.Must(g.join(e, client.SessionConfig{}))
		ch := testkit.Must(s.OpenChannel(channel.Channel{Name: "more"}))
		poll(e, time.Second, nil)
		g.must(s.Send(chat, []byte("x")))
		e.Flush()
		time.Sleep(25 * time.Millisecond)
		if came.Load() != 1 {
			t.Error("the message has not left with Flush")
		}
		g.must(s.CloseChannel(ch))
		wantAll(t, "the end of the channel", poll(e, time.Second, func(client.Event) {
			e.Flush()
			if n := len(s.Channels()); n != len(table)+1 {
				t.Errorf("while its end is told the table has %d channels, want %d", n, len(table)+1)
			}
		}), "channel closed")
		if n := len(s.Channels()); n != len(table) {
			t.Errorf("after it the table has %d channels, want %d", n, len(table))
		}
	})
}

// A channel whose end waits for the next Poll, because the body has broken off, has its number until
// then.
func TestChannelWhoseEndWaitsForThePollHasItsNumber(t *testing.T) {
	inGame(t, godwit.Config{MaxClientChannels: 2}, func(g *game) {
		e := g.manual()
		s := testkit.Must(g.join(e, client.SessionConfig{}))
		for _, name := range []string{"one", "two"} {
			testkit.Must(s.OpenChannel(channel.Channel{Name: name}))
		}
		poll(e, time.Second, nil)
		for _, name := range []string{"one", "two"} {
			ch, _ := s.Channels().ID(name)
			g.must(s.CloseChannel(ch))
		}
		e.Flush()
		time.Sleep(time.Second) // the answers wait at the socket
		for range e.Poll(0) {
			break
		}
		e.Flush()
		_, one := s.Channels().ID("one")
		_, two := s.Channels().ID("two")
		if one == two {
			t.Errorf("one is in the table: %v, two: %v; want the one whose end is not told", one, two)
		}
		wantAll(t, "the other end", poll(e, time.Second, nil), "channel closed")
		if n := len(s.Channels()); n != len(table) {
			t.Errorf("after it the table has %d channels, want %d", n, len(table))
		}
	})
}
