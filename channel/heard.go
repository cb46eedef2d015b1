package channel

import "time"

// Heard returns when the last packet arrived, and the number of packets that have arrived
// so far. Before the first packet on a link, at is the time at which the link began.
func (m *Mux) Heard() (at time.Time, packets uint64) {
	return m.time(m.heard), m.stats.PacketsIn
}

// AnswerTime returns how long after the peer's last packet an answer to this end's ping
// arrives, if it takes so many round trips: Config.KeepAlive and the round trips, of which
// the length is the smoothed one, or an estimate before one was measured on the link.
func (m *Mux) AnswerTime(trips int) time.Duration {
	return m.config.KeepAlive + time.Duration(trips)*m.rtt.smoothed
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
