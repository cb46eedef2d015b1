package godwit

import (
	"iter"
	"slices"
	"sync/atomic"
)

// A Group is a set of a server's sessions. A session may be in many groups. When the
// session ends, the server removes it from all of them. The methods of a Group may be
// called from any goroutine.
type Group struct {
	server *Server
	roster roster
}

// NewGroup returns an empty group. An empty group needs no cleanup.
func (s *Server) NewGroup() *Group { return &Group{server: s} }

// Join adds a session. It returns false if the session is a member already, is over,
// belongs to another server, or is a client's end.
func (g *Group) Join(c *Conn) bool {
	return c.server == g.server && c.atServer && g.server.directory.joinGroup(c, g)
}

// Leave removes a session. It returns false if the session is not a member.
func (g *Group) Leave(c *Conn) bool { return g.server.directory.leaveGroup(c, g) }

// Len returns the number of members.
func (g *Group) Len() int { return len(g.roster.all()) }

// Conns yields the sessions that are members at the time of the call. Sessions that join or
// leave later change nothing.
func (g *Group) Conns() iter.Seq[*Conn] { return slices.Values(g.roster.all()) }

// Send sends a message to every member; see [Server.Broadcast].
func (g *Group) Send(ch ChannelID, b []byte) error {
	return g.server.sendAll(g.roster.all(), nil, ch, b)
}

// SendExcept sends a message to every member except one; see [Server.Broadcast].
func (g *Group) SendExcept(except *Conn, ch ChannelID, b []byte) error {
	return g.server.sendAll(g.roster.all(), except, ch, b)
}

// SendNamed sends a message to every member that has a channel with a name, except one; see
// [Server.BroadcastNamed].
func (g *Group) SendNamed(except *Conn, name string, b []byte) (skipped int, err error) {
	return g.server.sendNamed(g.roster.all(), except, name, b)
}

// A roster is a set of sessions that is read much more often than it changes. A change
// replaces the slice, which itself never changes.
type roster struct{ list atomic.Pointer[[]*Conn] }

func (r *roster) all() []*Conn {
	if p := r.list.Load(); p != nil {
		return *p
	}
	return nil
}

func (r *roster) add(c *Conn) bool {
	return r.change(func(old []*Conn) ([]*Conn, bool) {
		return append(slices.Clip(old), c), !slices.Contains(old, c)
	})
}

func (r *roster) remove(c *Conn) bool {
	return r.change(func(old []*Conn) ([]*Conn, bool) {
		i := slices.Index(old, c)
		if i < 0 {
			return nil, false
		}
		return slices.Concat(old[:i], old[i+1:]), true
	})
}

// change replaces the list by what to returns for it. If the list changes meanwhile, to is
// called again.
func (r *roster) change(to func(old []*Conn) (list []*Conn, ok bool)) bool {
	for {
		old := r.list.Load()
		var before []*Conn
		if old != nil {
			before = *old
		}
		list, ok := to(before)
		if !ok {
			return false
		}
		if r.list.CompareAndSwap(old, &list) {
			return true
		}
	}
}
