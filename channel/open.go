package channel

import "slices"

// Channels returns the table as it is now. It must not be changed.
func (m *Mux) Channels() Channels { return m.config.Channels }

// Open adds a channel to the table of a link that exists, and returns its number,
// the next one. The peer must do the same before anything of the channel reaches it:
// unless known, messages wait here until Known is called. What the peer sends is taken
// at once. The error is a *TableError: no more channels, or what is wrong with c.
func (m *Mux) Open(c Channel, known bool) (ID, error) {
	table := append(slices.Clip(m.config.Channels), c) // others may have the old one
	if err := table.Validate(); err != nil {
		return 0, err
	}
	m.config.Channels = table
	s := m.enter(c)
	s.shut = !known
	m.order()
	return s.id, nil
}

// Known lets the messages of a channel leave, because the peer has opened it too.
func (m *Mux) Known(id ID) {
	if s := m.senders[id]; s.shut {
		s.shut = false
		m.activate(s)
	}
}
