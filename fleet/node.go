package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/internal/closed"
	"github.com/nats-io/nats.go"
)

// A Node is what the fleet knows of one of its nodes. It is at most a second old, or a little more if NATS is slow.
type Node struct {
	ID          string  `json:"id"` // of this life of the node: a node that starts again has another one
	Name        string  `json:"name"`
	URL         string  `json:"url,omitempty"` // Config.URL
	Region      string  `json:"region,omitempty"`
	Version     string  `json:"version,omitempty"`
	Sessions    int     `json:"sessions"`
	MaxSessions int     `json:"maxSessions"`
	CPU         float64 `json:"cpu"` // share of its processors that the process has used in the last second, 0 to 1; 0 on systems other than Unix
	// Lateness is the largest value of Fleet.Late in the last second.
	Lateness time.Duration `json:"lateness,omitempty"`
	Draining bool          `json:"draining,omitempty"` // it makes no seats, and lets nobody in but, for at most 10 s, players who have one: see Drain. So does a node whose server shuts down or whose fleet is closed
	Adopts   bool          `json:"adopts,omitempty"`   // it has Config.Adopt
	// Number and UDP are how relays reach it: godwit.Config.RTC.Node, and Config.UDP. Both are zero if no relay does.
	Number uint32         `json:"number,omitempty"`
	UDP    netip.AddrPort `json:"udp,omitzero"`
	Here   bool           `json:"-"` // it is this node
}

// load is how busy a node is: 1 is full. promised is the number of seats given to players who may not be counted
// in Sessions yet.
func (n *Node) load(promised int) float64 {
	fill := float64(n.Sessions+promised) / float64(max(n.MaxSessions, 1))
	return max(fill, n.CPU, float64(n.Lateness)/float64(fullLateness))
}

// Times of the nodes.
const (
	beatEvery    = time.Second
	pingEvery    = 500 * time.Millisecond // of NATS, three times: a node whose NATS server dies is with another one before deadAfter
	deadAfter    = 3 * time.Second        // a node that was not heard for so long is gone, if NATS answers; a test may say another time
	fullLateness = 50 * time.Millisecond  // a node whose ticks are that late is full
	maxNodes     = 4096
)

// ErrNoNode: no node fits. Find it with errors.Is.
var ErrNoNode = errors.New("fleet: no node fits: all are full, draining, or not what the filter asks for")

// A beat is what each node tells all others once a second.
type beat struct {
	Node
	Gone bool `json:"gone,omitempty"` // it has left the fleet
}

// A peer is another node.
type peer struct {
	Node
	heard    time.Time
	promised int  // seats of the last seconds
	clashes  bool // another node has its number or its UDP address, and the log says so
}

// nodes is what a node knows of the others, and tells of itself. Fleet.mu guards it.
type nodes struct {
	peers    map[string]*peer // by ID
	self     Node
	promised int
	late     time.Duration
	cpu      cpuMeter
	dead     time.Duration // a node that was not heard for so long is gone
	since    time.Time     // from when on the node has heard the others without a break
	back     time.Time     // until when NATS was away, or its rooms could not be read, or when their mark was made; zero if none of these is known

	sub     *nats.Subscription // of beats
	missed  int                // beats that sub has dropped; the goroutine of prove owns it
	proving bool               // the goroutine of prove runs, or its mark is in inbox.beats
	pinged  time.Time          // when NATS was pinged last
	proven  time.Time          // all that other nodes had said until then is processed; zero if NATS has answered no ping
	woken   chan struct{}      // closed when a proof is over; nil if nobody waits for one
	waiting int                // calls of checkGone that wait for one
}

// Limits of proofs.
const (
	proofEvery  = 10 * time.Millisecond // between two pings
	maxAwaiting = 1024                  // calls of checkGone that wait: a front begins no more
)

func init() { handlers[kindBeat] = (*Fleet).receiveBeat }

func (f *Fleet) initNodes(now time.Time) {
	c := &f.config
	f.nodes = nodes{peers: make(map[string]*peer), since: now, dead: cmp.Or(c.deadAfter, deadAfter), self: Node{
		ID: f.me.String(), Name: c.Name, URL: c.URL, Region: c.Region, Version: c.Version, Adopts: c.Adopt != nil, Here: true,
	}}
}

func (f *Fleet) beatSubject() string { return f.config.Prefix + ".b" }

// beat tells the other nodes of this one. f.mu is held.
func (f *Fleet) beat(now time.Time, gone bool) {
	n := &f.nodes
	if srv := f.server.Load(); srv != nil {
		n.self.Sessions = srv.Len()
	}
	n.self.CPU = n.cpu.share(now)
	n.self.Lateness, n.late = n.late, 0
	n.promised /= 2
	body, err := json.Marshal(beat{f.self(), gone})
	if err == nil {
		f.publishBeat(append(appendHeader(f.buffer(), kindBeat, f.me), body...))
	}
}

// self returns what this node tells of itself. It drains also while its server shuts down and the fleet is closed: both let nobody in. f.mu is
// held.
func (f *Fleet) self() Node {
	n, srv := f.nodes.self, f.server.Load()
	n.Draining = n.Draining || f.closing || srv != nil && closed.Server(srv)
	return n
}

// listen asks for a proof if a node was not heard for deadAfter: see prove. f.mu is held.
func (f *Fleet) listen(now time.Time) {
	if f.away.Load() {
		f.listenAgain(now)
	}
	for _, p := range f.nodes.peers {
		if now.Sub(p.heard) > f.nodes.dead {
			f.startProof()
			return
		}
	}
}

// startProof starts prove if it does not run. f.mu is held.
func (f *Fleet) startProof() {
	if !f.nodes.proving && !f.closed && !f.away.Load() {
		f.nodes.proving = true
		f.running.Go(f.prove)
	}
}

// prove pings NATS. The answer comes behind all that the other nodes have said before, and prove puts a mark behind it: when the mark is
// processed, heardAll notes it. This process, its connection or NATS may have stood still: without a proof no node is gone. A ping needs no room in the
// outbox, and nobody who subscribes to subjects gets it instead of NATS.
func (f *Fleet) prove() {
	f.mu.Lock()
	wait := proofEvery - time.Since(f.nodes.pinged)
	f.mu.Unlock()
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-f.stop:
			return
		}
	}
	f.mu.Lock()
	f.nodes.pinged = time.Now()
	f.mu.Unlock()
	err := f.nc.FlushTimeout(writeTimeout)
	missed, _ := f.nodes.sub.Dropped()
	if err != nil || missed != f.nodes.missed {
		f.mu.Lock()
		defer f.mu.Unlock()
		if missed != f.nodes.missed { // who knows of whom
			f.nodes.missed = missed
			f.waitAgain(time.Now())
		}
		f.endProof()
		return
	}
	select {
	case f.in.beats <- &f.in.mark:
	case <-f.stop:
	}
}

// heardAll handles the mark of prove: all that other nodes had said when NATS was pinged is processed. So a node that was not heard for
// deadAfter then is gone, and checkGone knows all nodes that had come.
func (f *Fleet) heardAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.away.Load() { // else the answer is of a connection that is over
		f.nodes.proven = f.nodes.pinged
		f.forgetUnheardNodes(f.nodes.pinged)
	}
	f.endProof()
}

// endProof ends a proof, also one without an answer, and wakes those who wait for it. f.mu is held.
func (f *Fleet) endProof() {
	n := &f.nodes
	n.proving = false
	if n.woken != nil {
		close(n.woken)
		n.woken = nil
	}
}

// forgetUnheardNodes removes the nodes that were not heard for deadAfter at a time. f.mu is held.
func (f *Fleet) forgetUnheardNodes(at time.Time) {
	for id, p := range f.nodes.peers {
		if at.Sub(p.heard) > f.nodes.dead {
			f.forgetNode(id, "was not heard for too long")
		}
	}
}

// listenAgain notes that NATS is away, or was until now: nobody was heard, and nobody is forgotten. f.mu is held.
func (f *Fleet) listenAgain(now time.Time) {
	f.nodes.back = now
	f.waitAgain(now)
}

// backLately reports whether NATS is away, or was away until a moment ago: nodes that are there may not be back yet.
func (f *Fleet) backLately() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away.Load() || f.rooms.unread || time.Since(f.nodes.back) <= f.nodes.dead+beatEvery
}

// waitAgain begins to wait for the nodes again. f.mu is held.
func (f *Fleet) waitAgain(now time.Time) {
	f.nodes.since = now
	for _, p := range f.nodes.peers {
		p.heard = now
	}
}

// forgetNode removes a node that is gone, and ends the questions for it, except those of states. f.mu is held.
func (f *Fleet) forgetNode(id, why string) {
	if p := f.nodes.peers[id]; p != nil {
		delete(f.nodes.peers, id)
		f.config.Logger.Info("fleet: a node is gone", "node", f.config.Name, "gone", p.Name, "id", id, "why", why)
		f.wakeRooms()
	}
	f.endQuestionsTo(id, false)
}

// receiveBeat handles kindBeat.
func (f *Fleet) receiveBeat(m message) bool {
	var b beat
	if json.Unmarshal(m.body, &b) != nil || b.ID != m.from.String() {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.Gone {
		f.forgetNode(b.ID, "it has left")
		f.endQuestionsTo(b.ID, true)
		f.forgetNumber(b.ID)
		return true
	}
	p := f.nodes.peers[b.ID]
	if p == nil {
		if len(f.nodes.peers) >= maxNodes {
			return true
		}
		p = new(peer)
		f.nodes.peers[b.ID] = p
	}
	first := p.Number != b.Number || p.UDP != b.UDP
	p.Node, p.heard = b.Node, time.Now()
	if !f.noteNumber(&p.Node, first, p.heard) && !p.clashes {
		p.clashes = true
		f.config.Logger.Warn("fleet: two nodes have one number or one UDP address: relays reach the one that has come later",
			"node", f.config.Name, "number", p.Number, "udp", p.UDP, "other", p.Name)
	}
	p.promised /= 2 // most of them have come
	return true
}

// Nodes returns the nodes of the fleet that are there, this one included, by name.
func (f *Fleet) Nodes() []Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []Node{f.self()}
	for _, p := range f.nodes.peers {
		all = append(all, p.Node)
	}
	slices.SortFunc(all, func(a, b Node) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return all
}

// node returns a node that is there.
func (f *Fleet) node(id string) (Node, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id == f.nodes.self.ID {
		return f.self(), true
	}
	if p := f.nodes.peers[id]; p != nil {
		return p.Node, true
	}
	return Node{}, false
}

// checkGone reports whether a node that was there at a time, not a later one than now, is gone for good. sure is false if this node cannot
// know: it has not been in the fleet for long enough, NATS is away or was away until now, or there is no proof before the end of
// ctx that everything which the others had said until at is processed. A node of which nothing was heard yet may have come meanwhile.
func (f *Fleet) checkGone(ctx context.Context, id string, at time.Time) (gone, sure bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := &f.nodes
	for {
		_, known := n.peers[id]
		switch {
		case known || id == n.self.ID:
			return false, true
		case f.closed || f.away.Load() || time.Since(n.since) <= n.dead+beatEvery:
			return true, false
		case !n.proven.Before(at):
			return true, true
		case ctx.Err() != nil:
			return true, false
		}
		f.startProof()
		if n.woken == nil {
			n.woken = make(chan struct{})
		}
		woken := n.woken
		n.waiting++
		f.mu.Unlock()
		select {
		case <-woken:
		case <-ctx.Done():
		case <-f.stop:
		}
		f.mu.Lock()
		n.waiting--
	}
}

// Pick returns the node that is least busy, for a new player: of those that have a server, are not full and not
// draining, and for which filter, if it is not nil, returns true. filter must not call methods of the Fleet, which waits for
// it with its lock held; those that wait return session.ErrInHandler. Pick counts the player as promised, so that the next calls
// know of it. The error is ErrNoNode.
func (f *Fleet) Pick(filter func(Node) bool) (Node, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var best *Node
	var counter *int
	least, ties := 0.0, 0
	look := func(n *Node, promised *int) {
		if n.Draining || n.Sessions+*promised >= n.MaxSessions || filter != nil && !filter(*n) {
			return
		}
		l := n.load(*promised)
		switch {
		case best == nil || l < least:
			best, counter, least, ties = n, promised, l, 1
		case l == least:
			if ties++; rand.IntN(ties) == 0 {
				best, counter = n, promised
			}
		}
	}
	if srv := f.server.Load(); srv != nil {
		f.nodes.self.Sessions = srv.Len()
		self := f.self()
		look(&self, &f.nodes.promised)
	}
	for _, p := range f.nodes.peers {
		look(&p.Node, &p.promised)
	}
	if best == nil {
		return Node{}, ErrNoNode
	}
	*counter++
	return *best, nil
}

// Late tells the fleet that a tick of the program was d late. Call it in each tick, also with a d of zero.
func (f *Fleet) Late(d time.Duration) {
	f.mu.Lock()
	f.nodes.late = max(f.nodes.late, d)
	f.mu.Unlock()
}

// setDraining makes Pick of all nodes leave this one out.
func (f *Fleet) setDraining() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.nodes.self.Draining {
		f.nodes.self.Draining = true
		f.travels.lostBefore = f.counts.StatesLost
		f.beat(time.Now(), false)
	}
}
