package channel

import "time"

// Append appends the next packet to b, at most limit bytes. If there is nothing to send
// now it returns b unchanged; call it until then. limit is the size in bytes of the
// largest packet that the link can carry. If limit is less than MinLimit, Append sends
// nothing.
func (m *Mux) Append(now time.Time, b []byte, limit int) []byte {
	t := m.at(now)
	if limit < MinLimit {
		return b
	}
	limit = min(limit, m.path.limit(t, m.loss.probes > 0))
	m.room4flight(t)
	start, end := len(b), len(b)+limit
	p := m.flight.room()
	p.at = t

	b = appendHeader(b, m.flight.next)
	content := m.mayContent(t)
	due := t >= m.received.due
	body := len(b)
	if m.received.eliciting > 0 {
		b = m.appendAck(b, start, t, p, m.ackEnd(t, start, end, content))
		body = len(b)
	}
	switch {
	case m.closing.begun:
		b = m.appendClose(b, t)
		p.closing = len(b) > body
	case !m.closed && content:
		b = m.appendContent(b, end, t, p)
		if len(b) == body {
			m.loss.probes = 0
		}
	}
	p.eliciting = len(b) > body
	if !p.eliciting {
		if !due {
			return b[:start]
		}
		b = m.askForAck(b, t, p)
	}
	m.recordSent(p, len(b)-start, t)
	return b
}

// mayContent reports whether congestion control allows a packet with content to leave.
func (m *Mux) mayContent(t moment) bool {
	m.work = false
	m.pacer.refill(t, m.cc.pace())
	if m.loss.probes > 0 {
		return true
	}
	window := m.flight.bytes < m.cc.window(&m.rtt, m.loss.share) && !m.flight.crowded()
	if m.pacer.open() && window {
		return true
	}
	if m.ping || m.hasWork(t) {
		m.cc.round.limited = true
		m.work = window // a full window needs an acknowledgement, not time
	}
	return false
}

// appendContent appends the pieces of channels, a ping if one is due, and copies.
func (m *Mux) appendContent(b []byte, end int, t moment, p *sentPacket) []byte {
	body := len(b)
	if m.alone {
		m.alone, m.ping = false, false
		return append(b, frameControl|controlPing)
	}
	b, _ = m.fill(b, end, t, p)
	if m.ping {
		if len(b) == body {
			b = append(b, frameControl|controlPing)
		}
		m.ping = false
	}
	if len(b) > body && !m.backlog {
		b = m.repeat(b, end, t, p)
	}
	return b
}

// ackEnd returns where an ack block must end. It leaves room for the largest piece. In a
// packet with a small limit that is most of the space, so it does so only if there is a
// piece to send.
func (m *Mux) ackEnd(t moment, start, end int, content bool) int {
	if end-start < MinLimit && !(content && m.hasWork(t)) {
		return end
	}
	return end - maxFragmentHeader - pieceSize
}

// appendAck appends an ack block.
func (m *Mux) appendAck(b []byte, start int, t moment, p *sentPacket, end int) []byte {
	ack := &m.in.ack
	m.received.block(t, ack)
	b, flags := ack.append(b, end)
	b[start] |= flags
	p.ackTop = m.received.next
	return b
}

// askForAck adds a ping to a packet that has only an ack block, at most once in a round
// trip, if the block has 8 further ranges or more. When the peer acknowledges the packet,
// this end need not repeat those ranges.
func (m *Mux) askForAck(b []byte, t moment, p *sentPacket) []byte {
	m.stats.AcksOut++
	if m.in.ack.ranges < 8 || t < m.askedAt+m.rtt.smoothed || m.closed || m.closing.begun {
		return b
	}
	m.askedAt = t
	p.eliciting = true
	return append(b, frameControl|controlPing)
}

// recordSent records a packet of n bytes that is sent.
func (m *Mux) recordSent(p *sentPacket, n int, t moment) {
	p.size = n
	if p.ackTop > 0 {
		m.received.said()
	}
	if p.eliciting {
		m.path.sent(t, n)
		m.pacer.spend(n)
		m.cc.round.sent += n
		m.loss.lastSent = t
		m.loss.probes = max(0, m.loss.probes-1)
	}
	m.flight.push(p)
	m.stats.PacketsOut++
	m.stats.BytesOut += uint64(n)
}

// room4flight removes the oldest packet of the flight while the flight is full. A packet
// that is still flying counts as lost. While there are too many references, room4flight
// does the same for a probe; other packets wait for the acknowledgement of one that flies.
func (m *Mux) room4flight(t moment) {
	f := &m.flight
	for f.full() || f.crowded() {
		p := f.at(f.base)
		if p.state == packetFlying && p.eliciting {
			if !f.full() && m.loss.probes == 0 {
				return
			}
			m.losePacket(t, p, f.base)
		}
		f.release(p)
		f.base++
	}
}
