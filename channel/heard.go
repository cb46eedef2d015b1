package channel

import "time"

// Heard returns when the last packet came, and how many have come so far. Before
// the first on a link the time is that of the link's beginning.
func (m *Mux) Heard() (at time.Time, packets uint64) {
	return m.time(m.heard), m.stats.PacketsIn
}

// Dropped returns how often something that came was not used for that reason.
func (m *Mux) Dropped(d DropReason) uint64 { return m.stats.Drops[d] }

// Idle reports whether everything that was given to Send is acknowledged, or gone.
func (m *Mux) Idle() bool {
	for i := range m.senders {
		if m.senders[i].cost > 0 {
			return false
		}
	}
	return true
}
