package channel

import "time"

// Heard returns when the last packet arrived, and the number of packets that have arrived
// so far. Before the first packet on a link, at is the time at which the link began.
func (m *Mux) Heard() (at time.Time, packets uint64) {
	return m.time(m.heard), m.stats.PacketsIn
}

// Dropped returns the number of packets or frames that were dropped for a reason.
func (m *Mux) Dropped(d DropReason) uint64 { return m.stats.Drops[d] }

// Idle reports whether no message waits to be sent or acknowledged.
func (m *Mux) Idle() bool {
	for i := range m.senders {
		if m.senders[i].cost > 0 {
			return false
		}
	}
	return true
}
