package peer

// PreloadSteps is the number of steps of Preload.
const PreloadSteps = 3

// Preload reads the memory that Receive, Send and Append need, so that it is in the
// processor's cache when one of them is called soon after. Each step needs memory that
// the step before has loaded: do other work between the steps, so that no step waits.
// The result has no meaning, but must be used: otherwise the compiler may remove the
// reads.
//
// The cores have no functions for this. The calls below change nothing. They read the fields
// at the beginning of the structs, which every message needs.
func (p *Peer) Preload(step int) (n int) {
	switch step {
	case 0:
		if p.records.Ready() {
			n = int(p.state)
		}
	case 1:
		if p.ice.lite != nil {
			n = p.ice.lite.LastCheck().Nanosecond()
		}
		if p.assoc != nil {
			n += p.assoc.Deadline().Nanosecond()
		}
	case 2:
		if p.ice.lite != nil {
			path, _ := p.ice.lite.Selected()
			n = int(path.Remote.Port())
		}
		if p.assoc != nil {
			n += p.assoc.Stats().Channels
		}
	}
	return n
}
