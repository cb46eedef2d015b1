package channel

import "math/bits"

// The order of pieces: first the channels whose guaranteed share is not used up, then by
// priority, and among channels of one priority by weight.

// activate notes that a channel may have a piece to send.
func (m *Mux) activate(s *sender) {
	bit := uint64(1) << s.id
	if m.active&bit != 0 || s.shut {
		return
	}
	m.active |= bit
	s.pass = max(s.pass, m.passes[s.cfg.Priority])
}

// next returns the piece that the channel sends next, and its length in a packet. If
// there is none the length is 0.
func (m *Mux) next(s *sender, t moment) (msg *message, i, n int) {
	if s.lost > 0 {
		msg, i = s.nextLost()
		return msg, i, pieceLen(false, msg.id, msg.size, i)
	}
	m.expire(s, t)
	msg = s.queue.head
	if msg == nil {
		m.active &^= 1 << s.id
		return nil, 0, 0
	}
	if msg.sent == 0 && !s.inWindow() {
		return nil, 0, 0
	}
	id := s.peekID(msg)
	// Fragments of a message leave in order, so sent is the next one.
	return msg, msg.sent, pieceLen(s.cfg.Mode == Unreliable, id, msg.size, msg.sent)
}

// share adds the tokens of the time since the last call to the channel's guaranteed
// share, and returns the bytes that are left of it.
func (s *sender) share(t moment) float64 {
	rate := float64(s.cfg.Guarantee)
	burst := max(rate/4, 2*MaxPacket) // a quarter of a second
	s.tokens = min(burst, s.tokens+rate*seconds(t-s.refilled))
	s.refilled = t
	return s.tokens
}

// fill appends pieces up to end and returns their number. After it, m.backlog is true if
// there are pieces that did not fit.
func (m *Mux) fill(b []byte, end int, t moment, p *sentPacket) (_ []byte, n int) {
	for ; ; n++ {
		s, msg, i, size := m.pick(t, end-len(b))
		if s == nil {
			return b, n
		}
		number := m.flight.next
		bare := s.cfg.Mode == Unreliable
		b = appendPiece(b, s.id, bare, msg.id, msg.body, i)
		s.tokens = max(-MaxPacket, s.tokens-float64(size)) // bytes beyond the share reduce it by one packet at most
		s.pass += uint64(size) * maxWeight / uint64(s.cfg.Weight)
		m.passes[s.cfg.Priority] = s.pass
		if s.cfg.Mode.reliable() || msg.receipt {
			p.refs = append(p.refs, pieceRef{msg, msg.gen, uint32(i)})
		}
		m.pieceSent(s, msg, i, number, t)
	}
}

// pick returns the channel to send from, among the channels whose next piece fits into
// space bytes, and the results of next for it. It sets m.backlog if a piece did not fit.
func (m *Mux) pick(t moment, space int) (best *sender, msg *message, i, size int) {
	bestShare := false
	m.backlog = false
	for set := m.active; set != 0; set &= set - 1 {
		s := m.senders[bits.TrailingZeros64(set)]
		first, piece, n := m.next(s, t)
		if n == 0 {
			continue
		}
		if n > space {
			m.backlog = true
			continue
		}
		share := s.cfg.Guarantee > 0 && s.share(t) > 0
		if best == nil || s.before(best, share, bestShare) {
			best, bestShare = s, share
			msg, i, size = first, piece, n
		}
	}
	return best, msg, i, size
}

// before reports whether a piece of s is sent before one of o.
func (s *sender) before(o *sender, share, otherShare bool) bool {
	switch {
	case share != otherShare:
		return share
	case s.cfg.Priority != o.cfg.Priority:
		return s.cfg.Priority < o.cfg.Priority
	}
	return s.pass < o.pass
}

// hasWork reports whether any channel has a piece to send.
func (m *Mux) hasWork(t moment) bool {
	for set := m.active; set != 0; set &= set - 1 {
		if _, _, n := m.next(m.senders[bits.TrailingZeros64(set)], t); n > 0 {
			return true
		}
	}
	return false
}
