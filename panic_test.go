package godwit

import (
	"context"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// survive calls f and reports whether it panicked.
func survive(f func()) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	f()
	return false
}

// A program that recovers around Poll loses only the event at which its handler panicked.
func TestRecoveredPanicInAHandler(t *testing.T) {
	for _, test := range []struct {
		name     string
		handlers bool
	}{{"of a Handler", true}, {"in the loop over Poll", false}} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			take := func(c *Conn, b []byte) {
				if string(b) == "bad" {
					panic("bad")
				}
				got = append(got, c.Identity().Name+": "+string(b))
			}
			srv, _ := newTestServer(t, manual, func(c *Config) {
				if test.handlers {
					c.Handler.Message = func(c *Conn, _ ChannelID, b []byte) { take(c, b) }
				}
			})
			panics := 0
			turns := func() {
				for range 10 {
					if survive(func() {
						for ev := range srv.Poll(0) {
							if ev.Type == session.EventMessage {
								take(ev.Conn, ev.Data)
							}
						}
					}) {
						panics++
					}
					srv.Flush()
				}
			}
			var clients []*Conn
			for _, name := range []string{"ada", "bob"} {
				c, err := srv.Local(LocalConfig{Identity: Identity{Name: name}})
				must(t, err)
				clients = append(clients, c)
			}
			turns()
			for _, c := range clients {
				for _, text := range []string{"one", "bad", "two", "bad", "three"} {
					must(t, c.Send(chat, []byte(text)))
				}
			}
			turns()
			for _, c := range clients {
				must(t, c.Send(chat, []byte("four")))
			}
			turns()
			slices.SortStableFunc(got, func(a, b string) int { return int(a[0]) - int(b[0]) })
			want := []string{"ada: one", "ada: two", "ada: three", "ada: four", "bob: one", "bob: two", "bob: three", "bob: four"}
			if !slices.Equal(got, want) || panics != 4 {
				t.Errorf("%d panics, got %q, want 4 and %q", panics, got, want)
			}
			for _, c := range srv.roster.all() {
				if len(c.news) > 0 || c.delivering.Load() || c.undelivered {
					t.Errorf("%s keeps %d events, want 0; delivering is %v, want false", c.Identity().Name, len(c.news), c.delivering.Load())
				}
			}
		})
	}
}

// Events that a Poll has saved for the next one stay saved when the body of the range panics.
func TestRecoveredPanicKeepsWhatWasLeft(t *testing.T) {
	srv, _ := newTestServer(t, manual)
	client, err := srv.Local(LocalConfig{})
	must(t, err)
	events(srv, nil)
	for _, text := range []string{"a", "b", "c", "d"} {
		must(t, client.Send(chat, []byte(text)))
	}
	srv.Flush()
	var got string
	for got == "" {
		for ev := range srv.Poll(0) {
			got += string(ev.Data)
			break // the rest is left
		}
	}
	if !survive(func() {
		for ev := range srv.Poll(0) {
			got += string(ev.Data)
			panic("at b")
		}
	}) {
		t.Fatal("no handler has panicked")
	}
	events(srv, func(ev Event) { got += string(ev.Data) })
	if got != "abcd" {
		t.Errorf("got %q, want each message once", got)
	}
}

// A request whose handler panics is rejected; a result whose func panics is not repeated.
func TestRecoveredPanicAboutARequest(t *testing.T) {
	srv, _ := newTestServer(t, manual, func(c *Config) {
		c.Handler.Request = func(*Conn, *Request) { panic("no idea") }
	})
	client, err := srv.Local(LocalConfig{})
	must(t, err)
	var results []session.Status
	for range 2 {
		_, err = client.Ask("q", nil, func(r Result) { results = append(results, r.Status); panic("again") })
		must(t, err)
	}
	panics := 0
	for range 20 {
		if survive(func() { events(srv, nil) }) {
			panics++
		}
	}
	if !slices.Equal(results, []session.Status{session.StatusRejected, session.StatusRejected}) || panics != 4 {
		t.Errorf("%d panics, results %v, want 4 and two rejections", panics, results)
	}
}

// After a result whose func panics, the next result goes to the func of its own request.
func TestRecoveredPanicLeavesTheOtherResults(t *testing.T) {
	srv, _ := newTestServer(t, manual, func(c *Config) {
		c.Handler.Request = func(_ *Conn, r *Request) { must(t, r.Reply(r.Data)) }
	})
	client, err := srv.Local(LocalConfig{})
	must(t, err)
	events(srv, nil)
	var got []string
	for _, text := range []string{"one", "two", "three"} {
		_, err := client.Ask("q", []byte(text), func(r Result) {
			got = append(got, text+": "+string(r.Data))
			if text != "three" {
				panic(text)
			}
		})
		must(t, err)
	}
	for range 20 {
		survive(func() { events(srv, nil) })
	}
	if want := []string{"one: one", "two: two", "three: three"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The Close of a session is called although another handler of the batch panics.
func TestRecoveredPanicDoesNotHideTheEnd(t *testing.T) {
	closed := 0
	srv, _ := newTestServer(t, manual, func(c *Config) {
		c.Handler.Message = func(*Conn, ChannelID, []byte) { panic("always") }
		c.Handler.Close = func(*Conn, CloseReason) { closed++; panic("once more") }
	})
	var clients []*Conn
	for range 3 {
		c, err := srv.Local(LocalConfig{})
		must(t, err)
		clients = append(clients, c)
	}
	events(srv, nil)
	for _, c := range clients {
		must(t, c.Send(chat, []byte("x")))
		c.Kick("bye")
	}
	for range 50 {
		survive(func() { events(srv, nil) })
	}
	if closed != 3 || srv.Len() != 0 || len(srv.links.ends) != 0 {
		t.Errorf("%d sessions ended, %d are left on %d links, want 3, 0 and 0", closed, srv.Len(), len(srv.links.ends))
	}
}

// The end of a session whose link is gone is delivered although a handler has panicked before: a
// handler of another session, or of this one.
func TestRecoveredPanicDoesNotHideTheEndWithoutALink(t *testing.T) {
	for _, own := range []bool{false, true} {
		var told []string
		srv, _ := newTestServer(t, manual, func(c *Config) {
			c.Handler.Message = func(*Conn, ChannelID, []byte) { panic("a message") }
			c.Handler.Interrupted = func(*Conn) {
				if own {
					panic("an interruption")
				}
			}
			c.Handler.Close = func(c *Conn, why CloseReason) { told = append(told, c.Identity().Name+" "+why.Text) }
		})
		for _, name := range []string{"ada", "bob"} {
			_, err := srv.Local(LocalConfig{Identity: Identity{Name: name}})
			must(t, err)
		}
		events(srv, nil)
		conns := slices.Collect(srv.Conns())
		ada, bob := conns[0], conns[1]
		if ada.Identity().Name != "ada" {
			ada, bob = bob, ada
		}
		if !own {
			cut(bob)
			events(srv, nil)
			ours := ada.home.Load().link.(*linkEnd)
			theirs := ours.peer.anchor.conn
			must(t, theirs.Send(chat, []byte("x")))
			srv.Flush()
			srv.links.loop.Lock()
			srv.links.loop.Touch(ours) // ada's end comes first
			srv.links.loop.Unlock()
		} else {
			cut(bob)
		}
		bob.Kick("bye")
		if !survive(func() {
			for range srv.Poll(0) {
			}
		}) || len(told) != 0 {
			t.Errorf("own %v: no handler has panicked before the event %q", own, told)
		}
		events(srv, nil)
		if len(told) != 1 || told[0] != "bob bye" {
			t.Errorf("own %v: the events are %q, want bob bye", own, told)
		}
	}
}

// A program's func that panics during an offer takes no place with it: net/http
// recovers, and the server lives on.
func TestPanicsDuringOffersTakeNoPlaces(t *testing.T) {
	signer, verifier := newTokens(t)
	broken := true
	s := serve(t, Config{
		Tokens: verifier, MaxConns: 5, RTC: rtcserver.Settings{MaxPending: 5},
		Spend: func(context.Context, string, time.Time) error {
			if broken {
				panic("the store is not there")
			}
			return nil
		},
	})
	authorization := func() string {
		text, err := signer.Sign(time.Now(), auth.Claims{Subject: "ada", Audience: "eu-1", ID: rand.Text(), Expires: time.Now().Add(time.Minute)})
		must(t, err)
		return "Bearer " + text
	}
	for range 10 {
		if !survive(func() { post(s, "v=1", authorization()) }) {
			t.Fatal("an offer was answered without the store")
		}
	}
	broken = false
	for range 5 {
		wantPost(t, s, "v=1", authorization(), 200, "", "")
	}
}
