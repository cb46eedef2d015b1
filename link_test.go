package godwit

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// A session begins when its first link opens, and not when a method is called before.
func TestCallsDoNotBeginASession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		c, err := srv.newConn(Identity{}, KindUnknown, math.MaxInt, netip.Addr{})
		must(t, err)
		a := &anchor{conn: c, link: &manualLink{}}
		c.home.Store(a)
		c.Free(chat)
		a.Ready()
		if c.attached != nil || a.state != anchorWaiting || c.session.Linked() || c.session.State() != sessioncore.Fresh {
			t.Error("the session has begun before its link is open")
		}
		a.Receive(time.Now(), rtcserver.LinkEvent{Type: rtcserver.LinkOpened})
		if c.attached != a || a.state != anchorHome || !c.session.Linked() {
			t.Error("the link is open, but the session is not linked")
		}
	})
}

// packets returns a datagram of the client's with several messages.
func (h *movedSession) packets(ch ChannelID, texts ...string) []byte {
	h.t.Helper()
	for _, text := range texts[1:] {
		_, err := h.mux.Send(time.Now(), ch, []byte(text), Options{})
		must(h.t, err)
	}
	return h.packet(ch, texts[0])
}

// The loop of the new link of a session does not take the events that the handlers on the old
// loop must still get, also if there is no new event.
func TestAMoveLeavesHandlersTheirNews(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		h.arrive(h.a, h.packets(loot, "two", "one"))
		h.d.on.Message = func(*Conn, ChannelID, []byte) {
			h.c.home.Store(h.b)
			if h.b.Ready() {
				t.Error("two loops take the news of one session")
			}
		}
		h.turn(h.a)
		h.d.want(t, "loot: one", "loot: two")
		if h.turn(h.b) || len(h.c.news) != 0 {
			t.Errorf("the session has news after its turn: %d events", len(h.c.news))
		}
	})
}

// After a handler has panicked the program gets the remaining events, also the end of the
// session.
func TestAPanicBeforeTheEndHidesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := movedByHand(t)
		h.arrive(h.a, h.packets(loot, "two", "one"))
		h.c.Kick("bye")
		h.d.on.Message = func(_ *Conn, _ ChannelID, b []byte) {
			if string(b) == "one" {
				panic("one")
			}
		}
		if !h.a.Ready() || !survive(h.a.Deliver) {
			t.Error("no handler has panicked")
		}
		h.d.want(t, "loot: one")
		if h.c.server.directory.count() != 0 {
			t.Error("the session is over, and still in the directory")
		}
		if !h.turn(h.a) {
			t.Error("the events that are left are no news")
		}
		if lines := h.d.Take(); len(lines) != 2 || lines[0] != "loot: two" || !strings.HasSuffix(lines[1], "bye") {
			t.Errorf("the events are %q, want two and the end", lines)
		}
		if h.turn(h.a) || len(h.c.news) != 0 || h.c.delivering.Load() {
			t.Errorf("%d events are kept after the last turn, want 0", len(h.c.news))
		}
	})
}
