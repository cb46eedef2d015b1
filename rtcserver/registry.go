package rtcserver

import (
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// registry finds the connection of a datagram: by its username fragment, or by the address
// from which the datagram came. It also holds the connections that wait for their first
// check and have no shard yet.
//
// No other lock is taken while mu is held, and no code of the program is called.
type registry struct {
	limit   int           // largest number of waiting connections, and of those that began with a check and are not admitted
	timeout time.Duration // how long a connection waits for its first check

	mu      sync.RWMutex
	byUfrag map[string]*Conn          // by the whole USERNAME if the connection began without an offer
	byAddr  map[netip.AddrPort]claims // used only with several shards
	perIP   map[netip.Addr]int        // number of connections, by site
	pending []pending                 // connections that wait, in the order in which they expire; some may have a shard by now
	waiting int                       // connections of pending that still wait, and those between reserve and add
	nextID  uint64
	// Of connections that may be renewed: see renewal.
	bySession map[sessionKey]*Conn
	renamed   map[string]*Conn // by the username fragments of ICE restarts

	passive map[netip.Addr]time.Time // sites whose pages can only be DTLS clients, and until when that counts

	byFragment map[string]int  // number of connections that began without an offer and are not admitted, by this end's fragment
	unproved   [beginnings]int // all of them
	begunPerIP map[party]int   // those that are not open, by the site that their first check came from; perIP does not have them

	shared atomic.Int32 // number of addresses at which several shards have a connection
}

// claims are the shards that have connections with an address. There is one, except for a
// moment while a connection moves, or if checks are forged. Two of them have a claim: they
// get the datagrams from the address that arrive at another shard. While datagrams from
// the address arrive for both, a third shard gets no claim, though it has a connection.
type claims struct {
	of     [2]claim
	shards int // number of shards that have a connection with the address, with a claim or without
}

type claim struct {
	shard *shard
	heard time.Time // time of the last check
}

// claimLasts is how long after its last check a claim cannot be taken by another shard.
// A live page sends three checks in that time.
const claimLasts = 15 * time.Second

// pending is a connection that waits. It has the name and not the Conn, so that it does
// not keep a Conn that has connected and ended.
type pending struct {
	ufrag string
	since time.Time
}

// hurry is the longest wait for a first check while more than half of the places are
// taken. A page connects within a second or two. So an attacker that makes many offers and
// never connects does not hold the places for long.
const hurry = 5 * time.Second

// linksOfSession is how many links a session may have at a time that resumes: the one that it leaves, the
// newest attempt with a request, and the newest one without, which is not admitted yet. The engine
// counts the sessions of an address itself.
const linksOfSession = 3

// minPending: add compacts pending once claimed entries outnumber the waiting ones by
// minPending.
const minPending = 64

func newRegistry(limit int, timeout time.Duration) *registry {
	return &registry{
		limit:   limit,
		timeout: timeout,
		byUfrag: make(map[string]*Conn),
		byAddr:  make(map[netip.AddrPort]claims),
		perIP:   make(map[netip.Addr]int),
		passive: make(map[netip.Addr]time.Time),

		bySession: make(map[sessionKey]*Conn),
		renamed:   make(map[string]*Conn),

		byFragment: make(map[string]int),
		begunPerIP: make(map[party]int),
	}
}

// site returns the address that limits count a for: an IPv4 address, or the first address
// of the IPv6 /64, because one customer usually has a whole /64.
func site(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, _ := a.Prefix(64) // invalid if a is
	return p.Addr()
}

// reserve takes a place for a new connection and sets its id, or returns a refusal. The
// caller then calls add or release.
func (r *registry) reserve(c *Conn, from remote, maxPerIP int) *StatusError {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting >= r.limit {
		return refuse(http.StatusServiceUnavailable, "full", "too many connections are being made: try again in a second")
	}
	if c.resume {
		maxPerIP *= linksOfSession
	}
	if maxPerIP > 0 && !from.free && r.perIP[c.site] >= maxPerIP {
		return refuse(http.StatusTooManyRequests, "rate", "too many connections from "+from.String())
	}
	r.nextID++
	c.id = r.nextID
	r.perIP[c.site]++
	r.waiting++
	return nil
}

// release gives back the place that reserve took.
func (r *registry) release(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
	r.uncountSite(c)
}

// add enters a connection, which then waits for its first check. It returns when the
// connection that has waited longest expires. ok is false if the connection was withdrawn
// before.
func (r *registry) add(c *Conn, now time.Time) (due time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.withdrawn {
		return time.Time{}, false
	}
	r.byUfrag[c.ufrag] = c
	if len(r.pending) >= 2*r.waiting+minPending {
		r.pending = slices.DeleteFunc(r.pending, r.hasShard)
	}
	r.pending = append(r.pending, pending{c.ufrag, now})
	r.popPlaced()
	return r.due(), true
}

// due returns when the first connection of pending expires.
func (r *registry) due() time.Time {
	wait := r.timeout
	if 2*r.waiting > r.limit {
		wait = min(wait, hurry)
	}
	return r.pending[0].since.Add(wait)
}

// popPlaced removes the connections at the front of pending that do not wait any more.
func (r *registry) popPlaced() {
	for len(r.pending) > 0 && r.hasShard(r.pending[0]) {
		r.pending = r.pending[1:]
	}
}

// hasShard reports whether a connection of pending does not wait any more.
func (r *registry) hasShard(p pending) bool {
	c := r.byUfrag[p.ufrag]
	return c == nil || c.shard != nil
}

// connFor returns the connection with a username fragment, or nil. If the connection has no
// shard yet and s has room, s becomes its shard. If s has no room, full is true.
func (r *registry) connFor(ufrag []byte, s *shard, room bool) (c *Conn, full bool) {
	r.mu.RLock()
	if c = r.byUfrag[string(ufrag)]; c == nil {
		c = r.renamed[string(ufrag)]
	}
	homeless := c != nil && c.shard == nil
	r.mu.RUnlock()
	if !homeless {
		return c, false
	}
	if !room {
		return nil, true
	}
	return r.setShard(ufrag, s), false
}

// setShard makes s the shard of a connection that has none. Another shard may have been
// faster.
func (r *registry) setShard(ufrag []byte, s *shard) *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.byUfrag[string(ufrag)]
	if c != nil && c.shard == nil {
		c.shard = s
		r.waiting--
		r.addSession(c)
	}
	return c
}

// withdraw removes a connection that waits for its first check, or makes add fail if add
// was not called yet. It returns the shard of a connection that has one.
func (r *registry) withdraw(c *Conn) *shard {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.withdrawn = true
	if c.shard == nil && r.byUfrag[c.ufrag] == c {
		r.waiting--
		r.removeLocked(c)
	}
	return c.shard
}

// find returns the connection with a username fragment, or nil.
func (r *registry) find(ufrag string) *Conn {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byUfrag[ufrag]
}

// others returns the shards except s that claim an address; nil where there is none.
func (r *registry) others(a netip.AddrPort, s *shard) (all [2]*shard) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for i, c := range r.byAddr[a].of {
		if c.shard != s {
			all[i] = c.shard
		}
	}
	return all
}

// addAddr and removeAddr maintain byAddr, for datagrams that arrive at another shard than that of
// their connection. addAddr is called when s has granted a check from the address; first
// says that s had no connection with the address. removeAddr is called when s has none any more.
func (r *registry) addAddr(now time.Time, a netip.AddrPort, s *shard, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.byAddr[a]
	if first {
		if all.shards++; all.shards == 2 {
			r.shared.Add(1)
		}
	}
	i := slices.IndexFunc(all.of[:], func(c claim) bool { return c.shard == s })
	if i < 0 {
		i = slices.IndexFunc(all.of[:], func(c claim) bool { return c.shard == nil })
	}
	if i < 0 {
		i = slices.IndexFunc(all.of[:], func(c claim) bool { return now.Sub(c.heard) > claimLasts })
	}
	if i >= 0 {
		all.of[i] = claim{s, now}
	}
	r.byAddr[a] = all
}

func (r *registry) removeAddr(a netip.AddrPort, s *shard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.byAddr[a]
	if all.shards--; all.shards <= 0 {
		delete(r.byAddr, a)
		return
	}
	if all.shards == 1 {
		r.shared.Add(-1)
	}
	if i := slices.IndexFunc(all.of[:], func(c claim) bool { return c.shard == s }); i >= 0 {
		all.of[i] = claim{}
	}
	r.byAddr[a] = all
}

// noteOpen notes that a connection is open.
func (r *registry) noteOpen(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.opened = true
}

// remove removes a connection.
func (r *registry) remove(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeLocked(c)
}

func (r *registry) removeLocked(c *Conn) {
	if r.byUfrag[c.ufrag] != c {
		return
	}
	delete(r.byUfrag, c.ufrag)
	r.removeSession(c)
	r.uncountSite(c)
	r.uncountDirect(c)
}

func (r *registry) uncountSite(c *Conn) {
	if c.stage == stageBegun {
		uncount(r.begunPerIP, c.party())
	} else {
		uncount(r.perIP, c.site)
	}
}

func uncount[K comparable](all map[K]int, k K) {
	if all[k]--; all[k] <= 0 {
		delete(all, k)
	}
}

// expire appends the connections whose wait is over, and gives them to s, which ends them.
// It returns when the next one expires; zero means never.
func (r *registry) expire(now time.Time, s *shard, expired []*Conn) ([]*Conn, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.popPlaced(); len(r.pending) > 0; r.popPlaced() {
		if due := r.due(); now.Before(due) {
			return expired, due
		}
		expired = append(expired, r.popWaiting(s))
	}
	return expired, time.Time{}
}

// popAllWaiting gives all waiting connections to s.
func (r *registry) popAllWaiting(s *shard) (all []*Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.popPlaced(); len(r.pending) > 0; r.popPlaced() {
		all = append(all, r.popWaiting(s))
	}
	return all
}

// popWaiting gives the first waiting connection to s.
func (r *registry) popWaiting(s *shard) *Conn {
	c := r.byUfrag[r.pending[0].ufrag]
	c.shard = s
	r.waiting--
	return c
}

// count returns the number of connections, and the number of waiting ones.
func (r *registry) count() (all, waiting int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byUfrag), r.waiting
}
