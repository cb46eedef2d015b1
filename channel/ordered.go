package channel

// The receiving half of the reliable modes.

// A slot is the state of one message that the receiver expects.
type slot struct {
	p    *partial // the pieces that have arrived; nil if none are held
	done bool     // all pieces have arrived: with p it waits for its turn, without p it was delivered
}

func (r *receiver) slot(id uint64) *slot { return &r.slots[id&uint64(len(r.slots)-1)] }

// reserve makes the ring of slots large enough for id.
func (r *receiver) reserve(id uint64) {
	n := uint64(max(8, len(r.slots)))
	for id-r.base >= n {
		n *= 2
	}
	if n == uint64(len(r.slots)) {
		return
	}
	old := *r
	r.slots = make([]slot, n)
	for i := range uint64(len(old.slots)) {
		*r.slot(old.base + i) = *old.slot(old.base + i)
	}
}

// reliable processes a whole message or a fragment of one. It returns false if the frame
// is refused, which a correct peer with the same table never causes. Then the packet must
// not be acknowledged.
func (m *Mux) reliable(r *receiver, t moment, f *frame) bool {
	whole := f.kind == frameMessage
	if f.id < r.base {
		r.stats.Duplicates++
		return true
	}
	if f.id-r.base >= sendWindow {
		return m.refuse(DropWindow)
	}
	inTurn := f.id == r.base || r.cfg.Mode == ReliableUnordered
	r.reserve(f.id)
	s := r.slot(f.id)
	switch {
	case s.done:
		r.stats.Duplicates++
		return true
	case s.p != nil && (whole || s.p.total != f.total):
		return m.refuse(DropMismatch)
	case whole && inTurn:
		s.done = true
		m.deliver(r, f.payload, false)
		m.advance(r)
		return true
	}
	total, index := f.total, f.index
	if whole {
		total, index = len(f.payload), 0
	}
	if s.p == nil {
		if r.held+total+messageCost > r.cfg.QueueLimit {
			return m.refuse(DropBudget)
		}
		s.p = m.newPartial(r, t, f.id, total)
	}
	if !m.add(s.p, index, f.payload) {
		r.stats.Duplicates++
		return true
	}
	if !s.p.complete() {
		return true
	}
	s.done = true
	if inTurn {
		m.deliverNow(r, s.p)
		s.p = nil
	}
	m.advance(r)
	return true
}

// advance moves base past the messages that are done, and delivers those that waited for
// their turn.
func (m *Mux) advance(r *receiver) {
	for {
		s := r.slot(r.base)
		if !s.done {
			return
		}
		if s.p != nil {
			m.deliverNow(r, s.p)
		}
		*s = slot{}
		r.base++
	}
}
