package client_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A clogged is a connection on which a write waits while the test has the place.
type clogged struct {
	io.ReadWriteCloser
	place chan struct{}
}

func (c clogged) Write(b []byte) (int, error) {
	c.place <- struct{}{}
	defer func() { <-c.place }()
	return c.ReadWriteCloser.Write(b)
}

// overCloggedWebSocket runs a test on a session over a WebSocket whose writes the test can stop with place.
func overCloggedWebSocket(t *testing.T, sc client.SessionConfig, test func(g *game, s *client.Session, place chan struct{})) {
	t.Helper()
	place := new(chan struct{})
	race{server: godwit.Config{Limits: session.Limits{Messages: -1, Bytes: -1}, Handler: echo.Handler}, upgrade: func(r *http.Request, reach http.RoundTripper) (*http.Response, error) {
		resp, err := reach.RoundTrip(r)
		if err == nil {
			*place = make(chan struct{}, 1)
			resp.Body = clogged{resp.Body.(io.ReadWriteCloser), *place}
		}
		return resp, err
	}}.run(t, func(g *game, e *client.Endpoint) {
		sc.Links = []string{session.LinkWebSocket}
		if sc.Handler.Message == nil {
			sc.Handler.Message = g.handler().Message
		}
		s := testkit.Must(g.join(e, sc))
		time.Sleep(time.Second)
		test(g, s, *place)
	})
}

// What a WebSocket has no room for waits, and leaves as soon as there is room. Nothing is sent again, and nothing
// is lost.
func TestAWebSocketWithoutRoomIsWaitedFor(t *testing.T) {
	overCloggedWebSocket(t, client.SessionConfig{}, func(g *game, s *client.Session, place chan struct{}) {
		place <- struct{}{}
		for i := range 50 {
			g.must(s.Send(chat, fmt.Append(nil, i)))
			synctest.Wait() // so that each has its own datagram while there is room
		}
		time.Sleep(10 * time.Millisecond) // the client looks for room every 50 ms anyway
		<-place
		start := time.Now()
		for i := range 50 {
			g.want(fmt.Sprint("chat: ", i))
		}
		if took := time.Since(start); took >= 30*time.Millisecond {
			g.t.Errorf("the messages are back %v after there is room", took)
		}
		if st := s.Stats(); st.Retransmits+st.Copies != 0 {
			g.t.Errorf("%d pieces are sent again, %d copies", st.Retransmits, st.Copies)
		}
	})
}

// While a handler runs, no more than 64 datagrams are read from a WebSocket. The rest comes when it has returned.
func TestAWebSocketIsReadAfterALongHandler(t *testing.T) {
	held := false
	var events chan string
	sc := client.SessionConfig{Handler: client.SessionHandler{Message: func(_ *client.Session, _ godwit.ChannelID, b []byte) {
		if !held {
			held = true
			time.Sleep(2 * time.Second)
		}
		events <- string(b)
	}}}
	overCloggedWebSocket(t, sc, func(g *game, s *client.Session, _ chan struct{}) {
		events = g.events
		for c := range g.server.Conns() {
			for i := range 200 {
				g.must(c.Send(chat, fmt.Append(nil, i)))
				time.Sleep(5 * time.Millisecond)
			}
		}
		for i := range 200 {
			g.want(fmt.Sprint(i))
		}
	})
}
