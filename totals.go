package godwit

import (
	"slices"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/session"
)

// Totals are the counters of all sessions together, those that are over included:
// they only grow. ConnStats and ChannelStats say what each counts.
type Totals struct {
	PacketsOut, PacketsIn  uint64
	BytesOut, BytesIn      uint64
	AcksOut                uint64
	Retransmits, Copies    uint64
	PacketsLost, Spurious  uint64
	Timeouts, Fallbacks    uint64
	Interruptions, Resumed uint64
	Limited, Rejected      uint64
	Drops                  [channel.DropReasons]uint64

	// Channels are by ChannelID. First comes "control", by which the two ends of a
	// session talk of the session and ask each other; after Config.Channels there is
	// one more without a name, all that OpenChannel added.
	Channels []ChannelTotals
}

// ChannelTotals are the counters of one channel in all sessions together. Queued,
// QueueBytes and Held are of those that are open; QueueTime is zero.
type ChannelTotals struct {
	Name string
	ChannelStats
}

// Totals returns the counters as they are now. It locks one open session after the
// other, as Conn.Stats does. What a session counts before it opens is added when it
// does, or ends. From the first call on the server remembers for each session what is
// added already: some 250 bytes, and 120 for each channel and two more.
func (s *Server) Totals() Totals {
	present := s.newTotals()
	for c := range s.Conns() {
		a := c.acquire()
		c.tally()
		m := c.session.Mux()
		for id := range len(m.Channels()) + 1 {
			st := m.ChannelStats(ChannelID(id))
			p := &present.Channels[min(id, len(present.Channels)-1)]
			p.Queued += st.Queued
			p.QueueBytes += st.QueueBytes
			p.Held += st.Held
		}
		c.release(a)
	}
	t := s.book.sums()
	for i := range present.Channels {
		p, q := &t.Channels[i], &present.Channels[i]
		p.Queued, p.QueueBytes, p.Held = q.Queued, q.QueueBytes, q.Held
	}
	return t
}

// newTotals returns the totals of nothing.
func (s *Server) newTotals() *Totals {
	table := s.config.Channels
	t := &Totals{Channels: make([]ChannelTotals, len(table)+2)}
	for id := range t.Channels {
		t.Channels[id].Name = table.Name(ChannelID(id))
	}
	return t
}

// tally adds to the server's totals what the session has counted since it was last
// tallied. So nothing is added twice, or taken back, whoever comes first: a call of
// Totals or the session's end. The session's lock is held.
func (c *Conn) tally() {
	if !c.ours {
		return
	}
	if c.tallied == nil {
		c.tallied = c.server.newTotals()
	}
	c.server.book.tally(c.tallied, c.session)
}

// sums returns what all sessions have counted.
func (b *book) sums() Totals {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := *b.totals
	t.Channels = slices.Clone(t.Channels)
	return t
}

// tally adds what a session has counted and was does not have yet.
func (b *book) tally(was *Totals, s *session.Session) {
	m, t := s.Mux().Stats(), s.Stats()
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := b.totals
	sum.grow(was, &m, &t)
	last := len(sum.Channels) - 1 // all that OpenChannel added
	var added ChannelStats
	for id := range len(s.Mux().Channels()) + 1 {
		st := s.Mux().ChannelStats(ChannelID(id))
		if id < last {
			growChannel(&sum.Channels[id].ChannelStats, &was.Channels[id].ChannelStats, &st)
			continue
		}
		growChannel(&added, &ChannelStats{}, &st)
	}
	growChannel(&sum.Channels[last].ChannelStats, &was.Channels[last].ChannelStats, &added)
}

// grow adds what a session has counted of itself and was does not have yet.
func (sum *Totals) grow(was *Totals, m *channel.Stats, t *session.Stats) {
	grow(&sum.PacketsOut, &was.PacketsOut, m.PacketsOut)
	grow(&sum.PacketsIn, &was.PacketsIn, m.PacketsIn)
	grow(&sum.BytesOut, &was.BytesOut, m.BytesOut)
	grow(&sum.BytesIn, &was.BytesIn, m.BytesIn)
	grow(&sum.AcksOut, &was.AcksOut, m.AcksOut)
	grow(&sum.Retransmits, &was.Retransmits, m.Retransmits)
	grow(&sum.Copies, &was.Copies, m.Copies)
	grow(&sum.PacketsLost, &was.PacketsLost, m.PacketsLost)
	grow(&sum.Spurious, &was.Spurious, m.Spurious)
	grow(&sum.Timeouts, &was.Timeouts, m.Timeouts)
	grow(&sum.Fallbacks, &was.Fallbacks, m.Fallbacks)
	grow(&sum.Interruptions, &was.Interruptions, t.Interruptions)
	grow(&sum.Resumed, &was.Resumed, uint64(t.Links))
	grow(&sum.Limited, &was.Limited, t.Limited)
	grow(&sum.Rejected, &was.Rejected, t.Refused)
	for i, n := range m.Drops {
		grow(&sum.Drops[i], &was.Drops[i], n)
	}
}

func growChannel(sum, was, now *ChannelStats) {
	grow(&sum.MessagesOut, &was.MessagesOut, now.MessagesOut)
	grow(&sum.MessagesIn, &was.MessagesIn, now.MessagesIn)
	grow(&sum.BytesOut, &was.BytesOut, now.BytesOut)
	grow(&sum.BytesIn, &was.BytesIn, now.BytesIn)
	grow(&sum.Retransmits, &was.Retransmits, now.Retransmits)
	grow(&sum.Copies, &was.Copies, now.Copies)
	grow(&sum.Expired, &was.Expired, now.Expired)
	grow(&sum.Overflowed, &was.Overflowed, now.Overflowed)
	grow(&sum.Replaced, &was.Replaced, now.Replaced)
	grow(&sum.OverBudget, &was.OverBudget, now.OverBudget)
	grow(&sum.Stale, &was.Stale, now.Stale)
	grow(&sum.Duplicates, &was.Duplicates, now.Duplicates)
}

func grow(sum, was *uint64, now uint64) {
	*sum += now - *was
	*was = now
}
