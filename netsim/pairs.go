package netsim

import "hash/fnv"

// maxPairs limits the directions between two hosts that a Network knows. For one more, the
// direction that has not been used for the longest time is removed, and its counters are
// added to a sum.
const maxPairs = 1 << 16

// pairs is the table of the directions: by hosts, and in a ring from the newest to the
// oldest, which begins and ends at root.
type pairs struct {
	by      map[route]*pair
	root    *pair
	max     int
	gone    LinkStats // sum of the counters of removed pairs
	evicted uint64    // number of removed pairs
}

// pair is one direction between two hosts.
type pair struct {
	route        route
	wire         *Wire
	newer, older *pair
	gone         bool
}

func newPairs(max int) pairs {
	root := &pair{}
	root.newer, root.older = root, root
	return pairs{by: make(map[route]*pair), root: root, max: max}
}

// pair returns the pair of r, which becomes the newest. Its random numbers depend on the two
// hosts and the seed, and not on the traffic of other pairs or on the order of pairs.
func (n *Network) pair(r route) *pair {
	t := &n.pairs
	p := t.by[r]
	if p == nil {
		if len(t.by) >= t.max {
			t.evict(t.root.newer)
		}
		p = &pair{route: r, wire: newWire(n.rule(r), n.seed, r.hash()+t.evicted)}
		if n.record != nil {
			p.wire.Record(n.record, r.String())
		}
		t.by[r] = p
	} else {
		p.unlink()
	}
	p.newer, p.older = t.root, t.root.older
	p.newer.older, p.older.newer = p, p
	return p
}

func (p *pair) unlink() { p.newer.older, p.older.newer = p.older, p.newer }

func (t *pairs) evict(p *pair) {
	p.unlink()
	p.gone = true
	delete(t.by, p.route)
	t.gone.add(p.wire.stats)
	t.evicted++
}

// stats returns the counters for p, which may have been removed.
func (t *pairs) stats(p *pair) *LinkStats {
	if p.gone {
		return &t.gone
	}
	return &p.wire.stats
}

func (r route) hash() uint64 {
	from, to := r.from.As16(), r.to.As16()
	h := fnv.New64a()
	h.Write(from[:])
	h.Write(to[:])
	return h.Sum64()
}
