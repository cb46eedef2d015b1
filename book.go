package godwit

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/auth"
)

// hash is the hash of a resume token. A server keeps the hash and not the token.
type hash = [sha256.Size]byte

// book has the tables of a server's sessions: all sessions, by resume token and by the
// name of the Identity; the used tokens; the resume tokens of sessions that are over; and
// the sums of the sessions' counters.
//
// mu guards all of it. No other lock is taken while mu is held.
type book struct {
	mu      sync.Mutex
	entries map[*Conn]*entry
	byToken map[hash]*Conn
	byID    map[ID]*Conn       // open sessions
	byName  map[string][]*Conn // open sessions
	ended   ended
	bySite  map[netip.Addr]int // number of sessions that began from each site
	away    int                // number of interrupted sessions
	most    int                // Config.MaxConns
	used    auth.Used
	totals  *Totals
}

// minGrace is the shortest time that a session is interrupted before setAway ends it
// because too many sessions are interrupted.
const minGrace = 5 * time.Second

// entry is the book's entry of one session.
type entry struct {
	site   netip.Addr // where the session began; invalid if the session does not count
	away   time.Time  // when the session was interrupted; zero if it is not
	tokens [2]hash
	groups []*Group
}

func (b *book) init(most, maxUsed int) {
	b.most = most
	b.bySite = make(map[netip.Addr]int)
	b.entries = make(map[*Conn]*entry)
	b.byToken = make(map[hash]*Conn)
	b.byID = make(map[ID]*Conn)
	b.byName = make(map[string][]*Conn)
	b.used.Max = maxUsed
}

// room reports whether there is room for one more session now.
func (b *book) room(limit int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries) < limit
}

// enter adds a session that is not open yet. It returns an error if there are already
// limit sessions, or ofSite sessions from the same valid site. An ofSite of zero or less
// means no limit.
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

// setAway notes that c is interrupted, or that it has resumed. If more than half of most
// sessions are interrupted, it returns the one that has been interrupted for the longest
// time, if that is minGrace or more: the caller ends it.
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

// retoken enters the current resume tokens of c's session in place of its older ones. The
// session's lock is held.
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

// find returns the session with a resume token, or nil. ended is true if the token is one
// of a session that is over.
func (b *book) find(token hash) (c *Conn, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byToken[token], b.ended.has(token)
}

// open notes that c is open, and returns the other open sessions with its name.
func (b *book) open(c *Conn) []*Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byID[c.id] = c
	name := c.identity.Name
	if name == "" {
		return nil
	}
	others := b.byName[name]
	b.byName[name] = append(append([]*Conn{}, others...), c)
	return others
}

// withID returns the open session with an id, or nil.
func (b *book) withID(id ID) *Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byID[id]
}

// named returns the open sessions with a name.
func (b *book) named(name string) []*Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byName[name]
}

// remove removes c and returns the groups that it was in.
func (b *book) remove(c *Conn) []*Group {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[c]
	if e == nil {
		return nil
	}
	delete(b.entries, c)
	delete(b.byID, c.id)
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

// joined notes that c is in g. It returns false if c is over.
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

// spend notes that a token is used. It returns an error if the token was used before, has
// expired, or cannot be remembered.
func (b *book) spend(now time.Time, c auth.Claims) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used.Spend(now, c)
}

// count returns the number of sessions, including those that are not open yet.
func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries)
}
