package channel

import "time"

// Receive processes a datagram of the peer. Events has the results. The bytes of b must
// not change until the program has finished with these events. Receive counts and drops
// a malformed datagram.
func (m *Mux) Receive(now time.Time, b []byte) {
	t := m.at(now)
	p := &m.in
	ok, eliciting := p.parse(b), false
	if ok {
		ok, eliciting = wellFormed(p.frames)
	}
	if !ok {
		m.drop(DropMalformed)
		return
	}
	number := m.received.expand(p)
	if !m.received.fresh(number) {
		m.drop(DropDuplicate)
		return
	}
	if p.hasAck && !m.receiveAck(t, &p.ack) {
		m.drop(DropAck)
		return
	}
	m.stats.PacketsIn++
	m.stats.BytesIn += uint64(len(b))
	m.heard = t
	if !m.receiveFrames(t, number, p.frames) {
		m.drop(DropRefused)
		return
	}
	m.received.mark(t, number, eliciting)
	if m.reliableLink && eliciting {
		m.received.wait(t, len(b))
	}
	if m.closed && m.received.eliciting > 0 {
		m.received.due = t // acknowledge its close frame at once
	}
}

// receiveFrames processes the frames of packet number. It reports whether the packet may be
// acknowledged.
func (m *Mux) receiveFrames(t moment, number uint64, b []byte) bool {
	ok := true
	f := &m.frame
	for len(b) > 0 {
		b = b[f.parse(b):]
		if f.kind == frameControl {
			m.receiveControl(f)
			continue
		}
		ok = m.receiveContent(t, number, f) && ok
	}
	return ok
}

func (m *Mux) receiveControl(f *frame) {
	switch f.channel {
	case controlPadding, controlPing:
	case controlClose:
		m.receiveClose(f)
	case controlGivenUp:
		m.receiveGivenUp(f)
	default:
		m.drop(DropUnknownFrame)
	}
}

// receiveContent processes a piece of a message in packet number. It returns false if the piece is refused
// and the packet must not be acknowledged.
func (m *Mux) receiveContent(t moment, number uint64, f *frame) bool {
	if m.closed || m.closing.begun {
		m.drop(DropClosed)
		return true
	}
	if int(f.channel) >= len(m.receivers) {
		return m.refuse(DropUnknown)
	}
	r := m.receivers[f.channel]
	if number < r.from {
		m.drop(DropStale)
		return true
	}
	size := len(f.payload)
	if f.kind == frameFragment {
		size = f.total
	}
	switch {
	case r.stopped:
		return m.refuse(DropUnknown)
	case !r.allowed:
		return m.refuse(DropDirection)
	case f.kind == frameBare && r.cfg.Mode != Unreliable, f.kind == frameMessage && r.cfg.Mode == Unreliable:
		return m.refuse(DropKind)
	case size > r.cfg.maxWire():
		return m.refuse(DropTooLarge)
	case r.cfg.Mode.reliable():
		return m.reliable(r, t, f)
	case f.kind == frameBare:
		m.deliver(r, f.payload, false)
	case f.kind == frameMessage:
		m.sequenced(r, f)
	default:
		m.fragmentUnreliable(r, t, f)
	}
	return true
}
