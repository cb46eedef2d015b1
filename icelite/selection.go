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
	asks := first || r.useCandidate || now.Sub(a.paths[a.selected].heard()) > silence

	a.newest(from)
	p := &a.paths[0]
	if now.Sub(p.checked) >= a.consent {
		p.restart()
	}
	if asks {
		a.nominate(0)
	}
	moves := asks && (a.selected == 0 || a.yields(now))
	moved = moves && (first || a.selected != 0 || p.Local != local)
	if moves {
		a.choose(now, 0)
	}
	// A path that is in use keeps its local address by the same rule as the
	// selection itself: a server with two addresses may be asked at both.
	if moves || a.selected != 0 {
		p.Local = local
	}
	p.checked, a.checked = now, now
	return moved
}

// nominate notes that path i asked to be selected.
func (a *Agent) nominate(i int) {
	for j := range a.paths {
		a.paths[j].nominated = j == i
	}
}

// yields reports whether the selected path gives way to a check from the newest one.
func (a *Agent) yields(now time.Time) bool {
	s := &a.paths[a.selected]
	switch {
	case !s.proved && a.paths[0].proved:
		return true
	case now.Sub(s.recorded) <= silence:
		return false
	}
	return !s.proved || !a.wary || now.Sub(s.heard()) > wariness
}

// choose selects path i. If it is unproved and the one before was not, that is a
// trial; one that is under way goes on, and has failed if the selection returns.
func (a *Agent) choose(now time.Time, i int) {
	from, to := &a.paths[a.selected], &a.paths[i]
	switch {
	case to.proved:
		a.wary = a.wary || a.OnTrial() && to.left
		a.until = time.Time{}
	case from.proved:
		a.until = now.Add(trial)
		for j := range a.paths {
			a.paths[j].left = j == a.selected
		}
	}
	a.selected = i
}

// record notes an authentic record from path i, which may select it.
func (a *Agent) record(now time.Time, i int) {
	p, s := &a.paths[i], &a.paths[a.selected]
	silent := now.Sub(s.recorded) > silence
	p.recorded = now
	switch {
	case i == a.selected:
		// The answer to a challenge is one that we asked for: an idle peer stays idle.
		if p.proved && !a.ask.answered.Equal(now) {
			a.wary = false
		}
	case p.nominated || silent || p.proved && !s.proved:
		a.choose(now, i)
		a.stats.Moves++
	}
}

// OnTrial reports whether the selection has left a proved path for one that still
// has to be: a proof of that ends the trial.
func (a *Agent) OnTrial() bool { return !a.until.IsZero() }

// takeBack ends a trial that has failed. The selection goes back if it still may.
func (a *Agent) takeBack(now time.Time) {
	a.until, a.wary = time.Time{}, true
	for i := range a.paths {
		if p := &a.paths[i]; p.left && now.Sub(p.checked) < a.consent {
			a.selected = i
			a.stats.Moves++
			return
		}
	}
}

// Holds reports whether from is the peer's and in use: a record came from there in the
// last two seconds, or it is proved and was heard from not longer ago than a peer that
// lives is silent.
func (a *Agent) Holds(now time.Time, from netip.AddrPort) bool {
	p := a.Path(from)
	return p != nil && (p.proved && now.Sub(p.heard()) <= wariness || p.speaks(now))
}

// Speaks reports whether a record came from there in the last two seconds.
func (a *Agent) Speaks(now time.Time, from netip.AddrPort) bool {
	p := a.Path(from)
	return p != nil && p.speaks(now)
}

// Lives reports whether from is the peer's as far as can be known: a record came from
// there in the last two seconds, or it is proved and a check or a record came in the last
// half of ConsentTimeout, in which a peer that lives checks three times.
func (a *Agent) Lives(now time.Time, from netip.AddrPort) bool {
	p := a.Path(from)
	return p != nil && (p.proved && now.Sub(p.heard()) <= a.consent/2 || p.speaks(now))
}

// newest moves the path of from to the front, or makes a new one there.
func (a *Agent) newest(from netip.AddrPort) {
	i := a.index(from)
	if i < 0 {
		i = a.room()
		a.paths[i] = Path{Remote: from}
	}
	p := a.paths[i]
	copy(a.paths[1:i+1], a.paths[:i])
	a.paths[0] = p
	switch {
	case a.selected < i:
		a.selected++
	case a.selected == i:
		a.selected = 0
	}
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
		victim = max(victim, i)
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
