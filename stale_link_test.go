package godwit

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/ufrag"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A link brings the session in a turn whose handlers (of other sessions) take long. Meanwhile the
// client gives the link up and comes on a third one. When the handlers return, the session must
// stay at the third link: the link that brought it is closed, and older.
func TestSessionDoesNotMoveBackToAnOlderLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, closed := range []bool{true, false} {
			h := movedByHand(t)
			h.arrive(h.b, h.packet(loot, "on the second link"))
			if !h.b.Ready() { // the turn of the second link's shard: Deliver is due, other handlers run first
				t.Fatal("it does not bring the session")
			}
			lc := &manualLink{}
			third := &anchor{conn: h.c, link: lc}
			h.mux.Relink(time.Now(), false, 0)
			h.arrive(third, h.packet(loot, "on the third link"))
			if closed {
				h.leave(h.b) // Withdraw: the client's third request replaced the second link
			}
			h.turn(third) // moves there
			h.turn(third)
			if h.c.home.Load() != third || h.c.session.Interrupted() {
				t.Fatal("it has not moved")
			}
			h.d.Take()
			h.b.Deliver() // the slow turn goes on
			if h.c.home.Load() != third || lc.closed != "" || h.c.session.Interrupted() {
				t.Errorf("second link closed %v: moved back: %v, the third link is closed with %q, interrupted %v",
					closed, h.c.home.Load() == h.b, lc.closed, h.c.session.Interrupted())
			}
		}
	})
}

// Two links bring the session in turns that overlap: the second (older) and the third (newest, which the
// client uses). Both turns have seen the session at the first link. The second's handlers finish first.
// What came on the third link must not be lost, and the session must get to the third link: its client
// sends nothing more. On a reliable link the client repeats nothing.
func TestSessionMovesToTheNewestOfTwoLinks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, reliable := range []bool{false, true} {
			h := movedByHand(t)
			h.arrive(h.b, h.packet(loot, "on the second link"))
			if !h.b.Ready() {
				t.Fatal("it does not bring the session")
			}
			lc := &manualLink{}
			third := &anchor{conn: h.c, link: lc, reliable: reliable}
			h.mux.Relink(time.Now(), reliable, 0)
			h.arrive(third, h.packet(loot, "on the third link"))
			if !third.Ready() {
				t.Fatal("third has no news")
			}
			h.b.Deliver()
			third.Deliver()
			for range 5 {
				h.turn(h.b)
				h.turn(third)
			}
			var home string
			switch h.c.home.Load() {
			case h.b:
				home = "second"
			case third:
				home = "third"
			}
			if home != "third" {
				t.Errorf("reliable %v: the session is at the %s link, want the third, the newest", reliable, home)
			}
			if h.lb.closed != "the session moved to another link" {
				t.Errorf("reliable %v: the second link, on which the client came, is closed with %q", reliable, h.lb.closed)
			}
			h.d.want(t, "loot: on the second link", "loot: on the third link")
		}
	})
}

// The client comes to a WebSocket, and before what it has sent there arrives it moves on to WebRTC.
// When the late datagram arrives, the session stays where the client is.
func TestALateDatagramOfAnOlderLinkBringsNothingBack(t *testing.T) {
	for _, reliable := range [][2]bool{{true, false}, {false, false}, {true, true}} {
		bubble(t, func(t *testing.T) {
			h := movedByHand(t)
			h.a.reliable = true
			here := func(n byte, reliable bool) []byte {
				h.mux.Relink(time.Now(), reliable, 0)
				return h.packet(0, string([]byte{7, 0, 0, 0, n}))
			}
			old := &anchor{conn: h.c, link: &manualLink{}, reliable: reliable[0]}
			late := here(1, reliable[0])
			h.b.reliable = reliable[1]
			h.arrive(h.b, here(2, reliable[1]))
			h.turn(h.b)
			h.arrive(old, late)
			h.turn(old)
			if h.c.home.Load() != h.b || h.lb.closed != "" || old.link.(*manualLink).closed == "" {
				t.Errorf("reliable %v: the session stays: %v; its link is closed with %q, the older one with %q",
					reliable, h.c.home.Load() == h.b, h.lb.closed, old.link.(*manualLink).closed)
			}
			if old.early != nil || old.Ready() {
				t.Errorf("reliable %v: %d datagrams of the older link are kept", reliable, len(old.early))
			}
			newer := &anchor{conn: h.c, link: &manualLink{}, reliable: reliable[0]}
			h.arrive(newer, here(3, reliable[0]))
			h.turn(newer)
			if h.c.home.Load() != newer {
				t.Errorf("reliable %v: the session does not move to a newer link", reliable)
			}
		})
	}
}

// The same before the session is open at the client: its first words come over the link that it has
// left after they have opened the session on another one.
func TestLateFirstWordsBringNothingBack(t *testing.T) {
	for _, tt := range []struct{ reliable, home, stays bool }{
		{true, false, true}, {true, true, false}, {false, false, false}, {false, true, false},
	} {
		bubble(t, func(t *testing.T) {
			h := movedByHand(t)
			h.a.reliable, h.b.reliable = tt.home, tt.reliable
			h.mux.Relink(time.Now(), tt.reliable, 0)
			h.arrive(h.b, h.packet(0, hello)) // again: the Mux of the test has no WELCOME
			h.turn(h.b)
			if stays := h.c.home.Load() == h.a; stays != tt.stays || (h.lb.closed != "") != tt.stays {
				t.Errorf("%+v: the session stays: %v, the other link is closed with %q", tt, stays, h.lb.closed)
			}
		})
	}
}

// First words that are not late bring the session to a worse link: other messages than HELLO, and a
// HELLO with the number of a link.
func TestFirstWordsThatAreNotLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for what, messages := range map[string][][]byte{
			"no HELLO":                            {[]byte("a message")},
			"a HELLO with the number of the link": {[]byte(hello), {7, 0, 0, 0, 1}},
		} {
			h := movedByHand(t)
			h.b.reliable = true
			mux, err := channel.New(time.Now(), channel.Config{Channels: table, ReliableLink: true, Rate: 8 << 20, Ceiling: -1})
			must(t, err)
			for _, b := range messages {
				ch := ChannelID(0)
				if len(messages) == 1 {
					ch = loot
				}
				_, err := mux.Send(time.Now(), ch, b, Options{})
				must(t, err)
			}
			h.arrive(h.b, mux.Append(time.Now(), nil, channel.MaxPacket))
			h.turn(h.b)
			if h.c.home.Load() != h.b {
				t.Errorf("%s: the session does not come", what)
			}
		}
	})
}

// A link brings nothing if it closes before the turn ends that would move the session there, or if
// the session is over by then. What has arrived on it is forgotten, and its lock is free.
func TestALinkThatBringsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for what, end := range map[string]func(h *movedSession){
			"the link has closed": func(h *movedSession) { h.leave(h.b) },
			"the session is over": func(h *movedSession) { h.c.Kick("") },
		} {
			h := movedByHand(t)
			h.arrive(h.b, h.packet(loot, "late"))
			if !h.b.Ready() {
				t.Fatal("it does not bring the session")
			}
			end(h)
			h.b.Deliver()
			if h.c.home.Load() != h.a || h.la.held || h.lb.held {
				t.Errorf("%s: the session stays: %v; the locks are held: %v, %v", what, h.c.home.Load() == h.a, h.la.held, h.lb.held)
			}
			if h.b.early != nil || h.b.Ready() {
				t.Errorf("%s: %d datagrams are kept", what, len(h.b.early))
			}
		}
	})
}

// A session whose first link closes before it is open waits for its client on another link, if the
// server offers several, and this one is of them. Otherwise it is over.
func TestALinkThatClosesBeforeTheSessionOpens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, test := range []struct {
			offers []string
			name   string
			waits  bool
		}{
			{nil, session.LinkWebRTC, true},
			{nil, "serial", false},
			{[]string{session.LinkWebRTC}, session.LinkWebRTC, false},
		} {
			srv, _ := newTestServer(t, func(c *Config) { c.Links = test.offers })
			c, err := srv.newConn(Identity{}, KindUnknown, math.MaxInt, netip.Addr{})
			must(t, err)
			link := &manualLink{}
			if c.isOn(link) {
				t.Error("a session without a link is on one")
			}
			a := &anchor{conn: c, link: link, name: test.name}
			a.Receive(time.Now(), rtcserver.LinkEvent{Type: rtcserver.LinkOpened})
			if c.session.State() != sessioncore.Opened || !c.isOn(link) {
				t.Errorf("%+v: the session is %v", test, c.session.State())
			}
			a.Receive(time.Now(), rtcserver.LinkEvent{Type: rtcserver.LinkClosed})
			if waits := c.session.State() == sessioncore.Opened; waits != test.waits || c.session.Linked() {
				t.Errorf("%+v: the session is %v; it has a link: %v", test, c.session.State(), c.session.Linked())
			}
		}
		h := movedByHand(t)
		h.a.name = session.LinkWebRTC
		if h.leave(h.a); !h.c.session.Interrupted() {
			t.Error("an open session is not interrupted when its link closes")
		}
	})
}

// A session that ends before it opens has no handler to call, and is done at once.
func TestDoneOfASessionThatNeverOpens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		c, err := srv.newConn(Identity{}, KindUnknown, math.MaxInt, netip.Addr{})
		must(t, err)
		a := &anchor{conn: c, link: &manualLink{}}
		a.Receive(time.Now(), rtcserver.LinkEvent{Type: rtcserver.LinkOpened})
		if c.Done(); isDone(c) {
			t.Error("the session is done before its end")
		}
		c.Kick("")
		if !a.Ready() {
			t.Error("the end is no news")
		}
		if a.Deliver(); !isDone(c) || srv.directory.count() != 0 {
			t.Errorf("the session is done: %v, want true; %d sessions are known", isDone(c), srv.directory.count())
		}
		d.want(t)
	})
}

// An empty datagram is nothing. ADMIT, which a client repeats until it gets a packet, is counted.
func TestDatagramsThatAreNoPackets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		for _, a := range []*anchor{h.a, h.b} {
			h.arrive(a, []byte{ufrag.FirstOfPacket - 1, 1, 2})
		}
		h.arrive(h.a, nil)
		if n := h.c.server.direct.repeated.Load(); n != 2 || h.turn(h.b) {
			t.Errorf("%d repetitions are counted, want 2", n)
		}
	})
}

// A loop that has taken the news, and whose handlers have not run because another handler has
// panicked, keeps what arrives meanwhile in memory of its own. It asks for a turn at once if there
// is news that nobody has taken.
func TestNewsBeforeTheHandlersRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		h.arrive(h.a, h.packet(loot, "one"))
		if d := h.a.Deadline(); d != loop.Past {
			t.Errorf("the deadline is %v with news, want at once", d)
		}
		if !h.a.Ready() {
			t.Error("a message is no news")
		}
		b := h.packet(loot, "two")
		h.arrive(h.a, b)
		if d := h.a.Deadline(); d == loop.Past {
			t.Error("the deadline is at once though the handlers must run first")
		}
		if !h.a.Ready() {
			t.Error("the news is forgotten")
		}
		clear(b)
		h.a.Deliver()
		h.turn(h.a)
		h.d.want(t, "loot: one", "loot: two")
	})
}

// WELCOME has the credentials of the next link if links may begin without a request.
func TestWelcomeNamesTheNextLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, direct := range []bool{true, false} {
			h := movedByHand(t, func(c *Config) { c.NoDirect = !direct })
			var welcome []byte
			for b := h.a.Append(time.Now(), nil, channel.MaxPacket); len(b) > 0; b = h.a.Append(time.Now(), nil, channel.MaxPacket) {
				h.mux.Receive(time.Now(), b)
			}
			for _, ev := range h.mux.Events(nil) {
				if ev.Type == channel.EventMessage && ev.Channel == channel.Control && ev.Payload[0] == 2 {
					welcome = bytes.Clone(ev.Payload)
				}
			}
			if len(welcome) < 25 {
				t.Fatalf("WELCOME is %x", welcome)
			}
			name, pwd := h.c.server.nextLink(sessioncore.Token(welcome[9:25]))
			if bytes.Contains(welcome, []byte(name)) != direct || bytes.Contains(welcome, []byte(pwd)) != direct {
				t.Errorf("WELCOME is %q, want that it has %s and %s: %v", welcome, name, pwd, direct)
			}
		}
	})
}

// The answers to two requests arrive together, and the func of the first one panics. Then the func of the second
// one is called with its answer.
func TestAnswersAfterAPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, manual)
		_, err := srv.Local(LocalConfig{Handler: Handler{Request: func(_ *Conn, r *Request) { r.Reply([]byte(r.Name)) }}})
		must(t, err)
		events(srv, nil)
		var got []string
		for c := range srv.Conns() {
			for _, name := range []string{"one", "two"} {
				_, err := c.Ask(name, nil, func(r Result) {
					got = append(got, name+" is "+string(r.Data))
					if name == "one" {
						panic(name)
					}
				})
				must(t, err)
			}
		}
		for range 10 {
			survive(func() {
				srv.Flush()
				for range srv.Poll(0) {
				}
			})
			time.Sleep(100 * ms)
		}
		if want := []string{"one is one", "two is two"}; !slices.Equal(got, want) {
			t.Errorf("the answers are %q, want %q", got, want)
		}
		for c := range srv.Conns() {
			if len(c.asked) != 0 {
				t.Errorf("%d requests are kept after their answers", len(c.asked))
			}
		}
	})
}
