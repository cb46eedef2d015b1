package godwit

import (
	"slices"
	"testing"
)

// A group takes sessions of its own server, at the server's end.
func TestWhoMayJoinAGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		other, _ := newTestServer(t)
		client, server, _ := join(t, srv, "ada")
		g := other.NewGroup()
		if g.Join(server) || g.Len() != 0 {
			t.Error("a session of another server joins")
		}
		if g = srv.NewGroup(); g.Join(client) || g.Len() != 0 {
			t.Error("a client's end joins")
		}
		if !g.Join(server) || !slices.Equal(slices.Collect(g.Conns()), []*Conn{server}) {
			t.Error("a session of its own does not")
		}
	})
}
