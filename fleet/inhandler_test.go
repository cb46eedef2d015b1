package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Each call that waits returns ErrInHandler in each func of the program that runs as a handler does, or while the Fleet is locked. In
// Config.Adopt only Close does, and in the func of a front none.
func TestCallsThatWaitInFuncsOfTheProgram(t *testing.T) {
	nats := newNATS(t)
	var n *node
	other := newNode(t, Config{NATS: nats.address(), URL: "http://other.example/", deadAfter: time.Hour}, godwit.Config{})
	ran := make(chan string, 64)
	var eve *client
	var room *Room
	calls := map[string]func(context.Context) error{
		"Fleet.Claim":   func(ctx context.Context) error { _, err := n.Claim(ctx, "arena"); return err },
		"Fleet.Close":   func(context.Context) error { return n.Close() },
		"Fleet.Drain":   func(ctx context.Context) error { return n.Drain(ctx) },
		"Fleet.Find":    func(ctx context.Context) error { _, err := n.Find(ctx, "arena"); return err },
		"Fleet.Move":    func(ctx context.Context) error { return n.Move(ctx, eve.server, newInstance().String()) },
		"Fleet.Request": func(ctx context.Context) error { _, err := n.Request(ctx, "bob", "echo", nil); return err },
		"Fleet.Seat": func(ctx context.Context) error {
			_, err := n.Seat(ctx, n.me.String(), godwit.Identity{})
			return err
		},
		"Fleet.Where":  func(ctx context.Context) error { _, err := n.Where(ctx, "bob"); return err },
		"Room.Release": func(ctx context.Context) error { return room.Release(ctx) },
	}
	all := slices.DeleteFunc(testkit.CallsThatMayWait(t), func(name string) bool { return name == "Join" }) // has no Fleet yet
	if got := slices.Sorted(maps.Keys(calls)); !slices.Equal(got, all) {
		t.Errorf("the calls are %v, want %v", got, all)
	}
	refuses := func(where string) {
		for name, call := range calls {
			if err := call(t.Context()); err != session.ErrInHandler {
				t.Errorf("%s in %s: %v, want ErrInHandler", name, where, err)
			}
		}
		ran <- where
	}
	works := func(where string) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range calls {
			if name == "Fleet.Drain" || name == "Room.Release" { // the test needs the node and the room
				continue
			}
			in := where == "Adopt" && name == "Fleet.Close"
			if !in && name == "Fleet.Close" {
				continue
			}
			if err := call(over); errors.Is(err, session.ErrInHandler) != in {
				t.Errorf("%s in %s: %v", name, where, err)
			}
		}
		ran <- where
	}
	wants := func(where string) {
		t.Helper()
		testkit.Want(t, "a func of the program", ran, where)
	}
	first := true
	n = newNode(t, Config{
		NATS: nats.address(), URL: "http://n.example/", deadAfter: time.Hour,
		Leave:  func(*godwit.Conn) []byte { refuses("Leave"); return nil },
		Arrive: func(*godwit.Conn, []byte) { refuses("Arrive") },
		Adopt:  func(*Room) { works("Adopt") },
		Place: func(*godwit.Conn, Node) bool {
			if first { // Drain asks until a node fits
				first = false
				refuses("Place")
			}
			return true
		},
	}, godwit.Config{})
	knows(t, n, other)
	eve, room = n.join("eve"), testkit.Must(n.Claim(t.Context(), "mine"))

	must(t, n.expect("ada"))
	ada := n.join("ada")
	wants("Arrive")
	must(t, n.Move(t.Context(), ada.server, other.me.String()))
	wants("Leave")
	testkit.Must(n.Pick(func(n Node) bool {
		if n.Here {
			refuses("the filter of Pick")
		}
		return true
	}))
	wants("the filter of Pick")
	must(t, n.Ask("bob", "echo", nil, func([]byte, error) { refuses("the func of Ask") }))
	wants("the func of Ask")
	front := testkit.Must(n.Front(func(*http.Request) (Joining, error) {
		works("the func of a front")
		return Joining{Filter: func(n Node) bool {
			if n.Here {
				refuses("the filter of a front")
			}
			return true
		}}, nil
	}, rtcserver.Settings{}))
	w := httptest.NewRecorder()
	front.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/join", strings.NewReader("")))
	if w.Code != http.StatusOK {
		t.Errorf("the front answers %d %s", w.Code, w.Body)
	}
	wants("the func of a front")
	wants("the filter of a front")

	// A player who wants to go to a room, and a room whose node is gone: on goroutines for which Close waits.
	n.receiveSeat(message{body: testkit.Must(json.Marshal(seatRequest{Room: "cave"}))})
	wants("Adopt")
	n.running.Go(func() { n.adopted(room) })
	wants("Adopt")

	must(t, n.Drain(t.Context()))
	wants("Place")
	wants("Leave")
	eve.want(t, "the session of a node that drains", "moved")
	testkit.WantNone(t, "further funcs", ran)
}
