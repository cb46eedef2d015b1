package peer

// PreloadSteps is the number of steps of Preload.
const PreloadSteps = 3

// Preload reads the memory that Receive, Send and Append need, so that it is in the
// processor's cache when one of them is called soon after. Each step needs memory that
// the step before has loaded: do other work between the steps, so that no step waits.
// The result has no meaning, but must be used.
func (p *Peer) Preload(step int) (n int) {
	if step == 0 {
		return int(p.state) + p.records.Preload(step)
	}
	if step == 2 {
		n = p.records.Preload(1)
	}
	if p.ice.lite != nil {
		n += p.ice.lite.Preload(step - 1)
	}
	if p.assoc != nil {
		n += p.assoc.Preload(step - 1)
	}
	return n
}
