package godwit

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/session"
)

// directory has the tables of a server's sessions: all sessions, by resume token and by
// the name of the Identity; the used tokens; the resume tokens of sessions that are over;
// the tickets; and the sums of the sessions' counters.
//
// mu guards all of it. No other lock is taken while mu is held.
type directory struct {
	mu      sync.Mutex
	entries map[*Conn]*entry
	byToken map[mark]*Conn
	byID    map[session.ID]*Conn // open sessions
	byName  map[string][]*Conn   // open sessions
	ended   ended
	bySite  map[netip.Addr]int // number of sessions that began from each site
	away    int                // number of interrupted sessions
	most    int                // Config.MaxConns
	used    auth.Used
	tickets map[mark]*entry // at most one ticket of each session
	totals  *Totals
}

// minGrace is the shortest time that a session is interrupted before setAway ends it
// because too many sessions are interrupted.
const minGrace = 5 * time.Second

// entry is the directory's entry of one session.
type entry struct {
	site   netip.Addr // where the session began; invalid if the session does not count
	away   time.Time  // when the session was interrupted; zero if it is not
	tokens [2]mark
	groups []*Group
	ticket ticket // the newest ticket of the session
}

func (d *directory) init(most, maxUsed int) {
	d.most = most
	d.bySite = make(map[netip.Addr]int)
	d.entries = make(map[*Conn]*entry)
	d.byToken = make(map[mark]*Conn)
	d.byID = make(map[session.ID]*Conn)
	d.byName = make(map[string][]*Conn)
	d.tickets = make(map[mark]*entry)
	d.used.Max = maxUsed
}

// hasRoom reports whether there is room for one more session now.
func (d *directory) hasRoom(limit int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.entries) < limit
}

// add adds a session that is not open yet. It returns an error if there are already
// limit sessions, or ofSite sessions from the same valid site. An ofSite of zero or less
// means no limit.
func (d *directory) add(c *Conn, limit int, site netip.Addr, ofSite int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.entries) >= limit {
		return errFull()
	}
	if site.IsValid() {
		if ofSite > 0 && d.bySite[site] >= ofSite {
			return refusal(http.StatusTooManyRequests, "rate", "too many sessions from this address, interrupted ones included")
		}
		d.bySite[site]++
	}
	d.entries[c] = &entry{site: site}
	return nil
}

// setAway notes that c is interrupted, or that it has resumed. If more than half of most
// sessions are interrupted, it returns the one that has been interrupted for the longest
// time, if that is minGrace or more: the caller ends it.
func (d *directory) setAway(c *Conn, away bool, now time.Time) (end *Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[c]
	if e == nil || away != e.away.IsZero() {
		return nil
	}
	if !away {
		e.away = time.Time{}
		d.away--
		return nil
	}
	e.away = now
	if d.away++; 2*d.away <= d.most {
		return nil
	}
	since := now.Add(-minGrace)
	for o, e := range d.entries {
		if !e.away.IsZero() && !e.away.After(since) {
			end, since = o, e.away
		}
	}
	return end
}

// setTokens enters the current resume tokens of c's session in place of its older ones. The
// session's lock is held.
func (d *directory) setTokens(c *Conn) {
	valid, next := c.session.Tokens()
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[c]
	if e == nil {
		return
	}
	for _, t := range e.tokens {
		delete(d.byToken, t)
	}
	e.tokens = [2]mark{markOf(valid), markOf(next)}
	for _, t := range e.tokens {
		d.byToken[t] = c
	}
}

// find returns the session with a resume token, or nil. ended is true if the token is one
// of a session that is over.
func (d *directory) find(token mark) (c *Conn, ended bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byToken[token], d.ended.has(token)
}

// addOpen notes that c is open, and returns the other open sessions with its name.
func (d *directory) addOpen(c *Conn) []*Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID[c.id] = c
	name := c.identity.Name
	if name == "" {
		return nil
	}
	others := d.byName[name]
	d.byName[name] = append(append([]*Conn{}, others...), c)
	return others
}

// withID returns the open session with an id, or nil.
func (d *directory) withID(id session.ID) *Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byID[id]
}

// named returns the open sessions with a name.
func (d *directory) named(name string) []*Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byName[name]
}

// remove removes c and returns the groups that it was in.
func (d *directory) remove(c *Conn) []*Group {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[c]
	if e == nil {
		return nil
	}
	delete(d.entries, c)
	delete(d.byID, c.id)
	delete(d.tickets, e.ticket.mark)
	if !e.away.IsZero() {
		d.away--
	}
	if e.site.IsValid() {
		if d.bySite[e.site]--; d.bySite[e.site] == 0 {
			delete(d.bySite, e.site)
		}
	}
	for _, t := range e.tokens {
		if d.byToken[t] == c {
			delete(d.byToken, t)
			d.ended.add(t)
		}
	}
	if name := c.identity.Name; name != "" {
		var kept []*Conn
		for _, o := range d.byName[name] {
			if o != c {
				kept = append(kept, o)
			}
		}
		if d.byName[name] = kept; kept == nil {
			delete(d.byName, name)
		}
	}
	return e.groups
}

// joinGroup makes c a member of g, and notes it for remove in the same step. It returns false
// if c is a member already, or is over.
func (d *directory) joinGroup(c *Conn, g *Group) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[c]
	if e == nil || !g.roster.add(c) {
		return false
	}
	e.groups = append(e.groups, g)
	return true
}

// leaveGroup undoes joinGroup. It returns false if c is not a member of g.
func (d *directory) leaveGroup(c *Conn, g *Group) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !g.roster.remove(c) {
		return false
	}
	if e := d.entries[c]; e != nil { // else c is over, and the server removes it from its groups
		i := slices.Index(e.groups, g)
		e.groups = slices.Delete(e.groups, i, i+1)
	}
	return true
}

// spend notes that a token is used. It returns an error if the token was used before, has
// expired, or cannot be remembered.
func (d *directory) spend(now time.Time, c auth.Claims) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used.Spend(now, c)
}

// count returns the number of sessions, including those that are not open yet.
func (d *directory) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.entries)
}

// all returns the sessions that count counts.
func (d *directory) all() []*Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.entries))
}
