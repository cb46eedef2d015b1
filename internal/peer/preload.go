package peer

import "github.com/godwit-rtc/godwit/internal/prefetch"

// PreloadSteps is the number of steps of Preload.
const PreloadSteps = 3

// Preload loads the memory that Receive, Send and Append need, so that it is in the
// processor's cache when one of them is called soon. Each step needs the memory that the
// step before has loaded. To wait for none of it, do other work between the steps.
func (p *Peer) Preload(step int) {
	switch step {
	case 0:
		prefetch.All(p)
	case 1:
		prefetch.All(p.ice.lite)
		prefetch.First(p.assoc, assocHot)
	case 2:
		if p.ice.lite != nil {
			p.ice.lite.NextChallenge() // reads the selected path and the challenge
		}
	}
}

// assocHot is the size in bytes of the fields of an association that every message needs.
// They are first in the struct.
const assocHot = 512
