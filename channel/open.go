package channel

import "slices"

// Channels returns the table as it is now. Do not change it.
func (m *Mux) Channels() Channels { return m.config.Channels }

// Open adds a channel to the end of the table and returns its number. The peer must do the
// same before a packet with the new channel reaches it. known says that the peer has done
// it; if not, messages on the channel wait in its queue until Known is called. The Mux
// accepts the peer's messages on the channel at once. If the new table is not valid the
// error is a *TableError.
func (m *Mux) Open(c Channel, known bool) (ID, error) {
	table := append(slices.Clip(m.config.Channels), c) // a new array: others may use the old one
	if err := table.Validate(); err != nil {
		return 0, err
	}
	m.config.Channels = table
	s := m.enter(c)
	s.shut = !known
	m.order()
	return s.id, nil
}

// Known says that the peer has opened a channel, too. From then on its messages are sent.
func (m *Mux) Known(id ID) {
	if s := m.senders[id]; s.shut {
		s.shut = false
		m.activate(s)
	}
}
