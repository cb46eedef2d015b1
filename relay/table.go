package relay

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"slices"
	"time"
)

// Times of the table.
const (
	idleTimeout  = 60 * time.Second // from the last datagram of a node to the client
	keptFor      = 15 * time.Second // a proved client that is heard keeps its place for this time
	claimTimeout = 15 * time.Second // a claim beside another one ends so long after its node was heard; a live client sends a check every 2.5 to 6 s
	visitTimeout = 5 * time.Second  // a node answers a check at once
	touchEvery   = time.Second      // the order of the lists is exact to this time
)

// visits is the number of checks that wait for the answers of their nodes.
const visits = 1 << 13

// A node is a server behind the relay. The lock of the relay guards it.
type node struct {
	number   uint32
	addr     netip.AddrPort
	gone     bool // it is in the list no more
	up, down uint64
}

// A table is what a relay knows of clients. All its memory is allocated by newTable. It has no lock:
// whoever holds that of the relay owns it.
//
// There are two parts. The entries are the clients to which a node has sent a datagram; each
// entry is on one of two lists, in the order of the last datagrams. The visits are the checks of all
// clients, forged ones, too, until their nodes answer: a later check with the same hash takes
// the place of one. So who forges checks can disturb other checks, whose clients send them
// again, and no entry.
type table struct {
	seed    maphash.Seed
	heads   []int32 // index of the first entry by hash; 0 means none
	entries []entry // the first ones are the heads of lists
	free    int32   // first of the entries that are not used; 0 means none
	used    int
	proved  int
	visits  []visit
}

// The entries that are heads of lists. A list is circular; its oldest entry is before its head.
const (
	provedList   = 0 // clients whose addresses a node has proved
	unprovedList = 1
	lists        = 2
)

// maxClaims limits the nodes that get the records of one client. A client of a node that was killed has a new session at
// another node, which may send it on soon: so it may reach three nodes within claimTimeout.
const maxClaims = 4

// An entry is a client.
type entry struct {
	client netip.AddrPort
	local  netip.Addr       // address of the relay to which the client sends; zero if it is not known
	claims [maxClaims]claim // the used ones first
	heard  time.Duration
	proved bool

	prev, next int32 // on the list; next is also that of the free entries
	chain      int32 // next entry with the same hash; 0 means none
}

// A claim is a node that the client has reached with a valid check. Nearly always there is one. There
// are more when the client goes to other nodes from the same address, and when somebody who has a
// session at another node forges the client's address: then the client must not lose its node, so
// all get its records.
type claim struct {
	node  *node
	heard time.Duration // the last answer to a check, or datagram to a proved address
}

// A visit is a check that was given to a node.
type visit struct {
	client netip.AddrPort
	local  netip.Addr
	id     [stunIDLen]byte // transaction ID
	node   *node
	at     time.Duration
}

func newTable(size int) *table {
	heads := 1
	for heads < size {
		heads *= 2
	}
	t := &table{
		seed:    maphash.MakeSeed(),
		heads:   make([]int32, heads),
		entries: make([]entry, lists+size),
		visits:  make([]visit, visits),
	}
	for i := range lists {
		t.entries[i].prev, t.entries[i].next = int32(i), int32(i)
	}
	for i := len(t.entries) - 1; i >= lists; i-- {
		t.entries[i].next, t.free = t.free, int32(i)
	}
	return t
}

// hash returns a hash of a client, and of the transaction ID of one of its checks.
func (t *table) hash(client netip.AddrPort, id [stunIDLen]byte) uint64 {
	var key [16 + 2 + stunIDLen]byte
	ip := client.Addr().As16()
	copy(key[:], ip[:])
	binary.BigEndian.PutUint16(key[16:], client.Port())
	copy(key[18:], id[:])
	return maphash.Bytes(t.seed, key[:])
}

func (t *table) head(client netip.AddrPort) *int32 {
	return &t.heads[t.hash(client, [stunIDLen]byte{})&uint64(len(t.heads)-1)]
}

// find returns the index of the entry of a client, or 0.
func (t *table) find(client netip.AddrPort) int32 {
	i := *t.head(client)
	for i != 0 && t.entries[i].client != client {
		i = t.entries[i].chain
	}
	return i
}

// live is find without an entry that has been idle for too long.
func (t *table) live(now time.Duration, client netip.AddrPort) int32 {
	i := t.find(client)
	if i != 0 && now-t.entries[i].heard > idleTimeout {
		t.remove(i)
		return 0
	}
	return i
}

// add makes an entry for a client that has none, and returns its index. It returns 0 if there is no room.
func (t *table) add(now time.Duration, client netip.AddrPort) int32 {
	t.expire(now)
	if t.free == 0 && !t.evict(now) {
		return 0
	}
	i := t.free
	e, head := &t.entries[i], t.head(client)
	t.free = e.next
	*e = entry{client: client, heard: now, chain: *head}
	*head = i
	t.used++
	t.link(i, unprovedList)
	return i
}

// expire removes the oldest entry of each list if it has been idle for too long: with each new entry as
// many as can become idle meanwhile, and one more.
func (t *table) expire(now time.Duration) {
	for list := range int32(lists) {
		if i := t.entries[list].prev; i >= lists && now-t.entries[i].heard > idleTimeout {
			t.remove(i)
		}
	}
}

// evict makes room: it removes the oldest entry that is not proved or, if there is none, the oldest one
// unless its client is in play.
func (t *table) evict(now time.Duration) bool {
	i := t.entries[unprovedList].prev
	if i < lists {
		if i = t.entries[provedList].prev; now-t.entries[i].heard <= keptFor {
			return false
		}
	}
	t.remove(i)
	return true
}

func (t *table) remove(i int32) {
	e := &t.entries[i]
	at := t.head(e.client)
	for *at != i {
		at = &t.entries[*at].chain
	}
	*at = e.chain
	t.unlink(i)
	t.used--
	if e.proved {
		t.proved--
	}
	*e = entry{next: t.free}
	t.free = i
}

// link makes the entry the newest one of a list.
func (t *table) link(i, list int32) {
	e, head := &t.entries[i], &t.entries[list]
	e.prev, e.next = list, head.next
	t.entries[head.next].prev = i
	head.next = i
}

func (t *table) unlink(i int32) {
	e := &t.entries[i]
	t.entries[e.prev].next, t.entries[e.next].prev = e.next, e.prev
}

// hear notes a datagram of a node to a client. proved says that the node has a proof of the address.
func (t *table) hear(now time.Duration, i int32, proved bool) {
	e := &t.entries[i]
	proves := proved && !e.proved
	if !proves && now-e.heard < touchEvery {
		return
	}
	if proves {
		e.proved = true
		t.proved++
	}
	e.heard = now
	t.unlink(i)
	if e.proved {
		t.link(i, provedList)
	} else {
		t.link(i, unprovedList)
	}
}

// claim gives a node a claim of the client, or notes that it has one and is heard. It returns false if
// maxClaims other nodes have one.
func (e *entry) claim(now time.Duration, n *node) bool {
	for i := range e.claims {
		if c := &e.claims[i]; c.node == n {
			c.heard = now
			return true
		}
	}
	e.unclaim(now, true)
	for i := range e.claims {
		if c := &e.claims[i]; c.node == nil {
			*c = claim{n, now}
			return true
		}
	}
	return false
}

// unclaim removes the claims of nodes that are gone, and those of nodes that were not heard for a while:
// all but the newest one, and this one, too, if another one comes.
func (e *entry) unclaim(now time.Duration, another bool) {
	newest := 0
	for i := len(e.claims) - 1; i >= 0; i-- {
		if n := e.claims[i].node; n != nil && n.gone {
			e.removeClaim(i)
		}
	}
	for i := range e.claims {
		if e.claims[i].heard > e.claims[newest].heard {
			newest = i
		}
	}
	for i := len(e.claims) - 1; i >= 0; i-- {
		if (another || i != newest) && e.claims[i].stale(now) {
			e.removeClaim(i)
		}
	}
}

func (c *claim) stale(now time.Duration) bool { return now-c.heard > claimTimeout }

func (e *entry) removeClaim(i int) {
	copy(e.claims[i:], e.claims[i+1:])
	e.claims[len(e.claims)-1] = claim{}
}

// has reports whether a node has a claim.
func (e *entry) has(n *node) bool {
	return slices.ContainsFunc(e.claims[:], func(c claim) bool { return c.node == n })
}

// A visit is found by the client and the transaction ID of its check, so that a forged check takes the
// place of another one only by chance.
func (t *table) visit(client netip.AddrPort, id [stunIDLen]byte) *visit {
	return &t.visits[t.hash(client, id)%visits]
}

// noteVisit notes a check that is given to a node.
func (t *table) noteVisit(now time.Duration, client netip.AddrPort, local netip.Addr, id [stunIDLen]byte, n *node) {
	*t.visit(client, id) = visit{client, local, id, n, now}
}

// answer returns the visit that a node answers, or nil. A visit is answered once.
func (t *table) answer(now time.Duration, client netip.AddrPort, id [stunIDLen]byte, n *node) *visit {
	v := t.visit(client, id)
	if v.node != n || v.client != client || v.id != id || now-v.at > visitTimeout {
		return nil
	}
	v.node = nil
	return v
}
