package channel

import "time"

// leastBudget is how large packets may be where larger ones do not arrive. It holds the
// largest piece behind a header and an ack block.
const leastBudget = 1060

// A run is packets above a size that were lost on end: none arrived that is as large as
// any of them. Its turns are spans of packets, each begun when the one before was over,
// of which each lost such a packet and delivered a smaller one.
//
// The budget falls after fallRun packets and runTurns turns. A link that loses 30 % of packets
// of any size begins so long a run with a chance of 0.3^20 = 3.5e-11: of 200 large
// packets a second once in five years. A blackout, however long, is a single turn.
//
// A link is stuck where packets of the least budget do not arrive. The session ends, so
// the run is longer: where 70 % is lost its chance is 0.7^60 = 5e-10.
const (
	fallRun   = 20
	stuckRun  = 60
	stuckTime = 5 * time.Second
	runTurns  = 4
	retryWide = time.Minute // from one try of the larger budget to the next
)

type run struct {
	lost   int
	began  moment
	least  int // the size of the smallest
	turns  int
	since  uint64 // the first packet of the present span
	failed bool   // what it has shown so far
	passed bool
}

func (r *run) end() { r.lost, r.turns, r.least = 0, 0, MaxPacket+1 }

func (r *run) span(first uint64) { r.since, r.failed, r.passed = first, false, false }

func (r *run) acked(n uint64, size int) {
	switch {
	case size >= r.least:
		r.end()
	case n >= r.since:
		r.passed = true
	}
}

// add takes note that packet n was lost, and reports whether the run is as long as
// length.
func (r *run) add(t moment, n, next uint64, size, length int) bool {
	if r.lost == 0 {
		r.began = t
		r.span(n)
	}
	r.lost++
	r.least = min(r.least, size)
	r.failed = r.failed || n >= r.since
	if r.failed && r.passed {
		r.turns++
		r.span(next)
	}
	return r.lost >= length && r.turns >= runTurns
}

// path knows how large a packet the link takes.
type path struct {
	budget  int
	large   run    // of packets above the least budget
	medium  run    // of others, above half of it
	barred  int    // packets this large did not arrive when the budget fell
	fell    uint64 // the next packet then: those before it say nothing new
	retryAt moment // when one packet tries the larger budget
	careful int    // packets that follow lost large ones and are small: what was lost has to arrive
	last    int    // the size of the last packet
	watched bool   // there is a run, or the budget has fallen: most often there is neither
	stuck   bool   // that was told
}

func (p *path) init() {
	*p = path{budget: MaxPacket, barred: MaxPacket + 1}
	p.large.end()
	p.medium.end()
}

// limit is how large the next packet may be. A probe is small: it has to arrive.
func (p *path) limit(t moment, probe bool) int {
	switch {
	case p.careful > 0 || probe:
		return leastBudget
	case !p.watched || t >= p.retryAt:
		return MaxPacket
	}
	return p.budget
}

// sent takes note of a packet that wants an acknowledgement.
func (p *path) sent(t moment, size int) {
	p.last = size
	if !p.watched {
		return
	}
	p.careful = max(0, p.careful-1)
	if size > p.budget {
		p.retryAt = t + retryWide
	}
}

// acked takes note that packet n arrived, if watched.
func (p *path) acked(n uint64, size int) {
	p.large.acked(n, size)
	p.medium.acked(n, size)
	if size >= p.barred && n >= p.fell {
		p.budget, p.barred = MaxPacket, MaxPacket+1
	}
	p.watched = p.large.lost+p.medium.lost+p.careful > 0 || p.budget < MaxPacket
}

// trace takes note that packet n, which wanted an acknowledgement, was lost.
func (m *Mux) trace(t moment, n uint64, size int) {
	p, next := &m.path, m.flight.next
	p.watched = true
	switch {
	case size > p.budget: // it was to find out
	case size > leastBudget:
		p.careful++
		if p.large.add(t, n, next, size, fallRun) {
			p.budget, p.barred, p.fell = leastBudget, p.large.least, next
			p.retryAt, p.careful = t+retryWide, 0
			p.large.end()
			if m.stats.Fallbacks++; m.stats.Fallbacks == 1 {
				m.events = append(m.events, Event{Type: EventNarrow, Code: leastBudget})
			}
		}
	case size > leastBudget/2:
		r := &p.medium
		if r.add(t, n, next, size, stuckRun) && t-r.began >= stuckTime && !p.stuck {
			p.stuck = true
			m.events = append(m.events, Event{Type: EventStuck, Code: uint64(r.least)})
		}
	}
}
