package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

// All calls that need a session return ErrClosed when it is over, and while a new one is to
// begin.
func TestCallsOfASessionThatIsOver(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		s, err := g.connect(g.renewing())
		g.must(err)
		calls := map[string]func() error{
			"Send":         func() error { return s.Send(chat, nil) },
			"SendWith":     func() error { _, err := s.SendWith(chat, nil, channel.Options{}); return err },
			"SendNamed":    func() error { _, err := s.SendNamed("chat", nil, channel.Options{}); return err },
			"Ask":          func() error { _, err := s.Ask("x", nil, nil); return err },
			"Request":      func() error { _, err := s.Request(g.t.Context(), "x", nil); return err },
			"OpenChannel":  func() error { _, err := s.OpenChannel(channel.Channel{Name: "more"}); return err },
			"CloseChannel": func() error { return s.CloseChannel(chat) },
		}
		check := func(when string) {
			for name, call := range calls {
				if err := call(); !errors.Is(err, session.ErrClosed) {
					t.Errorf("%s %s: %v", name, when, err)
				}
			}
		}
		g.server.Shutdown(g.t.Context(), "")
		g.want("open", "renewing, closed by the other end: shutdown")
		check("between two sessions")
		s.Close(0, "")
		g.want("closed here: normal")
		check("after the end")
	})
}

// A Request whose context ends is forgotten: its answer is discarded, and its place is free.
func TestRequestWhoseContextEnds(t *testing.T) {
	var late []*session.Request
	c := godwit.Config{Handler: godwit.Handler{Request: func(_ *godwit.Conn, r *godwit.Request) {
		if r.Name == "late" {
			r.Keep()
			late = append(late, r)
			return
		}
		r.Reply([]byte(r.Name))
	}}}
	inGame(t, c, func(g *game) {
		late = nil
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		ctx, cancel := context.WithTimeout(g.t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if b, err := s.Request(ctx, "late", nil); !errors.Is(err, context.DeadlineExceeded) || b != nil || time.Since(begin) != time.Second {
			t.Errorf("%q, %v after %v", b, err, time.Since(begin))
		}
		if n := s.Stats().Asking; n != 0 {
			t.Errorf("%d requests wait for an answer", n)
		}
		late[0].Reply([]byte("too late"))
		time.Sleep(time.Second)
		first, err := s.Request(g.t.Context(), "one", nil)
		g.must(err)
		second, err := s.Request(g.t.Context(), "two", nil)
		g.must(err)
		if string(first) != "one" || string(second) != "two" {
			t.Errorf("the answers are %q and %q", first, second)
		}
	})
}

// An answer to a request of a session that is over has no effect on the session after it.
func TestAnswerToARequestOfTheSessionBefore(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		var kept *session.Request
		sc := g.renewing()
		sc.RenewAfter = []session.CloseCode{session.CloseKicked}
		sc.Handler.Request = func(_ *client.Session, r *session.Request) {
			if kept == nil {
				r.Keep()
				kept = r
			} else {
				r.Reply([]byte("new"))
			}
			g.note("asked")
		}
		_, err := g.connect(sc)
		g.must(err)
		server := func() *godwit.Conn {
			for c := range g.server.Conns() {
				return c
			}
			return nil
		}
		_, err = server().Ask("x", nil, nil)
		g.must(err)
		g.want("open", "asked")
		server().Kick("")
		g.want("renewing, closed by the other end: kicked", "open")
		if err := kept.Reply([]byte("old")); !errors.Is(err, session.ErrAnswered) {
			t.Errorf("Reply: %v", err)
		}
		answers := make(chan session.Result, 1)
		_, err = server().Ask("x", nil, func(r session.Result) { answers <- r })
		g.must(err)
		g.want("asked")
		if r := <-answers; string(r.Data) != "new" {
			t.Errorf("the answer is %v %q", r.Status, r.Data)
		}
	})
}

// ChannelStats has the figures of one channel.
func TestFiguresOfAChannel(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		for range 3 {
			g.must(s.Send(chat, []byte("hello")))
		}
		time.Sleep(time.Second)
		if st, other := s.ChannelStats(chat), s.ChannelStats(move); st.MessagesOut != 3 || st.BytesOut != 15 || other.MessagesOut != 0 {
			t.Errorf("%+v, %+v", st, other)
		}
	})
}

// A request that the server rejects ends with the server's text.
func TestTextOfARejection(t *testing.T) {
	inGame(t, godwit.Config{Handler: godwit.Handler{Request: func(_ *godwit.Conn, r *godwit.Request) { r.Reject("not now") }}}, func(g *game) {
		s, err := g.connect(client.SessionConfig{})
		g.must(err)
		_, err = s.Request(g.t.Context(), "x", nil)
		if e, ok := errors.AsType[*session.RequestError](err); !ok || *e != (session.RequestError{Status: session.StatusRejected, Text: "not now"}) {
			t.Errorf("%v, want the rejection with its text", err)
		}
	})
}
