package client_test

import (
	"errors"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// A link that a session leaves for a new link is a closed connection, and is counted.
func TestLinkThatIsReplacedIsCounted(t *testing.T) {
	inGame(t, godwit.Config{NoDirect: true}, func(g *game) {
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted")
		time.Sleep(time.Second) // the offer is answered, so the old link is left
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("resumed")
		time.Sleep(time.Second)
		if n := s.Stats().Resumed; n != 1 {
			t.Errorf("it has resumed on %d new links, want 1", n)
		}
		if st := g.endpoints[0].Stats(); st.Opened != 2 || st.Closed != 1 || st.Conns != 1 {
			t.Errorf("%d links were opened, want 2; %d have ended, want 1; %d are there, want 1", st.Opened, st.Closed, st.Conns)
		}
	})
}

// A session resumes on its old link while it waits a long time before the next attempt at a new link.
// When the link is cut after that, the waits between attempts are short again.
func TestWaitsAreShortAgainAfterASessionHasResumed(t *testing.T) {
	inGame(t, godwit.Config{NoDirect: true}, func(g *game) {
		asked := make(chan struct{}, 100)
		f := &gate{g: g, answer: func(*http.Request) (int, string) { asked <- struct{}{}; return 0, "" }}
		s := testkit.Must(g.join(f.endpoint(client.Config{}), client.SessionConfig{Links: []string{session.LinkWebRTC}, Handler: g.handler()}))
		g.want("open")
		<-asked
		g.broken.Store(true)
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted")
		for range 6 { // after which the session waits for 5 s or more
			<-asked
		}
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("resumed")
		for c := range g.server.RTC().Conns() {
			c.Close("cut")
		}
		g.want("interrupted")
		begin := time.Now()
		for range 3 {
			<-asked
		}
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("the third attempt comes after %v, want at most 0.5 s and 1 s", d)
		}
		g.broken.Store(false)
		g.want("resumed")
		s.Close(0, "")
		g.want("closed here: normal")
	})
}

// A session that is being closed waits for the end of its messages on the link that it has:
// it does not leave the link for a new one, which it could not use. An attempt without a request
// would have ended the link already, because both would have the same addresses.
func TestSessionThatIsClosedKeepsItsLink(t *testing.T) {
	c := godwit.Config{NoDirect: true}
	inGame(t, c, func(g *game) {
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.broken.Store(true)
		g.network.SetDefault(netsim.Link{Loss: 1})
		_, err = s.Ask("x", nil, nil)
		g.must(err)
		g.want("interrupted")
		s.Close(300, "enough")
		if st := s.State(); st != session.StateClosing {
			t.Errorf("the state is %v, want closing", st)
		}
		g.broken.Store(false)
		time.Sleep(2 * time.Second)
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		begin := time.Now()
		g.want("closed here: code 300: enough")
		if d := time.Since(begin); d == 0 || d > time.Second {
			t.Errorf("closed %v after the network was back, want within 1 s", d)
		}
	})
}

// A program that closes its session while a new one opens gets one Close, and no event of the
// new session: neither that it has opened nor that the server has closed it.
func TestEndIsToldOnceWhileANewSessionOpensAndEnds(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		e := g.manual()
		s, err := g.join(e, client.SessionConfig{Renew: true})
		g.must(err)
		wantAll(t, "at first", poll(e, time.Second, nil), "open")
		var opened atomic.Bool
		next := testkit.Must(godwit.Serve(testkit.Listen(g.t, g.network, netip.MustParseAddrPort("192.0.2.1:7778")), godwit.Config{Channels: table, Handler: godwit.Handler{
			Open: func(c *godwit.Conn) { opened.Store(true); time.AfterFunc(time.Millisecond, func() { c.Kick("") }) },
		}}))
		defer next.Close()
		g.next.Store(next)
		g.server.Shutdown(g.t.Context(), "")
		var got []string
		for !opened.Load() {
			got = append(got, poll(e, time.Millisecond, nil)...)
		}
		time.Sleep(time.Second) // what the new server has said has arrived
		if st := s.State(); st != session.StateOpening {
			t.Errorf("the state is %v, want opening", st)
		}
		s.Close(300, "enough")
		if st := s.State(); st != session.StateClosed {
			t.Errorf("the state after Close is %v, want closed", st)
		}
		if err := s.Send(chat, nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Send after Close: %v, want ErrClosed", err)
		}
		got = append(got, poll(e, time.Second, nil)...)
		wantAll(t, "the end", got, "renewing shutdown", "close code 300")
		select {
		case <-s.Done():
		default:
			t.Error("Done is not closed after Close")
		}
	})
}
