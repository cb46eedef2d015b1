package godwit

import (
	"bytes"
	"crypto/sha256"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A manualLink is a link without a loop: the test does the work of the loop.
type manualLink struct {
	held    bool
	given   [][2]bool // what Release was told
	closed  string
	acquire func() // called once, under the lock
}

func (l *manualLink) Acquire() {
	if l.held {
		panic("the lock is held already")
	}
	l.held = true
	if f := l.acquire; f != nil {
		l.acquire = nil
		f()
	}
}

func (l *manualLink) Release(later, news bool) {
	if !l.held {
		panic("the lock is not held")
	}
	l.held = false
	l.given = append(l.given, [2]bool{later, news})
}

func (l *manualLink) Close(text string)          { l.closed = text }
func (l *manualLink) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }

// take returns the arguments of Release since the last call.
func (l *manualLink) take() [][2]bool {
	given := l.given
	l.given = nil
	return given
}

// movedSession is an open session on link a, with another link b that it may move to.
type movedSession struct {
	t      *testing.T
	c      *Conn
	d      *recorder
	mux    *channel.Mux // the client's
	a, b   *anchor
	la, lb *manualLink
}

func movedByHand(t *testing.T, edit ...func(*Config)) *movedSession {
	t.Helper()
	srv, d := newTestServer(t, edit...)
	c, err := srv.newConn(Identity{}, KindUnknown, math.MaxInt, netip.Addr{})
	must(t, err)
	mux, err := channel.New(time.Now(), channel.Config{Channels: table, Rate: 8 << 20, Ceiling: -1})
	must(t, err)
	h := &movedSession{t: t, c: c, d: d, mux: mux, la: &manualLink{}, lb: &manualLink{}}
	h.a, h.b = &anchor{conn: c, link: h.la}, &anchor{conn: c, link: h.lb}
	c.home.Store(h.a)
	h.b.Receive(time.Now(), rtcserver.LinkEvent{Type: rtcserver.LinkOpened})
	if c.attached != nil || c.session.State() != sessioncore.Fresh {
		t.Error("another link that opens begins the session")
	}
	h.a.Receive(time.Now(), rtcserver.LinkEvent{Type: rtcserver.LinkOpened})
	if c.attached != h.a || !c.session.Linked() {
		t.Error("the first link is open, but the session is not linked")
	}
	h.arrive(h.a, h.packet(0, hello))
	h.turn(h.a)
	d.want(t, "open ")
	if c.session.State() != sessioncore.Open {
		t.Fatalf("the session is %v, want open", c.session.State())
	}
	h.la.take()
	return h
}

// packet returns a datagram of the client's with a message.
func (h *movedSession) packet(ch ChannelID, text string) []byte {
	h.t.Helper()
	_, err := h.mux.Send(time.Now(), ch, []byte(text), Options{})
	must(h.t, err)
	b := h.mux.Append(time.Now(), nil, channel.MaxPacket)
	if len(b) == 0 {
		h.t.Fatal("the client sends nothing")
	}
	return b
}

func (h *movedSession) arrive(a *anchor, b []byte) {
	a.Receive(time.Now(), rtcserver.LinkEvent{Type: rtcserver.LinkMessage, Message: rtcserver.Message{Data: b}})
}

func (h *movedSession) leave(a *anchor) {
	a.Receive(time.Now(), rtcserver.LinkEvent{Type: rtcserver.LinkClosed})
}

// turn reports whether a had news, and delivers them.
func (h *movedSession) turn(a *anchor) bool {
	news := a.Ready()
	if news {
		a.Deliver()
	}
	return news
}

func (h *movedSession) want(what string, l *manualLink, given ...[2]bool) {
	h.t.Helper()
	if got := l.take(); !slices.Equal(got, given) {
		h.t.Errorf("%s: Release is told %v, want %v", what, got, given)
	}
}

// A call that waits for the lock of a link that the session leaves meanwhile unlocks it, touches
// the link, and takes the lock of the new link. The session has moved then.
func TestAcquireFollowsASessionThatMoves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		h.la.acquire = func() { h.c.home.Store(h.b) }
		got := h.c.acquire()
		if got != h.b || h.c.attached != h.b || h.b.state != anchorHome || h.la.held || !h.lb.held {
			t.Errorf("the lock of the new link is held: %v, want true; of the old one: %v, want false", h.lb.held, h.la.held)
		}
		h.want("the old link", h.la, [2]bool{true, false})
		h.c.release(got)
		h.want("nothing new", h.lb, [2]bool{false, false})
		h.c.acquire()
		h.arrive(h.b, h.packet(chat, "hi"))
		h.c.release(h.b)
		h.want("a message", h.lb, [2]bool{false, true})
	})
}

// Whatever the loop of a new link does first, the session first moves to the link, and gets the
// datagrams that wait there before newer ones.
func TestFirstTurnOfANewLink(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(h *movedSession)
		want []string
		away bool
	}{
		{"a datagram", func(h *movedSession) { h.arrive(h.b, h.packet(loot, "two")) }, []string{"loot: one", "loot: two"}, false},
		{"nothing", func(*movedSession) {}, []string{"loot: one"}, false},
		{"its end", func(h *movedSession) { h.leave(h.b) }, []string{"loot: one", "interrupted"}, true},
		{"its end, before the session came", func(h *movedSession) {
			h.c.home.Store(h.a)
			h.leave(h.b)
			h.c.home.Store(h.b)
		}, []string{"loot: one", "interrupted"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := movedByHand(t)
				h.arrive(h.b, h.packet(loot, "one"))
				h.c.home.Store(h.b)
				test.do(h)
				if !h.turn(h.b) {
					t.Error("the session has no news")
				}
				h.d.want(t, test.want...)
				st := h.c.session.Stats(time.Now())
				if h.b.closed() != test.away || test.away && h.b.state != anchorUnlinked {
					t.Errorf("the link is %v", h.b.state)
				}
				if h.c.attached != h.b || h.b.early != nil || h.c.session.Linked() == test.away || st.Interruptions != uint64(len(test.want)-1) && test.away {
					t.Errorf("%d datagrams are kept, want 0; interrupted %d times", len(h.b.early), st.Interruptions)
				}
			})
		})
	}
}

// A session moves to a link if a datagram has arrived on the link, and neither the session nor
// the end of the link has been there.
func TestLinkThatBringsItsSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		early := [][]byte{{1}}
		for _, test := range []struct {
			anchor
			want bool
		}{
			{anchor{early: early}, true},
			{anchor{}, false},
			{anchor{early: early, state: anchorLeft}, false},
			{anchor{early: early, state: anchorLost}, false},
		} {
			a := test.anchor
			a.conn, a.link = h.c, h.lb
			if got := a.Ready(); got != test.want {
				t.Errorf("%d datagrams, %v: Ready = %v, want %v", len(a.early), a.state, got, test.want)
			}
		}
	})
}

// If a session moves while its handlers run, the loop of the new link leaves the events to the
// loop of the old link, in memory of their own. The old loop then touches the new link again.
func TestNewsOfASessionThatMovesUnderItsHandlers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		h.arrive(h.a, h.packet(loot, "one"))
		h.d.on.Message = func(*Conn, ChannelID, []byte) {
			h.d.on.Message = nil
			h.c.home.Store(h.b)
			b := h.packet(loot, "two")
			h.arrive(h.b, b)
			if h.b.Ready() {
				t.Error("two loops take the news of one session")
			}
			clear(b)
		}
		if !h.turn(h.a) {
			t.Error("the session has no news")
		}
		h.d.want(t, "loot: one")
		h.want("the new link", h.lb, [2]bool{true, true})
		if h.a.Ready() {
			t.Error("the old link has news")
		}
		if !h.turn(h.b) {
			t.Error("the new link has no news")
		}
		h.d.want(t, "loot: two")
		h.want("the new link has told them", h.lb)
		if h.turn(h.b) || len(h.c.news) != 0 {
			t.Errorf("%d events are kept after the turn, want 0", len(h.c.news))
		}
	})
}

// The end of a session is delivered once, and its link is closed once, after the close message
// was sent. A link that is gone is not closed.
func TestEndOfASessionAndOfItsLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, gone := range []bool{false, true} {
			h := movedByHand(t)
			h.c.Kick("bye")
			h.want("an end to tell", h.la, [2]bool{false, true})
			want := "the session is over"
			if gone {
				h.leave(h.a)
				want = ""
			}
			if !h.turn(h.a) {
				t.Error("the end is no news")
			}
			if lines := h.d.Take(); len(lines) != 1 || !h.c.forgotten || len(h.c.news) != 0 {
				t.Errorf("the events are %q, want one; %d are kept, want 0", lines, len(h.c.news))
			}
			h.la.take()
			if !gone {
				if h.turn(h.a) || h.la.closed != "" {
					t.Error("the link is closed before the farewell is sent")
				}
				for end := time.Now().Add(time.Minute); !h.c.session.Over() && time.Now().Before(end); time.Sleep(5 * ms) {
					h.a.Advance(time.Now())
					for len(h.a.Append(time.Now(), nil, channel.MaxPacket)) > 0 {
					}
				}
				h.la.take()
				h.c.release(h.c.acquire())
				h.want("a link to close", h.la, [2]bool{false, true})
				if !h.turn(h.a) {
					t.Error("the link is not to be closed")
				}
			}
			if h.la.closed != want || h.a.due != 0 {
				t.Errorf("gone: %v: the link is closed with %q, want %q", gone, h.la.closed, want)
			}
			h.la.closed = ""
			h.la.take()
			h.c.release(h.c.acquire())
			h.want("nothing is left", h.la, [2]bool{false, false})
			if h.turn(h.a) || h.la.closed != "" || len(h.d.Take()) != 0 || !h.a.Deadline().IsZero() {
				t.Errorf("gone: %v: a second turn does something again", gone)
			}
		}
	})
}

// A session that moves gets a new token with the link, with which it resumes from then on.
func TestTokenOfASessionThatMoves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		token := func(a *anchor) (token []byte) {
			for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(5 * ms) {
				a.Advance(time.Now())
				for b := a.Append(time.Now(), nil, channel.MaxPacket); len(b) > 0; b = a.Append(time.Now(), nil, channel.MaxPacket) {
					h.mux.Receive(time.Now(), b)
				}
				h.mux.Advance(time.Now())
				for b := h.mux.Append(time.Now(), nil, channel.MaxPacket); len(b) > 0; b = h.mux.Append(time.Now(), nil, channel.MaxPacket) {
					h.arrive(a, b)
				}
				h.turn(a)
				evs := h.mux.Events(nil)
				for _, ev := range evs {
					if ev.Type == channel.EventMessage && ev.Channel == channel.Control && ev.Payload[0] == 2 {
						token = bytes.Clone(ev.Payload[9:25])
					}
				}
				h.mux.Release(evs)
			}
			return token
		}
		first := token(h.a)
		h.mux.Relink(time.Now(), false, 0)
		h.c.home.Store(h.b)
		h.c.release(h.c.acquire())
		if _, next := h.c.session.Tokens(); h.c.server.directory.byToken[markOf(next)] != h.c {
			t.Error("the new token does not resume before the client has acknowledged it")
		}
		second := token(h.b)
		if len(second) != 16 || bytes.Equal(first, second) || bytes.Equal(second, make([]byte, 16)) {
			t.Fatalf("the first token is %x, the one of the new link %x, want two different ones of 16 bytes", first, second)
		}
		if c, _ := h.c.server.directory.find(markOf(sha256.Sum256(second))); c != h.c {
			t.Error("the new token does not resume the session")
		}
	})
}

// The packets with which a session closes are in the totals when its link ends.
func TestTotalsHaveTheGoodbye(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		h.c.Kick("bye")
		h.turn(h.a)
		before := h.c.server.Totals().PacketsOut
		if len(h.a.Append(time.Now(), nil, channel.MaxPacket)) == 0 {
			t.Error("no farewell is sent")
		}
		h.leave(h.a)
		if n := h.c.server.Totals().PacketsOut; n != before+1 {
			t.Errorf("%d packets are counted, want %d", n, before+1)
		}
	})
}

// A move unlocks each lock before it takes the next one, closes the old link, and makes the new
// loop process the datagrams that wait. The move of a session that is over, or drains, closes
// the new link instead.
func TestStepsOfAMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		h.arrive(h.b, h.packet(loot, "one"))
		if !h.turn(h.b) {
			t.Error("the new link does not get the session")
		}
		if h.c.home.Load() != h.b || h.c.attached != h.b || h.la.held || h.lb.held || h.lb.closed != "" || h.la.closed != "the session moved to another link" {
			t.Errorf("the old link is closed with %q, the new one with %q", h.la.closed, h.lb.closed)
		}
		h.want("the old link", h.la, [2]bool{true, false})
		h.want("the new link", h.lb, [2]bool{true, false}, [2]bool{false, true}) // arrive looks, then move
		h.turn(h.b)
		h.d.want(t, "loot: one")

		if h.a.state != anchorLeft {
			t.Errorf("the old link is %v, want that the session has left it", h.a.state)
		}
		if !h.c.move(h.b) {
			t.Error("the session is not where it is")
		}
		h.want("a move to where it is", h.lb, [2]bool{false, false})
		if h.lb.closed != "" {
			t.Error("a move to the link that the session has closes it")
		}
		for _, atOnce := range []bool{false, true} {
			if !atOnce {
				must(t, h.c.Send(chat, []byte("wait")))
			}
			h.c.close(session.CloseNormal, "", atOnce)
			third := &manualLink{}
			h.lb.take()
			if h.c.move(&anchor{conn: h.c, link: third, order: 2}) || h.c.home.Load() != h.b || h.lb.held || len(h.lb.take()) != 1 || third.closed != "the session is over" {
				t.Errorf("at once: %v: the third link is closed with %q", atOnce, third.closed)
			}
		}
	})
}
