package channel

import "time"

// leastBudget is the limit in bytes of packets on a link where larger ones do not arrive.
// The largest piece fits, with a header and an ack block.
const leastBudget = 1060

// A run is a series of lost packets above a size, during which no packet arrived that was
// as large as the smallest of them. A turn is a span of packets in which such a packet was
// lost and a smaller one arrived. The next turn begins when one is over.
//
// The budget falls after fallRun packets and runTurns turns. On a link that loses 30 % of
// packets of any size a packet begins such a run with a chance of 0.3^20 = 3.5e-11: at 200
// large packets a second, once in five years. A blackout of any length is a single turn.
//
// A link is stuck if packets within the least budget do not arrive. Then the session ends,
// so the run must be longer: on a link that loses 70 % its chance is 0.7^60 = 5e-10.
const (
	fallRun   = 20
	stuckRun  = 60
	stuckTime = 5 * time.Second
	runTurns  = 4
	retryWide = time.Minute // time between two tries of the larger budget
)

type run struct {
	lost   int
	began  moment
	least  int    // size of the smallest lost packet; MaxPacket+1 if none
	turns  int    // turns so far
	since  uint64 // the first packet of the present turn
	failed bool   // a large packet of the present turn was lost
	passed bool   // a smaller packet of the present turn has arrived
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

// add notes that packet n was lost. It reports whether the run has at least length
// packets and runTurns turns.
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

// path finds the size of the largest packets that arrive over the link.
type path struct {
	budget  int    // limit of packets now
	large   run    // packets above the least budget
	medium  run    // packets above half of the least budget
	barred  int    // smallest size of packets that did not arrive when the budget fell
	fell    uint64 // number of the next packet at that time: earlier ones do not raise the budget
	retryAt moment // when one packet tries the larger budget
	careful int    // next packets that must be small, so that the content of lost large ones arrives
	last    int    // size of the last packet
	watched bool   // acked must be called: there is a run, or the budget has fallen
	stuck   bool   // EventStuck was emitted
}

func (p *path) init() {
	*p = path{budget: MaxPacket}
	p.large.end()
	p.medium.end()
}

// limit returns the largest size of the next packet. A probe is small, so that it arrives
// on every link.
func (p *path) limit(t moment, probe bool) int {
	switch {
	case p.careful > 0 || probe:
		return leastBudget
	case t >= p.retryAt:
		return MaxPacket
	}
	return p.budget
}

// sent notes a packet that must be acknowledged.
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

// acked notes that packet n has arrived. It need not be called unless watched.
func (p *path) acked(n uint64, size int) {
	p.large.acked(n, size)
	p.medium.acked(n, size)
	if size >= p.barred && n >= p.fell {
		p.budget, p.barred = MaxPacket, MaxPacket+1
	}
	p.watched = p.large.lost+p.medium.lost+p.careful > 0 || p.budget < MaxPacket
}

// recordLoss notes that packet n, which had to be acknowledged, was lost.
func (m *Mux) recordLoss(t moment, n uint64, size int) {
	p, next := &m.path, m.flight.next
	p.watched = true
	switch {
	case size > p.budget: // it tried the larger budget
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
