package netsim

import "hash/fnv"

// maxPairs bounds the directions between two hosts that a Network knows. The
// one that nothing was sent over for the longest time makes room, and its
// counters go to a common sum.
const maxPairs = 1 << 16

// pairs is the table of them: by hosts, and in a ring from the newest to the
// oldest, of which root is the joint.
type pairs struct {
	by      map[route]*pair
	root    *pair
	max     int
	gone    LinkStats // of those that made room
	evicted uint64    // how many did
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

// pair returns the pair of r, which becomes the newest. Its chance depends on
// the two hosts and the seed, and not on what others carry or who came first.
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

// stats is where to count for p, which may have made room meanwhile.
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
