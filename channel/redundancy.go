package channel

// Redundancy repairs a loss before anybody can know of it: small reliable messages
// that are not acknowledged ride again in the spare bytes of packets that leave
// anyway.

const (
	lossyShare  = 0.01 // from where on it pays
	maxCopyable = 512  // bytes of a message that counts as small
	maxLookback = 64   // messages of a channel that are looked at for one packet
)

// copies is how often a message of the channel may ride again at this loss: as
// often as it takes that one in a thousand is lost each time.
func (m *Mux) copies(s *sender) int {
	if n := s.cfg.Copies; n != 0 {
		return max(n, 0)
	}
	n, left := 1, m.loss.share*m.loss.share
	for n < 6 && (n < 2 || left > 0.001) {
		n++
		left *= m.loss.share
	}
	return n
}

// repeat appends copies up to end, newest first, channel after channel.
func (m *Mux) repeat(b []byte, end int, p *sentPacket) []byte {
	if m.reliableLink || m.loss.share <= lossyShare {
		return b
	}
	number := m.flight.next
	for i := range m.senders {
		s := &m.senders[m.byPriority[i]]
		if !s.cfg.Mode.reliable() || s.waiting.n == 0 {
			continue
		}
		left, budget := maxLookback, m.copies(s)
		for msg := s.waiting.tail; msg != nil && left > 0; msg, left = msg.prev, left-1 {
			q := &msg.pieces[0]
			if len(msg.pieces) > 1 || msg.size > maxCopyable || q.state != pieceFlying ||
				q.number == number || int(q.copies) >= budget || len(b)+pieceLen(false, msg.id, msg.size, 0) > end {
				continue
			}
			b = appendPiece(b, s.id, false, msg.id, msg.body, 0)
			q.copies, q.number = q.copies+1, number
			p.refs = append(p.refs, pieceRef{msg, msg.gen, 0})
			s.stats.Copies++
			m.stats.Copies++
		}
	}
	return b
}
