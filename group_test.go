package godwit

import (
	"runtime"
	"slices"
	"sync"
	"testing"
)

// A group accepts only sessions of its server, at the server's end.
func TestWhoMayJoinAGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		other, _ := newTestServer(t)
		client, server, _ := join(t, srv, "ada")
		g := other.NewGroup()
		if g.Join(server) || g.Len() != 0 {
			t.Error("a session of another server joins the group")
		}
		if g = srv.NewGroup(); g.Join(client) || g.Len() != 0 {
			t.Error("the client's end of a session joins the group")
		}
		if !g.Join(server) || !slices.Equal(slices.Collect(g.Conns()), []*Conn{server}) {
			t.Error("a session of the server does not join its group")
		}
	})
}

// A session becomes a member, or leaves, in one step with the server's note of it: nobody who holds
// the lock of the directory sees one without the other. So a Leave between the two steps of a Join
// cannot leave a note behind.
func TestMembershipChangesInOneStepWithItsNote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		_, c, _ := join(t, srv, "ada")
		g, d := srv.NewGroup(), &srv.directory
		for members, change := range []func(*Conn) bool{g.Join, g.Leave} {
			done := make(chan bool)
			d.mu.Lock()
			go func() { done <- change(c) }()
			for range 1000 { // change runs meanwhile, as far as it can
				runtime.Gosched()
			}
			if n, notes := g.Len(), len(d.entries[c].groups); n != members || notes != members {
				t.Errorf("%d members and %d notes while the directory is locked, want %d of both", n, notes, members)
			}
			d.mu.Unlock()
			if !<-done {
				t.Error("the change fails, want success")
			}
			d.mu.Lock()
			if n, notes := g.Len(), len(d.entries[c].groups); n != 1-members || notes != 1-members {
				t.Errorf("%d members and %d notes after the change, want %d of both", n, notes, 1-members)
			}
			d.mu.Unlock()
		}
	})
}

// Sessions that open and close at the same time, from many goroutines, leave the list as if they
// had done so one after the other. A list that was read does not change.
func TestRosterChangesFromManyGoroutines(t *testing.T) {
	var r roster
	stays := new(Conn)
	r.add(stays)
	before := r.all()
	var all sync.WaitGroup
	var mine [8][64]Conn
	for i := range mine {
		all.Go(func() {
			for j := range mine[i] {
				c := &mine[i][j]
				if !r.add(c) || r.add(c) {
					t.Error("a session is added twice, or not at all")
				}
				if j%2 == 0 && (!r.remove(c) || r.remove(c)) {
					t.Error("a session is removed twice, or not at all")
				}
			}
		})
	}
	all.Wait()
	if n, want := len(r.all()), 1+8*32; n != want || r.all()[0] != stays {
		t.Errorf("%d sessions are left, want %d", n, want)
	}
	if !slices.Equal(before, []*Conn{stays}) {
		t.Error("a list that was read before has changed")
	}
}
