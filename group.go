package godwit

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

// A Group is some of a server's sessions. One may be in many groups; when its session
// ends it leaves them all. Its methods may be called from any goroutine.
type Group struct {
	server *Server
	roster roster
}

// NewGroup returns an empty group. An empty group needs no cleanup.
func (s *Server) NewGroup() *Group { return &Group{server: s} }

// Join adds a session. It reports false if it is a member already, or over.
func (g *Group) Join(c *Conn) bool {
	if c.server != g.server || !c.ours || !g.roster.add(c) {
		return false
	}
	if !g.server.book.joined(c, g) {
		g.roster.remove(c)
		return false
	}
	return true
}

// Leave removes a session. It reports false if it is no member.
func (g *Group) Leave(c *Conn) bool {
	if !g.roster.remove(c) {
		return false
	}
	g.server.book.left(c, g)
	return true
}

// Len returns how many are in the group.
func (g *Group) Len() int { return len(g.roster.all()) }

// Conns yields the members. Who joins or leaves meanwhile may be among them or not.
func (g *Group) Conns() iter.Seq[*Conn] { return slices.Values(g.roster.all()) }

// Send sends a message to every member; see [Server.Broadcast].
func (g *Group) Send(ch ChannelID, b []byte) error {
	return g.server.sendAll(g.roster.all(), nil, ch, b)
}

// SendExcept sends a message to every member but one.
func (g *Group) SendExcept(except *Conn, ch ChannelID, b []byte) error {
	return g.server.sendAll(g.roster.all(), except, ch, b)
}

// A roster is a set of sessions that is read much more often than it changes: who
// reads it gets a slice that never changes. Its lock is a leaf.
type roster struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*Conn]
}

func (r *roster) all() []*Conn {
	if p := r.list.Load(); p != nil {
		return *p
	}
	return nil
}

func (r *roster) add(c *Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.all()
	if slices.Contains(old, c) {
		return false
	}
	list := append(slices.Clip(old), c)
	r.list.Store(&list)
	return true
}

func (r *roster) remove(c *Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.all()
	i := slices.Index(old, c)
	if i < 0 {
		return false
	}
	list := make([]*Conn, 0, len(old)-1)
	list = append(append(list, old[:i]...), old[i+1:]...)
	r.list.Store(&list)
	return true
}
