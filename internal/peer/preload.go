package peer

// PreloadSteps is how many steps Preload has.
const PreloadSteps = 3

// Preload reads what Receive, Send and Append will read, so that it is in the
// processor's cache when one of them is called soon. Every step needs what the one
// before it has fetched: to wait for none of it, do other work in between. The
// result means nothing, but must be used.
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
