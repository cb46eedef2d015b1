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
// Connections with an offer, those with an invite, and those that resume without a request count
// apart, and these three take turns, too. The site of a check can be forged: an attacker who may
// send checks has many sites.
//
// The shard's lock guards it.
type places struct {
	most    int
	taken   []*Conn             // connections whose handshakes run
	waiting map[party][]*Conn   // connections whose handshakes wait
	orders  [beginnings][]party // those in waiting, the next first
	turn    int                 // index in orders: whose turn it is
	yieldAt time.Time           // when a handshake of taken may first have to give up its place; zero if none waits
}

// A beginning says with what a connection began.
type beginning uint8

const (
	byOffer beginning = iota
	byInvite
	byResume // without a request
	beginnings
)

// A party is whose handshakes wait for each other.
type party struct {
	site netip.Addr
	by   beginning
}

func (c *Conn) party() party {
	switch {
	case !c.direct:
		return party{c.site, byOffer}
	case c.resume:
		return party{c.site, byResume}
	}
	return party{c.site, byInvite}
}

// free reports whether a handshake of a party may run now. It does not count the handshake
// of but, which may be nil.
func (p *places) free(of party, but *Conn) bool {
	n, ofParty := 0, 0
	for _, c := range p.taken {
		if c == but {
			continue
		}
		if n++; c.party() == of {
			ofParty++
		}
	}
	return n < p.most && (2*n < p.most || ofParty < max(2, p.most/8))
}

// add notes that the handshake of c runs.
func (p *places) add(c *Conn) { p.taken = append(p.taken, c) }

// wait adds c after the other waiting connections of its party.
func (p *places) wait(c *Conn) {
	if p.waiting == nil {
		p.waiting = make(map[party][]*Conn)
	}
	of := c.party()
	if len(p.waiting[of]) == 0 {
		p.orders[of.by] = append(p.orders[of.by], of)
	}
	p.waiting[of] = append(p.waiting[of], c)
	if p.yieldAt.IsZero() {
		p.yieldAt = p.firstYield()
	}
}

// next removes and returns a waiting connection whose handshake may run now; nil if there
// is none. Its party is then the last in its order, and it is the turn of the next order.
func (p *places) next() *Conn {
	if len(p.taken) >= p.most {
		return nil // thousands of parties may wait
	}
	for range p.orders {
		order := &p.orders[p.turn]
		p.turn = (p.turn + 1) % len(p.orders)
		for i, of := range *order {
			if !p.free(of, nil) {
				continue
			}
			c := p.waiting[of][0]
			p.remove(c)
			if len(p.waiting[of]) > 0 {
				*order = append(slices.Delete(*order, i, i+1), of)
			}
			return c
		}
	}
	return nil
}

// remove removes c, whether its handshake runs or waits.
func (p *places) remove(c *Conn) {
	if i := slices.Index(p.taken, c); i >= 0 {
		p.taken = slices.Delete(p.taken, i, i+1)
		return
	}
	of := c.party()
	line := p.waiting[of]
	i := slices.Index(line, c)
	if i < 0 {
		return
	}
	if line = slices.Delete(line, i, i+1); len(line) > 0 {
		p.waiting[of] = line
		return
	}
	delete(p.waiting, of)
	p.orders[of.by] = slices.DeleteFunc(p.orders[of.by], func(o party) bool { return o == of })
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

// wanted reports whether a waiting handshake of another party may have the place of c.
// Handshakes of the same party wait for each other.
func (p *places) wanted(c *Conn) bool {
	may := func(of party) bool { return of != c.party() && p.free(of, c) }
	return slices.ContainsFunc(p.orders[:], func(order []party) bool { return slices.ContainsFunc(order, may) })
}

// firstYield returns when a handshake of taken may first have to give up its place; zero
// if none waits.
func (p *places) firstYield() (at time.Time) {
	if len(p.waiting) == 0 {
		return time.Time{}
	}
	for _, c := range p.taken {
		at = loop.Sooner(at, c.handshake.yields())
	}
	return at
}
