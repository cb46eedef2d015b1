package rtcserver

import (
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// registry knows every connection of the server by what a datagram says of it:
// its username fragment, or the address it came from. It also holds those that
// wait for their first check and belong to no shard yet.
//
// Its lock is a leaf: whoever holds it takes no other and calls nothing.
type registry struct {
	limit   int           // of those that wait
	timeout time.Duration // how long they wait

	mu      sync.RWMutex
	byUfrag map[string]*Conn
	byAddr  map[netip.AddrPort]claims // only with several shards
	perIP   map[netip.Addr]int        // connections, by site
	pending []pending                 // in the order they expire; some may have come since
	waiting int                       // how many of pending have not
	nextID  uint64

	shared atomic.Int32 // addresses that two shards claim
}

// claims are the shards that have connections with an address. There is one, except for
// a moment while a connection moves, or if checks are forged. While both shards hear
// datagrams from the address, a third shard gets no claim.
type claims [2]claim

type claim struct {
	shard *shard
	heard time.Time // the last check
}

// claimLasts is how long after its last check a claim is safe: as a rival is, see
// [icelite.Agent.Lives].
const claimLasts = 15 * time.Second

// pending is a connection by name: one that has come, and gone, is not kept.
type pending struct {
	ufrag string
	since time.Time
}

// hurry is how long those wait while more than half of the places are taken. A page
// that lives comes within a second or two, so places go to these when many offers
// are made by who never comes.
const hurry = 5 * time.Second

// minPending is how many of those that have come may stay among the pending ones
// besides as many as have not.
const minPending = 64

func newRegistry(limit int, timeout time.Duration) *registry {
	return &registry{
		limit:   limit,
		timeout: timeout,
		byUfrag: make(map[string]*Conn),
		byAddr:  make(map[netip.AddrPort]claims),
		perIP:   make(map[netip.Addr]int),
	}
}

// site returns what counts as one address for limits: an IPv4 address or an
// IPv6 /64, of which a customer commonly has one.
func site(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, _ := a.Prefix(64) // of no address there is none
	return p.Addr()
}

// reserve makes room for a new connection and gives it its id, or refuses it.
// Either add or release follows.
func (r *registry) reserve(c *Conn, from remote, maxPerIP int) *StatusError {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting >= r.limit {
		return refuse(http.StatusServiceUnavailable, "full", "too many connections are being made: try again in a second")
	}
	if c.resume {
		maxPerIP *= 2 // its session counts, and has two links at most
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

// release gives back what reserve took.
func (r *registry) release(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
	r.leaveSite(c)
}

// add enters a connection that waits for its first check, and returns when the one
// that has waited longest expires; false if the connection was withdrawn meanwhile.
func (r *registry) add(c *Conn, now time.Time) (due time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.withdrawn {
		return time.Time{}, false
	}
	r.byUfrag[c.ufrag] = c
	if len(r.pending) >= 2*r.waiting+minPending {
		r.pending = slices.DeleteFunc(r.pending, r.hasCome)
	}
	r.pending = append(r.pending, pending{c.ufrag, now})
	r.popClaimed()
	return r.due(), true
}

// due returns when the first of those that wait expires.
func (r *registry) due() time.Time {
	wait := r.timeout
	if 2*r.waiting > r.limit {
		wait = min(wait, hurry)
	}
	return r.pending[0].since.Add(wait)
}

// popClaimed forgets the pending connections in front that have come.
func (r *registry) popClaimed() {
	for len(r.pending) > 0 && r.hasCome(r.pending[0]) {
		r.pending[0] = pending{}
		r.pending = r.pending[1:]
	}
}

func (r *registry) hasCome(p pending) bool {
	c := r.byUfrag[p.ufrag]
	return c == nil || c.shard != nil
}

// claim returns the connection with that username fragment, or nil. If it has no
// home yet, s becomes its home, if it has room.
func (r *registry) claim(ufrag []byte, s *shard, room bool) (c *Conn, full bool) {
	r.mu.RLock()
	c = r.byUfrag[string(ufrag)]
	homeless := c != nil && c.shard == nil
	r.mu.RUnlock()
	if !homeless {
		return c, false
	}
	if !room {
		return nil, true
	}
	return r.house(ufrag, s), false
}

// house makes s the home of a connection, if it has none yet: another shard may have been
// faster.
func (r *registry) house(ufrag []byte, s *shard) *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.byUfrag[string(ufrag)]
	if c != nil && c.shard == nil {
		c.shard = s
		r.waiting--
	}
	return c
}

// withdraw forgets a connection that nobody has come for yet, also one that is not
// entered yet, and returns the shard of one that somebody has.
func (r *registry) withdraw(c *Conn) *shard {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.withdrawn = true
	if c.shard == nil && r.byUfrag[c.ufrag] == c {
		r.waiting--
		r.drop(c)
	}
	return c.shard
}

// named returns the connection with that username fragment, or nil.
func (r *registry) named(ufrag string) *Conn {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byUfrag[ufrag]
}

// at returns the shards that claim an address.
func (r *registry) at(a netip.AddrPort) claims {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byAddr[a]
}

// enter and leave keep byAddr, for datagrams that reach another shard than home: a check
// from the address was granted at s, and s has nobody there any more.
func (r *registry) enter(now time.Time, a netip.AddrPort, s *shard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.byAddr[a]
	i := slices.IndexFunc(all[:], func(c claim) bool { return c.shard == s })
	if i < 0 {
		i = slices.IndexFunc(all[:], func(c claim) bool { return c.shard == nil })
	}
	if i < 0 {
		i = slices.IndexFunc(all[:], func(c claim) bool { return now.Sub(c.heard) > claimLasts })
	}
	if i < 0 {
		return
	}
	r.setClaim(a, all, i, claim{s, now})
}

func (r *registry) leave(a netip.AddrPort, s *shard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.byAddr[a]
	if i := slices.IndexFunc(all[:], func(c claim) bool { return c.shard == s }); i >= 0 {
		r.setClaim(a, all, i, claim{})
	}
}

// setClaim changes one of all that claim an address.
func (r *registry) setClaim(a netip.AddrPort, all claims, i int, to claim) {
	if all.shared() {
		r.shared.Add(-1)
	}
	if all[i] = to; all.shared() {
		r.shared.Add(1)
	}
	if r.byAddr[a] = all; all == (claims{}) {
		delete(r.byAddr, a)
	}
}

func (all *claims) shared() bool { return all[0].shard != nil && all[1].shard != nil }

// remove forgets a connection.
func (r *registry) remove(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(c)
}

func (r *registry) drop(c *Conn) {
	if r.byUfrag[c.ufrag] != c {
		return
	}
	delete(r.byUfrag, c.ufrag)
	r.leaveSite(c)
}

func (r *registry) leaveSite(c *Conn) {
	if r.perIP[c.site]--; r.perIP[c.site] <= 0 {
		delete(r.perIP, c.site)
	}
}

// expire gives the connections whose time to come is over to s, where they end
// like any other, and returns when the next one's is; zero means never.
func (r *registry) expire(now time.Time, s *shard, expired []*Conn) ([]*Conn, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.popClaimed(); len(r.pending) > 0; r.popClaimed() {
		if due := r.due(); now.Before(due) {
			return expired, due
		}
		expired = append(expired, r.adopt(s))
	}
	return expired, time.Time{}
}

// adoptAll gives all that wait to s.
func (r *registry) adoptAll(s *shard) (all []*Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.popClaimed(); len(r.pending) > 0; r.popClaimed() {
		all = append(all, r.adopt(s))
	}
	return all
}

// adopt gives the first that waits to s.
func (r *registry) adopt(s *shard) *Conn {
	c := r.byUfrag[r.pending[0].ufrag]
	c.shard = s
	r.waiting--
	return c
}

// count returns how many connections there are, and how many of them wait for
// their first check.
func (r *registry) count() (all, waiting int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byUfrag), r.waiting
}
