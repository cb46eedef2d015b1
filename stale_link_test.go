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
