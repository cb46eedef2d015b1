package godwit

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// The directory has the groups, resume tokens and names of each session. When a session is
// over, only its last token stays there, as ended.
func TestDirectoryFollowsSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		b := &srv.directory
		_, ada, _ := join(t, srv, "ada")
		client, again, _ := join(t, srv, "ada")
		_, bob, _ := join(t, srv, "bob")
		red, blue := srv.NewGroup(), srv.NewGroup()
		for g, conns := range map[*Group][]*Conn{red: {ada, again}, blue: {ada, bob}} {
			for _, c := range conns {
				if !g.Join(c) {
					t.Errorf("%s does not join", c.Identity().Name)
				}
			}
		}
		if !red.Leave(ada) || !slices.Equal(b.entries[ada].groups, []*Group{blue}) {
			t.Errorf("ada has left red, and is in %d groups, want blue alone", len(b.entries[ada].groups))
		}
		if got := b.named("ada"); !slices.Equal(got, []*Conn{ada, again}) {
			t.Errorf("%d sessions have the name ada, want 2", len(got))
		}
		time.Sleep(time.Second) // all WELCOMEs are acknowledged
		settle()
		first := slices.Collect(maps.Keys(b.byToken))
		cut(client)
		settle()
		resume(client, again)
		time.Sleep(time.Second)
		settle()
		if len(first) != 3 || len(b.byToken) != 3 {
			t.Errorf("%d tokens of three sessions, and %d after one has a new token; want 3", len(first), len(b.byToken))
		}
		fresh := 0
		for token, c := range b.byToken {
			if got, over := b.find(token); got != c || over {
				t.Errorf("a token belongs to %v, over: %v; want its own session", got.Identity().Name, over)
			}
			if !slices.Contains(first, token) {
				fresh++
				if c != again {
					t.Errorf("the new token belongs to %s", c.Identity().Name)
				}
			}
		}
		if fresh != 1 {
			t.Errorf("%d tokens are new, want 1", fresh)
		}
		last := slices.Collect(maps.Keys(b.byToken))
		again.Kick("")
		settle()
		if got := b.named("ada"); !slices.Equal(got, []*Conn{ada}) || red.Len() != 0 || blue.Len() != 2 {
			t.Errorf("%d sessions have the name ada, want 1; %d are in red, want 0; %d in blue, want 2", len(got), red.Len(), blue.Len())
		}
		ada.Kick("")
		settle()
		if got := slices.Collect(blue.Conns()); !slices.Equal(got, []*Conn{bob}) || len(b.named("ada")) != 0 {
			t.Errorf("%d sessions are in blue, want bob alone; %d have the name ada, want 0", len(got), len(b.named("ada")))
		}
		bob.Kick("")
		settle()
		if n := len(b.entries) + len(b.byToken) + len(b.byName) + len(b.bySite) + b.away + blue.Len() + srv.Len(); n != 0 {
			t.Errorf("when all are over: %d entries, %d tokens, %d names, %d addresses, %d away, %d in blue, %d open",
				len(b.entries), len(b.byToken), len(b.byName), len(b.bySite), b.away, blue.Len(), srv.Len())
		}
		for _, token := range last {
			if c, over := b.find(token); c != nil || !over {
				t.Error("the token of a session that is over: want no session, and over")
			}
		}
		if red.Join(ada) || red.Len() != 0 || red.Leave(ada) {
			t.Error("a session that is over joins or leaves a group")
		}
	})
}

// Sessions without a name are not in the directory of names.
func TestSessionsWithoutAName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Duplicates = DuplicatesRefuse })
		join(t, srv, "")
		join(t, srv, "")
		if srv.Len() != 2 || len(srv.directory.byName) != 0 || srv.isPresent("") {
			t.Errorf("%d sessions are open, want 2; %d have names, want 0", srv.Len(), len(srv.directory.byName))
		}
	})
}

// A server has room for so many sessions, and for so many of each address. A session that is over
// makes room.
func TestRoomForSessions(t *testing.T) {
	var d directory
	d.init(100, 10)
	home, other := netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("203.0.113.10")
	add := func(id session.ID, site netip.Addr, limit, ofSite, want int) *Conn {
		t.Helper()
		c := &Conn{id: id}
		err := d.add(c, limit, site, ofSite)
		status := 0
		if e, ok := errors.AsType[*rtcserver.StatusError](err); ok {
			status = e.Status
		}
		if status != want || (err == nil) != (want == 0) {
			t.Errorf("session %d of %v: %v, want the status %d", id, site, err, want)
		}
		return c
	}
	first := add(1, home, 10, 1, 0)
	add(2, home, 10, 1, 429)
	others := []*Conn{add(3, other, 10, 1, 0), add(4, home, 10, 0, 0), add(5, home, 10, -1, 0), add(6, netip.Addr{}, 10, 1, 0), add(7, netip.Addr{}, 10, 1, 0)}
	add(8, other, 6, -1, 503)
	if d.hasRoom(6) || !d.hasRoom(7) || d.count() != 6 {
		t.Errorf("%d sessions, want 6; there is room for 6: %v, for 7: %v", d.count(), d.hasRoom(6), d.hasRoom(7))
	}
	add(9, home, 10, 3, 429)
	d.entries[first].ticket.mark = mark{1}
	d.tickets[mark{1}] = d.entries[first]
	if d.remove(first); len(d.tickets) != 0 {
		t.Error("the ticket of a session that is over is kept")
	}
	if d.remove(first) != nil || d.count() != 5 {
		t.Errorf("%d sessions after one is over, want 5", d.count())
	}
	others = append(others, add(10, home, 10, 3, 0))
	for _, c := range others {
		d.remove(c)
	}
	if len(d.bySite) != 0 || d.count() != 0 {
		t.Errorf("%d sessions of %d addresses are left", d.count(), len(d.bySite))
	}
}

// While more than half of all sessions are interrupted, each further one ends the one that has been
// interrupted for the longest time, if that is minGrace or more.
func TestWhichInterruptedSessionEnds(t *testing.T) {
	var d directory
	d.init(4, 10)
	began := time.Now()
	conns := make([]*Conn, 5)
	for i := range conns {
		conns[i] = &Conn{id: session.ID(i + 1)}
		if i < 4 {
			must(t, d.add(conns[i], 10, netip.Addr{}, 0))
		}
	}
	want := func(i int, away bool, after time.Duration, end *Conn, count int) {
		t.Helper()
		if got := d.setAway(conns[i], away, began.Add(after)); got != end || d.away != count {
			t.Errorf("session %d, away %v after %v: %v ends, want %v; %d are away, want %d", i, away, after, got, end, d.away, count)
		}
	}
	want(0, false, 0, nil, 0)
	want(0, true, 0, nil, 1)
	want(0, true, time.Second, nil, 1) // it counts once, from the beginning
	want(1, true, time.Second, nil, 2)
	want(4, true, time.Second, nil, 2) // it is in no table
	want(2, true, minGrace-1, nil, 3)
	want(2, false, minGrace-1, nil, 2)
	want(2, true, minGrace, conns[0], 3)
	want(3, true, 2*minGrace, conns[0], 4)
	d.remove(conns[0])
	want(3, false, 2*minGrace, nil, 2)
	want(3, true, 2*minGrace, conns[1], 3)
	want(1, false, 2*minGrace, nil, 2)
	want(1, false, 2*minGrace, nil, 2)
	want(3, false, 3*minGrace, nil, 1)
	want(1, true, 3*minGrace, nil, 2) // no more than half
	for _, c := range conns {
		d.remove(c)
	}
	if d.away != 0 {
		t.Errorf("%d of no sessions are away", d.away)
	}
}

// The directory remembers as many used tokens as the Config says.
func TestUsedTokensAreLimited(t *testing.T) {
	var d directory
	d.init(100, 2)
	now := time.Now()
	for id, want := range []error{nil, nil, auth.ErrBusy} {
		if err := d.spend(now, auth.Claims{ID: string(rune('a' + id)), Expires: now.Add(time.Minute)}); !errors.Is(err, want) {
			t.Errorf("token %d: %v, want %v", id, err, want)
		}
	}
}
