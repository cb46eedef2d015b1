package rtcserver

import (
	"net/netip"
	"slices"
	"time"
)

// places are the DTLS handshakes of a shard that run, and those that wait for their
// turn. An attacker with few addresses cannot hold all places: while half of them are
// taken, a site gets an eighth; the sites that wait take turns; and a handshake that
// nothing is heard of gives its place up to one that waits.
//
// They belong to whoever holds the shard's lock.
type places struct {
	most    int
	taken   []*Conn                // whose handshakes run
	waiting map[netip.Addr][]*Conn // by site
	order   []netip.Addr           // the sites that wait, the next first
	yieldAt time.Time              // when the first of taken may have to give its place up; zero if nobody waits
}

// free reports whether a handshake of a site may run now, without counting the one of
// but, if not nil.
func (p *places) free(site netip.Addr, but *Conn) bool {
	n, ofSite := 0, 0
	for _, c := range p.taken {
		if c == but {
			continue
		}
		if n++; c.site == site {
			ofSite++
		}
	}
	return n < p.most && (2*n < p.most || ofSite < max(2, p.most/8))
}

// take notes that c's handshake runs.
func (p *places) take(c *Conn) { p.taken = append(p.taken, c) }

// wait puts c behind the others of its site.
func (p *places) wait(c *Conn) {
	if p.waiting == nil {
		p.waiting = make(map[netip.Addr][]*Conn)
	}
	if len(p.waiting[c.site]) == 0 {
		p.order = append(p.order, c.site)
	}
	p.waiting[c.site] = append(p.waiting[c.site], c)
	if p.yieldAt.IsZero() {
		p.yieldAt = p.firstYield()
	}
}

// next returns a connection that waited and whose handshake may run now; nil if there
// is none. Its site goes behind the others.
func (p *places) next() *Conn {
	if len(p.taken) >= p.most {
		return nil // thousands of sites may wait
	}
	for i, site := range p.order {
		if !p.free(site, nil) {
			continue
		}
		c := p.waiting[site][0]
		p.remove(c)
		if len(p.waiting[site]) > 0 {
			p.order = append(slices.Delete(p.order, i, i+1), site)
		}
		return c
	}
	return nil
}

// remove forgets c, whether its handshake runs or waits.
func (p *places) remove(c *Conn) {
	if i := slices.Index(p.taken, c); i >= 0 {
		p.taken = slices.Delete(p.taken, i, i+1)
		return
	}
	line := p.waiting[c.site]
	i := slices.Index(line, c)
	if i < 0 {
		return
	}
	if line = slices.Delete(line, i, i+1); len(line) > 0 {
		p.waiting[c.site] = line
		return
	}
	delete(p.waiting, c.site)
	p.order = slices.DeleteFunc(p.order, func(site netip.Addr) bool { return site == c.site })
}

// silent returns the connection whose handshake has to give its place up: the one that
// has been due for longest, if one that waits may have the place; nil if there is none.
// Then it sets yieldAt again. While handshakes wait for their turn to compute, which busy
// says, one that has to say something is not at fault.
func (p *places) silent(now time.Time, busy bool) *Conn {
	var longest *Conn
	for _, c := range p.taken {
		at := c.handshake.yields()
		if !now.Before(at) && !(busy && c.handshake.ours) && (longest == nil || at.Before(longest.handshake.yields())) && p.wanted(c) {
			longest = c
		}
	}
	if longest == nil {
		p.yieldAt = p.firstYield()
		if soon := now.Add(pageRests / 10); !p.yieldAt.IsZero() && p.yieldAt.Before(soon) {
			p.yieldAt = soon // nobody who waits may have the place of one that is silent already
		}
	}
	return longest
}

// yieldsBy notes that a handshake may have to give its place up earlier than before.
func (p *places) yieldsBy(at time.Time) {
	if !p.yieldAt.IsZero() {
		p.yieldAt = sooner(p.yieldAt, at)
	}
}

// wanted reports whether one of those that wait, of another site, may have c's place. A
// crowd behind one address waits for itself.
func (p *places) wanted(c *Conn) bool {
	return slices.ContainsFunc(p.order, func(site netip.Addr) bool { return site != c.site && p.free(site, c) })
}

// firstYield returns when the first handshake may have to give its place up.
func (p *places) firstYield() (at time.Time) {
	if len(p.order) == 0 {
		return at
	}
	for _, c := range p.taken {
		at = sooner(at, c.handshake.yields())
	}
	return at
}
