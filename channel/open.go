package channel

import "slices"

// A channel that was opened at run time ends in four steps, which the layer above agrees
// on with the peer. First StopSending: this end takes no more messages, and those in the
// queue are sent. When Settled returns true the layer above tells the peer so, in order
// with the openings of channels. Then, when the peer has told the same, StopReceiving.
// When both have happened Remove makes the number free. The next channel with the number
// must not be used before the peer has done the same.

// Channels returns the table as it is now. A number that is free has a zero Channel. Do
// not change the table.
func (m *Mux) Channels() Channels { return m.config.Channels }

// Open adds a channel under a number that is free. The peer must do the same before a
// packet with the new channel reaches it. known says that the peer has opened the channel
// already; if not, messages on the channel wait in its queue until Known is called. The Mux
// accepts the peer's messages on the channel at once. If the new table is not valid the
// error is a *TableError. A channel that the peer has opened may have the name of another
// one: both ends may have opened one at the same time. Channels.ID finds the one with the
// smaller number.
func (m *Mux) Open(id ID, c Channel, known bool) error {
	if err := m.config.Channels.admits(id, c, known); err != nil {
		return err
	}
	table := make(Channels, max(len(m.config.Channels), int(id))) // a new array: others may use the old one
	copy(table, m.config.Channels)
	table[id-1] = c
	m.config.Channels = table
	for len(m.senders) <= int(id) {
		m.clearNumber(ID(len(m.senders)))
	}
	m.addChannel(id, &table[id-1])
	m.senders[id].shut = !known
	m.order()
	return nil
}

// Known tells the Mux that the peer has opened a channel, too. From then on the Mux sends
// the messages in the channel's queue.
func (m *Mux) Known(id ID) {
	if s := m.senders[id]; s.shut {
		s.shut = false
		m.activate(s)
	}
}

// StopSending makes Send return ErrUnknown for a channel. The messages in the queue are
// still sent.
func (m *Mux) StopSending(id ID) {
	s := m.senders[id]
	s.stopped, s.refused = true, false
}

// Settled reports whether the fate of every message that this end has sent on a channel
// is known, and the peer has opened the channel.
func (m *Mux) Settled(id ID) bool { return m.senders[id].cost == 0 && !m.senders[id].shut }

// StopReceiving tells the Mux that the peer has sent all of its messages on a channel, and
// that the reliable ones have arrived. The Mux ignores frames of the channel in packets that the
// peer has sent before, whatever channel has the number when they arrive. It refuses
// frames in later packets until Open is called.
func (m *Mux) StopReceiving(id ID) {
	r := m.receivers[id]
	for r.partials != nil {
		m.giveUp(r, r.partials)
	}
	for i := range r.slots {
		if p := r.slots[i].p; p != nil {
			m.discard(r, p)
		}
	}
	r.slots = nil
	r.stopped, r.from = true, m.received.next
}

// Remove makes the number of a channel free. Call it after StopSending and StopReceiving,
// when Settled returns true.
func (m *Mux) Remove(id ID) {
	st := m.ChannelStats(id)
	if m.removed == nil {
		m.removed = new(ChannelStats)
	}
	m.removed.add(&st)
	table := append(Channels{}, m.config.Channels...)
	table[id-1] = Channel{}
	for len(table) > 0 && table[len(table)-1].Name == "" {
		table = table[:len(table)-1]
	}
	m.config.Channels = table
	m.clearNumber(id)
}

// noChannel is the channel of a number that is free.
var noChannel Channel

// clearNumber makes a number free. Open of a number beyond the last one fills the gap with it.
func (m *Mux) clearNumber(id ID) {
	if int(id) == len(m.senders) {
		m.senders, m.receivers = append(m.senders, new(sender)), append(m.receivers, new(receiver))
	}
	*m.senders[id] = sender{cfg: &noChannel, stopped: true}
	*m.receivers[id] = receiver{cfg: &noChannel, stopped: true, from: m.receivers[id].from}
	m.active &^= 1 << id
	m.byPriority = slices.DeleteFunc(m.byPriority, func(other ID) bool { return other == id })
}

// RemovedStats returns the sums of the counters of the channels that were removed.
func (m *Mux) RemovedStats() ChannelStats {
	if m.removed == nil {
		return ChannelStats{}
	}
	return *m.removed
}

// add adds the counters of o.
func (s *ChannelStats) add(o *ChannelStats) {
	s.MessagesOut += o.MessagesOut
	s.MessagesIn += o.MessagesIn
	s.BytesOut += o.BytesOut
	s.BytesIn += o.BytesIn
	s.WireOut += o.WireOut
	s.WireIn += o.WireIn
	s.Retransmits += o.Retransmits
	s.Copies += o.Copies
	s.Expired += o.Expired
	s.Overflowed += o.Overflowed
	s.Replaced += o.Replaced
	s.OverBudget += o.OverBudget
	s.Stale += o.Stale
	s.Duplicates += o.Duplicates
}
