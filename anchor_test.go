package godwit

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// second returns another link for a session, which it is not on yet.
func second(x *hostileClient) (*linkEnd, *anchor) {
	e := &linkEnd{links: x.links}
	e.peer = &linkEnd{links: x.links, peer: e, anchor: &anchor{conn: &Conn{}}, closed: true}
	e.anchor = &anchor{conn: x.server, link: e}
	x.links.loop.Lock()
	x.links.add(e)
	x.links.loop.Unlock()
	return e, e.anchor
}

// A link that a session may move to keeps its first 16 datagrams. It keeps none after the
// session has moved to it. A session that ends does not move, and the link ends.
func TestLinkThatWaitsForItsSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		x := newHostileClient(t, srv, table)
		x.say(0, hello)
		x.run(100 * ms)
		e, a := second(x)
		x.links.loop.Lock()
		b := []byte("mine")
		for range 2 * maxEarly {
			a.datagram(time.Now(), b)
		}
		clear(b)
		if len(a.early) != maxEarly || string(a.early[0]) != "mine" {
			t.Errorf("%d datagrams are kept, want %d; the first is %q, want mine", len(a.early), maxEarly, a.early[0])
		}
		if got := a.Append(time.Now(), []byte("so far"), 1200); string(got) != "so far" || !a.Deadline().IsZero() {
			t.Errorf("Append = %q, want the caller's bytes alone; deadline %v, want none", got, a.Deadline())
		}
		a.early, a.reliable = nil, true
		for range 2 * maxEarly {
			a.datagram(time.Now(), []byte("on a link that repeats nothing"))
		}
		if len(a.early) != 2*maxEarly {
			t.Errorf("%d datagrams of a reliable link are kept, want all %d", len(a.early), 2*maxEarly)
		}
		a.early, a.reliable = nil, false
		a.state = anchorLeft
		a.datagram(time.Now(), []byte("of a link that was left"))
		if len(a.early) != 0 {
			t.Errorf("%d datagrams are kept on a link that was left, want 0", len(a.early))
		}
		a.state = anchorWaiting
		x.links.loop.Unlock()

		home := x.server.home.Load()
		x.server.move(home)
		if x.server.home.Load() != home || x.ours.closed || x.server.Stats().Resumed != 0 {
			t.Error("a move to the link that the session has changes something")
		}
		x.deaf = true
		must(t, x.server.Send(chat, []byte("wait")))
		x.server.Close(session.CloseNormal, "")
		x.server.move(a)
		if x.server.home.Load() != home || !e.closed || x.ours.closed || x.server.Stats().Resumed != 0 {
			t.Errorf("a session that drains has moved; its new link is closed: %v, want true; its old one: %v, want false", e.closed, x.ours.closed)
		}
		x.server.Kick("")
		settle()
	})
}

// A session that moves closes its old link. It gets the datagrams of the new link at once, also
// those that arrived before, in order.
func TestLinkThatASessionMovesTo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		x := newHostileClient(t, srv, table)
		x.say(0, hello)
		x.run(time.Second)
		d.Take()
		x.mux.Relink(time.Now(), true, 0)
		x.say(chat, "first")
		one := x.mux.Append(time.Now(), nil, 1200)
		x.say(chat, "second")
		two := x.mux.Append(time.Now(), nil, 1200)
		e, a := second(x)
		x.links.loop.Lock()
		a.datagram(time.Now(), one)
		a.datagram(time.Now(), two)
		x.links.loop.Unlock()
		x.server.move(a)
		if st := x.server.Stats(); st.Resumed != 1 || x.server.home.Load() != a || !x.ours.closed || e.closed || a.early != nil || a.state != anchorHome {
			t.Errorf("moved %d times; the old link is closed: %v; %d datagrams are kept", st.Resumed, x.ours.closed, len(a.early))
		}
		settle()
		d.want(t, "chat: first", "chat: second")
		x.server.Kick("")
		settle()
	})
}
