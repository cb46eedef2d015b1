package channel

import "time"

// Packets are lost when one three or more newer was acknowledged, or a newer one was
// and they are an eighth older than a round trip.
//
// https://www.rfc-editor.org/rfc/rfc9002.html#section-6.1
const (
	packetThreshold    = 3
	maxPacketThreshold = 256
	maxProbes          = 10
	darkAfter          = 5  // timeouts on end: about a second
	lossMemory         = 64 // packets over which the share of losses is smoothed
)

// recovery says when to look for lost packets and when to probe.
type recovery struct {
	lossAt    moment // when the next packet is old enough to be lost
	lastSent  moment // of an eliciting packet
	timeouts  int    // probes on end without an answer
	probes    int    // packets that may leave whatever the pacer says
	threshold uint64 // grows when the link turns out to reorder
	share     float64
}

func (l *recovery) init() { *l = recovery{lossAt: never, threshold: packetThreshold} }

// silent reports whether nobody answers: one probe alone may be lost.
func (l *recovery) silent() bool { return l.timeouts > 1 }

func (l *recovery) resolved(lost float64) { l.share += (lost - l.share) / lossMemory }

// receiveAck applies an ack block. It reports whether the block is possible.
func (m *Mux) receiveAck(t moment, a *ackBlock) bool {
	f := &m.flight
	back := (f.next - 1 - uint64(a.largest)) & 0xffff
	if back+a.span() >= f.next {
		return false // before the first, or none was sent
	}
	largest := f.next - 1 - back
	newly, bytes := false, 0
	end, length := largest, a.first
	for i := 0; ; i++ {
		m.ackRange(t, end-length, end, &newly, &bytes)
		if i == a.ranges {
			break
		}
		r := a.rest[i]
		end, length = end-length-r.gap-2, r.length
	}
	if !newly {
		return true
	}
	if p := f.at(largest); p.eliciting && p.at > m.sampled {
		m.sampled = p.at
		delay := min(time.Duration(a.delay)*delayUnit, 2*maxAckDelay)
		m.rtt.sample(t-p.at, delay)
		m.cc.sample(t, max(t-p.at-delay, time.Microsecond))
	}
	if m.loss.silent() {
		m.outdate(t)
	}
	m.loss.timeouts = 0
	m.detect(t, largest)
	m.cc.acked(t, largest, f.next, bytes, m.loss.share)
	f.trim(t - 3*m.rtt.pto(0))
	return true
}

// ackRange takes the packets from low to high as arrived.
func (m *Mux) ackRange(t moment, low, high uint64, newly *bool, bytes *int) {
	f := &m.flight
	end := min(high+1, f.next)
	for n := f.nextOpen(max(low, f.base), end); n < end; n = f.nextOpen(n+1, end) {
		f.steps++
		p := f.at(n)
		if p.state == packetLost {
			m.stats.Spurious++
			m.loss.resolved(0)
			m.loss.threshold = max(m.loss.threshold, min(maxPacketThreshold, high-n+1))
		} else if p.eliciting {
			m.loss.resolved(0)
		}
		if p.eliciting {
			*newly, *bytes = true, *bytes+p.size
		}
		f.land(n, packetAcked)
		if m.path.watched {
			m.path.acked(n, p.size)
		}
		if p.ackTop > 0 {
			m.received.confirmed(p.ackTop - 1)
		}
		if p.closing {
			m.closing.left, m.closing.next = 0, never
		}
		for _, r := range p.refs {
			if r.gen == r.m.gen {
				m.pieceAcked(r)
			}
		}
		p.forget()
	}
}

// detect takes for lost what is too far behind largest, and sets the time to look
// again.
func (m *Mux) detect(t moment, largest uint64) {
	m.loss.lossAt = never
	m.largestAcked = max(m.largestAcked, largest)
	f := &m.flight
	if m.reliableLink || f.count == 0 {
		return
	}
	delay := m.rtt.lossDelay()
	end := min(m.largestAcked, f.next)
	for n := f.nextFlying(f.base, end); n < end; n = f.nextFlying(n+1, end) {
		f.steps++
		p := f.at(n)
		if m.largestAcked-n >= m.loss.threshold || p.at+delay <= t {
			m.losePacket(t, p, n)
			continue
		}
		m.loss.lossAt = min(m.loss.lossAt, p.at+delay)
	}
}

// losePacket takes packet n for lost.
func (m *Mux) losePacket(t moment, p *sentPacket, n uint64) {
	m.stats.PacketsLost++
	m.trace(t, n, p.size)
	m.loss.resolved(1)
	m.flight.land(n, packetLost)
	for _, r := range p.refs {
		if r.gen == r.m.gen {
			m.pieceLost(r, n)
		}
	}
}

// ptoAt is when to probe: nothing was heard for too long.
func (m *Mux) ptoAt() moment {
	if m.flight.count == 0 || m.reliableLink {
		return never
	}
	return m.loss.lastSent + m.rtt.pto(m.backoff())
}

// backoff is how often the wait for an answer has been stretched. On a link that is
// known to lose, two timeouts on end mean little.
func (m *Mux) backoff() int {
	if m.loss.share > lossyShare {
		return max(0, m.loss.timeouts-2)
	}
	return m.loss.timeouts
}

// probe sends the oldest and the newest unacknowledged content again, or a ping if
// there is none that would be missed.
func (m *Mux) probe(t moment) {
	m.loss.lastSent = t // the next one counts from here even if nothing can leave
	m.stats.Timeouts++
	m.loss.probes = m.probes()
	m.loss.timeouts++
	if m.loss.silent() {
		m.outdate(t)
		if m.path.last > leastBudget/2 {
			m.alone = true // it shows whether it is the packets' size
			m.loss.probes++
		}
	}
	f := &m.flight
	found := false
	for n := f.nextFlying(f.base, f.next); n < f.next && !found; n = f.nextFlying(n+1, f.next) {
		found = m.again(n)
	}
	if !found {
		m.ping = true
		return
	}
	for n := f.next; n > f.base; n-- {
		if m.again(n - 1) {
			return
		}
	}
}

// probes is how many packets may leave at a timeout: two, or as many as it takes
// that an answer to one is likely at recent losses, of which each way is taken
// to have the worse; and one more for each timeout before. When that did not help the
// link is dark, and one has to do: more would be lost for nothing.
func (m *Mux) probes() int {
	if m.loss.timeouts > darkAfter {
		return 1
	}
	arrives := 1 - max(m.loss.share, m.received.loss)
	fails := 1 - arrives*arrives
	n, all := 2, fails*fails
	for n < maxProbes && all > 0.05 {
		n++
		all *= fails
	}
	return min(n+m.loss.timeouts, maxProbes)
}

// again makes what packet n carried due to be sent again, though the packet may
// still arrive. It reports whether there was anything.
func (m *Mux) again(n uint64) bool {
	found := false
	for _, r := range m.flight.at(n).refs {
		if r.gen != r.m.gen || !m.senders[r.m.ch].cfg.Mode.reliable() {
			continue
		}
		if q := &r.m.pieces[r.index]; q.state == pieceFlying && q.number == n {
			m.pieceLost(r, n)
			found = true
		}
	}
	return found
}
