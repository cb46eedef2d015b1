package godwit

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/auth"
)

// hash is of a resume token: what a server keeps of it.
type hash = [sha256.Size]byte

// book is what a server knows of all its sessions: by resume token, by Identity, which
// tokens were used, which were good for sessions that are over, and what they counted.
//
// Its lock is a leaf: whoever holds it takes no other and calls nothing that does.
type book struct {
	mu      sync.Mutex
	entries map[*Conn]*entry
	byToken map[hash]*Conn
	byName  map[string][]*Conn // those that are open
	ended   ended
	bySite  map[netip.Addr]int // how many sessions began from there
	away    int                // how many sessions are interrupted
	most    int                // of sessions
	used    auth.Used
	totals  *Totals
}

// minGrace is how long an interrupted session lasts at least, unless Config.Grace is
// shorter, when more than half of the sessions that there may be are interrupted.
const minGrace = 5 * time.Second

// entry is one session's.
type entry struct {
	site   netip.Addr // invalid if it does not count
	away   time.Time  // when the session was interrupted; zero if it is not
	tokens [2]hash
	groups []*Group
}

func (b *book) init(most, maxUsed int) {
	b.most = most
	b.bySite = make(map[netip.Addr]int)
	b.entries = make(map[*Conn]*entry)
	b.byToken = make(map[hash]*Conn)
	b.byName = make(map[string][]*Conn)
	b.used.Max = maxUsed
}

// room reports whether there is room for one more session now.
func (b *book) room(limit int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries) < limit
}

// enter adds a session, which Open has not been told of yet. It refuses it if there are
// as many as limit already, or ofSite from a valid site.
func (b *book) enter(c *Conn, limit int, site netip.Addr, ofSite int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.entries) >= limit {
		return errFull()
	}
	if site.IsValid() {
		if ofSite > 0 && b.bySite[site] >= ofSite {
			return refusal(http.StatusTooManyRequests, "rate", "too many sessions from this address, interrupted ones included")
		}
		b.bySite[site]++
	}
	b.entries[c] = &entry{site: site}
	return nil
}

// setAway notes that c is interrupted, or that it goes on. If too many are, it returns the one
// that has to end: the one that has been interrupted longest.
func (b *book) setAway(c *Conn, away bool, now time.Time) (end *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[c]
	if e == nil || away != e.away.IsZero() {
		return nil
	}
	if !away {
		e.away = time.Time{}
		b.away--
		return nil
	}
	e.away = now
	if b.away++; 2*b.away <= b.most {
		return nil
	}
	since := now.Add(-minGrace)
	for o, e := range b.entries {
		if !e.away.IsZero() && !e.away.After(since) {
			end, since = o, e.away
		}
	}
	return end
}

// retoken makes c's tokens those that its session has now. The session's lock is
// held.
func (b *book) retoken(c *Conn) {
	valid, next := c.session.Tokens()
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[c]
	if e == nil {
		return
	}
	for _, t := range e.tokens {
		delete(b.byToken, t)
	}
	e.tokens = [2]hash{valid, next}
	for _, t := range e.tokens {
		b.byToken[t] = c
	}
}

// find returns the session that a token is for, or nil, and whether its session is
// known to be over.
func (b *book) find(token hash) (c *Conn, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byToken[token], b.ended.has(token)
}

// open notes that c is open, and returns the others of its Identity.
func (b *book) open(c *Conn) []*Conn {
	name := c.identity.Name
	if name == "" {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	others := b.byName[name]
	b.byName[name] = append(append([]*Conn{}, others...), c)
	return others
}

// named returns the open sessions of an Identity.
func (b *book) named(name string) []*Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byName[name]
}

// remove forgets c and returns the groups it was in.
func (b *book) remove(c *Conn) []*Group {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[c]
	if e == nil {
		return nil
	}
	delete(b.entries, c)
	if !e.away.IsZero() {
		b.away--
	}
	if e.site.IsValid() {
		if b.bySite[e.site]--; b.bySite[e.site] == 0 {
			delete(b.bySite, e.site)
		}
	}
	for _, t := range e.tokens {
		if b.byToken[t] == c {
			delete(b.byToken, t)
			b.ended.add(t)
		}
	}
	if name := c.identity.Name; name != "" {
		var kept []*Conn
		for _, o := range b.byName[name] {
			if o != c {
				kept = append(kept, o)
			}
		}
		if b.byName[name] = kept; kept == nil {
			delete(b.byName, name)
		}
	}
	return e.groups
}

// joined notes that c is in g, and reports false if c is over.
func (b *book) joined(c *Conn, g *Group) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[c]
	if e != nil {
		e.groups = append(e.groups, g)
	}
	return e != nil
}

func (b *book) left(c *Conn, g *Group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[c]
	if e == nil {
		return
	}
	for i, o := range e.groups {
		if o == g {
			e.groups = append(e.groups[:i], e.groups[i+1:]...)
			return
		}
	}
}

// spend notes that a token is used.
func (b *book) spend(now time.Time, c auth.Claims) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used.Spend(now, c)
}

// count returns how many sessions there are.
func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries)
}
