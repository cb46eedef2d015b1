package channel

import "time"

// A packet is considered lost if a packet sent after it was acknowledged, and it was sent
// at least packetThreshold packets before that one or is older than 9/8 of a round trip.
//
// https://www.rfc-editor.org/rfc/rfc9002.html#section-6.1
const (
	packetThreshold    = 3
	maxPacketThreshold = 256
	maxProbes          = 10
	darkAfter          = 5  // timeouts in a row: about a second
	lossMemory         = 64 // packets over which the share of losses is smoothed
)

// recovery says when to look for lost packets and when to probe.
type recovery struct {
	lossAt    moment  // when the next packet is old enough to be lost
	lastSent  moment  // when the last packet that must be acknowledged was sent, or the last timeout
	timeouts  int     // timeouts in a row without an acknowledgement
	probes    int     // packets that may leave now although congestion control says no
	threshold uint64  // packetThreshold, or more if the link reorders
	share     float64 // share of packets lost, smoothed
}

func (l *recovery) init() { *l = recovery{lossAt: never, threshold: packetThreshold} }

// silent reports whether the peer does not answer: two timeouts in a row, because the
// probes of one may be lost.
func (l *recovery) silent() bool { return l.timeouts > 1 }

func (l *recovery) resolved(lost float64) { l.share += (lost - l.share) / lossMemory }

// receiveAck processes an ack block. It returns false if the block acknowledges packets
// that were never sent.
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

// ackRange processes one range of an ack block: the packets from low to high have arrived.
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
		f.release(p)
	}
}

// detect finds the packets that are lost, given that packet largest is acknowledged, and
// sets lossAt, the time of the next call.
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

// losePacket marks packet n as lost.
func (m *Mux) losePacket(t moment, p *sentPacket, n uint64) {
	m.stats.PacketsLost++
	m.recordLoss(t, n, p.size)
	m.loss.resolved(1)
	m.flight.land(n, packetLost)
	for _, r := range p.refs {
		if r.gen == r.m.gen {
			m.pieceLost(r, n)
		}
	}
}

// ptoAt returns when to probe because no acknowledgement has arrived.
func (m *Mux) ptoAt() moment {
	if m.flight.count == 0 || m.reliableLink {
		return never
	}
	return m.loss.lastSent + m.rtt.pto(m.backoff())
}

// backoff returns how often the wait for an acknowledgement is lengthened. On a link that
// loses packets, two timeouts in a row mean little.
func (m *Mux) backoff() int {
	if m.loss.share > lossyShare {
		return max(0, m.loss.timeouts-2)
	}
	return m.loss.timeouts
}

// probe makes probes leave: it marks the oldest and the newest reliable content that is
// not acknowledged as lost, so that it is sent again, or makes a ping due if there is
// none.
func (m *Mux) probe(t moment) {
	m.loss.lastSent = t // the next timeout counts from here even if nothing can leave
	m.stats.Timeouts++
	m.loss.probes = m.probes()
	m.loss.timeouts++
	if m.loss.silent() {
		m.outdate(t)
		if m.path.last > leastBudget/2 {
			m.alone = true // a small packet shows whether only large packets do not arrive
			m.loss.probes++
		}
	}
	f := &m.flight
	found := false
	for n := f.nextFlying(f.base, f.next); n < f.next && !found; n = f.nextFlying(n+1, f.next) {
		found = m.resend(n)
	}
	if !found {
		m.ping = true
		return
	}
	for n := f.next; n > f.base; n-- {
		if m.resend(n - 1) {
			return
		}
	}
}

// probes returns the number of packets that may leave at a timeout: at least two, and so
// many that with a chance of 95 % one of them is answered, if both directions lose what
// the worse one lost recently; and one more for each timeout before. After darkAfter
// timeouts it returns one: the link carries nothing, and more packets would not help.
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

// resend marks the reliable pieces of packet n as lost, so that they are sent again; the
// packet may still arrive. It returns false if there was none.
func (m *Mux) resend(n uint64) bool {
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
