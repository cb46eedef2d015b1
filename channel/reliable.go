package channel

// The sending half of the reliable modes, and of receipts: the states of pieces.

// pieceSent notes that a new or lost piece left in packet number.
func (m *Mux) pieceSent(s *sender, msg *message, i int, number uint64, t moment) {
	p := &msg.pieces[i]
	switch p.state {
	case pieceUnsent:
		if msg.sent == 0 {
			m.first(s, msg, t)
		}
		msg.sent++
	case pieceLost:
		msg.lost--
		s.found(1)
		s.stats.Retransmits++
		m.stats.Retransmits++
	}
	*p = piece{state: pieceFlying, number: number, at: t}
	if msg.sent < len(msg.pieces) || msg.list != &s.queue {
		return
	}
	s.queue.remove(msg)
	if s.cfg.Mode.reliable() || msg.receipt {
		s.waiting.push(msg)
		return
	}
	m.finish(s, msg, FateLost) // nobody has requested its fate
}

// first notes that the first piece of a message leaves.
func (m *Mux) first(s *sender, msg *message, t moment) {
	s.forget(msg)
	s.nextID++
	wait := t - msg.queued
	s.stats.QueueTime += (wait - s.stats.QueueTime) / 16
	s.stats.MessagesOut++
	s.stats.BytesOut += uint64(msg.plain)
	s.stats.WireOut += uint64(msg.size)
}

// peekID returns the id that the head of the queue has or will get.
func (s *sender) peekID(msg *message) uint64 {
	if msg.sent == 0 {
		msg.id = s.nextID
	}
	return msg.id
}

// inWindow reports whether sendWindow allows to send the head of the queue.
func (s *sender) inWindow() bool {
	oldest := s.waiting.head
	return oldest == nil || !s.cfg.Mode.reliable() || s.nextID-oldest.id < sendWindow
}

// pieceAcked notes that a piece has arrived.
func (m *Mux) pieceAcked(r pieceRef) {
	msg, s := r.m, m.senders[r.m.ch]
	p := &msg.pieces[r.index]
	switch p.state {
	case pieceAcked:
		return
	case pieceLost:
		msg.lost--
		s.found(1)
	}
	p.state = pieceAcked
	msg.acked++
	m.messageAcked(s, msg)
}

// messageAcked finishes a message that has arrived whole. It keeps the record of an ordered
// message, without the body, until all messages before it have arrived: until then the
// peer may hold the message, and its cost must count at both ends.
func (m *Mux) messageAcked(s *sender, msg *message) {
	if !msg.done() {
		return
	}
	m.report(s, msg, FateDelivered)
	if s.cfg.Mode != ReliableOrdered {
		m.finish(s, msg, FateDelivered)
		return
	}
	m.pool.disown(msg)
	for head := s.waiting.head; head != nil && head.done(); head = s.waiting.head {
		m.finish(s, head, FateDelivered)
	}
}

// pieceLost notes that packet number, which carried the piece, is considered lost.
func (m *Mux) pieceLost(r pieceRef, number uint64) {
	msg, s := r.m, m.senders[r.m.ch]
	p := &msg.pieces[r.index]
	if p.state != pieceFlying || p.number != number {
		return // the piece has arrived, or a newer packet carries it
	}
	if !s.cfg.Mode.reliable() {
		m.finish(s, msg, FateLost) // the other pieces have no use
		return
	}
	p.state = pieceLost
	if msg.lost == 0 {
		msg.firstOut = r.index
	}
	msg.firstOut = min(msg.firstOut, r.index)
	msg.lost++
	s.lost++
	s.losses.add(msg)
	m.activate(s)
}
