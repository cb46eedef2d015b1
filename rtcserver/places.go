package rtcserver

import (
	"net/netip"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/loop"
)

// places are the DTLS handshakes of a shard that run, and those that wait for a place. An
// attacker with few addresses cannot hold all places: while half of them are taken, a site
// may have an eighth of them, but always two; the sites that wait take turns; and a
// handshake whose page is silent gives its place to one that waits.
//
// The shard's lock guards it.
type places struct {
	most    int
	taken   []*Conn                // connections whose handshakes run
	waiting map[netip.Addr][]*Conn // connections whose handshakes wait, by site
	order   []netip.Addr           // the sites in waiting, the next first
	yieldAt time.Time              // when a handshake of taken may first have to give up its place; zero if none waits
}

// free reports whether a handshake of a site may run now. It does not count the handshake
// of but, which may be nil.
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

// add notes that the handshake of c runs.
func (p *places) add(c *Conn) { p.taken = append(p.taken, c) }

// wait adds c after the other waiting connections of its site.
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

// next removes and returns a waiting connection whose handshake may run now; nil if there
// is none. Its site is then the last in order.
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

// remove removes c, whether its handshake runs or waits.
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

// mustYield returns the connection whose handshake must give up its place: among those whose
// time is over and whose place a waiting handshake may have, the one whose time has been
// over for longest. If there is none it returns nil and sets yieldAt again. busy says that
// handshakes wait for their turn to compute: then a handshake that has to send something
// need not give up its place.
func (p *places) mustYield(now time.Time, busy bool) *Conn {
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
			p.yieldAt = soon // the time of a handshake is over, but none that waits may have its place
		}
	}
	return longest
}

// yieldsBy notes that a handshake may have to give up its place at at.
func (p *places) yieldsBy(at time.Time) {
	if !p.yieldAt.IsZero() {
		p.yieldAt = loop.Sooner(p.yieldAt, at)
	}
}

// wanted reports whether a waiting handshake of another site may have the place of c.
// Handshakes of the same site wait for each other.
func (p *places) wanted(c *Conn) bool {
	return slices.ContainsFunc(p.order, func(site netip.Addr) bool { return site != c.site && p.free(site, c) })
}

// firstYield returns when a handshake of taken may first have to give up its place; zero
// if none waits.
func (p *places) firstYield() (at time.Time) {
	if len(p.order) == 0 {
		return time.Time{}
	}
	for _, c := range p.taken {
		at = loop.Sooner(at, c.handshake.yields())
	}
	return at
}
