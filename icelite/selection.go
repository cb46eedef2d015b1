package icelite

import (
	"iter"
	"net/netip"
	"time"
)

// check makes from the newest path and reports whether it became the selected
// one, or the selected one changed its local address.
func (a *Agent) check(now time.Time, from netip.AddrPort, local netip.Addr, r *Request) (moved bool) {
	first := len(a.paths) == 0
	moves := first || r.useCandidate || now.Sub(a.paths[a.selected].heard) > silence

	known := a.newest(from)
	p := &a.paths[0]
	if known && now.Sub(p.checked) >= a.consent {
		p.restart()
	}
	moved = moves && (first || a.selected != 0 || p.Local != local)
	if moves {
		a.selected = 0
	}
	// A path that is in use keeps its local address by the same rule as the
	// selection itself: a server with two addresses may be asked at both.
	if moves || a.selected != 0 {
		p.Local = local
	}
	p.checked, p.heard, a.checked = now, now, now
	return moved
}

// newest moves the path of from to the front, or makes a new one there, and
// reports whether it was known.
func (a *Agent) newest(from netip.AddrPort) (known bool) {
	i := a.index(from)
	if known = i >= 0; !known {
		i = a.room()
		a.paths[i] = Path{Remote: from}
	}
	p := a.paths[i]
	copy(a.paths[1:i+1], a.paths[:i])
	a.paths[0] = p
	switch {
	case a.selected == i:
		a.selected = 0
	case a.selected < i:
		a.selected++
	}
	return known
}

// index returns where the path of from is, or -1.
func (a *Agent) index(from netip.AddrPort) int {
	for i := range a.paths {
		if a.paths[i].Remote == from {
			return i
		}
	}
	return -1
}

// room returns the index of a place for a new path, evicting one if it must.
func (a *Agent) room() int {
	if len(a.paths) < a.maxPaths {
		a.paths = append(a.paths, Path{})
		return len(a.paths) - 1
	}
	a.stats.Evicted++
	victim := -1
	for i := len(a.paths) - 1; i >= 0; i-- {
		if i == a.selected {
			continue
		}
		if !a.paths[i].proved {
			return i
		}
		if victim < 0 {
			victim = i
		}
	}
	return victim
}

// Selected returns the path to send to. There is one from the first valid check
// on.
func (a *Agent) Selected() (Path, bool) {
	if len(a.paths) == 0 {
		return Path{}, false
	}
	return a.paths[a.selected], true
}

// Paths yields every path, the one with the newest check first.
func (a *Agent) Paths() iter.Seq[*Path] {
	return func(yield func(*Path) bool) {
		for i := range a.paths {
			if !yield(&a.paths[i]) {
				return
			}
		}
	}
}

// Path returns the path of from, or nil if no valid check ever came from there.
func (a *Agent) Path(from netip.AddrPort) *Path {
	if i := a.index(from); i >= 0 {
		return &a.paths[i]
	}
	return nil
}
