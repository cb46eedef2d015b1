package channel

import "time"

// A partial is a message that cannot be delivered yet: some of its pieces are missing, or
// it waits for its turn.
type partial struct {
	next  *partial
	id    uint64
	total int       // length of the message in bytes
	got   int       // pieces that have arrived
	have  []uint64  // the pieces that have arrived, a bit for each
	few   [1]uint64 // memory of have for a message of at most 64 pieces
	body  []byte    // nil until a quarter of the pieces have arrived
	apart []apart   // the pieces that arrived before there was a body
	first moment    // when its first piece arrived
}

// apart is a piece that arrived before its message had a body.
type apart struct {
	index int
	b     []byte
}

// earnsBody is the largest ratio of the pieces of a message to those that have arrived at
// which the body is allocated: one piece of a large message does not allocate all of it.
const earnsBody = 4

const (
	// maxPartials limits the incomplete messages of an unreliable channel. For one more,
	// the oldest is dropped.
	maxPartials = 32
	// partialAge is the age at which an incomplete unreliable message is dropped. Reliable
	// messages have no such limit: their missing pieces will arrive.
	partialAge = 3 * time.Second
)

func (p *partial) cost() int { return p.total + messageCost }

func (p *partial) complete() bool { return p.got == pieces(p.total) }

// newPartial returns an empty partial for a message of total bytes.
func (m *Mux) newPartial(r *receiver, t moment, id uint64, total int) *partial {
	p := m.pool.partial()
	p.id, p.total, p.first = id, total, t
	if p.have = p.few[:]; pieces(total) > 64 {
		p.have = make([]uint64, (pieces(total)+63)/64)
	}
	r.held += p.cost()
	return p
}

// add stores a piece of p. It returns false if p has the piece already.
func (m *Mux) add(p *partial, i int, b []byte) bool {
	if p.have[i/64]&(1<<(i%64)) != 0 {
		return false
	}
	p.have[i/64] |= 1 << (i % 64)
	p.got++
	switch {
	case p.body != nil:
	case earnsBody*p.got < pieces(p.total):
		kept := m.pool.get(len(b))
		copy(kept, b)
		p.apart = append(p.apart, apart{i, kept})
		return true
	default:
		p.body = m.pool.get(p.total)
		for _, a := range p.apart {
			copy(p.body[a.index*pieceSize:], a.b)
		}
		m.removeApart(p)
	}
	copy(p.body[i*pieceSize:], b)
	return true
}

func (m *Mux) removeApart(p *partial) {
	for i := range p.apart {
		m.pool.put(p.apart[i].b)
	}
	clear(p.apart)
	p.apart = p.apart[:0]
}

// discard drops a partial and its memory.
func (m *Mux) discard(r *receiver, p *partial) {
	r.held -= p.cost()
	m.pool.put(p.body)
	m.removeApart(p)
	m.pool.recycle(p)
}

// deliverNow delivers a complete partial. Its body now belongs to the event.
func (m *Mux) deliverNow(r *receiver, p *partial) {
	r.held -= p.cost()
	m.deliver(r, p.body, true)
	m.pool.recycle(p)
}

// deliver emits the event of a message.
func (m *Mux) deliver(r *receiver, b []byte, owned bool) {
	if r.cfg.Compress {
		m.packed = true
	} else {
		r.stats.count(len(b), len(b))
	}
	m.events = append(m.events, Event{Type: EventMessage, Channel: r.id, Payload: b, owned: owned, packed: r.cfg.Compress})
}

// receiver is the receiving half of a channel.
type receiver struct {
	cfg     *Channel // that of the sender
	id      ID
	allowed bool // the peer may send on it
	stopped bool // no channel has the number, or StopReceiving was called
	broken  bool // a message was malformed: no more are delivered
	held    int  // bytes of partials, as they count against QueueLimit

	from uint64 // frames in earlier packets of the link are of a channel that had the number before

	base  uint64 // reliable: all messages before it have arrived; sequenced: the newest delivered, plus one; unreliable: 0
	slots []slot // reliable: states of the messages from base on, a ring by id

	partials *partial // unreliable and sequenced: incomplete messages, oldest first
	count    int      // number of partials

	stats receivedCounts
}

// fragmentUnreliable processes a fragment of an unreliable or sequenced message.
func (m *Mux) fragmentUnreliable(r *receiver, t moment, f *frame) {
	if f.id < r.base {
		r.stats.Stale++
		return
	}
	p := r.find(f.id)
	switch {
	case p == nil:
		p = m.admit(r, t, f)
	case p.total != f.total:
		m.drop(DropMismatch)
		return
	}
	if !m.add(p, f.index, f.payload) {
		r.stats.Duplicates++
		return
	}
	if !p.complete() {
		return
	}
	r.unlink(p)
	id := p.id
	m.deliverNow(r, p)
	if r.cfg.Mode == Sequenced {
		m.supersede(r, id)
	}
}

// admit adds an incomplete message, and drops the oldest ones until there is room for it.
// QueueLimit always has room for one message of MaxMessage.
func (m *Mux) admit(r *receiver, t moment, f *frame) *partial {
	for r.count >= maxPartials || r.held+f.total+messageCost > r.cfg.QueueLimit {
		m.giveUp(r, r.partials)
		m.drop(DropEvicted)
	}
	p := m.newPartial(r, t, f.id, f.total)
	at := &r.partials
	for *at != nil {
		at = &(*at).next
	}
	*at = p
	r.count++
	m.expireAt = min(m.expireAt, t+partialAge)
	return p
}

func (r *receiver) find(id uint64) *partial {
	for p := r.partials; p != nil; p = p.next {
		if p.id == id {
			return p
		}
	}
	return nil
}

// unlink removes p from the list. p must be in the list.
func (r *receiver) unlink(p *partial) {
	at := &r.partials
	for *at != p {
		at = &(*at).next
	}
	*at = p.next
	r.count--
}

func (m *Mux) giveUp(r *receiver, p *partial) {
	r.unlink(p)
	m.discard(r, p)
}

// age drops the incomplete unreliable messages that are older than partialAge.
func (m *Mux) age(t moment) {
	if t < m.expireAt {
		return
	}
	m.expireAt = never
	for i := range m.receivers {
		r := m.receivers[i]
		for r.partials != nil && r.partials.first+partialAge <= t {
			m.giveUp(r, r.partials)
			m.drop(DropAged)
		}
		if r.partials != nil {
			m.expireAt = min(m.expireAt, r.partials.first+partialAge)
		}
	}
}
