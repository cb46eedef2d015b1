package client

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// How a wait in a polled endpoint ends: when what it waits for has happened, when its context is
// done, and at once while another goroutine takes the turns. When the endpoint has ended it takes no
// turns, and still waits.
func TestHowAWaitOfAPolledEndpointEnds(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		e := b.e
		e.loop.Unlock()
		defer e.loop.Lock()
		done := make(chan struct{})
		check := func(what string, d time.Duration, want error) {
			t.Helper()
			ctx, cancel := context.WithTimeout(b.t.Context(), d)
			defer cancel()
			begin := time.Now()
			if err := e.await(ctx, done, true); !errors.Is(err, want) || want != nil && !errors.Is(want, session.ErrInHandler) && time.Since(begin) != d {
				t.Errorf("%s: %v after %v, want %v", what, err, time.Since(begin), want)
			}
		}
		check("nothing happens", time.Second, context.DeadlineExceeded)
		check("the context is done", 0, context.DeadlineExceeded)
		e.polling.Start()
		check("another goroutine polls", time.Second, session.ErrInHandler)
		e.polling.End()
		e.Close()
		check("the endpoint has ended", time.Second, context.DeadlineExceeded)
		close(done)
		check("it has happened", time.Second, nil)
	})
}

// A connection may open before the goroutine that has begun it waits for it.
func TestARaceThatIsOverBeforeItBegins(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		b.e.loop.Unlock()
		defer b.e.loop.Lock()
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
		defer cancel()
		c := &Conn{endpoint: b.e, opened: make(chan struct{})}
		c.setState(connOpen)
		begin := time.Now()
		err := b.s.race(ctx, c, new(reply), []*offered{{Type: session.LinkWebSocket}}, b.s.session, netip.Addr{}, time.Second, false)
		if d := time.Since(begin); err != nil || d > 0 {
			b.t.Errorf("the race returns %v after %v, want nil at once", err, d)
		}
	})
}

// An event that waits for the next Poll has its own bytes.
func TestEventThatIsKeptHasItsOwnBytes(t *testing.T) {
	b := []byte("hello")
	ev := keep(Event{Type: session.EventMessage, Data: b})
	var request Event
	answered := 0
	session.HandleRequest("x", b, func(session.Result) error { answered++; return nil }, func(r *session.Request) {
		request = keep(Event{Type: session.EventRequest, Request: r})
	})
	copy(b, "xxxxx")
	if string(ev.Data) != "hello" || string(request.Request.Data) != "hello" || answered != 0 {
		t.Errorf("%q and %q, want hello; the request has %d answers", ev.Data, request.Request.Data, answered)
	}
	if ev := keep(Event{Type: session.EventOpen}); ev.Data != nil || ev.Request != nil {
		t.Errorf("an event without bytes has %v, %v", ev.Data, ev.Request)
	}
	if ev := keep(Event{Type: session.EventMessage, Data: []byte{}}); ev.Data == nil {
		t.Error("an empty message has no Data")
	}
}
