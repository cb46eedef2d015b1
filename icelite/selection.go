package icelite

import (
	"iter"
	"net/netip"
	"time"
)

// check records a valid check: from becomes the newest path, and may become the selected one.
// It returns true if another path is selected now, or if the selected path has another local
// address now.
func (a *Agent) check(now time.Time, from netip.AddrPort, local netip.Addr, r *Request) (moved bool) {
	first := len(a.paths) == 0
	asks := first || r.useCandidate || a.since(now)-a.paths[a.selected].heard() > silence

	a.newest(from)
	p := &a.paths[0]
	if a.since(now)-p.checked >= a.consent {
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
	// The local address of the selected path changes by the same rule as the selection: a
	// server with two addresses may get checks at both.
	if moves || a.selected != 0 {
		p.Local = local
	}
	if p.checked == never {
		p.first = int32(a.since(now) / tick)
	}
	a.checked = a.since(now)
	p.checked = a.checked
	return moved
}

// nominate makes path i the nominated one.
func (a *Agent) nominate(i int) {
	for j := range a.paths {
		a.paths[j].nominated = j == i
	}
}

// yields reports whether a check on the newest path may move the selection to it.
func (a *Agent) yields(now time.Time) bool {
	s := &a.paths[a.selected]
	switch {
	case !s.proved && a.paths[0].proved:
		return true
	case a.since(now)-s.recorded <= silence:
		return false
	}
	return !s.proved || !a.wary || a.since(now)-s.heard() > wariness
}

// choose selects path i. If path i is unproved and the selected path before was proved, a
// trial begins. A trial that has begun continues; if the selection goes back, the trial has
// failed.
func (a *Agent) choose(now time.Time, i int) {
	from, to := &a.paths[a.selected], &a.paths[i]
	switch {
	case to.proved:
		a.wary = a.wary || a.onTrial() && to.left
		a.until = never
	case from.proved:
		a.until = a.since(now) + trial
		for j := range a.paths {
			a.paths[j].left = j == a.selected
		}
	}
	a.selected = i
}

// record notes an authentic record from path i, which may select it.
func (a *Agent) record(now time.Time, i int) {
	p, s := &a.paths[i], &a.paths[a.selected]
	silent := a.since(now)-s.recorded > silence
	p.recorded = a.since(now)
	switch {
	case i == a.selected:
		// The answer to a challenge does not count here: an idle peer sends it, too.
		if p.proved && a.answered != a.since(now) {
			a.wary = false
		}
	case p.nominated || silent || p.proved && !s.proved:
		a.choose(now, i)
		a.stats.Moves++
	}
}

// onTrial reports whether the selection has left a proved path for a path that is not proved
// yet. A proof of the new path ends the trial.
func (a *Agent) onTrial() bool { return a.until != never }

// endTrial ends a trial that has failed. The selection goes back to the path that it has
// left, if that still has consent.
func (a *Agent) endTrial(now time.Time) {
	a.until, a.wary = never, true
	for i := range a.paths {
		if p := &a.paths[i]; p.left && a.since(now)-p.checked < a.consent {
			a.selected = i
			a.stats.Moves++
			a.refill() // what held the challenge was the other path
			return
		}
	}
}

// Holds reports whether the peer uses the address from and has proved it: a check or a record
// has arrived from it in the last half of ConsentTimeout, in which a live peer sends three
// checks.
func (a *Agent) Holds(now time.Time, from netip.AddrPort) bool {
	p := a.Path(from)
	return p != nil && p.proved && a.since(now)-p.heard() <= a.consent/2
}

// Since returns when the first valid check arrived from the address, to 10 ms; zero
// if there was none, or if it is forgotten.
func (a *Agent) Since(from netip.AddrPort) time.Time {
	if p := a.Path(from); p != nil {
		return a.started.Add(time.Duration(p.first) * tick)
	}
	return time.Time{}
}

// Speaks reports whether a record has arrived from the address in the last two seconds.
func (a *Agent) Speaks(now time.Time, from netip.AddrPort) bool {
	p := a.Path(from)
	return p != nil && p.speaks(a.since(now))
}

// newest moves the path of from to the front of paths, or adds a new path there.
func (a *Agent) newest(from netip.AddrPort) {
	i := a.index(from)
	if i < 0 {
		i = a.room()
		a.paths[i] = Path{Remote: from, checked: never, recorded: never}
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

// index returns the index of the path of from, or -1.
func (a *Agent) index(from netip.AddrPort) int {
	for i := range a.paths {
		if a.paths[i].Remote == from {
			return i
		}
	}
	return -1
}

// room returns the index for a new path. If there are MaxPaths it removes one.
func (a *Agent) room() int {
	if len(a.paths) < int(a.maxPaths) {
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

// Selected returns the path to send to, and false before the first valid check.
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

// Path returns the path of from, or nil if there is none.
func (a *Agent) Path(from netip.AddrPort) *Path {
	if i := a.index(from); i >= 0 {
		return &a.paths[i]
	}
	return nil
}
