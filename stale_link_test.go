package godwit

import (
	"testing"
	"time"
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
