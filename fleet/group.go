package fleet

import (
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
)

// A Group is a set of sessions on all nodes, with a name. Groups with the same name are the same group, on every
// node. A session may be in many groups. When the session ends, it leaves all of them.
//
// A message to a group goes once to each node that has members, and not to NATS at all while no other
// node has members. It is encoded once on each node.
type Group struct {
	f           *Fleet
	name, token string
}

// Group returns the group with a name. It needs no cleanup: the fleet forgets a group without members that nobody
// uses.
func (f *Fleet) Group(name string) *Group { return &Group{f: f, name: name, token: token(name)} }

// Name returns the name of the group.
func (g *Group) Name() string { return g.name }

// Join adds a session of this node. It returns false if the session is a member already, is over, is of another
// server, or if the node uses Config.MaxGroups groups already.
func (g *Group) Join(c *godwit.Conn) bool {
	f := g.f
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.group(g)
	if s == nil || !s.local.Join(c) {
		return false
	}
	f.memberships[c] = append(f.memberships[c], s)
	if s.members++; s.members == 1 {
		before := s.sub
		s.sub = f.subscribe(f.groupSubject(s.token, "*"))
		f.unsubscribe(before)
		delete(f.visited, s)
		f.fresh[s] = announcements
		f.announce(s, f.groupSubject(s.token, "i"), kindHere)
	}
	return true
}

// Leave removes a session. It returns false if the session is not a member.
func (g *Group) Leave(c *godwit.Conn) bool {
	f := g.f
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.groups[g.token]
	if s == nil || !s.local.Leave(c) {
		return false
	}
	of := f.memberships[c]
	if of = slices.DeleteFunc(of, func(o *groupState) bool { return o == s }); len(of) > 0 {
		f.memberships[c] = of
	} else {
		delete(f.memberships, c)
	}
	f.left(s)
	return true
}

// Len returns the number of members on this node.
func (g *Group) Len() int {
	if l := g.local(); l != nil {
		return l.Len()
	}
	return 0
}

// Conns yields the members on this node.
func (g *Group) Conns() iter.Seq[*godwit.Conn] {
	if l := g.local(); l != nil {
		return l.Conns()
	}
	return func(func(*godwit.Conn) bool) {}
}

func (g *Group) local() *godwit.Group {
	g.f.mu.Lock()
	defer g.f.mu.Unlock()
	if s := g.f.groups[g.token]; s != nil {
		return s.local
	}
	return nil
}

// Send sends a message to every member on every node. It does not wait. The members on this node get it as from
// godwit.Group.Send, whose errors it returns; nothing is sent then. Those of other nodes get it at most once. A
// message that cannot be sent to other nodes is counted and is no error: see Stats. A message with more
// bytes than NATS takes, 1 MiB unless its configuration says otherwise, is session.ErrTooLarge.
func (g *Group) Send(ch godwit.ChannelID, b []byte) error { return g.SendExcept(nil, ch, b) }

// SendExcept sends a message to every member except one, which is a session of this node.
func (g *Group) SendExcept(except *godwit.Conn, ch godwit.ChannelID, b []byte) error {
	f := g.f
	s, err := f.sending(g, b)
	if err != nil {
		return err
	}
	if err := s.local.SendExcept(except, ch, b); err != nil {
		return err
	}
	f.publishGroup(s, groupHeader{ch: uint64(ch)}, b)
	return nil
}

// SendNamed sends a message to every member that has a channel with a name, except one of this node, which may be
// nil; see godwit.Server.BroadcastNamed. skipped is the number of members on this node without such a channel.
func (g *Group) SendNamed(except *godwit.Conn, name string, b []byte) (skipped int, err error) {
	f := g.f
	s, err := f.sending(g, b)
	if err != nil {
		return 0, err
	}
	skipped, err = s.local.SendNamed(except, name, b)
	if name != "" {
		f.publishGroup(s, groupHeader{name: name}, b)
	}
	return skipped, err
}

// groupState is what a node knows of a group that it uses: it has members, or has sent to the group in
// the last forgetAfter. Fleet.mu guards it, except local.
type groupState struct {
	name, token string
	local       *godwit.Group
	members     int // sessions of this node
	sub         *subscription
	used        time.Time // when this node has sent to the group for the last time

	// The numbers of this node's messages to the group.
	stream uint32
	number uint64

	// Which other nodes have members. This node asks when it sends to the group, at most once in askAgain;
	// nodes also say when they get their first member, and lose their last one.
	known  bool                // the last question has an answer
	needed map[instance]uint32 // nodes that have members, with the round of their last answer
	round  uint32              // number of questions
	asked  time.Time

	from map[origin]*arrivals // what has arrived; nil without members
}

// An origin is a series of numbers of a node.
type origin struct {
	node   instance
	stream uint32
}

const (
	// forgetAfter is the time without a message after which a node forgets a group without members.
	forgetAfter = 30 * time.Second
	// askAgain is the time between two questions which nodes have members of a group, while messages are
	// sent to it.
	askAgain = 10 * time.Second
	// askSoon is the time after which a question without any answer is asked again.
	askSoon = time.Second
	// announcements is the number of times that a node repeats, once a second, that it has its first member: in
	// a cluster of NATS servers interest takes some time to get around.
	announcements = 2
	// maxOrigins limits groupState.from and needed.
	maxOrigins = 4096
)

func (f *Fleet) groupSubject(token, what string) string {
	return f.config.Prefix + ".g." + token + "." + what
}

// group returns the state of a group, and makes it if there is none. It returns nil if there are too many groups,
// or no server. f.mu is held.
func (f *Fleet) group(g *Group) *groupState {
	s := f.groups[g.token]
	if s != nil {
		return s
	}
	srv := f.server.Load()
	if srv == nil || f.closed || len(f.groups) >= f.config.MaxGroups {
		return nil
	}
	s = &groupState{name: g.name, token: g.token, local: srv.NewGroup(), stream: rand.Uint32()}
	f.groups[s.token] = s
	f.visit(s)
	return s
}

// visit makes a group one that this node sends to and has no members of. f.mu is held.
func (f *Fleet) visit(s *groupState) {
	s.used = time.Now()
	f.visited[s] = struct{}{}
	s.sub = f.subscribe(f.groupSubject(s.token, "i"))
}

// left notes that a group has one member less. f.mu is held.
func (f *Fleet) left(s *groupState) {
	if s.members--; s.members > 0 {
		return
	}
	before := s.sub
	f.visit(s)
	f.unsubscribe(before)
	s.from = nil
	delete(f.fresh, s)
	f.announce(s, f.groupSubject(s.token, "i"), kindGone)
}

// announce publishes one of the messages about the members of a group. That this node has members follows later if there is no room for it
// now. f.mu is held.
func (f *Fleet) announce(s *groupState, subject string, k kind) error {
	err := f.publish(subject, "", append(appendHeader(f.buffer(), k, f.me), s.name...))
	if err == ErrFull && k == kindHere {
		f.fresh[s] = max(f.fresh[s], 1)
	}
	return err
}

// leaveAll notes that a session has ended, which has left its groups.
func (f *Fleet) leaveAll(c *godwit.Conn) {
	for _, s := range f.memberships[c] {
		f.left(s)
	}
	delete(f.memberships, c)
}

// sending returns the state of a group for a message to it.
func (f *Fleet) sending(g *Group, b []byte) (*groupState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	if len(b) > f.maxPayload {
		return nil, ErrTooLarge
	}
	s := f.group(g)
	if s == nil {
		return nil, ErrFull
	}
	return s, nil
}

// publishGroup sends a message to the other nodes that have members of a group.
func (f *Fleet) publishGroup(s *groupState, h groupHeader, b []byte) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	s.used = now
	switch since := now.Sub(s.asked); {
	case since >= askAgain, !s.known && since >= askSoon:
		f.ask(s, now)
	}
	if s.known && len(s.needed) == 0 {
		f.counts.Unneeded++
		return
	}
	h.table, h.stream, h.number = f.table, s.stream, s.number
	s.number++ // also if the message is dropped below: who receives the next one counts it as lost
	data := append(h.append(appendHeader(f.buffer(), kindGroup, f.me)), b...)
	if f.publish(f.groupSubject(s.token, "m"), "", data) == ErrTooLarge { // with a long name of a channel
		f.counts.OutDropped++
	}
}

// ask asks which other nodes have members of a group. A question that cannot be sent counts as none. f.mu is held.
func (f *Fleet) ask(s *groupState, now time.Time) {
	s.asked = now
	err := f.publish(f.groupSubject(s.token, "w"), f.inboxSubject("g", s.token),
		append(appendHeader(f.buffer(), kindWho, f.me), s.name...))
	if err != nil {
		return
	}
	s.round++
	for node, round := range s.needed {
		if s.round-round > 2 { // no answer to the last two questions
			delete(s.needed, node)
		}
	}
}

// nobodyIn notes that no other node has members of a group: NATS says so.
func (f *Fleet) nobodyIn(token string) {
	f.mu.Lock()
	s := f.groups[token]
	if s == nil {
		f.mu.Unlock()
		return
	}
	changed := !s.known || len(s.needed) > 0
	s.known = true
	for node, round := range s.needed {
		if round != s.round { // else the node got its first member after the question
			delete(s.needed, node)
		}
	}
	changed = changed && len(s.needed) == 0
	f.mu.Unlock()
	if changed {
		f.config.Logger.Debug("fleet: no other node has members", "node", f.config.Name, "group", s.name)
	}
}

// membersElsewhere handles kindHere and kindGone.
func (f *Fleet) membersElsewhere(m message) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.groups[token(string(m.body))]
	switch {
	case s == nil: // not used here any more
	case m.kind == kindGone:
		delete(s.needed, m.from)
	default:
		if s.needed == nil {
			s.needed = make(map[instance]uint32)
		}
		if _, known := s.needed[m.from]; known || len(s.needed) < maxOrigins {
			s.needed[m.from] = s.round
		}
		s.known = true
	}
	return true
}

// tellMembers handles kindWho.
func (f *Fleet) tellMembers(m message) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.groups[token(string(m.body))]; s != nil && s.members > 0 && f.answerable(m.reply) {
		f.announce(s, m.reply, kindHere)
	}
	return true
}

// receiveGroup handles kindGroup.
func (f *Fleet) receiveGroup(m message) bool {
	var h groupHeader
	r := reader{b: m.body}
	h.read(&r)
	t, ok := f.groupToken(m.subject)
	if r.bad || !ok || h.ch > channel.MaxChannels {
		return false
	}
	f.mu.Lock()
	s := f.groups[t]
	if s == nil || s.members == 0 {
		f.mu.Unlock()
		return true // the last member has left meanwhile
	}
	if h.table != f.table {
		f.counts.Foreign++
		f.mu.Unlock()
		return true
	}
	from := origin{m.from, h.stream}
	a := s.from[from]
	if a == nil {
		if s.from == nil || len(s.from) >= maxOrigins {
			s.from = make(map[origin]*arrivals)
		}
		a = new(arrivals)
		s.from[from] = a
	}
	ok, lost, late := a.note(h.number)
	f.counts.Lost += lost
	switch {
	case late:
		f.counts.Late++
	case !ok:
		f.counts.Doubled++
	}
	f.mu.Unlock()
	if !ok {
		return true
	}
	if h.ch == 0 {
		s.local.SendNamed(nil, h.name, r.b)
	} else {
		s.local.Send(godwit.ChannelID(h.ch), r.b)
	}
	return true
}
