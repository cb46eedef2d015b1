package client_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Bytes of messages that lie in the memory of datagrams. A handler panics, so messages wait
// for the next turn, in which datagrams arrive; those messages wait in turn, and further
// datagrams arrive. No message gets the bytes of another.

// A listener stores its messages, and panics at the first one.
type listener struct{ got []string }

func (l *listener) hear(b []byte) {
	if string(b) == "boom" {
		panic("boom")
	}
	l.got = append(l.got, string(b))
}

var one, two, later = strings.Repeat("1", 500), strings.Repeat("2", 500), bytes.Repeat([]byte("3"), 500)

// try takes a turn in which a handler may panic.
func try(turn func()) {
	defer func() {
		if p := recover(); p != nil && p != "boom" {
			panic(p)
		}
	}()
	turn()
}

// hears sends the messages, with a turn after each step.
func (l *listener) hears(t *testing.T, turn func(), first, second, third func()) {
	t.Helper()
	for i, send := range []func(){first, second, third} {
		send()
		time.Sleep(25 * time.Millisecond) // one way
		try(turn)
		if i == 0 && len(l.got) > 0 {
			t.Errorf("no handler has panicked before the event %q", l.got)
		}
	}
	try(turn)
	for _, want := range []string{one, two} {
		if n := len(slices.DeleteFunc(slices.Clone(l.got), func(s string) bool { return s != want })); n != 1 {
			t.Errorf("the event %.10q was delivered %d times, want once", want, n)
		}
	}
}

func TestServerKeepsMessagesAfterAPanicOfAnotherHandler(t *testing.T) {
	var l listener
	inGame(t, godwit.Config{Manual: true, Handler: godwit.Handler{
		Message: func(_ *godwit.Conn, _ channel.ID, b []byte) { l.hear(b) },
	}}, func(g *game) {
		turn := func() {
			for range g.server.Poll(0) {
			}
		}
		sessions := make(chan *client.Session, 2)
		for range 2 {
			e := g.endpoint()
			go func() { sessions <- testkit.Must(g.join(e, client.SessionConfig{})) }()
		}
		for len(sessions) < 2 {
			turn()
			g.server.Flush()
			time.Sleep(time.Millisecond)
		}
		a, b := <-sessions, <-sessions
		for range 1000 {
			turn()
			time.Sleep(time.Millisecond)
		}
		l.hears(t, turn,
			func() { a.Send(chat, []byte("boom")); b.Send(chat, []byte(one)) },
			func() { b.Send(chat, []byte(two)) },
			func() {
				for range 10 {
					a.Send(chat, later)
				}
			})
	})
}

func TestSessionKeepsMessagesAfterAPanic(t *testing.T) {
	var l listener
	inGame(t, godwit.Config{}, func(g *game) {
		e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), client.Config{Manual: true, HTTP: &http.Client{Transport: g}}))
		defer e.Close()
		testkit.Must(g.join(e, client.SessionConfig{Handler: client.SessionHandler{
			Message: func(_ *client.Session, _ channel.ID, b []byte) { l.hear(b) },
		}}))
		c := slices.Collect(g.server.Conns())[0]
		turn := func() {
			for range e.Poll(0) {
			}
		}
		l.hears(t, turn,
			func() { c.Send(chat, []byte("boom")); c.Send(chat, []byte(one)) },
			func() { c.Send(chat, []byte(two)) },
			func() {
				for range 10 {
					c.Send(chat, later)
				}
			})
	})
}

func TestConnKeepsMessagesAfterAPanic(t *testing.T) {
	var l listener
	inWorld(t, func(w *world) {
		e := testkit.Must(client.Serve(testkit.Listen(w.t, w.network, pageAddr), client.Config{Manual: true, Handler: client.Handler{
			Message: func(_ *client.Conn, m client.Message) { l.hear(m.Data) },
		}}))
		defer e.Close()
		testkit.Must(e.Connect(w.t.Context(), w.signal, nil))
		time.Sleep(100 * time.Millisecond) // until the server knows that the connection is open
		c := slices.Collect(w.server.Conns())[0]
		say := func(text string) { c.Send(0, rtcserver.Binary, []byte(text)) }
		turn := func() {
			for range e.Poll(0) {
			}
		}
		l.hears(t, turn,
			func() { say("boom"); say(one) },
			func() { say(two) },
			func() {
				for range 10 {
					say(string(later))
				}
			})
	})
}

// The same over a WebSocket, whose datagrams arrive while a handler runs.
func TestSessionKeepsMessagesOfAWebSocketAfterAPanic(t *testing.T) {
	var l listener
	inGame(t, godwit.Config{}, func(g *game) {
		hc := testkit.ServeHTTP(g.t, g.server).Client()
		e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), client.Config{Manual: true, HTTP: hc}))
		defer e.Close()
		var c *godwit.Conn
		testkit.Must(g.join(e, client.SessionConfig{Links: []string{session.LinkWebSocket}, Handler: client.SessionHandler{
			Message: func(_ *client.Session, _ channel.ID, b []byte) {
				if string(b) == one {
					for range 10 {
						c.Send(chat, later)
						time.Sleep(100 * time.Millisecond) // each is a datagram
					}
				}
				l.hear(b)
			},
		}}))
		synctest.Wait()
		c = slices.Collect(g.server.Conns())[0]
		for _, text := range []string{"boom", one, two} {
			g.must(c.Send(chat, []byte(text)))
		}
		for range 3 {
			synctest.Wait()
			try(func() {
				for range e.Poll(0) {
				}
			})
		}
		if len(l.got) < 2 || l.got[0] != one || l.got[1] != two {
			t.Errorf("%d messages arrive, which begin with %.10q", len(l.got), l.got)
		}
	})
}
