package channel

// sequenced processes a whole message of a sequenced channel.
func (m *Mux) sequenced(r *receiver, f *frame) {
	if f.id < r.base {
		r.stats.Stale++
		return
	}
	m.deliver(r, f.payload, false)
	m.supersede(r, f.id)
}

// supersede drops the incomplete messages up to id, and refuses them from now on.
func (m *Mux) supersede(r *receiver, id uint64) {
	r.base = id + 1
	for p := r.partials; p != nil; {
		next := p.next
		if p.id <= id {
			r.stats.Stale++
			m.giveUp(r, p)
		}
		p = next
	}
}
