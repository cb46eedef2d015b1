package sessioncore

import "github.com/godwit-rtc/godwit/internal/prefetch"

// PreloadSteps is the number of steps of Preload.
const PreloadSteps = 2

// Sizes in bytes of the fields that every message needs, which are first in their structs.
const (
	sessionHot = 384
	muxHot     = 1344
)

// Preload reads the memory that SendShared, Receive, Append and Deadline need, so that it
// is in the processor's cache when one of them is called soon. Each step needs the memory
// that the step before has read. To wait for none of it, do other work between the steps.
// Preload needs no lock: apart from the pointer to the Mux, which never changes, it uses
// nothing that it reads.
func (s *Session) Preload(step int) {
	switch step {
	case 0:
		prefetch.Read(s, sessionHot)
	case 1:
		prefetch.Read(s.mux, muxHot)
	}
}
