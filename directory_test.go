package godwit

import (
	"maps"
	"slices"
	"testing"
	"time"
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
