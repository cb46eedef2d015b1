package godwit

import (
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// Totals are the sums of the counters of all sessions, those that are over included.
// They never decrease, except Queued, QueueBytes and Held of Channels, which are of the
// open sessions. [session.Stats], [channel.Counters] and [channel.ChannelStats] say what
// each field counts.
type Totals struct {
	channel.Counters
	Interruptions, Resumed uint64
	Limited, Rejected      uint64

	// Channels are the counters by ChannelID. Index 0 is "control", the channel that
	// carries requests, answers and the session's own messages. The last one has no name
	// and is the sum of all channels that OpenChannel has added.
	Channels []ChannelTotals
}

// ChannelTotals are the sums of the counters of one channel over all sessions. Queued,
// QueueBytes and Held are sums over the open sessions only. QueueTime is zero.
type ChannelTotals struct {
	Name string
	channel.ChannelStats
}

// Totals returns the counters as they are now. It locks the open sessions one after the
// other, each as Conn.Stats does. The counters of a session that is not open yet are not in
// the sums; they are added when the session has opened or ended. After the first call the
// server keeps, for each session that was counted, the counters that it has added. They
// take about 290 bytes, and 144 bytes for each channel of the table and for two more.
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
	t := s.directory.sums()
	for i := range present.Channels {
		p, q := &t.Channels[i], &present.Channels[i]
		p.Queued, p.QueueBytes, p.Held = q.Queued, q.QueueBytes, q.Held
	}
	return t
}

// newTotals returns totals that are all zero, with the names of the channels.
func (s *Server) newTotals() *Totals {
	table := s.config.Channels
	t := &Totals{Channels: make([]ChannelTotals, len(table)+2)}
	for id := range t.Channels {
		t.Channels[id].Name = table.Name(ChannelID(id))
	}
	return t
}

// tally adds to the server's totals what the session has counted since its last tally.
// Totals and the end of a session call it, in any order; nothing is added twice. The
// caller holds the session's lock.
func (c *Conn) tally() {
	if !c.atServer {
		return
	}
	if c.tallied == nil {
		c.tallied = c.server.newTotals()
	}
	c.server.directory.tally(c.tallied, c.session, time.Now())
}

// sums returns the sums of all tallies so far.
func (d *directory) sums() Totals {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := *d.totals
	t.Channels = slices.Clone(t.Channels)
	return t
}

// tally adds to the totals the differences between the session's counters and was, and
// updates was. The caller holds the session's lock.
func (d *directory) tally(was *Totals, s *sessioncore.Session, now time.Time) {
	t := s.Stats(now)
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := d.totals
	sum.grow(was, &t)
	last := len(sum.Channels) - 1 // all that OpenChannel added, those that are closed included
	var added channel.ChannelStats
	for id := range len(s.Mux().Channels()) + 1 {
		st := s.Mux().ChannelStats(ChannelID(id))
		if id < last {
			growChannel(&sum.Channels[id].ChannelStats, &was.Channels[id].ChannelStats, &st)
			continue
		}
		growChannel(&added, &channel.ChannelStats{}, &st)
	}
	closed := s.Mux().RemovedStats()
	growChannel(&added, &channel.ChannelStats{}, &closed)
	growChannel(&sum.Channels[last].ChannelStats, &was.Channels[last].ChannelStats, &added)
}

// grow adds to sum the differences between t and was, and updates was.
func (sum *Totals) grow(was *Totals, t *session.Stats) {
	grow(&sum.PacketsOut, &was.PacketsOut, t.PacketsOut)
	grow(&sum.PacketsIn, &was.PacketsIn, t.PacketsIn)
	grow(&sum.BytesOut, &was.BytesOut, t.BytesOut)
	grow(&sum.BytesIn, &was.BytesIn, t.BytesIn)
	grow(&sum.AcksOut, &was.AcksOut, t.AcksOut)
	grow(&sum.Retransmits, &was.Retransmits, t.Retransmits)
	grow(&sum.Copies, &was.Copies, t.Copies)
	grow(&sum.PacketsLost, &was.PacketsLost, t.PacketsLost)
	grow(&sum.Spurious, &was.Spurious, t.Spurious)
	grow(&sum.Timeouts, &was.Timeouts, t.Timeouts)
	grow(&sum.Links, &was.Links, t.Links)
	grow(&sum.Fallbacks, &was.Fallbacks, t.Fallbacks)
	grow(&sum.Interruptions, &was.Interruptions, t.Interruptions)
	grow(&sum.Resumed, &was.Resumed, uint64(t.Resumed))
	grow(&sum.Limited, &was.Limited, t.Limited)
	grow(&sum.Rejected, &was.Rejected, t.Rejected)
	for i, n := range t.Drops {
		grow(&sum.Drops[i], &was.Drops[i], n)
	}
}

func growChannel(sum, was, now *channel.ChannelStats) {
	grow(&sum.MessagesOut, &was.MessagesOut, now.MessagesOut)
	grow(&sum.MessagesIn, &was.MessagesIn, now.MessagesIn)
	grow(&sum.BytesOut, &was.BytesOut, now.BytesOut)
	grow(&sum.BytesIn, &was.BytesIn, now.BytesIn)
	grow(&sum.WireOut, &was.WireOut, now.WireOut)
	grow(&sum.WireIn, &was.WireIn, now.WireIn)
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
