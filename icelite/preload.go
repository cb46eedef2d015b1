package icelite

// Preload reads the memory that Selected, MaySend and Heard need, so that it is in the
// processor's cache when they are called soon after: step 0 reads the agent, step 1 the
// selected path. The result has no meaning, but must be used.
func (a *Agent) Preload(step int) int {
	if step == 0 || len(a.paths) == 0 {
		return len(a.paths) + a.selected + int(a.consent)
	}
	p := &a.paths[a.selected]
	return int(p.Remote.Port()) + int(p.out)
}
