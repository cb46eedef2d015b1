package sessioncore

import "github.com/godwit-rtc/godwit/internal/prefetch"

// PreloadSteps is the number of steps of Preload.
const PreloadSteps = 2

// Sizes in bytes of the fields that every message needs, which are first in their structs.
const (
	sessionHot = 384
	muxHot     = 1344
)

// Preload loads the memory that SendShared, Receive, Append and Deadline need, so that it
// is in the processor's cache when one of them is called soon. Each step needs the memory
// that the step before has loaded. To wait for none of it, do other work between the steps.
// Preload needs no lock: it reads only the pointer to the Mux, which never changes.
func (s *Session) Preload(step int) {
	switch step {
	case 0:
		prefetch.First(s, sessionHot)
	case 1:
		prefetch.First(s.mux, muxHot)
	}
}
