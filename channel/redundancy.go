package channel

// Copies repair a loss before an end can detect it: small reliable messages that are not
// acknowledged are sent again in the free space of packets that leave anyway.

const (
	lossyShare  = 0.01 // share of lost packets above which copies are sent
	maxCopyable = 512  // largest message of which copies are sent, in bytes
	maxLookback = 64   // messages of a channel that are looked at for one packet
)

// copies returns how many copies of a message the channel may send at the present loss:
// so many that with a chance of about 1 in 10,000 all of them are lost, but 2 to 6.
func (m *Mux) copies(s *sender) int {
	if n := s.cfg.Copies; n != 0 {
		return max(n, 0)
	}
	n, left := 2, m.loss.share*m.loss.share*m.loss.share
	for n < 6 && left > 0.0001 {
		n++
		left *= m.loss.share
	}
	return n
}

// repeat appends copies up to end, one channel after the other: first of messages whose
// acknowledgement is overdue, oldest first, then of others, newest first.
func (m *Mux) repeat(b []byte, end int, t moment, p *sentPacket) []byte {
	if m.reliableLink || m.loss.share <= lossyShare {
		return b
	}
	end = min(end, len(b)+max(0, int(m.pacer.spare)))
	overdue := t - m.rtt.lossDelay() - maxAckDelay
	for _, id := range m.byPriority {
		s := m.senders[id]
		budget := m.copies(s)
		if !s.cfg.Mode.reliable() || budget == 0 {
			continue
		}
		left := maxLookback
		for msg := s.waiting.head; msg != nil && left > 0; msg, left = msg.next, left-1 {
			q, before := &msg.pieces[0], len(b)
			if q.at > overdue {
				continue
			}
			if b = m.appendCopy(b, end, s, msg, p); len(b) > before {
				q.at, q.copies = t, 0
			}
		}
		left = maxLookback
		for msg := s.waiting.tail; msg != nil && left > 0; msg, left = msg.prev, left-1 {
			if int(msg.pieces[0].copies) < budget {
				b = m.appendCopy(b, end, s, msg, p)
			}
		}
	}
	return b
}

// appendCopy appends a copy of a message if the message is small, is not acknowledged or
// lost, has no other copy in this packet, and fits.
func (m *Mux) appendCopy(b []byte, end int, s *sender, msg *message, p *sentPacket) []byte {
	q, number := &msg.pieces[0], m.flight.next
	if msg.size > maxCopyable || q.state != pieceFlying || q.number == number ||
		len(b)+pieceLen(false, msg.id, msg.size, 0) > end {
		return b
	}
	q.copies, q.number = q.copies+1, number
	p.refs = append(p.refs, pieceRef{msg, msg.gen, 0})
	s.stats.Copies++
	m.stats.Copies++
	return appendPiece(b, s.id, false, msg.id, msg.body, 0)
}
