package icelite

// Preload reads what Selected, MaySend and Heard will read, so that it is in the
// processor's cache when they are called soon: first the agent itself, in a second
// step the selected path. The result means nothing, but must be used.
func (a *Agent) Preload(step int) int {
	if step == 0 || len(a.paths) == 0 {
		return len(a.paths) + a.selected + int(a.consent)
	}
	p := &a.paths[a.selected]
	return int(p.Remote.Port()) + int(p.out)
}
